"""Synchronization between threads and processes, safe across forks and Ctrl-C.

`os.fork` copies the memory but only the calling thread: locks held by other threads stay held, the threads of networks
are gone, and the child process does not hold the file locks that its copy of SQLite relies on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakSet

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import FrameType, TracebackType

Value = TypeVar("Value")
Item = TypeVar("Item")


class ForkSafeLock:
    """A reentrant lock that is replaced in a forked process."""

    def __init__(self) -> None:
        self._lock = RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock, which a thread of the parent process may hold."""
        self._lock = RLock()


class ProcessLocal(Generic[Value]):
    """A value created once per process, by `make`, on first use."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._value: tuple[int, Value] | None = None  # with the process ID
        self._lock = ForkSafeLock()

    def get(self) -> Value:
        """Return the value."""
        value = self._value
        if value is None or value[0] != os.getpid():
            with self._lock:
                value = self._value
                if value is None or value[0] != os.getpid():
                    value = self._value = os.getpid(), self._make()
        return value[1]


class computed(Generic[Value]):  # noqa: N801 - a decorator, like `functools.cached_property`
    """A property computed on first access: `functools.cached_property` without the lock of Python 3.11.

    That lock is shared by all instances and stays held in a process that is forked meanwhile. Two threads may compute
    the value at the same time; both get the same one.
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


def map_in_threads(function: Callable[[Item], Value], items: Sequence[Item]) -> Iterator[Value]:
    """Yield a function's results in the order of `items`; runs in one thread per core, a few items ahead."""
    threads = min(len(items), os.cpu_count() or 1)
    if threads < 2:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    ahead = deque["Future[Value]"]()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def prefetch(items: Iterator[Item]) -> Generator[Item]:
    """Yield items, which must not be None; a thread prepares each while the one before is in use.

    Close the generator if it may be left early; this ends the thread.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item


def at_fork(
    *,
    before: Callable[[], None] | None = None,
    in_parent: Callable[[], None] | None = None,
    in_child: Callable[[], None] | None = None,
) -> None:
    """Register functions to call when Python forks this process; no-op on platforms without fork."""
    if hasattr(os, "register_at_fork"):
        hooks = {"before": before, "after_in_parent": in_parent, "after_in_child": in_child}
        os.register_at_fork(**{name: hook for name, hook in hooks.items() if hook is not None})


def keep_alive(instance: object) -> None:
    """Keep an object alive until after exit, because its destructor would affect another process."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(instance))


def _renew_locks() -> None:
    for lock in list(_locks):
        lock.renew()


_locks: WeakSet[ForkSafeLock] = WeakSet()
at_fork(in_child=_renew_locks)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; no-op outside of the main thread."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    delayed: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: delayed.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if delayed:
            handler(*delayed[0])


def try_flock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; returns False if another process holds it, None without file locks."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock

        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether a path still names an open file, not counting links."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


@contextmanager
def hold_lock_file(path: Path) -> Iterator[bool]:
    """Hold a lock file, and yield whether this process got it; raises `OSError` if it cannot be created."""
    lock = LockFile(path)
    try:
        yield lock.acquire(required=True)
    finally:
        lock.release()


class LockFile:
    """A lock file for mutual exclusion between processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, *, required: bool = False) -> bool:
        """Return whether this process got the lock; if no file can be created, True, or `OSError` if `required`."""
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError:
            if required:
                raise
            return True
        if _try_lock(descriptor) and is_at(descriptor, self._path):  # otherwise it was removed before it was locked
            self._descriptor = descriptor
            return True
        os.close(descriptor)
        return False

    def release(self) -> None:
        """Remove the file and release the lock, if held; waiting processes create a new file."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None


def _try_lock(descriptor: int) -> bool:
    if sys.platform != "win32":
        return try_flock(descriptor) is True
    import msvcrt

    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
