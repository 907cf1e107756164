"""Progress of long operations: one protocol for the whole library, and its default that shows nothing."""

from __future__ import annotations


class Progress:
    """Receives the progress of a long operation, and ignores it: subclasses override what they show.

    Examples
    --------
    >>> class Steps(Progress):
    ...     def begin(self, step: str, total: float | None) -> None:
    ...         print(f"{step}: {total}")
    >>> Steps().begin("Reading photos", 3)
    Reading photos: 3
    """

    def begin(self, step: str, total: float | None) -> None:
        """Begin a step of `total` units (None: unknown), such as ``Reading photos``; the step before is over."""

    def advance(self, amount: float = 1) -> None:
        """Complete `amount` more units of the step."""

    def report(self, result: object) -> None:
        """Receive a result that is final before the operation returns, such as an `EnrolledPhoto`."""


SILENT = Progress()
"""The default of every `progress` parameter."""
