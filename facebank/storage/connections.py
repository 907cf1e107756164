"""Connections to untrusted SQLite files, with resource limits, one per thread.

Limits are set before anything is read, and every statement terminates. Open files are counted per process: a forked
process cannot use them, because SQLite would rely on file locks that only its parent holds; and only SQLite may open
them, because closing any handle of a file releases all locks of the process on it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from threading import RLock, local
from time import monotonic
from typing import Any, TypeAlias
from weakref import WeakSet

from facebank.errors import StorageError
from facebank.storage.concurrency import at_fork, keep_alive
from facebank.storage.files import read_reason
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

FileId: TypeAlias = tuple[int, int]
"""Device and inode of a file, independent of its name."""

Appearance: TypeAlias = tuple[tuple[int, ...] | None, tuple[int, ...] | None]
"""Identity, size and modification time of a file and its log (None if absent), to detect changes."""

OPENING = RLock()
"""Lock held while a connection is opened or closed, and while this process is forked."""

_open: Counter[FileId] = Counter()
_lost: set[FileId] = set()
_in_wal_mode: dict[FileId, bool] = {}

_LOST = (
    "was in use when this process was forked, and cannot be used here: fork while nothing uses it, or start "
    "processes with multiprocessing's 'spawn'"
)
_REPLACED = "was deleted, moved or replaced by another file while it was open: open it again"
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 4 * 1024 * 1024,  # the largest stored value is a thumbnail of 256 KiB
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 1,  # VACUUM needs one
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,  # cascading deletions count as triggers
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SETTINGS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
    "PRAGMA cache_size = -16000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA synchronous = FULL",
)
# A row takes at least 4 bytes, and no statement of facebank takes more than a few hundred steps per row. In a hostile
# file, pages that reference each other can make billions of rows.
_MIN_STEPS = 5_000_000
_STEPS_PER_BYTE = 100
_STEPS_PER_CHANGE = 2_000
_STEPS_BETWEEN_CHECKS = 100_000
_MEASURE_INTERVAL = 1.0  # seconds after which the file is measured again
_MAX_COPY = 1 << 30  # bytes
_ATTEMPTS = 3


class UnusableError(sqlite3.ProgrammingError):
    """A connection cannot be used; the message continues after the file's name."""


class ConnectionClosedError(UnusableError):
    """A connection was closed, perhaps by another thread during a statement, or lost its file."""

    def __init__(self, reason: str = "was closed: open it again") -> None:
        super().__init__(reason)


