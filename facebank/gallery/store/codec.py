"""Arrays, times, paths and names as SQLite keeps them, checked when they come back."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facebank.errors import InvalidNameError
from facebank.gallery.names import are_plain, normalise_name
from facebank.storage.dates import earliest_day
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.types import FloatArray

Number = TypeVar("Number", np.int64, np.float64)

LARGEST_DIMENSION = 16_384
LONGEST_NOTE = 2000
_NORM_TOLERANCE = 1e-3
_HASH = re.compile(r"[0-9a-f]{64}")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")


def floats_to_bytes(values: FloatArray) -> bytes:
    """Return an array's values as little-endian ``float32``."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def floats_from_bytes(data: object, shape: tuple[int, ...]) -> FloatArray:
    """Return what `floats_to_bytes` made; raises `InvalidValueError` for another length or non-finite values."""
    if not isinstance(data, bytes) or len(data) != 4 * int(np.prod(shape)):
        raise InvalidValueError(f"it holds an array that has not the shape {shape}")
    return finite(np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(shape))


def finite(values: FloatArray) -> FloatArray:
    """Return the values; raises `InvalidValueError` unless all are finite."""
    if not np.isfinite(values).all():
        raise InvalidValueError("it holds numbers that are not finite")
    return values


def float_array(values: object, shape: tuple[int, ...]) -> FloatArray:
    """Return numbers as finite ``float32`` of a shape; raises `InvalidValueError` where they are something else."""
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused for that
            array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError("it holds something else than numbers") from error
    if array.shape != shape:
        raise InvalidValueError(f"expected an array of shape {shape} but got {array.shape}")
    return finite(array)


def unit_rows(rows: Sequence[bytes], dimension: int) -> FloatArray:
    """Return stored embeddings as a matrix ``(N, dimension)``; raises `InvalidValueError` if one is no embedding."""
    if not rows:
        return np.empty((0, dimension), np.float32)
    try:
        data = bytearray().join(rows)  # which an array may share, and write to
    except TypeError as error:
        raise InvalidValueError(f"an embedding has not {dimension} numbers") from error
    if set(map(len, rows)) != {4 * dimension}:
        raise InvalidValueError(f"an embedding has not {dimension} numbers")
    return unit_length(np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False).reshape(len(rows), dimension))


def unit_length(matrix: FloatArray) -> FloatArray:
    """Return the matrix ``(N, dimension)``; raises `InvalidValueError` unless its rows are finite, of length 1."""
    with np.errstate(over="ignore"):
        lengths = np.sqrt(np.einsum("...i,...i->...", matrix, matrix))
    if not (np.abs(lengths - 1.0) <= _NORM_TOLERANCE).all():
        finite(matrix)
        raise InvalidValueError("an embedding is not L2-normalised")
    return matrix


def hex_digest(text: object) -> str:
    """Return a SHA-256 in hex; raises `InvalidValueError` for anything else."""
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise InvalidValueError("it holds a content hash that is no SHA-256 in hex")
    return text


def turns(value: object) -> int:
    """Return how often a photo is turned; raises `InvalidValueError` for anything but 0 to 3 times."""
    if not isinstance(value, int) or not 0 <= value <= 3:
        raise InvalidValueError(f"a photo is turned 0 to 3 times, not {value}")
    return value


def variant_name(text: object) -> str:
    """Return a variant's name; raises `InvalidValueError` unless it is like ``plain`` or ``augmented:shift``."""
    if not isinstance(text, str) or not _VARIANT.fullmatch(text):
        raise InvalidValueError("it holds a variant's name that is none")
    return text


def time_to_text(moment: datetime) -> str:
    """Return a time in ISO 8601."""
    return moment.isoformat()


def text_to_time(text: object) -> datetime:
    """Return the time of an ISO 8601 text; raises `InvalidValueError` for anything else."""
    try:
        return datetime.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InvalidValueError("it holds a time that is none") from error


def path_to_bytes(path: str) -> bytes:
    """Return a path's bytes; a path may hold what is no UTF-8, which SQLite's text cannot."""
    return path.encode("utf-8", "surrogatepass")


def bytes_to_path(data: object) -> str:
    """Return the path that `path_to_bytes` was given; raises `InvalidValueError` for anything else."""
    if not isinstance(data, bytes):
        raise InvalidValueError("it holds a path that is none")
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidValueError("it holds a path that is none") from error


def whole(value: object) -> int:
    """Return a whole number; raises `InvalidValueError` for anything else."""
    if not isinstance(value, int):
        raise InvalidValueError("it holds something else than a number")
    return value


def wholes(values: Sequence[Any]) -> NDArray[np.int64]:
    """Return whole numbers as an array; raises `InvalidValueError` for anything else."""
    return _numbers(values, np.int64)


def reals(values: Sequence[Any]) -> NDArray[np.float64]:
    """Return numbers as an array; raises `InvalidValueError` for anything else."""
    return _numbers(values, np.float64)


def _numbers(values: Sequence[Any], kind: type[Number]) -> NDArray[Number]:
    try:
        return np.array(values, dtype=kind)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError("it holds something else than a number") from error


def real(value: object) -> float:
    """Return a finite number; raises `InvalidValueError` for anything else."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidValueError("it holds something else than a finite number")
    return float(value)


def share(value: object) -> float:
    """Return a number from 0 to 1; raises `InvalidValueError` for anything else."""
    number = real(value)
    if not 0 <= number <= 1:
        raise InvalidValueError("it holds a number that is not between 0 and 1")
    return number


def flag(value: object) -> bool:
    """Return a truth value that SQLite keeps as 0 or 1; raises `InvalidValueError` for anything else."""
    if value not in (0, 1):
        raise InvalidValueError("it holds something else than yes or no")
    return bool(value)


def birth_date(value: object) -> str:
    """Return a birth date; raises `InvalidValueError` unless it is ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    try:
        if isinstance(value, str):
            earliest_day(value)
            return value
    except ValueError as error:
        raise InvalidValueError("it holds a birth date that is none") from error
    raise InvalidValueError("it holds a birth date that is none")


def note(value: object) -> str:
    """Return a note; raises `InvalidValueError` unless it is a text of 1 to 2,000 characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NOTE:
        raise InvalidValueError(f"it holds a note that is no text of 1 to {LONGEST_NOTE:,} characters")
    return value


def person_name(value: object) -> str:
    """Return a person's name; raises `InvalidValueError` for what could not have been kept as one."""
    try:
        if isinstance(value, str) and normalise_name(value) == value:
            return value
    except InvalidNameError as error:
        raise InvalidValueError("it holds a person's name that is none") from error
    raise InvalidValueError("it holds a person's name that is none")


def person_names(values: Sequence[object]) -> list[str]:
    """Return people's names; raises `InvalidValueError` where `person_name` does."""
    return list(values) if are_plain(values) else [person_name(value) for value in values]


def only(cursor: sqlite3.Cursor) -> Any:
    """Return the one value of the one row asked for; raises `InvalidValueError` if there is none."""
    row = cursor.fetchone()
    if row is None:
        raise InvalidValueError("a row is missing")
    (value,) = row
    return value
