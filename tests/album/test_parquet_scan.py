"""A folder of Parquet shards, read as a scan, equals the scan file of their merge."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank
from facebank.album.scan.parquet_groups import GROUPS_FILE
from facebank.album.scan.parquet_scan import ParquetScan
from facebank.album.scan.parquet_shards import ShardHeader, write_parquet_shard
from facebank.album.scan.parquet_source import ParquetSource, shards_in
from facebank.album.scan.rows import ShardRow
from facebank.album.scan.scan_file import ScanFile, ScannedFile
from facebank.album.scan_paths import album_link_path, album_scan_path, close_album, default_scan_path
from facebank.errors import (
    PackMismatchError,
    ScanBusyError,
    ScanFormatError,
    StorageError,
    UsageError,
)
from facebank.gallery import PackIdentity
from facebank.media.shards import Shard
from facebank.types import Photo

from .scanned_files import PACK, STATE, made_up_file, needs_pyarrow, photo_content

pytestmark = needs_pyarrow

FIRST, SECOND = (datetime(2024, 5, day, tzinfo=UTC) for day in (1, 2))


def write_shard(
    path: Path, files: Iterable[ScannedFile], rows: Iterable[ShardRow] = (), pack: PackIdentity = PACK
) -> Path:
    write_parquet_shard(path, files, ShardHeader(pack, tuple(rows)))
    return path


def all_files() -> list[ScannedFile]:
    """Return photos with and without faces and times, copies, and an unreadable file."""
    photos = [made_up_file(f"/a/{number:02}.jpg", number, face_count=number % 4) for number in range(1, 25)]
    found = photos[6].photo
    assert found is not None
    photos[6] = replace(photos[6], photo=replace(found, taken_at=datetime(2020, 5, 17, 12), camera_dated=True))
    known = replace(made_up_file("/a/copy.jpg", 3), photo=None)
    unreadable = ScannedFile("/b/torn.jpg", STATE, "ab" * 32, "truncated", None, "decoders 1")
    edited = replace(found, faces=(), content_hash=f"{99:064x}", path="/b/edited.jpg")
    changed = ScannedFile("/b/edited.jpg", STATE, edited.content_hash, None, None, edited=edited)
    return [*photos, known, made_up_file("/b/again.jpg", 2), unreadable, changed]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder of three shards."""
    for number in (1, 2, 3):
        shard = Shard(number, 3)
        part = [file for file in all_files() if shard.holds(file.path, ["/"])]
        write_shard(tmp_path / "shards" / f"{number}-of-3.parquet", part, [ShardRow("/", shard, FIRST)])
    return tmp_path / "shards"


@pytest.fixture
def scan(shards: Path) -> Iterator[ParquetScan]:
    with ParquetScan(shards, PACK) as opened:
        yield opened


@pytest.fixture
def merged_scan(shards: Path, tmp_path: Path) -> Iterator[ScanFile]:
    with ScanFile.open(tmp_path / "merged.scan", PACK, create=True) as scan_file:
        scan_file.merge([ParquetSource(path, PACK) for path in shards_in(shards)])
        yield scan_file


def sorted_contents(photos: Iterable[Photo]) -> list[object]:
    """Return the content of photos, without the edited one, whose content hash a merge changes."""
    return [photo_content(photo) for photo in sorted(photos, key=lambda photo: photo.path) if photo.path != "/a/07.jpg"]


def test_the_content_equals_that_of_the_merged_scan(scan: ParquetScan, merged_scan: ScanFile) -> None:
    assert sorted_contents(scan.photos()) == sorted_contents(merged_scan.photos())
    assert sorted_contents(scan.photos(["/b", "/a/08.jpg"])) == sorted_contents(merged_scan.photos(["/b", "/a/08.jpg"]))
    assert scan.count().files == merged_scan.count().files == 27
    assert scan.count_in("/b") == merged_scan.count_in("/b") == 2
    assert scan.unreadable("/") == merged_scan.unreadable("/") == {"/b/torn.jpg": "truncated"}
    assert scan.shards() == merged_scan.shards()
    assert [(file.path, file.state, file.error, file.readers) for file in scan.known_files("/a")] == [
        (file.path, file.state, file.error, file.readers) for file in merged_scan.known_files("/a")
    ]


def test_each_photo_is_yielded_once_with_the_ids_of_its_faces(scan: ParquetScan) -> None:
    photos = list(scan.each_photo())
    assert len({photo.content_hash for _, photo in photos}) == len(photos) == scan.count().photos
    table = scan.face_table()
    assert (
        sorted(face_id for face_ids, _ in photos for face_id in face_ids)
        == table.face_ids.tolist()
        == list(range(1, 37))
    )
    embeddings = dict(zip(table.face_ids.tolist(), table.embeddings, strict=True))
    for face_ids, photo in photos:
        for index, (face_id, face) in enumerate(zip(face_ids, photo.faces, strict=True)):
            assert np.array_equal(embeddings[face_id], face.embedding)
            face_photo, face_index = scan.locate_face(face_id)
            assert (face_photo.content_hash, face_index) == (photo.content_hash, index)


