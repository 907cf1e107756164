"""Idle, slow and excessive connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from facebank.gallery import Gallery
from facebank.service.connections import network_of
from facebank.service.options import Limits, ServiceOptions
from facebank.types import Person

from .conftest import Serve


@contextmanager
def open_connections(client: httpx.Client, count: int, source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Open connections from an address and close them after the block."""
    url = urlsplit(str(client.base_url))
    address = url.hostname or "", url.port or 0
    with ExitStack() as opened:
        yield [opened.enter_context(socket.create_connection(address, 20, (source, 0))) for _ in range(count)]


def is_dropped(connection: socket.socket) -> bool:
    """Return whether the service closes a connection without a response."""
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def assert_health(connection: socket.socket) -> None:
    """Send a request over a connection and check the response."""
    connection.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in connection.recv(1000)


def send_repeatedly(connection: socket.socket, request: bytes) -> None:
    """Send requests repeatedly without reading responses, for a limited time."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection.sendall(request)
        time.sleep(0.001)


@pytest.mark.parametrize("start", [b"", b"POST /api/v1/identify HTTP/1.1\r\nHost: loc"])
def test_connection_without_a_complete_request_is_dropped(serve: Serve, start: bytes) -> None:
    client = serve(ServiceOptions(limits=Limits(head_seconds=0.2)))
    with open_connections(client, 3) as connections:
        for connection in connections:
            connection.sendall(start)
        assert all(map(is_dropped, connections))


def test_incomplete_second_request_is_dropped(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(head_seconds=0.2)))
    with open_connections(client, 1) as (connection,):
        connection.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = b""
        while b'"ok"' not in response:
            response += connection.recv(10_000)
        connection.sendall(b"GET /api")
        assert is_dropped(connection)


_INCOMPLETE_BODY = (
    b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 999\r\n\r\nhalf"
)


@pytest.mark.parametrize("start", [b"", b"GET /api/v1/health HTTP/1.1\r\nHo", _INCOMPLETE_BODY], ids=len)
def test_longest_waiting_connections_are_dropped_first(serve: Serve, start: bytes) -> None:
    client = serve(ServiceOptions(limits=Limits(connections=20)))
    with open_connections(client, 60) as connections:
        for connection in connections:
            connection.sendall(start)
        with open_connections(client, 1) as (newest,):  # its client is slow, but it has not waited longest
            assert all(map(is_dropped, connections[:41]))
            assert_health(newest)
        with open_connections(client, 39), open_connections(client, 1) as (newest,):
            assert all(map(is_dropped, connections[41:]))
            assert_health(newest)


def test_one_address_cannot_exhaust_connections_of_others(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(connections=20)))
    with open_connections(client, 10) as few, open_connections(client, 60, "127.0.0.2") as many:
        assert all(map(is_dropped, many[:50]))
        for connection in (*few, *many[50:]):
            assert_health(connection)


def test_connection_awaiting_a_response_is_kept(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    is_running, may_finish, people = threading.Event(), threading.Event(), Gallery.people

    def wait_and_list(gallery: Gallery) -> list[Person]:
        is_running.set()
        assert may_finish.wait(60)
        return people(gallery)

    client = serve(ServiceOptions(limits=Limits(connections=20)))
    monkeypatch.setattr(Gallery, "people", wait_and_list)
    with open_connections(client, 1) as (connection,):
        connection.sendall(b"GET /settings HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert is_running.wait(60)
        with open_connections(client, 60) as idle:
            assert all(map(is_dropped, idle[:41]))
            may_finish.set()
            assert b" 200 " in connection.recv(1000)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_addresses_are_grouped_by_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_client_that_never_reads_is_dropped(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(unread_seconds=0.3)))
    with open_connections(client, 1) as (connection,):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_repeatedly(connection, request)
    assert client.get("/api/v1/health").status_code == 200


def test_invalid_http_leaves_nothing_in_the_log(client: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    with open_connections(client, 2) as (first, second):
        first.sendall(b"\x16\x03\x01\x02\x00\x01 tls\r\n\r\n")
        second.sendall(b"GET /\r\n\r\n")
        assert b" 400 " in first.recv(1000)
        assert b" 400 " in second.recv(1000)
    assert capfd.readouterr().err == ""
