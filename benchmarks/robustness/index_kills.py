"""Robustness of the cached search index against SIGKILL and concurrent processes.

    python -m benchmarks.robustness.index_kills --kills 100 --seconds 60

The gallery has 6,000 synthetic people and two from the demo photos. First ``facebank identify`` is killed with SIGKILL
while it writes the index (see `benchmarks.robustness.killer`): the next run must return the same names and leave no
incomplete files, and after ``people forget`` no byte of the person may remain, with the same or another cache folder.
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

from benchmarks.robustness.inputs import DEMO_PHOTOS, OTHER_PERSON, PERSON
from benchmarks.robustness.killer import Killer, KillTrial, Outcome
from benchmarks.robustness.traces import PersonTraces, find_leftovers
from facebank import FaceBank
from facebank.errors import UsageError
from facebank.gallery import Gallery, NewSample, PackIdentity
from facebank.operations.identify import identify_photo
from facebank.packs import load_pack

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.sharedctypes import SynchronizedArray

    from facebank.types import FloatArray, Photo

PORTRAIT, SPEECH = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", DEMO_PHOTOS / "barack_obama_speech.jpg"
OTHER_PORTRAIT, JOE = DEMO_PHOTOS / "eileen_collins.jpg", DEMO_PHOTOS / "joe_biden_blue_room.jpg"
GALLERY, ALBUM, CACHE, OTHER_CACHE = "test.facebank", "album", "cache", "elsewhere"
_BATCH = 3_000
_EXIT_TIMEOUT = 120.0  # seconds


def enroll_synthetic(path: Path, people: int) -> None:
    """Enroll people with one random embedding each into a gallery, creating it if missing."""
    pack, random = load_pack(), np.random.default_rng(0)
    dimension = pack.manifest.embedder.dimension
    box, landmarks = np.array([0, 0, 9, 9], np.float32), np.zeros((5, 2), np.float32)
    with Gallery.open(path, PackIdentity(pack.name, pack.digest, dimension), create=True) as gallery:
        for start in range(0, people, _BATCH):
            rows = random.standard_normal((min(_BATCH, people - start), dimension)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            groups = [
                (f"Person {number}", [_sample(number, row, box, landmarks)]) for number, row in enumerate(rows, start)
            ]
            gallery.enroll_people(groups)


def _sample(number: int, row: FloatArray, box: FloatArray, landmarks: FloatArray) -> NewSample:
    content_hash = f"{number:064x}"
    return NewSample(box, landmarks, 1.0, 0.9, f"{number}.jpg", content_hash, 0, None, None, {"plain": row})


@contextmanager
def use_cache_folder(folder: Path) -> Iterator[None]:
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
        self._traces = PersonTraces(work / GALLERY, PERSON)
        self.leftover_count = 0

    def count(self, work: Path) -> str | None:
        """Count the incomplete files left by a kill, which are not an error."""
        self.leftover_count += len(find_leftovers(work))
        return None

    def check_answers(self, work: Path) -> str | None:
        """Return the wrong output or the incomplete files left as a fault, or None."""
        output = work.with_name("output.txt").read_text(encoding="utf-8")
        if not (PERSON in output and OTHER_PERSON in output):
            return f"printed {output}"
        leftovers = find_leftovers(work)
        return f"left {leftovers}" if leftovers else None

    def check_forgotten(self, work: Path) -> str | None:
        """Return the files with data of the forgotten person as a fault, or None."""
        paths = self._traces.find_files(work, frozenset({ALBUM}))
        return f"data of the forgotten person remains in {paths}" if paths else None

    def check_forgotten_elsewhere(self, work: Path) -> str | None:
        """Forget the person with another cache folder, then check as `check_forgotten`."""
        with use_cache_folder(work / OTHER_CACHE), Gallery.open(work / GALLERY) as gallery:
            gallery.forget(PERSON)
        return self.check_forgotten(work)


def kill(folder: Path, kills: int, people: int, seed: int = 0) -> tuple[dict[str, Outcome], int]:
    """Run the kill trials in a folder; return the outcomes by name, and the number of leftovers."""
    work = folder / "work"
    (work / ALBUM).mkdir(parents=True)
    for path in (SPEECH, OTHER_PORTRAIT):
        shutil.copyfile(path, work / ALBUM / path.name)
    enroll_synthetic(work / GALLERY, people)
    paths = {"GALLERY": work / GALLERY, "CACHE": work / CACHE, "PACKS": work / "packs"}
    environment = {f"FACEBANK_{name}": str(path) for name, path in paths.items()}
    killer = Killer(work, environment | {"FACEBANK_CALIBRATIONS": str(work / "calibrations")})
    with use_cache_folder(work / OTHER_CACHE), FaceBank.open(work / GALLERY) as bank:
        for name, path in ((PERSON, PORTRAIT), (OTHER_PERSON, OTHER_PORTRAIT)):
            bank.enroll(name, [path])
    killer.prepare([])
    checks = Checks(work)
    identify, forget = ["identify", ALBUM], (["people", "forget", PERSON], checks.check_forgotten)
    count_leftovers = (["--version"], checks.count)
    trials = [
        KillTrial(
            "identify, then identify and forget",
            identify,
            "indexes",
            [count_leftovers, (identify, checks.check_answers), forget],
        ),
        KillTrial("identify, then forget", identify, "indexes", [count_leftovers, forget]),
        KillTrial(
            "identify, then forget with another cache",
            identify,
            "indexes",
            [(["--version"], checks.check_forgotten_elsewhere)],
        ),
    ]
    return {trial.name: killer.run_trial(trial, kills, seed) for trial in trials}, checks.leftover_count


# Concurrent processes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """Result of a worker process."""

    role: str
    calls: int
    wrong: dict[str, int]  # faults with their counts


class Absence:
    """Interval in which the person was last certainly absent: from the return of `forget` to the next enrollment."""

    def __init__(self, shared: SynchronizedArray[float]) -> None:
        self._shared = shared

    def begin(self) -> None:
        """Record that `forget` has returned."""
        with self._shared.get_lock():
            self._shared[0], self._shared[1] = time.monotonic(), np.inf

    def end(self) -> None:
        """Record the start of an enrollment."""
        with self._shared.get_lock():
            self._shared[1] = time.monotonic()

    def read(self) -> tuple[float, float]:
        """Return the monotonic times of the start and end of the last absence."""
        with self._shared.get_lock():
            return self._shared[0], self._shared[1]


def make_enroller(bank: FaceBank, absence: Absence) -> Callable[[], str | None]:
    """Return a function that enrolls and forgets the person; it returns a fault or None."""

    def enroll_and_forget() -> str | None:
        absence.end()
        accepted = bank.enroll(PERSON, [PORTRAIT]).accepted
        bank.forget(PERSON)
        absence.begin()
        return None if accepted == 1 else "not enrolled"

    return enroll_and_forget


def check_names(names: Callable[[], Sequence[str | None]], absence: Absence) -> Callable[[], str | None]:
    """Return a function that requests names and returns a fault if a forgotten person is among them."""

    def request_and_check() -> str | None:
        started = time.monotonic()
        begin, _ = absence.read()
        returned = names()
        ended = time.monotonic()
        is_absent = begin <= started and absence.read()[0] == begin and ended < absence.read()[1]
        if OTHER_PERSON not in returned:
            return f"{OTHER_PERSON} is not named"
        return f"{PERSON} is named" if is_absent and PERSON in returned else None

    return request_and_check


def make_readers(bank: FaceBank, photos: Sequence[Photo]) -> dict[str, Callable[[], list[str | None]]]:
    """Return functions that request names, by role; `photos` are analyzed photos."""

    def identify() -> list[str | None]:
        return [face.person for photo in bank.identify([SPEECH, OTHER_PORTRAIT]) for face in photo.faces]

    def identify_scan() -> list[str | None]:
        return [face.person for photo in bank.album().identify() for face in photo.faces]

    def find() -> list[str | None]:
        return [OTHER_PERSON for _ in bank.album().find(OTHER_PERSON)]

    def find_lookalikes() -> list[str | None]:
        people = bank.lookalikes(OTHER_PORTRAIT).people
        return [candidate.person for candidate in people if candidate.person == PERSON or candidate.similarity > 0.9]

    def identify_with_new_bank() -> list[str | None]:
        with FaceBank.open(bank.path) as new_bank:
            gallery = new_bank.gallery
            decided = [identify_photo(photo, gallery, new_bank.identification) for photo in photos]
        return [face.person for photo in decided for face in photo.faces]

    return {
        "identify": identify,
        "identify a scan": identify_scan,
        "identify, opened anew": identify_with_new_bank,
        "find": find,
        "look-alikes": find_lookalikes,
    }


def make_writers(bank: FaceBank) -> dict[str, Callable[[], str | None]]:
    """Return functions that change the gallery or are refused, by role; each returns a fault or None."""

    def enroll() -> str | None:
        accepted = bank.enroll("Joe Biden", [JOE], pick="largest").accepted
        bank.gallery.remove_sample(bank.samples("Joe Biden")[0].id)
        return None if accepted == 1 else "not enrolled"

    def confirm() -> str | None:
        return None if bank.confirm(OTHER_PORTRAIT, OTHER_PERSON, 1).accepted else "not confirmed"

    def merge() -> str | None:
        try:
            bank.merge("Person 1", "Person 2")
        except UsageError:
            return None
        return "merged"

    return {"enroll": enroll, "confirm": confirm, "merge": merge}


def make_operation(role: str, bank: FaceBank, photos: Sequence[Photo], absence: Absence) -> Callable[[], str | None]:
    """Return the function that a worker of a role repeats; it returns a fault or None."""
    readers = make_readers(bank, photos)
    if role in readers:
        return check_names(readers[role], absence)
    return make_enroller(bank, absence) if role == "churn" else make_writers(bank)[role]


ROLES = (
    *("churn", "identify", "identify a scan", "identify, opened anew", "identify, opened anew", "find", "look-alikes"),
    *("enroll", "confirm", "merge"),
)


def _run_worker(
    role: str, gallery: Path, seconds: float, shared: SynchronizedArray[float], results: Queue[WorkerResult]
) -> None:
    calls, wrong = 0, Counter[str]()
    with FaceBank.open(gallery, threads=1) as bank:
        photos = list(bank.analyze([SPEECH, OTHER_PORTRAIT]))
        operation = make_operation(role, bank, photos, Absence(shared))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            calls += 1
            try:
                fault = operation()
            except Exception as error:  # noqa: BLE001 - all exceptions are counted
                fault = f"{type(error).__name__}: {error}"
            if fault is not None:
                wrong[fault] += 1
    results.put(WorkerResult(role, calls, dict(wrong)))


def run_workers(folder: Path, seconds: float, people: int, roles: Sequence[str] = ROLES) -> list[WorkerResult]:
    """Run processes of some roles on one gallery; return their results."""
    gallery = folder / GALLERY
    enroll_synthetic(gallery, people)
    with FaceBank.open(gallery) as bank:
        bank.enroll(OTHER_PERSON, [OTHER_PORTRAIT])
        bank.album().scan([SPEECH, OTHER_PORTRAIT])
    context = get_context("spawn")
    shared, queue = context.Array("d", [np.inf, -np.inf]), context.Queue()
    processes = [context.Process(target=_run_worker, args=(role, gallery, seconds, shared, queue)) for role in roles]
    for process in processes:
        process.start()
    results = [queue.get(timeout=seconds + _EXIT_TIMEOUT) for _ in processes]
    for process in processes:
        process.join()
    return sorted(results, key=lambda result: result.role)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, print the counts as one JSON object per line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of kills per trial; 0 for none")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of concurrent processes; 0 for none")
    parser.add_argument("--people", type=int, default=6_000, help="number of synthetic people in the gallery")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random kills (default 0)")
    options = parser.parse_args(arguments)
    fault_count = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.kills:
            outcomes, leftover_count = kill(folder / "kills", options.kills, options.people, options.seed)
            for trial, outcome in outcomes.items():
                print(json.dumps({"trial": trial, **asdict(outcome)}), flush=True)
                fault_count += len(outcome.wrong)
            print(f"{leftover_count:,} incomplete files left by kills", flush=True)
        if options.seconds:
            (folder / "together").mkdir()
            with use_cache_folder(folder / "together" / CACHE):
                results = run_workers(folder / "together", options.seconds, options.people)
            for result in results:
                print(json.dumps(asdict(result)), flush=True)
                fault_count += sum(result.wrong.values())
    print(f"{fault_count:,} faults")
    return 1 if fault_count else 0


if __name__ == "__main__":
    sys.exit(main())