def place_of(scan: ScanFile, face_id: int) -> tuple[str, int]:
    """Return the content hash of a face's photo, and the face's index in the photo."""
    photo, face_index = scan.locate_face(face_id)
    return photo.content_hash, face_index


def test_groups_and_pairs_are_stored_beside_the_shards(shards: Path, scan: ParquetScan) -> None:
    assert scan.groups() == {}
    scan.keep_groups({1: [5, 3], 2: [9]})
    assert scan.tell_apart([(5, 9), (9, 5), (1, 2)]) == [(1, 2), (5, 9)]
    assert scan.tell_apart([(1, 2)]) == []
    places = {face_id: place_of(scan, face_id) for face_id in (3, 5, 9)}
    write_shard(shards / "0.parquet", [made_up_file("/c/new.jpg", 500, face_count=3)])
    with ParquetScan(shards, PACK) as again:
        groups, (first, second) = again.groups(), again.told_apart()
        assert {number: [place_of(again, face_id) for face_id in face_ids] for number, face_ids in groups.items()} == {
            1: [places[5], places[3]],
            2: [places[9]],
        }
        assert (first, second) == ((4, 5), (8, 12))
        assert again.withdraw_apart([first]) == 1
        assert again.told_apart() == [second]
    data = bytearray((shards / GROUPS_FILE).read_bytes())
    data[60] ^= 1
    (shards / GROUPS_FILE).write_bytes(data)
    with pytest.raises(ScanFormatError, match="group the faces again"):
        scan.groups()


def test_dates_of_faces_are_those_of_their_photos(scan: ParquetScan) -> None:
    face_ids_by_path = {photo.path: face_ids for face_ids, photo in scan.each_photo()}
    dated, undated = face_ids_by_path["/a/07.jpg"], face_ids_by_path["/a/01.jpg"]
    assert scan.dates_of([dated[0], dated[1], undated[0]]) == [
        (datetime(2020, 5, 17, 12, tzinfo=UTC), True),
        (None, False),
    ]


def test_the_row_of_the_later_scan_takes_precedence(shards: Path) -> None:
    files = [made_up_file("/a/01.jpg", 700), made_up_file("/a/new.jpg", 701)]
    write_shard(shards / "0-later.parquet", files, [ShardRow("/a", Shard(1, 1), SECOND)])
    with ParquetScan(shards, PACK) as scan:
        hashes = {photo.path: photo.content_hash for photo in scan.photos()}
    assert hashes == {
        "/a/01.jpg": f"{700:064x}",
        "/a/new.jpg": f"{701:064x}",
        "/b/again.jpg": f"{2:064x}",
        "/b/edited.jpg": f"{99:064x}",
    }


def test_without_folders_the_row_of_the_last_shard_takes_precedence(tmp_path: Path) -> None:
    write_shard(tmp_path / "1.parquet", [made_up_file("/a/1.jpg", 1), made_up_file("/a/2.jpg", 2)])
    write_shard(tmp_path / "2.parquet", [made_up_file("/a/1.jpg", 3)])
    with ParquetScan(tmp_path, PACK) as scan:
        assert {photo.path: photo.content_hash for photo in scan.photos()} == {
            "/a/1.jpg": f"{3:064x}",
            "/a/2.jpg": f"{2:064x}",
        }
        assert scan.count().files == 2


def test_a_copy_without_its_photo_is_an_error(tmp_path: Path) -> None:
    write_shard(tmp_path / "1.parquet", [replace(made_up_file("/a/copy.jpg", 1), photo=None)])
    with ParquetScan(tmp_path, PACK) as scan, pytest.raises(ScanFormatError, match=r"list /a/copy\.jpg as a copy"):
        scan.count()


