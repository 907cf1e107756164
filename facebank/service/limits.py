"""Limits on requests: their size, and the time to receive them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from facebank.service.problems import RequestError, problem_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from facebank.service.options import Limits


_MAX_KEYLESS_BYTES = 16 << 10  # of a request without a key
_MAX_JSON_VALUES = 50_000  # each takes many times its size in memory
_BEFORE_VALUES = (b"[", b"{", b",")
_CLOSE = {"Connection": "close"}
_DRAIN_SECONDS = 5.0
_DRAIN_PAUSE = 0.5  # seconds without data after which the client counts as finished
_DRAIN_BYTES = 256 << 20


class DrainedRequests:
    """Drains what a client still sends after the response, for a limited time.

    A connection closed with unread data is reset, and many clients then do not see the response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        header_names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else frozenset()
        if b"expect" in header_names or header_names.isdisjoint({b"content-length", b"transfer-encoding"}):
            await self._app(scope, receive, send)
            return
        is_whole = False

        async def tracked_receive() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def draining_send(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_whole or not is_last:
                await send(message)
                return
            await send({**message, "more_body": True})
            drained = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    while not is_whole and drained < _DRAIN_BYTES:
                        drained += len((await asyncio.wait_for(tracked_receive(), _DRAIN_PAUSE)).get("body", b""))
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, tracked_receive, draining_send)


class BoundedBodies:
    """Rejects requests whose bodies are too large, before reading them, or too slow."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._held = 0  # bytes of all requests in progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        max_bytes = self._limits.body if scope["state"]["caller"] is not None else _MAX_KEYLESS_BYTES
        if not length.isdigit() or len(length) > 18 or int(length) > max_bytes:
            error = _too_large(max_bytes)
            await problem_of(error, str(error))(scope, receive, send)
            return
        is_json = b"json" in headers.get(b"content-type", b"json").lower()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.upload_seconds
        received, value_count, is_whole = 0, 0, False

        async def bounded_receive() -> Message:
            nonlocal received, value_count, is_whole
            if is_whole:
                return await receive()  # reports the client's disconnect
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - loop.time()))
            except TimeoutError as error:
                seconds = self._limits.upload_seconds
                raise RequestError(
                    408, "TooSlow", f"the request did not arrive within {seconds:g} s: send fewer or smaller photos"
                ) from error
            body = message.get("body", b"")
            received += len(body)
            self._held += len(body)
            if received > max_bytes:
                raise _too_large(max_bytes)
            if self._held > self._limits.bodies:
                raise RequestError(503, "Busy", "too many bytes are being received: try again", _CLOSE)
            value_count += sum(map(body.count, _BEFORE_VALUES)) if is_json else 0
            if value_count > _MAX_JSON_VALUES:
                raise RequestError(
                    413, "TooLarge", f"the JSON has more than {_MAX_JSON_VALUES:,} values: split the request", _CLOSE
                )
            is_whole = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, bounded_receive, send)
        finally:
            self._held -= received


def _too_large(max_bytes: int) -> RequestError:
    message = f"the request is larger than {max_bytes:,} bytes: send fewer or smaller photos"
    return RequestError(413, "TooLarge", message, _CLOSE)
