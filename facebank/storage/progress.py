"""Progress callbacks of long operations."""

from __future__ import annotations


class Progress:
    """Receiver of the progress of a long operation. Does nothing; subclasses override methods.

    Examples
    --------
    >>> class Steps(Progress):
    ...     def begin(self, step, total):
    ...         print(f"{step}: {total}")
    >>> report = bank.enroll("Eileen", "eileen.jpg", progress=Steps())
    Enrolling: 1
    """

    def begin(self, step: str, total: float | None) -> None:
        """Begin a step of `total` units (None: unknown), such as ``Reading photos``; ends the step before.

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
        """Receive a final result before the operation returns, such as an `EnrolledPhoto`.

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
