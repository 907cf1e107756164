"""The scan file's tables, how they are made and checked, and SQLite's errors in our words.

::

    scan      one row: the version, and the pack that made the embeddings
    photos    one row for each content, however many files have it
    faces     the faces of a photo, largest first
    files     a path, its size and time, and its photo, or why it cannot be read
    groups    the group of a face and its place in it, as grouped last
    apart     two faces that are not one person, as somebody said
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from facebank.dates import CLOCK_RESETS
from facebank.errors import PackMismatchError, ScanBusyError, ScanFormatError, StorageError
from facebank.gallery.connection import choose_journal, is_writable
from facebank.gallery.places import is_on_network
from facebank.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.gallery import PackIdentity

_VERSION = 2
_APPLICATION_ID = 0x46424E53  # FBNS
_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    "CREATE TABLE scan (version INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, "
    "dimension INTEGER NOT NULL)",
    "CREATE TABLE photos (id INTEGER PRIMARY KEY, content_hash TEXT NOT NULL UNIQUE, width INTEGER NOT NULL, "
    "height INTEGER NOT NULL, quarter_turns INTEGER NOT NULL, taken_at TEXT, "
    "camera_dated INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE faces (id INTEGER PRIMARY KEY, photo INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE, "
    "numbers BLOB NOT NULL, weaknesses TEXT NOT NULL)",
    "CREATE INDEX faces_of_photo ON faces (photo)",
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, "
    "photo INTEGER REFERENCES photos, error TEXT) WITHOUT ROWID",
    "CREATE INDEX files_of_photo ON files (photo)",
    "CREATE TABLE groups (face INTEGER PRIMARY KEY REFERENCES faces ON DELETE CASCADE, number INTEGER NOT NULL, "
    "position INTEGER NOT NULL)",
    "CREATE TABLE apart (first INTEGER NOT NULL REFERENCES faces ON DELETE CASCADE, "
    "second INTEGER NOT NULL REFERENCES faces ON DELETE CASCADE, PRIMARY KEY (first, second)) WITHOUT ROWID",
)
# A file's modification time was kept in UTC; a date without an offset, or with another one, is a camera's.
_DATED_BY_A_CAMERA = """
    UPDATE photos SET camera_dated = 1
    WHERE taken_at NOT LIKE '%+00:00' AND date(substr(taken_at, 1, 10)) NOT IN (?, ?, ?, ?, ?, ?, ?)
        AND date(substr(taken_at, 1, 10)) BETWEEN '1840-01-01' AND date('now', '+1 day')"""
_SAID = {
    sqlite3.SQLITE_FULL: (StorageError, "cannot be written, the disk is full: make room and scan again"),
    sqlite3.SQLITE_IOERR: (StorageError, "cannot be read or written: the disk is full or damaged"),
    sqlite3.SQLITE_READONLY: (StorageError, "cannot be changed: it may not be written"),
    sqlite3.SQLITE_CANTOPEN: (StorageError, "cannot be opened: facebank must be able to write beside it"),
    sqlite3.SQLITE_NOTADB: (ScanFormatError, "is no scan: name another file"),
    sqlite3.SQLITE_BUSY: (ScanBusyError, "is in use by another process: try again when that has finished"),
}


def is_filled(path: Path) -> bool:
    """Return whether there is a file that is not empty."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def make_empty(path: Path) -> None:
    """Make an empty file that only its owner can read; an empty one is a scan not yet begun."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StorageError(f"the scan {printable(str(path))} cannot be made: {error.strerror}") from error


def prepare(connection: sqlite3.Connection, path: Path, pack: PackIdentity) -> None:
    """Make the tables of an empty file; else make sure that it is a scan of the pack, and bring it up to date."""
    name = printable(str(path))
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        choose_journal(connection, log=not is_on_network(path))
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        row = (_VERSION, pack.name, pack.digest, pack.dimension)
        connection.execute("INSERT INTO scan VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
        return
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise ScanFormatError(f"{name} is no scan: name another file")
    version, made_by, digest, dimension = connection.execute("SELECT * FROM scan").fetchone()
    if version > _VERSION:
        raise ScanFormatError(f"the scan {name} was written by a newer facebank: update facebank")
    if (digest, dimension) != (pack.digest, pack.dimension):
        raise PackMismatchError(
            f"the scan {name} was made with the pack {printable(made_by)!r}, not {printable(pack.name)!r}: use that "
            "pack, or remove the file and scan again"
        )
    if version < _VERSION and is_writable(path):
        _bring_up_to_date(connection)


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("SELECT version FROM scan").fetchone()[0] < _VERSION:  # nobody else was faster
            connection.execute("ALTER TABLE photos ADD COLUMN camera_dated INTEGER NOT NULL DEFAULT 0")
            connection.execute(_DATED_BY_A_CAMERA, CLOCK_RESETS)
            connection.execute("UPDATE scan SET version = ?", (_VERSION,))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def said_plainly(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into facebank's own, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        damaged = (ScanFormatError, f"is damaged ({printable(str(error))}): remove it and scan again")
        kind, trouble = _SAID.get(code, damaged)
        raise kind(f"the scan {printable(str(path))} {trouble}") from error
