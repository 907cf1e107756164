"""A `Progress` that records its calls."""

from __future__ import annotations

from facebank.storage.progress import Progress


class Recorder(Progress):
    """Records the steps with their totals, the completed units of each, and the results."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float | None]] = []
        self.done: list[float] = []
        self.advances = 0
        self.results: list[object] = []

    def begin(self, step: str, total: float | None) -> None:
        self.steps.append((step, total))
        self.done.append(0)

    def advance(self, amount: float = 1) -> None:
        self.advances += 1
        if self.done:
            self.done[-1] += amount

    def report(self, result: object) -> None:
        self.results.append(result)
