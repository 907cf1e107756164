"""Connections of downloads: where redirects may lead, and an end to servers that never finish."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
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
    from collections.abc import Callable
    from http.client import HTTPMessage, HTTPResponse
    from types import TracebackType
    from typing import Self


class Connections:
    """The connections of one attempt at a download, to be used in a ``with`` block.

    Redirects never lead from ``https`` to ``http``, and never to this computer or a private network unless the host
    that was named is there itself. Past the end of the time, every connection is shut down, whatever it waits for.

    Parameters
    ----------
    check
        Raises DownloadError for an address that is not allowed at all.
    timeout
        Seconds without any byte after which a connection counts as broken.
    ends_at
        When all must be over, by `time.monotonic`.
    """

    def __init__(self, check: Callable[[str], None], timeout: float, ends_at: float) -> None:
        self._check = check
        self._timeout = timeout
        self._watched: list[socket.socket] = []
        self._named_is_public: bool | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._timer = threading.Timer(max(0.0, ends_at - time.monotonic()), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for watched in self._watched:
                watched.close()
            self._watched.clear()

    @property
    def ended(self) -> bool:
        """Whether the time is over: what came in after that may be cut off."""
        return self._ended.is_set()

    def open(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """Ask for an address; errors are those of `urllib.request`, and DownloadError for a redirect refused."""
        if _is_inward(urlsplit(url).hostname or ""):
            self._named_is_public = False
        opener = urllib.request.build_opener(_Redirects(self._check, self), _Plain(self), _Encrypted(self))
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the address has been checked
        response: HTTPResponse = opener.open(request, timeout=self._timeout)
        return response

    def connected(self, host: str, connection: socket.socket, through_proxy: bool) -> None:
        """Look at whom a new connection leads to, before anything is sent, and watch it."""
        with self._lock:
            self._watched.append(connection.dup())
            if self.ended:
                raise TimeoutError("the time is over")
        if through_proxy:
            return  # the address is the proxy's
        public = is_public(str(connection.getpeername()[0]))
        if self._named_is_public is None:
            self._named_is_public = public
        elif self._named_is_public and not public:
            raise inward(host)

    def redirected(self, url: str) -> None:
        """Refuse an inward address that can be told as one without asking for its number."""
        host = urlsplit(url).hostname or ""
        if self._named_is_public is not False and _is_inward(host):
            raise inward(host)

    def _end(self) -> None:
        self._ended.set()
        with self._lock:
            for watched in self._watched:
                with contextlib.suppress(OSError):  # it is closed already
                    watched.shutdown(socket.SHUT_RDWR)


def is_public(number: str) -> bool:
    """Tell whether an IP address is one of the internet's: not of this computer and not of a private network."""
    address = ipaddress.ip_address(number.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_global


def inward(host: str) -> DownloadError:
    """Make the error for a redirect to this computer or a private network."""
    return DownloadError(
        f"the server leads to {printable(host)}, which is on this computer or in a private network: it is not followed"
    )


def _is_inward(host: str) -> bool:
    """Tell whether a host is written as an inward one; False for a name, which only its connection decides."""
    try:
        return host == "localhost" or not is_public(host)
    except ValueError:
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, check: Callable[[str], None], connections: Connections) -> None:
        self._check = check
        self._connections = connections

    def redirect_request(  # noqa: PLR0917 - the standard library's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        self._check(newurl)
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(
                f"{printable(req.full_url)} leads to {printable(newurl)}, which is not encrypted: it is not followed"
            )
        self._connections.redirected(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_watched(http.client.HTTPConnection, self._connections, req), req)


class _Encrypted(urllib.request.HTTPSHandler):
    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        watched = _watched(http.client.HTTPSConnection, self._connections, req)
        return self.do_open(watched, req, context=ssl.create_default_context())


def _watched(kind: type[http.client.HTTPConnection], connections: Connections, request: urllib.request.Request) -> Any:
    """Return what makes connections of a kind that are looked at as soon as they are made, before TLS begins."""
    through_proxy = request.has_proxy() or bool(getattr(request, "_tunnel_host", None))

    def make(host: str, **settings: Any) -> http.client.HTTPConnection:
        connection = kind(host, **settings)

        def create(address: tuple[str, int], timeout: float, source: tuple[str, int] | None = None) -> socket.socket:
            made = socket.create_connection(address, timeout, source)
            try:
                connections.connected(address[0], made, through_proxy)
            except BaseException:
                made.close()
                raise
            return made

        connection._create_connection = create  # type: ignore[attr-defined]
        return connection

    return make
