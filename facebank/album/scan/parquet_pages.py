"""Validation of the footer and the page headers of a Parquet shard before Arrow reads them.

Arrow does not validate them: it aborts the process on some invalid ones, and a page of a few bytes may unpack to
gigabytes. Both are in Thrift's compact protocol, of which this module reads the part that a footer needs; fields have
the numbers of Parquet's definition. Only pages as facebank writes them are accepted: plain, without dictionaries and
compression, which limits their content to their size.

- https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
- https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

from facebank.storage.values import InvalidValueError, integer_between

MAX_ROWS = 1_000
"""Maximum number of rows in a row group."""

MAX_FACES = 100_000
"""Maximum number of faces in a row group, and in a photo."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_MAX_DEPTH = 12
_MAX_HEADER = 256  # bytes of a page's header, which has no statistics
_PLAIN, _RLE, _UNCOMPRESSED, _DATA_PAGE = 0, 3, 0, 0


@dataclass(frozen=True, slots=True)
class ColumnPages:
    """The location of a column's pages in a row group."""

    name: str  # of the outermost column in the schema
    offset: int  # bytes from the beginning of the file
    size: int  # bytes
    values: int  # number of values


@dataclass(frozen=True, slots=True)
class GroupPages:
    """A row group as the footer describes it."""

    rows: int  # number of rows
    columns: tuple[ColumnPages, ...]


def groups_in(footer: bytes, end: int) -> list[GroupPages]:
    """Return the row groups of a footer; raises `InvalidValueError` if a page reaches beyond the byte offset `end`."""
    metadata = _Compact(footer).struct()
    groups = [_group(_struct(group), end) for group in _list(metadata.get(4))]
    rows = integer_between(metadata.get(3), 0, 2**40)
    if sum(group.rows for group in groups) != rows:
        raise InvalidValueError("some of its rows are lost")
    return groups


def _group(group: dict[int, Any], end: int) -> GroupPages:
    columns = tuple(_column(_struct(column), end) for column in _list(group.get(1)))
    for column, following in pairwise(sorted(columns, key=lambda column: column.offset)):
        if column.offset + column.size > following.offset:
            raise InvalidValueError("its columns overlap")
    return GroupPages(integer_between(group.get(3), 1, MAX_ROWS), columns)


def _column(chunk: dict[int, Any], end: int) -> ColumnPages:
    meta = _struct(chunk.get(3))
    size, path = integer_between(meta.get(7), 0, end), _list(meta.get(3))
    if 1 in chunk or 11 in meta or meta.get(4) != _UNCOMPRESSED or meta.get(6) != size:
        raise InvalidValueError("it would take more memory than its size allows")
    if not set(_list(meta.get(2))) <= {_PLAIN, _RLE} or not path or not isinstance(path[0], bytes):
        raise InvalidValueError("it has pages of a different kind than a shard's")
    offset = integer_between(meta.get(9), 4, end - size)
    # a value takes at least 4 bytes; a null takes none, and belongs to a row or a face
    values = integer_between(meta.get(5), 0, MAX_ROWS + MAX_FACES + size // 4)
    return ColumnPages(path[0].decode(), offset, size, values)


def check_pages(stream: IO[bytes], group: GroupPages, names: Collection[str] | None = None) -> None:
    """Raise `InvalidValueError` unless the pages of the named columns, or of all, match their sizes in the footer."""
    for column in group.columns:
        if names is not None and column.name not in names:
            continue
        position, end, values = column.offset, column.offset + column.size, 0
        while position < end:
            stream.seek(position)
            reader = _Compact(stream.read(min(_MAX_HEADER, end - position)))
            header = reader.struct()
            page, size = _struct(header.get(5)), integer_between(header.get(3), 0, end - position - reader.position)
            is_plain = [page.get(number) for number in (2, 3, 4)] == [_PLAIN, _RLE, _RLE]
            if header.get(1) != _DATA_PAGE or header.get(2) != size or not is_plain:
                raise InvalidValueError("it has pages of a different kind than a shard's")
            values += integer_between(page.get(1), 0, column.values - values)
            position += reader.position + size
        if values != column.values:
            raise InvalidValueError("some of its values are lost")


class _Compact:
    """Reader of structures in Thrift's compact protocol, with fields by number and strings as bytes."""

    def __init__(self, data: bytes) -> None:
        self.position = 0
        self._data = data

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of the structure at the current position."""
        if depth > _MAX_DEPTH:
            raise InvalidValueError("its footer is nested too deeply")
        fields, number = dict[int, Any](), 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._signed()
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._unsigned()
            return [self._value(head & 15, depth + 1) for _ in range(self._check_count(count))]
        if kind in (_TRUE, _FALSE, _BYTE):  # inside a list
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise InvalidValueError("its footer has a field of an unknown type")

    def _check_count(self, count: int) -> int:
        """Return `count` if so many values of at least one byte can follow; raises `InvalidValueError` otherwise."""
        return integer_between(count, 0, len(self._data) - self.position)

    def _bytes(self, count: int) -> bytes:
        begin = self.position
        self.position += self._check_count(count)
        return self._data[begin : self.position]

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise InvalidValueError("it is cut off")
        self.position += 1
        return self._data[self.position - 1]

    def _unsigned(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise InvalidValueError("its footer holds a number that is too large")

    def _signed(self) -> int:
        number = self._unsigned()
        return (number >> 1) ^ -(number & 1)


def _struct(value: object) -> dict[int, Any]:
    if not isinstance(value, dict):
        raise InvalidValueError("its footer lacks a structure that a shard has")
    return value


def _list(value: object) -> Sequence[Any]:
    if not isinstance(value, list):
        raise InvalidValueError("its footer lacks a list that a shard has")
    return value
