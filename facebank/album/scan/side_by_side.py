"""The same work on many things at the same time, answers in order, and never many more begun than can be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_WAITING_TURNS = 2  # tasks of each worker that are begun or finished before they are asked for


def side_by_side(work: Callable[[Task], Answer], tasks: Iterable[Task], workers: int) -> Iterator[Answer]:
    """Do a work on tasks in threads.

    Parameters
    ----------
    work
        Called with each task, in any thread.
    tasks
        Taken one by one, in the caller's thread, as workers are free to come.
    workers
        How many threads.

    Yields
    ------
    Answer
        One for each task, in order.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="lookout") as pool:
        begun: deque[Future[Answer]] = deque()
        try:
            for task in tasks:
                begun.append(pool.submit(work, task))
                if len(begun) >= workers * _WAITING_TURNS:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
