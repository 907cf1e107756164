"""Many Parquet shards read as one, with an index of the current rows and of the rows with each photo's faces.

About 20 bytes per file are kept in memory, in arrays; everything else is read again, a row group at a time. Rows are
numbered from 0, in the order of the shards' names and of their rows. If several rows have one path, the current row is
that of the shard from the last scan of the path's folder, as in a merge; without such a shard, the last by name.
"""

from __future__ import annotations

import os
import secrets
from array import array
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.scan.merging import SeenFolders, is_later, require_one_division
from facebank.album.scan.parquet_rows import SCANNED
from facebank.album.scan.parquet_shards import ParquetShard
from facebank.errors import ScanBusyError, ScanFormatError
from facebank.storage.files import file_version
from facebank.storage.paths import outermost
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.album.scan.parquet_rows import FileRecord
    from facebank.album.scan.rows import FaceRow, ShardRow
    from facebank.gallery import PackIdentity

_MAX_CACHED_GROUPS = 4  # row groups, with their faces
_MAX_OPEN_SHARDS = 8
_NONE = -1


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group of one of the shards."""

    shard: int  # index of the shard
    group: int  # index of the row group in the shard
    first: int  # number of its first row
    size: int  # number of rows


class ParquetArchive:
    """Parquet shards of a pack, opened when needed; several threads may use it.

    Raises the errors of `ParquetShard.open`, and `UsageError` if two are the same shard of a folder.
    """

    def __init__(self, paths: Sequence[Path], pack: PackIdentity) -> None:
        self.scanned_folders: list[list[ShardRow]] = []
        """For each Parquet shard, the scanned folders and shards of folders."""
        self.groups = list[RowGroup]()
        """All row groups, in the order of their rows."""
        self._paths, self._pack, self._lock = paths, pack, RLock()
        self._versions = [file_version(path) for path in paths]
        self._open: OrderedDict[int, ParquetShard] = OrderedDict()
        # by number of the group's first row
        self._read: OrderedDict[int, list[tuple[FileRecord, list[FaceRow]]]] = OrderedDict()
        self._index: ArchiveIndex | None = None
        first = 0
        for number, path in enumerate(paths):
            with ParquetShard.open(path, pack) as shard:
                self.scanned_folders.append(list(shard.header.shards))
                for group, size in enumerate(shard.group_sizes):
                    self.groups.append(RowGroup(number, group, first, size))
                    first += size
        self._firsts = [group.first for group in self.groups]
        require_one_division(paths, self.scanned_folders)

    def close(self) -> None:
        """Close the shards."""
        with self._lock:
            for shard in self._open.values():
                shard.close()
            self._open.clear()
            self._read.clear()

    @property
    def index(self) -> ArchiveIndex:
        """The index of the rows, made on first use from all rows without their faces."""
        with self._lock:
            if self._index is None:
                self._index = ArchiveIndex(self)
            return self._index

    def path_of(self, group: RowGroup) -> Path:
        """Return the path of a row group's shard."""
        return self._paths[group.shard]

    def records(self, group: RowGroup) -> list[FileRecord]:
        """Return the files of a row group, without their faces."""
        with self._lock:
            return self._shard(group.shard).records(group.group)

    def rows(self, group: RowGroup) -> list[tuple[FileRecord, list[FaceRow]]]:
        """Return the files of a row group, each with its faces."""
        with self._lock:
            if group.first in self._read:
                self._read.move_to_end(group.first)
            else:
                self._read[group.first] = self._shard(group.shard).records_and_faces(group.group)
                if len(self._read) > _MAX_CACHED_GROUPS:
                    self._read.popitem(last=False)
            return self._read[group.first]

    def row(self, number: int) -> tuple[FileRecord, list[FaceRow]]:
        """Return the file of a row, with its faces."""
        group = self.groups[int(np.searchsorted(self._firsts, number, side="right")) - 1]
        return self.rows(group)[number - group.first]

    def _shard(self, number: int) -> ParquetShard:
        path = self._paths[number]
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        shard = ParquetShard.open(path, self._pack)
        if file_version(path) != self._versions[number]:
            shard.close()
            raise ScanBusyError(f"The Parquet shard {printable(str(path))} was changed while it was read: try again.")
        self._open[number] = shard
        if len(self._open) > _MAX_OPEN_SHARDS:
            self._open.popitem(last=False)[1].close()
        return shard


