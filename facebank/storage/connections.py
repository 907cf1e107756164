"""Connections to SQLite files from anybody: limited, bounded, counted, and one per thread.

Limits are set before anything is read, and every statement ends. The files that this process has open are counted: a
forked process cannot use them, as SQLite would rely there on file locks that only the first process holds; and nothing
but SQLite may open them, as closing any handle of a file releases all locks of the process on it.
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
from facebank.storage.concurrency import at_fork, keep_for_good
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

FileId: TypeAlias = tuple[int, int]
"""Device and number of a file, whatever its name."""

Appearance: TypeAlias = tuple[tuple[int, ...] | None, tuple[int, ...] | None]
"""Identity, size and modification time of a file and of its log, None if absent: they change with the content."""

OPENING = RLock()
"""Held while a connection is opened or closed, and while this process is forked."""

_open: Counter[FileId] = Counter()
_lost: set[FileId] = set()
_in_wal_mode: dict[FileId, bool] = {}

_LOST = (
    "was being used when this process was forked, and cannot be used here: fork while nothing uses it, or start "
    "processes with multiprocessing's 'spawn'"
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 4 * 1024 * 1024,  # the largest value that is written is a thumbnail of 256 KiB
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 1,  # VACUUM needs one
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,  # deletions that reach other tables count as triggers
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
# A row takes at least 4 bytes, and no statement of facebank takes more than a few hundred steps per row. Pages that
# point at each other make billions of rows of a small file.
_STEPS_AT_LEAST = 5_000_000
_STEPS_A_BYTE = 100
_STEPS_A_CHANGE = 2_000
_STEPS_BETWEEN_LOOKS = 100_000
_MEASURED_FOR = 1.0  # seconds
_LARGEST_COPY = 1 << 30  # bytes
_ATTEMPTS = 3


class UnusableError(sqlite3.ProgrammingError):
    """A connection that cannot be used; the text follows the file's name."""


class WasClosedError(UnusableError):
    """A connection that was closed, perhaps by another thread in the middle of a statement."""

    def __init__(self) -> None:
        super().__init__("was closed: open it anew")


