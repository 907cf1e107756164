"""Speed comparison of the commands of two installed versions of facebank.

    python -m benchmarks.before_and_after ../shared/data --before OLD/bin/facebank --after NEW/bin/facebank \
        --out benchmarks/reports/before_and_after --runs 15

Each version has its own galleries, scans and caches. Commands run in pairs with alternating order, after an unmeasured
run of each. Both versions must be installed in the same way, since editable installations start more slowly. Reports
the median ratio of the pairs' times with a 95 % bootstrap interval of 10,000 resamples; exits with 1 if the upper end
of an interval exceeds ``--max-ratio``. Each ``--only TEXT`` selects commands by part of the title.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.json_report import write_json_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALBUM_SIZE = 60
LFW_SIZE = 600
RESAMPLES = 10_000
INTERVAL = (2.5, 97.5)  # percentiles
CREATE_LARGE_GALLERY = """
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
import numpy as np
from facebank.gallery import Gallery, NewSample, PackIdentity
from facebank.packs import load_pack
types = import_module("facebank.types" if find_spec("facebank.types") else "facebank.faces")
pack, people, batch, random = load_pack(), int(sys.argv[2]), 10_000, np.random.default_rng(0)
dimension = pack.manifest.embedder.dimension
face = [np.array([0, 0, 9, 9], np.float32), np.zeros((5, 2), np.float32), 1.0]
if hasattr(types, "IdentifiedFace"):  # older versions
    face = [types.Detection(*face)]
def sample(number, vector):
    return NewSample(*face, 0.9, f"{number}.jpg", f"{number:064x}", 0, None, None, {"plain": vector})
