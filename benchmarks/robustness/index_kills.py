"""Robustness of the cached search index against SIGKILL and concurrent processes.

    python -m benchmarks.robustness.index_kills --kills 100 --seconds 60

The gallery has 6,000 synthetic people and two from the demo photos. First `facebank identify` is killed with SIGKILL
while it writes the index (see `benchmarks.robustness.killing`): the next run must return the same names and leave no
incomplete files, and after `people forget` no byte of the person may remain, with the same or another cache folder.
Then processes identify, find, compare, enroll, confirm, merge and list look-alikes while another one enrolls and
forgets a person. Every call must succeed, and no call that begins after `forget` has returned may name the person.
Prints counts as JSON; exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.robustness.killing import Killer, Outcome, Trial
from facebank import FaceBank
from facebank.errors import UsageError
from facebank.gallery import Gallery, NewSample, PackIdentity
from facebank.operations.identify import identified_photo
from facebank.packs import load_pack
from facebank.storage.leftovers import is_leftover_name

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.sharedctypes import SynchronizedArray

    from facebank.types import FloatArray, Photo

DEMO_PHOTOS = Path(__file__).resolve().parents[2] / "facebank" / "demo" / "photos"
PERSON, STAYING = "Barack Obama", "Eileen Collins"
PORTRAIT, SPEECH = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", DEMO_PHOTOS / "barack_obama_speech.jpg"
STAYING_PORTRAIT, JOE = DEMO_PHOTOS / "eileen_collins.jpg", DEMO_PHOTOS / "joe_biden_blue_room.jpg"
GALLERY, ALBUM, CACHE, OTHER_CACHE = "test.facebank", "album", "cache", "elsewhere"
_AT_ONCE = 3_000
_PIECE = 64  # bytes by which an embedding is recognized
_LONGEST = 120.0  # time limit of a process to end, in seconds


def enroll_synthetic(place: Path, people: int) -> None:
    """Enroll people with one random embedding each into a gallery, creating it if missing."""
    pack, generator = load_pack(), np.random.default_rng(0)
    dimension = pack.manifest.embedder.dimension
    box, landmarks = np.array([0, 0, 9, 9], np.float32), np.zeros((5, 2), np.float32)
    with Gallery.open(place, PackIdentity(pack.name, pack.digest, dimension), create=True) as gallery:
        for start in range(0, people, _AT_ONCE):
            rows = generator.standard_normal((min(_AT_ONCE, people - start), dimension)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            groups = [
                (f"Person {number}", [_sample(number, row, box, landmarks)]) for number, row in enumerate(rows, start)
            ]
            gallery.enroll_people(groups)


def _sample(number: int, row: FloatArray, box: FloatArray, landmarks: FloatArray) -> NewSample:
    hashed = f"{number:064x}"
    return NewSample(box, landmarks, 1.0, 0.9, f"{number}.jpg", hashed, 0, None, None, {"plain": row})


@contextmanager
def cache_at(folder: Path) -> Iterator[None]:
    """Set the cache folder of this process."""
    before = os.environ.get("FACEBANK_CACHE")
    os.environ["FACEBANK_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["FACEBANK_CACHE"]
        if before is not None:
            os.environ["FACEBANK_CACHE"] = before


# Kills ----------------------------------------------------------------------------------------------------------


class Checks:
    """Checks after a kill."""

    def __init__(self, work: Path) -> None:
        with Gallery.open(work / GALLERY, read_only=True) as gallery:
            vectors = gallery.vectors_of([sample.id for sample in gallery.samples(PERSON)])
        self._traces = [PERSON.encode(), PERSON.casefold().encode(), *(row.tobytes()[:_PIECE] for row in vectors)]
        self.left = 0

    def count(self, work: Path) -> str | None:
        """Count the incomplete files left by a kill, which are not an error."""
        self.left += len(_leftovers(work))
        return None

    def check_answers(self, work: Path) -> str | None:
        """Return the fault of the answers, or the incomplete files left, or None."""
        output = work.with_name("output.txt").read_text(encoding="utf-8")
        if not (PERSON in output and STAYING in output):
            return f"printed {output}"
        left = _leftovers(work)
        return f"left {left}" if left else None

    def check_forgotten(self, work: Path) -> str | None:
        """Return the files with data of the forgotten person as a fault, or None."""
        files = (path for path in work.rglob("*") if path.is_file() and path.parent.name != ALBUM)
        containing = [str(path.relative_to(work)) for path in files if self._contains_person(path)]
        return f"data of the forgotten person remains in {containing}" if containing else None

    def check_forgotten_elsewhere(self, work: Path) -> str | None:
        """Forget the person with another cache folder, then check as `check_forgotten`."""
        with cache_at(work / OTHER_CACHE), Gallery.open(work / GALLERY) as gallery:
            gallery.forget(PERSON)
        return self.check_forgotten(work)

    def _contains_person(self, path: Path) -> bool:
        data = path.read_bytes()
        return any(piece in data for piece in self._traces)


def _leftovers(work: Path) -> list[str]:
    return sorted(str(path.relative_to(work)) for path in work.rglob("*") if is_leftover_name(path.name))


def kill(folder: Path, kills: int, people: int, seed: int = 0) -> tuple[dict[str, Outcome], int]:
    """Run the kill trials in a folder; return the outcomes by name, and the number of leftovers."""
    work = folder / "work"
    (work / ALBUM).mkdir(parents=True)
    for photo in (SPEECH, STAYING_PORTRAIT):
        shutil.copyfile(photo, work / ALBUM / photo.name)
    enroll_synthetic(work / GALLERY, people)
    places = {"GALLERY": work / GALLERY, "CACHE": work / CACHE, "PACKS": work / "packs"}
    environment = {f"FACEBANK_{name}": str(path) for name, path in places.items()}
    killer = Killer(work, environment | {"FACEBANK_CALIBRATIONS": str(work / "calibrations")})
    with cache_at(work / OTHER_CACHE), FaceBank.open(work / GALLERY) as bank:
        for name, photo in ((PERSON, PORTRAIT), (STAYING, STAYING_PORTRAIT)):
            bank.enroll(name, [photo])
    killer.prepare([])
    checks = Checks(work)
    identify, forget = ["identify", ALBUM], (["people", "forget", PERSON], checks.check_forgotten)
    counted = (["--version"], checks.count)
    trials = [
        Trial(
            "identify, then identify and forget",
            identify,
            "indexes",
            [counted, (identify, checks.check_answers), forget],
        ),
        Trial("identify, then forget", identify, "indexes", [counted, forget]),
        Trial(
            "identify, then forget with another cache",
            identify,
            "indexes",
            [(["--version"], checks.check_forgotten_elsewhere)],
        ),
    ]
    return {trial.name: killer.run_trial(trial, kills, seed) for trial in trials}, checks.left


# Several processes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """Result of a worker process."""

    role: str
    calls: int
    wrong: dict[str, int]  # faults with their counts


class Times:
    """Interval in which the person was last certainly absent: from the return of `forget` to the next enrollment."""

    def __init__(self, shared: SynchronizedArray[float]) -> None:
        self._shared = shared

    def forgotten(self) -> None:
        """Record that `forget` has returned."""
        with self._shared.get_lock():
            self._shared[0], self._shared[1] = time.monotonic(), np.inf

    def enrolling(self) -> None:
        """Record the start of an enrollment."""
        with self._shared.get_lock():
            self._shared[1] = time.monotonic()

    def absent(self) -> tuple[float, float]:
        """Return the start of the last absence."""
        with self._shared.get_lock():
            return self._shared[0], self._shared[1]


def churn(bank: FaceBank, times: Times) -> Callable[[], str | None]:
    """Return a function that enrolls and forgets the person."""

    def once() -> str | None:
        times.enrolling()
        accepted = bank.enroll(PERSON, [PORTRAIT]).accepted
        bank.forget(PERSON)
        times.forgotten()
        return None if accepted == 1 else "not enrolled"

    return once


def naming(names: Callable[[], Sequence[str | None]], times: Times) -> Callable[[], str | None]:
    """Return a function that requests names, and checks that a forgotten person is not among them."""

    def once() -> str | None:
        started = time.monotonic()
        before = times.absent()
        found = names()
        ended = time.monotonic()
        is_absent = before[0] <= started and times.absent()[0] == before[0] and ended < times.absent()[1]
        if STAYING not in found:
            return f"{STAYING} is not named"
        return f"{PERSON} is named" if is_absent and PERSON in found else None

    return once


def naming_roles(bank: FaceBank, photos: Sequence[Photo]) -> dict[str, Callable[[], list[str | None]]]:
    """Return functions that request names, by role; `photos` are analyzed photos."""

    def identified() -> list[str | None]:
        return [face.person for photo in bank.identify([SPEECH, STAYING_PORTRAIT]) for face in photo.faces]

    def of_scan() -> list[str | None]:
        return [face.person for photo in bank.album().identify() for face in photo.faces]

    def found() -> list[str | None]:
        return [STAYING for _ in bank.album().find(STAYING)]

    def lookalikes() -> list[str | None]:
        people = bank.lookalikes(STAYING_PORTRAIT).people
        return [one.person for one in people if one.person == PERSON or one.similarity > 0.9]

    def by_another_bank() -> list[str | None]:
        with FaceBank.open(bank.path) as another:
            gallery = another.gallery
            identified = [identified_photo(photo, gallery, another.identification) for photo in photos]
        return [face.person for photo in identified for face in photo.faces]

    return {
        "identify": identified,
        "identify a scan": of_scan,
        "identify, opened anew": by_another_bank,
        "find": found,
        "look-alikes": lookalikes,
    }


def changing_roles(bank: FaceBank) -> dict[str, Callable[[], str | None]]:
    """Return functions that change the gallery or are refused, by role; each returns a fault or None."""

    def enrolled() -> str | None:
        accepted = bank.enroll("Joe Biden", [JOE], pick="largest").accepted
        bank.gallery.remove_sample(bank.samples("Joe Biden")[0].id)
        return None if accepted == 1 else "not enrolled"

    def confirmed() -> str | None:
        return None if bank.confirm(STAYING_PORTRAIT, STAYING, 1).accepted else "not confirmed"

    def merged() -> str | None:
        try:
            bank.merge("Person 1", "Person 2")
        except UsageError:
            return None
        return "merged"

    return {"enroll": enrolled, "confirm": confirmed, "merge": merged}


def work_of(role: str, bank: FaceBank, photos: Sequence[Photo], times: Times) -> Callable[[], str | None]:
    """Return the function that a worker of a role repeats; it returns a fault or None."""
    named = naming_roles(bank, photos)
    if role in named:
        return naming(named[role], times)
    return churn(bank, times) if role == "churn" else changing_roles(bank)[role]


ROLES = (
    *("churn", "identify", "identify a scan", "identify, opened anew", "identify, opened anew", "find", "look-alikes"),
    *("enroll", "confirm", "merge"),
)


def _process(
    role: str, place: Path, seconds: float, shared: SynchronizedArray[float], results: Queue[WorkerResult]
) -> None:
    calls, wrong = 0, Counter[str]()
    with FaceBank.open(place, threads=1) as bank:
        photos = list(bank.analyze([SPEECH, STAYING_PORTRAIT]))
        once = work_of(role, bank, photos, Times(shared))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            calls += 1
            try:
                why = once()
            except Exception as error:  # noqa: BLE001 - all exceptions are counted
                why = f"{type(error).__name__}: {error}"
            if why is not None:
                wrong[why] += 1
    results.put(WorkerResult(role, calls, dict(wrong)))


def run_workers(folder: Path, seconds: float, people: int, roles: Sequence[str] = ROLES) -> list[WorkerResult]:
    """Run processes of some roles on one gallery; return their results."""
    place = folder / GALLERY
    enroll_synthetic(place, people)
    with FaceBank.open(place) as bank:
        bank.enroll(STAYING, [STAYING_PORTRAIT])
        bank.album().scan([SPEECH, STAYING_PORTRAIT])
    context = get_context("spawn")
    shared, queue = context.Array("d", [np.inf, -np.inf]), context.Queue()
    processes = [context.Process(target=_process, args=(role, place, seconds, shared, queue)) for role in roles]
    for process in processes:
        process.start()
    results = [queue.get(timeout=seconds + _LONGEST) for _ in processes]
    for process in processes:
        process.join()
    return sorted(results, key=lambda each: each.role)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, print the counts as one JSON object per line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of kills per trial; 0 for none")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of concurrent processes; 0 for none")
    parser.add_argument("--people", type=int, default=6_000, help="number of synthetic people in the gallery")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random kills (default 0)")
    options = parser.parse_args(arguments)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.kills:
            outcomes, left = kill(folder / "kills", options.kills, options.people, options.seed)
            for trial, outcome in outcomes.items():
                print(json.dumps({"trial": trial, **asdict(outcome)}), flush=True)
                wrong += len(outcome.wrong)
            print(f"{left:,} incomplete files left by kills", flush=True)
        if options.seconds:
            (folder / "together").mkdir()
            with cache_at(folder / "together" / CACHE):
                processes = run_workers(folder / "together", options.seconds, options.people)
            for each in processes:
                print(json.dumps(asdict(each)), flush=True)
                wrong += sum(each.wrong.values())
    print(f"{wrong:,} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
