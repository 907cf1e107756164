"""A digest for each row of an SQLite file: a flipped bit is noticed when the row is read.

The digest covers the table's name and every value with its type, so that neither a value nor a whole row can stand in
another's place. It protects against damage, not against an author of files, who can make new digests: what a value may
be is checked apart.

Scans and the cache of evaluated faces keep these digests. A gallery's are others (`facebank.gallery.store.digests`),
which can be summed and are made for 100,000 rows at once; both are on disk, so neither can take the other's place.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import pack
from typing import TYPE_CHECKING

from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

DIGEST_SIZE = 16
"""Bytes of a digest."""


def row_digest(table: str, values: Iterable[object]) -> bytes:
    """Return the digest of a row, 16 bytes.

    Parameters
    ----------
    table
        The table's name.
    values
        All columns but the digest itself, as SQLite gives them: None, whole and real numbers, texts and bytes.
    """
    parts = [b"%d:" % len(table), table.encode()]
    for value in values:
        if isinstance(value, bytes):
            parts += (b"b%d:" % len(value), value)
        elif isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
            parts += (b"t%d:" % len(text), text)
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
    """Return a row without its digest, which comes last; raises `InvalidValueError` where they disagree.

    Parameters
    ----------
    table
        The table's name.
    row
        All columns, in the order in which `row_digest` was given them, and the digest.
    """
    *values, digest = row
    if digest != row_digest(table, values):
        raise InvalidValueError(f"a row of its table '{table}' was altered")
    return values


def teach_row_digest(connection: sqlite3.Connection) -> None:
    """Let SQL compute digests: ``row_digest('people', id, name, ...)``, for rows that are changed in place."""

    def digest(table: str, *values: object) -> bytes:
        return row_digest(table, values)

    connection.create_function("row_digest", -1, digest, deterministic=True)
