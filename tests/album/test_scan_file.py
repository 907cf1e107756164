"""The scan file: photos by content, even if files are moved, and complete removal of forgotten ones."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from facebank.album.groups.face_groups import groups_of
from facebank.album.scan.rows import COLUMNS, FileStamp, TagRow
from facebank.album.scan.scan_file import UNSETTLED, Counts, ScanFile, ScannedFile
from facebank.album.scan.schema import SCAN_FILE
from facebank.album.scan.videos import ScannedTrack, ScannedVideo
from facebank.errors import PackMismatchError, ScanFormatError, ScanNotFoundError, StorageError
from facebank.gallery import PackIdentity
from facebank.storage.values import register_row_digest
from facebank.types import Photo

from .scanned_files import PACK, STATE, made_up_face, made_up_photo

WHEN = datetime(2020, 5, 17, 12, 30, tzinfo=UTC)


def make_photo(number: int, face_count: int = 2, path: str = "x.jpg") -> Photo:
    """Return a photo without a picture hash; one with an odd number is dated by its camera."""
    is_odd = number % 2 == 1
    return replace(
        made_up_photo(number, face_count, path),
        quarter_turns=number % 4,
        taken_at=WHEN if is_odd else None,
        camera_dated=is_odd,
        picture_hash=None,
    )


def make_file(path: str, number: int, *, is_known: bool = False) -> ScannedFile:
    return ScannedFile(path, STATE, f"{number:064x}", None, None if is_known else make_photo(number, path=path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "album.scan"


@pytest.fixture
def scan_file(path: Path) -> Iterator[ScanFile]:
    with ScanFile.open(path, PACK, create=True) as opened:
        yield opened


def test_stored_photos_are_read_back(scan_file: ScanFile, path: Path) -> None:
    scan_file.keep([make_file("/a/2.jpg", 2), make_file("/a/1.jpg", 1)])
    with ScanFile.open(path, PACK) as again:
        first, second = again.photos()
    assert (first.path, second.path) == ("/a/1.jpg", "/a/2.jpg")
    expected = make_photo(1)
    assert (first.width, first.height, first.quarter_turns, first.taken_at) == (640, 480, 1, WHEN)
    assert second.taken_at is None
    assert (first.camera_dated, second.camera_dated) == (True, False)
    for stored, original in zip(first.faces, expected.faces, strict=True):
        assert stored.quality == original.quality
        assert stored.detection_score == original.detection_score
        np.testing.assert_array_equal(stored.embedding, original.embedding)
        np.testing.assert_array_equal(stored.landmarks, original.landmarks)
        np.testing.assert_array_equal(stored.box, original.box)


OLD_DATES = {
    1: ("2020-05-17T12:30:00", True),  # a camera's time without a time zone
    2: ("2020-05-17T12:30:00.250000+02:00", True),
    3: ("2020-05-17T12:30:00+00:00", False),  # like a file's modification time
    4: ("2000-01-01T00:00:07", False),
    5: ("0001-01-01T00:00:00", False),
    6: ("2999-01-01T00:00:00", False),
    7: (None, False),
}


def seal(connection: sqlite3.Connection, tables: Iterable[str]) -> None:
    """Update the digests of all rows, over the columns that the file has."""
    register_row_digest(connection)
    for table in tables:
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA main.table_info({table})")]
        columns = [name for name in COLUMNS[table] if name in columns]
        connection.execute(f"UPDATE main.{table} SET row_digest = row_digest('{table}', {', '.join(columns)})")


def make_old_scan(path: Path, version: int) -> None:
    """Make a scan file of an older version, with photos of all kinds of dates."""
    source = path.with_name("new.scan")
    with ScanFile.open(source, PACK, create=True) as scan_file:
        scan_file.keep([make_file(f"/a/{number}.jpg", number) for number in OLD_DATES])
        scan_file.keep_groups({1: [1, 3], 2: [2]})
        scan_file.tell_apart([(1, 2)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {SCAN_FILE.application_id}")
        SCAN_FILE.build(connection, version)
        connection.execute("INSERT INTO scan VALUES (?, ?, ?, ?)", (version, PACK.name, PACK.digest, PACK.dimension))
        connection.commit()
        connection.execute("ATTACH ? AS new", (str(source),))
        for table in ("photos", "faces", "files", "groups", "apart"):
            columns = ", ".join(name for _, name, *_ in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        if version > 2:
            connection.execute("UPDATE main.totals SET files = 7, photos = 7, faces = 14, grouped = 3, apart = 1")
        for number, (taken_at, camera_dated) in OLD_DATES.items():
            change = "UPDATE main.photos SET taken_at = ? WHERE content_hash = ?"
            connection.execute(change, (taken_at, f"{number:064x}"))
            if version > 1:
                change = "UPDATE main.photos SET camera_dated = ? WHERE content_hash = ?"
                connection.execute(change, (camera_dated, f"{number:064x}"))
        if version > 2:
            seal(connection, ("photos", "faces", "files", "groups", "apart", "totals"))
        connection.commit()
        connection.execute("DETACH new")
        connection.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_an_older_scan_is_migrated(path: Path, version: int) -> None:
    make_old_scan(path, version)
    with ScanFile.open(path, PACK) as scan_file:
        dated_by_camera = {int(photo.content_hash, 16): photo.camera_dated for photo in scan_file.photos()}
        assert dated_by_camera == {number: camera_dated for number, (_, camera_dated) in OLD_DATES.items()}
        assert scan_file.groups() == {1: [1, 3], 2: [2]}
        assert scan_file.told_apart() == [(1, 2)]
        scan_file.keep([make_file("/a/9.jpg", 9)])
    with ScanFile.open(path, PACK) as scan_file:
        assert sum(photo.camera_dated for photo in scan_file.photos()) == 3
        assert len(scan_file.face_table().face_ids) == 2 * (len(OLD_DATES) + 1)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_an_older_read_only_scan_is_readable(path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    make_old_scan(path, version)
    before = path.read_bytes()
    monkeypatch.setattr("facebank.album.scan.schema.is_writable", lambda _: False)
    with ScanFile.open(path, PACK) as scan_file:
        dated_by_camera = {int(photo.content_hash, 16): photo.camera_dated for photo in scan_file.photos()}
        assert dated_by_camera == {number: camera_dated for number, (_, camera_dated) in OLD_DATES.items()}
        assert len(list(scan_file.each_photo())) == len(OLD_DATES)
        with pytest.raises(StorageError, match="is write-protected"):
            scan_file.forget(["/a/1.jpg"])
    assert path.read_bytes() == before


def test_a_photo_in_several_files_is_one_photo(scan_file: ScanFile) -> None:
    scan_file.keep([make_file("/a/1.jpg", 1), make_file("/b/copy.jpg", 1, is_known=True)])
    counts = scan_file.count()
    assert (counts.files, counts.photos, counts.faces) == (2, 1, 2)
    assert [photo.path for photo in scan_file.photos()] == ["/a/1.jpg", "/b/copy.jpg"]
    assert scan_file.forget(["/a/1.jpg"]) == 0
    assert scan_file.forget(["/b/copy.jpg"]) == 1
    assert scan_file.count().faces == 0


def test_folders_are_distinguished_by_whole_names(scan_file: ScanFile) -> None:
    for number, name in enumerate(("/a/1.jpg", "/a/b/2.jpg", "/ab/3.jpg", "/a", "/a.jpg", "/a/\udcff.jpg"), start=1):
        scan_file.keep([make_file(name, number)])
    assert set(scan_file.files("/a")) == {"/a", "/a/1.jpg", "/a/b/2.jpg", "/a/\udcff.jpg"}
    assert scan_file.count_in("/a/b") == 1
    assert scan_file.count_in("/") == 6
    assert [photo.path for photo in scan_file.photos(["/ab", "/a.jpg"])] == ["/ab/3.jpg", "/a.jpg"]


def test_unreadable_files_are_recorded_until_they_are_readable(scan_file: ScanFile) -> None:
    scan_file.keep([ScannedFile("/a/1.jpg", STATE, None, "truncated", None)])
    assert scan_file.unreadable("/a") == {"/a/1.jpg": "truncated"}
    assert scan_file.files("/a") == {"/a/1.jpg": STATE}
    assert list(scan_file.photos()) == []
    scan_file.keep([make_file("/a/1.jpg", 1)])
    assert scan_file.unreadable("/a") == {}
    assert scan_file.known_photos() == {bytes.fromhex(f"{1:064x}")}


def test_forgotten_photos_leave_no_data(scan_file: ScanFile, path: Path) -> None:
    scan_file.keep([make_file("/a/secret-place.jpg", 1), make_file("/a/2.jpg", 2)])
    secrets = (b"secret-place", make_photo(1).faces[0].embedding.tobytes())
    scan_file.close()
    assert all(secret in path.read_bytes() for secret in secrets)
    with ScanFile.open(path, PACK) as again:
        again.forget(["/a/secret-place.jpg"])
    assert not any(secret in path.read_bytes() for secret in secrets)


def test_a_batch_is_stored_atomically(scan_file: ScanFile) -> None:
    invalid = ScannedFile("/a/2.jpg", FileStamp(2**70, 0), None, None, None)
    with pytest.raises(OverflowError):
        scan_file.keep([make_file("/a/1.jpg", 1), invalid])
    assert scan_file.count().files == 0
    scan_file.keep([make_file("/a/1.jpg", 1)])
    assert scan_file.count().files == 1


def test_only_the_owner_can_read_a_scan_file(scan_file: ScanFile, path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_files_that_are_no_scan_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ScanNotFoundError, match="facebank scan DIR"):
        ScanFile.open(path, PACK)
    path.write_bytes(b"no database at all " * 100)
    with pytest.raises(ScanFormatError, match="is not a scan"):
        ScanFile.open(path, PACK)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE anything (x)")
    with pytest.raises(ScanFormatError, match="is not a scan"):
        ScanFile.open(other, PACK)
    with pytest.raises(StorageError, match=r"cannot be (made|created)"):
        ScanFile.open(other / "below.scan", PACK, create=True)


def test_a_scan_of_another_pack_is_refused(scan_file: ScanFile, path: Path) -> None:
    scan_file.keep([make_file("/a/1.jpg", 1)])
    with pytest.raises(PackMismatchError, match="made with the pack 'test', not 'other'"):
        ScanFile.open(path, PackIdentity("other", "cd" * 32, 8))


@pytest.mark.parametrize("damage", ["UPDATE faces SET numbers = x'00'", "UPDATE scan SET version = 99"])
def test_a_damaged_or_newer_file_is_refused(scan_file: ScanFile, path: Path, damage: str) -> None:
    scan_file.keep([make_file("/a/1.jpg", 1)])
    scan_file.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    with pytest.raises(ScanFormatError, match=r"damaged|newer"), ScanFile.open(path, PACK) as again:
        list(again.photos())


def test_an_abandoned_iterator_leaves_nothing_open(scan_file: ScanFile) -> None:
    scan_file.keep([make_file(f"/a/{number}.jpg", number) for number in range(1, 1200)])
    photos = scan_file.photos()
    assert next(photos).path == "/a/1.jpg"
    scan_file.close()
    del photos  # a warning would fail the test


def test_paths_that_are_not_utf_8_are_read_back(scan_file: ScanFile) -> None:
    name = os.fsdecode(b"/a/\xff\xfe.jpg")
    scan_file.keep([make_file(name, 1)])
    assert [photo.path for photo in scan_file.photos()] == [name]


def test_cameras_dates_take_precedence_in_groups(scan_file: ScanFile) -> None:
    by_file = replace(make_photo(2, path="/a/2.jpg"), taken_at=datetime(2024, 1, 1, tzinfo=UTC))
    scan_file.keep([make_file("/a/1.jpg", 1), replace(make_file("/a/2.jpg", 2), photo=by_file)])
    scan_file.keep_groups({1: [1, 3], 2: [4], 3: [2]})
    mixed, dated_by_file, _ = groups_of(scan_file)
    assert (mixed.photos, mixed.first_taken, mixed.last_taken, mixed.camera_dated) == (2, WHEN, WHEN, True)
    assert (dated_by_file.first_taken, dated_by_file.camera_dated) == (by_file.taken_at, False)


def test_copies_written_one_by_one_keep_their_groups(scan_file: ScanFile) -> None:
    paths = ["/a/1.jpg", "/b/1.jpg", "/c/1.jpg"]
    scan_file.keep([make_file(paths[0], 1), *(make_file(path, 1, is_known=True) for path in paths[1:])])
    scan_file.keep_groups({1: [1], 2: [2]})
    scan_file.tell_apart([(1, 2)])
    for path in paths:
        scan_file.keep_written(f"{1:064x}", make_file(path, 7))
    counts = scan_file.count()
    assert (counts.files, counts.photos, counts.faces) == (3, 1, 2)
    assert {photo.content_hash for photo in scan_file.photos()} == {f"{7:064x}"}
    assert scan_file.groups() == {1: [1], 2: [2]}
    assert scan_file.told_apart() == [(1, 2)]


PICTURE_HASH = "ab" * 32


def edited_file(path: str, number: int, picture_hash: str = PICTURE_HASH) -> ScannedFile:
    """Return a file of a scanned picture with other metadata and another date."""
    photo = replace(
        make_photo(number, face_count=0, path=path),
        quarter_turns=0,
        taken_at=WHEN,
        camera_dated=True,
        picture_hash=picture_hash,
    )
    return ScannedFile(path, FileStamp(2000, 6), photo.content_hash, None, None, edited=photo)


def test_a_photo_with_other_metadata_keeps_its_faces_and_groups(scan_file: ScanFile) -> None:
    original = replace(make_photo(2, path="/a.jpg"), picture_hash=PICTURE_HASH)
    scan_file.keep([replace(make_file("/a.jpg", 2), photo=original)])
    scan_file.keep_groups({1: [1, 2]})
    scan_file.keep([edited_file("/a.jpg", 20)])
    (updated,) = scan_file.photos()
    assert (updated.content_hash, updated.picture_hash, updated.taken_at, updated.camera_dated) == (
        f"{20:064x}",
        PICTURE_HASH,
        WHEN,
        True,
    )
    assert len(updated.faces) == 2
    assert scan_file.groups() == {1: [1, 2]}
    assert scan_file.known_pictures() == {bytes.fromhex(PICTURE_HASH)}
    assert scan_file.known_photos() == {bytes.fromhex(f"{20:064x}")}


def test_an_edited_copy_gets_the_faces_of_the_existing_photo(scan_file: ScanFile, tmp_path: Path) -> None:
    existing_path = tmp_path / "there.jpg"
    existing_path.touch()
    existing = replace(make_photo(2, path=str(existing_path)), picture_hash=PICTURE_HASH)
    scan_file.keep([replace(make_file(str(existing_path), 2), photo=existing)])
    scan_file.keep([edited_file("/copy.jpg", 20)])
    copy, stored = sorted(scan_file.photos(), key=lambda photo: photo.path)
    assert (copy.path, copy.content_hash, stored.content_hash) == ("/copy.jpg", f"{20:064x}", f"{2:064x}")
    for face, other in zip(copy.faces, stored.faces, strict=True):
        np.testing.assert_array_equal(face.embedding, other.embedding)
    assert scan_file.count() == Counts(2, 2, 4)


def test_a_forgotten_picture_is_analyzed_again(scan_file: ScanFile) -> None:
    scan_file.keep([edited_file("/a.jpg", 20)])
    assert scan_file.files("/") == {"/a.jpg": UNSETTLED}
    assert list(scan_file.photos()) == []


def test_recorded_names_move_with_their_photos(scan_file: ScanFile) -> None:
    scan_file.keep([make_file("/a/1.jpg", 1), make_file("/a/2.jpg", 2)])
    tags = {TagRow("/a/1.jpg", "/a/1.jpg", 7), TagRow("/a/1.jpg", "/a/1.jpg.xmp", 8)}
    scan_file.keep_tags("/a/1.jpg", tags)
    scan_file.keep_tags("/a/2.jpg", {TagRow("/a/2.jpg", "/a/2.jpg.xmp", 7)})
    assert {tag for tag in scan_file.tags() if tag.photo_path == "/a/1.jpg"} == tags
    scan_file.move([("/a/1.jpg", "/b/1.jpg")])
    assert {(tag.tagged_path, tag.person_id) for tag in scan_file.tags() if tag.photo_path == "/b/1.jpg"} == {
        ("/b/1.jpg", 7),
        ("/b/1.jpg.xmp", 8),
    }
    scan_file.forget(["/a/2.jpg"])
    assert {tag.photo_path for tag in scan_file.tags()} == {"/b/1.jpg"}
    scan_file.keep_tags("/b/1.jpg", set())
    assert scan_file.tags() == []


JPEG = b"\xff\xd8\xff\xe0 a picture"


def make_video(path: str, number: int, track_count: int = 2) -> ScannedVideo:
    video_tracks = tuple(
        ScannedTrack(
            index,
            index,
            index + 1.5,
            index + 2.0,
            (made_up_face(1000 * number + index), made_up_face(7)),
            JPEG + bytes([index]),
        )
        for index in range(track_count)
    )
    return ScannedVideo(path, STATE, f"{number:064x}", 12.5, video_tracks)


def test_videos_are_read_back_with_their_tracks(scan_file: ScanFile, path: Path) -> None:
    scan_file.videos.keep(make_video("/a/2.mp4", 2, track_count=0))
    scan_file.videos.keep(make_video("/a/1.mp4", 1))
    scan_file.videos.keep(ScannedVideo("/b/torn.mp4", STATE, f"{9:064x}", error="\x1b truncated", readers="cv2=1"))
    with ScanFile.open(path, PACK) as again:
        first, second = again.videos.each()
        assert [video.path for video in again.videos.each(["/a/2.mp4", "/b"])] == ["/a/2.mp4"]
        assert {name: row.state for name, row in again.videos.known("/a").items()} == {
            "/a/1.mp4": STATE,
            "/a/2.mp4": STATE,
        }
        assert again.videos.unreadable("/b") == {"/b/torn.mp4": "\\x1b truncated"}
        assert [again.videos.picture(track.number) for track in first.tracks] == [JPEG + b"\0", JPEG + b"\1"]
    assert (first.path, first.seconds, first.state, second.tracks) == ("/a/1.mp4", 12.5, STATE, ())
    for stored, original in zip(first.tracks, make_video("/a/1.mp4", 1).tracks, strict=True):
        assert (stored.shot, stored.begun, stored.seen, stored.ended) == (
            original.shot,
            original.begun,
            original.seen,
            original.ended,
        )
        for face, other in zip(stored.faces, original.faces, strict=True):
            assert face.assessment == other.assessment
            np.testing.assert_array_equal(face.embedding, other.embedding)


def test_a_copy_of_a_video_has_its_tracks_and_pictures(scan_file: ScanFile) -> None:
    scan_file.videos.keep(make_video("/a/1.mp4", 1))
    assert not scan_file.videos.keep_copy("/a/none.mp4", STATE, f"{5:064x}")
    assert scan_file.videos.keep_copy("/b/copy.mp4", FileStamp(1000, 6), f"{1:064x}")
    version = scan_file.videos.version()
    assert scan_file.videos.forget(["/a/1.mp4", "/a/none.mp4"]) == 1
    assert scan_file.videos.version() != version
    (copy,) = scan_file.videos.each()
    assert (copy.path, copy.state.modified, len(copy.tracks)) == ("/b/copy.mp4", 6, 2)
    assert scan_file.videos.picture(copy.tracks[1].number) == JPEG + b"\1"


def test_forgotten_videos_leave_no_data(scan_file: ScanFile, path: Path) -> None:
    scan_file.videos.keep(make_video("/a/secret-place.mp4", 1))
    scan_file.videos.keep(make_video("/a/2.mp4", 2))
    (kept_track, forgotten_track) = (video.tracks[0].number for video in scan_file.videos.each())
    secrets = (b"secret-place", made_up_face(1001).embedding.tobytes(), JPEG + b"\1")
    scan_file.close()
    assert all(secret in path.read_bytes() for secret in secrets)
    with ScanFile.open(path, PACK) as again:
        again.videos.forget(["/a/secret-place.mp4"])
        again.videos.wipe_pictures([kept_track + 1])
        assert (again.videos.picture(kept_track), again.videos.picture(kept_track + 1)) == (JPEG + b"\0", None)
        assert again.videos.picture(forgotten_track) is None
    assert not any(secret in path.read_bytes() for secret in secrets)
