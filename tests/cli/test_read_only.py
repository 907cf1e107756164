"""Read-only galleries, and caches that cannot be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facebank.gallery import Gallery
from tests.unprivileged import read_only, without_privileges

from .conftest import DEMO_PHOTOS, Run


@pytest.fixture
def folder(run: Run, two_people: Path, tmp_path: Path, speech: Path) -> Path:
    """A folder with a gallery of two people and a scan of one photo."""
    folder = tmp_path / "shared"
    folder.mkdir()
    shutil.copy(two_people, folder / "two.facebank")
    run("scan", speech, FACEBANK_GALLERY=str(folder / "two.facebank"))
    return folder


def test_a_read_only_gallery_is_usable(run: Run, folder: Path, speech: Path) -> None:
    with read_only(folder):

        def unprivileged(*arguments: str | Path, code: int = 0) -> str:
            place = str(folder / "two.facebank")
            done = run(*arguments, code=code, before=without_privileges, FACEBANK_GALLERY=place)
            return done.out + done.err

        assert "Eileen Collins" in unprivileged("people", "list")
        assert "Barack Obama\tknown" in unprivileged("identify", speech)
        assert "Barack Obama\tknown" in unprivileged("identify", "--scan")
        output = unprivileged("doctor")
        assert "read-only: people can be listed and identified" in output
        assert "No problems, 2 warnings" in output
        refused = unprivileged("enroll", "--name", "Joe Biden", DEMO_PHOTOS / "joe_biden_blue_room.jpg", code=2)
        assert "two.facebank cannot be changed" in refused


def test_a_write_ahead_log_in_a_read_only_folder_is_read(run: Run, two_people: Path, tmp_path: Path) -> None:
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


def test_everything_works_without_a_cache(run: Run, folder: Path, tmp_path: Path, speech: Path) -> None:
    for place in ("cache", "home"):
        (tmp_path / place).mkdir()
        (tmp_path / place).chmod(0o500)
    gallery, photos = str(folder / "two.facebank"), tmp_path / "photos"
    photos.mkdir()
    shutil.copy(DEMO_PHOTOS / "joe_biden_blue_room.jpg", photos)

    def without_cache(*arguments: str | Path) -> str:
        done = run(
            *arguments,
            before=without_privileges,
            FACEBANK_GALLERY=gallery,
            FACEBANK_CACHE=str(tmp_path / "cache" / "here"),
            HOME=str(tmp_path / "home"),
        )
        assert done.err == ""
        return done.out

    assert "1 of 1 photos enrolled" in without_cache("enroll", "--name", "Joe Biden", photos)
    assert "1 analyzed" in without_cache("scan", photos)
    run("settings", "set", "classifier", "svm", FACEBANK_GALLERY=gallery)
    assert "barack_obama_speech.jpg" in without_cache("identify", speech)
    assert "cache/here: not writable, so every run prepares networks" in without_cache("doctor")
    assert list((tmp_path / "cache").iterdir()) == list((tmp_path / "home").iterdir()) == []
