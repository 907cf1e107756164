"""Several processes using one gallery, and processes killed while writing."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from facebank.gallery import Gallery, inspect_gallery

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.gallery.conftest import FaceFactory

    Start = Callable[..., subprocess.Popen[str]]

POSIX_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def read_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    assert process.returncode == 0
    return output


def test_concurrent_processes_lose_no_sample(gallery: Gallery, start_worker: Start) -> None:
    workers = [start_worker("enroll", gallery.path, name, 15) for name in ("Ada", "Bob", "ada")]
    for worker in workers:
        finish(worker)
    assert {person.name.casefold(): person.sample_count for person in gallery.people()} == {"ada": 30, "bob": 15}
    assert gallery.revision == 45
    assert len(gallery.vectors().sample_ids) == 45
    assert inspect_gallery(gallery.path).problems == ()


def test_a_snapshot_is_consistent_during_writes(gallery: Gallery, faces: FaceFactory, start_worker: Start) -> None:
    gallery.enroll("Ada", faces.samples(2))
    reader = start_worker("read", gallery.path)
    assert read_lines(reader, 2) == ["ready", "reading"]
    finish(start_worker("enroll", gallery.path, "Bob", 10))
    output, _ = reader.communicate()
    assert output.split() == ["2"]
    assert len(gallery.vectors().sample_ids) == 12


def test_vectors_of_another_process_are_read(gallery: Gallery, start_worker: Start) -> None:
    writer = start_worker("enroll", gallery.path, "Ada", 20)
    read_lines(writer, 1)
    counts = []
    for _ in range(20):
        read_lines(writer, 1)
        counts.append(len(gallery.vectors().sample_ids))
    finish(writer)
    assert counts == sorted(counts)
    assert len(gallery.vectors().sample_ids) == 20
    assert all(count >= printed for printed, count in enumerate(counts, start=1))


def test_a_gallery_can_be_created_concurrently(path: Path, faces: FaceFactory, start_worker: Start) -> None:
    workers = [start_worker("create", path, f"Person {number}", 1) for number in range(6)]
    for worker in workers:
        finish(worker)
    with Gallery.open(path, faces.pack) as gallery:
        assert len(gallery.people()) == len(gallery.vectors().sample_ids) == 6
    assert inspect_gallery(path).problems == ()


@POSIX_SIGNALS
@pytest.mark.parametrize("action", ["enroll", "bulk"])
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGINT"])
def test_an_interrupted_enrollment_keeps_completed_photos(
    gallery: Gallery, faces: FaceFactory, start_worker: Start, action: str, signal_name: str
) -> None:
    gallery.enroll("Ada", faces.samples(2))
    worker = start_worker(action, gallery.path, "Bob", 100_000 if action == "enroll" else 8000)
    lines = read_lines(worker, 8 if action == "enroll" else 2)
    printed = [line for line in lines if line not in {"ready", "enrolling"}]
    worker.send_signal(getattr(signal, signal_name))
    assert worker.stdout is not None
    printed += worker.stdout.read().split()  # `communicate` would drop lines that are read into the buffer already
    assert worker.wait() != 0
    gallery.close()

    with Gallery.open(gallery.path, faces.pack) as reopened:
        people = {person.name: person.sample_count for person in reopened.people()}
        assert people.pop("Ada") == 2
        assert people.get("Bob", 0) in {len(printed), len(printed) + 1}  # the last photo may not be printed yet
        assert len(reopened.vectors().sample_ids) == 2 + people.get("Bob", 0)
        reopened.enroll("Carl", faces.samples(1))
    assert inspect_gallery(gallery.path).problems == ()


@POSIX_SIGNALS
def test_an_interrupted_creation_is_completed_by_the_next_process(
    tmp_path: Path, faces: FaceFactory, start_worker: Start
) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.facebank"
        worker = start_worker("create", path, "Ada", 1)
        while not path.exists():
            assert worker.poll() is None
        worker.kill()
        worker.communicate()
        with Gallery.open(path, faces.pack, create=True) as gallery:
            gallery.enroll("Bob", faces.samples(1))
            assert "Bob" in gallery.names().values()
        assert inspect_gallery(path).problems == ()
