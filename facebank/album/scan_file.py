"""The scan file: which photos there are, by content, and the faces that were found in them.

One SQLite file. It holds faces of everybody in the photos, so that only its owner can read it; what a scan finds gone
is wiped from it.

::

    scan      one row: the version, and the pack that made the embeddings
    photos    one row for each content, however many files have it
    faces     the faces of a photo, largest first
    files     a path, its size and time, and its photo, or why it cannot be read
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import PackMismatchError, ScanBusyError, ScanFormatError, ScanNotFoundError, StorageError
from facebank.face_numbers import face_from_numbers, face_to_numbers, width_of
from facebank.faces import PhotoFaces
from facebank.gallery.connection import choose_journal, connect
from facebank.gallery.places import is_on_network
from facebank.text import printable

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from facebank.gallery import PackIdentity

_VERSION = 1
_APPLICATION_ID = 0x46424E53  # FBNS
_WAIT_SECONDS = 60.0
_PAGE = 500
_SCHEMA = (
    f"PRAGMA application_id = {_APPLICATION_ID}",
    "CREATE TABLE scan (version INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, "
    "dimension INTEGER NOT NULL)",
    "CREATE TABLE photos (id INTEGER PRIMARY KEY, content_hash TEXT NOT NULL UNIQUE, width INTEGER NOT NULL, "
    "height INTEGER NOT NULL, quarter_turns INTEGER NOT NULL, taken_at TEXT)",
    "CREATE TABLE faces (id INTEGER PRIMARY KEY, photo INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE, "
    "numbers BLOB NOT NULL, weaknesses TEXT NOT NULL)",
    "CREATE INDEX faces_of_photo ON faces (photo)",
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, "
    "photo INTEGER REFERENCES photos, error TEXT) WITHOUT ROWID",
    "CREATE INDEX files_of_photo ON files (photo)",
)
_SAID = {
    sqlite3.SQLITE_FULL: (StorageError, "cannot be written, the disk is full: make room and scan again"),
    sqlite3.SQLITE_IOERR: (StorageError, "cannot be read or written: the disk is full or damaged"),
    sqlite3.SQLITE_READONLY: (StorageError, "cannot be changed: it may not be written"),
    sqlite3.SQLITE_CANTOPEN: (StorageError, "cannot be opened: facebank must be able to write beside it"),
    sqlite3.SQLITE_NOTADB: (ScanFormatError, "is no scan: name another file"),
    sqlite3.SQLITE_BUSY: (ScanBusyError, "is in use by another process: try again when that has finished"),
}


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file looked like from outside: when both are as they were, it is taken to be the same.

    Attributes
    ----------
    size
        In bytes.
    modified
        Time of the last change in nanoseconds since 1970.
    """

    size: int
    modified: int


