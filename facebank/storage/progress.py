"""Progress of long operations: one protocol for the whole library, and its default that shows nothing."""

from __future__ import annotations


class Progress:
    """Receives the progress of a long operation, and ignores it: subclasses override what they show.

    Examples
    --------
    >>> class Steps(Progress):
    ...     def begin(self, step, total):
    ...         print(f"{step}: {total}")
    >>> report = bank.enroll("Eileen", "eileen.jpg", progress=Steps())
    Enrolling: 1
    """

    def begin(self, step: str, total: float | None) -> None:
        """Begin a step of `total` units (None: unknown), such as ``Reading photos``; the step before is over.

        Examples
        --------
        >>> Progress().begin("Reading photos", 3)
        """

    def advance(self, amount: float = 1) -> None:
        """Complete `amount` more units of the step.

        Examples
        --------
        >>> Progress().advance()
        """

    def report(self, result: object) -> None:
        """Receive a result that is final before the operation returns, such as an `EnrolledPhoto`.

        Examples
        --------
        >>> class Results(Progress):
        ...     def report(self, result):
        ...         print(result.reason)
        >>> report = bank.enroll("Eileen", "eileen.jpg", progress=Results())
        enrolled
        """


SILENT = Progress()
"""The default of every `progress` parameter."""
