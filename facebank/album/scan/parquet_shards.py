"""Parquet shards: the results of some of a scan's files in one Parquet file, written by one of many machines.

A shard has one row per file, with its faces nested in it and the embeddings as Arrow vectors; the columns are those of
`facebank.album.scan.parquet_rows`. Its footer names the format, the pack, and the shards of folders
(`facebank.media.Shard`) that were scanned for it. It is written atomically, and never changed.

Pages have checksums, and each row has digests that also cover its position. A digest of the footer, the seal, lies
before the footer, where other programs do not read it. It is checked before the footer is parsed, because Arrow aborts
the process on some damaged footers. Damage raises `ScanFormatError` and never changes a result. The digests protect
against damage, not against the author of a file, so every value is also validated as in a scan file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import IO, TYPE_CHECKING, Any

from facebank.album.scan.parquet_pages import MAX_ROWS, GroupPages, check_pages, groups_in
from facebank.album.scan.parquet_rows import (
    EDITED,
    FILE_COLUMNS,
    SCANNED,
    FileRecord,
    columns_of,
    faces_in,
    record_of,
    records_in,
    schema_of,
)
from facebank.album.scan.rows import FaceRow, ShardRow, faces_of, shard_of_values, shard_values
from facebank.album.scan.scan_file import ScannedFile
from facebank.album.scan.schema import pack_mismatch_error
from facebank.errors import ScanFormatError, ScanNotFoundError, UsageError
from facebank.gallery import PackIdentity
from facebank.storage.arrow import pyarrow
from facebank.storage.files import face_file_mode, is_file, new_file, read_reason, translate_write_errors
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, hex_digest, integer_between, text

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from facebank.types import Face

FORMAT = 1
"""The version of the format that is written, and the newest that is read."""

_PREFIX = "facebank."
_KEYS = (
    *("format", "version", "pack", "pack_digest", "dimension", "runtime", "looked_through", "files", "photos", "faces"),
)
_SEAL = b"facebank seal 1\n"
_SEAL_LENGTH = len(_SEAL) + 32
_TAIL = 8  # the footer's length, and a magic number
_MAX_FOOTER = 32 * 1024 * 1024  # bytes, far more than a shard of a million files needs
_MAX_VALUE = 4 * 1024 * 1024
_MAX_NAME = 200
_MAX_GROUP_FACES = 4_000  # in a row group, unless one photo has more
_MAX_FOOTER_ITEMS = 200_000  # columns of row groups, for example
_MAX_DIMENSION = 16_384
_PLAIN_COLUMNS = [*FILE_COLUMNS, "file_digest"]
_MAGIC = b"PAR1"
_ADVICE = "name a folder where you may write, with room for it"


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """The origin of a Parquet shard, from its footer."""

    pack: PackIdentity
    # the folders, or shards of them, whose photos are all in this file; empty if it has only a part of them
    shards: tuple[ShardRow, ...] = ()
    runtime: str = ""  # network runtime of the embeddings, such as ``onnxruntime``; empty if unknown
    version: str = ""  # version of facebank that wrote it; empty for this one


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """The numbers of files, photos and faces in a Parquet shard."""

    files: int  # including unreadable ones
    photos: int  # whose faces are in the shard
    faces: int


def write_parquet_shard(path: Path, files: Iterable[ScannedFile], header: ShardHeader) -> ShardCounts:
    """Write scanned files to a Parquet shard atomically, replacing an existing one.

    Parameters
    ----------
    path
        The shard, usually ``*.parquet``; its folder is created if missing.
    files
        Each path once, in any order; consumed a few at a time.
    header
        The origin of the shard.

    Returns
    -------
    ShardCounts
        The numbers of written files, photos and faces.

    Raises
    ------
    MissingDependencyError
        The extra `cluster` is not installed.
    StorageError
        The shard cannot be written.
    UsageError
        A file is invalid, has embeddings of a different dimension than the pack's, or occurs twice.
    """
    pa = pyarrow()
    schema, seen, photos, faces = schema_of(header.pack.dimension), set[str](), 0, 0
    with translate_write_errors(path, _ADVICE):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            new_file(path, mode=face_file_mode()) as part,
            pa.parquet.ParquetWriter(
                part.stream,
                schema,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            ) as writer,
        ):
            for group in _groups(files):
                try:
                    table = _table_of(group, seen, header.pack.dimension)
                except (InvalidValueError, pa.ArrowException, OverflowError) as error:
                    first, last = printable(group[0].path), printable(group[-1].path)
                    raise UsageError(
                        f"{printable(str(path))} cannot store the results of {first} to {last}: {error}"
                    ) from error
                writer.write_table(table, row_group_size=len(group))
                photos += sum(file.photo is not None for file in group)
                faces += sum(0 if file.photo is None else len(file.photo.faces) for file in group)
            counts = ShardCounts(len(seen), photos, faces)
            writer.add_key_value_metadata(_footer_of(header, counts))
            writer.close()
            _insert_seal(part.stream)
    return counts


def _table_of(files: Sequence[ScannedFile], seen: set[str], dimension: int) -> Any:
    """Return the rows of files, and add their paths to `seen`."""
    first, records = len(seen), [record_of(file) for file in files]
    seen.update(file.path for file in files)
    if len(seen) != first + len(files):
        raise InvalidValueError("it holds a path twice")
    return columns_of(records, [file.photo for file in files], first, dimension)


def _groups(files: Iterable[ScannedFile]) -> Iterator[list[ScannedFile]]:
    group, faces = list[ScannedFile](), 0
    for file in files:
        count = 0 if file.photo is None else len(file.photo.faces)
        if group and (len(group) >= MAX_ROWS or faces + count > _MAX_GROUP_FACES):
            yield group
            group, faces = [], 0
        group.append(file)
        faces += count
    if group:
        yield group


def _footer_of(header: ShardHeader, counts: ShardCounts) -> dict[str, str]:
    from facebank import __version__

    shards = [[row.place, *shard_values(row)[1:]] for row in header.shards]
    values = (
        *(FORMAT, header.version or __version__, header.pack.name, header.pack.digest, header.pack.dimension),
        *(header.runtime, json.dumps(shards), counts.files, counts.photos, counts.faces),
    )
    return {f"{_PREFIX}{key}": str(value) for key, value in zip(_KEYS, values, strict=True)}


def _insert_seal(stream: IO[bytes]) -> None:
    """Insert the seal before the footer of an otherwise complete file."""
    stream.seek(-_TAIL, os.SEEK_END)
    length = int.from_bytes(stream.read(4), "little")
    start = stream.seek(-_TAIL - length, os.SEEK_END)
    footer = stream.read()
    stream.seek(start)
    stream.write(_seal(footer, start) + footer)


def _seal(footer: bytes, start: int) -> bytes:
    """Return the seal for the byte offset `start` of a footer, which includes its length and magic number."""
    return _SEAL + blake2b(start.to_bytes(8, "little") + footer, digest_size=32).digest()


class ParquetShard:
    """A Parquet shard that is open for reading. Use `open`, and ``with`` to close it; not thread-safe."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path = path
        self._stream = stream
        with _translate_errors(path):
            self._parquet, self._groups = _open_pages(stream)
            self.header, self.counts = _header_of(self._parquet, path)
            if not self._parquet.schema_arrow.equals(schema_of(self.header.pack.dimension), check_metadata=False):
                raise InvalidValueError("its columns are not those of a shard")
            self._starts = [0, *accumulate(group.rows for group in self._groups)][:-1]
            if sum(group.rows for group in self._groups) != self.counts.files:
                raise InvalidValueError("some of its rows are lost")

    @classmethod
    def open(cls, path: Path, pack: PackIdentity | None = None) -> Self:
        """Open a shard, and check that it has embeddings of `pack`, if given.

        Raises `ScanNotFoundError` (the file is missing), `ScanFormatError` (it is not a Parquet shard, damaged,
        half-written, or from a newer facebank), `PackMismatchError` (another pack made its embeddings) or
        `MissingDependencyError` (the extra `cluster` is not installed).
        """
        pyarrow()
        try:
            if not is_file(path):
                raise ScanNotFoundError(f"There is no Parquet shard {printable(str(path))}: check the path.")
            stream = path.open("rb")
        except OSError as error:
            raise ScanFormatError(f"{_describe(path)} cannot be read: {read_reason(error)}.") from error
        try:
            shard = cls(path, stream)
            _require_pack(path, shard.header.pack, pack)
        except BaseException:
            stream.close()
            raise
        return shard

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def group_sizes(self) -> list[int]:
        """The number of files in each row group."""
        return [end - start for start, end in pairwise([*self._starts, self.counts.files])]

    def records(self, group: int) -> list[FileRecord]:
        """Return the files of a row group, numbered from 0, without faces; raises `ScanFormatError` if damaged."""
        with _translate_errors(self.path):
            return records_in(self._table(group, _PLAIN_COLUMNS), self._starts[group])

    def records_and_faces(self, group: int) -> list[tuple[FileRecord, list[FaceRow]]]:
        """Return the files of a row group, numbered from 0, with their faces; raises `ScanFormatError` if damaged."""
        first, dimension = self._starts[group], self.header.pack.dimension
        with _translate_errors(self.path):
            table = self._table(group)
            records = records_in(table, first)
            return list(zip(records, faces_in(table, records, first, dimension), strict=True))

    def read(self) -> Iterator[ScannedFile]:
        """Yield the scanned files in the order of the rows, with one row group in memory at a time.

        Raises `ScanFormatError` at a damaged row group, after the files before it.
        """
        for group in range(len(self._starts)):
            rows = self.records_and_faces(group)
            with _translate_errors(self.path):
                faces = faces_of([face_rows for _, face_rows in rows], self.header.pack.dimension)
            for (record, _), photo_faces in zip(rows, faces, strict=True):
                yield _scanned_file(record, photo_faces)

    def verify(self) -> None:
        """Read the whole shard; raises `ScanFormatError` if it is damaged."""
        for group in range(len(self._starts)):
            self.records_and_faces(group)

    def _table(self, group: int, columns: Sequence[str] | None = None) -> Any:
        check_pages(self._stream, self._groups[group], columns)
        return self._parquet.read_row_group(group, columns=columns, use_threads=False)


