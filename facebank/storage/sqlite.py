"""Kinds of SQLite files: recognized, checked, changed in transactions, and SQLite's errors in facebank's words.

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
from facebank.storage.connections import UnusableError, WasClosedError, in_memory, is_filled, is_open_here
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

QUEUE = "-queue"
"""Suffix of the file by which writers queue for a database; it exists only while some of them wait."""

_PAUSE = 0.01  # seconds between two attempts
_SAID_AFTER = 1.0  # seconds
_MAGIC = b"SQLite format 3\x00"
_MOST_OBJECTS = 200
_LONGEST_COMPLAINT = 200
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK_KINDS = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs", "smb3", "smbfs"}
    | {"fuse.davfs2", "fuse.glusterfs", "fuse.rclone", "fuse.sshfs", "vboxsf"}
)
_UNFINISHED = (
    "has a change that was not finished, which only somebody who may write in its folder can put right: open it there "
    "once"
)
_SAID_OF_ALL: dict[int, str] = {
    sqlite3.SQLITE_READONLY_ROLLBACK: _UNFINISHED,
    sqlite3.SQLITE_READONLY_RECOVERY: _UNFINISHED,
    sqlite3.SQLITE_READONLY_CANTINIT: _UNFINISHED,
}
_SAID: dict[int, str] = {
    sqlite3.SQLITE_FULL: "cannot be written, the disk is full: make room and try again",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk is full or damaged",
    sqlite3.SQLITE_READONLY: "cannot be changed: it was opened for reading, or may not be written",
    sqlite3.SQLITE_PERM: "cannot be opened: facebank has no permission",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: facebank must be able to read it and write beside it",
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@dataclass(frozen=True, slots=True)
class SqliteKind:
    """A kind of SQLite file: how it is recognized, and what its errors are."""

    noun: str  # what messages call it, such as ``gallery``
    application_id: int  # the number in bytes 68..71 of its header
    newest: int  # the version of its tables that is written
    build: Callable[[sqlite3.Connection, int], None]  # makes the tables of a version in an empty database
    # returns the version that a file states. Called only if its `version_table` is the expected one.
    version: Callable[[sqlite3.Connection], object]
    version_table: str  # the table that holds the version, in every version
    # errors for a file that is missing or empty; of another kind or damaged; of a newer facebank; in use
    missing_error: type[FacebankError]
    format_error: type[FacebankError]
    version_error: type[FacebankError]
    busy_error: type[FacebankError]
    # what to do about a file that is missing, empty, another program's, or damaged; each ends a sentence
    missing: str
    empty: str
    another: str
    repair: str

    def named(self, path: Path) -> str:
        """Return what messages call a file."""
        return f"The {self.noun} {printable(str(path))}"

    def empty_file_error(self, path: Path) -> FacebankError:
        """Return the error for a file without content."""
        return self.missing_error(f"{self.named(path)} is empty: {self.empty}.")

    def damage_error(self, path: Path, why: str = "") -> FacebankError:
        """Return the error for a damaged file, and what to do about it."""
        shown = printable(why)[:_LONGEST_COMPLAINT]
        return self.format_error(f"{self.named(path)} is damaged{f' ({shown})' if shown else ''}: {self.repair}.")

    @contextmanager
    def said_plainly(self, path: Path) -> Iterator[None]:
        """Turn SQLite's errors, and invalid stored values, into facebank's own errors with the file's name."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._explained(error, path) from error
        except UnicodeDecodeError as error:  # SQLite's message about a damaged file may quote the damage
            raise self.damage_error(path) from error
        except InvalidValueError as error:
            raise self.damage_error(path, str(error)) from error

    def make_empty_file(self, path: Path) -> None:
        """Make an empty file that only its owner can read, and its folder; an existing file stays as it is.

        All tables are written in one transaction: if that is stopped the file is still empty, and the next process to
        open it begins again.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageError(f"{self.named(path)} cannot be made: {error.strerror}.") from error

    def check_header(self, path: Path, *, may_be_empty: bool = False) -> None:
        """Refuse another kind of file by its first bytes, before SQLite touches it.

        An empty file is accepted with `may_be_empty`, if the caller is about to write its tables. Raises
        `missing_error`, `format_error` or `StorageError`.
        """
        file = printable(str(path))
        if is_open_here(path):
            return  # reading it would release this process's locks on it; `check_tables` checks the mark again
        header = self._read_header(path)
        if not header and not may_be_empty:
            raise self.empty_file_error(path)
        if not header or is_filled(path, "-journal"):
            return  # the header is not settled before SQLite has undone an interrupted write
        if not header.startswith(_MAGIC):
            raise self.format_error(f"{file} is no {self.noun}: {self.another}.")
        if int.from_bytes(header[68:72], "big") != self.application_id:
            raise self._belongs_to_another(path)

    def check_tables(self, connection: sqlite3.Connection, path: Path) -> int:
        """Return the version of a file, whose tables must be exactly those of that version: no trigger, no view.

        All of it is read in one transaction, so that a file that another process is upgrading is not refused. Raises
        `format_error` or `version_error`.
        """
        if connection.in_transaction:
            return self._checked_version(connection, path)
        with transaction(connection, "BEGIN"):
            return self._checked_version(connection, path)

    def _checked_version(self, connection: sqlite3.Connection, path: Path) -> int:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != self.application_id:
            raise self._belongs_to_another(path)
        objects = _objects(connection)
        if not _tables_named(self.version_table, objects) <= self._objects_of(self.newest):
            raise self._has_other_tables(path)  # nothing else of that name is asked for the version
        version = self.version(connection) if _tables_named(self.version_table, objects) else None
        if not isinstance(version, int) or version < 1:
            raise self._has_other_tables(path)
        if version > self.newest:
            raise self.version_error(
                f"{self.named(path)} was written by a newer facebank (schema {version}; this one knows {self.newest}): "
                "update facebank."
            )
        if objects != self._objects_of(version):
            raise self._has_other_tables(path)
        return version

    def has_tables(self, connection: sqlite3.Connection, version: int) -> bool:
        """Return whether a file holds exactly the tables and indexes of a version."""
        return version > 0 and _objects(connection) == self._objects_of(version)

    def _objects_of(self, version: int) -> frozenset[_Object]:
        return _built(self.build, version)

    def _belongs_to_another(self, path: Path) -> FacebankError:
        file = printable(str(path))
        return self.format_error(f"{file} belongs to another program, it is no {self.noun}: {self.another}.")

    def _has_other_tables(self, path: Path) -> FacebankError:
        return self.damage_error(path, f"its tables are not those of a {self.noun}")

    def _explained(self, error: sqlite3.Error, path: Path) -> FacebankError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, sqlite3.ProgrammingError):
            kind = ClosedError if isinstance(error, WasClosedError) else UsageError
            why = str(error) if isinstance(error, UnusableError) else f"cannot be used so ({error})"
            return kind(f"{self.named(path)} {why}.")
        if code == sqlite3.SQLITE_IOERR_SHORT_READ:
            return self.damage_error(path, "it is shorter than it should be")
        if code & 0xFF == sqlite3.SQLITE_INTERRUPT:
            return self.damage_error(path, "reading it does not end")
        if code & 0xFF == sqlite3.SQLITE_NOTADB:
            return self.format_error(f"{printable(str(path))} is no {self.noun}: {self.another}.")
        if code & 0xFF in _BUSY:
            return self.busy_error(
                f"{self.named(path)} is in use by another process: try again when that has finished."
            )
        said = _SAID_OF_ALL.get(code, _SAID.get(code & 0xFF))
        return self.damage_error(path, str(error)) if said is None else StorageError(f"{self.named(path)} {said}.")

    def _read_header(self, path: Path) -> bytes:
        file = printable(str(path))
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise self.format_error(f"{file} is no file, so it is no {self.noun}: {self.another}.")
            with path.open("rb") as stream:
                return stream.read(100)
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing_error(f"There is no {self.noun} {file} yet: {self.missing}.") from None
        except OSError as error:
            raise StorageError(f"{self.named(path)} cannot be read: {error.strerror}.") from error


def is_begun(connection: sqlite3.Connection) -> bool:
    """Return whether a file has tables at all."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(objects)


