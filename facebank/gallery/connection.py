"""How a gallery's file is opened safely, and SQLite's errors said in our words."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from facebank.errors import (
    FacebankError,
    GalleryBusyError,
    GalleryFormatError,
    GalleryNotFoundError,
    GalleryVersionError,
    StorageError,
    UsageError,
)
from facebank.gallery.codec import InvalidValueError
from facebank.gallery.places import is_read_only_medium
from facebank.gallery.schema import APPLICATION_ID, SCHEMA_VERSION, has_expected_schema, schema_version
from facebank.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"SQLite format 3\x00"
_LARGEST_VALUE = 4 * 1024 * 1024  # bytes; the largest that is ever written is a thumbnail of 256 KiB
_SETTINGS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
    "PRAGMA cache_size = -16000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA synchronous = FULL",
)

_BUSY = (GalleryBusyError, "is in use by another process: try again when that has finished")
_SAID: dict[int, tuple[type[FacebankError], str]] = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_FULL: (StorageError, "cannot be written, the disk is full: make room and try again"),
    sqlite3.SQLITE_IOERR: (StorageError, "cannot be read or written: the disk is full or damaged"),
    sqlite3.SQLITE_READONLY: (StorageError, "cannot be changed: it was opened for reading, or may not be written"),
    sqlite3.SQLITE_PERM: (StorageError, "cannot be opened: facebank has no permission"),
    sqlite3.SQLITE_CANTOPEN: (StorageError, "cannot be opened: facebank must be able to read it and write beside it"),
    sqlite3.SQLITE_NOTADB: (GalleryFormatError, "is no gallery: name another file with --gallery"),
}


@contextmanager
def said_plainly(path: Path) -> Iterator[None]:
    """Turn SQLite's errors, and stored values that cannot be, into facebank's own with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        kind, trouble = _explained(error)
        raise kind(f"The gallery {printable(str(path))} {trouble}.") from error
    except UnicodeDecodeError as error:  # even SQLite's complaint about a damaged file may hold the damage
        raise GalleryFormatError(f"The gallery {printable(str(path))} is damaged: restore it from a copy.") from error
    except InvalidValueError as error:
        raise GalleryFormatError(f"The gallery {printable(str(path))} is damaged: {error}.") from error


def make_empty_file(path: Path) -> None:
    """Make an empty file that only its owner can read, and its folder; a file that is there stays as it is.

    An empty file is a gallery not yet begun: SQLite writes all its tables in one transaction, whatever stops that
    leaves the file empty, and the next one to open it begins again.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StorageError(f"The gallery {printable(str(path))} cannot be made: {error.strerror}.") from error


def check_header(path: Path, *, may_be_empty: bool) -> None:
    """Refuse what is no gallery by its first bytes, before SQLite touches it.

    Parameters
    ----------
    path
        The file.
    may_be_empty
        Whether an empty file is welcome, because the caller is about to make a gallery of it.

    Raises
    ------
    GalleryNotFoundError, GalleryFormatError, StorageError
    """
    file = printable(str(path))
    header = _read_header(path)
    if not header and not may_be_empty:
        raise GalleryNotFoundError(f"The gallery {file} is empty: `facebank enroll` puts people into it.")
    if not header or _is_filled(path, "-journal"):
        return  # what the header says is not settled before SQLite has undone an interrupted write
    if not header.startswith(_MAGIC):
        raise GalleryFormatError(f"{file} is no gallery: name another file with --gallery.")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise GalleryFormatError(f"{file} belongs to another program: name another file with --gallery.")


def connect(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """Open a file that exists, guarded against hostile content; autocommit, so that transactions are explicit.

    Parameters
    ----------
    path
        The file.
    busy_timeout
        How long another process is waited for, in seconds.
    """
    if is_writable(path):
        mode = "rw"
    elif is_read_only_medium(path) and not _is_filled(path, "-wal"):
        mode = "ro&immutable=1"  # where no log can be written, a file in WAL mode cannot be read otherwise
    else:
        mode = "ro"
    place = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(place, uri=True, timeout=busy_timeout, isolation_level=None)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM needs one
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def is_writable(path: Path) -> bool:
    """Return whether the file and its folder, where SQLite keeps its log, may be written."""
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


def is_begun(connection: sqlite3.Connection) -> bool:
    """Return whether a file has tables at all."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(objects)


def check_schema(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file's tables, having made sure that they are a gallery's and nothing else.

    Raises
    ------
    GalleryFormatError, GalleryVersionError
    """
    file = printable(str(path))
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise GalleryFormatError(f"{file} belongs to another program: name another file with --gallery.")
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise GalleryVersionError(
            f"The gallery {file} was written by a newer facebank (schema {version}; this one knows {SCHEMA_VERSION}): "
            "update facebank."
        )
    if not has_expected_schema(connection, version):
        raise GalleryFormatError(f"The gallery {file} is damaged: its tables are not those of a gallery.")
    return version


def choose_journal(connection: sqlite3.Connection, *, log: bool) -> str:
    """Ask for the write-ahead log, or for a rollback journal, and return what SQLite made of it.

    Parameters
    ----------
    connection
        A connection that may write.
    log
        Whether the file lies where write-ahead logging is safe.

    Returns
    -------
    str
        SQLite's journal mode: ``wal``, ``delete``, or what another process insists on by using the file now.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != ("wal" if log else "delete"):
        try:
            wanted = "PRAGMA journal_mode = WAL" if log else "PRAGMA journal_mode = DELETE"
            (mode,) = connection.execute(wanted).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
    return str(mode)


def _explained(error: sqlite3.Error) -> tuple[type[FacebankError], str]:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if isinstance(error, sqlite3.ProgrammingError):
        return UsageError, f"cannot be used so ({error})"
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return GalleryFormatError, "is damaged: it is shorter than it should be"
    return _SAID.get(code & 0xFF, (GalleryFormatError, f"is damaged ({error}): restore it from a copy"))


def _read_header(path: Path) -> bytes:
    file = printable(str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise GalleryFormatError(f"{file} is no file, so it is no gallery: name another with --gallery.")
        with path.open("rb") as stream:
            return stream.read(100)
    except (FileNotFoundError, NotADirectoryError):
        raise GalleryNotFoundError(f"There is no gallery {file} yet: `facebank enroll` makes it.") from None
    except OSError as error:
        raise StorageError(f"The gallery {file} cannot be read: {error.strerror}.") from error


def _is_filled(path: Path, suffix: str) -> bool:
    companion = path.with_name(path.name + suffix)
    return companion.exists() and companion.stat().st_size > 0
