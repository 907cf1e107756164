"""A damaged or hostile scan file is refused with advice, and its content never changes silently."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from facebank.album.groups.face_groups import groups_of
from facebank.album.scan.rows import COLUMNS, FileStamp, ShardRow, TagRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.album.scan.videos import ScannedVideo
from facebank.errors import FacebankError, ScanFormatError
from facebank.media.shards import Shard
from facebank.storage.values import register_row_digest

from .scanned_files import PACK, STATE, face_contents, photo_content
from .test_scan_file import WHEN, edited_file, make_file, make_photo, make_video


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "album.scan"
    with ScanFile.open(path, PACK, create=True) as scan_file:
        scan_file.keep([make_file(f"/a/{number}.jpg", number) for number in range(1, 25)])
        scan_file.keep(
            [make_file("/b/copy.jpg", 1, is_known=True), ScannedFile("/b/torn.jpg", STATE, None, "truncated", None)]
        )
        scan_file.keep([ScannedFile("/b/none.jpg", FileStamp(1, 1), f"{99:064x}", None, make_photo(99, face_count=0))])
        scan_file.keep_groups({1: [1, 3, 5], 2: [2, 4]})
        scan_file.tell_apart([(1, 2)])
        scan_file.keep_tags("/a/1.jpg", {TagRow("/a/1.jpg", "/a/1.jpg", 7), TagRow("/a/1.jpg", "/a/1.jpg.xmp", 8)})
        scan_file.record_shards([ShardRow("/a", Shard(2, 3), WHEN), ShardRow("/b", Shard(1, 1), WHEN)])
        for number in range(1, 4):
            scan_file.videos.keep(make_video(f"/a/{number}.mp4", number))
        scan_file.videos.keep(ScannedVideo("/b/torn.mp4", STATE, None, error="truncated"))
    return path


def all_content(path: Path) -> list[Any]:
    """Return the results of all queries of a scan."""
    with ScanFile.open(path, PACK) as scan_file:
        table = scan_file.face_table()
        return [
            [photo_content(photo) for photo in scan_file.photos()],
            [photo_content(photo) for photo in scan_file.photos(["/b", "/a/7.jpg"])],
            sorted((face_ids, photo_content(photo)) for face_ids, photo in scan_file.each_photo()),
            scan_file.files("/"),
            scan_file.unreadable("/b"),
            [(file.path, file.photo_id, file.readers) for file in scan_file.known_files("/")],
            sorted(scan_file.known_photos()),
            scan_file.count(),
            scan_file.count_in("/a"),
            (table.face_ids.tolist(), table.photo_ids.tolist(), table.embeddings.tobytes(), table.qualities.tobytes()),
            scan_file.groups(),
            groups_of(scan_file),
            scan_file.told_apart(),
            scan_file.tags(),
            sorted(scan_file.known_pictures()),
            scan_file.shards(),
            [(photo_content(photo), face_index) for photo, face_index in map(scan_file.locate_face, (1, 4, 40))],
            [video_content(video) for video in scan_file.videos.each()],
            scan_file.videos.known(),
            [scan_file.videos.picture(number) for number in range(1, 7)],
        ]


def video_content(video: ScannedVideo) -> tuple[object, ...]:
    """Return the content of a video as comparable values."""
    tracks = [(track.shot, track.begun, track.seen, track.ended, face_contents(track.faces)) for track in video.tracks]
    return video.path, video.state, video.content_hash, video.seconds, tracks


@pytest.mark.parametrize("is_in_rows", [False, True], ids=["anywhere", "in rows"])
def test_no_flipped_bit_changes_the_content_of_a_scan(path: Path, is_in_rows: bool) -> None:
    data, expected = path.read_bytes(), all_content(path)
    random = Random(7)
    positions = [position for position in range(len(data)) if data[position]] if is_in_rows else range(len(data))
    refused_count = 0
    for _ in range(60):
        position, bit = random.choice(positions), random.randrange(8)
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            assert all_content(path) == expected, (position, bit)
        except FacebankError as error:
            refused_count += str(error).isprintable()
    assert refused_count > (40 if is_in_rows else 5)


def reseal(path: Path, change: str) -> None:
    """Change rows with an SQL statement, and update their digests."""
    with closing(sqlite3.connect(path)) as connection:
        register_row_digest(connection)
        connection.executescript(change)
        for table, columns in COLUMNS.items():
            column_list = ", ".join(columns)
            connection.execute(f"UPDATE {table} SET row_digest = row_digest('{table}', {column_list})")
        connection.commit()


HOSTILE_ROWS = {
    "a relative path": "UPDATE files SET path = CAST('x.jpg' AS BLOB) WHERE path = CAST('/a/3.jpg' AS BLOB)",
    "a path through a parent": "UPDATE files SET path = CAST('/a/../b/3.jpg' AS BLOB) WHERE size = 1",
    "a path with a zero": "UPDATE files SET path = x'2f6100' WHERE size = 1",
    "a path of text": "UPDATE files SET path = '/a/0.jpg' WHERE size = 1",
    "an invalid size": "UPDATE files SET size = 'x' WHERE size = 1",
    "an invalid time": "UPDATE files SET modified = 1.5 WHERE size = 1",
    "an invalid photo": "UPDATE files SET photo = 'x' WHERE size = 1",
    "a photo that is not there": "UPDATE files SET photo = 7777 WHERE size = 1",
    "an error for the terminal": "UPDATE files SET error = char(27) || '[2J' WHERE error IS NOT NULL",
    "an error of bytes": "UPDATE files SET error = x'00' WHERE error IS NOT NULL",
    "readers of bytes": "UPDATE files SET readers = x'00' WHERE error IS NOT NULL",
    "an invalid hash": "UPDATE photos SET content_hash = 'zz' WHERE id = 1",
    "an invalid picture hash": "UPDATE photos SET picture_hash = 'zz' WHERE id = 1",
    "no width": "UPDATE photos SET width = 0",
    "a width of text": "UPDATE photos SET width = 'x'",
    "a huge height": "UPDATE photos SET height = 9223372036854775807",
    "invalid turns": "UPDATE photos SET quarter_turns = 4",
    "an invalid date": "UPDATE photos SET taken_at = 'yesterday'",
    "a date before the year 1": "UPDATE photos SET taken_at = '0001-01-01T00:00:00+23:00'",
    "a date of bytes": "UPDATE photos SET taken_at = x'00'",
    "an invalid flag": "UPDATE photos SET camera_dated = 7",
    "more faces than there are": "UPDATE photos SET face_count = 3 WHERE id = 1",
    "a billion faces": "UPDATE photos SET face_count = 1000000000",
    "numbers of another length": "UPDATE faces SET numbers = x'00' WHERE id = 1",
    "numbers of text": "UPDATE faces SET numbers = 'x' WHERE id = 1",
    "numbers that are not finite": "UPDATE faces SET numbers = CAST(replace(hex(zeroblob(60)), '00', 'ÿÿ') AS BLOB)",
    "numbers that are too large": "UPDATE faces SET numbers = zeroblob(4000000) WHERE id = 1",
    "an embedding of zeros": "UPDATE faces SET numbers = zeroblob(120) WHERE id = 1",
    "weaknesses that are no JSON": "UPDATE faces SET weaknesses = '[' WHERE id = 1",
    "weaknesses too long": "UPDATE faces SET weaknesses = replace(hex(zeroblob(50000)), '00', '[') WHERE id = 1",
    "weaknesses that nest": "UPDATE faces SET weaknesses = replace(hex(zeroblob(1900)), '00', '[') WHERE id = 1",
    "weaknesses of numbers": "UPDATE faces SET weaknesses = '[1, 2]' WHERE id = 1",
    "weaknesses for the terminal": "UPDATE faces SET weaknesses = '[\"\\u001b[2J\"]' WHERE id = 1",
    "weaknesses of a dictionary": "UPDATE faces SET weaknesses = '{}' WHERE id = 1",
    "weaknesses of bytes": "UPDATE faces SET weaknesses = x'5b5d' WHERE id = 1",
    "a face of another photo": "UPDATE faces SET photo = 2 WHERE id = 1",
    "a group below 1": "UPDATE groups SET number = 0 WHERE face = 1",
    "a group of text": "UPDATE groups SET number = 'x' WHERE face = 1",
    "an invalid position": "UPDATE groups SET position = -1 WHERE face = 1",
    "a face of no photo in a group": "UPDATE groups SET face = 7777 WHERE face = 1",
    "a pair of text": "UPDATE apart SET second = 'x'",
    "a photo of text with a name": "UPDATE tags SET photo = 'x' WHERE person = 7",
    "a name with an empty path": "UPDATE tags SET file = x'' WHERE person = 7",
    "a name with an invalid person": "UPDATE tags SET person = 'x' WHERE person = 7",
    "a lost name": "DELETE FROM tags WHERE person = 7",
    "an invalid folder": "UPDATE shards SET place = CAST('x' AS BLOB) WHERE count = 3",
    "an invalid shard": "UPDATE shards SET number = 4 WHERE count = 3",
    "a shard of 0": "UPDATE shards SET number = 0, count = 0 WHERE count = 3",
    "a shard of a billion": "UPDATE shards SET count = 1000000000 WHERE count = 3",
    "a scan time that is no time": "UPDATE shards SET looked_through = 'yesterday'",
    "a scan time without a time zone": "UPDATE shards SET looked_through = '2020-05-17T12:30:00'",
    "a lost shard": "DELETE FROM shards WHERE count = 3",
    "a video with a relative path": "UPDATE videos SET path = CAST('x.mp4' AS BLOB) WHERE id = 1",
    "a video with an invalid size": "UPDATE videos SET size = 'x' WHERE id = 1",
    "a video of infinite length": "UPDATE videos SET seconds = 9e999 WHERE id = 1",
    "a video that ends before it begins": "UPDATE videos SET seconds = -1.0 WHERE id = 1",
    "a video with an invalid hash": "UPDATE videos SET content_hash = 'zz' WHERE id = 1",
    "a video's error for the terminal": "UPDATE videos SET error = char(27) || '[2J' WHERE error IS NOT NULL",
    "a lost video": "DELETE FROM videos WHERE id = 2",
    "a lost track": "DELETE FROM tracks WHERE id = 2",
    "a billion tracks": "UPDATE videos SET track_count = 1000000000 WHERE id = 1",
    "a track of another video": "UPDATE tracks SET video = 2 WHERE id = 1",
    "a track that ends before it begins": "UPDATE tracks SET begun = 9.0 WHERE id = 1",
    "a track of infinite length": "UPDATE tracks SET ended = 9e999 WHERE id = 1",
    "a track of text": "UPDATE tracks SET shot = 'x' WHERE id = 1",
    "a track without a face": "UPDATE tracks SET face_count = 0 WHERE id = 1",
    "a track's face that is lost": "DELETE FROM track_faces WHERE id = 1",
    "a track's face with numbers of another length": "UPDATE track_faces SET numbers = x'00' WHERE id = 1",
    "a track's face with an embedding of zeros": "UPDATE track_faces SET numbers = zeroblob(120) WHERE id = 1",
    "a track's face with weaknesses for the terminal": "UPDATE track_faces "
    "SET weaknesses = '[\"\\u001b[2J\"]' WHERE id = 1",
    "a picture that is a page": "UPDATE track_pictures SET picture = CAST('<html>' AS BLOB) WHERE track = 1",
    "a picture of text": "UPDATE track_pictures SET picture = 'x' WHERE track = 1",
    "a picture that is too large": "UPDATE track_pictures "
    "SET picture = CAST(x'ffd8ff' || hex(zeroblob(1000000)) AS BLOB) WHERE track = 1",
    "invalid totals": "UPDATE totals SET files = 'x'",
    "totals below 0": "UPDATE totals SET faces = -1",
    "no totals": "DELETE FROM totals",
    "two totals": "INSERT INTO totals SELECT * FROM totals",
    "a lost file": "DELETE FROM files WHERE size = 1",
    "a lost face": "DELETE FROM faces WHERE id = 3",
    "a lost photo": "DELETE FROM photos WHERE id = 2",
    "a lost group": "DELETE FROM groups WHERE face = 5",
    "a lost pair": "DELETE FROM apart",
    "a version of text": "UPDATE scan SET version = 'x'",
    "no version": "DELETE FROM scan",
    "two packs": "INSERT INTO scan SELECT * FROM scan",
    "an invalid pack": "UPDATE scan SET digest = x'00'",
}


@pytest.mark.parametrize("change", HOSTILE_ROWS)
def test_invalid_rows_are_refused(path: Path, change: str) -> None:
    reseal(path, HOSTILE_ROWS[change])
    with pytest.raises(ScanFormatError, match=r"is damaged.*remove it and scan again") as caught:
        all_content(path)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize("table", list(COLUMNS))
def test_altered_rows_are_refused(path: Path, table: str) -> None:
    column = COLUMNS[table][-1]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = coalesce({column}, 0) + 1")
        connection.commit()
    with pytest.raises(ScanFormatError, match="damaged"):
        all_content(path)


def test_totals_follow_every_change(path: Path, tmp_path: Path) -> None:
    changes: list[Callable[[ScanFile], object]] = [
        lambda scan_file: scan_file.move([("/a/3.jpg", "/c/3.jpg"), ("/a/4.jpg", "/a/5.jpg"), ("/none", "/a/6.jpg")]),
        lambda scan_file: scan_file.keep([make_file("/a/6.jpg", 6), make_file("/a/7.jpg", 77)]),
        lambda scan_file: scan_file.tell_apart([(2, 1)]),
        lambda scan_file: scan_file.keep_tags("/a/2.jpg", {TagRow("/a/2.jpg", "/a/2.jpg.xmp", 8)}),
        lambda scan_file: scan_file.keep_tags("/a/1.jpg", {TagRow("/a/1.jpg", "/a/1.jpg", 8)}),
        lambda scan_file: scan_file.move([("/a/2.jpg", "/d/2.jpg")]),
        lambda scan_file: scan_file.add_picture_hash(f"{9:064x}", "ab" * 32),
        lambda scan_file: scan_file.keep(
            [edited_file("/a/9.jpg", 900, "ab" * 32), edited_file("/d/9.jpg", 901, "ab" * 32)]
        ),
        lambda scan_file: scan_file.keep([edited_file("/d/10.jpg", 902, "cd" * 32)]),
        lambda scan_file: scan_file.keep_written(f"{8:064x}", make_file("/a/8.jpg", 88)),
        lambda scan_file: scan_file.keep_written(f"{1:064x}", make_file("/a/1.jpg", 111)),
        lambda scan_file: scan_file.keep_written(f"{1:064x}", make_file("/b/copy.jpg", 111)),
        lambda scan_file: scan_file.forget(["/a/5.jpg", "/a/none.jpg", "/b/torn.jpg"]),
        lambda scan_file: scan_file.keep_groups({4: [20, 21]}),
        lambda scan_file: scan_file.record_shards([ShardRow("/a", Shard(1, 3), WHEN)]),
        lambda scan_file: scan_file.forget_shards("/b"),
        lambda scan_file: scan_file.videos.keep(make_video("/a/1.mp4", 7, track_count=3)),
        lambda scan_file: scan_file.videos.keep_copy("/c/1.mp4", STATE, f"{7:064x}"),
        lambda scan_file: scan_file.videos.forget(["/a/2.mp4", "/a/2.mp4", "/none.mp4"]),
        lambda scan_file: scan_file.forget([f"/a/{number}.jpg" for number in range(40)]),
    ]
    for change in changes:
        with ScanFile.open(path, PACK) as scan_file:
            change(scan_file)
        with ScanFile.open(path, PACK) as scan_file:
            list(scan_file.photos())
            list(scan_file.each_photo())
            scan_file.face_table()
            scan_file.groups()
            scan_file.told_apart()
            scan_file.tags()
            scan_file.shards()
            scan_file.known_photos()
            list(scan_file.videos.each())
