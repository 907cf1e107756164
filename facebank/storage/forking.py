"""What threads share, and what is left of it in a forked process.

`os.fork` copies the memory and only the thread that called it: locks that others held are held for ever, a network's
own threads are gone, and SQLite takes locks on files for its own that only the first process has.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakSet

if TYPE_CHECKING:
    from types import TracebackType

Value = TypeVar("Value")


class SharedLock:
    """A lock that a thread may take several times; it is free in a process that was just forked."""

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
        """Take a free lock in the place of one that may be held by a thread that is gone."""
        self._lock = RLock()


class PerProcess(Generic[Value]):
    """A value that the first thread that needs it makes, once in each process.

    Parameters
    ----------
    make
        Makes it.
    """

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
    """A property computed when it is first asked for: `functools.cached_property` without the lock of Python 3.11.

    That lock is one for all instances, and stays held in a process that is forked meanwhile. Two threads may compute
    the value at once; both get an equal one.
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
    """Call functions whenever this process is forked from Python; no-op where no process can be."""
    if hasattr(os, "register_at_fork"):
        given = {"before": before, "after_in_parent": in_parent, "after_in_child": in_child}
        os.register_at_fork(**{name: call for name, call in given.items() if call is not None})


def keep_for_good(thing: object) -> None:
    """Never free something, not even when the process ends: what it would do then belongs to another process."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _renew_locks() -> None:
    for lock in list(_locks):
        lock.renew()


_locks: WeakSet[SharedLock] = WeakSet()
at_fork(in_child=_renew_locks)
