"""Copying, linking and moving files without overwriting any, losing data or following links."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from facebank.album.sort.files import content_hash_of, copy_file, link_file, move_file
from facebank.storage.folders import FileLocation, OpenFolder, open_location

TransferFile = Callable[[FileLocation, FileLocation], None]
TRANSFERS: list[TransferFile] = [copy_file, link_file, move_file]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OpenFolder]:
    """The test's folder, held open."""
    with OpenFolder.open(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_nothing_is_overwritten(tmp_path: Path, folder: OpenFolder, transfer: TransferFile) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("there")
    with pytest.raises(FileExistsError):
        transfer(FileLocation(folder, "source"), FileLocation(folder, "target"))
    assert (source.read_text(), target.read_text()) == ("new", "there")
    assert sorted(tmp_path.iterdir()) == [source, target]


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_links_pipes_and_devices_are_refused(tmp_path: Path, folder: OpenFolder, transfer: TransferFile) -> None:
    (tmp_path / "real").write_text("secret")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "device", "folder", "pipe", "none"):
        with pytest.raises(OSError):  # noqa: PT011 - of any kind
            transfer(FileLocation(folder, name), FileLocation(folder, "target"))
    assert not os.path.lexists(tmp_path / "target")
    assert (tmp_path / "real").exists()


def test_a_copy_keeps_times_and_permissions(tmp_path: Path, folder: OpenFolder) -> None:
    source = tmp_path / "source"
    source.write_text("photo")
    source.chmod(0o640)
    os.utime(source, ns=(10**18, 10**18 + 1))
    copy_file(FileLocation(folder, "source"), FileLocation(folder, "target"))
    status = (tmp_path / "target").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18 + 1, 0o640)
    assert content_hash_of(FileLocation(folder, "target")) == content_hash_of(FileLocation(folder, "source"))


def test_a_link_that_replaces_a_folder_is_not_followed(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "Ada").mkdir(parents=True)
    elsewhere.mkdir()
    (tmp_path / "photo.jpg").write_text("photo")
    with open_location(tmp_path, tmp_path / "photo.jpg") as source, open_location(out, out / "Ada" / "a.jpg") as target:
        (out / "Ada").rename(out / "Ada was here")
        (out / "Ada").symlink_to(elsewhere)
        move_file(source, target)
    assert not list(elsewhere.iterdir())
    assert (out / "Ada was here" / "a.jpg").read_text() == "photo"
    with pytest.raises(OSError, match="leads out"), ExitStack() as opened:
        opened.enter_context(open_location(out, out / "Ada" / "a.jpg"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../b", "a\0b"])
def test_names_with_separators_are_refused(folder: OpenFolder, name: str) -> None:
    with pytest.raises(OSError, match="not a file name"):
        FileLocation(folder, name).read()


def test_a_file_that_cannot_be_removed_is_not_moved(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("photo")
    fail_removal(monkeypatch, "source", is_gone=False)
    with pytest.raises(PermissionError):
        move_file(FileLocation(folder, "source"), FileLocation(folder, "target"))
    assert source.exists()
    assert not target.exists()


def test_a_file_that_another_process_removed_is_kept_at_the_target(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("photo")
    fail_removal(monkeypatch, "source", is_gone=True)
    with pytest.raises(PermissionError):
        move_file(FileLocation(folder, "source"), FileLocation(folder, "target"))
    assert not source.exists()
    assert target.read_text() == "photo"


def fail_removal(monkeypatch: pytest.MonkeyPatch, name: str, *, is_gone: bool) -> None:
    """Make the removal of a file fail, also for root: before the file is gone or, with `is_gone`, afterwards."""
    remove = OpenFolder.remove

    def remove_or_fail(self: OpenFolder, file_name: str) -> None:
        if file_name != name:
            remove(self, file_name)
            return
        if is_gone:
            remove(self, file_name)
        raise PermissionError(1, "Operation not permitted", file_name)

    monkeypatch.setattr(OpenFolder, "remove", remove_or_fail)
