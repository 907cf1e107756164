"""Access control: host names, origins, keys, roles and rate limits."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from facebank.errors import ServiceError, UsageError
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from facebank.service.server import address_of, listen

from .conftest import NETWORK, TOKEN, Serve, send_raw


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "10.1.2.3"],
)
def test_other_host_names_are_refused_against_dns_rebinding(client: httpx.Client, host: str) -> None:
    response = client.get("/api/v1/health", headers={"Host": host})
    assert response.status_code in {400, 403}, response.text


def test_own_host_names_are_accepted(serve: Serve, client: httpx.Client) -> None:
    for host in ("localhost:1", "127.0.0.1", "[::1]:8470", "LOCALHOST"):
        assert client.get("/api/v1/health", headers={"Host": host}).status_code == 200
    assert serve(NETWORK, TOKEN).get("/api/v1/health", headers={"Host": "photos.home"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_origins_can_neither_read_nor_write(client: httpx.Client, headers: dict[str, str], method: str) -> None:
    response = client.request(method, "/api/v1/identify", headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "OtherSite")


def test_page_requests_need_a_csrf_token(client: httpx.Client) -> None:
    origin = f"http://{urlsplit(str(client.base_url)).netloc}"
    response = client.post("/api/v1/identify", headers={"Origin": origin}, content=b"x")
    assert (response.status_code, response.json()["code"]) == (403, "PageOutdated")
    other_token = client.post("/api/v1/identify", headers={"Origin": origin, "X-CSRF-Token": "0" * 64}, content=b"x")
    assert other_token.json()["code"] == "PageOutdated"


@pytest.mark.parametrize("query", ["token=1", "api_key=1", "x=facebank_abc", "KEY=1", "access_token="])
def test_key_in_the_url_is_refused(client: httpx.Client, query: str) -> None:
    response = client.get(f"/api/v1/health?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "KeyInAddress")


def test_remote_clients_need_a_revocable_key(serve: Serve, gallery: Path) -> None:
    client, keys = serve(NETWORK, TOKEN), KeyFile.of_gallery(gallery)
    assert client.get("/api/v1/metrics").json()["code"] == "KeyNeeded"
    assert client.get("/api/v1/metrics", headers={"x-api-key": "wrong"}).json()["code"] == "KeyNotValid"
    assert client.get("/api/v1/metrics", headers={"x-api-key": TOKEN}).status_code == 200
    key = keys.add("doorbell", Role.READ)
    bearer = {"Authorization": f"Bearer {key}"}
    assert client.get("/api/v1/metrics", headers=bearer).status_code == 200
    keys.revoke("doorbell")
    assert client.get("/api/v1/metrics", headers=bearer).status_code == 401
    assert client.get("/api/v1/health").status_code == 200


def test_keys_are_stored_as_hashes_for_their_owner_only(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "a.keys")
    key = keys.add("Ada's phone", Role.TEACH)
    text = keys.path.read_text()
    assert key not in text
    assert key.removeprefix("facebank_") not in text
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert keys.owner_of(key) == ("Ada's phone", Role.TEACH)
    assert keys.owner_of(key[:-1]) is None
    with pytest.raises(UsageError, match="already"):
        keys.add("Ada's phone", Role.READ)
    with pytest.raises(UsageError, match="no key 'nobody'"):
        keys.revoke("nobody")


@pytest.mark.parametrize("content", ["", "[]", '{"keys": [{}]}', '{"keys": 1}', "\x00", '{"keys": [' * 9999])
def test_damaged_key_file_admits_nobody(serve: Serve, gallery: Path, content: str) -> None:
    client = serve(NETWORK)
    KeyFile.of_gallery(gallery).path.write_text(content)
    response = client.get("/api/v1/metrics", headers={"x-api-key": "facebank_x"})
    assert (response.status_code, response.json()["code"]) == (500, "ServiceError")
    with pytest.raises(ServiceError, match="is not a key file"):
        KeyFile.of_gallery(gallery).keys()


def test_unknown_routes_and_methods_have_documented_error_codes(client: httpx.Client) -> None:
    unknown = client.get("/api/v1/nothing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "NoSuchRoute")
    other_method = client.get("/api/v1/identify")
    assert (other_method.status_code, other_method.json()["code"], other_method.headers["allow"]) == (
        405,
        "MethodNotAllowed",
        "POST",
    )
    guide = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    assert all(f"`{response.json()['code']}`" in guide for response in (unknown, other_method))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_printed_url_is_reachable(serve: Serve, host: str) -> None:
    try:
        client = serve(ServiceOptions(host=host), TOKEN)
    except ServiceError:
        pytest.skip(f"this machine has no {host}")
    port = client.base_url.port
    assert port is not None
    url = address_of(ServiceOptions(host=host), port)
    assert "0.0.0.0" not in url
    assert "[::]" not in url
    assert httpx.get(f"{url}/api/v1/health", trust_env=False, timeout=60).status_code == 200


def test_requests_are_rate_limited(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(requests_a_minute=10)))
    codes = [client.get("/api/v1/health").status_code for _ in range(12)]
    assert codes[:10] == [200] * 10
    assert codes[-1] == 429


def test_only_wrong_and_unused_keys_are_slowed_down(serve: Serve, gallery: Path) -> None:
    keys = KeyFile.of_gallery(gallery)
    used, unused = (keys.add(name, Role.READ) for name in ("used", "unused"))
    client = serve(ServiceOptions(limits=Limits(wrong_keys_a_minute=3)))

    def status(key: str) -> int:
        return client.get("/api/v1/people", headers={"x-api-key": key}).status_code

    assert status(used) == 200
    client.post("/sign-in", data={"key": used})
    session_cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    client.cookies.clear()
    assert [status(f"wrong {number}") for number in range(3)] == [401] * 3
    for key in ("wrong 4", unused):  # not checked, to slow down guesses
        refused = client.get("/api/v1/people", headers={"Authorization": f"Bearer {key}"})
        assert (refused.status_code, refused.json()["code"]) == (429, "TooManyWrongKeys")
        assert 1 <= int(refused.headers["Retry-After"]) <= 20
    page = client.post("/sign-in", data={"key": unused})
    assert (page.status_code, "Retry-After" in page.headers) == (429, True)
    assert re.search(r"try again in \d+ seconds", page.text)
    assert status(used) == 200
    assert client.get("/", headers={"Cookie": session_cookies}).status_code == 200
    keys.revoke("used")
    assert [status(used), status(used)] == [401, 429]
    with httpx.Client(base_url=client.base_url, transport=httpx.HTTPTransport(local_address="127.0.0.2")) as other:
        assert other.get("/api/v1/people", headers={"x-api-key": unused}).status_code == 200


def test_responses_have_security_headers(client: httpx.Client) -> None:
    for path in ("/api/v1/health", "/nothing", "/api/v1/health?token=1"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_too_large_body_is_refused_before_it_is_sent(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(body=1000)))
    start = b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\n"
    for length in (b"Content-Length: 2147483648", b"Content-Length: 1001"):
        response = send_raw(str(client.base_url), start + length + b"\r\nConnection: close\r\n\r\n")
        assert b" 413 " in response.splitlines()[0]
        assert json.loads(response.partition(b"\r\n\r\n")[2])["code"] == "TooLarge"
    chunks = b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 3
    assert b" 413 " in send_raw(str(client.base_url), start + chunks).splitlines()[0]


@pytest.mark.parametrize(("header", "status"), [("Accept: */*", b" 413 "), ("Origin: http://evil.example", b" 403 ")])
def test_client_that_sends_everything_first_receives_the_refusal(serve: Serve, header: str, status: bytes) -> None:
    client = serve(ServiceOptions(limits=Limits(body=1000)))
    length = 20_000_000  # more than the system buffers for a connection
    head = f"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\n{header}\r\nContent-Length: {length}\r\n\r\n"
    url = urlsplit(str(client.base_url))
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as connection:
        connection.sendall(head.encode() + b"x" * length)
        assert status in connection.recv(65536).splitlines()[0]


def test_large_concurrent_requests_are_refused_until_later(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(body=1000, bodies=1500)))
    url = urlsplit(str(client.base_url))
    incomplete = b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + b"x" * 900
    deadline = time.monotonic() + 60

    def post_beside_another() -> httpx.Response:
        with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
            connection.sendall(incomplete)
            time.sleep(0.2)
            return client.post("/api/v1/identify", content=b"x" * 900)

    for _ in range(2):  # data of a disconnected client must not count
        while (response := post_beside_another()).status_code != 503:  # the incomplete request was refused
            assert time.monotonic() < deadline, response.text
        assert (response.json()["code"], "retry-after" in response.headers) == ("Busy", True)
        while (response := client.post("/api/v1/identify", content=b"x" * 900)).status_code != 200:
            assert time.monotonic() < deadline, response.text
            time.sleep(0.1)


def test_endless_upload_times_out(serve: Serve) -> None:
    client = serve(ServiceOptions(limits=Limits(upload_seconds=0.3)))
    start = time.monotonic()
    request = (
        b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\nConnection: close\r\n\r\nabc"
    )
    assert b" 408 " in send_raw(str(client.base_url), request).splitlines()[0]
    assert time.monotonic() - start < 15
    assert client.get("/api/v1/health").status_code == 200


def test_disconnecting_clients_leave_nothing_in_the_log(
    client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    url = urlsplit(str(client.base_url))
    for _ in range(3):
        with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
            connection.sendall(b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nabc")
    assert client.get("/api/v1/health").status_code == 200
    assert capfd.readouterr().err == ""


def test_invalid_chunks_after_the_response_leave_nothing_in_the_log(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    client = serve(NETWORK, TOKEN)
    url = urlsplit(str(client.base_url))
    head = b"POST /api/v1/identify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    for header in (b"", b"Expect: 100-continue\r\n"):
        with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as connection:
            connection.sendall(head + header + b"\r\n")
            assert b" 401 " in connection.recv(65536)
            connection.sendall(b"zz\r\n")
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
    assert client.get("/api/v1/health").status_code == 200
    assert capfd.readouterr().err == ""


def test_responses_are_not_buffered() -> None:
    """Nagle's algorithm would delay each response that is sent in two parts."""
    with listen(ServiceOptions(port=0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