class BoundedConnection(sqlite3.Connection):
    """A connection that bounds the steps of each statement, in proportion to the file's size.

    Steps are counted without Python code, so that Ctrl-C is not mistaken for an endless statement.
    """

    appearance: Appearance | None = None
    """The file's appearance if SQLite cannot detect changes made by other processes, else None."""

    file: FileId | None = None
    """The file, counted as open in this process; None for a database in memory."""

    is_ended = False
    """Whether another thread has closed it; takes effect when the current call returns."""

    _process = 0
    _path: Path | None = None
    _size = 0
    _measured = 0.0

    def register_file(self, file: FileId) -> None:
        """Register a file as open until `close`."""
        self.file, self._process = file, os.getpid()

    @property
    def is_inherited(self) -> bool:
        """Whether a parent process opened it, before this one was forked."""
        return self.file is not None and self._process != os.getpid()

    def close(self) -> None:
        """Close the connection; no-op for one that a parent process opened."""
        file = self.file
        if self.is_inherited:
            self.file = None
            keep_alive(self)
            return
        super().close()
        if file is not None:
            with OPENING:
                if self.file is not None:
                    self.file = None
                    _count(file, -1)

    def __del__(self) -> None:
        if self.file is not None:
            self.close()

    def end(self) -> None:
        """Interrupt the running statement, and refuse any further one."""
        self.is_ended = True
        self.interrupt()

    def limit_steps(self, path: Path) -> None:
        """Limit the steps of further statements by the size of a file."""
        self._path = path
        self._measured = 0.0

    def take_over(self, other: BoundedConnection) -> None:
        """Take over the path and appearance of another connection, of which this one is a copy."""
        self._path, self.appearance = other._path, other.appearance

    def is_outdated(self) -> bool:
        """Return whether the file has changed without SQLite noticing; reopen it then."""
        return self.appearance is not None and self._path is not None and _appearance(self._path) != self.appearance

    def is_replaced(self) -> bool:
        """Return whether the path now names another file, or none, so that writes would be lost.

        SQLite would also write to the log of that name, which damages the other file. Copies in memory, and files that
        cannot change, are reopened when outdated instead.
        """
        if self._path is None or self.file is None or self.appearance is not None:
            return False
        return _file_id(self._path) != self.file

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement, as `sqlite3.Connection.execute` does."""
        self._allow()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run a statement for each row, as `sqlite3.Connection.executemany` does."""

        def allow_each() -> Iterator[Any]:
            for row in parameters:
                self._allow()
                yield row

        return super().executemany(sql, allow_each())

    def _allow(self) -> None:
        if self.is_ended:
            raise ConnectionClosedError
        if self._path is None:
            return
        if self.is_inherited:
            raise UnusableError(_LOST)
        now = monotonic()
        if now - self._measured > _MEASURE_INTERVAL:
            self._size = sum(_size_of(self._path, suffix) for suffix in ("", "-wal"))
            self._measured = now
        steps = _MIN_STEPS + _STEPS_PER_BYTE * self._size + _STEPS_PER_CHANGE * self.total_changes
        checks = chain(repeat(0, steps // _STEPS_BETWEEN_CHECKS), repeat(1))
        self.set_progress_handler(checks.__next__, _STEPS_BETWEEN_CHECKS)


def connect(path: Path, *, busy_timeout: float) -> BoundedConnection:
    """Return a connection to an existing file, with guards against hostile content, in autocommit mode.

    A file in a location that is not writable is read without writing beside it: in WAL mode with the ``-shm`` file of
    the writing process, otherwise directly, or through a copy in memory if ``-wal`` holds changes.

    Parameters
    ----------
    path
        Path of the file.
    busy_timeout
        Timeout for locks of other processes, in seconds.

    Raises
    ------
    StorageError, sqlite3.Error
        The file cannot be opened, or changes beside a read-only file cannot be copied.
    """
    if is_writable(path):
        return _open_file(path, "rw", busy_timeout)
    if not _is_in_wal_mode(path):
        return _open_file(path, "ro", busy_timeout)
    if path.with_name(path.name + "-shm").exists():
        with suppress(sqlite3.OperationalError):  # another user's file that this user cannot read
            return _require_readable(_open_file(path, "ro", busy_timeout))
    for _ in range(_ATTEMPTS):
        before = _appearance(path)
        connection = _copy(path) if is_filled(path, "-wal") else _open_file(path, "ro&immutable=1", busy_timeout)
        if before[0] is not None and before == _appearance(path):
            connection.limit_steps(path)
            connection.appearance = before
            return connection
        connection.close()
    raise StorageError(f"{printable(str(path))} is being changed by another process: try again in a moment.")


def connect_new(path: Path) -> BoundedConnection:
    """Return a connection to an empty file that no other process uses, without a journal beside it."""
    connection = _connect(str(path))
    connection.execute("PRAGMA journal_mode = OFF")
    return connection


def in_memory() -> BoundedConnection:
    """Return a connection to a new database in memory."""
    return _connect(":memory:")


def copy_to_memory(connection: BoundedConnection) -> BoundedConnection:
    """Copy a database to memory, close its connection and return one to the copy."""
    copy = in_memory()
    with closing(connection):
        connection.backup(copy)
    copy.take_over(connection)
    return copy


def is_writable(path: Path) -> bool:
    """Return whether a file and its folder, where SQLite puts its log, are writable."""
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


def is_open_here(path: Path) -> bool:
    """Return whether this process has a file open with SQLite; opening it otherwise would release SQLite's locks."""
    file = _file_id(path)
    with OPENING:
        return _open[file] > 0


def is_filled(path: Path, suffix: str) -> bool:
    """Return whether a file's companion, such as ``-wal``, exists and is not empty."""
    return _size_of(path, suffix) > 0


def _connect(database: str, *, uri: bool = False, busy_timeout: float = 5.0) -> BoundedConnection:
    connection = sqlite3.connect(
        database,
        uri=uri,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,  # `ThreadConnections` separates threads; any thread may close it
        factory=BoundedConnection,
    )
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    return connection


def _open_file(path: Path, mode: str, busy_timeout: float) -> BoundedConnection:
    """Return a connection in one of SQLite's modes: ``rw``, ``ro``, or ``ro&immutable=1`` for an unchanging file.

    Raises `UnusableError` if this process inherited it open from its parent.
    """
    with OPENING:
        file = _file_id(path)
        if file in _lost:
            raise UnusableError(_LOST)
        _count(file, 1)
    try:
        connection = _connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, busy_timeout=busy_timeout)
    except BaseException:
        _count(file, -1)
        raise
    connection.register_file(file)
    try:
        connection.limit_steps(path)
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_readable(connection: BoundedConnection) -> BoundedConnection:
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_in_wal_mode(path: Path) -> bool:
    identity = _file_id(path)
    if identity in _in_wal_mode and is_open_here(path):
        return _in_wal_mode[identity]  # reading the file would release this process's locks
    with path.open("rb") as file:
        _in_wal_mode[identity] = file.read(20)[18:] == b"\2\2"
    return _in_wal_mode[identity]


def _copy(path: Path) -> BoundedConnection:
    """Return a connection to a copy in memory, including the changes in the log; raises `StorageError`."""
    parts = [path, path.with_name(path.name + "-wal")]
    refusal = (
        f"{printable(str(path))} has unmerged changes in {printable(parts[1].name)}, and its folder is not writable"
    )
    if sum(part.stat().st_size for part in parts) > _MAX_COPY:
        raise StorageError(f"{refusal}: open it once with write permission.")
    try:
        with tempfile.TemporaryDirectory(prefix="facebank-") as folder:  # readable by its owner only
            for part in parts:
                shutil.copyfile(part, Path(folder) / part.name)
            return copy_to_memory(_open_file(Path(folder) / path.name, "rw", 1.0))
    except OSError as error:
        raise StorageError(f"{refusal}; it cannot be copied either: {read_reason(error)}.") from error


def _file_id(path: Path) -> FileId:
    """Return the identity of a file; (0, 0) if it cannot be read, which opening it will report."""
    device, inode, *_ = _file_status(path) or (0, 0)
    return device, inode


def _appearance(path: Path) -> Appearance:
    return _file_status(path), _file_status(path, "-wal")


def _file_status(path: Path, suffix: str = "") -> tuple[int, ...] | None:
    try:
        status = path.with_name(path.name + suffix).stat()
    except (OSError, ValueError):  # a path without a file name, such as the current folder
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _size_of(path: Path, suffix: str) -> int:
    return (_file_status(path, suffix) or (0, 0, 0))[2]


class ThreadConnections:
    """One connection per thread to one file: the first one given, the others created by `reopen`.

    A connection is closed when its thread has ended, by `close`, and, if idle, when this process is forked; it is
    reopened on demand.
    """

    def __init__(self, first: BoundedConnection, reopen: Callable[[], BoundedConnection]) -> None:
        self._reopen = reopen
        self._file: FileId | None = first.file
        self._is_closed = False
        self._leases: WeakSet[_Lease] = WeakSet()
        self._local = local()
        self._keep(first)
        _all.add(self)

    @property
    def current(self) -> BoundedConnection | None:
        """The connection of this thread, or None."""
        lease: _Lease | None = getattr(self._local, "lease", None)
        return None if lease is None or lease.process != os.getpid() else lease.connection

    @contextmanager
    def use(self) -> Iterator[BoundedConnection]:
        """Yield this thread's connection.

        Raises `ConnectionClosedError` if a thread has closed the file, or the file was deleted or replaced.
        """
        lease = self._acquire()
        connection = lease.connection
        if connection is None:
            raise ConnectionClosedError
        try:
            if not connection.in_transaction and connection.is_replaced():
                raise ConnectionClosedError(_REPLACED)
            yield connection
        except (sqlite3.Error, InvalidValueError) as error:
            if connection.is_ended and not isinstance(error, UnusableError):
                raise ConnectionClosedError from error
            raise
        finally:
            self._release(lease)

    def renew(self) -> BoundedConnection:
        """Reopen this thread's connection, between two transactions, and return it."""
        lease: _Lease = self._local.lease
        if lease.connection is not None:
            lease.connection.close()
        lease.connection = connection = self._reopen()
        self._file = connection.file
        return connection

    def close(self) -> None:
        """Close the file for all threads; running calls in other threads raise `ConnectionClosedError`."""
        with OPENING:
            self._is_closed = True
            for lease in list(self._leases):
                if lease.users and lease.process == os.getpid():
                    if lease.connection is not None:
                        lease.connection.end()
                else:
                    lease.close()

    def close_idle(self) -> None:
        """Close the connections that no thread is using; the caller holds `OPENING`."""
        for lease in list(self._leases):
            if not lease.users:
                lease.close()

    def _acquire(self) -> _Lease:
        lease: _Lease | None = getattr(self._local, "lease", None)
        with OPENING:
            if self._is_closed:
                raise ConnectionClosedError
            if lease is not None and lease.connection is not None and lease.process == os.getpid():
                lease.users += 1
                return lease
        try:
            connection = self._reopen()
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ConnectionClosedError(_REPLACED) from error
        except OSError as error:
            raise ConnectionClosedError(f"cannot be reopened: {read_reason(error)}") from error
        if None not in (self._file, connection.file) and connection.file != self._file:
            connection.close()
            raise ConnectionClosedError(_REPLACED)
        return self._keep(connection, users=1)

    def _keep(self, connection: BoundedConnection, users: int = 0) -> _Lease:
        lease = _Lease(connection, users)
        with OPENING:
            if self._is_closed:
                connection.close()
                raise ConnectionClosedError
            self._leases.add(lease)
        self._local.lease = lease
        return lease

    def _release(self, lease: _Lease) -> None:
        with OPENING:
            lease.users -= 1
            if self._is_closed and not lease.users:
                lease.close()


class _Lease:
    """A thread's connection, the number of calls that use it, and the process."""

    __slots__ = ("__weakref__", "connection", "process", "users")

    def __init__(self, connection: BoundedConnection, users: int) -> None:
        self.connection: BoundedConnection | None = connection
        self.process = os.getpid()
        self.users = users

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __del__(self) -> None:
        self.close()


def _count(file: FileId, change: int) -> None:
    with OPENING:
        _open[file] += change
        if not _open[file]:
            del _open[file]


def _before_fork() -> None:
    OPENING.acquire()
    for connections in list(_all):
        connections.close_idle()


def _in_child() -> None:
    _lost.update(_open)
    _open.clear()
    OPENING.release()


_all: WeakSet[ThreadConnections] = WeakSet()
at_fork(before=_before_fork, in_parent=OPENING.release, in_child=_in_child)
