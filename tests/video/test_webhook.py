"""Events posted to a local web server that fails, is slow, redirects, or has a certificate."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from facebank import schemas
from facebank.errors import UsageError
from facebank.media.live import Timeouts
from facebank.video.presence import PresenceChange, PresenceEvent
from facebank.video.webhook import WebhookPublisher, parse_webhook

SHORT_WAITS = Timeouts(first_pause=0.02, longest_pause=0.05, timeout=1.0)


class WebhookServer:
    """A web server that records posts, and responds with its statuses in order, then with 204."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.location = ""
        self.byte_delay = 0.0  # seconds between the bytes of a response
        self.port = 0

    @property
    def people(self) -> list[str]:
        return [body["person"] for _, _, body in self.posts]


@contextmanager
def run_server(certificate: Path | None = None) -> Iterator[WebhookServer]:
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


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with run_server() as server:
        yield server


def arrival(person: str, thumbnail: bytes | None = None) -> PresenceEvent:
    return PresenceEvent(
        PresenceChange.CAME, person, "door", datetime.now(UTC), 0.5, None, seconds=0.0, thumbnail=thumbnail
    )


def post_events(
    address: str, events: list[PresenceEvent], waits: Timeouts = SHORT_WAITS
) -> tuple[WebhookPublisher, list[str]]:
    """Post events, and return when all are delivered or discarded."""
    notices: list[str] = []
    publisher = WebhookPublisher(parse_webhook(address), notices.append, waits)
    publisher.start()
    for event in events:
        publisher.publish(event)
    deadline = time.monotonic() + 20
    while publisher.log.deliveries.delivered + publisher.log.deliveries.dropped < len(events):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    publisher.close()
    return publisher, notices


def test_events_are_posted_in_order_by_the_schema(server: WebhookServer) -> None:
    address = f"http://ada:p%40ss@127.0.0.1:{server.port}/api/webhook/secret?a=b"
    publisher, notices = post_events(address, [arrival("Ada", b"jpeg"), arrival("#+/\n李")])
    assert notices == []
    assert publisher.log.deliveries.delivered == 2
    assert server.people == ["Ada", "#+/\n李"]
    path, headers, body = server.posts[0]
    assert path == "/api/webhook/secret?a=b"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'ada:p@ss').decode()}"
    assert base64.b64decode(body["thumbnail"]) == b"jpeg"
    for _, _, event in server.posts:
        jsonschema.Draft202012Validator(
            schemas.load("presence"), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(event)


def test_failed_posts_are_retried_and_reported_once(server: WebhookServer) -> None:
    server.statuses = [500, 429, 503, 204]
    publisher, notices = post_events(f"http://127.0.0.1:{server.port}/secret", [arrival("Ada"), arrival("Grace")])
    assert server.people == ["Ada"] * 4 + ["Grace"]
    deliveries = publisher.log.deliveries
    assert (deliveries.delivered, deliveries.failures, deliveries.dropped) == (2, 3, 0)
    assert [notice.split(": ")[1].split(";")[0] for notice in notices[:-1]] == [
        f"it answers HTTP {status}" for status in (500, 429, 503)
    ]
    assert notices[-1] == f"the webhook at http://127.0.0.1:{server.port} is available again"
    assert "secret" not in "".join(notices)


def test_an_event_is_discarded_after_five_attempts(server: WebhookServer) -> None:
    server.statuses = [500] * 5
    publisher, notices = post_events(f"http://127.0.0.1:{server.port}", [arrival("Ada"), arrival("Grace")])
    assert server.people == ["Ada"] * 5 + ["Grace"]
    assert publisher.log.deliveries.dropped == 1
    assert len(notices) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_rejected_events_are_not_retried(server: WebhookServer, status: int) -> None:
    server.statuses = [status]
    publisher, notices = post_events(f"http://127.0.0.1:{server.port}", [arrival("Ada")])
    assert len(server.posts) == publisher.log.deliveries.dropped == len(notices) == 1
    assert f"HTTP {status}; an event is discarded" in notices[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: WebhookServer, status: int) -> None:
    with run_server() as other:
        server.statuses, server.location = [status], f"http://127.0.0.1:{other.port}/"
        publisher, notices = post_events(f"http://127.0.0.1:{server.port}", [arrival("Ada")])
        assert len(server.posts) == 1
        assert other.posts == []
    assert publisher.log.deliveries.dropped == 1
    assert "it redirects" in notices[0]


def test_proxies_of_the_environment_are_not_used(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    publisher, _ = post_events(f"http://127.0.0.1:{server.port}", [arrival("Ada")])
    assert publisher.log.deliveries.delivered == 1


def test_an_endless_response_times_out(server: WebhookServer) -> None:
    server.byte_delay = 0.05
    waits = Timeouts(first_pause=0.02, longest_pause=0.05, timeout=0.3)
    start = time.monotonic()
    publisher, notices = post_events(f"http://127.0.0.1:{server.port}", [arrival("Ada")], waits)
    assert time.monotonic() - start < 5
    assert publisher.log.deliveries.dropped == 1
    (notice,) = notices
    assert "it does not answer in time" in notice


def test_publishing_does_not_block_and_discards_the_oldest(server: WebhookServer) -> None:
    server.byte_delay = 0.05
    notices: list[str] = []
    publisher = WebhookPublisher(parse_webhook(f"http://127.0.0.1:{server.port}"), notices.append, SHORT_WAITS)
    publisher.start()
    start_time = time.monotonic()
    for number in range(1000):
        publisher.publish(arrival(f"{number}"))
    assert time.monotonic() - start_time < 1
    assert publisher.log.deliveries.dropped >= 899
    publisher.close()
    assert time.monotonic() - start_time < 8
    deliveries = publisher.log.deliveries
    assert deliveries.delivered + deliveries.dropped >= 999


def test_certificates_are_verified(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_server(certificate) as server:
        publisher, notices = post_events(f"https://127.0.0.1:{server.port}", [arrival("Ada")])
        assert server.posts == []
        assert publisher.log.deliveries.dropped == 1
        assert "its certificate is not trusted" in notices[0]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        publisher, notices = post_events(f"https://127.0.0.1:{server.port}", [arrival("Ada")])
        assert server.people == ["Ada"]
        assert notices == []


def test_an_unreachable_server_is_reported_once() -> None:
    _, notices = post_events("http://127.0.0.1:9/secret", [arrival("Ada"), arrival("Grace")])
    assert len(notices) == 1
    assert notices[0].startswith("the webhook at http://127.0.0.1:9: it cannot be reached (Connection refused)")


@pytest.mark.parametrize(
    "address",
    [
        *("", "host", "ftp://secret@host", "file:///etc/passwd", "http://", "https://u:se@cret@host/x@y", "http://a b"),
        *("http://host/\r\nX: y", "http://host/é", "http://host:99999", "http://[::1", "@/nonexistent/file"),
        f"http://{'x' * 100}/",
    ],
)
def test_invalid_addresses_are_rejected_and_not_shown(address: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_webhook(address)
    assert "cret" not in str(error.value)
