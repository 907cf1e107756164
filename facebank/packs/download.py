"""Resumable, verified downloads, with limits on size and time."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from facebank import __version__
from facebank.errors import DownloadError, ManifestError, PackIntegrityError
from facebank.packs.checked_http import CheckedConnections, check_address
from facebank.storage.files import sha256_of, translate_write_errors
from facebank.storage.paths import cache_folder
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"
_CHUNK = 1 << 18
_DAY = 86400
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
    """State of the file on the server, to detect a change."""

    validator: str | None = None  # strong ETag or date of the last change; None if the server states neither
    total: int | None = None  # size in bytes; None if not stated


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
    renaming its folder, and any other process starts from the beginning.

    Parameters
    ----------
    url, sha256
        Address with ``https``, or ``http`` on this computer; the file's expected hash in hex, if known.
    progress
        Advanced by the bytes received.
    limits
        None for the defaults.

    Raises
    ------
    DownloadError
        The address is not allowed, the server refuses or cannot be reached, or the file is too large.
    PackIntegrityError
        The file has a different hash.
    StorageError
        The cache cannot be written.
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


class _Transfer:
    """A download into a folder: ``data``, and ``state.json`` with the size and validator of the file on the server."""

    def __init__(self, url: str, folder: Path, progress: Progress, limits: DownloadLimits) -> None:
        self.url = url
        self.path = folder / "data"
        self._state_path = folder / "state.json"
        self._progress = progress
        self._limits = limits
        self.is_resumed = self._received_size() > 0

    def complete(self) -> None:
        """Download the missing part, within the limits on attempts and time."""
        pause = self._limits.pause
        deadline = time.monotonic() + self._limits.seconds
        for attempts_left in reversed(range(self._limits.attempts)):
            try:
                with CheckedConnections(self._limits.timeout, deadline) as connections:
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
        self.is_resumed = False

    def _attempt(self, connections: CheckedConnections) -> None:
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

    def _open(self, connections: CheckedConnections, headers: dict[str, str]) -> HTTPResponse:
        try:
            return connections.open(self.url, headers)
        except urllib.error.HTTPError as error:
            with error:
                raise self._http_error(error) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise _RetryableError(str(getattr(error, "reason", error))) from error
        except ValueError as error:  # a malformed redirect or host name
            raise DownloadError(
                f"{printable(self.url)} is not a usable address ({printable(str(error))}): correct it"
            ) from error

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
        content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == 206:
            size = None if content_range is None else int(content_range[2])
            if content_range is None or content_range[1] != str(start) or size != (state.total or size):
                self.discard()
                raise _RetryableError("the server sent a different range than requested")
            self.is_resumed = True
            total = size
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

    def _receive(
        self, connections: CheckedConnections, response: HTTPResponse, start: int, state: _ServerState
    ) -> None:
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
        if connections.has_ended or (state.total is not None and received < state.total):
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
    if sha256_of(transfer.path) != sha256 and transfer.is_resumed:
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
