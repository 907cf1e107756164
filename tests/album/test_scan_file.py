"""The scan file: photos by content, whatever happens to names; nothing is left of what is forgotten."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from facebank.album.scan_file import FileState, ScanFile, ScannedFile
from facebank.errors import PackMismatchError, ScanFormatError, ScanNotFoundError, StorageError
from facebank.faces import Detection, Face, PhotoFaces, Quality
from facebank.gallery import PackIdentity

PACK = PackIdentity("test", "ab" * 32, 8)
STATE = FileState(1000, 5)
WHEN = datetime(2020, 5, 17, 12, 30, tzinfo=UTC)


def face(seed: int) -> Face:
    random = np.random.default_rng(seed)
    detection = Detection(
        random.random(4, dtype=np.float32) * 100, random.random((5, 2), dtype=np.float32) * 100, float(np.float32(0.9))
    )
    quality = Quality(0.5, 64.0, 0.25, 0.75, None, 0.125, None, ("blurred", "turned away"))
    return Face(detection, quality, random.random(PACK.dimension, dtype=np.float32))


def photo(number: int, faces: int = 2, source: str = "x.jpg") -> PhotoFaces:
    found = tuple(face(100 * number + place) for place in range(faces))
    return PhotoFaces(source, f"{number:064x}", 640, 480, number % 4, WHEN if number % 2 else None, found)


def file(path: str, number: int, *, known: bool = False) -> ScannedFile:
    return ScannedFile(path, STATE, f"{number:064x}", None, None if known else photo(number, source=path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "album.scan"


@pytest.fixture
def scan_file(path: Path) -> Iterator[ScanFile]:
    with ScanFile.open(path, PACK, create=True) as opened:
        yield opened


def test_what_is_kept_comes_back(scan_file: ScanFile, path: Path) -> None:
    scan_file.keep([file("/a/2.jpg", 2), file("/a/1.jpg", 1)])
    with ScanFile.open(path, PACK) as again:
        first, second = again.photos()
    assert (first.source, second.source) == ("/a/1.jpg", "/a/2.jpg")
    expected = photo(1)
    assert (first.width, first.height, first.quarter_turns, first.taken_at) == (640, 480, 1, WHEN)
    assert second.taken_at is None
    for kept, made in zip(first.faces, expected.faces, strict=True):
        assert kept.quality == made.quality
        assert kept.detection.score == made.detection.score
        np.testing.assert_array_equal(kept.embedding, made.embedding)
        np.testing.assert_array_equal(kept.detection.landmarks, made.detection.landmarks)
        np.testing.assert_array_equal(kept.detection.box, made.detection.box)


def test_a_photo_in_several_files_is_one_photo(scan_file: ScanFile) -> None:
    scan_file.keep([file("/a/1.jpg", 1), file("/b/copy.jpg", 1, known=True)])
    counts = scan_file.count()
    assert (counts.files, counts.photos, counts.faces) == (2, 1, 2)
    assert [found.source for found in scan_file.photos()] == ["/a/1.jpg", "/b/copy.jpg"]
    assert scan_file.forget(["/a/1.jpg"]) == 0
    assert scan_file.forget(["/b/copy.jpg"]) == 1
    assert scan_file.count().faces == 0


def test_folders_are_told_apart_by_whole_names(scan_file: ScanFile) -> None:
    for number, name in enumerate(("/a/1.jpg", "/a/b/2.jpg", "/ab/3.jpg", "/a", "/a.jpg", "/a/\udcff.jpg"), start=1):
        scan_file.keep([file(name, number)])
    assert set(scan_file.files("/a")) == {"/a", "/a/1.jpg", "/a/b/2.jpg", "/a/\udcff.jpg"}
    assert scan_file.count_in("/a/b") == 1
    assert scan_file.count_in("/") == 6
    assert [found.source for found in scan_file.photos(["/ab", "/a.jpg"])] == ["/ab/3.jpg", "/a.jpg"]


def test_what_cannot_be_read_is_remembered_until_it_can(scan_file: ScanFile) -> None:
    scan_file.keep([ScannedFile("/a/1.jpg", STATE, None, "it is torn", None)])
    assert scan_file.unreadable("/a") == {"/a/1.jpg": "it is torn"}
    assert scan_file.files("/a") == {"/a/1.jpg": STATE}
    assert list(scan_file.photos()) == []
    scan_file.keep([file("/a/1.jpg", 1)])
    assert scan_file.unreadable("/a") == {}
    assert scan_file.known_photos() == {bytes.fromhex(f"{1:064x}")}


def test_nothing_is_left_of_what_is_forgotten(scan_file: ScanFile, path: Path) -> None:
    scan_file.keep([file("/a/secret-place.jpg", 1), file("/a/2.jpg", 2)])
    marks = (b"secret-place", photo(1).faces[0].embedding.tobytes())
    scan_file.close()
    assert all(mark in path.read_bytes() for mark in marks)
    with ScanFile.open(path, PACK) as again:
        again.forget(["/a/secret-place.jpg"])
    assert not any(mark in path.read_bytes() for mark in marks)


def test_a_batch_is_kept_whole_or_not_at_all(scan_file: ScanFile) -> None:
    wrong = ScannedFile("/a/2.jpg", FileState(2**70, 0), None, None, None)
    with pytest.raises(OverflowError):
        scan_file.keep([file("/a/1.jpg", 1), wrong])
    assert scan_file.count().files == 0
    scan_file.keep([file("/a/1.jpg", 1)])
    assert scan_file.count().files == 1


def test_nobody_else_can_read_it(scan_file: ScanFile, path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_wrong_files_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ScanNotFoundError, match="facebank scan DIR"):
        ScanFile.open(path, PACK)
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(ScanFormatError, match="is no scan"):
        ScanFile.open(path, PACK)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE anything (x)")
    with pytest.raises(ScanFormatError, match="is no scan"):
        ScanFile.open(other, PACK)
    with pytest.raises(StorageError, match="cannot be made"):
        ScanFile.open(other / "below.scan", PACK, create=True)


def test_another_packs_scan_is_refused(scan_file: ScanFile, path: Path) -> None:
    scan_file.keep([file("/a/1.jpg", 1)])
    with pytest.raises(PackMismatchError, match="made with the pack 'test', not 'other'"):
        ScanFile.open(path, PackIdentity("other", "cd" * 32, 8))


@pytest.mark.parametrize("damage", ["UPDATE faces SET numbers = x'00'", "UPDATE scan SET version = 99"])
def test_a_damaged_or_newer_file_is_told(scan_file: ScanFile, path: Path, damage: str) -> None:
    scan_file.keep([file("/a/1.jpg", 1)])
    scan_file.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(damage)
    with pytest.raises(ScanFormatError, match=r"damaged|newer"), ScanFile.open(path, PACK) as again:
        list(again.photos())


def test_who_stops_asking_leaves_nothing_open(scan_file: ScanFile) -> None:
    scan_file.keep([file(f"/a/{number}.jpg", number) for number in range(1, 1200)])
    photos = scan_file.photos()
    assert next(photos).source == "/a/1.jpg"
    scan_file.close()
    del photos  # a warning would fail the test


def test_names_that_are_not_utf_8_come_back(scan_file: ScanFile) -> None:
    name = os.fsdecode(b"/a/\xff\xfe.jpg")
    scan_file.keep([file(name, 1)])
    assert [found.source for found in scan_file.photos()] == [name]


def test_copies_that_are_written_one_by_one_keep_their_groups(scan_file: ScanFile) -> None:
    paths = ["/a/1.jpg", "/b/1.jpg", "/c/1.jpg"]
    scan_file.keep([file(paths[0], 1), *(file(path, 1, known=True) for path in paths[1:])])
    scan_file.keep_groups({1: [1], 2: [2]})
    scan_file.tell_apart(1, 2)
    for path in paths:
        scan_file.keep_written(f"{1:064x}", file(path, 7))
    counts = scan_file.count()
    assert (counts.files, counts.photos, counts.faces) == (3, 1, 2)
    assert {found.content_hash for found in scan_file.photos()} == {f"{7:064x}"}
    assert scan_file.groups() == {1: [1], 2: [2]}
    assert scan_file.told_apart() == [(1, 2)]
