"""Stored values and rows, checked when they are read back: raises `InvalidValueError`, and the caller says where.

A row's digest, 16 bytes over the table's name and every value with its type, detects a flipped bit. It protects against
damage, not against the author of a file, who can make new digests. Scans and the cache of evaluated faces hold these
digests. Galleries hold others (`facebank.gallery.store.digests`), which can be summed and computed for 100,000 rows at
once; both are on disk, so neither can replace the other.
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
"""Bytes of a row's digest."""

_HASH = re.compile(r"[0-9a-f]{64}")


class InvalidValueError(ValueError):
    """A stored value that cannot be; the message says why, the caller says where."""


# Values ---------------------------------------------------------------------------------------------------------


def whole(value: object) -> int:
    """Return a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where a whole number belongs")
    return value


def between(value: object, least: int, most: int) -> int:
    """Return a whole number from `least` to `most`."""
    number = whole(value)
    if not least <= number <= most:
        raise InvalidValueError(f"it holds the number {str(number)[:40]}, which cannot be")
    return number


def real(value: object) -> float:
    """Return a finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where a finite number belongs")
    return float(value)


def fraction(value: object) -> float:
    """Return a number from 0 to 1."""
    number = real(value)
    if not 0 <= number <= 1:
        raise InvalidValueError("it holds a number that is not between 0 and 1")
    return number


def flag(value: object) -> bool:
    """Return a truth value that SQLite keeps as 0 or 1."""
    if value not in (0, 1):
        raise InvalidValueError("it holds something else than yes or no")
    return bool(value)


def text(value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where a text belongs")
    return value


def hex_digest(value: object) -> str:
    """Return a SHA-256 in hex."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidValueError("it holds a content hash that is no SHA-256 in hex")
    return value


def turns(value: object) -> int:
    """Return how often a photo is turned, 0..3 times."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 3:
        raise InvalidValueError(f"a photo is turned 0 to 3 times, not {str(value)[:40]}")
    return value


def time_to_text(moment: datetime) -> str:
    """Return a time in ISO 8601."""
    return moment.isoformat()


def text_to_time(value: object) -> datetime:
    """Return the time of an ISO 8601 text."""
    try:
        return datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InvalidValueError("it holds a time that is none") from error


def path_to_bytes(path: str) -> bytes:
    """Return a path's bytes: it may hold surrogates, which SQLite's text cannot."""
    return path.encode("utf-8", "surrogatepass")


def bytes_to_path(data: object) -> str:
    """Return the path that `path_to_bytes` was given."""
    try:
        if isinstance(data, bytes):
            return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidValueError("it holds a path that is none") from error
    raise InvalidValueError("it holds a path that is none")


# Rows -----------------------------------------------------------------------------------------------------------


def row_digest(table: str, values: Iterable[object]) -> bytes:
    """Return the digest, 16 bytes, of all columns of a row but the digest itself, as SQLite gives them."""
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
            parts.append(b"r" + pack("<d", value + 0.0))  # SQLite keeps no negative zero
        elif value is None:
            parts.append(b"n")
        else:
            raise TypeError(f"SQLite keeps no {type(value).__name__}")
    return blake2b(b"".join(parts), digest_size=DIGEST_SIZE).digest()


def checked_row(table: str, row: Sequence[object]) -> Sequence[object]:
    """Return a row without its digest, the last column, after checking it."""
    *values, digest = row
    if digest != row_digest(table, values):
        raise InvalidValueError(f"a row of its table '{table}' was altered")
    return values


def teach_row_digest(connection: sqlite3.Connection) -> None:
    """Let SQL compute digests, as ``row_digest('people', id, name, ...)``, for rows changed in place."""

    def digest(table: str, *values: object) -> bytes:
        return row_digest(table, values)

    connection.create_function("row_digest", -1, digest, deterministic=True)
