"""The folder of a job's shards: an interrupted job continues from it, and only one job writes to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facebank.album.scan.rows import FileStamp
from facebank.album.scan.scan_file import UNSETTLED, ScannedFile
from facebank.cluster.shard_folder import ShardFolder
from facebank.errors import PackMismatchError, ScanBusyError, StorageError
from facebank.gallery import PackIdentity
from tests.album.scanned_files import PACK, STATE, made_up_file, needs_pyarrow

pytestmark = needs_pyarrow


def make_copy(path: str, number: int) -> ScannedFile:
    return ScannedFile(path, STATE, f"{number:064x}", None, None)


def make_broken_file(path: str) -> ScannedFile:
    return ScannedFile(path, STATE, None, f"{path} is empty", None, "decoders")


def open_folder(path: Path) -> ShardFolder:
    folder = ShardFolder(path, PACK, "onnxruntime")
    folder.load()
    return folder


@pytest.fixture
def shard_path(tmp_path: Path) -> Path:
    """A folder with two shards: two photos; a copy of the first photo and an unreadable file."""
    folder = ShardFolder(tmp_path / "shards", PACK, "onnxruntime")
    with folder.lock():
        folder.write([made_up_file("/p/a.jpg", 1), made_up_file("/p/b.jpg", 2)])
        folder.write([make_copy("/p/c.jpg", 1), make_broken_file("/p/d.jpg")])
    return folder.path


def test_written_files_are_known_after_opening_again(shard_path: Path) -> None:
    folder = open_folder(shard_path)
    assert [file.path for file in folder.known_files("/p")] == [f"/p/{name}.jpg" for name in "abcd"]
    assert (folder.count_in("/p"), folder.count_in("/elsewhere")) == (3, 0)
    assert folder.unreadable("/p") == {"/p/d.jpg": "/p/d.jpg is empty"}
    assert folder.has("/p/a.jpg", STATE, "others")
    assert not folder.has("/p/a.jpg", FileStamp(1000, 6), "others")
    assert folder.has("/p/d.jpg", STATE, "decoders")
    assert not folder.has("/p/d.jpg", STATE, "others")
    assert len(list(folder.contents())) == 3
    assert [file.path for file in folder.read({"/p/c.jpg": STATE, "/p/a.jpg": STATE})] == ["/p/a.jpg", "/p/c.jpg"]
    folder.write([made_up_file("/p/e.jpg", 5)])
    assert sorted(path.name for path in shard_path.iterdir()) == [f"part-00000{number}.parquet" for number in (1, 2, 3)]


def test_a_damaged_shard_is_set_aside_and_its_copies_are_dropped(shard_path: Path) -> None:
    shard = shard_path / "part-000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    folder = ShardFolder(shard_path, PACK, "onnxruntime")
    (note,) = folder.load()
    assert "part-000001.parquet is damaged or half-written" in note
    assert (shard_path / "part-000001.parquet.damaged").exists()
    assert [file.path for file in folder.known_files("/p")] == ["/p/d.jpg"]  # the copy's photo is lost
    folder = ShardFolder(shard_path, PACK, "onnxruntime")
    folder.load(lambda content_hash: content_hash.hex() == f"{1:064x}")
    assert [file.path for file in folder.known_files("/p")] == ["/p/c.jpg", "/p/d.jpg"]


def test_a_later_shard_replaces_an_earlier_result(shard_path: Path) -> None:
    folder = open_folder(shard_path)
    changed = replace(made_up_file("/p/a.jpg", 7), state=FileStamp(1, 1))
    folder.write([changed])
    folder = open_folder(shard_path)
    (file,) = folder.read({"/p/a.jpg": changed.state})
    assert file.content_hash == changed.content_hash
    assert list(folder.read({"/p/a.jpg": STATE})) == []


def test_removed_files_leave_the_shards_and_orphaned_copies_are_returned(shard_path: Path) -> None:
    folder = open_folder(shard_path)
    assert folder.forget(["/p/a.jpg"]) == [("/p/c.jpg", STATE)]
    folder.write([made_up_file("/p/c.jpg", 1)])
    folder.tidy()
    folder = open_folder(shard_path)
    assert [file.path for file in folder.known_files("/p")] == [f"/p/{name}.jpg" for name in "bcd"]
    assert b"/p/a.jpg" not in b"".join(path.read_bytes() for path in shard_path.iterdir())


def test_shards_are_removed_when_all_their_files_are_stored_elsewhere(shard_path: Path) -> None:
    folder = open_folder(shard_path)
    folder.remove_stored({"/p/a.jpg": STATE, "/p/b.jpg": STATE, "/p/c.jpg": FileStamp(0, 0), "/p/d.jpg": STATE})
    assert [path.name for path in shard_path.iterdir()] == ["part-000002.parquet"]
    folder.remove_stored({"/p/c.jpg": STATE, "/p/d.jpg": STATE})
    folder.remove_if_empty()
    assert not shard_path.exists()


def test_a_second_concurrent_job_is_an_error(shard_path: Path) -> None:
    other = ShardFolder(shard_path, PACK, "onnxruntime")
    with open_folder(shard_path).lock(), pytest.raises(ScanBusyError, match="another job is writing to"), other.lock():
        pass
    with other.lock():
        pass


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--shards"), ShardFolder(tmp_path / "file", PACK, "").lock():
        pass


def test_shards_of_another_pack_are_an_error_and_unchanged(shard_path: Path) -> None:
    with pytest.raises(PackMismatchError):
        ShardFolder(shard_path, PackIdentity("other", "cd" * 32, 8), "").load()
    assert len(list(shard_path.iterdir())) == 2


def test_a_file_that_changed_while_it_was_read_is_passed_on_as_unreadable(shard_path: Path) -> None:
    changed = ScannedFile("/p/e.jpg", UNSETTLED, None, "/p/e.jpg changed while it was read: scan again", None)
    folder = open_folder(shard_path)
    folder.write([changed])
    files = folder.read({"/p/e.jpg": STATE, "/p/d.jpg": STATE})
    assert {file.path: file.state for file in files} == {"/p/d.jpg": STATE, "/p/e.jpg": UNSETTLED}
    assert not folder.has("/p/e.jpg", STATE, "decoders")
    folder.write([made_up_file("/p/e.jpg", 3)])
    assert [file.state for file in folder.read({"/p/e.jpg": STATE})] == [STATE]
