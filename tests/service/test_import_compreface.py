"""Imports from a CompreFace service, for which facebank's own service or a fake one stands in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import jsonschema
import pytest

from facebank import FaceBank
from facebank.errors import ServiceError
from facebank.operations.compreface_client import ClientLimits, CompreFaceClient
from facebank.operations.import_compreface import ImportedExample, import_examples
from facebank.schemas import load
from facebank.service.compreface.image_ids import image_id_of
from facebank.service.keys import KeyFile, Role
from facebank.service.options import Limits, ServiceOptions
from facebank.storage.progress import SILENT, Progress
from tests.demo_photos import DEMO_PHOTOS

from .conftest import BARACK, EILEEN, NETWORK, Serve, run_service
from .fake_compreface import make_service, run_server, send

QUICK = ClientLimits(timeout=1.0, seconds=2.0, attempts=2, pause=0.01)


def list_decisions(bank: FaceBank, folder: Path) -> list[tuple[object, ...]]:
    return [(face.decision, face.person) for photo in bank.identify(folder) for face in photo.faces]


def run_import(
    gallery: Path, *arguments: str, exit_code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the import command with a gallery, and check its exit code."""
    completed = subprocess.run(
        [sys.executable, "-m", "facebank_cli", "import", "compreface", *arguments],
        env={**os.environ, "FACEBANK_GALLERY": str(gallery), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == exit_code, completed.stderr
    assert "Traceback" not in completed.stderr
    return completed


def test_real_photos_get_the_same_decisions_after_the_import(shared: Path, tmp_path: Path) -> None:
    photos = shared / "data" / "photos"
    with (
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as target_bank,
        FaceBank.open(tmp_path / "b.facebank", device="cpu") as source_bank,
    ):
        for folder in sorted((photos / "enrol").iterdir()):
            source_bank.enroll(folder.name, folder)
        with run_service(source_bank, ServiceOptions()) as url:
            output = target_bank.import_compreface(url, "any")
            assert [example.accepted for example in output] == [True] * 9
            assert [example.reason for example in target_bank.import_compreface(url, "any")] == ["already_enrolled"] * 9
        counts = [
            [(person.name, person.sample_count) for person in bank.people()] for bank in (target_bank, source_bank)
        ]
        assert counts[0] == counts[1]
        expected = list_decisions(source_bank, photos / "probe")
        assert len(expected) > 15
        assert list_decisions(target_bank, photos / "probe") == expected


def test_command_imports_everybody_once(serve: Serve, gallery: Path, tmp_path: Path) -> None:
    client, target = serve(NETWORK), tmp_path / "new" / "family.facebank"
    key = KeyFile.of_gallery(gallery).add("import", Role.READ)
    teach = {"x-api-key": KeyFile.of_gallery(gallery).add("teach", Role.TEACH)}
    client.post("/api/v1/recognition/subjects", json={"subject": "Nobody yet"}, headers=teach)
    url = str(client.base_url).rstrip("/")
    first = run_import(target, url, "--json", FACEBANK_COMPREFACE_KEY=key)
    records = [json.loads(line) for line in first.stdout.splitlines()]
    for record in records:
        jsonschema.validate(record, load("import-compreface"))
    assert [(record["subject"], record["reason"]) for record in records] == [
        ("Barack", "enrolled"),
        ("Eileen", "enrolled"),
        ("Nobody yet", "no_photos"),
    ]
    key_path = tmp_path / "key.txt"
    key_path.write_text(f"{key}\n")
    again = run_import(target, f"{url}/", "--key-file", str(key_path))
    assert "0 examples of 2 people imported, 2 enrolled before" in again.stdout
    with FaceBank.open(target, device="cpu") as bank:
        assert [(person.name, person.sample_count) for person in bank.people()] == [("Barack", 1), ("Eileen", 1)]
        assert next(bank.identify(BARACK)).faces[0].person == "Barack"
        with FaceBank.open(gallery, device="cpu") as other:
            paths = [f"compreface:{image_id_of(other.samples(name)[0])}" for name in ("Barack", "Eileen")]
        assert [bank.samples(name)[0].path for name in ("Barack", "Eileen")] == paths
        bank.rename("Eileen", "Eileen Collins")
    run_import(target, url, "--key-file", str(key_path))  # renamed people are not imported again
    with FaceBank.open(target, device="cpu") as bank:
        assert [person.name for person in bank.people()] == ["Barack", "Eileen Collins"]
    new = client.post("/api/v1/recognition/faces?subject=Barack", headers=teach, files={"file": make_upload("speech")})
    record = json.loads(run_import(target, url, key, "--json").stdout.splitlines()[1])
    assert (record["image_id"], record["reason"]) == (new.json()["image_id"], "enrolled")


def make_upload(name: str) -> tuple[str, bytes]:
    path = DEMO_PHOTOS / f"barack_obama_{name}.jpg"
    return path.name, path.read_bytes()


def test_wrong_missing_and_unreadable_keys_are_errors(serve: Serve, tmp_path: Path) -> None:
    url, target = str(serve(NETWORK).base_url), tmp_path / "none.facebank"
    output = run_import(target, url, "wrong", exit_code=2).stderr
    assert "rejects the key (the key is invalid or was revoked: send a valid key)" in output
    assert "--key-file" in run_import(target, url, exit_code=2, FACEBANK_COMPREFACE_KEY="").stderr
    assert "cannot be read" in run_import(target, url, "--key-file", str(tmp_path / "absent"), exit_code=2).stderr
    (tmp_path / "two").write_text("a\nb")
    assert "only line" in run_import(target, url, "--key-file", str(tmp_path / "two"), exit_code=2).stderr


def test_busy_service_is_retried(gallery: Path, tmp_path: Path) -> None:
    limited = ServiceOptions(limits=Limits(requests_a_minute=60))
    with (
        FaceBank.open(gallery, device="cpu", threads=1) as source_bank,
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as target_bank,
        run_service(source_bank, limited) as url,
    ):
        with CompreFaceClient(url, "any") as server:
            for _ in range(58):
                server.subjects()
        assert [example.accepted for example in target_bank.import_compreface(url, "any")] == [True, True]


def test_progress_reports_each_example_once(gallery: Path, tmp_path: Path) -> None:
    class CallRecorder(Progress):
        def __init__(self) -> None:
            self.calls: list[object] = []

        def begin(self, step: str, total: float | None) -> None:
            self.calls.append((step, total))

        def advance(self, amount: float = 1) -> None:
            self.calls.append(amount)

        def report(self, result: object) -> None:
            assert isinstance(result, ImportedExample)
            self.calls.append(result.subject)

    progress = CallRecorder()
    with (
        FaceBank.open(gallery, device="cpu", threads=1) as source_bank,
        FaceBank.open(tmp_path / "a.facebank", device="cpu") as target_bank,
        run_service(source_bank, ServiceOptions()) as url,
    ):
        target_bank.import_compreface(url, "any", progress=progress)
    assert progress.calls == [("Importing", 2), "Barack", 1, "Eileen", 1]


def test_subjects_that_cannot_be_enrolled_are_reported_and_others_imported(tmp_path: Path) -> None:
    good, gone, broken, again = (str(uuid.uuid4()) for _ in range(4))
    faces = [
        {"image_id": str(uuid.uuid4()), "subject": "a/../b"},
        {"image_id": str(uuid.uuid4()), "subject": "\u202eevil"},
        {"image_id": gone, "subject": "Ada"},
        {"image_id": broken, "subject": "Ada"},
        {"image_id": good, "subject": "Ada"},
        {"image_id": again, "subject": "  ada "},
    ]

    def send_image(handler: BaseHTTPRequestHandler) -> None:
        contents = {gone: b"", broken: b"PK\x03\x04", good: EILEEN.read_bytes(), again: EILEEN.read_bytes()}
        send(handler, next(data for image_id, data in contents.items() if image_id in handler.path))

    answer = make_service({"faces": faces}, send_image, {"subjects": ["a/../b", "Ada", "x\ny"]})
    with run_server(answer) as url:
        output = run_import(tmp_path / "a.facebank", url, "key", "--json", exit_code=1)
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
        printed = run_import(tmp_path / "a.facebank", url, "key", exit_code=1)
        assert "\u202e" not in printed.stdout + printed.stderr
        assert "\x1b" not in printed.stdout + printed.stderr
        assert "2 enrolled before, 4 refused" in printed.stdout
    with FaceBank.open(tmp_path / "a.facebank", device="cpu") as bank:
        assert [(person.name, person.sample_count) for person in bank.people()] == [("Ada", 1)]


def test_images_are_imported_in_bounded_batches(tmp_path: Path) -> None:
    faces = [{"image_id": str(uuid.uuid4()), "subject": "Ada"} for _ in range(40)]
    with run_server(make_service({"faces": faces})) as url, FaceBank.open(tmp_path / "a.facebank") as bank:
        output = bank.import_compreface(url, "key")
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
        run_server(make_service({"faces": faces}, send_image)) as url,
        FaceBank.open(tmp_path / "a.facebank") as bank,
    ):
        with (
            CompreFaceClient(url, "key", QUICK) as server,
            pytest.raises(ServiceError, match="repeat the command to continue"),
        ):
            import_examples(server, bank.open_gallery(create=True), bank.enroll, SILENT)
        assert [person.name for person in bank.people()] == ["Barack"]
        is_available.set()
        assert [example.reason for example in bank.import_compreface(url, "key")] == [
            "already_enrolled",
            "enrolled",
        ]