class BoundedConnection(sqlite3.Connection):
    """A connection whose statements all end: each may take a number of steps that the size of the file allows.

    Steps are counted without Python code, so that Ctrl-C is never taken for a statement without an end.
    """

    read_as: Appearance | None = None
    """The file's appearance, where SQLite does not notice changes made by others; None where it does."""

    file: FileId | None = None
    """The file, which counts as open in this process; None for a database in memory."""

    is_ended = False
    """Whether another thread closes it: it is closed once the current call has ended."""

    _process = 0
    _path: Path | None = None
    _size = 0
    _measured = 0.0

    def opened(self, file: FileId) -> None:
        """Count a file as open until `close`."""
        self.file, self._process = file, os.getpid()

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by another process, from which this one was forked."""
        return self.file is not None and self._process != os.getpid()

    def close(self) -> None:
        """Close the connection; one that another process opened stays as it is."""
        file = self.file
        if self.is_inherited:
            self.file = None
            keep_for_good(self)
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
        """Interrupt another thread's statement, and refuse any other."""
        self.is_ended = True
        self.interrupt()

    def bound_by(self, path: Path) -> None:
        """Bound all statements from now on by the size of a file."""
        self._path = path
        self._measured = 0.0

    def stands_for(self, other: BoundedConnection) -> None:
        """Take over another connection's file, of which this one holds a copy."""
        self._path, self.read_as = other._path, other.read_as

    def is_outdated(self) -> bool:
        """Return whether others have changed the file unnoticed by SQLite: open it anew then."""
        return self.read_as is not None and self._path is not None and _appearance(self._path) != self.read_as

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement, as `sqlite3.Connection.execute` does."""
        self._allow()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run a statement for each row, as `sqlite3.Connection.executemany` does."""

        def allowed() -> Iterator[Any]:
            for row in parameters:
                self._allow()
                yield row

        return super().executemany(sql, allowed())

    def _allow(self) -> None:
        if self.is_ended:
            raise WasClosedError
        if self._path is None:
            return
        if self.is_inherited:
            raise UnusableError(_LOST)
        now = monotonic()
        if now - self._measured > _MEASURED_FOR:
            self._size = sum(_size_of(self._path, suffix) for suffix in ("", "-wal"))
            self._measured = now
        steps = _STEPS_AT_LEAST + _STEPS_A_BYTE * self._size + _STEPS_A_CHANGE * self.total_changes
        looks = chain(repeat(0, steps // _STEPS_BETWEEN_LOOKS), repeat(1))
        self.set_progress_handler(looks.__next__, _STEPS_BETWEEN_LOOKS)


# Opening --------------------------------------------------------------------------------------------------------


def connect(path: Path, *, busy_timeout: float) -> BoundedConnection:
    """Open a file that exists, guarded against hostile content; autocommit, so that transactions are explicit.

    A file that may not be written, or whose folder may not, is read without anything being written beside it: in WAL
    mode with the ``-shm`` file of the process that writes it, else as it is, else through a copy in memory if changes
    lie beside it in ``-wal``. Raises `StorageError` or `sqlite3.Error` if it cannot be opened, or if changes beside a
    file that may not be written cannot be copied.

    Parameters
    ----------
    path
        The file.
    busy_timeout
        How long to wait for another process, in seconds.
    """
    if is_writable(path):
        return _opened(path, "rw", busy_timeout)
    if not _is_in_wal_mode(path):
        return _opened(path, "ro", busy_timeout)
    if path.with_name(path.name + "-shm").exists():
        with suppress(sqlite3.OperationalError):  # of another user, who does not let this one read it
            return _readable(_opened(path, "ro", busy_timeout))
    for _ in range(_ATTEMPTS):
        before = _appearance(path)
        connection = _copied(path) if is_filled(path, "-wal") else _opened(path, "ro&immutable=1", busy_timeout)
        if before[0] is not None and before == _appearance(path):
            connection.bound_by(path)
            connection.read_as = before
            return connection
        connection.close()
    raise StorageError(f"{printable(str(path))} is being changed by another process: try again in a moment.")


def connect_new(path: Path) -> BoundedConnection:
    """Open an empty file that only this process knows; without a journal, so that nothing is left beside it."""
    connection = _connect(str(path))
    connection.execute("PRAGMA journal_mode = OFF")
    return connection


def in_memory() -> BoundedConnection:
    """Return a connection to a new database in memory."""
    return _connect(":memory:")


def copied_to_memory(connection: BoundedConnection) -> BoundedConnection:
    """Return a connection to a copy in memory, and close the one to the file."""
    copy = in_memory()
    with closing(connection):
        connection.backup(copy)
    copy.stands_for(connection)
    return copy


def is_writable(path: Path) -> bool:
    """Return whether a file and its folder, where SQLite keeps its log, may be written."""
    return os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)


def is_open_here(path: Path) -> bool:
    """Return whether this process has a file open with SQLite: nothing else may open it then."""
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
        check_same_thread=False,  # `ThreadConnections` keeps threads apart; any of them may close it
        factory=BoundedConnection,
    )
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    return connection


def _opened(path: Path, mode: str, busy_timeout: float) -> BoundedConnection:
    """Open a file in one of SQLite's modes: ``rw``, ``ro``, or ``ro&immutable=1`` if nobody changes it meanwhile."""
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
    connection.opened(file)
    try:
        connection.bound_by(path)
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _readable(connection: BoundedConnection) -> BoundedConnection:
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_in_wal_mode(path: Path) -> bool:
    identity = _file_id(path)
    if identity in _in_wal_mode and is_open_here(path):
        return _in_wal_mode[identity]  # reading the file would release this process's locks on it
    with path.open("rb") as file:
        _in_wal_mode[identity] = file.read(20)[18:] == b"\2\2"
    return _in_wal_mode[identity]


def _copied(path: Path) -> BoundedConnection:
    """Return a connection to a copy in memory, with the changes that lie beside the file."""
    parts = [path, path.with_name(path.name + "-wal")]
    refusal = (
        f"{printable(str(path))} has changes beside it, in {printable(parts[1].name)}, and its folder may not be "
        "written"
    )
    if sum(part.stat().st_size for part in parts) > _LARGEST_COPY:
        raise StorageError(f"{refusal}: open it once where it may be written.")
    try:
        with tempfile.TemporaryDirectory(prefix="facebank-") as folder:  # only its owner can look into it
            for part in parts:
                shutil.copyfile(part, Path(folder) / part.name)
            return copied_to_memory(_opened(Path(folder) / path.name, "rw", 1.0))
    except OSError as error:
        raise StorageError(f"{refusal}; a copy cannot be made either: {error.strerror}.") from error


