"""Files are put somewhere, over nothing and with no loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from facebank.album.sort_files import copy_file, link_file, move_file


@pytest.mark.parametrize("put", [copy_file, link_file, move_file])
def test_nothing_is_overwritten(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("there")
    with pytest.raises(FileExistsError):
        put(source, target)
    assert (source.read_text(), target.read_text()) == ("new", "there")
    assert sorted(tmp_path.iterdir()) == [source, target]


def test_what_cannot_leave_its_place_is_in_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("photo")
    refuse(monkeypatch, source, is_gone=False)
    with pytest.raises(PermissionError):
        move_file(source, target)
    assert source.exists()
    assert not target.exists()


def test_what_somebody_else_removed_meanwhile_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("photo")
    refuse(monkeypatch, source, is_gone=True)
    with pytest.raises(PermissionError):
        move_file(source, target)
    assert not source.exists()
    assert target.read_text() == "photo"


def refuse(monkeypatch: pytest.MonkeyPatch, path: Path, *, is_gone: bool) -> None:
    """Let removing a file fail, as on a disk that fails or because somebody else was faster: root may do everything."""
    unlink = Path.unlink

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self != path:
            unlink(self, missing_ok)
            return
        if is_gone:
            unlink(self)
        raise PermissionError(1, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "unlink", refused)