with Gallery.open(Path(sys.argv[1]), PackIdentity(pack.name, pack.digest, dimension), create=True) as gallery:
    enroll = gallery.enrol_people if hasattr(gallery, "enrol_people") else gallery.enroll_people  # older versions
    for start in range(0, people, batch):
        rows = random.standard_normal((batch, dimension)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        enroll([(f"Person {n}", [sample(n, row)]) for n, row in enumerate(rows, start)])
"""
"""Script for each version's Python; its arguments are the path of a gallery and the number of people."""


@dataclass(frozen=True, slots=True)
class Version:
    """An installed version and its work folder: ``five.facebank``, ``album/``, ``cache/``.

    Attributes
    ----------
    program
        Path of the ``facebank`` command.
    folder
        The work folder.
    """

    program: Path
    folder: Path

    def run(self, *arguments: str | Path, gallery: str = "five.facebank") -> float:
        """Run a command and return its seconds; exits on failure."""
        environment = {
            **os.environ,
            "FACEBANK_CACHE": str(self.folder / "cache"),
            "FACEBANK_PACKS": str(self.folder / "packs"),
            "FACEBANK_CALIBRATIONS": str(self.folder / "calibrations"),
            "FACEBANK_GALLERY": str(self.folder / gallery),
        }
        start = time.perf_counter()
        command = [str(self.program), *map(str, arguments)]
        completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if completed.returncode:
            raise SystemExit(f"{' '.join(command)} exited with {completed.returncode}:\n{completed.stderr}")
        return seconds


@dataclass(frozen=True, slots=True)
class TimedCommand:
    """A command to time.

    Attributes
    ----------
    title
        Title in the report.
    command
        Function that runs the command once and returns its seconds.
    prepare
        Called before each run, untimed.
    """

    title: str
    command: Callable[[Version], float]
    prepare: Callable[[Version], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class TimeRatios:
    """Ratios of a command's times, after / before.

    Attributes
    ----------
    title
        Title of the command.
    median
        Median ratio of the pairs.
    low, high
        Ends of its 95 % interval.
    before, after
        Median seconds of each version.
    runs
        Number of pairs.
    """

    title: str
    median: float
    low: float
    high: float
    before: float
    after: float
    runs: int


def tasks(data: Path) -> list[TimedCommand]:
    """Return the commands to time."""
    probe = data / "photos" / "probe"
    photo = probe / "obama_and_biden.jpg"
    tree = data / "photos" / "enrol"
    return [
        TimedCommand("people list", lambda version: version.run("people", "list")),
        TimedCommand("identify, one photo, 5 people", lambda version: version.run("identify", photo)),
        TimedCommand("identify, a folder, 5 people", lambda version: version.run("identify", version.folder / "album")),
        TimedCommand(
            "identify, one photo, 100,000 people",
            lambda version: version.run("identify", photo, gallery="many.facebank"),
        ),
        TimedCommand(
            "enroll, five people",
            lambda version: version.run("enroll", "--tree", tree, gallery="new.facebank"),
            lambda version: remove_gallery(version, "new"),
        ),
        TimedCommand(
            f"scan, {ALBUM_SIZE} photos",
            lambda version: version.run("scan", version.folder / "album", gallery="new.facebank"),
            lambda version: remove_gallery(version, "new"),
        ),
        TimedCommand(
            f"scan, {LFW_SIZE} photos of LFW",
            lambda version: version.run("scan", version.folder / "lfw", gallery="new.facebank"),
            lambda version: remove_gallery(version, "new"),
        ),
        TimedCommand("scan again", lambda version: version.run("scan", version.folder / "album")),
        TimedCommand("identify --scan", lambda version: version.run("identify", "--scan")),
        TimedCommand("find", lambda version: version.run("find", "obama")),
        TimedCommand(
            "sort, copying",
            lambda version: version.run("sort", version.folder / "album", version.folder / "sorted"),
            lambda version: shutil.rmtree(version.folder / "sorted", ignore_errors=True),
        ),
        TimedCommand(
            "tags write, sidecars",
            lambda version: version.run("tags", "write", version.folder / "album"),
            remove_sidecars,
        ),
        TimedCommand(
            "export",
            lambda version: version.run("people", "export", version.folder / "export"),
            lambda version: shutil.rmtree(version.folder / "export", ignore_errors=True),
        ),
    ]


def remove_gallery(version: Version, stem: str) -> None:
    """Remove a gallery and its scan."""
    for path in version.folder.glob(f"{stem}.*"):
        path.unlink()


def remove_sidecars(version: Version) -> None:
    """Remove the sidecars of the album."""
    for path in (version.folder / "album").glob("*.xmp"):
        path.unlink()


def prepare(version: Version, data: Path) -> None:
    """Set up a version's folder: an album of enrolled and other people, photos of LFW, two galleries and a scan."""
    album = version.folder / "album"
    album.mkdir(parents=True)
    probes = [path for path in sorted((data / "photos" / "probe").iterdir()) if path.suffix in {".jpg", ".png"}]
    for path in [*probes, *sorted((data / "lfw").glob("*/*_0001.jpg"))][:ALBUM_SIZE]:
        shutil.copy2(path, album)
    lfw = version.folder / "lfw"
    lfw.mkdir()
    photos = sorted((data / "lfw").glob("*/*.jpg"))
    for path in photos[:: max(1, len(photos) // LFW_SIZE)][:LFW_SIZE]:
        shutil.copy2(path, lfw)
    version.run("enroll", "--tree", data / "photos" / "enrol")
    version.run("scan", album)


def create_large_gallery(version: Version) -> None:
    """Create the gallery of 100,000 people with the version's Python."""
    subprocess.run(
        [version.program.with_name("python"), "-c", CREATE_LARGE_GALLERY, "many.facebank", "100000"],
        check=True,
        cwd=version.folder,
    )


def compare(task: TimedCommand, before: Version, after: Version, *, runs: int) -> TimeRatios:
    """Time a command of both versions in alternation."""
    seconds: dict[Path, list[float]] = {before.folder: [], after.folder: []}
    for pair in range(runs + 1):
        for version in (before, after) if pair % 2 else (after, before):
            task.prepare(version)
            duration = task.command(version)
            if pair:
                seconds[version.folder].append(duration)
    before_seconds, after_seconds = (np.array(seconds[version.folder]) for version in (before, after))
    ratios = after_seconds / before_seconds
    random = np.random.default_rng(0)
    medians = np.median(ratios[random.integers(runs, size=(RESAMPLES, runs))], axis=1)
    low, high = (float(end) for end in np.percentile(medians, INTERVAL))
    return TimeRatios(
        task.title,
        float(np.median(ratios)),
        low,
        high,
        float(np.median(before_seconds)),
        float(np.median(after_seconds)),
        runs,
    )


def table(comparisons: Sequence[TimeRatios]) -> str:
    """Return the comparisons as a Markdown table."""
    rows = [
        f"| {row.title} | {row.before:.2f} | {row.after:.2f} | {row.median:.3f} | {row.low:.3f} to {row.high:.3f} |"
        for row in comparisons
    ]
    return "\n".join(["| command | before, s | after, s | ratio | 95 % |", "|---|---|---|---|---|", *rows])


def main() -> int:
    """Compare, and write ``OUT.json`` and ``OUT.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with photos/ and lfw/")
    parser.add_argument("--before", type=Path, required=True, help="facebank command of the older version")
    parser.add_argument("--after", type=Path, required=True, help="facebank command of the newer version")
    parser.add_argument("--out", type=Path, help="path of the report, without suffix")
    parser.add_argument("--runs", type=int, default=15, help="number of pairs of runs (default 15)")
    parser.add_argument(
        "--max-ratio", type=float, default=1.05, help="largest allowed upper end of an interval (default 1.05)"
    )
    parser.add_argument(
        "--only", action="append", default=[], help="run only commands whose title contains this text; may be repeated"
    )
    arguments = parser.parse_args()
    chosen = [
        task
        for task in tasks(arguments.data)
        if not arguments.only or any(text in task.title for text in arguments.only)
    ]
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="facebank-before-and-after-") as folder:
        scratch = Path(folder)
        versions = [
            Version(arguments.before.absolute(), scratch / "before"),
            Version(arguments.after.absolute(), scratch / "after"),
        ]
        for version in versions:
            prepare(version, arguments.data)
            if any("100,000" in task.title for task in chosen):
                create_large_gallery(version)
        for task in chosen:
            comparisons.append(compare(task, versions[0], versions[1], runs=arguments.runs))
            print(table(comparisons[-1:]).splitlines()[-1], flush=True)
    if arguments.out is not None:
        write_json_report(arguments.out, [asdict(comparison) for comparison in comparisons])
        arguments.out.with_suffix(".md").write_text(table(comparisons) + "\n", encoding="utf-8")
    return 0 if all(comparison.high <= arguments.max_ratio for comparison in comparisons) else 1


if __name__ == "__main__":
    raise SystemExit(main())
