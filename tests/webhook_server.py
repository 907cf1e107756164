"""A local web server that records posted JSON, and can fail, redirect or be slow."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class WebhookServer:
    """Records requests, and responds to posts with its statuses in order, then with 204."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.posts: list[tuple[str, dict[str, str], Any]] = []  # path, headers and JSON body
        self.location = ""  # target of redirects; empty for none
        self.byte_delay = 0.0  # seconds between the bytes of a response
        self.port = 0

    @property
    def bodies(self) -> list[Any]:
        """The posted JSON objects."""
        return [body for _, _, body in self.posts]

    @property
    def people(self) -> list[str]:
        """The people in the posted events."""
        return [body["person"] for body in self.bodies]


@contextmanager
def run_webhook_server(certificate: Path | None = None) -> Iterator[WebhookServer]:
    """Run a server on a free port of this machine, with TLS if a certificate is given."""
    server = WebhookServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.posts.append((self.path, dict(self.headers), body))
            status = server.statuses.pop(0) if server.statuses else 204
            if server.byte_delay:
                try:
                    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                        self.connection.sendall(bytes([byte]))
                        time.sleep(server.byte_delay)
                except OSError:
                    return
            self.send_response(status)
            if server.location:
                self.send_header("Location", server.location)
            self.end_headers()

        def do_GET(self) -> None:
            server.posts.append((self.path, {}, {"person": "GET"}))
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        http_server.socket = context.wrap_socket(http_server.socket, server_side=True)
    server.port = http_server.server_address[1]
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http_server.shutdown()
        thread.join()
        http_server.server_close()