def test_invalid_shards_are_refused_when_opened(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ScanFormatError, match="without Parquet shards"):
        ParquetScan(tmp_path, PACK)
    with pytest.raises(PackMismatchError, match="made with the pack 'test'"):
        ParquetScan(shards, PackIdentity("other", "cd" * 32, 8))
    (shards / "4.parquet").write_bytes((shards / "1-of-3.parquet").read_bytes())
    with pytest.raises(UsageError, match="are both shard 1/3 of /"):
        ParquetScan(shards, PACK)
    (shards / "4.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(ScanFormatError, match=r"4\.parquet is damaged or half-written"):
        ParquetScan(shards, PACK)


def test_a_damaged_shard_is_an_error_when_read(shards: Path) -> None:
    path = shards / "2-of-3.parquet"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with ParquetScan(shards, PACK) as scan, pytest.raises(ScanFormatError, match=r"2-of-3\.parquet is damaged"):
        list(scan.photos())


def test_a_shard_that_changes_meanwhile_is_an_error(shards: Path) -> None:
    with ParquetScan(shards, PACK) as scan:
        write_shard(shards / "1-of-3.parquet", [])
        with pytest.raises(ScanBusyError, match="changed while it was read"):
            scan.count()


def test_other_changes_are_refused(scan: ParquetScan) -> None:
    with pytest.raises(UsageError, match="only read: make a scan file of them with 'facebank scan --merge"):
        scan.forget(["/a/01.jpg"])
    with pytest.raises(UsageError, match="only read"):
        scan.keep(all_files())
    with pytest.raises(UsageError, match="only read"):
        scan.videos.known()
    assert scan.tags() == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_groups_need_a_writable_folder(shards: Path, scan: ParquetScan) -> None:
    shards.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="groups of faces are stored beside the shards"):
            scan.keep_groups({1: [1]})
    finally:
        shards.chmod(0o700)


def grouped_places(scan: ScanFile) -> set[frozenset[tuple[str, int]]]:
    """Return the places of the faces of each group."""
    return {frozenset(place_of(scan, face_id) for face_id in face_ids) for face_ids in scan.groups().values()}


def test_an_album_of_shards_equals_one_of_a_scan_file(tmp_path: Path, folder: Path) -> None:
    with FaceBank.open(tmp_path / "a.facebank") as bank:
        identity = bank.engine.identity
        bank.enroll("Barack", folder / "obama.jpg")
        with bank.album() as album:
            album.scan(folder)
            files = [
                ScannedFile(photo.path, STATE, photo.content_hash, None, photo) for photo in album.scan_file.photos()
            ]
        copies = [
            replace(
                file,
                path=f"{file.path}.{number}.jpg",
                content_hash=f"{number:032x}{file.content_hash[:32]}",
                photo=replace(file.photo, content_hash=f"{number:032x}{file.content_hash[:32]}", picture_hash=None),
            )
            for file in files
            for number in (1, 2)
            if file.photo is not None and file.content_hash is not None
        ]
        for number, part in enumerate((files, copies)):
            write_shard(tmp_path / "shards" / f"{number}.parquet", part, pack=identity)
        with bank.album(tmp_path / "whole.scan") as whole, bank.album(tmp_path / "shards") as parts:
            whole.merge(tmp_path / "shards")
            assert [photo.path for photo in parts.find("Barack")] == [photo.path for photo in whole.find("Barack")]
            assert len(parts.find("Barack")) == 3
            identified = [
                {photo.path: [(face.person, face.similarity) for face in photo.faces] for photo in album.identify()}
                for album in (whole, parts)
            ]
            assert identified[0] == identified[1]
            groups = [album.cluster().groups for album in (whole, parts)]
            assert grouped_places(whole.scan_file) == grouped_places(parts.scan_file)
            assert len(groups[0]) == len(groups[1]) == 2
            assert parts.groups() == list(groups[1])
            parts.name_group(1, "Joe")
            assert bank.person("Joe").sample_count > 0
            for change in (
                lambda: parts.scan(folder),
                lambda: parts.merge(tmp_path / "whole.scan"),
                lambda: parts.forget(folder),
            ):
                with pytest.raises(UsageError, match="only read"):
                    change()
        assert not (tmp_path / "shards.lock").exists()


def test_an_album_is_remembered_until_it_is_closed(tmp_path: Path, shards: Path) -> None:
    gallery = tmp_path / "a.facebank"
    with FaceBank.open(gallery) as bank:
        identity = bank.engine.identity
        write_shard(tmp_path / "own" / "1.parquet", [made_up_file("/a/1.jpg", 1, 2, identity.dimension)], pack=identity)
        assert album_scan_path(gallery) == default_scan_path(gallery)
        with bank.album(tmp_path / "own") as album:
            album.make_own()
        with bank.album() as album:
            assert (album.path, album.count()) == (tmp_path / "own", 1)
            assert album.content().parquet_shards == 1
            with pytest.raises(UsageError, match="facebank album close"):
                album.scan(tmp_path)
        with pytest.raises(PackMismatchError), bank.album(shards) as album:
            album.make_own()
        assert album_scan_path(gallery) == tmp_path / "own"
    assert close_album(gallery)
    assert not close_album(gallery)
    assert album_scan_path(gallery) == default_scan_path(gallery)


def test_a_damaged_note_of_an_album_is_refused(tmp_path: Path) -> None:
    gallery = tmp_path / "a.facebank"
    for damage in ("", "{", '{"album": 3}', '{"album": "relative"}', '{"album": "/a\\u0000b"}', "[]"):
        album_link_path(gallery).write_text(damage)
        with pytest.raises(StorageError, match="contains no path of an album"):
            album_scan_path(gallery)
