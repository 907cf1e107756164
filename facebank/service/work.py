"""Thread pools for requests, with a bounded number of running and waiting functions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from facebank.service.problems import BUSY_SECONDS, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Work:
    """Runs functions in threads, and rejects further ones above a limit.

    Parameters
    ----------
    name
        Name of the threads.
    threads
        Number of functions that run in parallel.
    waiting
        Maximum number of running and waiting functions; further ones are rejected.
    seconds
        Timeout of a request; its function continues, because it may be writing.
    around
        Returns a context in which each function runs.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        waiting: int,
        seconds: float,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting = waiting
        self._seconds = seconds
        self._around = around
        self.under_way = 0  # number of running and waiting functions

    async def run(self, function: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
        """Run a function and return its result; raises `RequestError` 503 (too many waiting) or 504 (timeout)."""
        if self.under_way >= self._waiting:
            raise RequestError(
                503, "Busy", "too many requests are in progress: try again", {"Retry-After": str(BUSY_SECONDS)}
            )
        self.under_way += 1

        def call() -> Result:
            with self._around():
                return function(*given, **named)

        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._seconds)
        except TimeoutError as error:
            future.add_done_callback(_retrieve_exception)
            raise RequestError(504, "TooSlow", f"the request took more than {self._seconds:g} seconds") from error

    def close(self) -> None:
        """Wait for running functions, and drop waiting ones."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _done(self, _: asyncio.Future[Result]) -> None:
        self.under_way -= 1


def _retrieve_exception(future: asyncio.Future[Result]) -> None:
    """Retrieve the exception of an abandoned function, to avoid a warning by asyncio."""
    if not future.cancelled():
        future.exception()
