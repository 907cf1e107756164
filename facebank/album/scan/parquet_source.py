"""Parquet shards as sources of a merge, each open only while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from facebank.album.scan.parquet_rows import EDITED, SCANNED
from facebank.album.scan.parquet_shards import ParquetShard
from facebank.album.scan.rows import FileRow
from facebank.errors import ScanFormatError
from facebank.storage.connections import UnusableError
from facebank.storage.files import read_reason
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.album.scan.merge_sources import SourcePhoto
    from facebank.album.scan.parquet_rows import FileRecord
    from facebank.album.scan.rows import FaceRow, ShardRow
    from facebank.gallery import PackIdentity


def shards_in(folder: Path) -> list[Path]:
    """Return the Parquet shards of a folder (``*.parquet``), sorted by name.

    Raises `ScanFormatError` if there is none, or the folder cannot be read.
    """
    try:
        paths = sorted(path for path in folder.glob("*.parquet") if path.is_file())
    except OSError as error:
        raise ScanFormatError(f"The folder {printable(str(folder))} cannot be read: {read_reason(error)}.") from error
    if not paths:
        raise ScanFormatError(
            f"{printable(str(folder))} is a folder without Parquet shards (*.parquet): name the path of a scan."
        )
    return paths


class ParquetSource:
    """A Parquet shard as a `merge_sources.MergeSource`; raises the errors of `ParquetShard.open`."""

    def __init__(self, path: Path, pack: PackIdentity) -> None:
        self.path = path
        self._pack = pack
        self._index: _Index | None = None
        with ParquetShard.open(path, pack) as shard:
            self._header, self.file_count = shard.header, shard.counts.files

    @contextmanager
    def reading(self) -> Iterator[None]:
        """As for `MergeSource`."""
        with ParquetShard.open(self.path, self._pack) as shard:
            self._index = _Index(shard)
            try:
                yield
            finally:
                self._index = None

    def shards(self) -> list[ShardRow]:
        """As for `MergeSource`."""
        return list(self._header.shards)

    def contents(self) -> dict[int, str]:
        """As for `MergeSource`."""
        return {photo_id: content_hash for content_hash, photo_id in self._open.photo_ids.items()}

    def files(self) -> list[FileRow]:
        """As for `MergeSource`, in the order in which they were written."""
        return self._open.files

    def photos_at(self, photo_ids: Sequence[int]) -> list[SourcePhoto]:
        """As for `MergeSource`."""
        return [self._open.photo(photo_id) for photo_id in photo_ids]

    @property
    def _open(self) -> _Index:
        if self._index is None:
            raise UnusableError("is used outside of reading")
        return self._index


class _Index:
    """The files of an open shard, and the rows of its photos; caches the faces of one row group."""

    def __init__(self, shard: ParquetShard) -> None:
        self.files = list[FileRow]()
        self.photo_ids = dict[str, int]()  # numbers of the photos, by SHA-256 in hex
        self._shard = shard
        self._locations = dict[int, tuple[int, int]]()  # row group and row, by number of the photo
        self._group: tuple[int, list[tuple[FileRecord, list[FaceRow]]]] = -1, []
        for group in range(len(shard.group_sizes)):
            for row, record in enumerate(shard.records(group)):
                self._add(record, (group, row))

    def _add(self, record: FileRecord, location: tuple[int, int]) -> None:
        photo_id = None
        if record.content_hash is not None and record.error is None:
            photo_id = self.photo_ids.setdefault(record.content_hash, len(self.photo_ids))
            if record.status == SCANNED or (record.photo is not None and photo_id not in self._locations):
                self._locations[photo_id] = location
        self.files.append(FileRow(record.path, record.state, photo_id, record.error, record.readers))

    def photo(self, photo_id: int) -> SourcePhoto:
        """Return the photo with a number; see `MergeSource`."""
        if photo_id not in self._locations:
            return None
        group, row = self._locations[photo_id]
        if self._group[0] != group:
            self._group = group, self._shard.records_and_faces(group)
        record, faces = self._group[1][row]
        return None if record.photo is None else (record.photo, None if record.status == EDITED else faces)
