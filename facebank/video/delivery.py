"""Shared parts of message delivery: addresses from files, and counts and reports of failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from facebank.errors import UsageError
from facebank.storage.files import read_reason
from facebank.storage.text import printable

_MAX_ADDRESS = 4096  # characters


def read_address(text: str, receiver: str) -> str:
    """Return an address, or the first line of the file for ``@FILE``.

    Raises `UsageError` if the file cannot be read or has no address. Messages never contain the address.

    Parameters
    ----------
    text
        The address, or ``@`` and a path.
    receiver
        What has the address, in messages, such as ``the webhook``.
    """
    if not isinstance(text, str):
        raise UsageError(f"the address of {receiver} must be text, not {printable(repr(text))}")
    if not text.startswith("@"):
        address = text
    else:
        label = printable(text[1:])
        try:
            with Path(text[1:]).open(encoding="utf-8") as file:
                address = file.readline(_MAX_ADDRESS + 2).rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = read_reason(error) if isinstance(error, OSError) else "it is not UTF-8 text; save it as UTF-8"
            raise UsageError(f"the address of {receiver} cannot be read from {label}: {reason}") from error
    if not address:
        raise UsageError(f"the address of {receiver} is empty: give a URL, or @FILE")
    if len(address) > _MAX_ADDRESS:
        raise UsageError(f"the address of {receiver} is longer than {_MAX_ADDRESS:,} characters: use a shorter one")
    if not address.isprintable() or " " in address:
        raise UsageError(
            f"the address of {receiver} contains spaces or control characters: encode them, a space as %20"
        )
    return address


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Counts of delivered, failed and discarded messages.

    Attributes
    ----------
    delivered
        Messages acknowledged by the receiver.
    failures
        Failed attempts to connect or deliver, and lost connections.
    dropped
        Discarded messages.
    """

    delivered: int = 0
    failures: int = 0
    dropped: int = 0


class DeliveryLog:
    """Counts deliveries and reports failures, each reason once until a delivery succeeds.

    Parameters
    ----------
    label
        Name of the receiver, without secrets.
    on_status
        Called with a message, in the delivering thread.
    """

    def __init__(self, label: str, on_status: Callable[[str], None]) -> None:
        self._label = label
        self._on_status = on_status
        self._reasons: set[str] = set()
        self._lock = Lock()
        self._delivered = self._failures = self._dropped = 0

    @property
    def deliveries(self) -> Deliveries:
        """The counts so far."""
        with self._lock:
            return Deliveries(self._delivered, self._failures, self._dropped)

    def succeed(self, count: int = 1, *, recovers: bool = True) -> None:
        """Count delivered messages, and report that the receiver is available again after a failure.

        Without `recovers` earlier failures continue and are not reported again.
        """
        with self._lock:
            self._delivered += count
            if not recovers:
                return
            was_unavailable, self._reasons = bool(self._reasons), set()
        if was_unavailable:
            self._on_status(f"{self._label} is available again")

    def fail(self, reason: str, consequence: str = "trying again; watching continues") -> None:
        """Count a failure, and report it if its reason is new."""
        with self._lock:
            self._failures += 1
            is_new = reason not in self._reasons
            self._reasons.add(reason)
        if is_new:
            self._on_status(f"{self._label}: {reason}; {consequence}")

    def drop(self, count: int = 1) -> None:
        """Count discarded messages."""
        with self._lock:
            self._dropped += count
