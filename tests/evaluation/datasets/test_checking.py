"""Files and paths of datasets are checked before they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facebank.errors import DatasetError
from facebank.evaluation.datasets import checking
from facebank.evaluation.datasets.checking import PhotoFolder, UnusableEntryError, read_json, read_text, shorten


def test_file_size_is_checked_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2, 3]")
    assert read_json(path) == [1, 2, 3]
    monkeypatch.setattr(checking, "MAX_TEXT", 8)
    with pytest.raises(DatasetError, match=r"x\.json: 9 bytes exceed the limit of 8"):
        read_json(path)


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="pipe: not a regular file"):
        read_text(tmp_path / "pipe")


@pytest.mark.parametrize("text", ["[Infinity]", f"[{'9' * 5000}]", '{"a": ', "\x00"])
def test_broken_json_is_a_one_line_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"x\.json: invalid JSON") as caught:
        read_json(path)
    assert str(caught.value).isprintable()


def test_displayed_text_is_short_and_escaped() -> None:
    assert shorten("a\x1b") == r"a\x1b"
    assert shorten("x" * 1000) == "x" * 80 + "..."


def test_links_inside_the_folder_count_once_and_links_out_are_skipped(tmp_path: Path) -> None:
    folder, secret = tmp_path / "photos", tmp_path / "secret.jpg"
    folder.mkdir()
    secret.write_bytes(b"secret")
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "again.jpg").symlink_to("a.jpg")
    (folder / "out.jpg").symlink_to(secret)
    (folder / "round.jpg").symlink_to("round.jpg")
    (folder / "up").symlink_to(tmp_path)
    photos = PhotoFolder(folder)
    assert photos.find("again.jpg") == photos.find("./a.jpg") == folder / "a.jpg"
    for path in ("out.jpg", "up/secret.jpg", "round.jpg", "x" * 5000, "", "a\0", ".", "a.jpg/b"):
        with pytest.raises(UnusableEntryError):
            photos.find(path)
        with pytest.raises(UnusableEntryError):
            photos.find_any([path])


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder of photos"):
        PhotoFolder(tmp_path / "nowhere")
