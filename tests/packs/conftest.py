"""Fixtures for tests of packs: temporary folders, small packs, and a local web server."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from facebank.packs import PackManifest, load_pack
from facebank.packs.manifest import MANIFEST_NAME, manifest_toml
from facebank.packs.trial import try_pack
from tests.small_networks import EMBEDDING_SIZE, small_detector, small_embedder

PROJECT = Path(__file__).resolve().parents[2]
DETECTOR = small_detector()
EMBEDDER = small_embedder()


@dataclass(frozen=True)
class Folders:
    """Folders of installed packs and of the cache during a test."""

    packs: Path
    cache: Path


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """Temporary folders, set in the environment, which has no proxies."""
    folders = Folders(tmp_path / "packs", tmp_path / "cache")
    monkeypatch.setenv("FACEBANK_PACKS", str(folders.packs))
    monkeypatch.setenv("FACEBANK_CACHE", str(folders.cache))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folders


@pytest.fixture
def run_trial() -> Callable[..., None]:
    """The trial before an installation, which `skip_trial` disables."""
    return try_pack


@pytest.fixture(autouse=True)
def skip_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the trial before an installation, which starts a process and has its own tests."""
    monkeypatch.setattr("facebank.packs.trial.try_pack", lambda *_: None)


@pytest.fixture
def manifest() -> PackManifest:
    """A manifest of the files `DETECTOR` and `EMBEDDER`."""
    model = load_pack().manifest
    hashes = [hashlib.sha256(data).hexdigest() for data in (DETECTOR, EMBEDDER)]
    return replace(
        model,
        name="small",
        title="A small pack",
        license="A special license",
        commercial_use=False,
        detector=replace(model.detector, file="d.onnx", sha256=hashes[0], prepare=False, score_threshold=0.2),
        embedder=replace(
            model.embedder, file="e.onnx", sha256=hashes[1], prepare=False, dimension=EMBEDDING_SIZE, center=()
        ),
    )


@pytest.fixture
def contents(manifest: PackManifest) -> dict[str, bytes]:
    """Contents of the files of a whole pack by name."""
    return {MANIFEST_NAME: manifest_toml(manifest).encode(), "d.onnx": DETECTOR, "e.onnx": EMBEDDER}


@pytest.fixture
def pack_folder(tmp_path: Path, contents: Mapping[str, bytes]) -> Path:
    """Path of a folder with a whole pack."""
    folder = tmp_path / "a pack"
    folder.mkdir()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return folder


def run_python(script: str, *search_paths: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that imports from the search paths, and then from this project."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*search_paths, PROJECT)))}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)


MakeZip = Callable[[Mapping[str, bytes]], bytes]


@pytest.fixture
def make_zip() -> MakeZip:
    """A function that makes a zip archive of contents by name."""

    def zip_entries(entries: Mapping[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return zip_entries


@dataclass
class ServedFile:
    """A file on the web server, and the server's behavior.

    `cuts` are the numbers of bytes after which the connection breaks, for the first requests in turn; `statuses` are
    their HTTP statuses. `byte_delay` is the number of seconds before each byte; with `has_endless_head`, the head of
    the response is sent so and never ends.
    """

    data: bytes
    etag: str | None = '"one"'
    has_ranges: bool = True
    has_length: bool = True
    stated_length: int | None = None
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirect: str | None = None
    byte_delay: float = 0.0
    has_endless_head: bool = False


@dataclass
class Site:
    """A local web server, with its URL, its files by path, and the path and range of each request."""

    port: int
    url: str
    files: dict[str, ServedFile] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def serve(self, path: str, file: ServedFile) -> str:
        """Serve a file and return its URL."""
        self.files[path] = file
        return f"{self.url}{path}"


@contextmanager
def run_server(host: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[Site]:
    """Run a web server, with TLS if a certificate is given."""
    server = ThreadingHTTPServer((host, 0), _Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    server.site = Site(port, f"{'http' if certificate is None else 'https'}://{host}:{port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.site  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server without TLS."""
    with run_server() as running_site:
        yield running_site


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a certificate for 127.0.0.1 and 127.0.0.2, with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key, public = path.with_name("key.pem"), path.with_name("public.pem")
    names = "subjectAltName=IP:127.0.0.1,IP:127.0.0.2"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=test", "-addext", names]
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", *options, "-keyout", str(key), "-out", str(public)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the program openssl")
    path.write_bytes(key.read_bytes() + public.read_bytes())
    return path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        range_header = self.headers.get("Range")
        site.requests.append((self.path, range_header))
        file = site.files.get(self.path)
        if file is None:
            return self.send_error(404)
        if file.has_endless_head:
            return self._write(b"HTTP/1.0 200 OK\r\n" + b"X-More: x\r\n" * 99, file.byte_delay)
        if file.statuses and (status := file.statuses.pop(0)) != 200:
            return self.send_error(status)
        if file.redirect is not None:
            self.send_response(302)
            self.send_header("Location", file.redirect)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self._send(file, range_header)

    def _send(self, file: ServedFile, range_header: str | None) -> None:
        start = 0
        if range_header and file.has_ranges and self.headers.get("If-Range") == file.etag:
            start = int(range_header.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        if file.etag:
            self.send_header("ETag", file.etag)
        body = file.data[start:]
        if file.has_length:
            self.send_header("Content-Length", str(len(body) if file.stated_length is None else file.stated_length))
        self.end_headers()
        cut = file.cuts.pop(0) if file.cuts else len(body)
        self._write(body[:cut], file.byte_delay)
        self.close_connection = True

    def _write(self, data: bytes, byte_delay: float) -> None:
        if not byte_delay:
            self.wfile.write(data)
            return
        with contextlib.suppress(OSError):  # the client has closed the connection
            for byte in data:
                time.sleep(byte_delay)
                self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass
