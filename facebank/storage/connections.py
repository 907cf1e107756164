"""One connection a thread to one SQLite file, so that an open gallery or scan may be used from any of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import local
from weakref import WeakSet

from facebank.storage.guarded import BEFORE_FORK, OPENING, BoundedConnection, FileId, UnusableError, WasClosedError
from facebank.storage.values import InvalidValueError


class ThreadConnections:
    """The connections of all threads to one file, each opened when its thread first needs it.

    A connection is closed when its thread has ended, with `close`, and where nobody uses it when this process is
    forked; whoever needs it again opens it anew. It is never used by two threads.

    Parameters
    ----------
    first
        The connection of the thread that opened the file.
    reopen
        Opens another, guarded and checked as the first was.
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
        """The connection of this thread; None where it has none yet."""
        lent: _Lent | None = getattr(self._mine, "lent", None)
        return None if lent is None or lent.process != os.getpid() else lent.connection

    @contextmanager
    def use(self) -> Iterator[BoundedConnection]:
        """Lend this thread its connection.

        Raises
        ------
        WasClosedError
            The file is closed, or was closed by another thread meanwhile.
        """
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
        """Open this thread's connection anew, between two transactions, and return it."""
        lent: _Lent = self._mine.lent
        if lent.connection is not None:
            lent.connection.close()
        lent.connection = connection = self._reopen()
        self._file = connection.file
        return connection

    def close(self) -> None:
        """Close the file for all threads; what others are doing with it ends with `WasClosedError`."""
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


def _close_idle() -> None:
    for connections in list(_all):
        connections.close_idle()


_all: WeakSet[ThreadConnections] = WeakSet()
BEFORE_FORK.append(_close_idle)
