"""Identifying and enrolling with very many people enrolled beside few, in two installed versions of facebank.

    python -m benchmarks.large_gallery ../shared/data --before OLD/bin/facebank --after NEW/bin/facebank \
        --out benchmarks/reports/large_gallery

Galleries hold five people of photographs, or so many made-up people more of one random unit vector each. A cold
``facebank identify`` of one photo is run by turns, in both versions and all galleries, after a first run of each that
prepares what is kept and is told apart. Then photos of 100 people are enrolled into an empty gallery, the five people's
and the smallest of the large ones.
Told are medians, the most memory, and the median of the ratios to the five people's run of the same turn.
``--people 100000`` leaves out the million, which takes minutes to make and three gigabytes of disk; ``--folder FOLDER``
keeps the galleries and takes those that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.before_and_after import MANY

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSIFIERS = ("prototype", "knn")
ENROLLED_PHOTOS = 100


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds and megabytes of one run."""

    seconds: float
    megabytes: float


def run(program: Path, folder: Path, *arguments: str | Path) -> Run:
    """Run a command that must succeed, with caches of its own."""
    places = {f"FACEBANK_{name.upper()}": str(folder / name) for name in ("cache", "packs", "calibrations")}
    start = time.perf_counter()
    command = [str(program), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **places}) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode not in {0, 1}:  # 1: some of the photos show no face, say
        raise subprocess.CalledProcessError(running.returncode, command)
    return Run(time.perf_counter() - start, usage.ru_maxrss / 1024)


def galleries(version: Path, folder: Path, tree: Path, sizes: Sequence[int]) -> dict[str, Path]:
    """Make galleries of five people and of very many, for one version."""
    made = {"5": folder / "5.facebank", **{f"{people:,}": folder / f"{people}.facebank" for people in sizes}}
    if not made["5"].exists():
        run(version, folder, "--gallery", made["5"], "enroll", "--tree", tree)
    for people in sizes:
        path = made[f"{people:,}"]
        if not path.exists():
            subprocess.run([version.with_name("python"), "-c", MANY, path, str(people)], check=True)
    return made


def identified(
    versions: dict[str, Path], folders: dict[str, Path], made: dict[str, dict[str, Path]], photo: Path, runs: int
) -> list[dict[str, object]]:
    """Measure cold identifications by turns."""
    cases = [(name, size, kind) for name in versions for size in made[name] for kind in CLASSIFIERS]
    found: dict[tuple[str, str, str], list[Run]] = {case: [] for case in cases}
    for _ in range(runs + 1):
        for name, size, kind in cases:
            command = ("--gallery", made[name][size], "identify", photo, "--classifier", kind, "--json")
            found[name, size, kind].append(run(versions[name], folders[name], *command))
    rows: list[dict[str, object]] = []
    for (name, size, kind), (first, *rest) in found.items():
        few = found[name, "5", kind][1:]
        row = {
            "version": name,
            "people": size,
            "classifier": kind,
            "first": round(first.seconds, 2),
            "seconds": round(statistics.median(each.seconds for each in rest), 3),
            "beside five": round(statistics.median(a.seconds / b.seconds for a, b in zip(rest, few, strict=True)), 3),
            "megabytes": round(max(each.megabytes for each in rest)),
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def enrolled(
    versions: dict[str, Path], folders: dict[str, Path], made: dict[str, dict[str, Path]], photos: Path
) -> list[dict[str, object]]:
    """Measure how long photos of one person each take to be enrolled into each gallery, and into an empty one."""
    rows: list[dict[str, object]] = []
    for name, program in versions.items():
        seconds = {}
        few = dict(list(made[name].items())[:2])  # an earlier version reads a larger gallery for minutes
        for size, path in {"0": folders[name] / "0.facebank", **few}.items():
            copy = folders[name] / "enrolled.facebank"
            copy.unlink(missing_ok=True)
            if path.exists():
                shutil.copyfile(path, copy)
            seconds[size] = run(program, folders[name], "--gallery", copy, "enroll", "--tree", photos).seconds
            row = {"version": name, "people": size, "enrolling": round(seconds[size], 2)}
            rows.append({**row, "beside none": round(seconds[size] / seconds["0"], 3)})
            print(rows[-1], flush=True)
    return rows


def tree_of(lfw: Path, folder: Path) -> Path:
    """Make a folder of people's folders with one of LFW's photos each."""
    people = [each for each in sorted(lfw.iterdir()) if each.is_dir()][:ENROLLED_PHOTOS]
    for person in people:
        (folder / person.name).mkdir(parents=True)
        shutil.copyfile(min(person.glob("*.jpg")), folder / person.name / "photo.jpg")
    return folder


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and photos/")
    parser.add_argument("--before", type=Path, help="the program of an earlier version; left out for one version")
    parser.add_argument("--after", type=Path, required=True, help="the program")
    parser.add_argument("--people", type=int, nargs="*", default=[100_000, 1_000_000], help="sizes of galleries")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where galleries are made and kept; a temporary one by default")
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, without suffix")
    arguments = parser.parse_args()
    versions = {"after": arguments.after.absolute()}
    if arguments.before is not None:
        versions = {"before": arguments.before.absolute(), **versions}
    with tempfile.TemporaryDirectory(prefix="facebank-large-") as folder:
        folders = {name: Path(arguments.folder or folder, name) for name in versions}
        for each in folders.values():
            each.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(each / "cache", ignore_errors=True)
        tree, photo = arguments.data / "photos" / "enrol", arguments.data / "photos" / "probe" / "obama_and_biden.jpg"
        made = {name: galleries(program, folders[name], tree, arguments.people) for name, program in versions.items()}
        photos = tree_of(arguments.data / "lfw", Path(folder, "tree"))
        report = {
            "runs": arguments.runs,
            "identify": identified(versions, folders, made, photo, arguments.runs),
            "enroll": enrolled(versions, folders, made, photos),
        }
    arguments.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
