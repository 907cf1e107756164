"""The program where it may not write: a gallery is used as it is, and everything works without a cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facebank.gallery import Gallery
from tests.unprivileged import read_only, without_privileges

from .conftest import DEMO_PHOTOS, Run


@pytest.fixture
def folder(run: Run, two_people: Path, tmp_path: Path, speech: Path) -> Path:
    """A folder with a gallery of two people and the scan of a photo of one."""
    folder = tmp_path / "shared"
    folder.mkdir()
    shutil.copy(two_people, folder / "two.facebank")
    run("scan", speech, FACEBANK_GALLERY=str(folder / "two.facebank"))
    return folder


def test_a_gallery_that_may_not_be_written_is_used(run: Run, folder: Path, speech: Path) -> None:
    with read_only(folder):

        def unprivileged(*arguments: str | Path, code: int = 0) -> str:
            place = str(folder / "two.facebank")
            done = run(*arguments, code=code, before=without_privileges, FACEBANK_GALLERY=place)
            return done.out + done.err

        assert "Eileen Collins" in unprivileged("people", "list")
        assert "Barack Obama\tknown" in unprivileged("identify", speech)
        assert "Barack Obama\tknown" in unprivileged("identify", "--scan")
        refused = unprivileged("enroll", "--name", "Joe Biden", DEMO_PHOTOS / "joe_biden_blue_room.jpg", code=2)
        assert "two.facebank cannot be changed" in refused


def test_a_log_that_was_left_in_a_folder_that_may_not_be_written_is_read(
    run: Run, two_people: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    with Gallery.open(two_people) as gallery:
        gallery.rename("Eileen Collins", "Eileen M. Collins")
        for suffix in ("", "-wal"):
            shutil.copy(f"{two_people}{suffix}", folder / f"two.facebank{suffix}")
    assert (folder / "two.facebank-wal").stat().st_size > 0
    with read_only(folder):
        place = str(folder / "two.facebank")
        assert "Eileen M. Collins" in run("people", "list", before=without_privileges, FACEBANK_GALLERY=place).out
