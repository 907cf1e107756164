"""Time and memory of identify and enroll with large galleries, in two installed versions of facebank.

    python -m benchmarks.large_gallery ../shared/data --before OLD/bin/facebank --after NEW/bin/facebank \
        --out benchmarks/reports/large_gallery

One gallery has five people with photos, the large ones many synthetic people with one random embedding each. Cold
runs of ``facebank identify`` with one photo alternate between versions and galleries, after a first run of each that
fills the caches and is reported separately. They are repeated after an additional synthetic person was enrolled into
the large galleries. Finally photos of 100 people are enrolled into an empty gallery, the one of five people, and the
smallest large one. Reports medians, peak memory, and median ratios to the run with five people.
``--people 100000`` omits the gallery of a million people, which takes minutes and 3 GB of disk; ``--folder FOLDER``
keeps and reuses the galleries.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.before_and_after import CREATE_LARGE_GALLERY
from benchmarks.json_report import write_json_report

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSIFIERS = ("prototype", "knn")
ENROLLED_PHOTOS = 100
ADD_PERSON = f"""{CREATE_LARGE_GALLERY.partition("with Gallery.open")[0]}
row = np.random.default_rng(people).standard_normal(dimension).astype(np.float32)
with Gallery.open(Path(sys.argv[1])) as gallery:
    gallery.enroll(f"Person {{people}}", [sample(people, row / np.linalg.norm(row))])
