"""Incomplete files left by facebank commands after SIGKILL, and their removal by the next run.

    python -m benchmarks.robustness.leftovers --kills 40

Each trial repeatedly kills one command that writes files (see `benchmarks.robustness.killer`), counts the incomplete
files, runs the same command again and counts once more: none may be left. Then a person is forgotten: no byte of the
name or the embeddings may remain, except in complete files that the user requested. Exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED, PERSON, copy_embedded_pack
from benchmarks.robustness.killer import Killer, KillTrial, Outcome
from benchmarks.robustness.traces import PersonTraces, find_leftovers

ALBUM, NEW_PHOTOS, REQUESTED = "album", "more", "requested"
_PART = ".facebank-"


class _Command(NamedTuple):
    """A command to kill."""

    name: str
    arguments: list[str]
    start_file: str  # part of the name of the file whose opening starts the interval of kills
    next_arguments: list[str]  # of the next run; empty if the same


class LeftoverCounter:
    """Counts incomplete files after kills and after the following runs."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.left_by_kills = self.left_by_next_runs = 0
        self._traces = PersonTraces(work / "test.facebank", PERSON)

    def count(self, _: Path) -> str | None:
        """Count the incomplete files left by a kill, which are not an error."""
        self.left_by_kills += len(find_leftovers(self._work))
        return None

    def check_leftovers(self, _: Path) -> str | None:
        """Return the incomplete files left by the next run as a fault, or None."""
        leftovers = find_leftovers(self._work)
        self.left_by_next_runs += len(leftovers)
        return f"left {leftovers}" if leftovers else None

    def check_forgotten(self, work: Path) -> str | None:
        """Return the files with data of a forgotten person, except requested ones, as a fault, or None."""
        paths = self._traces.find_files(work, frozenset({REQUESTED, ALBUM, NEW_PHOTOS}))
        return f"data of the forgotten person remains in {paths}" if paths else self.check_leftovers(work)


def trials(counter: LeftoverCounter) -> list[KillTrial]:
    """Return the trials, one per command."""
    portrait, speech = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", DEMO_PHOTOS / "barack_obama_speech.jpg"
    commands = [
        _Command(
            "people export", ["people", "export", f"{REQUESTED}/one"], _PART, ["people", "export", f"{REQUESTED}/two"]
        ),
        _Command("identify --annotate", ["identify", ALBUM, "--annotate", f"{REQUESTED}/drawn"], _PART, []),
        _Command("explain", ["explain", str(portrait), str(speech), "--out", f"{REQUESTED}/why.png"], _PART, []),
        _Command("cluster", ["cluster", "--out", f"{REQUESTED}/groups.html"], _PART, []),
        _Command("tags write", ["tags", "write", ALBUM], _PART, []),
        _Command("tags write --embed", ["tags", "write", ALBUM, "--embed"], _PART, []),
        _Command("packs add", ["packs", "add", "mine"], _PART, []),
        _Command("scan", ["scan", NEW_PHOTOS], NEW_PHOTOS, []),
        _Command("identify, fitting a classifier", ["identify", str(speech), "--classifier", "svm"], _PART, []),
        _Command("enroll", ["enroll", "--name", "Ada", str(speech), "--force"], "test.facebank", []),
    ]
    forget = ["people", "forget", PERSON]
    result = list[KillTrial]()
    for name, command, start_file, next_arguments in commands:
        checks: list[tuple[list[str], Callable[[Path], str | None]]] = [
            (["--version"], counter.count),
            (next_arguments or command, counter.check_leftovers),
            (forget, counter.check_forgotten),
        ]
        result.append(KillTrial(name, command, start_file, checks))
        result.append(KillTrial(f"{name}, forget at once", command, start_file, [(forget, counter.check_forgotten)]))
    return result


def make_album(work: Path) -> None:
    """Create an album with two photos of a stranger, and a pack to add."""
    (work / ALBUM).mkdir(parents=True)
    (work / REQUESTED).mkdir()
    for number, name in enumerate(("joe_biden_blue_room.jpg", "joe_biden_blue_room.jpg", "barack_obama_speech.jpg")):
        shutil.copyfile(DEMO_PHOTOS / name, work / ALBUM / f"{number}.jpg")
    with (work / ALBUM / "1.jpg").open("ab") as file:
        file.write(b"\0")  # another file with the same face
    (work / NEW_PHOTOS).mkdir()
    shutil.copyfile(DEMO_PHOTOS / "barack_obama_blue_room.jpg", work / NEW_PHOTOS / "3.jpg")
    copy_embedded_pack(work / "mine", "mine")


def run(folder: Path, kills: int, seed: int = 0, only: str = "") -> tuple[dict[str, Outcome], dict[str, int]]:
    """Run the trials in a folder; return the outcomes by name, and the number of leftovers."""
    work = folder / "work"
    make_album(work)
    paths = {"GALLERY": work / "test.facebank", "CACHE": work / "cache", "PACKS": work / "packs"}
    environment = {f"FACEBANK_{name}": str(path) for name, path in paths.items()}
    environment |= {"FACEBANK_CALIBRATIONS": str(work / "calibrations"), "HOME": str(folder / "home")}
    killer = Killer(work, environment)
    enrollments = [["enroll", "--name", name, str(DEMO_PHOTOS / file_name)] for name, file_name in ENROLLED.items()]
    killer.prepare([*enrollments, ["scan", ALBUM]])
    counter = LeftoverCounter(work)
    chosen = filter(lambda trial: only in trial.name, trials(counter))
    outcomes = {trial.name: killer.run_trial(trial, kills, seed) for trial in chosen}
    return outcomes, {"left by kills": counter.left_by_kills, "left by the next runs": counter.left_by_next_runs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, print the counts as one JSON object per line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of kills per trial")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random kills (default 0)")
    parser.add_argument("--only", default="", help="run only trials whose name contains this text")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        outcomes, counts = run(Path(folder), options.kills, options.seed, options.only)
    for name, outcome in outcomes.items():
        print(json.dumps({"trial": name, **asdict(outcome)}), flush=True)
    wrong = sum(len(outcome.wrong) for outcome in outcomes.values())
    kills, hits = (sum(getattr(outcome, name) for outcome in outcomes.values()) for name in ("kills", "hits"))
    leftovers = ", ".join(f"{count:,} {origin}" for origin, count in counts.items())
    print(f"{kills:,} kills, {hits:,} hit the run, {leftovers}, {wrong:,} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
