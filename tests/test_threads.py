"""A bank used by many threads: results equal those of a single thread, and no change is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest

from facebank import FaceBank, read_photo
from facebank.album.album import Album
from facebank.errors import ClosedError
from facebank.gallery import FaceKey, inspect_gallery
from facebank.types import Photo

PROJECT = Path(__file__).resolve().parent.parent
FORKED = Path(__file__).with_name("forked_bank.py")
THREADS = 16
DEMO_PHOTOS = PROJECT / "facebank" / "demo" / "photos"


@pytest.fixture(scope="module")
def probes(shared: Path) -> list[Path]:
    folder = shared / "data" / "photos" / "probe"
    names = ("alex_lacamoire1", "johnsnow_test1", "kit_with_rose", "obama1", "obama_and_biden", "two_people")
    return [folder / f"{name}.jpg" for name in names]


@pytest.fixture(scope="module")
def people(shared: Path) -> dict[str, list[Path]]:
    """Photos of sixteen people: those of the album, and others with one photo each."""
    album = sorted((shared / "data" / "photos" / "enrol").iterdir())
    others = [folder for folder in sorted((shared / "data" / "lfw").iterdir()) if len(list(folder.iterdir())) > 2]
    folders = [*album, *others[: THREADS - len(album)]]
    return {folder.name: sorted(folder.iterdir())[: 2 if folder in album else 1] for folder in folders}


@pytest.fixture(scope="module")
def guests(shared: Path) -> list[Path]:
    """One photo each of sixteen other people."""
    folders = sorted((shared / "data" / "lfw").iterdir(), reverse=True)
    return [min(folder.iterdir()) for folder in folders[:THREADS]]


@pytest.fixture(scope="module")
def filled(people: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "album.facebank"
    with FaceBank.open(path, device="cpu", threads=1) as bank:
        for name, photos in list(people.items())[:5]:
            bank.enroll(name, photos)
    return path


@pytest.fixture(scope="module")
def expected(filled: Path, probes: list[Path]) -> list[object]:
    """Results of a single thread for each photo."""
    with FaceBank.open(filled, device="cpu", threads=1) as bank:
        return [exactly(photo) for probe in probes for photo in bank.identify(probe)]


def exactly(photo: Photo) -> object:
    """Return a result in exactly comparable form."""
    return photo.path, [(face.embedding.tobytes(), face.box.tobytes(), repr(face.decision)) for face in photo.faces]


def content(bank: FaceBank, guests: list[Path]) -> object:
    """Return the content of a gallery without its numbers."""
    gallery = bank.gallery
    with gallery.snapshot():
        table, names = gallery.vectors(masked=None), gallery.names()
        samples = {sample.id: sample for name in names.values() for sample in gallery.samples(name)}
        kept = sorted(
            (names[person], samples[number].content_hash, vector.tobytes(), gallery.thumbnail(number))
            for person, number, vector in zip(
                table.person_ids.tolist(), table.sample_ids.tolist(), table.matrix, strict=True
            )
        )
    denied = []
    for guest in guests:
        (analyzed,) = bank.engine.analyzer.analyze([read_photo(guest)])
        denied.append(
            {names[person] for person in gallery.denials_of(FaceKey.from_analysis(analyzed, analyzed.faces[0]))}
        )
    return kept, denied, {person.name: person.sample_count for person in gallery.people()}


def change_and_ask(bank: FaceBank, name: str, photos: list[Path], guest: Path, probe: Path) -> object:
    """Run many operations; return the results that do not depend on other threads."""
    report = bank.enroll(name, photos, force=True)
    bank.enroll(f"guest of {name}", guest, pick="largest", force=True)
    denial = bank.deny(guest, name, 1)
    (asked,) = bank.identify(probe)
    listed = {person.name for person in bank.gallery.people()}
    forgotten = bank.gallery.forget(f"guest of {name}")
    return (
        [(photo.accepted, str(photo.reason)) for photo in report.photos],
        str(denial.reason),
        [face.embedding.tobytes() for face in asked.faces],
        {name, f"guest of {name}"} <= listed,
        forgotten.samples,
    )


def test_sixteen_threads_change_and_query(
    people: dict[str, list[Path]], guests: list[Path], probes: list[Path], tmp_path: Path
) -> None:
    tasks = [
        (name, photos, guest, probes[number % len(probes)])
        for number, ((name, photos), guest) in enumerate(zip(people.items(), guests, strict=True))
    ]
    with FaceBank.open(tmp_path / "single.facebank", device="cpu", threads=1) as single:
        one_by_one = [change_and_ask(single, *task) for task in tasks]
        wanted = content(single, guests)
    with (
        FaceBank.open(tmp_path / "many.facebank", device="cpu", threads=1) as bank,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        assert list(pool.map(lambda task: change_and_ask(bank, *task), tasks)) == one_by_one
        assert content(bank, guests) == wanted
        at_once = list(pool.map(lambda probe: [exactly(photo) for photo in bank.identify(probe)], probes))
    assert inspect_gallery(bank.path).problems == ()
    with FaceBank.open(bank.path, device="cpu", threads=1) as again:
        assert [[exactly(photo) for photo in again.identify(probe)] for probe in probes] == at_once


def test_sixteen_threads_share_networks_of_several_threads(filled: Path, probes: list[Path]) -> None:
    with FaceBank.open(filled, device="cpu", threads=2) as bank, ThreadPoolExecutor(THREADS) as pool:
        expected = [exactly(photo) for probe in probes for photo in bank.identify(probe)]
        asked = [pool.submit(lambda probe: list(bank.identify(probe)), probe) for probe in probes * 3]
        assert [exactly(photo) for done in asked for photo in done.result()] == expected * 3


def test_asyncio_to_thread(filled: Path, probes: list[Path], expected: list[object]) -> None:
    async def ask(bank: FaceBank) -> list[object]:
        answers = await asyncio.gather(
            *(asyncio.to_thread(lambda probe: list(bank.identify(probe)), probe) for probe in probes)
        )
        return [exactly(photo) for answer in answers for photo in answer]

    with FaceBank.open(filled, device="cpu", threads=1) as bank:
        assert asyncio.run(ask(bank)) == expected


def test_an_iterator_continues_in_other_threads(filled: Path, probes: list[Path]) -> None:
    with FaceBank.open(filled, device="cpu", threads=1) as bank:
        expected = [exactly(photo) for photo in bank.identify(probes)]
        photos = bank.identify(probes)
        found = []
        for _ in probes:
            with ThreadPoolExecutor(1) as pool:  # each photo in a thread of its own
                found.append(exactly(pool.submit(next, photos).result()))
    assert found == expected


def test_closing_a_bank_applies_to_all_threads(filled: Path, probes: list[Path]) -> None:
    bank = FaceBank.open(filled, device="cpu", threads=1)
    photos = [read_photo(probe) for probe in probes]
    answered = threading.Semaphore(0)

    def ask(number: int) -> None:
        while True:
            for _ in bank.identify(photos[number % len(photos)]):
                answered.release()

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        for _ in range(4):
            answered.acquire()
        pool_of_one = ThreadPoolExecutor(1)
        pool_of_one.submit(bank.close).result(timeout=60)
        pool_of_one.shutdown()
        errors = [done.exception() for done in as_completed(asking, timeout=60)]
    assert [type(error) for error in errors] == [ClosedError] * 4
    bank.close()
    for use in (lambda: bank.gallery, lambda: list(bank.identify(probes)), lambda: bank.enroll("Ada", probes)):
        with pytest.raises(ClosedError, match="was closed: open it again"):
            use()


def test_sixteen_threads_query_an_album(filled: Path, probes: list[Path], tmp_path: Path) -> None:
    scan = tmp_path / "album.scan"
    with FaceBank.open(filled, device="cpu", threads=1) as bank, Album(bank, scan) as album:
        album.scan(probes)
        single = [exactly(photo) for photo in album.identify()]
        found = album.find(["obama"])
        with ThreadPoolExecutor(THREADS) as pool:
            asked = [pool.submit(lambda: [exactly(photo) for photo in album.identify()]) for _ in range(THREADS)]
            sought = [pool.submit(album.find, ["obama"]) for _ in range(THREADS)]
            rescans = [pool.submit(lambda: Album(bank, tmp_path / "other.scan").scan(probes[:1]))]
            assert all(done.result() == single for done in asked)
            assert all(len(done.result()) == len(found) for done in sought)
            assert rescans[0].result().looked_at == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("how", ["fork", "exit", "busy", "pool"])
def test_a_bank_is_usable_after_a_fork(how: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FORKED), how, str(tmp_path / "family.facebank"), str(DEMO_PHOTOS)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "same\n")
    assert inspect_gallery(tmp_path / "family.facebank").problems == ()
