"""Types of SQLite files: recognition, schema checks, transactions, and translation of SQLite's errors.

A file is opened in this order: `SqliteKind.check_header` reads its first bytes, `facebank.storage.connections.connect`
sets SQLite's guards before anything of the file is used, and `SqliteKind.check_tables` accepts exactly the tables of
one version.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic, sleep

from facebank.errors import ClosedError, FacebankError, StorageError, UsageError
from facebank.storage.concurrency import LockFile
from facebank.storage.connections import ConnectionClosedError, UnusableError, in_memory, is_filled, is_open_here
from facebank.storage.files import read_reason, write_reason
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

QUEUE_SUFFIX = "-queue"
"""Suffix of the queue file of waiting writers; it exists only while a writer waits."""

_PAUSE = 0.01  # seconds between two attempts
_WARN_AFTER = 1.0  # seconds
_MAGIC = b"SQLite format 3\x00"
_FACEBANK = 0x46424E  # FBN: the first three bytes of every application id
_MAX_OBJECTS = 200
_MAX_REASON = 200
_UNFINISHED = (
    "has an unfinished change that needs write permission in its folder to be completed: open it there once as a user "
    "with that permission"
)
_MESSAGES_BY_EXTENDED_CODE: dict[int, str] = {
    sqlite3.SQLITE_READONLY_ROLLBACK: _UNFINISHED,
    sqlite3.SQLITE_READONLY_RECOVERY: _UNFINISHED,
    sqlite3.SQLITE_READONLY_CANTINIT: _UNFINISHED,
}
_MESSAGES: dict[int, str] = {
    sqlite3.SQLITE_FULL: "cannot be written because the disk is full: free some space and try again",
    sqlite3.SQLITE_IOERR: "cannot be read or written, because the disk is full or damaged: free some space",
    sqlite3.SQLITE_READONLY: "is write-protected, or was opened for reading: allow writing, or open it for writing",
    sqlite3.SQLITE_PERM: "cannot be opened: check its permissions",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check the permissions to read it and to write in its folder",
}
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@dataclass(frozen=True, slots=True)
class SqliteKind:
    """A type of SQLite file, with its schema versions, errors and advice."""

    noun: str  # name in messages, such as ``gallery``
    application_id: int  # bytes 68..71 of its header
    newest: int  # current schema version
    build: Callable[[sqlite3.Connection, int], None]  # creates the tables of a version in an empty database
    # reads the version of a file; called only if its `version_table` is as expected
    version: Callable[[sqlite3.Connection], object]
    version_table: str  # the table that holds the version, in every version
    missing_error: type[FacebankError]  # for a missing or empty file
    format_error: type[FacebankError]  # for a file of another type, or a damaged one
    version_error: type[FacebankError]  # for a file of a newer facebank
    busy_error: type[FacebankError]  # for a file in use by another process
    missing_advice: str  # end of the message about a missing file
    empty_advice: str  # end of the message about an empty file
    other_file_advice: str  # end of the message about a file of another type
    repair_advice: str  # end of the message about a damaged file

    def named(self, path: Path) -> str:
        """Return the name of a file for messages."""
        return f"The {self.noun} {printable(str(path))}"

    def empty_file_error(self, path: Path) -> FacebankError:
        """Return the error for a file without content."""
        return self.missing_error(f"{self.named(path)} is empty: {self.empty_advice}.")

    def damage_error(self, path: Path, reason: str = "") -> FacebankError:
        """Return the error for a damaged file, with advice."""
        shown = printable(reason)[:_MAX_REASON]
        return self.format_error(
            f"{self.named(path)} is damaged{f' ({shown})' if shown else ''}: {self.repair_advice}."
        )

    @contextmanager
    def translate_errors(self, path: Path) -> Iterator[None]:
        """Raise facebank's errors, with the file's name, for SQLite's errors and invalid stored values in the block."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error, path) from error
        except UnicodeDecodeError as error:  # SQLite may quote damaged bytes in its message
            raise self.damage_error(path) from error
        except InvalidValueError as error:
            raise self.damage_error(path, str(error)) from error

    def make_empty_file(self, path: Path) -> None:
        """Create an empty file that only its owner can read, and its folder; no-op if the file exists.

        All tables are written in one transaction: if it is interrupted, the file is still empty, and the next process
        to open it starts over. Raises `StorageError` if it cannot be created.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageError(f"{self.named(path)} cannot be created: {write_reason(error)}.") from error

    def check_header(self, path: Path, *, may_be_empty: bool = False) -> None:
        """Check the type of a file by its first bytes, before SQLite opens it.

        An empty file is accepted with `may_be_empty`, if the caller is about to write its tables. Raises
        `missing_error`, `format_error` or `StorageError`.
        """
        file = printable(str(path))
        if is_open_here(path):
            return  # reading it would release this process's locks; `check_tables` checks the application id again
        header = self._read_header(path)
        if not header and not may_be_empty:
            raise self.empty_file_error(path)
        if not header or is_filled(path, "-journal"):
            return  # the header may change when SQLite rolls back an interrupted write
        if not header.startswith(_MAGIC):
            raise self.format_error(f"{file} is not a {self.noun}: {self.other_file_advice}.")
        if int.from_bytes(header[68:72], "big") != self.application_id:
            raise self._other_program_error(path, int.from_bytes(header[68:72], "big"))

    def check_tables(self, connection: sqlite3.Connection, path: Path) -> int:
        """Return the schema version of a file; its schema must be exactly that of the version.

        Reads in one transaction, so that a concurrent upgrade does not fail the check. Raises `format_error` or
        `version_error`.
        """
        if connection.in_transaction:
            return self._check_version(connection, path)
        with transaction(connection, "BEGIN"):
            return self._check_version(connection, path)

    def _check_version(self, connection: sqlite3.Connection, path: Path) -> int:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if application_id != self.application_id:
            raise self._other_program_error(path, application_id)
        objects = _objects(connection)
        if not _named_objects(self.version_table, objects) <= self._objects_of(self.newest):
            raise self._tables_error(path)  # do not query a different table or view of that name
        version = self.version(connection) if _named_objects(self.version_table, objects) else None
        if not isinstance(version, int) or version < 1:
            raise self._tables_error(path)
        if version > self.newest:
            raise self.version_error(
                f"{self.named(path)} was written by a newer facebank (schema {version}, this one: {self.newest}): "
                "update facebank."
            )
        if objects != self._objects_of(version):
            raise self._tables_error(path)
        return version

    def has_tables(self, connection: sqlite3.Connection, version: int) -> bool:
        """Return whether a file has exactly the tables and indexes of a version."""
        return version > 0 and _objects(connection) == self._objects_of(version)

    def _objects_of(self, version: int) -> frozenset[_Object]:
        return _build_objects(self.build, version)

    def _other_program_error(self, path: Path, application_id: int) -> FacebankError:
        file = printable(str(path))
        if application_id >> 8 == _FACEBANK:
            return self.format_error(
                f"{file} is not a {self.noun}, but another file of facebank: {self.other_file_advice}."
            )
        return self.format_error(
            f"{file} belongs to another program and is not a {self.noun}: {self.other_file_advice}."
        )

    def _tables_error(self, path: Path) -> FacebankError:
        return self.damage_error(path, f"its tables are not those of a {self.noun}")

    def _translate(self, error: sqlite3.Error, path: Path) -> FacebankError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, sqlite3.ProgrammingError):
            error_class = ClosedError if isinstance(error, ConnectionClosedError) else UsageError
            reason = str(error) if isinstance(error, UnusableError) else f"cannot be used in this way ({error})"
            return error_class(f"{self.named(path)} {reason}.")
        if code == sqlite3.SQLITE_IOERR_SHORT_READ:
            return self.damage_error(path, "it is truncated")
        if code & 0xFF == sqlite3.SQLITE_INTERRUPT:
            return self.damage_error(path, "reading it takes too many steps")
        if code & 0xFF == sqlite3.SQLITE_NOTADB:
            return self.format_error(f"{printable(str(path))} is not a {self.noun}: {self.other_file_advice}.")
        if code & 0xFF in _BUSY:
            return self.busy_error(
                f"{self.named(path)} is in use by another process: try again when that process has finished."
            )
        message = _MESSAGES_BY_EXTENDED_CODE.get(code, _MESSAGES.get(code & 0xFF))
        return (
            self.damage_error(path, str(error)) if message is None else StorageError(f"{self.named(path)} {message}.")
        )

    def _read_header(self, path: Path) -> bytes:
        file = printable(str(path))
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise self.format_error(
                    f"{file} is not a regular file, so it is not a {self.noun}: {self.other_file_advice}."
                )
            with path.open("rb") as stream:
                return stream.read(100)
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing_error(f"There is no {self.noun} {file} yet: {self.missing_advice}.") from None
        except OSError as error:
            raise StorageError(f"{self.named(path)} cannot be read: {read_reason(error)}.") from error


def is_full(error: StorageError) -> bool:
    """Return whether SQLite failed because the disk is full."""
    return getattr(error.__cause__, "sqlite_errorcode", None) in _FULL


def has_any_table(connection: sqlite3.Connection) -> bool:
    """Return whether a file has any tables."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(objects)