class ArchiveIndex:
    """The current rows of an archive, the rows with their photos' faces, and the numbers of the faces."""

    def __init__(self, archive: ParquetArchive) -> None:
        rows = _Rows()
        for group in archive.groups:
            rows.add(archive, group)
        self.counts: NDArray[np.int32] = np.array(rows.counts, dtype=np.int32)
        """Number of faces of each row, ``int32`` of shape ``(R,)``."""
        contents = np.array(rows.contents, dtype=np.uint64)
        is_readable, has_faces = _flags(rows.readable), _flags(rows.scanned)
        current = _last_of_each(np.array(rows.paths, dtype=np.uint64), rows.ranks(archive)) & _flags(rows.current)
        self.current: NDArray[np.bool_] = current
        """Whether each row is current, ``bool`` of shape ``(R,)``; at most one row of a path is."""
        self.owners: NDArray[np.int64] = _owners(contents, np.flatnonzero(has_faces), current)
        """The row with the faces of each current row, ``int64`` of shape ``(R,)``; -1 for unreadable and other rows."""
        pictures = np.array(rows.pictures, dtype=np.uint64)
        is_edited = (self.owners == _NONE) & (pictures != 0)
        self.owners[is_edited] = _owners(pictures, np.flatnonzero(has_faces & (pictures != 0)), current)[is_edited]
        lost = np.flatnonzero(current & is_readable & (self.owners == _NONE))
        if len(lost):
            record, _ = archive.row(int(lost[0]))
            raise ScanFormatError(
                f"The Parquet shards list {printable(record.path)} as a copy of a photo that none of them has: add the "
                "shard that has it."
            )
        self.owners[~(current & is_readable)] = _NONE
        used = self.owners != _NONE
        self.photo_ids: NDArray[np.int64] = np.unique(self.owners[used])
        """Numbers of the current photos, ascending: the rows with their faces, ``int64`` of shape ``(P,)``."""
        self._first_face_ids = 1 + np.concatenate(([0], np.cumsum(self.counts[self.photo_ids], dtype=np.int64)))
        order = np.argsort(contents[self.photo_ids])
        self._contents, self._by_content = contents[self.photo_ids][order], self.photo_ids[order]
        self._key = rows.key

    @property
    def face_count(self) -> int:
        """The number of faces of current photos."""
        return int(self._first_face_ids[-1]) - 1

    def first_face_id(self, photo_id: int) -> int:
        """Return the number of the first face of a photo."""
        return int(self._first_face_ids[np.searchsorted(self.photo_ids, photo_id)])

    def photo_of_face(self, face_id: int) -> int:
        """Return the number of the photo of a face; raises `KeyError` if there is no such face."""
        if not 1 <= face_id <= self.face_count:
            raise KeyError(face_id)
        return int(self.photo_ids[np.searchsorted(self._first_face_ids, face_id, side="right") - 1])

    def file_of(self, photo_id: int) -> int:
        """Return the first current row that is a file of a photo."""
        return int(np.argmax(self.owners == photo_id))

    def photos_of(self, content_hashes: Collection[str]) -> dict[str, int]:
        """Return the numbers of photos by their SHA-256, in hex; unknown ones are omitted."""
        photo_ids = {}
        for content_hash in content_hashes:
            key = self._key(bytes.fromhex(content_hash))
            index = int(np.searchsorted(self._contents, np.uint64(key)))
            if index < len(self._contents) and int(self._contents[index]) == key:
                photo_ids[content_hash] = int(self._by_content[index])
        return photo_ids


