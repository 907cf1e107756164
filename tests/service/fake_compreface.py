"""A server of CompreFace's routes whose answers a test chooses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from .conftest import BARACK

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def run_server(answer: Answer) -> Iterator[str]:
    """Serve the responses of a function and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, content: object, status: int = 200, **headers: str) -> None:
    """Send a response of JSON data or raw bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def make_service(faces: object, image: Answer | None = None, subjects: object = None) -> Answer:
    """Return the answers of a service with given subjects, one page of examples, and one image for all."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        if path.endswith("/subjects"):
            send(handler, {"subjects": []} if subjects is None else subjects)
        elif path.endswith("/faces"):
            send(handler, faces)
        elif image is not None:
            image(handler)
        else:
            send(handler, BARACK.read_bytes())

    return answer
