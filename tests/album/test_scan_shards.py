"""Merged shards of real photos equal one scan and give the same answers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.album.album import Album
from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan.scanner import lock_scan
from facebank.album.scan_paths import default_scan_path
from facebank.errors import (
    FacebankError,
    PackMismatchError,
    ScanBusyError,
    ScanFormatError,
    ScanNotFoundError,
    UsageError,
)
from facebank.gallery import PackIdentity
from facebank.media.shards import Shard
from facebank.storage.progress import Progress
from tests.conftest import find_shared
from tests.demo_photos import DEMO_PHOTOS, OBAMA

from .scanned_files import photo_content


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaceBank]:
    """A bank with one person enrolled."""
    with FaceBank.open(tmp_path_factory.mktemp("bank") / "family.facebank", device="cpu", threads=1) as opened:
        opened.enroll("Barack", OBAMA)
        yield opened


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, an inner folder, a copy and a truncated photo."""
    folder = tmp_path_factory.mktemp("album") / "photos"
    shutil.copytree(DEMO_PHOTOS, folder / "demo", ignore=shutil.ignore_patterns("*.txt"))
    if (shared := find_shared()) is not None:
        real_photos = (shared / "data" / "photos").rglob("*.jpg")
        for path in sorted(real_photos, key=lambda path: path.stat().st_size)[:2]:
            shutil.copy2(path, folder)
    speech = folder / "demo" / "barack_obama_speech.jpg"
    shutil.copy2(speech, folder / "copy.jpg")
    (folder / "torn.jpg").write_bytes(speech.read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def scans(bank: FaceBank, photo_folder: Path) -> list[Path]:
    """The scan of all photos and those of three shards; tests must not change them."""
    paths = [bank.path.with_name("all.scan"), *(default_scan_path(bank.path, Shard(number, 3)) for number in (1, 2, 3))]
    for number, path in enumerate(paths):
        with bank.album(path) as album:
            album.scan(photo_folder, workers=2, shard=(number, 3) if number else None)
    return paths


def answers(album: Album) -> list[object]:
    """Return the answers of an album, without the ids of faces."""
    found = [(photo.path, [person.name for person in photo.people]) for photo in album.find("Barack")]
    groups = set()
    for group in album.cluster(min_faces=1).groups:
        places = [album.scan_file.locate_face(face_id) for face_id in group.faces]
        groups.add(frozenset((photo.path, face_index) for photo, face_index in places))
    identified = [
        (photo.path, photo.content_hash, [(face.person, face.decision, face.reason) for face in photo.faces])
        for photo in album.identify()
    ]
    return [found, groups, identified]


def test_three_merged_shards_equal_one_scan(bank: FaceBank, scans: list[Path], tmp_path: Path) -> None:
    assert [path.name for path in scans[1:]] == [f"family.{number}-of-3.scan" for number in (1, 2, 3)]
    target = tmp_path / "family.scan"
    with bank.album(scans[0]) as whole, bank.album(target) as merged_album:
        report = merged_album.merge(scans[1:])
        assert (report.missing, report.gone, report.new) == ({}, 0, len(whole.scan_file.known_files("/")))
        for photo, expected in zip(merged_album.scan_file.photos(), whole.scan_file.photos(), strict=True):
            assert photo.path == expected.path
            assert (photo.content_hash, photo.picture_hash, photo.taken_at) == (
                expected.content_hash,
                expected.picture_hash,
                expected.taken_at,
            )
            for face, other in zip(photo.faces, expected.faces, strict=True):
                np.testing.assert_allclose(face.box, other.box, atol=0.01)
                np.testing.assert_allclose(face.landmarks, other.landmarks, atol=0.01)
                assert face.embedding @ other.embedding > 0.99999  # batches differ between the scans
        assert merged_album.scan_file.unreadable("/") == whole.scan_file.unreadable("/")
        assert merged_album.scan_file.version() == whole.scan_file.version()
        assert merged_album.scan_file.count() == whole.scan_file.count()
        assert merged_album.scan_file.count().photos > 4
        assert answers(merged_album) == answers(whole)
        merged = {photo.path: photo for photo in merged_album.scan_file.photos()}
    for path in scans[1:]:
        with bank.album(path) as shard:
            for photo in shard.scan_file.photos():
                assert photo_content(merged[photo.path]) == photo_content(photo)  # bit for bit


def test_a_scan_of_the_folder_continues_the_merged_scan(
    bank: FaceBank, scans: list[Path], photo_folder: Path, tmp_path: Path
) -> None:
    with bank.album(tmp_path / "family.scan") as album:
        album.merge(scans[1:])
        report = album.scan(photo_folder)
    assert (report.analyzed, report.gone, len(report.unreadable)) == (0, 0, 1)
    assert report.unchanged > 5


def test_scans_that_cannot_be_merged_are_reported(bank: FaceBank, scans: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "family.scan"
    first, second = scans[1:3]
    link, no_scan, truncated = (tmp_path / name for name in ("link.scan", "text.scan", "cut.scan"))
    link.symlink_to(first)
    no_scan.write_text("no scan at all " * 100)
    truncated.write_bytes(second.read_bytes()[:20_000])
    other = tmp_path / "other.scan"
    ScanFile.open(other, PackIdentity("buffalo", "cd" * 32, 512), create=True).close()
    same_name = tmp_path / "same.scan"
    name = bank.engine.identity.name
    ScanFile.open(same_name, PackIdentity(name, "cd" * 32, 128), create=True).close()
    album = bank.album(target)
    cases: list[tuple[list[Path], type[FacebankError], str]] = [
        ([], UsageError, "name the scans"),
        ([first, first], UsageError, "are the same scan"),
        ([first, link], UsageError, "are the same scan"),
        ([first, target], UsageError, "merged into"),
        ([first, tmp_path / "none.scan"], ScanNotFoundError, "There is no scan .*none.scan"),
        ([first, no_scan], ScanFormatError, "text.scan is not a scan"),
        ([first, bank.path], ScanFormatError, "family.facebank is not a scan, but another file of facebank"),
        ([first, tmp_path], ScanFormatError, "is a folder without Parquet shards"),
        ([first, truncated], ScanFormatError, "cut.scan is damaged"),
        ([first, other], PackMismatchError, f"other.scan was made with the pack 'buffalo', not '{name}'"),
        ([first, same_name], PackMismatchError, f"the pack '{name}' of another version, not '{name}'"),
    ]
    for paths, error, message in cases:
        with pytest.raises(error, match=message):
            album.merge(paths)
        assert not target.exists()
    with pytest.raises(UsageError, match="moved must be"):
        album.merge([first], moved="x")  # type: ignore[arg-type]
    shutil.copy(first, tmp_path / "copied.scan")
    with pytest.raises(UsageError, match="are both shard 1/3"):
        album.merge([first, tmp_path / "copied.scan"])
    with lock_scan(target), pytest.raises(ScanBusyError, match="another scan is writing"):
        album.merge([first])
    assert {path.name for path in tmp_path.glob("family.scan*")} == set()


def test_an_interrupted_merge_changes_nothing(bank: FaceBank, scans: list[Path], tmp_path: Path) -> None:
    class InterruptingProgress(Progress):
        def advance(self, amount: float = 1) -> None:
            raise KeyboardInterrupt

    target = tmp_path / "family.scan"
    with pytest.raises(KeyboardInterrupt):
        bank.album(target).merge(scans[1:], progress=InterruptingProgress())
    assert list(tmp_path.iterdir()) == []
    with bank.album(target) as album:
        album.merge(scans[1:2])
        before = [photo.path for photo in album.scan_file.photos()]
        with pytest.raises(KeyboardInterrupt):
            album.merge(scans[1:], progress=InterruptingProgress())
        assert [photo.path for photo in album.scan_file.photos()] == before


def test_a_folder_mounted_under_another_path_is_merged(
    bank: FaceBank, scans: list[Path], photo_folder: Path, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    shutil.copytree(photo_folder, mounted)  # with the files' times
    with bank.album(tmp_path / "family.scan") as album:
        for scan in scans[1:]:
            album.merge(scan, moved=(photo_folder, mounted))
        assert album.count() == sum(1 for path in mounted.rglob("*.jpg")) - 1
        report = album.scan(mounted)
    assert (report.analyzed, report.known_by_content, report.gone) == (0, 0, 0)
    assert os.fspath(mounted / "torn.jpg") in report.unreadable
