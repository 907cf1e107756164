"""Servers of buckets in processes of their own, and a relay that counts requests and interferes with them."""

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

BUCKET = "family"
Hook = Callable[[str, str], "int | None"]
"""Called with a request's method and path before it is passed on; returns a status to answer instead, 0 to hang up."""


_SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAFAMILY/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class Request(NamedTuple):
    """A request that came: an object's key is `key`, a listing has none."""

    method: str
    path: str
    range: str | None

    @property
    def key(self) -> str:
        return unquote(self.path.partition("?")[0]).removeprefix(f"/{BUCKET}").removeprefix("/")


class Bucket:
    """A bucket, filled past the relay."""

    def __init__(self, port: int) -> None:
        self._port = port

    def put(self, key: str, data: bytes) -> None:
        self.ask("PUT", f"/{BUCKET}/{quote(key, safe='')}", data)

    def remove(self, key: str) -> None:
        self.ask("DELETE", f"/{BUCKET}/{quote(key, safe='')}")

    def empty(self) -> None:
        """Make the bucket, or remove what is in it."""
        self.ask("PUT", f"/{BUCKET}", b"")
        listed = self.ask("GET", f"/{BUCKET}?list-type=2&max-keys=5000&encoding-type=url").decode()
        for key in re.findall("<Key>(.*?)</Key>", listed):
            self.remove(unquote(key))

    def ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"Authorization": _SIGNED, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            body: bytes = answer.read()
            return body


class Relay(ThreadingHTTPServer):
    """Passes requests on to a server at another port of this machine."""

    daemon_threads = True

    def __init__(self, to: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to = to
        self.requests = list[Request]()
        self.before: Hook = lambda method, path: None
        self.page = 0  # how many objects a page of a listing has; 0 for as many as were asked for

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def read(self) -> list[str]:
        """Return the keys of the objects that were read, sorted."""
        return sorted(request.key for request in self.requests if request.method == "GET" and request.key)

    def clear(self) -> None:
        self.requests.clear()
        self.before = lambda method, path: None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hung up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Relay

    def _pass_on(self) -> None:
        self.server.requests.append(Request(self.command, self.path, self.headers.get("Range")))
        status = self.server.before(self.command, self.path)
        if status == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if status is not None:
            body = b"" if self.command == "HEAD" else _ERROR % (b"AccessDenied" if status == 403 else b"InternalError")
            self._answer(status, [("Content-Length", str(len(body)))], body)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=20)
        page = f"&max-keys={self.server.page}" if self.server.page and "list-type=2" in self.path else ""
        connection.request(self.command, self.path + page, headers=dict(self.headers.items()))
        answer = connection.getresponse()
        body = answer.read()
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in ("transfer-encoding", "connection")]
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        self._answer(answer.status, headers, body)
        connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


_ERROR = b'<?xml version="1.0"?><Error><Code>%s</Code><Message>no</Message></Error>'


@contextmanager
def relay(to: int) -> Iterator[Relay]:
    """Run a relay to a port of this machine."""
    with Relay(to) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def server(*command: str, **environment: str) -> Iterator[int]:
    """Run a server; ``PORT`` in its command is the port that it gets, and that is yielded."""
    port = free_port()
    ran = subprocess.Popen(
        [sys.executable, *(part.replace("PORT", str(port)) for part in command)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, ran)
        yield port
    finally:
        ran.kill()
        ran.wait()


def free_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(port: int, ran: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if ran.poll() is not None:
            raise RuntimeError(f"the server ended with {ran.returncode}")
        time.sleep(0.1)
    raise TimeoutError("the server did not start")
