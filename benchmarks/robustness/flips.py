"""Robustness of facebank's files against single flipped bits.

    python -m benchmarks.robustness.flips                        # 2,000 random and 2,000 aimed flips of each file
    python -m benchmarks.robustness.flips --flips 100 --only scan --json

Random flips hit any byte of the file, aimed ones a byte in the rows of a table or index. After each flip, all queries
that affect decisions are repeated in a new process, and one of these outcomes is counted:

same      the answers are unchanged
noticed   a facebank error reports the damage
silent    different answers without an error: must be 0
crashed   another exception, or the process died: must be 0
hung      no answer within ``--limit`` seconds: must be 0

Prints a line (with ``--json``: an object) per file and kind of flips; exits with 1 if a count that must be 0 is not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.robustness.inputs import DEMO_PHOTOS, ENROLLED
from facebank import FaceBank
from facebank.album.album import Album
from facebank.errors import FacebankError
from facebank.gallery import Gallery
from facebank.operations.engine import Engine
from facebank.operations.identify import identify_photo, prepare_identification
from facebank.operations.inputs import analyze_readable
from facebank.recognition.settings import DecisionSettings, change_setting
from facebank.types import AnalyzedPhoto, Photo

PEOPLE = {
    name: DEMO_PHOTOS / file_name for name, file_name in {**ENROLLED, "Joe Biden": "joe_biden_blue_room.jpg"}.items()
}
OUTCOMES = ("same", "noticed", "silent", "crashed", "hung")
FAILURES = OUTCOMES[2:]
LIMIT = 60.0
"""Time limit of the queries in seconds; intact files take less than one."""

_POLL_SECONDS = 0.002
_PAGES_WITH_CELLS = (0x02, 0x05, 0x0A, 0x0D)  # types of SQLite's pages: interior and leaf, index and table


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file to damage, and its queries.

    Attributes
    ----------
    path
        The file.
    query
        Runs all queries and returns the answers.
    """

    path: Path
    query: Callable[[], Any]


def make_gallery(folder: Path) -> DamagedFile:
    """Return a gallery with three people, a denied face and a stranger, queried with all five photos."""
    path = folder / "family.facebank"
    with FaceBank.open(path, threads=1) as bank:
        _enroll_everybody(bank)
        bank.gallery.describe("Barack Obama", born="1961-08-04", note="of Honolulu")
        bank.deny(DEMO_PHOTOS / "barack_obama_speech.jpg", "Joe Biden")
        bank.deny_everybody(DEMO_PHOTOS / "barack_obama_blue_room.jpg")
        change_setting(bank.gallery, "fpir", "0.01")
        engine = bank.engine
        probes = [
            photo.without_pixels
            for photo in analyze_readable(engine, sorted(DEMO_PHOTOS.glob("*.jpg")))
            if isinstance(photo, AnalyzedPhoto)
        ]
    return DamagedFile(path, partial(query_gallery, path, engine, probes))


def _enroll_everybody(bank: FaceBank) -> None:
    for person, path in PEOPLE.items():
        bank.enroll(person, path)


def query_gallery(path: Path, engine: Engine, probes: Sequence[Photo]) -> Any:
    """Return the decisions on some photos, and the enrolled people with their samples."""
    with Gallery.open(path, engine.identity) as gallery:
        identification = prepare_identification(gallery, engine, DecisionSettings.from_gallery(gallery))
        photos = [_summarize(identify_photo(probe, gallery, lambda: identification)) for probe in probes]
        people = gallery.people()
        samples = {person.name: repr(gallery.samples(person.name)) for person in people}
        thumbnails = [gallery.thumbnail(sample.id) for person in people for sample in gallery.samples(person.name)]
        embeddings = gallery.vectors().matrix.tobytes()
        return photos, people, samples, thumbnails, embeddings, repr(gallery.stranger_faces())


