"""Posting of events as JSON to a web address by a background thread, with limits and without redirects."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread, Timer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from facebank import __version__
from facebank.errors import UsageError
from facebank.media.live import Timeouts
from facebank.storage.text import printable
from facebank.video.delivery import DeliveryLog, given_address

if TYPE_CHECKING:
    from facebank.video.presence import PresenceEvent

_MOST_WAITING = 100
_MOST_ATTEMPTS = 5
_HOW_TO_WRITE = "write it as https://HOST/PATH, in a name, password or path %40 for @, %2F for / and so on"
_CLOSE_TIMEOUT = 5.0  # seconds to post waiting events at the end
_TRY_AGAIN = (408, 425, 429)  # statuses below 500 that are retried
_WAITS = Timeouts(first=1.0, longest=30.0, patience=10.0)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The address for events; `shown` is its name in messages, without secrets."""

    host: str
    port: int
    encrypted: bool
    target: str = field(repr=False)  # path and query
    authorization: str | None = field(repr=False)
    shown: str


def webhook(text: str) -> Webhook:
    """Parse a webhook's address, or read it from ``@FILE``.

    Raises `UsageError` if it is not an http or https address. Messages contain only its scheme.
    """
    address = given_address(text, "the webhook")
    try:
        parts = urlsplit(address)
        port, host = parts.port, (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:
        raise UsageError(f"the webhook's address is invalid:  {_HOW_TO_WRITE}") from error
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"a webhook must begin with https:// or http://, not {printable(parts.scheme) or 'a word'}")
    if not host or not address.isascii():
        raise UsageError("the webhook's address needs a host, and letters other than ASCII as %XX: https://HOST/PATH")
    if "@" in address.partition(parts.netloc)[2]:
        raise UsageError(f"the webhook's address has an @ after its host: {_HOW_TO_WRITE}")
    encrypted = parts.scheme == "https"
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(credentials.encode()).decode('ascii')}"
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return Webhook(host, port or (443 if encrypted else 80), encrypted, target, authorization, shown)


class WebhookPublisher:
    """Posts events in order, each up to five times.

    If more than a hundred wait, the oldest is discarded. Certificates are verified; redirects are not followed and
    proxies not used, so that nothing is sent to another address.

    Parameters
    ----------
    target
        The webhook, from `webhook`.
    on_trouble
        Called with a message when posting fails and when it recovers.
    waits
        Timeouts, and pauses before another attempt.
    """

    def __init__(self, target: Webhook, on_trouble: Callable[[str], None], waits: Timeouts = _WAITS) -> None:
        self.log = DeliveryLog(f"the webhook at {target.shown}", on_trouble)
        self._target = target
        self._waits = waits
        self._context = ssl.create_default_context() if target.encrypted else None
        self._waiting: deque[bytes] = deque()
        self._news = Condition()
        self._close_by: float | None = None
        self._thread = Thread(target=self._work, name="webhook", daemon=True)

    def start(self) -> None:
        """Start posting in the background."""
        self._thread.start()

    def publish(self, event: PresenceEvent) -> None:
        """Queue an event; returns immediately."""
        with self._news:
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self.log.drop()
            self._waiting.append(json.dumps(event.record(), allow_nan=False).encode("ascii"))
            self._news.notify_all()

    def close(self) -> None:
        """Post waiting events, for a few seconds at most, and stop."""
        with self._news:
            self._close_by = time.monotonic() + _CLOSE_TIMEOUT
            self._news.notify_all()
        self._thread.join(_CLOSE_TIMEOUT + 1)
        with self._news:
            self.log.drop(len(self._waiting))
            self._waiting.clear()

    def _work(self) -> None:
        while (body := self._next()) is not None:
            wait = self._waits.first
            for attempt in range(1, _MOST_ATTEMPTS + 1):
                reason, is_final = self._post(body)
                if reason is None:
                    self.log.succeed()
                    break
                if is_final or attempt == _MOST_ATTEMPTS or self._pause(wait):
                    self.log.fail(reason, "an event is discarded; watching continues")
                    self.log.drop()
                    break
                self.log.fail(reason)
                wait = min(2 * wait, self._waits.longest)

    def _next(self) -> bytes | None:
        """Wait for an event; returns None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._close_by is not None)
            if not self._waiting or (self._close_by is not None and time.monotonic() > self._close_by):
                return None
            return self._waiting.popleft()

    def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt; returns True if closed meanwhile."""
        with self._news:
            return self._news.wait_for(lambda: self._close_by is not None, seconds)

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Post once; returns the reason of a failure or None, and whether another attempt is useless."""
        began = time.monotonic()
        try:
            status = self._status_of(body)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not trusted ({error.verify_message})", False
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or time.monotonic() - began >= self._waits.patience:
                return "it does not answer in time", False
            strerror = getattr(error, "strerror", None)
            return f"it cannot be reached{f' ({strerror})' if isinstance(strerror, str) else ''}", False
        if 200 <= status < 300:
            return None, True
        if 300 <= status < 400:
            return f"it redirects (HTTP {status}), which is not followed: use the final address", True
        return f"it answers HTTP {status}", status < 500 and status not in _TRY_AGAIN

    def _status_of(self, body: bytes) -> int:
        target, patience = self._target, self._waits.patience
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(target.host, target.port, timeout=patience, context=self._context)
        else:
            connection = http.client.HTTPConnection(target.host, target.port, timeout=patience)
        headers = {"Content-Type": "application/json", "User-Agent": f"facebank/{__version__}", "Connection": "close"}
        if target.authorization is not None:
            headers["Authorization"] = target.authorization
        too_slow = Timer(patience, _cut, [connection])  # a socket's timeout restarts with every byte
        too_slow.daemon = True
        try:
            connection.connect()
            too_slow.start()
            connection.request("POST", target.target, body, headers)
            return connection.getresponse().status
        finally:
            too_slow.cancel()
            connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
