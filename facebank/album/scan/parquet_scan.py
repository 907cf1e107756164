"""A folder of Parquet shards, or a single shard, as a read-only scan, for archives that outgrow one file.

Its content is that of a merge of the shards, but photos come in the order of the shards, not of their paths. Groups of
faces are stored beside the shards; any other change raises `UsageError`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn, cast

import numpy as np

from facebank.album.scan.merging import is_inside, join_shards
from facebank.album.scan.parquet_archive import ParquetArchive
from facebank.album.scan.parquet_groups import FaceName, ShardGroups
from facebank.album.scan.parquet_source import shards_in
from facebank.album.scan.rows import FileRow, ShardRow, TagRow, faces_of, numbers_of
from facebank.album.scan.scan_file import Counts, ScanFile, StoredFaces
from facebank.album.scan.videos import ScanVideos
from facebank.errors import ScanFormatError, UsageError
from facebank.storage.face_rows import embeddings_of, qualities_of
from facebank.storage.files import file_version, is_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.album.scan.parquet_archive import RowGroup
    from facebank.album.scan.parquet_rows import FileRecord
    from facebank.album.scan.rows import FaceRow, PhotoRow
    from facebank.album.scan.tables import ScanTables
    from facebank.gallery import PackIdentity
    from facebank.types import Photo

_MAX_PEOPLE_FACES = 200_000


def read_only_error(path: Path, *, is_opened: bool = False) -> UsageError:
    """Return the error for a change to Parquet shards, with advice; `is_opened` if they are the gallery's own album."""
    shown = printable(str(path))
    close = ", or go back to the gallery's own scan with 'facebank album close'" if is_opened else ""
    return UsageError(
        f"{shown} holds Parquet shards, which are only read: make a scan file of them with 'facebank scan --merge "
        f"{shown} --scan-file FILE.scan', and name that with --scan-file{close}"
    )


