"""A full disk is a one-line error and loses no earlier data."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.errors import StorageError
from facebank.gallery import Gallery, export_gallery, inspect_gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gallery.conftest import FaceFactory

resource = pytest.importorskip("resource", reason="needs POSIX process limits")


@pytest.fixture
def small_disk(mount: Callable[[str], Path], request: pytest.FixtureRequest) -> Path:
    """Folder of a file system of 2 MiB, or of the requested size in MiB."""
    return mount(f"size={getattr(request, 'param', 2)}m")


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Limit files of this process to 400 KiB, which SQLite handles like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400 * 1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(gallery: Gallery, faces: FaceFactory) -> int:
    """Enroll until the disk is full and return the number of enrolled samples."""
    for enrolled in range(1000):
        try:
            gallery.enroll("Ada", [faces.sample(thumbnail=os.urandom(20_000))])
        except StorageError as error:
            assert "full" in str(error)  # noqa: PT017 - counted until it happens
            return enrolled
    raise AssertionError("the disk never became full")


def test_a_full_disk_loses_nothing(small_disk: Path, faces: FaceFactory) -> None:
    path = small_disk / "family.facebank"
    with Gallery.open(path, faces.pack, create=True) as gallery:
        enrolled = fill(gallery, faces)
        assert enrolled > 5
        with pytest.raises(StorageError, match="disk is full"):
            gallery.enroll("Bob", [faces.sample(thumbnail=os.urandom(250_000))])
        assert gallery.person("Ada").sample_count == len(gallery.vectors().sample_ids) == enrolled
    with Gallery.open(path, faces.pack) as gallery:
        assert gallery.person("Ada").sample_count == len(gallery.vectors().sample_ids) == enrolled
    assert inspect_gallery(path).problems == ()


def test_creating_a_gallery_on_a_full_disk_is_an_error(small_disk: Path, faces: FaceFactory) -> None:
    filler = small_disk / "filler"
    try:
        with filler.open("wb") as stream:
            stream.write(b"x" * 2**22)
    except OSError:
        pass
    path = small_disk / "family.facebank"
    with pytest.raises(StorageError, match=r"full|cannot be created"):
        Gallery.open(path, faces.pack, create=True)
    filler.unlink()
    with Gallery.open(path, faces.pack, create=True) as gallery:
        gallery.enroll("Ada", faces.samples(1))
    assert inspect_gallery(path).problems == ()


def test_traces_that_remain_on_a_full_disk_are_wiped_later(small_disk: Path, faces: FaceFactory) -> None:
    path, filler = small_disk / "family.facebank", small_disk / "filler"
    marker = "/photos/of/somebody/who/is/forgotten.jpg"
    with Gallery.open(path, faces.pack, create=True) as gallery:
        gallery.enroll("Gone", [faces.sample(path=marker)])
        for _ in range(6):
            gallery.enroll("Ada", [faces.sample(thumbnail=os.urandom(20_000))])
    with Gallery.open(path, faces.pack) as gallery:
        gallery.write_setting("room", 1)  # creates the log: a removal then fits on the disk, but cleaning does not
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(b"x" * (free - 80 * 1024))
        assert gallery.forget("Gone").full_disk
        assert [person.name for person in gallery.people()] == ["Ada"]
        assert any("Traces" in problem for problem in inspect_gallery(path).problems)
    filler.unlink()
    with Gallery.open(path, faces.pack) as gallery:
        assert gallery.person("Ada").sample_count == len(gallery.vectors().sample_ids) == 6
        content = b"".join(entry.read_bytes() for entry in small_disk.iterdir())
    assert marker.encode() not in content
    assert inspect_gallery(path).problems == ()


@pytest.mark.parametrize("small_disk", [4], indirect=True)
@pytest.mark.parametrize("count", [1, 60])
def test_forgetting_needs_no_free_byte(small_disk: Path, faces: FaceFactory, count: int) -> None:
    """Sixty samples do not fit into the log together."""
    path, filler = small_disk / "family.facebank", small_disk / "filler"
    marker = "/photos/of/somebody/who/is/forgotten"
    for name in ("Gone", "Ada"):
        with Gallery.open(path, faces.pack, create=True) as gallery:
            sample_count = count if name == "Gone" else 60
            folder = marker if name == "Gone" else ""
            samples = [faces.sample(path=f"{folder}/{number}.jpg") for number in range(sample_count)]
            gallery.enroll(name, [replace(sample, thumbnail=os.urandom(12_000)) for sample in samples])
    assert (small_disk / "family.facebank-reserve").stat().st_mode & 0o077 == 0
    free = shutil.disk_usage(small_disk).free
    filler.write_bytes(bytes(free))
    assert shutil.disk_usage(small_disk).free == 0
    with Gallery.open(path, faces.pack) as gallery:
        forgotten = gallery.forget("Gone")
        assert (forgotten.sample_count, forgotten.full_disk) == (count, True)
        assert [(person.name, person.sample_count) for person in gallery.people()] == [("Ada", 60)]
        assert any("Traces" in problem for problem in inspect_gallery(path).problems)
    filler.unlink()
    with Gallery.open(path, faces.pack) as gallery:
        assert len(gallery.vectors().sample_ids) == 60
        assert marker.encode() not in b"".join(entry.read_bytes() for entry in small_disk.iterdir())
    assert inspect_gallery(path).problems == ()


@pytest.mark.usefixtures("file_limit")
def test_a_file_size_limit_loses_nothing(gallery: Gallery, faces: FaceFactory) -> None:
    enrolled = fill(gallery, faces)
    assert enrolled > 3
    assert gallery.person("Ada").sample_count == len(gallery.vectors().sample_ids) == enrolled
    gallery.close()
    with Gallery.open(gallery.path, faces.pack) as reopened:
        assert len(reopened.vectors().sample_ids) == enrolled
    assert inspect_gallery(gallery.path).problems == ()


@pytest.mark.usefixtures("file_limit")
def test_a_failed_export_leaves_nothing(gallery: Gallery, faces: FaceFactory, tmp_path: Path) -> None:
    for _ in range(3):
        gallery.enroll("Ada", [faces.sample(thumbnail=os.urandom(20_000))])
    resource.setrlimit(resource.RLIMIT_FSIZE, (40 * 1024, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StorageError, match="cannot be written"):
        export_gallery(gallery, tmp_path / "export")
    assert sorted(tmp_path.iterdir()) == before
