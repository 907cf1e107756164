"""Several threads using one gallery, and forked processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import ClosedError, GalleryBusyError
from facebank.gallery import Gallery, inspect_gallery, repair_gallery
from facebank.gallery.store import file
from facebank.index.gallery_index import open_index
from facebank.storage.connections import is_open_here

from .conftest import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gallery.conftest import FaceFactory

THREADS = 16
SCRIPT = Path(__file__).with_name("fork_script.py")


@pytest.fixture
def shared_gallery(path: Path, faces: FaceFactory) -> Gallery:
    return Gallery.open(path, faces.pack, create=True)


def count_descriptors(path: Path) -> int:
    """Return the number of file descriptors of this process on a gallery."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        pytest.skip("open files are counted in /proc")
    count = 0
    for link in links.iterdir():
        with suppress(OSError):
            count += os.readlink(link).startswith(str(path))  # noqa: PTH115 - includes deleted files
    return count


def run_together(function: Callable[[int], object], threads: int = THREADS) -> list[object]:
    """Call a function with the number of each of several threads that start together, and return the results."""
    barrier = threading.Barrier(threads)

    def start(number: int) -> object:
        barrier.wait()
        return function(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(start, range(threads)))


def test_changes_of_sixteen_threads_are_kept(shared_gallery: Gallery, random_faces: type[FaceFactory]) -> None:
    def work(number: int) -> None:
        faces, name = random_faces(number), f"Person {number}"
        for _ in range(3):
            shared_gallery.enroll(name, faces.samples(1))
            assert shared_gallery.person(name).sample_count == len(shared_gallery.samples(name))
        shared_gallery.enroll(f"Guest {number}", faces.samples(1))
        index = open_index(shared_gallery)
        assert index.people is not None
        assert index.people.nearest_samples.within(index.people.embeddings()[:1].astype(np.float64), 0.999)[0].size
        shared_gallery.forget(f"Guest {number}")
        shared_gallery.rename(name, f"Renamed {number}")

    with shared_gallery as gallery:
        run_together(work)
        assert {person.name: person.sample_count for person in gallery.people()} == {
            f"Renamed {number}": 3 for number in range(THREADS)
        }
        assert len(gallery.vectors().sample_ids) == 3 * THREADS
        assert gallery.revision == THREADS * 6
    assert inspect_gallery(gallery.path).problems == ()


def test_a_snapshot_belongs_to_its_thread(shared_gallery: Gallery, faces: FaceFactory) -> None:
    with shared_gallery as gallery, ThreadPoolExecutor(1) as pool, gallery.snapshot():
        assert gallery.people() == []
        pool.submit(gallery.enroll, "Ada", faces.samples(1)).result()
        assert gallery.people() == []
        assert [person.name for person in pool.submit(gallery.people).result()] == ["Ada"]


def test_ended_threads_leave_no_connections(shared_gallery: Gallery) -> None:
    with shared_gallery as gallery:
        before = count_descriptors(gallery.path)
        for _ in range(50):
            run_together(lambda _: gallery.people(), 4)
        # SQLite keeps the descriptor of a closed connection for reuse while the process holds a lock on the file.
        assert count_descriptors(gallery.path) <= before + 4
    assert count_descriptors(gallery.path) == 0
    assert not is_open_here(gallery.path)


def test_closing_applies_to_all_threads(shared_gallery: Gallery, faces: FaceFactory) -> None:
    gallery = shared_gallery
    gallery.enroll("Ada", faces.samples(200))
    started = threading.Semaphore(0)

    def work(number: int) -> str:
        started.release()
        try:
            while True:
                if number % 4:
                    gallery.samples_by_person()
                else:
                    gallery.write_setting(f"key{number}", "value")
        except ClosedError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, number) for number in range(8)]
        for _ in futures:
            started.acquire()
        closing = threading.Thread(target=gallery.close)
        closing.start()
        closing.join()
        messages = [future.result(timeout=60) for future in futures]
    assert set(messages) == {f"The gallery {gallery.path} was closed: open it again."}
    assert not is_open_here(gallery.path)
    assert inspect_gallery(gallery.path).problems == ()
    with pytest.raises(ClosedError):
        gallery.people()


def test_closing_interrupts_running_calls(shared_gallery: Gallery, faces: FaceFactory) -> None:
    gallery = shared_gallery
    gallery.enroll("Ada", faces.samples(3))
    is_reading, closed = threading.Event(), threading.Event()

    def read() -> None:
        with gallery.snapshot():
            gallery.people()
            is_reading.set()
            closed.wait()
            gallery.people()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        is_reading.wait()
        gallery.close()
        closed.set()
        with pytest.raises(ClosedError):
            reading.result(timeout=60)
    assert not is_open_here(gallery.path)