def make_scan(folder: Path) -> DamagedFile:
    """Return a scan of a few photos, including groups of unnamed people, queried with a gallery of three people."""
    path = folder / "family.facebank"
    with FaceBank.open(path, threads=1) as bank:
        _enroll_everybody(bank)
    for number in range(3):
        (folder / f"{number}").mkdir()
        for demo_path in DEMO_PHOTOS.glob("*.jpg"):
            (folder / f"{number}" / demo_path.name).write_bytes(demo_path.read_bytes() + bytes(number))
    (folder / "0" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    bank = FaceBank.open(path, threads=1)
    with Album(bank) as album:
        album.scan([folder / "0", folder / "1", folder / "2"])
    other_bank = FaceBank.open(folder / "other.facebank", threads=1)
    other_bank.enroll("Eileen Collins", PEOPLE["Eileen Collins"])
    with Album(other_bank, path.with_suffix(".scan")) as album:
        album.cluster()
        album.tell_apart("1.1", "2.1")
    return DamagedFile(path.with_suffix(".scan"), partial(query_scan, bank, folder))


def query_scan(bank: FaceBank, folder: Path) -> Any:
    """Return the people by photo, and the answers of all other queries of a scan."""
    with Album(bank) as album:
        scan_file = album.scan_file
        table = scan_file.face_table()
        return (
            [_summarize(photo) for photo in album.identify()],
            [_summarize(photo) for photo in album.identify([folder / "1"])],
            [(photo.path, str(photo.taken_at)) for photo in album.find(["Barack Obama"])],
            [(group.number, group.faces, group.photos, str(group.first_taken)) for group in album.groups()],
            scan_file.told_apart(),
            scan_file.files(str(folder)),
            scan_file.unreadable(str(folder)),
            scan_file.count(),
            [scan_file.locate_face(face)[0].path for faces in scan_file.groups().values() for face in faces],
            (table.face_ids.tolist(), table.photo_ids.tolist(), table.embeddings.tobytes(), table.qualities.tobytes()),
        )


def _summarize(photo: Any) -> Any:
    faces = [(repr(face.identity), repr(face.assessment), face.box.tobytes()) for face in photo.faces]
    return (photo.path, photo.width, photo.height, photo.quarter_turns, faces)


SUBJECTS: dict[str, Callable[[Path], DamagedFile]] = {"gallery": make_gallery, "scan": make_scan}


def flip(subject: DamagedFile, flips: int, seed: int, *, aimed: bool, limit: float = LIMIT) -> Counter[str]:
    """Flip bits of a file one at a time, and count the outcomes.

    Parameters
    ----------
    subject
        The file and its queries.
    flips
        Number of bits to flip, each in an intact copy.
    seed
        Seed of the choice of bits.
    aimed
        Whether to flip bits of rows only.
    limit
        Seconds after which the queries count as hung.
    """
    content, expected, counts = subject.path.read_bytes(), subject.query(), Counter[str]()
    random = Random(seed)
    offsets = list(bytes_of_rows(content)) if aimed else range(len(content))
    try:
        for _ in range(flips):
            offset, bit = random.choice(offsets), random.randrange(8)
            damaged = bytearray(content)
            damaged[offset] ^= 1 << bit
            subject.path.write_bytes(damaged)
            outcome = run_queries(subject, expected, limit)
            if outcome in FAILURES:
                print(f"byte {offset}, bit {bit}: {outcome}", file=sys.stderr)
            counts[outcome] += 1
            for suffix in ("-wal", "-shm", "-journal", "-queue"):
                subject.path.with_name(subject.path.name + suffix).unlink(missing_ok=True)
    finally:
        subject.path.write_bytes(content)
    return counts


def run_queries(subject: DamagedFile, expected: Any, limit: float) -> str:
    """Run the queries in a forked process, and return the outcome."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warns of forking with threads, which the child does not use
        child = os.fork()
    if not child:
        outcome = OUTCOMES.index("crashed")
        try:
            outcome = OUTCOMES.index("same" if subject.query() == expected else "silent")
        except FacebankError:
            outcome = OUTCOMES.index("noticed")
        except BaseException:  # noqa: BLE001 - all exceptions are outcomes
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(outcome)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return OUTCOMES[code] if 0 <= code < len(OUTCOMES) else "crashed"
        time.sleep(_POLL_SECONDS)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def bytes_of_rows(content: bytes) -> Iterator[int]:
    """Yield the offsets of an SQLite file's bytes that belong to rows: the cells of all pages except the schema's."""
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size
    for start in range(size, len(content), size):
        if content[start] in _PAGES_WITH_CELLS:
            first = int.from_bytes(content[start + 5 : start + 7], "big") or 65536
            yield from range(start + first, start + size)


def main(options: Sequence[str] | None = None) -> int:
    """Run the trials, print the counts, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=2000, help="number of flips of each kind in each file")
    parser.add_argument("--only", choices=sorted(SUBJECTS), action="append", help="files to damage; default: all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random flips (default 0)")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, metavar="SECONDS", help="time after which the queries count as hung"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    arguments = parser.parse_args(options)
    failed = False
    for name in arguments.only or sorted(SUBJECTS):
        folder = Path(tempfile.mkdtemp(prefix="facebank-flips-"))
        try:
            subject = SUBJECTS[name](folder)
            for aimed in (False, True):
                counts = flip(subject, arguments.flips, arguments.seed, aimed=aimed, limit=arguments.limit)
                kind, size = "aimed" if aimed else "random", subject.path.stat().st_size
                if arguments.json:
                    record = {"file": name, "kind": kind, "flips": arguments.flips, "bytes": size}
                    print(json.dumps(record | {outcome: counts[outcome] for outcome in OUTCOMES}), flush=True)
                else:
                    outcomes = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES)
                    print(f"{name}, {arguments.flips:,} {kind} flips in {size:,} bytes: {outcomes}", flush=True)
                failed |= any(counts[outcome] for outcome in FAILURES)
        finally:
            shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
