"""Thread pool for requests, with a bounded number of running and waiting functions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from facebank.service.problems import BUSY_SECONDS, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

Params = ParamSpec("Params")
Result = TypeVar("Result")


class BoundedPool:
    """Runs functions in threads, and rejects those above a limit.

    Parameters
    ----------
    name
        Name of the threads.
    threads
        Number of functions that run in parallel.
    max_pending
        Maximum number of running and waiting functions.
    timeout
        Seconds until a request fails; its function continues, because it may be writing.
    context
        Returns a context in which each function runs.

    Attributes
    ----------
    pending
        Number of running and waiting functions.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        max_pending: int,
        timeout: float,
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._max_pending = max_pending
        self._timeout = timeout
        self._context = context
        self.pending = 0

    async def run(self, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
        """Run a function and return its result; raises `RequestError` 503 (too many waiting) or 504 (timeout)."""
        if self.pending >= self._max_pending:
            raise RequestError(
                503, "Busy", "too many requests are in progress: try again", {"Retry-After": str(BUSY_SECONDS)}
            )
        self.pending += 1

        def call() -> Result:
            with self._context():
                return function(*args, **kwargs)

        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        future.add_done_callback(self._release)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._timeout)
        except TimeoutError as error:
            future.add_done_callback(_retrieve_exception)
            raise RequestError(
                504, "TooSlow", f"the request took more than {self._timeout:g} s: send fewer photos, or try again later"
            ) from error

    def close(self) -> None:
        """Wait for running functions, and drop waiting ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _release(self, _: asyncio.Future[Result]) -> None:
        self.pending -= 1


def _retrieve_exception(future: asyncio.Future[Result]) -> None:
    """Retrieve the exception of an abandoned function, to avoid a warning by asyncio."""
    if not future.cancelled():
        future.exception()