def choose_journal(connection: sqlite3.Connection, *, log: bool) -> str:
    """Set the journal mode to a write-ahead log (`log`) or a rollback journal, and return the resulting mode.

    The result is ``wal`` or ``delete``, or the mode in which another process uses the file.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != ("wal" if log else "delete"):
        try:
            pragma = "PRAGMA journal_mode = WAL" if log else "PRAGMA journal_mode = DELETE"
            (mode,) = connection.execute(pragma).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
    return str(mode)


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Commit when the block ends, or roll back on an exception."""
    with _commit(connection):
        connection.execute(begin)
        yield


@contextmanager
def write_transaction(connection: sqlite3.Connection, path: Path, busy_timeout: float) -> Iterator[None]:
    """Run a transaction in turn with other processes: see `begin_in_turn`."""
    with _commit(connection):
        begin_in_turn(connection, path, busy_timeout)
        yield


@contextmanager
def _commit(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # Ctrl-C too
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def begin_in_turn(connection: sqlite3.Connection, path: Path, busy_timeout: float) -> None:
    """Begin a write transaction, in turn with other writing processes.

    SQLite has no queue of writers: a process that writes all the time starves the others. Here the first process that
    has to wait creates a queue file beside the database. While it exists, every writer locks it before it begins and
    releases it afterwards: the holder is next.

    Parameters
    ----------
    connection, path
        The database and its file.
    busy_timeout
        Timeout in seconds. A warning is logged after one second.

    Raises
    ------
    sqlite3.OperationalError
        Other processes are still writing after the timeout.
    """
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        queue = path.with_name(path.name + QUEUE_SUFFIX)
        if queue.exists() or not _try_begin(connection):
            _wait(connection, path, queue, busy_timeout)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(timeout)}")


