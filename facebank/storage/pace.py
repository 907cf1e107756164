"""Estimate of the remaining time of an operation."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_MIN_STEPS = 3  # the first also loads networks
_MIN_PAUSE, _MIN_TIME, _MARK_INTERVAL, _WINDOW = 0.1, 2.0, 1.0, 60.0  # seconds


class Pace:
    """Pace of steps that complete in bursts, over the last minute.

    Steps done in an earlier run all complete at the beginning, and photos of a batch complete together; neither helps
    to estimate the remaining time. Counting begins at the first pause.

    Parameters
    ----------
    total
        Number of steps.
    clock
        Monotonic clock in seconds; None for `time.monotonic`.
    """

    def __init__(self, total: int, clock: Callable[[], float] | None = None) -> None:
        self.total, self._clock = total, clock or time.monotonic
        self.done = 0
        self._began = self._last = self._clock()
        self._marks = deque[tuple[float, int]]()

    def step(self) -> None:
        """Count a step."""
        now = self._clock()
        if not self._marks and now - self._last >= _MIN_PAUSE:
            self._marks.append((self._last, self.done))
        self.done += 1
        self._last = now
        if self._marks and now - self._marks[-1][0] >= _MARK_INTERVAL:
            self._marks.append((now, self.done))
            while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW:
                self._marks.popleft()

    def seconds_left(self) -> float | None:
        """Return the remaining time in seconds; None if it cannot be estimated yet."""
        began, before = self._marks[0] if self._marks else (self._began, 0)
        passed, done = self._last - began, self.done - before
        if done < 1 or (not self._marks and passed < _MIN_TIME):
            return None
        if self.done < self.total and (done < _MIN_STEPS or passed < _MIN_TIME):
            return None
        return passed / done * (self.total - self.done)
