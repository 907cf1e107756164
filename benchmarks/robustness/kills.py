"""Recovery of facebank commands after SIGKILL: the next run must leave a consistent state without losses.

    python -m benchmarks.robustness.kills --kills 200

Each trial repeatedly kills one command (see `benchmarks.robustness.killer`) on an album of photos with sidecars of
both naming schemes. Counts the kills that hit the run, and the faults after the following runs. Exits with 1 if there
are any.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.robustness import kill_tags
from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED, add_comment
from benchmarks.robustness.killer import Killer, KillTrial, Outcome, difference, read_tree
from facebank.album.sort.journal import JOURNAL

PHOTOS = ("barack_obama_speech.jpg", "barack_obama_blue_room.jpg", "eileen_collins.jpg")
ALBUM, SORTED = "album", "sorted"
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/><!--{}--></x:xmpmeta>'


def make_album(work: Path, photos: int) -> dict[str, bytes | str]:
    """Create an album of photos with sidecars, and return its contents.

    Parameters
    ----------
    work
        Folder of the album.
    photos
        Number of photos, which differ by a JPEG comment.
    """
    for number in range(photos):
        path = work / ALBUM / f"{number % 2}" / f"photo {number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(add_comment(DEMO_PHOTOS / PHOTOS[number % len(PHOTOS)], f"{number:06}"))
        path.with_name(f"{path.name}.xmp").write_text(XMP.format(f"beside {number}"))
        if number % 3 == 0:
            path.with_suffix(".xmp").write_text(XMP.format(f"Adobe's {number}"))
    return read_tree(work / ALBUM)


def sort_trials(album: dict[str, bytes | str]) -> list[KillTrial]:
    """Return the trials of ``facebank sort`` in each mode, and of its undo."""

    def check_album(work: Path) -> str | None:
        if (work / SORTED).exists():
            return f"{SORTED} is still there: {sorted(read_tree(work / SORTED))}"
        return difference(read_tree(work / ALBUM), album)

    def make_sorted_check(*, moved: bool) -> Callable[[Path], str | None]:
        def check(work: Path) -> str | None:
            sorted_files = {Path(name).name: data for name, data in read_tree(work / SORTED).items() if name != JOURNAL}
            fault = difference(sorted_files, {Path(name).name: data for name, data in album.items()})
            return fault or difference(read_tree(work / ALBUM), {} if moved else album)

        return check

    trials, undo = list[KillTrial](), ["sort", SORTED, "--undo"]
    for mode in ("--move", "--copy", "--link"):
        sort = ["sort", ALBUM, SORTED, mode]
        next_runs: Sequence[tuple[Sequence[str], Callable[[Path], str | None]]] = [
            (sort, make_sorted_check(moved=mode == "--move")),
            (undo, check_album),
        ]
        trials.append(KillTrial(f"sort {mode}, then sort and undo", sort, JOURNAL, next_runs))
        trials.append(KillTrial(f"sort {mode}, then undo", sort, JOURNAL, [(undo, check_album)]))
        if mode == "--move":
            name = "sort --move to another disk, then sort and undo"
            trials.append(KillTrial(name, sort, JOURNAL, next_runs, is_on_other_disk=True))
    return trials


def undo_trial(album: dict[str, bytes | str], mode: str, *, is_on_other_disk: bool = False) -> KillTrial:
    """Return the trial of ``facebank sort --undo`` after a sort."""

    def check_album(work: Path) -> str | None:
        return difference(read_tree(work / ALBUM), album)

    undo = ["sort", SORTED, "--undo"]
    name = f"undo of {mode}{' to another disk' if is_on_other_disk else ''}"
    return KillTrial(name, undo, JOURNAL, [(undo, check_album)], [["sort", ALBUM, SORTED, mode]], is_on_other_disk)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, print the counts as one JSON object per line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60, help="number of kills per trial")
    parser.add_argument("--photos", type=int, default=6, help="number of photos in the album")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random kills (default 0)")
    parser.add_argument("--only", default="", help="run only trials whose name contains this text")
    parser.add_argument(
        "--work", type=Path, help="work folder, such as one on another disk; default: a temporary folder"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        outcomes = run(Path(folder), options.kills, options.photos, options.seed, options.only)
    total = Outcome()
    for outcome in outcomes.values():
        total.kills += outcome.kills
        total.hits += outcome.hits
        total.wrong += outcome.wrong
    print(f"{total.kills:,} kills, {total.hits:,} hit the run, {len(total.wrong):,} faults")
    return 1 if total.wrong else 0


def run(folder: Path, kills: int, photos: int, seed: int = 0, only: str = "") -> dict[str, Outcome]:
    """Run the trials in a folder; return the outcomes by name."""
    work = folder / "work"
    album = make_album(work, photos)
    environment = {"FACEBANK_GALLERY": str(work / "test.facebank"), "FACEBANK_CACHE": str(folder / "cache")}
    killer = Killer(work, environment)
    enrollments = [["enroll", "--name", name, str(DEMO_PHOTOS / file_name)] for name, file_name in ENROLLED.items()]
    killer.prepare([*enrollments, ["scan", ALBUM]])
    trials = [*sort_trials(album), *(undo_trial(album, mode) for mode in ("--move", "--copy", "--link"))]
    trials.append(undo_trial(album, "--move", is_on_other_disk=True))
    outcomes = {trial.name: killer.run_trial(trial, kills, seed) for trial in trials if only in trial.name}
    if only in kill_tags.NAME:
        outcomes[kill_tags.NAME] = kill_tags.run_trials(kills, random.Random(seed))
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
