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
from tests.demo_photos import DEMO_PHOTOS

PROJECT = Path(__file__).resolve().parent.parent
SCRIPT = Path(__file__).with_name("fork_script.py")
THREADS = 16


@pytest.fixture(scope="module")
def probe_paths(shared: Path) -> list[Path]:
    folder = shared / "data" / "photos" / "probe"
    names = ("alex_lacamoire1", "johnsnow_test1", "kit_with_rose", "obama1", "obama_and_biden", "two_people")
    return [folder / f"{name}.jpg" for name in names]


@pytest.fixture(scope="module")
def people(shared: Path) -> dict[str, list[Path]]:
    """Paths of photos of sixteen people: two each of the enrolled ones, and one each of others."""
    enrolled = sorted((shared / "data" / "photos" / "enrol").iterdir())
    others = [folder for folder in sorted((shared / "data" / "lfw").iterdir()) if len(list(folder.iterdir())) > 2]
    folders = [*enrolled, *others[: THREADS - len(enrolled)]]
    return {folder.name: sorted(folder.iterdir())[: 2 if folder in enrolled else 1] for folder in folders}


@pytest.fixture(scope="module")
def guest_paths(shared: Path) -> list[Path]:
    """Paths of one photo each of sixteen other people."""
    folders = sorted((shared / "data" / "lfw").iterdir(), reverse=True)
    return [min(folder.iterdir()) for folder in folders[:THREADS]]


