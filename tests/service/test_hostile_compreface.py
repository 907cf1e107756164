"""The client of a CompreFace service with hostile and unreliable servers."""

from __future__ import annotations

import socketserver
import ssl
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from facebank.errors import ServiceError, UsageError
from facebank.operations.compreface_client import ClientLimits, CompreFaceClient, ImageRefusedError

from .fake_compreface import Answer, make_service, run_server, send

QUICK = ClientLimits(timeout=1.0, seconds=2.0, attempts=2, pause=0.01)
ID = "6b135f5b-a365-4522-b1f1-4c9ac2dd0728"


def read_lists(answer: Answer) -> tuple[list[str], list[str]]:
    """Return the subjects and example IDs that the client reads from a server."""
    with run_server(answer) as url, CompreFaceClient(url, "key", QUICK) as server:
        return server.subjects(), [example.image_id for example in server.examples()]


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"[" * 200_000,
        b"\xff\xfe",
        b"",
        [],
        None,
        {"faces": None},
        {"faces": {}},
        {"faces": [1]},
        {"faces": [{"image_id": 1, "subject": "a"}]},
        {"faces": [{"image_id": ID, "subject": None}]},
        {"faces": [{"image_id": ID, "subject": "x" * 5000}]},
        {"faces": [{"image_id": "../../etc/passwd", "subject": "a"}]},
        {"faces": [{"image_id": f"{ID}/../../x", "subject": "a"}]},
        {"faces": [], "total_pages": -1},
        {"faces": [], "total_pages": "many"},
        {"faces": [], "total_pages": True},
    ],
    ids=str,
)
def test_invalid_list_of_examples_is_refused(content: object) -> None:
    with pytest.raises(ServiceError, match="check that a CompreFace service"):
        read_lists(make_service(content))


@pytest.mark.parametrize("subjects", [{"subjects": "a"}, {"subjects": [1]}, [], b"{", {"subjects": ["x" * 5000]}])
def test_invalid_list_of_subjects_is_refused(subjects: object) -> None:
    with pytest.raises(ServiceError, match="check that a CompreFace service"):
        read_lists(make_service({"faces": []}, subjects=subjects))


def test_endless_pages_are_stopped() -> None:
    count = 0

    def send_endless_pages(handler: BaseHTTPRequestHandler) -> None:
        nonlocal count
        count += 1
        faces = [{"image_id": str(uuid.uuid4()), "subject": "a"} for _ in range(100)]
        send(handler, {"faces": faces, "total_pages": 10**9})

    with (
        run_server(send_endless_pages) as url,
        CompreFaceClient(url, "key", ClientLimits(examples=1000)) as server,
        pytest.raises(ServiceError, match="more than 1,000 examples"),
    ):
        list(server.examples())
    assert count == 11


def test_repeated_and_empty_pages_end_the_list() -> None:
    repeated = {"faces": [{"image_id": ID, "subject": "a"}], "total_pages": 10**9, "page_number": -7}
    assert read_lists(make_service(repeated)) == ([], [ID])
    assert read_lists(make_service({"faces": [], "total_pages": 10**9})) == ([], [])


def test_image_ids_in_capitals_are_read() -> None:  # CompreFace before 0.6 writes them
    assert read_lists(make_service({"faces": [{"image_id": ID.upper(), "subject": "a"}]})) == ([], [ID])


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://169.254.169.254/", "//evil.example", "/subjects"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(location: str, status: int) -> None:
    count = 0

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        nonlocal count
        count += 1
        send(handler, b"", status, Location=location)

    with pytest.raises(ServiceError, match="not followed"):
        read_lists(redirect)
    assert count == 1


def send_endless_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def send_huge_length(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x", Content_Length="99999999999")


def send_absurd_length(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x", Content_Length="9" * 5000)


def send_slowly(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def send_headers_slowly(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def send_error(handler: BaseHTTPRequestHandler) -> None:
    send(handler, {"message": "Image not \x1b[31mfound", "code": 11}, 404)


@pytest.mark.parametrize(
    "image", [send_endless_body, send_huge_length, send_absurd_length, send_slowly, send_headers_slowly, send_error]
)
def test_image_beyond_limits_is_refused(image: Answer) -> None:
    limits = ClientLimits(image_bytes=1 << 20, timeout=1.0, seconds=1.0, attempts=2, pause=0.01)
    with run_server(image) as url, CompreFaceClient(url, "key", limits) as server:
        start = time.monotonic()
        with pytest.raises(ImageRefusedError) as caught:
            server.image(ID)
        assert time.monotonic() - start < 10
        assert "\x1b" not in str(caught.value)


def never_answer(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def send_part(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"x", Content_Length="100")
    handler.close_connection = True


def send_nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff" * 100 + b"\r\n\r\n")
    handler.close_connection = True


def send_busy(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 503, Retry_After="0")


@pytest.mark.parametrize("answer", [never_answer, hang_up, send_part, send_nonsense, send_busy])
def test_unresponsive_service_times_out(answer: Answer) -> None:
    with pytest.raises(ServiceError, match="repeat the command to continue"):
        read_lists(answer)


def test_huge_list_is_refused() -> None:
    for answer in (send_huge_length, send_endless_body):
        with pytest.raises(ServiceError, match="bytes"):
            read_lists(answer)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://nas",
        "nas:8000",
        "http://",
        "http://user:secret@nas",
        "http://nas/?key=1",
        "http://nas/#x",
        "http://nas:99999",
        "http://nas:0",
        "http://na s",
        "http://nas\r\nx: y",
        "http://[::1",
        "",
    ],
)
def test_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the address of a CompreFace service"):
        CompreFaceClient(url, "key")


@pytest.mark.parametrize("key", ["", "a b", "a\r\nHost: x", "ключ", "x" * 5000])
def test_invalid_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="key of the CompreFace service is invalid"):
        CompreFaceClient("http://nas", key)


def test_invalid_certificate_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def get_request(self) -> Any:
            connection, address = self.socket.accept()
            return context.wrap_socket(connection, server_side=True), address

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), socketserver.StreamRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with (
            CompreFaceClient(f"https://127.0.0.1:{server.server_address[1]}", "key", QUICK) as client,
            pytest.raises(ServiceError, match="no valid certificate"),
        ):
            client.subjects()
        server.shutdown()
        thread.join()
