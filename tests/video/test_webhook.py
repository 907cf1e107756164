"""Events posted to a local web server that fails, is slow, redirects, or has a certificate."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from facebank import schemas
from facebank.errors import UsageError
from facebank.media.live import Timeouts
from facebank.video.presence import PresenceChange, PresenceEvent
from facebank.video.webhook import WebhookPublisher, parse_webhook
from tests.waiting import wait_until
from tests.webhook_server import WebhookServer, run_webhook_server

SHORT_TIMEOUTS = Timeouts(first_pause=0.02, longest_pause=0.05, timeout=1.0)


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with run_webhook_server() as server:
        yield server


def arrival(person: str, thumbnail: bytes | None = None) -> PresenceEvent:
    return PresenceEvent(
        PresenceChange.CAME, person, "door", datetime.now(UTC), 0.5, None, seconds=0.0, thumbnail=thumbnail
    )


def post_events(
    address: str, events: list[PresenceEvent], timeouts: Timeouts = SHORT_TIMEOUTS
) -> tuple[WebhookPublisher, list[str]]:
    """Post events, and return when all are delivered or dropped."""
    notices: list[str] = []
    publisher = WebhookPublisher(parse_webhook(address), notices.append, timeouts)
    publisher.start()
    for event in events:
        publisher.publish(event)

    def is_settled() -> bool:
        deliveries = publisher.log.deliveries
        return deliveries.delivered + deliveries.dropped >= len(events)

    wait_until(is_settled)
    publisher.close()
    return publisher, notices


def test_events_are_posted_in_order_and_match_the_schema(server: WebhookServer) -> None:
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


def test_an_event_is_dropped_after_five_attempts(server: WebhookServer) -> None:
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
    with run_webhook_server() as other:
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
    timeouts = Timeouts(first_pause=0.02, longest_pause=0.05, timeout=0.3)
    start_time = time.monotonic()
    publisher, notices = post_events(f"http://127.0.0.1:{server.port}", [arrival("Ada")], timeouts)
    assert time.monotonic() - start_time < 5
    assert publisher.log.deliveries.dropped == 1
    (notice,) = notices
    assert "it does not answer in time" in notice


def test_publishing_does_not_block_and_drops_the_oldest(server: WebhookServer) -> None:
    server.byte_delay = 0.05
    notices: list[str] = []
    publisher = WebhookPublisher(parse_webhook(f"http://127.0.0.1:{server.port}"), notices.append, SHORT_TIMEOUTS)
    publisher.start()
    start_time = time.monotonic()
    for number in range(1000):
        publisher.publish(arrival(f"{number}"))
    assert time.monotonic() - start_time < 10  # seconds; a delivery takes one
    assert publisher.log.deliveries.dropped >= 899
    publisher.close()
    assert time.monotonic() - start_time < 30
    deliveries = publisher.log.deliveries
    assert deliveries.delivered + deliveries.dropped >= 999


def test_certificates_are_verified(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_webhook_server(certificate) as server:
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
    with pytest.raises(UsageError) as caught:
        parse_webhook(address)
    assert "cret" not in str(caught.value)