class _Rows:
    """The columns from which an index is made; paths and hashes are 64-bit hashes with a random key."""

    def __init__(self) -> None:
        self.paths, self.contents, self.pictures = (array("Q") for _ in range(3))
        self.counts, self.shards = array("i"), array("i")
        self.readable, self.scanned, self.current = (bytearray() for _ in range(3))
        self.key = partial(_key, secrets.token_bytes(16))
        self._seen: tuple[SeenFolders | None, dict[int, SeenFolders]] | None = None

    def add(self, archive: ParquetArchive, group: RowGroup) -> None:
        """Add the rows of a row group."""
        whole, own = self._seen_folders(archive, group.shard)
        for record in archive.records(group):
            photo, content_hash = record.photo, record.content_hash
            picture = None if photo is None else photo.picture_hash
            self.paths.append(self.key(os.fsencode(record.path)))
            self.contents.append(0 if content_hash is None else self.key(bytes.fromhex(content_hash)))
            self.pictures.append(0 if picture is None else self.key(bytes.fromhex(picture)))
            self.counts.append(0 if photo is None else photo.face_count)
            self.shards.append(group.shard)
            self.readable.append(record.error is None)
            self.scanned.append(record.status == SCANNED)
            is_past = whole is not None and is_later(whole.begun_at(record.path), own.begun_at(record.path))
            self.current.append(not is_past)

    def ranks(self, archive: ParquetArchive) -> NDArray[np.int64]:
        """Return a rank for each row; of two rows of a path, the one with the higher rank is current."""
        never = datetime.min.replace(tzinfo=UTC)
        times = [max((row.scanned_at for row in rows), default=never) for rows in archive.scanned_folders]
        order = sorted(range(len(times)), key=lambda shard: (times[shard], shard))
        rank = np.empty(len(times), dtype=np.int64)
        rank[order] = np.arange(len(times))
        return rank[np.array(self.shards, dtype=np.int64)]

    def _seen_folders(self, archive: ParquetArchive, shard: int) -> tuple[SeenFolders | None, SeenFolders]:
        """Return the folders seen by all shards together (None if no two overlap) and by one shard alone."""
        if self._seen is None:
            rows = [row for folders in archive.scanned_folders for row in folders]
            divisions = {(row.place, row.shard.count) for row in rows}
            overlap = len(outermost({place for place, _ in divisions})) < len(divisions)
            self._seen = SeenFolders(rows, frozenset()) if overlap else None, {}
        whole, own = self._seen
        if shard not in own:
            own[shard] = SeenFolders(archive.scanned_folders[shard], frozenset())
        return whole, own[shard]


def _key(secret: bytes, value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8, key=secret).digest()) or 1


def _flags(values: bytearray) -> NDArray[np.bool_]:
    return np.frombuffer(bytes(values), dtype=np.bool_)


def _last_of_each(keys: NDArray[np.uint64], ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows have the highest rank of all rows with their key; of equal ranks, the last row."""
    order = np.lexsort((np.arange(len(keys)), ranks, keys))
    last = np.ones(len(keys), dtype=np.bool_)
    last[:-1] = keys[order][1:] != keys[order][:-1]
    is_last = np.zeros(len(keys), dtype=np.bool_)
    is_last[order[last]] = True
    return is_last


def _owners(keys: NDArray[np.uint64], owning: NDArray[np.int64], current: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each row one of `owning` with the same key: the first current one, else the first; -1 for none."""
    order = owning[np.lexsort((owning, ~current[owning], keys[owning]))]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = keys[order][1:] != keys[order][:-1]
    order = order[first]
    if not len(order):
        return np.full(len(keys), _NONE, dtype=np.int64)
    indices = np.minimum(np.searchsorted(keys[order], keys), len(order) - 1)
    return np.where(keys[order][indices] == keys, order[indices], _NONE).astype(np.int64)
