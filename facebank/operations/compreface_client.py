"""HTTP client of a CompreFace service; answers are untrusted, and redirects are not followed."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from facebank import __version__
from facebank.errors import ServiceError, UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self
    from urllib.parse import SplitResult

_API = "/api/v1/recognition"
_PAGE_SIZE = 100
_CHUNK = 1 << 16
_INVALID_IN_ADDRESS = re.compile(r"[^!-~]")
_KEY = re.compile(r"[!-~]{1,1000}")
_MAX_SUBJECT_LENGTH = 1000  # characters; the gallery's limit is lower
_BUSY_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits on requests and responses."""

    json_bytes: int = 16 << 20  # for a page of examples, or all names
    image_bytes: int = 64 << 20
    examples: int = 200_000
    timeout: float = 30.0  # seconds without data after which a connection counts as broken
    seconds: float = 120.0  # for one request, because a service that sends slowly never times out
    attempts: int = 6  # for one request, while the service is busy or cannot be reached
    pause: float = 0.5  # seconds before the second attempt; doubled for each further one


@dataclass(frozen=True, slots=True)
class Example:
    """A photo of a person stored by a service."""

    image_id: str  # a UUID
    subject: str  # the person's name there


class ImageRefusedError(Exception):
    """An image cannot be fetched; the message gives the reason."""


