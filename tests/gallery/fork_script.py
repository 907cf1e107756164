# ruff: noqa: T201
"""Test script: forks with a gallery in several states, and prints the results of parent and child."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from facebank.errors import FacebankError, UsageError
from facebank.gallery import Gallery
from facebank.gallery.store import file
from facebank.index import search as search_module
from facebank.index.codes import encode
from facebank.index.search import CodedPart, CodedSearch
from tests.gallery.conftest import FaceFactory


def fork(function: Callable[[], None]) -> int:
    """Run a function in a forked process for at most a minute and return the ID of the process."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    signal.alarm(60)
    status = 1
    try:
        function()
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


def wait(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if status:
        print("the child ended with", status)


def report(label: str, call: Callable[[], object]) -> None:
    try:
        print(f"{label}: {call()}")
    except FacebankError as error:
        print(f"{label}: {error}")


def enroll_in_both(path: Path, journal: str) -> None:
    """Enroll in both processes after the fork; the parent closes while the child is enrolling."""
    if journal == "delete":
        vars(file)["choose_journal"] = lambda *_, **__: "delete"
    gallery = Gallery.open(path, FaceFactory.pack, create=True)
    gallery.enroll("Ada", FaceFactory(1).samples(1))

    def enroll() -> None:
        faces = FaceFactory(2)
        for _ in range(30):
            gallery.enroll("Bob", faces.samples(1))
        print("child", gallery.person("Bob").sample_count + gallery.person("Ada").sample_count)

    child, faces = fork(enroll), FaceFactory(3)
    for _ in range(10):
        gallery.enroll("Carl", faces.samples(1))
    gallery.close()
    reopened = Gallery.open(path, FaceFactory.pack)
    for _ in range(20):
        reopened.enroll("Carl", faces.samples(1))
    wait(child)
    print("parent", len(reopened.vectors().sample_ids))


def fork_during_read(path: Path) -> None:
    """Fork while another thread is reading."""
    gallery = Gallery.open(path, FaceFactory.pack, create=True)
    is_reading, done = threading.Event(), threading.Event()

    def read() -> None:
        with gallery.snapshot():
            is_reading.set()
            done.wait()

    reader = threading.Thread(target=read)
    reader.start()
    is_reading.wait()

    def use() -> None:
        report("child using", gallery.people)
        report("child inside", lambda: gallery.enroll("Ada", FaceFactory(1).samples(1)))
        report("child opening", lambda: Gallery.open(path, FaceFactory.pack))

    child = fork(use)
    gallery.enroll("Ada", FaceFactory(1).samples(3))
    wait(child)
    done.set()
    reader.join()
    print("parent:", gallery.person("Ada").sample_count)


def fork_in_snapshot(path: Path) -> None:
    """Fork inside a snapshot, which both processes leave."""
    gallery = Gallery.open(path, FaceFactory.pack, create=True)
    gallery.enroll("Ada", FaceFactory(1).samples(1))
    child = 0
    try:
        with gallery.snapshot():
            sys.stdout.flush()
            child = os.fork()
            gallery.people()
    except UsageError:
        print("child: UsageError")
    if not child:
        sys.exit(0)  # frees the inherited objects
    wait(child)
    gallery.enroll("Ada", FaceFactory(2).samples(1))
    print("parent:", gallery.person("Ada").sample_count)


def fork_repeatedly(path: Path) -> None:
    """Fork repeatedly while threads write; each child writes too or is refused."""
    gallery = Gallery.open(path, FaceFactory.pack, create=True)
    stop, counts = threading.Event(), [0, 0, 0]

    def write(number: int) -> None:
        while not stop.is_set():
            gallery.enroll(f"Thread {number} {counts[number]}", [])
            counts[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()

    def add(number: int) -> None:
        try:
            gallery.enroll(f"Child {number}", [])
        except UsageError:
            return
        print("enrolled 1")

    for number in range(20):
        wait(fork(lambda number=number: add(number)))  # type: ignore[misc]
    stop.set()
    for writer in writers:
        writer.join()
    for count in counts:
        print("enrolled", count)
    print("people", len(gallery.people()))


def search_with_faiss(path: Path) -> None:
    """Search with FAISS in both processes."""
    gallery = Gallery.open(path, FaceFactory.pack, create=True)
    gallery.enroll("Ada", FaceFactory(1).samples(300))
    queries = gallery.vectors().matrix
    scale, codes = encode(queries)
    coded = CodedSearch([CodedPart(scale, codes)])
    search_module.FAISS_FROM = 0

    def search() -> str:
        return " ".join(map(str, coded.near(queries.astype("float64"), 10)[-1]))

    print("parent", search())
    wait(fork(lambda: print("child", search())))


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
