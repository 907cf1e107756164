"""Connections to SQLite files from anybody: limits before anything is read, and statements that all end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

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

    _path: Path | None = None
    _size = 0
    _measured = 0.0

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
        if self._path is None:
            return
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
    connection = sqlite3.connect(place, uri=True, timeout=busy_timeout, isolation_level=None, factory=BoundedConnection)
    try:
        _limit(connection)
        connection.bound_by(path)
        for setting in _SETTINGS:
            connection.execute(setting)
    except BaseException:
        connection.close()
        raise
    return connection


def in_memory() -> BoundedConnection:
    """Return a connection to a new database in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=BoundedConnection)
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
