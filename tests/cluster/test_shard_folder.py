"""The folder of a job's shards: an interrupted job continues from it, and only one job writes to it."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facebank.album.scan.rows import FileState
from facebank.album.scan.scan_file import ScannedFile
from facebank.cluster.shard_folder import ShardFolder
from facebank.errors import PackMismatchError, ScanBusyError, StorageError
from facebank.gallery import PackIdentity
from facebank.types import Face, Photo, Quality

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None and "FACEBANK_CI_CLUSTER" not in os.environ,
    reason="the extra cluster is not installed",
)

PACK = PackIdentity("test", "ab" * 32, 8)
STATE = FileState(1000, 5)


def scanned(path: str, number: int) -> ScannedFile:
    vector = np.zeros(8, np.float32)
    vector[number % 8] = 1
    box, landmarks = np.array([1, 2, 30, 40], np.float32), np.ones((5, 2), np.float32)
    face = Face(box, landmarks, 0.9, Quality(0.5, 64.0, 0.25, 0.75, None, 0.125, None, ()), vector)
    content = f"{number:064x}"
    photo = Photo(path, (face,), width=64, height=48, content_hash=content, picture_hash=f"{number + 99:064x}")
    return ScannedFile(path, STATE, content, None, photo)


def copy(path: str, number: int) -> ScannedFile:
    return ScannedFile(path, STATE, f"{number:064x}", None, None)


def broken(path: str) -> ScannedFile:
    return ScannedFile(path, STATE, None, f"{path} is empty", None, "decoders")


def opened(path: Path) -> ShardFolder:
    folder = ShardFolder(path, PACK, "onnxruntime")
    folder.load()
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with two shards: two photos; a copy of the first and an unreadable file."""
    folder = ShardFolder(tmp_path / "shards", PACK, "onnxruntime")
    with folder.lock():
        folder.write([scanned("/p/a.jpg", 1), scanned("/p/b.jpg", 2)])
        folder.write([copy("/p/c.jpg", 1), broken("/p/d.jpg")])
    return folder.path


def test_written_files_are_known_after_opening_again(place: Path) -> None:
    folder = opened(place)
    assert [file.path for file in folder.known_files("/p")] == [f"/p/{name}.jpg" for name in "abcd"]
    assert (folder.count_in("/p"), folder.count_in("/elsewhere")) == (3, 0)
    assert folder.unreadable("/p") == {"/p/d.jpg": "/p/d.jpg is empty"}
    assert folder.has("/p/a.jpg", STATE, "others")
    assert not folder.has("/p/a.jpg", FileState(1000, 6), "others")
    assert folder.has("/p/d.jpg", STATE, "decoders")
    assert not folder.has("/p/d.jpg", STATE, "others")
    assert len(list(folder.contents())) == 3
    assert [file.path for file in folder.read({"/p/c.jpg": STATE, "/p/a.jpg": STATE})] == ["/p/a.jpg", "/p/c.jpg"]
    folder.write([scanned("/p/e.jpg", 5)])
    assert sorted(path.name for path in place.iterdir()) == [f"part-00000{number}.parquet" for number in (1, 2, 3)]


def test_a_damaged_shard_is_set_aside_and_its_copies_are_dropped(place: Path) -> None:
    shard = place / "part-000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    folder = ShardFolder(place, PACK, "onnxruntime")
    (note,) = folder.load()
    assert "part-000001.parquet is damaged or half-written" in note
    assert (place / "part-000001.parquet.damaged").exists()
    assert [file.path for file in folder.known_files("/p")] == ["/p/d.jpg"]  # the copy's photo is lost
    folder = ShardFolder(place, PACK, "onnxruntime")
    folder.load(lambda digest: digest.hex() == f"{1:064x}")
    assert [file.path for file in folder.known_files("/p")] == ["/p/c.jpg", "/p/d.jpg"]


def test_a_later_shard_replaces_an_earlier_result(place: Path) -> None:
    folder, changed = opened(place), replace(scanned("/p/a.jpg", 7), state=FileState(1, 1))
    folder.write([changed])
    folder = opened(place)
    (file,) = folder.read({"/p/a.jpg": changed.state})
    assert file.content_hash == changed.content_hash
    assert list(folder.read({"/p/a.jpg": STATE})) == []


def test_removed_files_leave_the_shards_and_orphaned_copies_are_returned(place: Path) -> None:
    folder = opened(place)
    assert folder.forget(["/p/a.jpg"]) == [("/p/c.jpg", STATE)]
    folder.write([scanned("/p/c.jpg", 1)])
    folder.tidy()
    folder = opened(place)
    assert [file.path for file in folder.known_files("/p")] == [f"/p/{name}.jpg" for name in "bcd"]
    assert b"/p/a.jpg" not in b"".join(path.read_bytes() for path in place.iterdir())


def test_shards_are_removed_when_all_their_files_are_stored_elsewhere(place: Path) -> None:
    folder = opened(place)
    folder.remove_stored({"/p/a.jpg": STATE, "/p/b.jpg": STATE, "/p/c.jpg": FileState(0, 0), "/p/d.jpg": STATE})
    assert [path.name for path in place.iterdir()] == ["part-000002.parquet"]
    folder.remove_stored({"/p/c.jpg": STATE, "/p/d.jpg": STATE})
    folder.remove_if_empty()
    assert not place.exists()


def test_a_second_concurrent_job_is_an_error(place: Path) -> None:
    other = ShardFolder(place, PACK, "onnxruntime")
    with opened(place).lock(), pytest.raises(ScanBusyError, match="another job is writing to"), other.lock():
        pass
    with other.lock():
        pass


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--shards"), ShardFolder(tmp_path / "file", PACK, "").lock():
        pass


def test_shards_of_another_pack_are_an_error_and_unchanged(place: Path) -> None:
    with pytest.raises(PackMismatchError):
        ShardFolder(place, PackIdentity("other", "cd" * 32, 8), "").load()
    assert len(list(place.iterdir())) == 2