@pytest.fixture(scope="module")
def gallery_path(people: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "album.facebank"
    with FaceBank.open(path, device="cpu", threads=1) as bank:
        for name, paths in list(people.items())[:5]:
            bank.enroll(name, paths)
    return path


@pytest.fixture(scope="module")
def expected(gallery_path: Path, probe_paths: list[Path]) -> list[object]:
    """Results of a single thread for each photo."""
    with FaceBank.open(gallery_path, device="cpu", threads=1) as bank:
        return [to_comparable(photo) for path in probe_paths for photo in bank.identify(path)]


def to_comparable(photo: Photo) -> object:
    """Return a result in exactly comparable form."""
    return photo.path, [(face.embedding.tobytes(), face.box.tobytes(), repr(face.decision)) for face in photo.faces]


def read_content(bank: FaceBank, guest_paths: list[Path]) -> object:
    """Return the content of a gallery without its IDs."""
    gallery = bank.gallery
    with gallery.snapshot():
        table, names = gallery.vectors(masked=None), gallery.names()
        samples = {sample.id: sample for name in names.values() for sample in gallery.samples(name)}
        samples_of_people = sorted(
            (names[person_id], samples[sample_id].content_hash, embedding.tobytes(), gallery.thumbnail(sample_id))
            for person_id, sample_id, embedding in zip(
                table.person_ids.tolist(), table.sample_ids.tolist(), table.matrix, strict=True
            )
        )
    denied = []
    for path in guest_paths:
        (analyzed,) = bank.engine.analyzer.analyze([read_photo(path)])
        denied.append(
            {names[person] for person in gallery.denials_of(FaceKey.from_analysis(analyzed, analyzed.faces[0]))}
        )
    return samples_of_people, denied, {person.name: person.sample_count for person in gallery.people()}


def change_and_query(bank: FaceBank, name: str, paths: list[Path], guest_path: Path, probe_path: Path) -> object:
    """Run many operations; return the results that do not depend on other threads."""
    report = bank.enroll(name, paths, force=True)
    bank.enroll(f"guest of {name}", guest_path, pick="largest", force=True)
    denial = bank.deny(guest_path, name, 1)
    (photo,) = bank.identify(probe_path)
    listed = {person.name for person in bank.gallery.people()}
    forgotten = bank.gallery.forget(f"guest of {name}")
    return (
        [(enrolled.accepted, str(enrolled.reason)) for enrolled in report.photos],
        str(denial.reason),
        [face.embedding.tobytes() for face in photo.faces],
        {name, f"guest of {name}"} <= listed,
        forgotten.sample_count,
    )


def test_results_of_sixteen_threads_equal_those_of_one(
    people: dict[str, list[Path]], guest_paths: list[Path], probe_paths: list[Path], tmp_path: Path
) -> None:
    tasks = [
        (name, paths, guest_path, probe_paths[number % len(probe_paths)])
        for number, ((name, paths), guest_path) in enumerate(zip(people.items(), guest_paths, strict=True))
    ]
    with FaceBank.open(tmp_path / "single.facebank", device="cpu", threads=1) as single:
        expected_results = [change_and_query(single, *task) for task in tasks]
        expected_content = read_content(single, guest_paths)
    with (
        FaceBank.open(tmp_path / "many.facebank", device="cpu", threads=1) as bank,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        assert list(pool.map(lambda task: change_and_query(bank, *task), tasks)) == expected_results
        assert read_content(bank, guest_paths) == expected_content
        concurrent = list(pool.map(lambda path: [to_comparable(photo) for photo in bank.identify(path)], probe_paths))
    assert inspect_gallery(bank.path).problems == ()
    with FaceBank.open(bank.path, device="cpu", threads=1) as reopened:
        assert [[to_comparable(photo) for photo in reopened.identify(path)] for path in probe_paths] == concurrent


def test_sixteen_threads_share_networks_of_several_threads(gallery_path: Path, probe_paths: list[Path]) -> None:
    with FaceBank.open(gallery_path, device="cpu", threads=2) as bank, ThreadPoolExecutor(THREADS) as pool:
        expected = [to_comparable(photo) for path in probe_paths for photo in bank.identify(path)]
        futures = [pool.submit(lambda path: list(bank.identify(path)), path) for path in probe_paths * 3]
        assert [to_comparable(photo) for future in futures for photo in future.result()] == expected * 3


def test_a_bank_is_used_by_threads_of_asyncio(
    gallery_path: Path, probe_paths: list[Path], expected: list[object]
) -> None:
    async def query(bank: FaceBank) -> list[object]:
        results = await asyncio.gather(
            *(asyncio.to_thread(lambda path: list(bank.identify(path)), path) for path in probe_paths)
        )
        return [to_comparable(photo) for photos in results for photo in photos]

    with FaceBank.open(gallery_path, device="cpu", threads=1) as bank:
        assert asyncio.run(query(bank)) == expected


def test_an_iterator_continues_in_other_threads(gallery_path: Path, probe_paths: list[Path]) -> None:
    with FaceBank.open(gallery_path, device="cpu", threads=1) as bank:
        expected = [to_comparable(photo) for photo in bank.identify(probe_paths)]
        photos = bank.identify(probe_paths)
        results = []
        for _ in probe_paths:
            with ThreadPoolExecutor(1) as pool:  # another thread for each photo
                results.append(to_comparable(pool.submit(next, photos).result()))
    assert results == expected


def test_a_closed_bank_raises_in_all_threads(gallery_path: Path, probe_paths: list[Path]) -> None:
    bank = FaceBank.open(gallery_path, device="cpu", threads=1)
    photos = [read_photo(path) for path in probe_paths]
    identified = threading.Semaphore(0)

    def query(number: int) -> None:
        while True:
            for _ in bank.identify(photos[number % len(photos)]):
                identified.release()

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(query, number) for number in range(4)]
        for _ in range(4):
            identified.acquire()
        closing_pool = ThreadPoolExecutor(1)
        closing_pool.submit(bank.close).result(timeout=60)
        closing_pool.shutdown()
        errors = [future.exception() for future in as_completed(futures, timeout=60)]
    assert [type(error) for error in errors] == [ClosedError] * 4
    bank.close()
    for use in (
        lambda: bank.gallery,
        lambda: list(bank.identify(probe_paths)),
        lambda: bank.enroll("Ada", probe_paths),
    ):
        with pytest.raises(ClosedError, match="was closed: open it again"):
            use()


def test_sixteen_threads_query_an_album(gallery_path: Path, probe_paths: list[Path], tmp_path: Path) -> None:
    scan_path = tmp_path / "album.scan"
    with FaceBank.open(gallery_path, device="cpu", threads=1) as bank, Album(bank, scan_path) as album:
        album.scan(probe_paths)
        single = [to_comparable(photo) for photo in album.identify()]
        photos = album.find(["obama"])
        with ThreadPoolExecutor(THREADS) as pool:
            futures = [
                pool.submit(lambda: [to_comparable(photo) for photo in album.identify()]) for _ in range(THREADS)
            ]
            searches = [pool.submit(album.find, ["obama"]) for _ in range(THREADS)]
            other_scan = pool.submit(lambda: Album(bank, tmp_path / "other.scan").scan(probe_paths[:1]))
            assert all(future.result() == single for future in futures)
            assert all(len(future.result()) == len(photos) for future in searches)
            assert other_scan.result().analyzed == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("mode", ["fork", "exit", "busy", "pool"])
def test_a_bank_is_usable_after_a_fork(mode: str, tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), mode, str(tmp_path / "family.facebank"), str(DEMO_PHOTOS)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
    )
    assert (process.returncode, process.stderr, process.stdout) == (0, "", "same\n")
    assert inspect_gallery(tmp_path / "family.facebank").problems == ()