def test_a_gallery_open_in_this_process_is_not_repaired(shared_gallery: Gallery) -> None:
    with shared_gallery as gallery, pytest.raises(GalleryBusyError, match="close it first"):
        repair_gallery(gallery.path)


def test_a_replaced_file_raises(shared_gallery: Gallery, tmp_path: Path, faces: FaceFactory) -> None:
    with shared_gallery as gallery, ThreadPoolExecutor(1) as pool:
        backup = gallery.back_up(tmp_path / "copy.facebank")
        backup.replace(gallery.path)
        with pytest.raises(ClosedError, match="replaced by another file"):
            pool.submit(gallery.enroll, "Ada", faces.samples(1)).result()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_removed_file_is_not_written(
    shared_gallery: Gallery, tmp_path: Path, faces: FaceFactory, is_replaced: bool
) -> None:
    with shared_gallery as gallery:
        gallery.enroll("Ada", faces.samples(1))
        backup = gallery.back_up(tmp_path / "copy.facebank")
        gallery.path.rename(tmp_path / "away.facebank")
        if is_replaced:
            backup.rename(gallery.path)
        for use in (gallery.people, lambda: gallery.enroll("Bob", faces.samples(1)), lambda: gallery.forget("Ada")):
            with pytest.raises(ClosedError, match=r"was deleted, moved or replaced by another file .* open it again"):
                use()
    assert gallery.path.exists() == is_replaced


def test_a_running_change_completes_in_its_file(shared_gallery: Gallery, tmp_path: Path, faces: FaceFactory) -> None:
    away = tmp_path / "away.facebank"
    with shared_gallery as gallery:
        gallery.enroll("Ada", faces.samples(1))
        with gallery.snapshot():
            gallery.path.rename(away)
            assert [person.name for person in gallery.people()] == ["Ada"]
        away.rename(gallery.path)
        assert [person.name for person in gallery.people()] == ["Ada"]


def test_each_thread_has_its_own_index(shared_gallery: Gallery, faces: FaceFactory) -> None:
    with shared_gallery as gallery, ThreadPoolExecutor(1) as pool:
        gallery.enroll("Ada", faces.samples(2))
        mine = open_index(gallery).people
        gallery.enroll("Bob", faces.samples(1))
        theirs = pool.submit(open_index, gallery).result().people
        assert mine is not None
        assert theirs is not None
        assert (mine.count, theirs.count) == (2, 3)


def test_a_second_opening_releases_no_lock(path: Path, faces: FaceFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(file), "choose_journal", lambda *_, **__: "delete")
    program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    with Gallery.open(path, faces.pack, create=True) as gallery, gallery._file.changing():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: Gallery.open(path, read_only=True).close()).result()
        process = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert "database is locked" in process.stderr


def run_forked(*arguments: object) -> list[str]:
    """Run ``fork_script.py`` and return the sorted output of both processes."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    process = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
    )
    assert (process.returncode, process.stderr) == (0, "")
    return sorted(process.stdout.splitlines())


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_both_processes_work_after_a_fork(path: Path, journal: str) -> None:
    assert run_forked("enroll_in_both", path, journal) == ["child 31", "parent 61"]
    assert inspect_gallery(path).problems == ()


def test_a_child_forked_during_a_read_gets_an_error(path: Path) -> None:
    output = run_forked("fork_during_read", path)
    assert [line.partition(":")[0] for line in output] == ["child inside", "child opening", "child using", "parent"]
    assert all("was in use when this process was forked" in line for line in output[:3])
    assert output[3] == "parent: 3"
    assert inspect_gallery(path).problems == ()


def test_a_child_forked_in_a_snapshot_gets_an_error(path: Path) -> None:
    assert run_forked("fork_in_snapshot", path) == ["child: UsageError", "parent: 2"]
    assert inspect_gallery(path).problems == ()


def test_forks_with_running_threads_lose_no_person(path: Path) -> None:
    output = run_forked("fork_repeatedly", path)
    enrolled = sum(int(line.split()[1]) for line in output if line.startswith("enrolled"))
    assert {f"people {enrolled}"} == {line for line in output if line.startswith("people")}
    assert inspect_gallery(path).problems == ()


def test_a_faiss_index_works_after_a_fork(path: Path) -> None:
    pytest.importorskip("faiss")
    child, parent = run_forked("search_with_faiss", path)
    assert child.removeprefix("child ") == parent.removeprefix("parent ")
    assert len(child.split()) == 11
