"""Resumable, verified downloads, with limits on size and time."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import json
import re
import shutil
import socket
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from facebank import __version__
from facebank.errors import DownloadError, ManifestError, PackIntegrityError
from facebank.storage.files import sha256_of, translate_write_errors
from facebank.storage.paths import cache_folder
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPMessage, HTTPResponse
    from types import TracebackType
    from typing import Self


_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"
_CHUNK = 1 << 18
_DAY = 86400
_INVALID_CHARACTER = re.compile(r"[^!-~]")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# at most 18 digits, so that sizes fit int64
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Limits of a download."""

    max_bytes: int = 1 << 30  # size of the file, as stated by the server and as received
    attempts: int = 5  # total number of attempts
    pause: float = 1.0  # seconds before the second attempt; doubled for each later one
    timeout: float = 30.0  # seconds without a byte after which a connection counts as broken
    seconds: float = 7200.0  # total time of all attempts; a server that sends single bytes never times out


@dataclass(frozen=True, slots=True)
class _ServerState:
    """Validator and size of the file on the server, to detect a change."""

    validator: str | None = None
    total: int | None = None


class _RetryableError(Exception):
    """A broken connection or a busy server; another attempt may succeed."""


@contextlib.contextmanager
def open_download(
    url: str,
    sha256: str | None = None,
    progress: Progress = SILENT,
    limits: DownloadLimits | None = None,
) -> Iterator[Path]:
    """Context manager that yields the path of a downloaded file, and deletes it at the end.

    If the block fails, for example because the connection was lost, the disk is full or the license is not yet
    accepted, the received data remains in the cache for a later call. There is no lock: a process claims cached data by
    renaming its folder, and any other process starts from the beginning. Raises `DownloadError` (the address is not
    allowed, the server refuses or cannot be reached, or the file is too large), `PackIntegrityError` (the file has a
    different hash) or `StorageError` (the cache cannot be written).

    Parameters
    ----------
    url, sha256
        Address with ``https``, or ``http`` on this computer; the file's expected hash in hex, if known.
    progress
        Advanced by the bytes received.
    limits
        None for the defaults.
    """
    check_address(url)
    cached = cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]
    folder = _claim_folder(cached)
    try:
        transfer = _Transfer(url, folder, progress, limits or DownloadLimits())
        transfer.complete()
        if sha256 is not None:
            _check_hash(transfer, sha256)
        yield transfer.path
    except (PackIntegrityError, ManifestError):
        raise
    except BaseException:
        _return_to_cache(folder, cached)
        raise
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)


def check_address(url: str) -> None:
    """Raise `DownloadError` unless an address is well-formed and ``https``, or ``http`` on this computer."""
    try:
        parts = urlsplit(url)
        allowed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        allowed = allowed and bool(parts.hostname) and parts.port != 0
    except ValueError:
        allowed = False
    if not allowed:
        raise DownloadError(
            f"packs cannot be downloaded from {printable(url)}: the address must begin with https:// and name a host"
        )
    if _INVALID_CHARACTER.search(url):
        raise DownloadError(
            f"{printable(url)} contains characters that are invalid in an address: write them percent-encoded (%20)"
        )


