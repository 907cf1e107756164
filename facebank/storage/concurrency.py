"""Locks and turns: between threads, between processes, after a fork, and against Ctrl-C.

`os.fork` copies the memory but only the thread that called it: locks held by other threads stay held, a network's
threads are gone, and the new process does not hold the file locks that its copy of SQLite relies on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakSet

if TYPE_CHECKING:
    from types import FrameType, TracebackType

Value = TypeVar("Value")


# Threads and forks ----------------------------------------------------------------------------------------------


class SharedLock:
    """A reentrant lock that is free in a newly forked process."""

    def __init__(self) -> None:
        self._lock = RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace a lock that a thread of the parent process may hold."""
        self._lock = RLock()


class PerProcess(Generic[Value]):
    """A value made once per process, by `make`, when a thread first needs it."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._made: tuple[int, Value] | None = None
        self._lock = SharedLock()

    def get(self) -> Value:
        """Return the value."""
        made = self._made
        if made is None or made[0] != os.getpid():
            with self._lock:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = os.getpid(), self._make()
        return made[1]


class computed(Generic[Value]):  # noqa: N801 - it is used as a decorator, as `functools.cached_property` is
    """A property computed on first access: `functools.cached_property` without the lock of Python 3.11.

    That lock is shared by all instances and stays held in a process forked meanwhile. Two threads may compute the
    value at once; both get the same one.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> computed[Value]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> computed[Value] | Value:
        if instance is None:
            return self
        value: Value = instance.__dict__.setdefault(self._name, self._compute(instance))
        return value


def at_fork(
    *,
    before: Callable[[], None] | None = None,
    in_parent: Callable[[], None] | None = None,
    in_child: Callable[[], None] | None = None,
) -> None:
    """Call functions whenever Python forks this process; no-op where processes cannot be forked."""
    if hasattr(os, "register_at_fork"):
        given = {"before": before, "after_in_parent": in_parent, "after_in_child": in_child}
        os.register_at_fork(**{name: call for name, call in given.items() if call is not None})


def keep_for_good(thing: object) -> None:
    """Never free an object, not even at exit: its destructor would touch what belongs to another process."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _renew_locks() -> None:
    for lock in list(_locks):
        lock.renew()


_locks: WeakSet[SharedLock] = WeakSet()
at_fork(in_child=_renew_locks)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; no-op in threads that it does not interrupt."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


# Processes ------------------------------------------------------------------------------------------------------


def flock_now(handle: int) -> bool | None:
    """Lock an open file until it is closed; False if another process holds the lock, None if the system has none."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock

        flock(handle, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def is_at(handle: int, path: Path) -> bool:
    """Return whether a path still names an open file, and not through a link."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


@contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Make, hold and remove a lock file, and yield whether this process got it; `OSError` if it cannot be made."""
    lock = LockFile(path)
    try:
        yield lock.take(must_be_there=True)
    finally:
        lock.release()


class LockFile:
    """A file by which processes exclude each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def take(self, *, must_be_there: bool = False) -> bool:
        """Return whether this process has the lock; also where no file can be made, unless that is an error."""
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError:
            if must_be_there:
                raise
            return True
        if _locked(handle) and is_at(handle, self._path):  # else it was removed before it was locked
            self._handle = handle
            return True
        os.close(handle)
        return False

    def release(self) -> None:
        """Remove the file and release the lock, if this process has it; those who wait make another file."""
        if self._handle is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._handle)
            self._handle = None


def _locked(handle: int) -> bool:
    if sys.platform != "win32":
        return flock_now(handle) is True
    import msvcrt

    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
