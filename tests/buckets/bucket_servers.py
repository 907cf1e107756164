"""Bucket servers in separate processes, and a relay that records requests and can make them fail."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from tests.ports import free_port

BUCKET = "family"
RequestHook = Callable[[str, str], "int | None"]
"""Called with the method and path of a request; returns a status to respond with, 0 to hang up, None to relay it."""
_SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAFAMILY/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class Request(NamedTuple):
    """A recorded request; `key` is the key of an object, and empty for a listing."""

    method: str
    path: str
    range: str | None

    @property
    def key(self) -> str:
        return unquote(self.path.partition("?")[0]).removeprefix(f"/{BUCKET}").removeprefix("/")


class Bucket:
    """A bucket on the server; its requests bypass the relay."""

    def __init__(self, port: int) -> None:
        self._port = port

    def put(self, key: str, data: bytes) -> None:
        self.send("PUT", f"/{BUCKET}/{quote(key, safe='')}", data)

    def remove(self, key: str) -> None:
        self.send("DELETE", f"/{BUCKET}/{quote(key, safe='')}")

    def empty(self) -> None:
        """Create the bucket, or remove all of its objects."""
        self.send("PUT", f"/{BUCKET}", b"")
        listing = self.send("GET", f"/{BUCKET}?list-type=2&max-keys=5000&encoding-type=url").decode()
        for key in re.findall("<Key>(.*?)</Key>", listing):
            self.remove(unquote(key))

    def send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"Authorization": _SIGNED, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            body: bytes = response.read()
            return body


class Relay(ThreadingHTTPServer):
    """Relays requests to a server at another port of this machine."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target_port = port
        self.requests = list[Request]()
        self.request_hook: RequestHook = lambda method, path: None
        self.page_size = 0  # maximum number of objects in a page of a listing; 0 for the requested number

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def read_keys(self) -> list[str]:
        """The keys of the objects that were read, sorted."""
        return sorted(request.key for request in self.requests if request.method == "GET" and request.key)

    def clear(self) -> None:
        self.requests.clear()
        self.request_hook = lambda method, path: None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hung up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def _relay(self) -> None:
        self.server.requests.append(Request(self.command, self.path, self.headers.get("Range")))
        status = self.server.request_hook(self.command, self.path)
        if status == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if status is not None:
            body = b"" if self.command == "HEAD" else _ERROR % (b"AccessDenied" if status == 403 else b"InternalError")
            self._respond(status, [("Content-Length", str(len(body)))], body)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target_port, timeout=20)
        page = f"&max-keys={self.server.page_size}" if self.server.page_size and "list-type=2" in self.path else ""
        connection.request(self.command, self.path + page, headers=dict(self.headers.items()))
        response = connection.getresponse()
        body = response.read()
        headers = [pair for pair in response.getheaders() if pair[0].lower() not in ("transfer-encoding", "connection")]
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        self._respond(response.status, headers, body)
        connection.close()

    def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = _relay  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Log nothing."""


_ERROR = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>'


@contextmanager
def run_relay(port: int) -> Iterator[Relay]:
    """Run a relay to a port of this machine."""
    with Relay(port) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def run_server(*command: str, **environment: str) -> Iterator[int]:
    """Run a server and yield its port, which replaces ``PORT`` in its command."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *(part.replace("PORT", str(port)) for part in command)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if process.poll() is not None:
            raise RuntimeError(f"the server of the bucket ended with exit code {process.returncode}")
        time.sleep(0.1)
    raise TimeoutError(f"the server of the bucket does not listen at port {port}")
