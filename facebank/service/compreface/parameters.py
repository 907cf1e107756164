"""Requests of CompreFace's clients: query parameters, and photos in each client's format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from facebank.service.photos import RequestContent, read_content
from facebank.service.problems import RequestError
from facebank.service.service import ServiceDep
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message

_PAGE_SIZE, _MAX_PAGE_SIZE = 20, 2000
_PLUGINS = frozenset({"landmarks", "calculator"})
# The JavaScript client starts every parameter with a question mark.
_MISPLACED = re.compile(r"\?(?=(?:limit|det_prob_threshold|prediction_count|face_plugins|status)=)")
_SEPARATOR = re.compile(rb"--[\w'()+,./:=?-]{1,70}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """The query parameters of a request."""

    subject: str | None  # the name of a person; None if missing
    limit: int  # maximum number of faces, largest first; 0 for all
    min_detection_score: float  # minimum detection score of a face
    prediction_count: int  # maximum number of candidates for a face
    plugins: frozenset[str]  # additional facts of faces
    status: bool  # whether to return versions and timing
    page: int  # page of samples, from 0
    size: int  # size of a page

    @property
    def required_subject(self) -> str:
        """The name of a person; raises `RequestError` (400) if missing."""
        if self.subject is None:
            raise RequestError(400, "NoSubject", "Required parameter is missing: subject")
        return self.subject


async def parameters_of(request: Request) -> Parameters:
    """Return the parameters of a request; raises `RequestError` (400) for invalid ones."""
    query = _MISPLACED.sub("&", request.scope["query_string"].decode("utf-8", "replace"))
    values = {name: texts[0] for name, texts in parse_qs(query).items()}
    return Parameters(
        subject=values.get("subject"),
        limit=_parse_count(values, "limit", 0, minimum=0),
        min_detection_score=_parse_fraction(values, "det_prob_threshold"),
        prediction_count=_parse_count(values, "prediction_count", 1, minimum=1),
        plugins=_parse_plugins(values.get("face_plugins", "")),
        status=values.get("status", "").lower() == "true",
        page=_parse_page(values, "page"),
        size=min(_parse_page(values, "size") or _PAGE_SIZE, _MAX_PAGE_SIZE),
    )


async def client_content_of(request: Request, service: ServiceDep) -> RequestContent:
    """Return the content of a request; the JavaScript client sends forms without declaring the boundary."""
    if request.headers.get("content-type", "").strip().lower() == "multipart/form-data":
        request = _with_separator(request, await request.body())
    return await read_content(request, service.options.limits)


def _with_separator(request: Request, body: bytes) -> Request:
    first_line = body[:200].split(b"\r\n", 1)[0]
    if not _SEPARATOR.fullmatch(first_line):
        return request
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
    headers.append((b"content-type", b'multipart/form-data; boundary="' + first_line[2:] + b'"'))

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": headers}, replay)


def _parse_count(values: Mapping[str, str], name: str, default: int, *, minimum: int) -> int:
    value = values.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < minimum:
        raise RequestError(400, "InvalidValue", f"{name} must be an integer of {minimum} or more")
    return int(value)


def _parse_fraction(values: Mapping[str, str], name: str) -> float:
    value = values.get(name, "0")
    if not re.fullmatch(r"[0-9]*\.?[0-9]+(e-?[0-9]{1,2})?", value[:40].lower()) or not 0.0 <= float(value[:40]) <= 1.0:
        raise RequestError(400, "InvalidValue", f"{name} must be a number from 0 to 1")
    return float(value[:40])


def _parse_plugins(text: str) -> frozenset[str]:
    requested = frozenset(filter(None, (part.strip() for part in text.split(","))))
    for unknown in sorted(requested - _PLUGINS):
        raise RequestError(
            400,
            "NotSupported",
            f"face_plugins: {printable(unknown[:40])} is not supported here, only landmarks and calculator",
        )
    return requested


def _parse_page(values: Mapping[str, str], name: str) -> int:
    """Return a page number as CompreFace parses it: an invalid one counts as missing."""
    value = values.get(name, "")
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else 0


QueryDep = Annotated[Parameters, Depends(parameters_of)]
ClientContentDep = Annotated[RequestContent, Depends(client_content_of)]
