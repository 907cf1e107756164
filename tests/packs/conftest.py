"""Fixtures of the packs' tests: folders of their own, small packs, and a web server on this computer."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facebank.packs import PackManifest, load_pack
from facebank.packs.manifest import MANIFEST_NAME, manifest_toml

DETECTOR = b"a detector's bytes " * 400
EMBEDDER = b"an embedder's bytes " * 900


@dataclass(frozen=True)
class Places:
    """Where installed packs and the cache are during a test."""

    packs: Path
    cache: Path


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = Places(tmp_path / "packs", tmp_path / "cache")
    monkeypatch.setenv("FACEBANK_PACKS", str(found.packs))
    monkeypatch.setenv("FACEBANK_CACHE", str(found.cache))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.fixture
def manifest() -> PackManifest:
    """A manifest whose files are `DETECTOR` and `EMBEDDER`: right hashes, no networks."""
    model = load_pack().manifest
    return replace(
        model,
        name="small",
        title="A small pack",
        licence="A licence of its own",
        commercial_use=False,
        detector=replace(model.detector, file="d.onnx", sha256=hashlib.sha256(DETECTOR).hexdigest(), prepare=False),
        embedder=replace(model.embedder, file="e.onnx", sha256=hashlib.sha256(EMBEDDER).hexdigest(), prepare=False),
    )


@pytest.fixture
def contents(manifest: PackManifest) -> dict[str, bytes]:
    """The files of a whole pack."""
    return {MANIFEST_NAME: manifest_toml(manifest).encode(), "d.onnx": DETECTOR, "e.onnx": EMBEDDER}


@pytest.fixture
def pack_folder(tmp_path: Path, contents: Mapping[str, bytes]) -> Path:
    folder = tmp_path / "a pack"
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


Zipped = Callable[[Mapping[str, bytes]], bytes]


@pytest.fixture
def zipped() -> Zipped:
    """Make a zip archive of names and bytes."""

    def make(entries: Mapping[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return make


@dataclass
class Served:
    """A file of the test's web server and how the server behaves.

    `cuts` says after how many bytes the connection breaks, for the first requests in turn.
    """

    data: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    length: bool = True
    stated_length: int | None = None
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirect: str | None = None


@dataclass
class Site:
    """A web server on this computer."""

    port: int
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def serve(self, path: str, served: Served) -> str:
        """Serve a file and return its address."""
        self.files[path] = served
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def served() -> type[Served]:
    return Served


@pytest.fixture
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.site = Site(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.site  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        asked = self.headers.get("Range")
        site.requests.append((self.path, asked))
        file = site.files.get(self.path)
        if file is None:
            return self.send_error(404)
        if file.statuses and (status := file.statuses.pop(0)) != 200:
            return self.send_error(status)
        if file.redirect is not None:
            self.send_response(302)
            self.send_header("Location", file.redirect)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._send(file, asked)

    def _send(self, file: Served, asked: str | None) -> None:
        start = 0
        if asked and file.ranges and self.headers.get("If-Range") == file.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        if file.etag:
            self.send_header("ETag", file.etag)
        body = file.data[start:]
        if file.length:
            self.send_header("Content-Length", str(len(body) if file.stated_length is None else file.stated_length))
        self.end_headers()
        cut = file.cuts.pop(0) if file.cuts else len(body)
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass
