"""Errors in CompreFace's format: a message and a numeric code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from facebank.service.problems import MEDIA_TYPE, WITHOUT_ADVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = ("/api/v1/recognition/", "/api/v1/verification/", "/api/v1/detection/", "/api/v1/static/")
"""Prefixes of CompreFace's paths."""

_NO_ROUTE = "This CompreFace route or method is not supported here: see docs/compreface.md"
_NO_FACE = "No face is found in the given image"
_ERRORS: Mapping[str, tuple[int | None, int, str | None]] = {
    # status, code and message by the problem's code; None for the problem's own
    "KeyNeeded": (None, 20, None),
    "KeyNotValid": (None, 10, None),
    "RoleTooLow": (None, 1, None),
    "ImageNotFound": (404, 11, None),
    "SampleNotFoundError": (404, 11, None),
    "NoSuchRoute": (None, 0, _NO_ROUTE),
    "MethodNotAllowed": (None, 0, _NO_ROUTE),
    "PersonNotFoundError": (404, 42, None),
    "PersonExistsError": (400, 43, None),
    "NoFaceError": (400, 28, _NO_FACE),
    "SeveralFaces": (400, 31, None),
    "InvalidValue": (400, 26, None),
    "InvalidNameError": (400, 26, None),
    "UsageError": (400, 26, None),
    "NotEnrolled": (400, 26, None),
    "NotSupported": (400, 26, None),
    "EmbeddingsAreOff": (400, 26, None),
    "NoSubject": (400, 33, None),
    "NoPhoto": (400, 34, None),
    "SeveralPhotos": (400, 34, None),
    "UnreadablePhoto": (400, 21, None),
    "UnreadablePhotoError": (400, 21, None),
    "UnsupportedPhotoError": (400, 21, None),
    "PhotoTooLargeError": (400, 21, None),
}


class CompreFaceErrors:
    """Translates problem details to CompreFace's errors, below CompreFace's paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})[WITHOUT_ADVICE] = True  # advice refers to routes that its clients do not have
        start: Message | None = None
        body = b""

        async def translate(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                if headers.get(b"content-type", b"").startswith(MEDIA_TYPE.encode()):
                    start = message
                    return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await _send_error(start, json.loads(body), send)

        await self._app(scope, receive, translate)


async def _send_error(start: Message, problem: Mapping[str, object], send: Send) -> None:
    status, code, text = _ERRORS.get(str(problem["code"]), (None, 0, None))
    content = json.dumps({"message": text or problem["detail"], "code": code}).encode()
    new_values = {b"content-type": b"application/json", b"content-length": str(len(content)).encode()}
    headers = [(name, new_values.get(name.lower(), value)) for name, value in start["headers"]]
    await send({**start, "status": status or start["status"], "headers": headers})
    await send({"type": "http.response.body", "body": content})
