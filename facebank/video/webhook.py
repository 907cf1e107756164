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
from facebank.video.delivery import DeliveryLog, read_address

if TYPE_CHECKING:
    from facebank.video.presence import PresenceEvent

_MAX_WAITING = 100
_MAX_ATTEMPTS = 5
_FORM = "write it as https://HOST/PATH, in a name, password or path %40 for @, %2F for / and so on"
_CLOSE_TIMEOUT = 5.0  # seconds to post waiting events at the end
_TEMPORARY = (408, 425, 429)  # statuses below 500 that are retried
_TIMEOUTS = Timeouts(first_pause=1.0, longest_pause=30.0, timeout=10.0)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The web address to which events are posted."""

    host: str
    port: int
    is_encrypted: bool
    target: str = field(repr=False)  # path and query
    authorization: str | None = field(repr=False)  # value of the header; None without a user
    label: str  # name in messages, without secrets


def parse_webhook(text: str) -> Webhook:
    """Return the webhook for an address, or ``@FILE`` to read it.

    Raises `UsageError` if it is not an http or https address. Messages contain only its scheme.
    """
    address = read_address(text, "the webhook")
    try:
        parts = urlsplit(address)
        port, host = parts.port, (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:
        raise UsageError(f"the webhook's address is invalid: {_FORM}") from error
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"a webhook must begin with https:// or http://, not {printable(parts.scheme) or 'a word'}")
    if not host or not address.isascii():
        raise UsageError(
            "the webhook's address needs a host, and %XX for letters that are not ASCII: https://HOST/PATH"
        )
    if "@" in address.partition(parts.netloc)[2]:
        raise UsageError(f"the webhook's address has an @ after its host: {_FORM}")
    is_encrypted = parts.scheme == "https"
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(credentials.encode()).decode('ascii')}"
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    label = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return Webhook(host, port or (443 if is_encrypted else 80), is_encrypted, target, authorization, label)


class WebhookPublisher:
    """Posts events in order, each up to five times.

    If more than a hundred wait, the oldest is discarded. Certificates are verified. Redirects are not followed and
    proxies are not used, because events must not be sent to another address.

    Parameters
    ----------
    webhook
        The webhook, from `parse_webhook`.
    on_status
        Called with a message when posting fails and when it recovers.
    timeouts
        Timeouts, and pauses before another attempt.
    """

    def __init__(self, webhook: Webhook, on_status: Callable[[str], None], timeouts: Timeouts = _TIMEOUTS) -> None:
        self.log = DeliveryLog(f"the webhook at {webhook.label}", on_status)
        self._webhook = webhook
        self._timeouts = timeouts
        self._context = ssl.create_default_context() if webhook.is_encrypted else None
        self._waiting: deque[bytes] = deque()
        self._changed = Condition()  # guards the waiting events and the end
        self._close_by: float | None = None
        self._thread = Thread(target=self._run, name="webhook", daemon=True)

    def start(self) -> None:
        """Start posting in the background."""
        self._thread.start()

    def publish(self, event: PresenceEvent) -> None:
        """Queue an event; returns immediately."""
        with self._changed:
            if len(self._waiting) >= _MAX_WAITING:
                self._waiting.popleft()
                self.log.drop()
            self._waiting.append(json.dumps(event.record(), allow_nan=False).encode("ascii"))
            self._changed.notify_all()

    def close(self) -> None:
        """Post waiting events, for a few seconds at most, and stop."""
        with self._changed:
            self._close_by = time.monotonic() + _CLOSE_TIMEOUT
            self._changed.notify_all()
        self._thread.join(_CLOSE_TIMEOUT + 1)
        with self._changed:
            self.log.drop(len(self._waiting))
            self._waiting.clear()

    def _run(self) -> None:
        while (body := self._next()) is not None:
            pause = self._timeouts.first_pause
            for attempt in range(1, _MAX_ATTEMPTS + 1):
                reason, is_final = self._post(body)
                if reason is None:
                    self.log.succeed()
                    break
                if is_final or attempt == _MAX_ATTEMPTS or self._pause(pause):
                    self.log.fail(reason, "an event is discarded; watching continues")
                    self.log.drop()
                    break
                self.log.fail(reason)
                pause = min(2 * pause, self._timeouts.longest_pause)

    def _next(self) -> bytes | None:
        """Wait for an event and return it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._close_by is not None)
            if not self._waiting or (self._close_by is not None and time.monotonic() > self._close_by):
                return None
            return self._waiting.popleft()

    def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt, and return whether the publisher was closed meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._close_by is not None, seconds)

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Post once, and return the reason of a failure or None, and whether another attempt is useless."""
        began = time.monotonic()
        try:
            status = self._request(body)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not trusted ({error.verify_message})", False
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or time.monotonic() - began >= self._timeouts.timeout:
                return "it does not answer in time", False
            strerror = getattr(error, "strerror", None)
            return f"it cannot be reached{f' ({strerror})' if isinstance(strerror, str) else ''}", False
        if 200 <= status < 300:
            return None, True
        if 300 <= status < 400:
            return f"it redirects (HTTP {status}), which is not followed: use the final address", True
        return f"it answers HTTP {status}", status < 500 and status not in _TEMPORARY

    def _request(self, body: bytes) -> int:
        webhook, timeout = self._webhook, self._timeouts.timeout
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(webhook.host, webhook.port, timeout=timeout, context=self._context)
        else:
            connection = http.client.HTTPConnection(webhook.host, webhook.port, timeout=timeout)
        headers = {"Content-Type": "application/json", "User-Agent": f"facebank/{__version__}", "Connection": "close"}
        if webhook.authorization is not None:
            headers["Authorization"] = webhook.authorization
        timer = Timer(timeout, _shut_down, [connection])  # a socket's timeout restarts with every byte
        timer.daemon = True
        try:
            connection.connect()
            timer.start()
            connection.request("POST", webhook.target, body, headers)
            return connection.getresponse().status
        finally:
            timer.cancel()
            connection.close()


def _shut_down(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