class _NoTables:
    """Stands in for the tables of a scan file; any use raises the error for a read-only scan."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> NoReturn:
        raise read_only_error(self._path)


class ParquetScan(ScanFile):
    """A folder of Parquet shards, or one shard, as a scan. Use ``with`` to close it; several threads may use it.

    Raises `ScanFormatError` (there is no shard, or a damaged one), `PackMismatchError` (another pack made one),
    `UsageError` (two are the same shard of a folder) or `MissingDependencyError` (the extra `cluster` is not
    installed).
    """

    def __init__(self, path: Path, pack: PackIdentity) -> None:
        self.path = path
        self._dimension = pack.dimension
        self._tables = cast("ScanTables", _NoTables(path))
        self.videos = ScanVideos(self._tables, pack.dimension)
        self._archive = ParquetArchive(shards_in(path) if is_folder(path) else [path], pack)
        self._groups = ShardGroups(path if is_folder(path) else path.parent)
        self._dates: dict[int, tuple[datetime | None, bool]] = {}

    def close(self) -> None:
        """Close the shards."""
        self._archive.close()

    def known_files(self, place: str) -> list[FileRow]:
        """As for `ScanFile`; a photo's number is that of the row with its faces."""
        files = []
        for number, record in self._records():
            if is_inside(record.path, place):
                photo_id = None if record.error is not None else int(self._archive.index.owners[number])
                files.append(FileRow(record.path, record.state, photo_id, record.error, record.readers))
        return sorted(files, key=lambda file: os.fsencode(file.path))

    def unreadable(self, place: str) -> dict[str, str]:
        """As for `ScanFile`."""
        return {file.path: file.error for file in self.known_files(place) if file.error is not None}

    def count_in(self, place: str) -> int:
        """As for `ScanFile`."""
        return sum(record.error is None and is_inside(record.path, place) for _, record in self._records())

    def count(self) -> Counts:
        """As for `ScanFile`."""
        index = self._archive.index
        return Counts(int(np.count_nonzero(index.owners >= 0)), len(index.photo_ids), index.face_count)

    def version(self) -> str:
        """Return a digest that changes whenever a shard is added, changed or removed."""
        digest = hashlib.sha256()
        for path in shards_in(self.path) if is_folder(self.path) else [self.path]:
            digest.update(b"%s\0%s\0" % (os.fsencode(path), str(file_version(path)).encode()))
        return digest.hexdigest()

    def known_photos(self) -> set[bytes]:
        """As for `ScanFile`."""
        hashes = (record.content_hash for _, record in self._records() if record.error is None)
        return {bytes.fromhex(content_hash) for content_hash in hashes if content_hash is not None}

    def tags(self) -> list[TagRow]:
        """Return an empty list: facebank writes no names for the photos of shards."""
        return []

    def shards(self) -> list[ShardRow]:
        """As for `ScanFile`."""
        return join_shards((row for rows in self._archive.scanned_folders for row in rows), ())

    def photos(self, places: Sequence[str] = ()) -> Iterator[Photo]:
        """As for `ScanFile`, in the order of the shards."""
        for _, photo in self._photos_in(places, once=False):
            yield photo

    def each_photo(self, places: Sequence[str] = ()) -> Iterator[tuple[list[int], Photo]]:
        """As for `ScanFile`, in the order of the shards."""
        yield from self._photos_in(places, once=True)

    def face_table(self) -> StoredFaces:
        """As for `ScanFile`."""
        return self._table_of(self._archive.index.photo_ids)

    def people_table(self) -> StoredFaces:
        """As for `ScanFile`."""
        index = self._archive.index
        return self._table_of(index.photo_ids[:: max(1, index.face_count // _MAX_PEOPLE_FACES)])

    def _table_of(self, photo_ids: NDArray[np.int64]) -> StoredFaces:
        """Return the faces of photos, given by their ascending numbers."""
        index, end = self._archive.index, 0
        counts = index.counts[photo_ids]
        total = int(counts.sum())
        embeddings = np.empty((total, self._dimension), dtype=np.float32)
        qualities = np.empty(total, dtype=np.float32)
        wanted = np.zeros(len(index.counts), dtype=np.bool_)
        wanted[photo_ids] = True
        for group in self._archive.groups:
            is_wanted = wanted[group.first : group.first + group.size]
            if not is_wanted.any():
                continue
            rows = [row for row, keep in zip(self._archive.rows(group), is_wanted, strict=True) if keep]
            faces = [face for _, photo_faces in rows for face in photo_faces]
            if faces:
                numbers = numbers_of(faces, self._dimension)
                begin, end = end, end + len(faces)
                embeddings[begin:end], qualities[begin:end] = embeddings_of(numbers), qualities_of(numbers)
        first_ids = np.array([index.first_face_id(photo_id) for photo_id in photo_ids.tolist()], dtype=np.int64)
        face_ids = np.repeat(first_ids - np.cumsum(counts) + counts, counts) + np.arange(total)
        return StoredFaces(face_ids, np.repeat(photo_ids, counts), embeddings, qualities)

    def dates_of(self, face_ids: Iterable[int]) -> list[tuple[datetime | None, bool]]:
        """As for `ScanFile`."""
        photo_ids = list(dict.fromkeys(map(self._photo_of, face_ids)))
        if any(photo_id not in self._dates for photo_id in photo_ids):
            grouped = {self._photo_of(face_id) for group in self.groups().values() for face_id in group}
            for number, record in self._records_at(grouped.union(photo_ids)):
                if record.photo is not None:
                    taken_at = record.photo.taken_at
                    if taken_at is not None and taken_at.tzinfo is None:
                        taken_at = taken_at.replace(tzinfo=UTC)
                    self._dates[number] = taken_at, record.photo.camera_dated
        return [self._dates[photo_id] for photo_id in photo_ids]

    def locate_face(self, face_id: int) -> tuple[Photo, int]:
        """As for `ScanFile`; of several files, the first in the shards."""
        photo_id, index = self._photo_of(face_id), self._archive.index
        record, rows = self._archive.row(photo_id)
        path = self._archive.row(index.file_of(photo_id))[0].path
        if record.photo is None:
            raise ScanFormatError(f"{printable(str(self.path))} has lost a photo: open it again.")
        (faces,) = faces_of([rows], self._dimension)
        return record.photo.with_faces(path, faces), face_id - index.first_face_id(photo_id)

    def _photo_of(self, face_id: int) -> int:
        try:
            return self._archive.index.photo_of_face(face_id)
        except KeyError as error:
            raise ScanFormatError(
                f"{printable(str(self.path))} has no face {face_id}: group the faces again."
            ) from error

    def _photos_in(self, places: Sequence[str], *, once: bool) -> Iterator[tuple[list[int], Photo]]:
        """Yield photos by their files, each only once if `once` is set, with the numbers of their faces."""
        index = self._archive.index
        seen = np.zeros(len(index.owners), dtype=np.bool_)
        for group in self._archive.groups:
            wanted: list[tuple[FileRecord, PhotoRow, list[FaceRow], int]] = []
            for number, record, faces in self._rows_in(group, places):
                photo_id = int(index.owners[number])
                if once and seen[photo_id]:
                    continue
                seen[photo_id] = True
                owner, owned_rows = (record, faces) if photo_id == number else self._archive.row(photo_id)
                row = record.photo or owner.photo
                if row is not None:
                    wanted.append((record, row, owned_rows, index.first_face_id(photo_id)))
            faces_of_photos = faces_of([rows for _, _, rows, _ in wanted], self._dimension)
            for (record, row, _, first_id), photo_faces in zip(wanted, faces_of_photos, strict=True):
                yield list(range(first_id, first_id + len(photo_faces))), row.with_faces(record.path, photo_faces)

    def _rows_in(self, group: RowGroup, places: Sequence[str]) -> Iterator[tuple[int, FileRecord, list[FaceRow]]]:
        """Yield the current rows of a group that are photos, in some folders or in all."""
        is_photo = self._archive.index.owners[group.first : group.first + group.size] >= 0
        if not is_photo.any():
            return
        if places and not any(_is_in(record.path, places) for record in self._archive.records(group)):
            return
        for number, (record, faces) in enumerate(self._archive.rows(group), group.first):
            if is_photo[number - group.first] and (not places or _is_in(record.path, places)):
                yield number, record, faces

    def _records(self) -> Iterator[tuple[int, FileRecord]]:
        """Yield the current files with their row numbers, without their faces."""
        current = self._archive.index.current
        for group in self._archive.groups:
            for number, record in enumerate(self._archive.records(group), group.first):
                if current[number]:
                    yield number, record

    def _records_at(self, numbers: Collection[int]) -> Iterator[tuple[int, FileRecord]]:
        """Yield the rows with some numbers, without their faces."""
        wanted = np.zeros(len(self._archive.index.counts), dtype=np.bool_)
        wanted[np.fromiter(numbers, dtype=np.int64, count=len(numbers))] = True
        for group in self._archive.groups:
            if wanted[group.first : group.first + group.size].any():
                for number, record in enumerate(self._archive.records(group), group.first):
                    if wanted[number]:
                        yield number, record

    def groups(self) -> dict[int, list[int]]:
        """As for `ScanFile`; faces of removed shards are omitted."""
        groups, _ = self._groups.read()
        face_ids = self._face_ids({name for names in groups.values() for name in names})
        present = {number: [face_ids[name] for name in names if name in face_ids] for number, names in groups.items()}
        return {number: group for number, group in present.items() if group}

    def told_apart(self) -> list[tuple[int, int]]:
        """As for `ScanFile`; faces of removed shards are omitted."""
        _, pairs = self._groups.read()
        ids = self._face_ids({name for pair in pairs for name in pair})
        present = [(ids[first], ids[second]) for first, second in pairs if {first, second} <= ids.keys()]
        return sorted((min(pair), max(pair)) for pair in present)

    def keep_groups(self, groups: Mapping[int, Sequence[int]]) -> None:
        """As for `ScanFile`; raises `StorageError` if the folder of the shards is not writable."""
        names = self._names({face_id for face_ids in groups.values() for face_id in face_ids})
        current = {number: [names[face_id] for face_id in face_ids] for number, face_ids in groups.items()}
        self._groups.write(current, self._groups.read()[1])

    def tell_apart(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """As for `ScanFile`; raises `StorageError` if the folder of the shards is not writable."""
        known = set(self.told_apart())
        new = sorted({(min(pair), max(pair)) for pair in pairs} - known)
        self._keep_apart(known.union(new))
        return new

    def withdraw_apart(self, pairs: Iterable[tuple[int, int]]) -> int:
        """As for `ScanFile`; raises `StorageError` if the folder of the shards is not writable."""
        recorded, withdrawn = set(self.told_apart()), set(pairs)
        self._keep_apart(recorded - withdrawn)
        return len(recorded & withdrawn)

    def _keep_apart(self, pairs: Collection[tuple[int, int]]) -> None:
        names = self._names({face_id for pair in pairs for face_id in pair})
        self._groups.write(self._groups.read()[0], [(names[first], names[second]) for first, second in sorted(pairs)])

    def _names(self, face_ids: Collection[int]) -> dict[int, FaceName]:
        """Return the names of faces, which stay the same when shards are added or removed, by number."""
        index = self._archive.index
        photo_ids = {face_id: self._photo_of(face_id) for face_id in face_ids}
        hashes = {number: record.content_hash or "" for number, record in self._records_at(set(photo_ids.values()))}
        return {
            face_id: (hashes[photo_id], face_id - index.first_face_id(photo_id))
            for face_id, photo_id in photo_ids.items()
        }

    def _face_ids(self, names: Collection[FaceName]) -> dict[FaceName, int]:
        """Return the numbers of faces by name; faces of removed shards are omitted."""
        index = self._archive.index
        photo_ids = index.photos_of({content_hash for content_hash, _ in names})
        return {
            (content_hash, position): index.first_face_id(photo_ids[content_hash]) + position
            for content_hash, position in names
            if content_hash in photo_ids and position < index.counts[photo_ids[content_hash]]
        }


def _is_in(path: str, places: Sequence[str]) -> bool:
    return any(is_inside(path, place) for place in places)
