"""Progress on standard error: a bar on a terminal, otherwise a line every half minute."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from facebank.storage.pace import Pace
from facebank.storage.progress import Progress

from .output import say

if TYPE_CHECKING:
    from typing import Self

    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

_FIRST_LINE, _BETWEEN_LINES = 15.0, 30.0  # seconds


class ProgressBar(Progress):
    """Progress of consecutive steps; a context manager that removes the last bar.

    An integer total counts items, and is shown from 2 on. A float total is shown as a bar, on terminals only.

    Parameters
    ----------
    writes_lines
        Whether the command writes JSON or CSV meanwhile; no progress is shown if that goes to a terminal.
    """

    def __init__(self, *, writes_lines: bool = False) -> None:
        self.writes_lines = writes_lines
        self._step = ""
        self._bar: Bar | None = None
        self._pace: Pace | None = None
        self._next_line: float | None = None

    def __enter__(self) -> Self:
        """Return the progress, which shows nothing before `begin`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the last bar."""
        self.close()

    def begin(self, step: str, total: float | None) -> None:
        """Replace the bar with that of a new step; None for an unknown total."""
        self.close()
        pace = Pace(total) if isinstance(total, int) else None
        if (self.writes_lines and sys.stdout.isatty()) or (pace is not None and pace.total < 2):
            return
        self._step, self._pace = step, pace
        if sys.stderr.isatty():
            self._bar = _bar(self._columns(counts=pace is not None))
            self._bar.start()
            self._bar.add_task(step, total=total, time_left="")
        elif pace is not None:
            self._next_line = time.monotonic() + _FIRST_LINE

    def advance(self, amount: float = 1) -> None:
        """Advance the bar."""
        time_left = ""
        if self._pace is not None:
            self._pace.step()
            seconds_left = self._pace.seconds_left()
            time_left = "" if seconds_left is None else f"{duration(seconds_left)} left"
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, advance=amount, time_left=time_left)
        elif self._pace is not None and self._next_line is not None:
            now, done = time.monotonic(), self._pace.done
            if now >= self._next_line and done < self._pace.total:
                self._next_line = now + _BETWEEN_LINES
                suffix = f", {time_left}" if time_left else ""
                say(f"{self._step}: {done:,} of {self._pace.total:,}{suffix}")

    def close(self) -> None:
        """Remove the bar; further steps can begin."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._pace = self._next_line = None

    def _columns(self, *, counts: bool) -> tuple[ProgressColumn, ...]:
        from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

        # Rich's own estimate extrapolates from the first batch of photos, which complete all at once.
        return (MofNCompleteColumn(), TextColumn("{task.fields[time_left]}")) if counts else (TimeRemainingColumn(),)


class DownloadBar(ProgressBar):
    """Progress of downloads, in bytes."""

    def _columns(self, *, counts: bool) -> tuple[ProgressColumn, ...]:  # noqa: ARG002 - bytes are always counted
        from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

        return DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()


def _bar(columns: tuple[ProgressColumn, ...]) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    # soft_wrap leaves wrapping to the terminal, so that commands and paths above the bar can be copied
    console = Console(file=sys.stderr, soft_wrap=True)
    all_columns = TextColumn("{task.description}"), BarColumn(), *columns
    return Bar(*all_columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())


def duration(seconds: float) -> str:
    """Return a rounded duration: ``about 40 s``, ``about 12 min``, ``about 3.5 h``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
