"""Errors as RFC 9457 problem details: ``application/problem+json`` with the library's error codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from facebank import errors
from facebank.errors import FacebankError, ServiceError
from facebank.service.client_text import with_routes, without_advice
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

    from facebank.service.client_text import ClientText

MEDIA_TYPE = "application/problem+json"
_MAX_MESSAGES = 10
WITHOUT_ADVICE = "without_advice"
"""Key of the request state: whether to omit advice about this API's parameters and routes."""
BUSY_SECONDS = 2  # Retry-After of a busy service

_STATUS: tuple[tuple[type[FacebankError], int], ...] = (  # the first match counts
    (errors.ClosedError, 503),
    (errors.GalleryBusyError, 503),
    (errors.PersonNotFoundError, 404),
    (errors.PersonExistsError, 409),
    (errors.InvalidNameError, 422),
    (errors.PackMismatchError, 409),
    (errors.GalleryError, 500),
    (errors.ScanBusyError, 409),
    (errors.ScanNotFoundError, 404),
    (errors.ScanError, 500),
    (errors.PhotoTooLargeError, 413),
    (errors.PhotoNotFoundError, 404),
    (errors.SampleNotFoundError, 404),
    (errors.GroupNotFoundError, 404),
    (errors.GroupNamedError, 409),
    (errors.UnsupportedPhotoError, 415),
    (errors.PhotoError, 422),
    (errors.VideoNotFoundError, 404),
    (errors.UsageError, 422),
    (errors.StorageError, 507),
    (FacebankError, 500),
)
_TITLES = {
    400: "The request cannot be understood",
    401: "A key is needed",
    403: "This is not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request took too long to arrive",
    409: "Conflict with the current state",
    413: "This is too large",
    415: "Unsupported content type",
    422: "The request is invalid",
    429: "Too many requests",
    500: "Internal error of the service",
    503: "The service is busy",
    504: "This took too long",
    507: "The disk cannot be written",
}
_ROUTING_ERRORS = {
    404: ("NoSuchRoute", "unknown route: see /api/v1/openapi.json"),
    405: ("MethodNotAllowed", "unsupported method: see the header Allow"),
}


class RequestError(ServiceError):
    """A rejected request: HTTP status, a code for programs, a message for people, and optional extension members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        extensions: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.extensions = dict(extensions or {})


def status_of(error: FacebankError) -> int:
    """Return the HTTP status for an error of the library."""
    if isinstance(error, RequestError):
        return error.status
    return next(status for error_type, status in _STATUS if isinstance(error, error_type))


def code_of(error: FacebankError) -> str:
    """Return an error's code: the name of its class, or the code of a `RequestError`."""
    return error.code if isinstance(error, RequestError) else type(error).__name__


def problem(
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, object] | None = None,
) -> JSONResponse:
    """Return a problem details response."""
    content = {
        "type": f"urn:facebank:error:{code}",
        "title": _TITLES.get(status, "The request failed"),
        "status": status,
        "code": code,
        "detail": detail,
        **(extensions or {}),
    }
    return JSONResponse(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def client_message(error: FacebankError, text: ClientText, scope: Scope) -> str:
    """Return an error's message for the client of a request."""
    message = text.error_message(error)
    if isinstance(error, (RequestError, errors.InvalidNameError)):  # already written for clients
        return message
    omits_advice = scope.get("state", {}).get(WITHOUT_ADVICE, False)
    return without_advice(message) if omits_advice else with_routes(message)


def problem_of(error: FacebankError, message: str) -> JSONResponse:
    """Return a problem details response for an error, with its message for clients."""
    status = status_of(error)
    headers, extensions = (dict(error.headers), error.extensions) if isinstance(error, RequestError) else ({}, {})
    if status == 503:
        headers.setdefault("Retry-After", str(BUSY_SECONDS))
    return problem(status, code_of(error), message, headers, extensions)


def add_problem_handlers(app: FastAPI) -> None:
    """Register handlers that return problem details for all errors."""

    async def handle_library_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, FacebankError)  # noqa: S101 - registered for these only
        return problem_of(error, client_message(error, request.app.state.service.text, request.scope))

    async def handle_invalid_values(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for these only
        return problem(422, "InvalidValue", "; ".join(map(_validation_message, error.errors()[:_MAX_MESSAGES])))

    async def handle_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for these only
        if isinstance(error.__cause__, FacebankError):  # FastAPI reports all errors of reading a body as 400
            return problem_of(
                error.__cause__, client_message(error.__cause__, request.app.state.service.text, request.scope)
            )
        code, message = _ROUTING_ERRORS.get(error.status_code, ("NotUnderstood", str(error.detail)))
        return problem(error.status_code, code, message, error.headers)

    async def handle_disconnect(_: Request, __: Exception) -> JSONResponse:
        return problem(400, "CutOff", "the client disconnected")  # never received

    async def handle_fault(_: Request, __: Exception) -> JSONResponse:  # the server logs it
        return problem(500, "Fault", "internal error: see the service's log")

    app.add_exception_handler(FacebankError, handle_library_error)
    app.add_exception_handler(RequestValidationError, handle_invalid_values)
    app.add_exception_handler(HTTPException, handle_http_error)
    app.add_exception_handler(ClientDisconnect, handle_disconnect)
    app.add_exception_handler(Exception, handle_fault)


def _validation_message(error: Mapping[str, object]) -> str:
    location = error.get("loc")
    field = ".".join(str(part) for part in location[1:]) if isinstance(location, tuple) else ""
    return printable(f"{field or 'the request'}: {error.get('msg')}")
