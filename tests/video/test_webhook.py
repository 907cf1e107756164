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

SOON = Timeouts(first=0.02, longest=0.05, patience=1.0)


class Site:
    """A web server that records posts, and answers with its statuses in order, finally 204."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.location = ""
        self.hold = 0.0  # seconds between the bytes of an answer
        self.port = 0

    @property
    def people(self) -> list[str]:
        return [body["person"] for _, _, body in self.posts]


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            site.posts.append((self.path, dict(self.headers), body))
            status = site.statuses.pop(0) if site.statuses else 204
            if site.hold:
                try:
                    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                        self.connection.sendall(bytes([byte]))
                        time.sleep(site.hold)
                except OSError:
                    return
            self.send_response(status)
            if site.location:
                self.send_header("Location", site.location)
            self.end_headers()

        def do_GET(self) -> None:
            site.posts.append((self.path, {}, {"person": "GET"}))
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as made:
        yield made


def came(person: str, thumbnail: bytes | None = None) -> PresenceEvent:
    return PresenceEvent(
        PresenceChange.CAME, person, "door", datetime.now(UTC), 0.5, None, seconds=0.0, thumbnail=thumbnail
    )


def posted(address: str, events: list[PresenceEvent], waits: Timeouts = SOON) -> tuple[WebhookPublisher, list[str]]:
    """Post events, and return when all are delivered or discarded."""
    told: list[str] = []
    publisher = WebhookPublisher(parse_webhook(address), told.append, waits)
    publisher.start()
    for event in events:
        publisher.publish(event)
    end = time.monotonic() + 20
    while sum((publisher.log.deliveries.delivered, publisher.log.deliveries.dropped)) < len(events):
        assert time.monotonic() < end
        time.sleep(0.01)
    publisher.close()
    return publisher, told


def test_events_are_posted_in_order_by_the_schema(site: Site) -> None:
    address = f"http://ada:p%40ss@127.0.0.1:{site.port}/api/webhook/secret?a=b"
    publisher, told = posted(address, [came("Ada", b"jpeg"), came("#+/\n李")])
    assert told == []
    assert publisher.log.deliveries.delivered == 2
    assert site.people == ["Ada", "#+/\n李"]
    path, headers, body = site.posts[0]
    assert path == "/api/webhook/secret?a=b"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'ada:p@ss').decode()}"
    assert base64.b64decode(body["thumbnail"]) == b"jpeg"
    for _, _, each in site.posts:
        jsonschema.Draft202012Validator(
            schemas.load("presence"), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(each)


def test_failed_posts_are_retried_and_reported_once(site: Site) -> None:
    site.statuses = [500, 429, 503, 204]
    publisher, told = posted(f"http://127.0.0.1:{site.port}/secret", [came("Ada"), came("Grace")])
    assert site.people == ["Ada"] * 4 + ["Grace"]
    deliveries = publisher.log.deliveries
    assert (deliveries.delivered, deliveries.failures, deliveries.dropped) == (2, 3, 0)
    assert [sentence.split(": ")[1].split(";")[0] for sentence in told[:-1]] == [
        f"it answers HTTP {status}" for status in (500, 429, 503)
    ]
    assert told[-1] == f"the webhook at http://127.0.0.1:{site.port} is available again"
    assert "secret" not in "".join(told)


def test_an_event_is_discarded_after_five_attempts(site: Site) -> None:
    site.statuses = [500] * 5
    publisher, told = posted(f"http://127.0.0.1:{site.port}", [came("Ada"), came("Grace")])
    assert site.people == ["Ada"] * 5 + ["Grace"]
    assert publisher.log.deliveries.dropped == 1
    assert len(told) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_rejected_events_are_not_retried(site: Site, status: int) -> None:
    site.statuses = [status]
    publisher, told = posted(f"http://127.0.0.1:{site.port}", [came("Ada")])
    assert len(site.posts) == publisher.log.deliveries.dropped == len(told) == 1
    assert f"HTTP {status}; an event is discarded" in told[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(site: Site, status: int) -> None:
    with serving() as other:
        site.statuses, site.location = [status], f"http://127.0.0.1:{other.port}/"
        publisher, told = posted(f"http://127.0.0.1:{site.port}", [came("Ada")])
        assert len(site.posts) == 1
        assert other.posts == []
    assert publisher.log.deliveries.dropped == 1
    assert "it redirects" in told[0]


def test_proxies_of_the_environment_are_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    publisher, _ = posted(f"http://127.0.0.1:{site.port}", [came("Ada")])
    assert publisher.log.deliveries.delivered == 1


def test_an_endless_response_times_out(site: Site) -> None:
    site.hold = 0.05
    waits = Timeouts(first=0.02, longest=0.05, patience=0.3)
    began = time.monotonic()
    publisher, told = posted(f"http://127.0.0.1:{site.port}", [came("Ada")], waits)
    assert time.monotonic() - began < 5
    assert publisher.log.deliveries.dropped == 1
    (sentence,) = told
    assert "it does not answer in time" in sentence


def test_publishing_does_not_block_and_discards_the_oldest(site: Site) -> None:
    site.hold = 0.05
    told: list[str] = []
    publisher = WebhookPublisher(parse_webhook(f"http://127.0.0.1:{site.port}"), told.append, SOON)
    publisher.start()
    began = time.monotonic()
    for number in range(1000):
        publisher.publish(came(f"{number}"))
    assert time.monotonic() - began < 1
    assert publisher.log.deliveries.dropped >= 899
    publisher.close()
    assert time.monotonic() - began < 8
    deliveries = publisher.log.deliveries
    assert deliveries.delivered + deliveries.dropped >= 999


def test_certificates_are_verified(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(certificate) as site:
        publisher, told = posted(f"https://127.0.0.1:{site.port}", [came("Ada")])
        assert site.posts == []
        assert publisher.log.deliveries.dropped == 1
        assert "its certificate is not trusted" in told[0]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        publisher, told = posted(f"https://127.0.0.1:{site.port}", [came("Ada")])
        assert site.people == ["Ada"]
        assert told == []


def test_an_unreachable_server_is_reported_once() -> None:
    _, told = posted("http://127.0.0.1:9/secret", [came("Ada"), came("Grace")])
    assert len(told) == 1
    assert told[0].startswith("the webhook at http://127.0.0.1:9: it cannot be reached (Connection refused)")


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