def _file_id(path: Path) -> FileId:
    """Return which file a path names; (0, 0) if it cannot be looked at, in which case opening it says why."""
    device, inode, *_ = _looks(path) or (0, 0)
    return device, inode


def _appearance(path: Path) -> Appearance:
    return _looks(path), _looks(path, "-wal")


def _looks(path: Path, suffix: str = "") -> tuple[int, ...] | None:
    try:
        status = path.with_name(path.name + suffix).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _size_of(path: Path, suffix: str) -> int:
    return (_looks(path, suffix) or (0, 0, 0))[2]


# Threads and forks ----------------------------------------------------------------------------------------------


class ThreadConnections:
    """One connection per thread to one file: that of the thread that opened it, and others made by `reopen`.

    A connection is closed when its thread has ended, by `close`, and, if idle, when this process is forked; it is
    opened anew when needed again.
    """

    def __init__(self, first: BoundedConnection, reopen: Callable[[], BoundedConnection]) -> None:
        self._reopen = reopen
        self._file: FileId | None = first.file
        self._is_closed = False
        self._lent: WeakSet[_Lent] = WeakSet()
        self._mine = local()
        self._keep(first)
        _all.add(self)

    @property
    def current(self) -> BoundedConnection | None:
        """The connection of this thread; None if it has none yet."""
        lent: _Lent | None = getattr(self._mine, "lent", None)
        return None if lent is None or lent.process != os.getpid() else lent.connection

    @contextmanager
    def use(self) -> Iterator[BoundedConnection]:
        """Lend this thread its connection; raises `WasClosedError` if any thread has closed the file."""
        lent = self._borrowed()
        connection = lent.connection
        if connection is None:
            raise WasClosedError
        try:
            yield connection
        except (sqlite3.Error, InvalidValueError) as error:
            if connection.is_ended and not isinstance(error, UnusableError):
                raise WasClosedError from error
            raise
        finally:
            self._give_back(lent)

    def renew(self) -> BoundedConnection:
        """Reopen this thread's connection, between two transactions, and return it."""
        lent: _Lent = self._mine.lent
        if lent.connection is not None:
            lent.connection.close()
        lent.connection = connection = self._reopen()
        self._file = connection.file
        return connection

    def close(self) -> None:
        """Close the file for all threads; calls of other threads that use it end with `WasClosedError`."""
        with OPENING:
            self._is_closed = True
            for lent in list(self._lent):
                if lent.users and lent.process == os.getpid():
                    if lent.connection is not None:
                        lent.connection.end()
                else:
                    lent.close()

    def close_idle(self) -> None:
        """Close the connections that no thread uses at the moment; the caller holds `OPENING`."""
        for lent in list(self._lent):
            if not lent.users:
                lent.close()

    def _borrowed(self) -> _Lent:
        lent: _Lent | None = getattr(self._mine, "lent", None)
        with OPENING:
            if self._is_closed:
                raise WasClosedError
            if lent is not None and lent.connection is not None and lent.process == os.getpid():
                lent.users += 1
                return lent
        connection = self._reopen()
        if None not in (self._file, connection.file) and connection.file != self._file:
            connection.close()
            raise UnusableError("was replaced by another file while it was open: open it anew")
        return self._keep(connection, users=1)

    def _keep(self, connection: BoundedConnection, users: int = 0) -> _Lent:
        lent = _Lent(connection, users)
        with OPENING:
            if self._is_closed:
                connection.close()
                raise WasClosedError
            self._lent.add(lent)
        self._mine.lent = lent
        return lent

    def _give_back(self, lent: _Lent) -> None:
        with OPENING:
            lent.users -= 1
            if self._is_closed and not lent.users:
                lent.close()


class _Lent:
    """A thread's connection, how many calls use it, and the process that it belongs to."""

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
