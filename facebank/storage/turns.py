"""Processes that write to one file take turns, and say so when they wait."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from facebank.storage.text import printable

QUEUE = "-queue"
"""What is added to a file's name for the file by which writers queue; it is there only while some of them do."""

_PAUSE = 0.01  # seconds between two attempts
_SAID_AFTER = 1.0  # seconds


def begin_in_turn(connection: sqlite3.Connection, path: Path, patience: float) -> None:
    """Begin a write transaction; whoever waits for another process comes before those who have just written.

    SQLite lets whoever asks at the right moment write next, so that one who writes again and again starves all others.
    Here the first who has to wait leaves a file beside the database. While it is there every writer takes its lock
    before it begins, and lets go of it as soon as it has begun: the one who holds it is the next.

    Parameters
    ----------
    connection
        To the database.
    path
        Its file.
    patience
        How long others are waited for, in seconds. After a second of it a warning is logged, which goes to standard
        error where no logging is set up.

    Raises
    ------
    sqlite3.OperationalError
        Others are still writing.
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
    lock = _Lock(queue)
    try:
        while True:
            is_next = is_next or lock.take()
            waited = monotonic() - begun
            if is_next and _begins(connection, last=waited >= patience):
                return
            if waited >= patience:
                connection.execute("BEGIN IMMEDIATE")  # says that it is busy, or is not any more
                return
            if not said and waited >= min(_SAID_AFTER, patience):
                said = True
                _say(path)
            sleep(_PAUSE)
    finally:
        lock.let_go()


@contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Hold a file that one process at a time can hold, and yield whether this one does; a killed one lets go of it.

    Parameters
    ----------
    path
        The file; it is made, and removed in the end.

    Raises
    ------
    OSError
        It cannot be made.
    """
    lock = _Lock(path)
    try:
        yield lock.take(must_be_there=True)
    finally:
        lock.let_go()


class _Lock:
    """A file by which processes exclude each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self, *, must_be_there: bool = False) -> bool:
        """Return whether the lock is ours; where no file can be made it is, unless that is an error."""
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError:
            if must_be_there:
                raise
            return True
        if _locked(handle) and self._is_there(handle):
            self._handle = handle
            return True
        os.close(handle)
        return False

    def let_go(self) -> None:
        """Remove the file and let go of it, if it is ours: those who wait make another."""
        if self._handle is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._handle)
            self._handle = None

    def _is_there(self, handle: int) -> bool:
        """Return whether the file of that name is the one that was locked, and not one that was removed meanwhile."""
        try:
            return os.path.samestat(os.fstat(handle), self._path.lstat())
        except OSError:
            return False


def _locked(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _begins(connection: sqlite3.Connection, *, last: bool = False) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _say(path: Path) -> None:
    import logging

    logging.getLogger("facebank").warning("waiting for another facebank that is writing to %s", printable(str(path)))