class _RetryableError(Exception):
    """The connection broke, or the service is busy; another attempt may succeed."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class CompreFaceClient:
    """Client of a CompreFace service; use ``with`` to close the connection.

    Parameters
    ----------
    url
        Address, ``http`` or ``https``; certificates are checked.
    key
        The key of the recognition service.
    limits
        Limits on requests and responses; None for the defaults.

    Raises
    ------
    UsageError
        The address or the key is invalid.
    ServiceError
        Raised by requests: the service cannot be reached, rejects the request, or does not answer like CompreFace.
    """

    def __init__(self, url: str, key: str, limits: ClientLimits | None = None) -> None:
        self._parts = _parse_address(url)
        if not _KEY.fullmatch(key):
            raise UsageError("the key of the CompreFace service is invalid: use letters, digits and signs, no spaces")
        self.name = self._parts.netloc
        self._headers = {
            "x-api-key": key,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": f"facebank/{__version__}",
        }
        self._limits = limits or ClientLimits()
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def subjects(self) -> list[str]:
        """Return the names of all people; raises `ServiceError`."""
        content = self._json(f"{_API}/subjects")
        names = content.get("subjects") if isinstance(content, dict) else None
        if not isinstance(names, list) or not all(map(_is_subject, names)):
            raise self._unexpected_error("no list of subjects")
        return list(dict.fromkeys(names))

    def examples(self) -> Iterator[Example]:
        """Yield every example once, page by page; raises `ServiceError`."""
        seen: set[str] = set()
        page, pages = 0, 1
        while page < pages:
            content = self._json(f"{_API}/faces?page={page}&size={_PAGE_SIZE}")
            entries = content.get("faces") if isinstance(content, dict) else None
            total = content.get("total_pages", 1) if isinstance(content, dict) else None
            if not isinstance(entries, list) or isinstance(total, bool) or not isinstance(total, int) or total < 0:
                raise self._unexpected_error("no list of examples")
            new = [example for example in map(self._example, entries) if example.image_id not in seen]
            seen.update(example.image_id for example in new)
            if len(seen) > self._limits.examples:
                raise ServiceError(
                    f"{self._label} has more than {self._limits.examples:,} examples: remove some there first"
                )
            yield from new
            if not new:
                return
            page, pages = page + 1, total

    def image(self, image_id: str) -> bytes:
        """Return the image of an example; raises `ImageRefusedError` if it cannot be fetched."""
        status, body = self._request_repeatedly(f"{_API}/faces/{image_id}/img", self._limits.image_bytes)
        if status != 200:
            raise ImageRefusedError(f"the service answers with the status {status}{_error_message(body)}")
        if not body:
            raise ImageRefusedError("the service has no image of the example")
        return body

    @property
    def _label(self) -> str:
        return f"the service at {printable(self.name)}"

    def _unexpected_error(self, content: str) -> ServiceError:
        return ServiceError(
            f"{self._label} answers with {content}: check that a CompreFace service runs at this address"
        )

    def _example(self, entry: object) -> Example:
        image_id, subject = (entry.get(name) if isinstance(entry, dict) else None for name in ("image_id", "subject"))
        if not isinstance(image_id, str) or not _is_subject(subject):
            raise self._unexpected_error("no list of examples")
        try:
            return Example(str(uuid.UUID(image_id[:64])), subject)
        except ValueError as error:
            raise self._unexpected_error(f"'{printable(image_id[:64])}', which is not an image id") from error

    def _json(self, target: str) -> Any:
        try:
            status, body = self._request_repeatedly(target, self._limits.json_bytes)
        except ImageRefusedError as error:
            raise ServiceError(f"{self._label}: {error}") from error
        if status in {401, 403} or (status == 404 and b'"code"' in body):
            raise ServiceError(f"{self._label} rejects the key{_error_message(body)}: use a recognition key")
        if status != 200:
            raise self._unexpected_error(f"the status {status}{_error_message(body)}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._unexpected_error("no JSON") from error

    def _request_repeatedly(self, target: str, max_bytes: int) -> tuple[int, bytes]:
        pause = self._limits.pause
        for remaining in reversed(range(self._limits.attempts)):
            try:
                return self._request(target, max_bytes)
            except _RetryableError as error:
                self._close()
                if not remaining:
                    raise ServiceError(
                        f"{self._label} cannot be reached ({printable(str(error))}): imported people are kept, "
                        "repeat the command to continue"
                    ) from error
                time.sleep(max(pause, min(error.wait, self._limits.timeout)))
                pause *= 2
        raise AssertionError  # there is at least one attempt

    def _request(self, target: str, max_bytes: int) -> tuple[int, bytes]:
        with self._connection_with_deadline() as connection:
            connection.request("GET", self._parts.path.rstrip("/") + target, headers=self._headers)
            with contextlib.closing(connection.getresponse()) as response:
                return self._read(response, max_bytes)

    def _read(self, response: http.client.HTTPResponse, max_bytes: int) -> tuple[int, bytes]:
        if response.status in _BUSY_STATUSES:
            raise _RetryableError(f"status {response.status}", _parse_seconds(response.headers.get("Retry-After", "")))
        if 300 <= response.status < 400:
            location = printable(response.headers.get("Location", "nowhere")[:200])
            raise ServiceError(f"{self._label} redirects to {location}, which is not followed: use the final address")
        length = response.headers.get("Content-Length", "0")
        if length.isdigit() and (len(length) > 18 or int(length) > max_bytes):
            self._close()
            raise ImageRefusedError(f"it has {length[:20]} bytes, more than the limit of {max_bytes:,}")
        return response.status, self._body(response, max_bytes)

    def _body(self, response: http.client.HTTPResponse, max_bytes: int) -> bytes:
        parts, size = [], 0
        while part := response.read1(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                self._close()
                raise ImageRefusedError(f"it has more bytes than the limit of {max_bytes:,}")
        if response.length:
            raise _RetryableError("the answer was cut off")
        return b"".join(parts)

    @contextlib.contextmanager
    def _connection_with_deadline(self) -> Iterator[http.client.HTTPConnection]:
        """Yield a connection, which is closed when the request takes too long.

        Raises `ImageRefusedError` (it took too long), `ServiceError` (the certificate is invalid) or `_RetryableError`.
        """
        connection = self._open_connection()
        timed_out = threading.Event()

        def abort() -> None:
            timed_out.set()
            sock: socket.socket | None = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(2)

        timer = threading.Timer(self._limits.seconds, abort)
        timer.daemon = True
        timer.start()
        try:
            yield connection
        except ssl.SSLCertVerificationError as error:
            raise ServiceError(
                f"{self._label} has no valid certificate ({error.verify_message}): for a private certificate "
                "authority, set SSL_CERT_FILE to its certificate"
            ) from error
        except (_RetryableError, OSError, http.client.HTTPException, ValueError) as error:
            if timed_out.is_set():
                self._close()
                raise ImageRefusedError(f"it took more than {self._limits.seconds:g} seconds") from error
            if isinstance(error, _RetryableError):
                raise
            raise _RetryableError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from error
        finally:
            timer.cancel()

    def _open_connection(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port, timeout = self._parts.hostname or "", self._parts.port, self._limits.timeout
            if self._parts.scheme == "https":
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=timeout)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _parse_address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment or "@" in parts.netloc or _INVALID_IN_ADDRESS.search(url):
        raise UsageError(
            f"'{printable(url[:200])}' is not the address of a CompreFace service, such as http://192.168.1.5:8000"
        )
    return parts


def _is_subject(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _MAX_SUBJECT_LENGTH


def _parse_seconds(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,6}", text) else 0.0


def _error_message(body: bytes) -> str:
    """Return the message of an error response, in parentheses; empty if there is none."""
    try:
        content = json.loads(body[:10_000])
    except (ValueError, RecursionError):
        return ""
    message = content.get("message") if isinstance(content, dict) else None
    return f" ({printable(message[:200])})" if isinstance(message, str) else ""
