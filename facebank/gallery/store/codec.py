"""Encoding and validation of stored arrays, names and facts; raises `InvalidValueError`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facebank.errors import InvalidNameError
from facebank.gallery.names import are_plain, normalize_name
from facebank.storage.dates import earliest_day
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.types import FloatArray

Number = TypeVar("Number", np.int64, np.float64)

MAX_DIMENSION = 16_384
MAX_NOTE_LENGTH = 2000
_NORM_TOLERANCE = 1e-3
_VARIANT = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")


def floats_to_bytes(values: FloatArray) -> bytes:
    """Return an array's values as little-endian ``float32``."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def floats_from_bytes(data: object, shape: tuple[int, ...]) -> FloatArray:
    """Return the finite ``float32`` array of a shape that was encoded by `floats_to_bytes`."""
    if not isinstance(data, bytes) or len(data) != 4 * int(np.prod(shape)):
        raise InvalidValueError(f"it contains an array that is not of shape {shape}")
    return finite(np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(shape))


def finite(values: FloatArray) -> FloatArray:
    """Return values after checking that all are finite."""
    if not np.isfinite(values).all():
        raise InvalidValueError("it contains numbers that are not finite")
    return values


def float_array(values: object, shape: tuple[int, ...]) -> FloatArray:
    """Return numbers as a finite ``float32`` array of a shape."""
    try:
        with np.errstate(over="ignore"):  # too large values become infinite and are rejected below
            array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError("it contains values that are not numbers") from error
    if array.shape != shape:
        raise InvalidValueError(f"expected an array of shape {shape} but got {array.shape}")
    return finite(array)


def unit_rows(rows: Sequence[bytes], dimension: int) -> FloatArray:
    """Return stored embeddings as a matrix ``(N, dimension)``."""
    if not rows:
        return np.empty((0, dimension), np.float32)
    try:
        data = bytearray().join(rows)  # writable memory that an array can share
    except TypeError as error:
        raise InvalidValueError(f"an embedding does not have {dimension} numbers") from error
    if set(map(len, rows)) != {4 * dimension}:
        raise InvalidValueError(f"an embedding does not have {dimension} numbers")
    return unit_length(np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False).reshape(len(rows), dimension))


def unit_length(matrix: FloatArray) -> FloatArray:
    """Return a matrix ``(N, dimension)`` after checking that its rows are finite and of length 1."""
    with np.errstate(over="ignore"):
        lengths = np.sqrt(np.einsum("...i,...i->...", matrix, matrix))
    if not (np.abs(lengths - 1.0) <= _NORM_TOLERANCE).all():
        finite(matrix)
        raise InvalidValueError("an embedding is not L2-normalized")
    return matrix


def variant_name(text: object) -> str:
    """Validate and return a variant's name, such as ``plain`` or ``augmented:shift``."""
    if not isinstance(text, str) or not _VARIANT.fullmatch(text):
        raise InvalidValueError("it contains an invalid name of a variant")
    return text


def integer_array(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return integers as an array ``(N,)``."""
    return _array(values, np.int64)


def real_array(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return numbers as an array ``(N,)``."""
    return _array(values, np.float64)


def _array(values: Sequence[Any], dtype: type[Number]) -> NDArray[Number]:
    try:
        return np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError("it contains a value that is not a number") from error


def birth_date(value: object) -> str:
    """Validate and return a birth date: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    try:
        if isinstance(value, str):
            earliest_day(value)
            return value
    except ValueError as error:
        raise InvalidValueError("it contains an invalid birth date") from error
    raise InvalidValueError("it contains an invalid birth date")


def note(value: object) -> str:
    """Validate and return a note of 1 to 2,000 characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NOTE_LENGTH:
        raise InvalidValueError(f"it contains a note that is not text of 1 to {MAX_NOTE_LENGTH:,} characters")
    return value


def person_name(value: object) -> str:
    """Validate and return a person's normalized name."""
    try:
        if isinstance(value, str) and normalize_name(value) == value:
            return value
    except InvalidNameError as error:
        raise InvalidValueError("it contains an invalid name of a person") from error
    raise InvalidValueError("it contains an invalid name of a person")


def person_names(values: Sequence[object]) -> list[str]:
    """Validate and return people's names, as `person_name` does."""
    return list(values) if are_plain(values) else [person_name(value) for value in values]


def single_value(cursor: sqlite3.Cursor) -> Any:
    """Return the single value of the single row of a result."""
    row = cursor.fetchone()
    if row is None:
        raise InvalidValueError("a row is missing")
    (value,) = row
    return value
