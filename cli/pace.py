"""How long a work still takes, by the pace of its last minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_PAUSE = 0.1
_ENOUGH = 2.0
_BETWEEN_MARKS = 1.0
_REMEMBERED = 60.0


class Pace:
    """The pace of steps that come in bursts.

    What is known from an earlier run is done at once, before anything that takes time, and photos of a batch are done
    together: neither says how long the rest takes. Counting begins at the first pause.

    Parameters
    ----------
    total
        How many steps there are.
    clock
        Seconds that rise.
    """

    def __init__(self, total: int, clock: Callable[[], float] | None = None) -> None:
        self._total, self._clock = total, clock or time.monotonic
        self.done = 0
        self._began = self._last = self._clock()
        self._marks = deque[tuple[float, int]]()

    def step(self) -> None:
        """Note that a step is done."""
        now = self._clock()
        if not self._marks and now - self._last >= _PAUSE:
            self._marks.append((self._last, self.done))
        self.done += 1
        self._last = now
        if self._marks and now - self._marks[-1][0] >= _BETWEEN_MARKS:
            self._marks.append((now, self.done))
            while len(self._marks) > 2 and now - self._marks[0][0] > _REMEMBERED:
                self._marks.popleft()

    def seconds_left(self) -> float | None:
        """Return how long the rest takes at this pace; None as long as nothing can be said."""
        began, before = self._marks[0] if self._marks else (self._began, 0)
        passed, done = self._last - began, self.done - before
        if done < 1 or (not self._marks and passed < _ENOUGH):
            return None
        return passed / done * (self._total - self.done)


def duration(seconds: float) -> str:
    """Write a rough time: ``about 40 s``, ``about 12 min``, ``about 3.5 h``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
