"""Imports from a CompreFace service: round trips with facebank's own service, and hostile servers."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest

from facebank import FaceBank
from facebank.errors import ServiceError, UsageError
from facebank.operations.compreface_client import ClientLimits, CompreFaceClient, ImageRefusedError
from facebank.operations.import_compreface import ImportedExample, import_examples
from facebank.schemas import load
from facebank.service.compreface.image_ids import image_id_of
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from facebank.storage.progress import SILENT, Progress
from tests.demo_photos import DEMO_PHOTOS

from .conftest import BARACK, EILEEN, Serve, run_service

NETWORK = ServiceOptions(hosts=("photos.home",))
QUICK = ClientLimits(timeout=1.0, seconds=2.0, attempts=2, pause=0.01)
ID = "6b135f5b-a365-4522-b1f1-4c9ac2dd0728"


def decisions(bank: FaceBank, photos: Path) -> list[tuple[object, ...]]:
    return [(face.decision, face.person) for photo in bank.identify(photos) for face in photo.faces]


def run_import(gallery: Path, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the import command with a gallery."""
    completed = subprocess.run(
        [sys.executable, "-m", "facebank_cli", "import", "compreface", *arguments],
        env={**os.environ, "FACEBANK_GALLERY": str(gallery), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == code, completed.stderr
    assert "Traceback" not in completed.stderr
    return completed


# Round trips ----------------------------------------------------------------------------------------------------


def test_real_photos_get_the_same_decisions_after_the_import(shared: Path, tmp_path: Path) -> None:
    photos = shared / "data" / "photos"
    with (
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as target_bank,
        FaceBank.open(tmp_path / "b.facebank", device="cpu") as source_bank,
    ):
        for folder in sorted((photos / "enrol").iterdir()):
            source_bank.enroll(folder.name, folder)
        with run_service(source_bank, ServiceOptions()) as address:
            output = target_bank.import_compreface(address, "any")
            assert [example.accepted for example in output] == [True] * 9
            assert [example.reason for example in target_bank.import_compreface(address, "any")] == [
                "already_enrolled"
            ] * 9
        counts = [
            [(person.name, person.sample_count) for person in bank.people()] for bank in (target_bank, source_bank)
        ]
        assert counts[0] == counts[1]
        expected = decisions(source_bank, photos / "probe")
        assert len(expected) > 15
        assert decisions(target_bank, photos / "probe") == expected


def test_command_imports_everybody_once(serve: Serve, gallery: Path, tmp_path: Path) -> None:
    client, target = serve(NETWORK), tmp_path / "new" / "family.facebank"
    key = KeyFile.of_gallery(gallery).add("import", Role.READ)
    teach = {"x-api-key": KeyFile.of_gallery(gallery).add("teach", Role.TEACH)}
    client.post("/api/v1/recognition/subjects", json={"subject": "Nobody yet"}, headers=teach)
    address = str(client.base_url).rstrip("/")
    first = run_import(target, address, "--json", FACEBANK_COMPREFACE_KEY=key)
    records = [json.loads(line) for line in first.stdout.splitlines()]
    for record in records:
        jsonschema.validate(record, load("import-compreface"))
    assert [(record["subject"], record["reason"]) for record in records] == [
        ("Barack", "enrolled"),
        ("Eileen", "enrolled"),
        ("Nobody yet", "no_photos"),
    ]
    file = tmp_path / "key.txt"
    file.write_text(f"{key}\n")
    again = run_import(target, f"{address}/", "--key-file", str(file))
    assert "0 examples of 2 people imported, 2 enrolled before" in again.stdout
    with FaceBank.open(target, device="cpu") as bank:
        assert [(person.name, person.sample_count) for person in bank.people()] == [("Barack", 1), ("Eileen", 1)]
        assert next(bank.identify(BARACK)).faces[0].person == "Barack"
        with FaceBank.open(gallery, device="cpu") as other:
            paths = [f"compreface:{image_id_of(other.samples(name)[0])}" for name in ("Barack", "Eileen")]
        assert [bank.samples(name)[0].path for name in ("Barack", "Eileen")] == paths
        bank.rename("Eileen", "Eileen Collins")
    run_import(target, address, "--key-file", str(file))  # renamed people are not imported again
    with FaceBank.open(target, device="cpu") as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen Collins"]
    new = client.post("/api/v1/recognition/faces?subject=Barack", headers=teach, files={"file": photo("speech")})
    record = json.loads(run_import(target, address, key, "--json").stdout.splitlines()[1])
    assert (record["image_id"], record["reason"]) == (new.json()["image_id"], "enrolled")


def photo(name: str) -> tuple[str, bytes]:
    path = DEMO_PHOTOS / f"barack_obama_{name}.jpg"
    return path.name, path.read_bytes()


def test_wrong_key_missing_key_and_missing_service_are_errors(serve: Serve, tmp_path: Path) -> None:
    address, target = str(serve(NETWORK).base_url), tmp_path / "none.facebank"
    output = run_import(target, address, "wrong", code=2).stderr
    assert "rejects the key (the key is not valid, or was revoked)" in output
    assert "--key-file" in run_import(target, address, code=2, FACEBANK_COMPREFACE_KEY="").stderr
    assert "cannot be read" in run_import(target, address, "--key-file", str(tmp_path / "absent"), code=2).stderr
    (tmp_path / "two").write_text("a\nb")
    assert "only line" in run_import(target, address, "--key-file", str(tmp_path / "two"), code=2).stderr


def test_busy_service_is_retried(gallery: Path, tmp_path: Path) -> None:
    slow = ServiceOptions(limits=Limits(requests_a_minute=60))
    with (
        FaceBank.open(gallery, device="cpu", threads=1) as source_bank,
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as target_bank,
        run_service(source_bank, slow) as address,
    ):
        with CompreFaceClient(address, "any") as server:
            for _ in range(58):
                server.subjects()
        assert [example.accepted for example in target_bank.import_compreface(address, "any")] == [True, True]


def test_progress_reports_each_example_once(gallery: Path, tmp_path: Path) -> None:
    class Steps(Progress):
        def __init__(self) -> None:
            self.output: list[object] = []

        def begin(self, step: str, total: float | None) -> None:
            self.output.append((step, total))

        def advance(self, amount: float = 1) -> None:
            self.output.append(amount)

        def report(self, result: object) -> None:
            assert isinstance(result, ImportedExample)
            self.output.append(result.subject)

    steps = Steps()
    with (
        FaceBank.open(gallery, device="cpu", threads=1) as source_bank,
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as target_bank,
        run_service(source_bank, ServiceOptions()) as address,
    ):
        target_bank.import_compreface(address, "any", progress=steps)
    assert steps.output == [("Importing", 2), "Barack", 1, "Eileen", 1]


# Hostile servers --------------------------------------------------------------------------------------------

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def run_server(answer: Answer) -> Iterator[str]:
    """Serve the responses of a function and yield the address."""

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
    """Return the responses of a service with a list of subjects, one page of examples and an image for all."""

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


def read_lists(answer: Answer) -> tuple[list[str], list[str]]:
    """Return the subjects and example IDs that the client reads from a server."""
    with run_server(answer) as address, CompreFaceClient(address, "key", QUICK) as server:
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
        run_server(send_endless_pages) as address,
        CompreFaceClient(address, "key", ClientLimits(examples=1000)) as server,
        pytest.raises(ServiceError, match="more than 1,000 examples"),
    ):
        list(server.examples())
    assert count == 11
    repeated = {"faces": [{"image_id": ID, "subject": "a"}], "total_pages": 10**9, "page_number": -7}
    assert read_lists(make_service(repeated)) == ([], [ID])
    assert read_lists(make_service({"faces": [], "total_pages": 10**9})) == ([], [])
    assert read_lists(make_service({"faces": [{"image_id": ID.upper(), "subject": "a"}]})) == (
        [],
        [ID],
    )  # as CompreFace before 0.6 writes it


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
    with run_server(image) as address, CompreFaceClient(address, "key", limits) as server:
        start = time.monotonic()
        with pytest.raises(ImageRefusedError) as refused:
            server.image(ID)
        assert time.monotonic() - start < 10
        assert "\x1b" not in str(refused.value)


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


def test_subjects_that_cannot_be_enrolled_are_reported_and_others_imported(tmp_path: Path) -> None:
    good, gone, broken, face = (str(uuid.uuid4()) for _ in range(4))
    faces = [
        {"image_id": str(uuid.uuid4()), "subject": "a/../b"},
        {"image_id": str(uuid.uuid4()), "subject": "\u202eevil"},
        {"image_id": gone, "subject": "Ada"},
        {"image_id": broken, "subject": "Ada"},
        {"image_id": good, "subject": "Ada"},
        {"image_id": face, "subject": "  ada "},
    ]

    def send_image(handler: BaseHTTPRequestHandler) -> None:
        contents = {gone: b"", broken: b"PK\x03\x04", good: EILEEN.read_bytes(), face: EILEEN.read_bytes()}
        send(handler, next(data for name, data in contents.items() if name in handler.path))

    answer = make_service({"faces": faces}, send_image, {"subjects": ["a/../b", "Ada", "x\ny"]})
    with run_server(answer) as address:
        output = run_import(tmp_path / "a.facebank", address, "key", "--json", code=1)
        records = [json.loads(line) for line in output.stdout.splitlines()]
        for record in records:
            jsonschema.validate(record, load("import-compreface"))
        assert sorted(
            (record["subject"], record["person"], record["reason"], record["accepted"]) for record in records
        ) == sorted(
            [
                ("a/../b", None, "invalid_name", False),
                ("\u202eevil", None, "invalid_name", False),
                ("x\ny", None, "invalid_name", False),
                ("Ada", "Ada", "no_image", False),
                ("Ada", "Ada", "unreadable", False),
                ("Ada", "Ada", "enrolled", True),
                ("  ada ", "Ada", "already_enrolled", True),
            ]
        )
        printed = run_import(tmp_path / "a.facebank", address, "key", code=1)
        assert "\u202e" not in printed.stdout + printed.stderr
        assert "\x1b" not in printed.stdout + printed.stderr
        assert "2 enrolled before, 4 refused" in printed.stdout
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        assert [(person.name, person.sample_count) for person in bank.people()] == [("Ada", 1)]


def test_images_are_imported_in_bounded_batches(tmp_path: Path) -> None:
    faces = [{"image_id": str(uuid.uuid4()), "subject": "Ada"} for _ in range(40)]
    with run_server(make_service({"faces": faces})) as address, FaceBank.open(tmp_path / "a.facebank") as bank:
        output = bank.import_compreface(address, "key")
        assert [example.accepted for example in output] == [True] * 40
        assert bank.people()[0].sample_count == 1  # all images are the same photo


def test_import_resumes_after_the_service_stopped(tmp_path: Path) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    faces = [{"image_id": ids[0], "subject": "Barack"}, {"image_id": ids[1], "subject": "Eileen"}]
    is_available = threading.Event()

    def send_image(handler: BaseHTTPRequestHandler) -> None:
        if ids[0] in handler.path:
            send(handler, BARACK.read_bytes())
        elif is_available.is_set():
            send(handler, EILEEN.read_bytes())
        else:
            handler.close_connection = True

    with (
        run_server(make_service({"faces": faces}, send_image)) as address,
        FaceBank.open(tmp_path / "a.facebank") as bank,
    ):
        with (
            CompreFaceClient(address, "key", QUICK) as server,
            pytest.raises(ServiceError, match="repeat the command to continue"),
        ):
            import_examples(server, bank.open_gallery(create=True), bank.enroll, SILENT)
        assert [person.name for person in bank.people()] == ["Barack"]
        is_available.set()
        assert [example.reason for example in bank.import_compreface(address, "key")] == [
            "already_enrolled",
            "enrolled",
        ]


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
def test_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the address of a CompreFace service"):
        CompreFaceClient(url, "key")


@pytest.mark.parametrize("key", ["", "a b", "a\r\nHost: x", "ключ", "x" * 5000])
def test_invalid_key_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="key of the CompreFace service is invalid"):
        CompreFaceClient("http://nas", key)


def test_invalid_certificate_is_refused(tmp_path: Path) -> None:
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
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