"""
FORGET = "import sys; from facebank.gallery import Gallery; Gallery.open(sys.argv[1]).forget_people(sys.argv[2:])"


@dataclass(frozen=True, slots=True)
class CommandCost:
    """Wall seconds and peak memory of one run, in MiB."""

    seconds: float
    mebibytes: float


def run(program: Path, folder: Path, *arguments: str | Path) -> CommandCost:
    """Run a command with its own caches; exits on failure."""
    cache_folders = {f"FACEBANK_{name.upper()}": str(folder / name) for name in ("cache", "packs", "calibrations")}
    start = time.perf_counter()
    command = [str(program), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **cache_folders}) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 1}:  # 1: some photos failed, such as those without a face
        raise subprocess.CalledProcessError(process.returncode, command)
    return CommandCost(time.perf_counter() - start, usage.ru_maxrss / 1024)


def create_galleries(version: Path, folder: Path, tree: Path, sizes: Sequence[int]) -> dict[str, Path]:
    """Create the galleries of five and of more people with one version; return their paths by number of people."""
    paths = {"5": folder / "5.facebank", **{f"{people:,}": folder / f"{people}.facebank" for people in sizes}}
    if not paths["5"].exists():
        run(version, folder, "--gallery", paths["5"], "enroll", "--tree", tree)
    for people in sizes:
        path = paths[f"{people:,}"]
        if not path.exists():
            subprocess.run([version.with_name("python"), "-c", CREATE_LARGE_GALLERY, path, str(people)], check=True)
    return paths


def measure_identification(
    versions: dict[str, Path], folders: dict[str, Path], galleries: dict[str, dict[str, Path]], probe: Path, runs: int
) -> list[dict[str, object]]:
    """Return the figures of cold identifications, which alternate between versions, galleries and classifiers."""
    cases = [(name, size, classifier) for name in versions for size in galleries[name] for classifier in CLASSIFIERS]
    results: dict[tuple[str, str, str], list[CommandCost]] = {case: [] for case in cases}
    for _ in range(runs + 1):
        for name, size, classifier in cases:
            command = ("--gallery", galleries[name][size], "identify", probe, "--classifier", classifier, "--json")
            results[name, size, classifier].append(run(versions[name], folders[name], *command))
    rows: list[dict[str, object]] = []
    for (name, size, classifier), (first, *later) in results.items():
        five = results[name, "5", classifier][1:]
        ratios = [result.seconds / reference.seconds for result, reference in zip(later, five, strict=True)]
        row = {
            "version": name,
            "people": size,
            "classifier": classifier,
            "first": round(first.seconds, 2),
            "seconds": round(statistics.median(result.seconds for result in later), 3),
            "beside five": round(statistics.median(ratios), 3),
            "megabytes": round(max(result.mebibytes for result in later)),
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def measure_after_changes(
    versions: dict[str, Path], folders: dict[str, Path], galleries: dict[str, dict[str, Path]], probe: Path, runs: int
) -> list[dict[str, object]]:
    """Return the figures of alternating cold identifications, each after one more synthetic person was enrolled."""
    cases = [(name, size) for name in versions for size in list(galleries[name])[1:]]
    results: dict[tuple[str, str], list[CommandCost]] = {case: [] for case in cases}
    numbers = [str(10**9 + run) for run in range(runs)]
    for number in numbers:
        for name, size in cases:
            path, python = galleries[name][size], versions[name].with_name("python")
            run(python, folders[name], "-c", ADD_PERSON, path, number)
            command = ("--gallery", path, "identify", probe, "--json")
            results[name, size].append(run(versions[name], folders[name], *command))
    rows: list[dict[str, object]] = []
    for (name, size), case_results in results.items():
        names = [f"Person {number}" for number in numbers]
        run(versions[name].with_name("python"), folders[name], "-c", FORGET, galleries[name][size], *names)
        seconds = round(statistics.median(result.seconds for result in case_results), 2)
        row = {"version": name, "people": size, "after a change": seconds}
        rows.append({**row, "megabytes": round(max(result.mebibytes for result in case_results))})
        print(rows[-1], flush=True)
    return rows


def measure_enrollment(
    versions: dict[str, Path], folders: dict[str, Path], galleries: dict[str, dict[str, Path]], tree: Path
) -> list[dict[str, object]]:
    """Return the seconds of enrolling 100 people with one photo each into an empty and the two smallest galleries."""
    rows: list[dict[str, object]] = []
    for name, program in versions.items():
        seconds = {}
        small = dict(list(galleries[name].items())[:2])  # earlier versions take minutes to read larger ones
        for size, path in {"0": folders[name] / "0.facebank", **small}.items():
            copy = folders[name] / "enrolled.facebank"
            copy.unlink(missing_ok=True)
            if path.exists():
                shutil.copyfile(path, copy)
            seconds[size] = run(program, folders[name], "--gallery", copy, "enroll", "--tree", tree).seconds
            row = {"version": name, "people": size, "enrolling": round(seconds[size], 2)}
            rows.append({**row, "beside none": round(seconds[size] / seconds["0"], 3)})
            print(rows[-1], flush=True)
    return rows


def make_tree(lfw: Path, folder: Path) -> Path:
    """Create a folder per person with one photo of LFW each; return `folder`."""
    person_folders = [path for path in sorted(lfw.iterdir()) if path.is_dir()][:ENROLLED_PHOTOS]
    for person_folder in person_folders:
        (folder / person_folder.name).mkdir(parents=True)
        shutil.copyfile(min(person_folder.glob("*.jpg")), folder / person_folder.name / "photo.jpg")
    return folder


def main() -> None:
    """Measure and write ``OUT.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with lfw/ and photos/")
    parser.add_argument("--before", type=Path, help="facebank command of an earlier version; default: no comparison")
    parser.add_argument("--after", type=Path, required=True, help="facebank command of the later version")
    parser.add_argument("--people", type=int, nargs="*", default=[100_000, 1_000_000], help="numbers of people")
    parser.add_argument("--runs", type=int, default=7, help="number of runs of each command (default 7)")
    parser.add_argument(
        "--folder", type=Path, help="folder of the galleries, kept for reuse; default: a temporary folder"
    )
    parser.add_argument("--out", type=Path, required=True, help="path of the report, without suffix")
    arguments = parser.parse_args()
    versions = {"after": arguments.after.absolute()}
    if arguments.before is not None:
        versions = {"before": arguments.before.absolute(), **versions}
    with tempfile.TemporaryDirectory(prefix="facebank-large-") as folder:
        folders = {name: Path(arguments.folder or folder, name) for name in versions}
        for version_folder in folders.values():
            version_folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(version_folder / "cache", ignore_errors=True)
        tree, probe = arguments.data / "photos" / "enrol", arguments.data / "photos" / "probe" / "obama_and_biden.jpg"
        galleries = {
            name: create_galleries(program, folders[name], tree, arguments.people) for name, program in versions.items()
        }
        large_tree = make_tree(arguments.data / "lfw", Path(folder, "tree"))
        report = {
            "runs": arguments.runs,
            "identify": measure_identification(versions, folders, galleries, probe, arguments.runs),
            "changed": measure_after_changes(versions, folders, galleries, probe, arguments.runs),
            "enroll": measure_enrollment(versions, folders, galleries, large_tree),
        }
    write_json_report(arguments.out, report)


if __name__ == "__main__":
    main()
