"""Digests that detect damage: 64 bits over a row's columns, and their sums over many rows.

Every flipped bit and every run of up to 32 damaged bits in a value is detected. The digests do not protect against a
deliberate change of the file. NULL does not contribute, so that a new column leaves existing digests unchanged.
"""

from __future__ import annotations

import struct
from enum import Enum
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

import numpy as np

from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

Value: TypeAlias = int | float | str | bytes | None
"""A value of a column."""

Column: TypeAlias = "Sequence[Any] | NDArray[Any]"
"""The values of a column in many rows, in their order."""

_BITS = (1 << 64) - 1
_FACTORS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # factors and shifts of splitmix64 (public domain)
_DOUBLE = struct.Struct("<d")


class ColumnKind(Enum):
    """The type of a column."""

    INTEGER = ("a whole number", int, bool)
    REAL = ("a number", float, int)
    TEXT = ("a text", str)
    BLOB = ("bytes", bytes)

    def __init__(self, label: str, *types: type) -> None:
        self.label = label
        self.types = frozenset(types)

    def type_error(self) -> InvalidValueError:
        """Return the error for a value of the wrong type."""
        return InvalidValueError(f"it contains a value that is not {self.label}")


def row_digest(name: str, values: Mapping[str, Value], kinds: Mapping[str, ColumnKind]) -> int:
    """Return a row's digest, a signed 64-bit number.

    Parameters
    ----------
    name
        The table's name; part of the digest.
    values
        Values by column.
    kinds
        Types by column, at least for the given values.

    Raises
    ------
    InvalidValueError
        A value is not of its column's type.
    """
    return signed(_mix(_total(name, values, kinds) & _BITS))


def row_digests(
    name: str,
    columns: Mapping[str, Column],
    kinds: Mapping[str, ColumnKind],
    count: int,
    shared: Mapping[str, Value] | None = None,
) -> NDArray[np.int64]:
    """Return the digests of `count` rows, ``(N,)``, from their columns and the values `shared` by all rows."""
    total = np.full(count, _total(name, shared or {}, kinds) & _BITS, dtype=np.uint64)
    for column, values in columns.items():
        present, numbers = _numbers(values, kinds[column])
        mixed = _mix_all(numbers ^ np.uint64(_seed(name, column)))
        if present is None:
            total += mixed
        else:
            total[present] += mixed
    return _mix_all(total).view(np.int64)


def sum_digests(digests: NDArray[np.int64]) -> int:
    """Return the sum of digests as a signed 64-bit number."""
    return signed(int(digests.view(np.uint64).sum(dtype=np.uint64)))


def signed(number: int) -> int:
    """Return a number's lowest 64 bits as a signed number."""
    number &= _BITS
    return number - (1 << 64) if number >> 63 else number


@cache
def _seed(name: str, column: str = "") -> int:
    text = f"{name}.{column}" if column else name
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _total(name: str, values: Mapping[str, Value], kinds: Mapping[str, ColumnKind]) -> int:
    total = _seed(name)
    for column, value in values.items():
        if value is not None:
            total += _mix(_seed(name, column) ^ _number(value, kinds[column]))
    return total


def _mix(number: int) -> int:
    number = (number ^ number >> 30) * _FACTORS[0] & _BITS
    number = (number ^ number >> 27) * _FACTORS[1] & _BITS
    return number ^ number >> 31


def _mix_all(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(_FACTORS[0])
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(_FACTORS[1])
    return numbers ^ numbers >> np.uint64(31)


def _number(value: Value, kind: ColumnKind) -> int:
    if type(value) not in kind.types:
        raise kind.type_error()
    if isinstance(value, (str, bytes)):
        data = value.encode("utf-8") if isinstance(value, str) else value
        return crc32(data) | len(data) << 32
    if kind is ColumnKind.REAL:
        return int.from_bytes(_DOUBLE.pack(value), "little")
    return int(value or 0) & _BITS


def _encode(texts: Column) -> list[bytes]:
    encoded = "\n".join(texts).encode("utf-8").split(b"\n")
    return encoded if len(encoded) == len(texts) else [text.encode("utf-8") for text in texts]


def _numbers(values: Column, kind: ColumnKind) -> tuple[NDArray[np.bool_] | None, NDArray[np.uint64]]:
    """Return which rows have a value (None: all), and numbers for those values."""
    present = None
    if not isinstance(values, np.ndarray):
        if None in values:
            present = np.array([value is not None for value in values], dtype=np.bool_)
            values = [value for value in values if value is not None]
        if not set(map(type, values)) <= kind.types:
            raise kind.type_error()
    if kind is ColumnKind.INTEGER:
        return present, np.array(values, dtype=np.int64).view(np.uint64)
    if kind is ColumnKind.REAL:
        return present, np.array(values, dtype=np.float64).view(np.uint64)
    texts = _encode(values) if kind is ColumnKind.TEXT else values
    sums = np.fromiter(map(crc32, texts), dtype=np.uint64, count=len(texts))
    return present, sums | np.fromiter(map(len, texts), dtype=np.uint64, count=len(texts)) << np.uint64(32)