def _wait(connection: sqlite3.Connection, path: Path, queue: Path, busy_timeout: float) -> None:
    started, has_warned, is_next = monotonic(), False, False
    lock = LockFile(queue)
    try:
        while True:
            is_next = is_next or lock.acquire()
            waited = monotonic() - started
            if is_next and _try_begin(connection, is_last=waited >= busy_timeout):
                return
            if waited >= busy_timeout:
                connection.execute("BEGIN IMMEDIATE")  # raises the busy error, or succeeds
                return
            if not has_warned and waited >= min(_WARN_AFTER, busy_timeout):
                has_warned = True
                _warn(path)
            sleep(_PAUSE)
    finally:
        lock.release()


def _try_begin(connection: sqlite3.Connection, *, is_last: bool = False) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if is_last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _warn(path: Path) -> None:
    import logging

    logging.getLogger("facebank").warning("waiting for another facebank that is writing to %s", printable(str(path)))


_Object = tuple[str, str, str, str | None]


@cache
def _build_objects(build: Callable[[sqlite3.Connection, int], None], version: int) -> frozenset[_Object]:
    with closing(in_memory()) as connection:
        build(connection, version)
        return _objects(connection)


def _objects(connection: sqlite3.Connection) -> frozenset[_Object]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT ?", (_MAX_OBJECTS,))
    return frozenset((object_type, name, table, _collapse_spaces(sql)) for object_type, name, table, sql in rows)


def _collapse_spaces(sql: object) -> str | None:
    return " ".join(sql.split()) if isinstance(sql, str) else None


def _named_objects(name: str, objects: frozenset[_Object]) -> frozenset[_Object]:
    return frozenset(item for item in objects if item[1] == name)
