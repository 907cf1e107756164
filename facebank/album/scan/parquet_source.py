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
        """As of `MergeSource`."""
        with ParquetShard.open(self.path, self._pack) as shard:
            self._index = _Index(shard)
            try:
                yield
            finally:
                self._index = None

    def shards(self) -> list[ShardRow]:
        """As of `MergeSource`."""
        return list(self._header.looked_through)

    def contents(self) -> dict[int, str]:
        """As of `MergeSource`."""
        return {number: content_hash for content_hash, number in self._open.numbers.items()}

    def files(self) -> list[FileRow]:
        """As of `MergeSource`, in the order in which they were written."""
        return self._open.files

    def photos_at(self, numbers: Sequence[int]) -> list[SourcePhoto]:
        """As of `MergeSource`."""
        return [self._open.photo(number) for number in numbers]

    @property
    def _open(self) -> _Index:
        if self._index is None:
            raise UnusableError("is used outside of reading")
        return self._index


class _Index:
    """The files of an open shard, and the rows of its photos; caches the faces of one row group."""

    def __init__(self, shard: ParquetShard) -> None:
        self.files = list[FileRow]()
        self.numbers = dict[str, int]()  # by SHA-256 in hex
        self._shard = shard
        self._locations = dict[int, tuple[int, int]]()  # row group and row, by number
        self._group: tuple[int, list[tuple[FileRecord, list[FaceRow]]]] = -1, []
        for group in range(len(shard.group_sizes)):
            for row, record in enumerate(shard.records(group)):
                self._add(record, (group, row))

    def _add(self, record: FileRecord, location: tuple[int, int]) -> None:
        number = None
        if record.content_hash is not None and record.error is None:
            number = self.numbers.setdefault(record.content_hash, len(self.numbers))
            if record.status == SCANNED or (record.photo is not None and number not in self._locations):
                self._locations[number] = location
        self.files.append(FileRow(record.path, record.state, number, record.error, record.readers))

    def photo(self, number: int) -> SourcePhoto:
        """Return the photo with a number; see `MergeSource`."""
        if number not in self._locations:
            return None
        group, row = self._locations[number]
        if self._group[0] != group:
            self._group = group, self._shard.records_and_faces(group)
        record, faces = self._group[1][row]
        return None if record.photo is None else (record.photo, None if record.status == EDITED else faces)