@dataclass(frozen=True, slots=True, eq=False)
class ScannedFile:
    """What a scan found out about a file.

    Attributes
    ----------
    path
        Absolute.
    state
        As it was before it was read.
    content_hash
        SHA-256 of its bytes, in hex; None where not even those can be read.
    error
        Why it cannot be read; None where it can.
    found
        What was found in it; None where that was known already, or it cannot be read.
    """

    path: str
    state: FileState
    content_hash: str | None
    error: str | None
    found: PhotoFaces | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many files can be read, how many different photos they are, and how many faces those have."""

    files: int
    photos: int
    faces: int


class ScanFile:
    """Photos by content, with their faces. Use `open`, and ``with`` to close it.

    Parameters
    ----------
    path
        The file.
    connection
        To it.
    dimension
        Length of the embeddings.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, dimension: int) -> None:
        self.path = path
        self._connection = connection
        self._dimension = dimension

    @classmethod
    def open(cls, path: Path, pack: PackIdentity, *, create: bool = False) -> Self:
        """Open a scan file.

        Parameters
        ----------
        path
            The file.
        pack
            Whose embeddings it holds.
        create
            Whether to make it where there is none.

        Raises
        ------
        ScanNotFoundError
            There is none.
        ScanFormatError
            It is no scan file, a damaged one, or one of a newer facebank.
        PackMismatchError
            Another pack made its embeddings.
        StorageError
            It cannot be made or opened.
        """
        if not _is_filled(path):
            if not create:
                raise ScanNotFoundError(f"there is no scan {printable(str(path))} yet: 'facebank scan DIR' makes it")
            _make(path)
        with _said_plainly(path):
            connection = connect(path, busy_timeout=_WAIT_SECONDS)
        try:
            with _said_plainly(path):
                _prepare(connection, path, pack)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, pack.dimension)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def files(self, place: str) -> dict[str, FileState]:
        """Return the files known in a folder and the folders in it, or a single file, with their states."""
        exact, below, above = _range_of(place)
        rows = self._rows(
            "SELECT path, size, modified FROM files WHERE path = ? OR (path > ? AND path < ?)", (exact, below, above)
        )
        return {os.fsdecode(path): FileState(size, modified) for path, size, modified in rows}

    def unreadable(self, place: str) -> dict[str, str]:
        """Return the files in a folder that cannot be read, and why."""
        exact, below, above = _range_of(place)
        rows = self._rows(
            "SELECT path, error FROM files WHERE error IS NOT NULL AND (path = ? OR (path > ? AND path < ?)) "
            "ORDER BY path",
            (exact, below, above),
        )
        return {os.fsdecode(path): error for path, error in rows}

    def known_photos(self) -> set[bytes]:
        """Return SHA-256 of all photos whose faces are there, 32 bytes each."""
        return {bytes.fromhex(content_hash) for (content_hash,) in self._rows("SELECT content_hash FROM photos")}

    def count_in(self, place: str) -> int:
        """Return how many files of a folder can be read."""
        ((count,),) = self._rows(
            "SELECT count(*) FROM files WHERE photo IS NOT NULL AND (path = ? OR (path > ? AND path < ?))",
            _range_of(place),
        )
        return int(count)

    def count(self) -> Counts:
        """Return how much it holds."""
        (row,) = self._rows(
            "SELECT (SELECT count(*) FROM files WHERE photo IS NOT NULL), (SELECT count(*) FROM photos), "
            "(SELECT count(*) FROM faces)"
        )
        return Counts(*row)

    def keep(self, files: Sequence[ScannedFile]) -> None:
        """Remember what was found out about files, all or nothing."""
        with _said_plainly(self.path), self._transaction():
            for file in files:
                if file.found is not None:
                    self._keep_faces(file.found)
            self._connection.executemany(
                "INSERT OR REPLACE INTO files (path, size, modified, photo, error) "
                "VALUES (?, ?, ?, (SELECT id FROM photos WHERE content_hash = ?), ?)",
                [
                    (os.fsencode(file.path), file.state.size, file.state.modified, file.content_hash, file.error)
                    for file in files
                ],
            )

    def forget(self, paths: Iterable[str]) -> int:
        """Forget files, and the faces of photos that no file has any more; return how many photos that were."""
        with _said_plainly(self.path), self._transaction():
            self._connection.executemany("DELETE FROM files WHERE path = ?", [(os.fsencode(path),) for path in paths])
            gone = self._connection.execute(
                "DELETE FROM photos WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.photo = photos.id)"
            )
            return gone.rowcount

    def photos(self, places: Sequence[str] = ()) -> Iterator[PhotoFaces]:
        """Return what was found in the photos of some folders, or in all; a photo in several files comes for each.

        Yields
        ------
        PhotoFaces
            In the order of the paths.
        """
        ranges = [_range_of(place) for place in places] or [(b"", b"", b"\xff" * 8)]
        for exact, below, above in ranges:
            pages = self._pages(
                "SELECT files.path, photos.* FROM files JOIN photos ON photos.id = files.photo "
                "WHERE files.path = ? OR (files.path > ? AND files.path < ?) ORDER BY files.path",
                (exact, below, above),
            )
            for path, number, content_hash, width, height, turns, taken_at in chain.from_iterable(pages):
                when = None if taken_at is None else datetime.fromisoformat(taken_at)
                faces = tuple(self._faces(number))
                yield PhotoFaces(os.fsdecode(path), content_hash, width, height, turns, when, faces)

    def _faces(self, photo: int) -> Iterator[Any]:
        rows = self._rows("SELECT numbers, weaknesses FROM faces WHERE photo = ? ORDER BY id", (photo,))
        for numbers, weaknesses in rows:
            if len(numbers) != 4 * width_of(self._dimension):
                raise ScanFormatError(f"the scan {printable(str(self.path))} is damaged: remove it and scan again")
            yield face_from_numbers(np.frombuffer(numbers, dtype="<f4"), tuple(json.loads(weaknesses)))

    def _keep_faces(self, photo: PhotoFaces) -> None:
        when = None if photo.taken_at is None else photo.taken_at.isoformat()
        kept = self._connection.execute(
            "INSERT OR IGNORE INTO photos (content_hash, width, height, quarter_turns, taken_at) "
            "VALUES (?, ?, ?, ?, ?)",
            (photo.content_hash, photo.width, photo.height, photo.quarter_turns, when),
        )
        if kept.rowcount:
            self._connection.executemany(
                "INSERT INTO faces (photo, numbers, weaknesses) VALUES (?, ?, ?)",
                [
                    (kept.lastrowid, face_to_numbers(face).tobytes(), json.dumps(face.quality.weaknesses))
                    for face in photo.faces
                ],
            )

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        with _said_plainly(self.path):
            return self._connection.execute(statement, values).fetchall()

    def _pages(self, statement: str, values: tuple[object, ...]) -> Iterator[list[Any]]:
        """Return rows as they are asked for; nothing is left to be done where nobody asks to the end."""
        with _said_plainly(self.path):
            cursor = self._connection.execute(statement, values)
            page = cursor.fetchmany(_PAGE)
        while page:
            yield page
            with _said_plainly(self.path):
                page = cursor.fetchmany(_PAGE)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _range_of(place: str) -> tuple[bytes, bytes, bytes]:
    """Return the path itself, and what lies between which two is inside of it."""
    path = os.fsencode(place).rstrip(b"/\\") or b"/"
    separator = os.fsencode(os.sep)
    inside = path if path.endswith(separator) else path + separator
    return path, inside, inside[:-1] + bytes([inside[-1] + 1])


def _is_filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StorageError(f"the scan {printable(str(path))} cannot be made: {error.strerror}") from error


def _prepare(connection: sqlite3.Connection, path: Path, pack: PackIdentity) -> None:
    """Make the tables of an empty file; else make sure that it is a scan of the pack."""
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


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        damaged = (ScanFormatError, f"is damaged ({printable(str(error))}): remove it and scan again")
        kind, trouble = _SAID.get(code, damaged)
        raise kind(f"the scan {printable(str(path))} {trouble}") from error