def is_parquet(path: Path) -> bool:
    """Return whether a file begins as Parquet does; False if it cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> is_parquet(Path("party.jpg"))
    False
    """
    try:
        if not is_file(path):
            return False
        with path.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _scanned_file(record: FileRecord, faces: tuple[Face, ...]) -> ScannedFile:
    photo = None if record.photo is None else record.photo.with_faces(record.path, faces)
    return ScannedFile(
        record.path,
        record.state,
        record.content_hash,
        record.error,
        photo if record.status == SCANNED else None,
        record.readers,
        photo if record.status == EDITED else None,
    )


def _open_pages(stream: IO[bytes]) -> tuple[Any, list[GroupPages]]:
    """Return the open Parquet file and its row groups; the footer is checked before Arrow reads it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise InvalidValueError("it is not a Parquet file")
    if size < len(_MAGIC) + _SEAL_LENGTH + _TAIL:
        raise InvalidValueError("it is cut off")
    stream.seek(-_TAIL, os.SEEK_END)
    tail = stream.read()
    if tail[4:] != _MAGIC:
        raise InvalidValueError("it is cut off, or was not copied whole")
    length = int.from_bytes(tail[:4], "little")
    start = size - _TAIL - length - _SEAL_LENGTH
    if start < len(_MAGIC) or length > _MAX_FOOTER:
        raise InvalidValueError("its footer is too long")
    stream.seek(start)
    seal, footer = stream.read(_SEAL_LENGTH), stream.read()
    if seal != _seal(footer, start):
        raise InvalidValueError("its footer was altered, or it is a Parquet file of something else")
    groups = groups_in(footer[:length], start)
    stream.seek(0)
    parquet = pyarrow().parquet.ParquetFile(
        stream,
        page_checksum_verification=True,
        thrift_string_size_limit=_MAX_VALUE,
        thrift_container_size_limit=_MAX_FOOTER_ITEMS,
    )
    return parquet, groups


def _header_of(parquet: Any, path: Path) -> tuple[ShardHeader, ShardCounts]:
    stored = parquet.metadata.metadata or {}
    names = [f"{_PREFIX}{key}" for key in _KEYS]
    footer = {name: stored[name.encode()].decode() for name in names if name.encode() in stored}
    if names[0] not in footer:
        raise InvalidValueError("its footer does not name a format")
    if footer[names[0]].isdecimal() and int(footer[names[0]][:9]) > FORMAT:
        raise ScanFormatError(f"{_describe(path)} was written by a newer facebank: update this one.")
    if len(footer) != len(names):
        raise InvalidValueError("its footer is incomplete")
    _, version, name, digest, dimension, runtime, folders, *counts = (footer[name] for name in names)
    pack = PackIdentity(text(name), hex_digest(digest), integer_between(_number(dimension), 1, _MAX_DIMENSION))
    files, photos, faces = (integer_between(_number(count), 0, 2**40) for count in counts)
    if max(map(len, (version, name, runtime))) > _MAX_NAME:
        raise InvalidValueError("its footer has names that are too long")
    rows = json.loads(folders)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise InvalidValueError("its footer has invalid folders")
    shards = tuple(shard_of_values((os.fsencode(text(place)), *values)) for place, *values in rows)
    return ShardHeader(pack, shards, runtime, version), ShardCounts(files, photos, faces)


def _number(value: str) -> int:
    if not value.isdecimal() or len(value) > 15:
        raise InvalidValueError(f"it holds {value[:40]!r} instead of an integer")
    return int(value)


def _require_pack(path: Path, made_by: PackIdentity, pack: PackIdentity | None) -> None:
    if pack is not None and (made_by.digest, made_by.dimension) != (pack.digest, pack.dimension):
        raise pack_mismatch_error(_describe(path), made_by.name, pack, "scan again")


def _describe(path: Path) -> str:
    return f"The Parquet shard {printable(str(path))}"


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Translate errors of Arrow and of a damaged file to `ScanFormatError` with the file's name."""
    try:
        yield
    except (pyarrow().ArrowException, InvalidValueError, OSError, ValueError, OverflowError, RecursionError) as error:
        lines = str(error).splitlines() or [""]
        reason = printable(lines[0])[:_MAX_NAME]
        raise ScanFormatError(
            f"{_describe(path)} is damaged or half-written ({reason}): copy it again, or scan its photos again."
        ) from error
