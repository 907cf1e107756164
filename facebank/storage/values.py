"""Validation of stored values and rows; raises `InvalidValueError`, to which callers add the location.

A row's digest, 16 bytes over the table's name and every value with its type, detects a flipped bit. It protects against
damage, not against a malicious author of a file, who can compute new digests. Scans and the cache of evaluated faces
use these digests. Galleries use others (`facebank.gallery.store.digests`), which can be summed, and computed for many
rows at once; both are on disk, so neither can replace the other.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from hashlib import blake2b
from struct import pack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

DIGEST_SIZE = 16
"""Size of a row's digest in bytes."""

_HASH = re.compile(r"[0-9a-f]{64}")


class InvalidValueError(ValueError):
    """A stored value is invalid; the message gives the reason, the caller adds the location."""


def integer(value: object) -> int:
    """Validate and return an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError(f"it contains {str(value)[:40]!r} instead of an integer")
    return value


def integer_between(value: object, minimum: int, maximum: int) -> int:
    """Validate and return an integer from `minimum` to `maximum`."""
    number = integer(value)
    if not minimum <= number <= maximum:
        raise InvalidValueError(f"it contains the number {str(number)[:40]}, which is not from {minimum} to {maximum}")
    return number


def finite_number(value: object) -> float:
    """Validate and return a finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidValueError(f"it contains {str(value)[:40]!r} instead of a finite number")
    return float(value)


def fraction(value: object) -> float:
    """Validate and return a number from 0 to 1."""
    number = finite_number(value)
    if not 0 <= number <= 1:
        raise InvalidValueError("it contains a number that is not between 0 and 1")
    return number


def flag(value: object) -> bool:
    """Validate a boolean stored as 0 or 1, and return it."""
    if value not in (0, 1):
        raise InvalidValueError("it contains a flag that is neither 0 nor 1")
    return bool(value)


def text(value: object) -> str:
    """Validate and return a text."""
    if not isinstance(value, str):
        raise InvalidValueError(f"it contains {str(value)[:40]!r} instead of text")
    return value


def hex_digest(value: object) -> str:
    """Validate and return a SHA-256 in hex."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidValueError("it contains a hash that is not a SHA-256 in hex")
    return value


def quarter_turns(value: object) -> int:
    """Validate and return a number of quarter turns, 0..3."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 3:
        raise InvalidValueError(f"the number of quarter turns is 0 to 3, not {str(value)[:40]}")
    return value


def time_to_text(moment: datetime) -> str:
    """Return a time in ISO 8601."""
    return moment.isoformat()


def text_to_time(value: object) -> datetime:
    """Return the time of a text in ISO 8601."""
    try:
        return datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InvalidValueError("it contains an invalid time") from error


def path_to_bytes(path: str) -> bytes:
    """Return a path as bytes, because SQLite's text cannot contain its surrogates."""
    return path.encode("utf-8", "surrogatepass")


def bytes_to_path(data: object) -> str:
    """Return the path that was encoded by `path_to_bytes`."""
    try:
        if isinstance(data, bytes):
            return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidValueError("it contains an invalid path") from error
    raise InvalidValueError("it contains an invalid path")


def row_digest(table: str, values: Iterable[object]) -> bytes:
    """Return the digest, 16 bytes, of a row's column values, the digest excluded.

    Raises `TypeError` for a value that SQLite cannot store.
    """
    parts = [b"%d:" % len(table), table.encode()]
    for value in values:
        if isinstance(value, bytes):
            parts += (b"b%d:" % len(value), value)
        elif isinstance(value, str):
            encoded = value.encode("utf-8", "surrogatepass")
            parts += (b"t%d:" % len(encoded), encoded)
        elif isinstance(value, int):
            parts.append(b"i%d;" % value)
        elif isinstance(value, float):
            parts.append(b"r" + pack("<d", value + 0.0))  # SQLite does not store a negative zero
        elif value is None:
            parts.append(b"n")
        else:
            raise TypeError(f"SQLite cannot store a {type(value).__name__}")
    return blake2b(b"".join(parts), digest_size=DIGEST_SIZE).digest()


def verify_row(table: str, row: Sequence[object]) -> Sequence[object]:
    """Verify a row's digest, the last column, and return the row without it."""
    *values, digest = row
    if digest != row_digest(table, values):
        raise InvalidValueError(f"a row of its table '{table}' was altered")
    return values


def register_row_digest(connection: sqlite3.Connection) -> None:
    """Register the SQL function ``row_digest('people', id, name, ...)``, for updates in place."""

    def digest(table: str, *values: object) -> bytes:
        return row_digest(table, values)

    connection.create_function("row_digest", -1, digest, deterministic=True)
