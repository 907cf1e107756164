"""Read-only galleries, and caches that cannot be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facebank.gallery import Gallery
from tests.demo_photos import BIDEN
from tests.unprivileged import drop_privileges, read_only

from .conftest import Run


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

        def run_unprivileged(*arguments: str | Path, code: int = 0) -> str:
            gallery = str(folder / "two.facebank")
            result = run(*arguments, code=code, child_setup=drop_privileges, FACEBANK_GALLERY=gallery)
            return result.out + result.err

        assert "Eileen Collins" in run_unprivileged("people", "list")
        assert "Barack Obama\tknown" in run_unprivileged("identify", speech)
        assert "Barack Obama\tknown" in run_unprivileged("identify", "--scan")
        output = run_unprivileged("doctor")
        assert "read-only: people can be listed and identified" in output
        assert "No problems, 2 warnings" in output
        refused = run_unprivileged("enroll", "--name", "Joe Biden", BIDEN, code=2)
        assert "two.facebank is write-protected" in refused


def test_a_write_ahead_log_in_a_read_only_folder_is_read(run: Run, two_people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    with Gallery.open(two_people) as gallery:
        gallery.rename("Eileen Collins", "Eileen M. Collins")
        for suffix in ("", "-wal"):
            shutil.copy(f"{two_people}{suffix}", folder / f"two.facebank{suffix}")
    assert (folder / "two.facebank-wal").stat().st_size > 0
    with read_only(folder):
        read_only_gallery = str(folder / "two.facebank")
        listed = run("people", "list", child_setup=drop_privileges, FACEBANK_GALLERY=read_only_gallery)
    assert "Eileen M. Collins" in listed.out


def test_everything_works_without_a_cache(run: Run, folder: Path, tmp_path: Path, speech: Path) -> None:
    for name in ("cache", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o500)
    gallery, photos = str(folder / "two.facebank"), tmp_path / "photos"
    photos.mkdir()
    shutil.copy(BIDEN, photos)

    def run_without_cache(*arguments: str | Path) -> str:
        result = run(
            *arguments,
            child_setup=drop_privileges,
            FACEBANK_GALLERY=gallery,
            FACEBANK_CACHE=str(tmp_path / "cache" / "here"),
            HOME=str(tmp_path / "home"),
        )
        assert result.err == ""
        return result.out

    assert "1 of 1 photos enrolled" in run_without_cache("enroll", "--name", "Joe Biden", photos)
    assert "1 analyzed" in run_without_cache("scan", photos)
    run("settings", "set", "classifier", "svm", FACEBANK_GALLERY=gallery)
    assert "barack_obama_speech.jpg" in run_without_cache("identify", speech)
    assert "cache/here: not writable, so every run prepares networks" in run_without_cache("doctor")
    assert list((tmp_path / "cache").iterdir()) == list((tmp_path / "home").iterdir()) == []