class _Transfer:
    """A download into a folder: ``data``, and ``state.json`` with the size and validator of the file on the server."""

    def __init__(self, url: str, folder: Path, progress: Progress, limits: DownloadLimits) -> None:
        self.url = url
        self.path = folder / "data"
        self._state_path = folder / "state.json"
        self._progress = progress
        self._limits = limits
        self.resumed = self._received_size() > 0

    def complete(self) -> None:
        """Download the missing part, within the limits on attempts and time."""
        pause = self._limits.pause
        deadline = time.monotonic() + self._limits.seconds
        for attempts_left in reversed(range(self._limits.attempts)):
            try:
                with _Connections(self._limits.timeout, deadline) as connections:
                    self._attempt(connections)
            except _RetryableError as error:
                if time.monotonic() + pause >= deadline:
                    raise DownloadError(
                        f"{printable(self.url)} could not be downloaded within {self._limits.seconds:g} seconds: "
                        "try again to continue; the received part is kept"
                    ) from error
                if not attempts_left:
                    raise DownloadError(
                        f"{printable(self.url)} could not be downloaded ({printable(str(error))}): "
                        "check the connection and try again; the received part is kept"
                    ) from error
            else:
                return
            time.sleep(pause)
            pause *= 2

    def discard(self) -> None:
        """Delete the received part."""
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)
        self.resumed = False

    def _attempt(self, connections: _Connections) -> None:
        state, start = self._state(), self._received_size()
        if state.total is not None and start == state.total:
            return
        if state.validator is None:
            self.discard()
            state, start = _ServerState(), 0
        headers = {"User-Agent": f"facebank/{__version__}", "Accept-Encoding": "identity"}
        if start and state.validator:
            headers |= {"Range": f"bytes={start}-", "If-Range": state.validator}
        with self._open(connections, headers) as response:
            start, state = self._negotiate(response, start, state)
            self._write_state(state)
            self._receive(connections, response, start, state)

    def _open(self, connections: _Connections, headers: dict[str, str]) -> HTTPResponse:
        try:
            return connections.open(self.url, headers)
        except urllib.error.HTTPError as error:
            with error:
                raise self._http_error(error) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise _RetryableError(str(getattr(error, "reason", error))) from error
        except ValueError as error:  # a malformed redirect or host name
            raise DownloadError(f"{printable(self.url)} is not a usable address ({printable(str(error))})") from error

    def _http_error(self, error: urllib.error.HTTPError) -> Exception:
        if error.code == 416:
            self.discard()
            return _RetryableError("the file on the server has changed")
        if error.code == 429 or error.code >= 500:
            return _RetryableError(f"the server answers {error.code}")
        return DownloadError(
            f"{printable(self.url)} cannot be downloaded: the server answers {error.code} "
            f"{printable(str(error.reason))}; check the address"
        )

    def _negotiate(self, response: HTTPResponse, start: int, state: _ServerState) -> tuple[int, _ServerState]:
        """Return the offset of the response and the new state; starts over if they do not fit the old state."""
        stated = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == 206:
            if stated is None or stated[1] != str(start) or int(stated[2]) != (state.total or int(stated[2])):
                self.discard()
                raise _RetryableError("the server sent a different range than requested")
            self.resumed = True
            total: int | None = int(stated[2])
        else:
            self.discard()
            start = 0
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() and len(length) < 19 else None  # fits int64
        if total is not None and total > self._limits.max_bytes:
            raise self._too_large_error(total)
        etag = response.headers.get("ETag", "")
        # a weak ETag (W/"...") is invalid in If-Range
        validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        return start, _ServerState(validator, total)

    def _receive(self, connections: _Connections, response: HTTPResponse, start: int, state: _ServerState) -> None:
        received = start
        limit = self._limits.max_bytes if state.total is None else state.total
        self._progress.begin("Downloading", state.total)
        self._progress.advance(received)
        with self._open_data() as file:
            while chunk := self._read_chunk(response):
                received += len(chunk)
                if received > limit:
                    raise self._too_large_error(received)
                self._write(file, chunk)
                self._progress.advance(len(chunk))
        if connections.ended or (state.total is not None and received < state.total):
            raise _RetryableError(f"the connection was lost after {received} of {state.total or 'unknown'} bytes")
        if state.total is None:  # the size is known now, in case the file is kept
            self._write_state(replace(state, total=received))

    def _open_data(self) -> IO[bytes]:
        with translate_write_errors(self.path, _ADVICE):
            return self.path.open("ab")

    def _write(self, file: IO[bytes], chunk: bytes) -> None:
        with translate_write_errors(self.path, _ADVICE):
            file.write(chunk)
            file.flush()

    def _read_chunk(self, response: HTTPResponse) -> bytes:
        try:
            return response.read1(_CHUNK)  # does not wait for a whole chunk
        except (http.client.HTTPException, OSError) as error:
            raise _RetryableError(str(error) or type(error).__name__) from error

    def _too_large_error(self, size: int) -> DownloadError:
        self.discard()
        return DownloadError(
            f"{printable(self.url)} has {size} bytes or more, but the limit is {self._limits.max_bytes}: download it "
            "by other means and install the file"
        )

    def _received_size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def _state(self) -> _ServerState:
        try:
            content = json.loads(self._state_path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return _ServerState()
        match content:
            case {"validator": str() | None as validator, "total": int() | None as total}:
                return _ServerState(validator, total)
        return _ServerState()

    def _write_state(self, state: _ServerState) -> None:
        content = {"url": self.url, "validator": state.validator, "total": state.total}
        with translate_write_errors(self._state_path, _ADVICE):
            self._state_path.write_text(json.dumps(content), "utf-8")


def _check_hash(transfer: _Transfer, sha256: str) -> None:
    """Raise `PackIntegrityError` if the hash differs; a file from several attempts is first downloaded once more."""
    if sha256_of(transfer.path) != sha256 and transfer.resumed:
        transfer.discard()
        transfer.complete()
    if sha256_of(transfer.path) != sha256:
        transfer.discard()
        raise PackIntegrityError(
            f"{printable(transfer.url)} is not the published file: its SHA-256 differs; try again later"
        )


def _claim_folder(cached: Path) -> Path:
    """Return a new folder for one download, with the cached data of an earlier one."""
    with translate_write_errors(cached.parent, _ADVICE):
        cached.parent.mkdir(parents=True, exist_ok=True)
        _delete_old(cached.parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{cached.name}-", dir=cached.parent)) / "part"
        try:
            cached.replace(folder)
        except FileNotFoundError:
            folder.mkdir()
    return folder


def _return_to_cache(folder: Path, cached: Path) -> None:
    with contextlib.suppress(OSError):  # another process has returned its folder meanwhile
        folder.replace(cached)


def _delete_old(downloads: Path) -> None:
    """Delete cached downloads after a week, and leftovers of killed processes after a day."""
    now = time.time()
    for folder in downloads.iterdir():
        with contextlib.suppress(OSError):
            days = 1 if "-" in folder.name else 7
            if now - folder.stat().st_mtime > days * _DAY:
                shutil.rmtree(folder, ignore_errors=True)


class _Connections:
    """Context manager for the connections of one attempt, which are shut down at a deadline (`time.monotonic`).

    Refuses redirects from ``https`` to ``http``, and to this computer or a private network unless the first host is
    local or private too.
    """

    def __init__(self, timeout: float, deadline: float) -> None:
        self._timeout = timeout
        self._watched: list[socket.socket] = []
        self._first_is_public: bool | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
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
        """Whether the deadline has passed, so that the response may be incomplete."""
        return self._ended.is_set()

    def open(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        """Request an address; raises the errors of `urllib.request`, and `DownloadError` for a refused redirect."""
        if _is_private(urlsplit(url).hostname or ""):
            self._first_is_public = False
        opener = urllib.request.build_opener(_Redirects(self), _CheckedConnections(self))
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the address has been checked
        response: HTTPResponse = opener.open(request, timeout=self._timeout)
        return response

    def register(self, host: str, connection: socket.socket, through_proxy: bool) -> None:
        """Check the address of a new connection before anything is sent, and register it for the shutdown."""
        with self._lock:
            self._watched.append(connection.dup())
            if self.ended:
                raise TimeoutError("the time limit has passed")
        if through_proxy:
            return  # the connection is to the proxy, not to the host
        public = is_public(str(connection.getpeername()[0]))
        if self._first_is_public is None:
            self._first_is_public = public
        elif self._first_is_public and not public:
            raise _private_redirect_error(host)

    def check_redirect(self, url: str) -> None:
        """Refuse a redirect whose address is written as a local or private one."""
        host = urlsplit(url).hostname or ""
        if self._first_is_public is not False and _is_private(host):
            raise _private_redirect_error(host)

    def _end(self) -> None:
        self._ended.set()
        with self._lock:
            for watched in self._watched:
                with contextlib.suppress(OSError):  # already closed
                    watched.shutdown(socket.SHUT_RDWR)


def is_public(address: str) -> bool:
    """Return whether an IP address is neither of this computer nor of a private network."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_global


def _private_redirect_error(host: str) -> DownloadError:
    return DownloadError(
        f"the server redirects to {printable(host)} on this computer or in a private network, which is not allowed"
    )


def _is_private(host: str) -> bool:
    """Return whether a host is written as a local or private address; False for names, checked on connection."""
    try:
        return host == "localhost" or not is_public(host)
    except ValueError:
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, connections: _Connections) -> None:
        self._connections = connections

    def redirect_request(  # noqa: PLR0917 - the standard library's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        check_address(newurl)
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise DownloadError(f"{printable(req.full_url)} redirects to {printable(newurl)}, which is not encrypted")
        self._connections.check_redirect(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _CheckedConnections(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens connections and checks their addresses before TLS begins."""

    def __init__(self, connections: _Connections) -> None:
        super().__init__()
        self._connections = connections

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._connection_factory(http.client.HTTPConnection, req), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(
            self._connection_factory(http.client.HTTPSConnection, req), req, context=ssl.create_default_context()
        )

    def _connection_factory(self, kind: type[http.client.HTTPConnection], request: urllib.request.Request) -> Any:
        through_proxy = request.has_proxy() or bool(getattr(request, "_tunnel_host", None))

        def make(host: str, **settings: Any) -> http.client.HTTPConnection:
            connection = kind(host, **settings)

            def create(
                address: tuple[str, int], timeout: float, source: tuple[str, int] | None = None
            ) -> socket.socket:
                opened = socket.create_connection(address, timeout, source)
                try:
                    self._connections.register(address[0], opened, through_proxy)
                except BaseException:
                    opened.close()
                    raise
                return opened

            connection._create_connection = create  # type: ignore[attr-defined]
            return connection

        return make
