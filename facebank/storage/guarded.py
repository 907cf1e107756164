"""Connections to SQLite files from anybody: limits before anything is read, and statements that all end.

It is counted which files this process has open. A forked process can use none of those: SQLite believes there that it
holds locks which only the first process has, and changes are lost. Nor may a file that is open be opened by anything
but SQLite: whoever closes it then lets go of all locks that this process has on it.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from facebank.storage.forking import at_fork, keep_for_good

FileId: TypeAlias = tuple[int, int]
"""Device and number of a file, whatever its name."""

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
# A row takes 4 bytes at least, and no statement of facebank takes more than a few hundred steps for one. Pages that
# point at each other make billions of rows of a small file.
_STEPS_AT_LEAST = 5_000_000
_STEPS_A_BYTE = 100
_STEPS_A_CHANGE = 2_000
_STEPS_BETWEEN_LOOKS = 100_000
_MEASURED_FOR = 1.0  # seconds


class UnusableError(sqlite3.ProgrammingError):
    """A connection that cannot be used; the text goes on after the file's name."""


class WasClosedError(UnusableError):
    """A connection that was closed, perhaps by another thread in the middle of a statement."""

    def __init__(self) -> None:
        super().__init__("was closed: open it anew")


class Appearance(NamedTuple):
    """What a file and its companions look like from outside: when they are changed, it changes."""

    file: tuple[int, int, int, int]
    log: tuple[int, int, int, int] | None


class BoundedConnection(sqlite3.Connection):
    """A connection whose statements all end: each may take as many steps as the size of the file allows.

    The bound is counted without any Python code, so that Ctrl-C is never taken for a statement that does not end.
    """

    read_as: Appearance | None = None
    """What the file looked like, where SQLite does not notice what others change in it; None where it does."""

    file: FileId | None = None
    """The file, which counts as open in this process; None for a database in memory."""

    is_ended = False
    """Whether another thread closes it: it is closed when what is being done with it has ended."""

    _process = 0
    _path: Path | None = None
    _size = 0
    _measured = 0.0

    def opened(self, file: FileId) -> None:
        """Count a file as open, which `close` counts as closed."""
        self.file, self._process = file, os.getpid()

    @property
    def is_inherited(self) -> bool:
        """Whether another process opened it, from which this one was forked."""
        return self.file is not None and self._process != os.getpid()

    def close(self) -> None:
        """Close the connection; one that another process opened is left as it is."""
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
        """Stop what another thread does with it now; it can do nothing else with it."""
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
        """Return whether others changed the file without this connection's knowledge: open it anew then."""
        return self.read_as is not None and self._path is not None and appearance(self._path) != self.read_as

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


def open_guarded(path: Path, mode: str, busy_timeout: float) -> BoundedConnection:
    """Open a file that exists.

    Parameters
    ----------
    path
        The file.
    mode
        SQLite's: ``rw``, ``ro``, or ``ro&immutable=1`` for a file that nobody changes meanwhile.
    busy_timeout
        How long another process is waited for, in seconds.
    """
    place = f"{path.absolute().as_uri()}?mode={mode}"
    with OPENING:
        file = file_id(path)
        if file in _lost:
            raise UnusableError(_LOST)
        _count(file, 1)
    try:
        connection = sqlite3.connect(
            place,
            uri=True,
            timeout=busy_timeout,
            isolation_level=None,
            check_same_thread=False,  # `facebank.storage.connections` sees to it; any thread may close it
            factory=BoundedConnection,
        )
    except BaseException:
        _count(file, -1)
        raise
    connection.opened(file)
    try:
        _limit(connection)
        connection.bound_by(path)
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def file_id(path: Path) -> FileId:
    """Return which file a path names; where it cannot be looked at, opening it says why."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino


def is_open_here(path: Path) -> bool:
    """Return whether this process has a file open with SQLite: nothing else may open it then."""
    file = file_id(path)
    with OPENING:
        return _open[file] > 0


def in_memory() -> BoundedConnection:
    """Return a connection to a new database in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=BoundedConnection)
    _limit(connection)
    return connection


def copied_to_memory(connection: BoundedConnection) -> BoundedConnection:
    """Return a connection to a copy in memory, and close the one to the file."""
    copy = in_memory()
    with closing(connection):
        connection.backup(copy)
    copy.stands_for(connection)
    return copy


def appearance(path: Path) -> Appearance | None:
    """Return what a file looks like from outside; None where it is not there."""
    file = _looks(path)
    return None if file is None else Appearance(file, _looks(path.with_name(path.name + "-wal")))


def is_filled(path: Path, suffix: str) -> bool:
    """Return whether a file's companion, such as ``-wal``, is there and has content."""
    return _size_of(path, suffix) > 0


def _limit(connection: sqlite3.Connection) -> None:
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)


def _looks(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _size_of(path: Path, suffix: str) -> int:
    try:
        return path.with_name(path.name + suffix).stat().st_size
    except OSError:
        return 0


OPENING = RLock()
"""Held by whoever opens or closes a connection, and by whoever forks this process meanwhile."""

_LOST = (
    "was being used when this process was forked, and cannot be used here: fork while nothing uses it, or start "
    "processes with multiprocessing's 'spawn'"
)
BEFORE_FORK: list[Callable[[], None]] = []
"""Called before this process is forked, to close what nobody uses."""

_open: Counter[FileId] = Counter()
_lost: set[FileId] = set()


def _count(file: FileId, change: int) -> None:
    with OPENING:
        _open[file] += change
        if not _open[file]:
            del _open[file]


def _before_fork() -> None:
    OPENING.acquire()
    for call in BEFORE_FORK:
        call()


def _in_child() -> None:
    _lost.update(_open)
    _open.clear()
    OPENING.release()


at_fork(before=_before_fork, in_parent=OPENING.release, in_child=_in_child)