def choose_journal(connection: sqlite3.Connection, *, log: bool) -> str:
    """Choose the write-ahead log, or else a rollback journal, and return the resulting mode.

    It is ``wal`` or ``delete``, or the mode in which another process is using the file.
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


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Keep all that is written inside, or nothing if anything fails."""
    with _whole(connection):
        connection.execute(begin)
        yield


@contextmanager
def writing(connection: sqlite3.Connection, path: Path, patience: float) -> Iterator[None]:
    """As `transaction`, in turn with other processes: see `begin_in_turn`."""
    with _whole(connection):
        begin_in_turn(connection, path, patience)
        yield


@contextmanager
def _whole(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # Ctrl-C too
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def begin_in_turn(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Begin a write transaction, in turn with other writing processes.

    SQLite gives the next transaction to whoever asks at the right moment, so a process that writes again and again
    starves the others. Here the first process that has to wait leaves a queue file beside the database. While it is
    there, every writer locks it before it begins and releases it once it has begun: the holder is the next. Raises
    `sqlite3.OperationalError`: others are still writing.

    Parameters
    ----------
    connection, path
        The database and its file.
    patience
        How long to wait for others, in seconds. After one second a warning is logged.
    """
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        queue = path.with_name(path.name + QUEUE)
        if queue.exists() or not _begins(connection):
            _wait(connection, path, queue, patience)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(timeout)}")


def _wait(connection: sqlite3.Connection, path: Path, queue: Path, patience: float) -> None:
    begun, said, is_next = monotonic(), False, False
    lock = LockFile(queue)
    try:
        while True:
            is_next = is_next or lock.take()
            waited = monotonic() - begun
            if is_next and _begins(connection, last=waited >= patience):
                return
            if waited >= patience:
                connection.execute("BEGIN IMMEDIATE")  # raises that it is busy, or is not any more
                return
            if not said and waited >= min(_SAID_AFTER, patience):
                said = True
                _warn(path)
            sleep(_PAUSE)
    finally:
        lock.release()


def _begins(connection: sqlite3.Connection, *, last: bool = False) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _warn(path: Path) -> None:
    import logging

    logging.getLogger("facebank").warning("waiting for another facebank that is writing to %s", printable(str(path)))


def is_on_network(path: Path) -> bool:
    """Return whether a file lies on a network share, where SQLite's write-ahead log is not safe.

    The log's index is shared memory, which machines do not share. Shares are recognized on Linux, and by Windows' UNC
    paths; elsewhere a file counts as local.
    """
    place = str(path.resolve())
    if place.startswith("\\\\"):
        return True
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return filesystem_kind(mounts, place) in _NETWORK_KINDS


def filesystem_kind(mounts: str, place: str) -> str:
    """Return the kind of file system of a resolved path, such as ``nfs4``, or an empty text.

    `mounts` is the text of ``/proc/self/mountinfo``, as proc(5) describes it.
    """
    longest, kind = -1, ""
    for line in mounts.splitlines():
        mounted, _, described = line.partition(" - ")
        fields = mounted.split()
        if len(fields) < 5 or not described.strip():
            continue
        point = _unescaped(fields[4]).rstrip("/")
        if (place == point or place.startswith(point + "/")) and len(point) >= longest:
            longest, kind = len(point), described.split()[0]
    return kind


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


_Object = tuple[str, str, str, str | None]


@cache
def _built(build: Callable[[sqlite3.Connection, int], None], version: int) -> frozenset[_Object]:
    with closing(in_memory()) as connection:
        build(connection, version)
        return _objects(connection)


def _objects(connection: sqlite3.Connection) -> frozenset[_Object]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT ?", (_MOST_OBJECTS,))
    return frozenset((kind, name, table, _one_line(sql)) for kind, name, table, sql in rows)


def _one_line(sql: object) -> str | None:
    return " ".join(sql.split()) if isinstance(sql, str) else None


def _tables_named(name: str, objects: frozenset[_Object]) -> frozenset[_Object]:
    return frozenset(found for found in objects if found[1] == name)
