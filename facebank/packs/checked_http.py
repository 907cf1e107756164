"""HTTP connections of downloads: encrypted, to the stated host, and within a time limit."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
import urllib.request
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from facebank.errors import DownloadError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from http.client import HTTPMessage, HTTPResponse
    from types import TracebackType
    from typing import Self

_INVALID_CHARACTER = re.compile(r"[^!-~]")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def check_address(url: str) -> None:
    """Raise `DownloadError` unless an address is well-formed and ``https``, or ``http`` on this computer."""
    try:
        parts = urlsplit(url)
        is_allowed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        is_allowed = is_allowed and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_allowed = False
    if not is_allowed:
        raise DownloadError(
            f"packs cannot be downloaded from {printable(url)}: the address must begin with https:// and name a host"
        )
    if _INVALID_CHARACTER.search(url):
        raise DownloadError(
            f"{printable(url)} contains characters that are invalid in an address: write them percent-encoded (%20)"
        )


class CheckedConnections:
    """Context manager for the connections of one attempt, which are shut down at a deadline (`time.monotonic`).

    Refuses redirects from ``https`` to ``http``, and to this computer or a private network unless the first host is
    local or private too.
    """

    def __init__(self, timeout: float, deadline: float) -> None:
        self._timeout = timeout
        self._sockets: list[socket.socket] = []
        self._first_is_public: bool | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for duplicate in self._sockets:
                duplicate.close()
            self._sockets.clear()

    @property
    def has_ended(self) -> bool:
        """Whether the deadline has passed, so that the response may be incomplete."""
        return self._ended.is_set()

    def open(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """Return the response of an address.

        Raises `DownloadError` for a refused redirect, and the errors of `urllib.request`.
        """
        if _is_private(urlsplit(url).hostname or ""):
            self._first_is_public = False
        opener = urllib.request.build_opener(_Redirects(self), _ConnectionHandler(self))
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the address has been checked
        response: HTTPResponse = opener.open(request, timeout=self._timeout)
        return response

    def register(self, host: str, connection: socket.socket, is_to_proxy: bool) -> None:
        """Register a new connection for the shutdown; raises `DownloadError` for a redirect to a private address."""
        with self._lock:
            self._sockets.append(connection.dup())
            if self.has_ended:
                raise TimeoutError("the time limit has passed")
        if is_to_proxy:
            return
        peer_is_public = is_public(str(connection.getpeername()[0]))
        if self._first_is_public is None:
            self._first_is_public = peer_is_public
        elif self._first_is_public and not peer_is_public:
            raise _private_redirect_error(host)

    def check_redirect(self, url: str) -> None:
        """Raise `DownloadError` if the address of a redirect is written as a local or private one."""
        host = urlsplit(url).hostname or ""
        if self._first_is_public is not False and _is_private(host):
            raise _private_redirect_error(host)

    def _end(self) -> None:
        self._ended.set()
        with self._lock:
            for duplicate in self._sockets:
                with contextlib.suppress(OSError):  # already closed
                    duplicate.shutdown(socket.SHUT_RDWR)


def is_public(address: str) -> bool:
    """Return whether an IP address is neither of this computer nor of a private network."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_global


def _private_redirect_error(host: str) -> DownloadError:
    return DownloadError(
        f"the server redirects to {printable(host)} on this computer or in a private network, which is not allowed: "
        "check the address"
    )


def _is_private(host: str) -> bool:
    """Return whether a host is written as a local or private address; False for names, checked on connection."""
    try:
        return host == "localhost" or not is_public(host)
    except ValueError:
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, connections: CheckedConnections) -> None:
        self._connections = connections

    def redirect_request(  # noqa: PLR0917 - the standard library's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        check_address(newurl)
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(
                f"{printable(req.full_url)} redirects to {printable(newurl)}, which is not encrypted: check the address"
            )
        self._connections.check_redirect(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _ConnectionHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens connections and checks their addresses before TLS begins."""

    def __init__(self, connections: CheckedConnections) -> None:
        super().__init__()
        self._connections = connections

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._connection_factory(http.client.HTTPConnection, req), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(
            self._connection_factory(http.client.HTTPSConnection, req), req, context=ssl.create_default_context()
        )

    def _connection_factory(
        self, connection_class: type[http.client.HTTPConnection], request: urllib.request.Request
    ) -> Any:
        is_to_proxy = request.has_proxy() or bool(getattr(request, "_tunnel_host", None))

        def make(host: str, **settings: Any) -> http.client.HTTPConnection:
            connection = connection_class(host, **settings)

            def create(
                address: tuple[str, int], timeout: float, source: tuple[str, int] | None = None
            ) -> socket.socket:
                opened = socket.create_connection(address, timeout, source)
                try:
                    self._connections.register(address[0], opened, is_to_proxy)
                except BaseException:
                    opened.close()
                    raise
                return opened

            connection._create_connection = create  # type: ignore[attr-defined]
            return connection

        return make
