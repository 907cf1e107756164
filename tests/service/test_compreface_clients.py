"""CompreFace's published clients against a real service; the library checks their effects."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facebank import FaceBank
from facebank.service.compreface.image_ids import image_id_of
from facebank.service.keys import KeyFile, Role
from tests.demo_photos import BIDEN, DEMO_PHOTOS, SPEECH
from tests.guides import find_blocks

from .conftest import BARACK, EILEEN, NETWORK, Serve, skip_or_fail

PROGRAMS = Path(__file__).with_name("compreface_clients")
GUIDE = DEMO_PHOTOS.parents[2] / "docs" / "compreface.md"

OPTIONS = {"limit": 0, "det_prob_threshold": 0.5, "prediction_count": 1, "status": True}


def install(command: list[str], package: str, folder: Path) -> None:
    """Install a client; skips if its registry cannot be reached, except in CI."""
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if completed.returncode:
        skip_or_fail(f"{package} could not be installed: {(completed.stderr or completed.stdout)[-400:]}")


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Command that runs the JavaScript client, and its working folder."""
    if not (shutil.which("node") and shutil.which("npm")):
        skip_or_fail("node and npm are not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("npm")
    packages = ["@exadel/compreface-js-sdk@1.0.0"]
    install(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *packages], packages[0], folder
    )
    return ["node", str(PROGRAMS / "client.mjs")], folder


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Command that runs the Python client in a separate virtual environment, and its working folder."""
    folder = tmp_path_factory.mktemp("python-client")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=300)
    program = folder / "venv" / "bin" / "python"
    packages = ["compreface-sdk==0.6.0", "urllib3<2"]
    install(
        [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet", *packages], packages[0], folder
    )
    return [str(program), str(PROGRAMS / "client.py")], folder


@dataclass
class PublishedClient:
    """One of the published clients with a key of the service."""

    command: list[str]
    folder: Path
    port: str
    key: str
    gallery: Path

    def run(self, *steps: tuple[Any, ...], **options: Any) -> list[Any]:
        """Run calls of the client and return their results."""
        completed = subprocess.run(
            [*self.command, "http://127.0.0.1", self.port, self.key],
            input=json.dumps({"options": {**OPTIONS, **options}, "steps": steps}),
            cwd=self.folder,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert completed.returncode == 0, completed.stderr
        results: list[Any] = json.loads(completed.stdout)
        return results

    def query(self, read: Callable[[FaceBank], Any]) -> Any:
        """Return the result of a function that reads the gallery with the library."""
        with FaceBank.open(self.gallery, device="cpu", threads=1) as bank:
            return read(bank)

    def counts(self) -> dict[str, int]:
        """Return the number of samples of each person."""
        counts: dict[str, int] = self.query(lambda bank: {person.name: person.sample_count for person in bank.people()})
        return counts


@pytest.fixture(params=["javascript", "python"])
def client(request: pytest.FixtureRequest, serve: Serve, gallery: Path) -> PublishedClient:
    """Each of the clients, connected to a service that needs a key."""
    command, folder = request.getfixturevalue(request.param)
    for path in DEMO_PHOTOS.glob("*.jpg"):
        shutil.copy(path, folder)
    url = serve(NETWORK).base_url
    return PublishedClient(
        command, folder, str(url.port), KeyFile.of_gallery(gallery).add("client", Role.ADMIN), gallery
    )


@pytest.fixture
def photo_server() -> Iterator[str]:
    """URL of a web server with the demo photos."""
    handler = functools.partial(QuietHandler, directory=str(DEMO_PHOTOS))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def rename_method(client: PublishedClient) -> str:
    return "subjects.rename" if "node" in client.command[0] else "subjects.update"


def test_subject_is_added_recognized_renamed_and_deleted(client: PublishedClient) -> None:
    added, repeated, listed = client.run(
        ("subjects.add", "Joe Biden"), ("subjects.add", "joe biden"), ("subjects.list",)
    )
    assert added == {"subject": "Joe Biden"}
    assert error_of(repeated) == 43
    assert listed == {"subjects": ["Barack", "Eileen", "Joe Biden"]}
    assert client.counts()["Joe Biden"] == 0

    (example,) = client.run(("faces.add", f"./{BIDEN.name}", "Joe Biden", {"det_prob_threshold": 0.5}))
    assert example["subject"] == "Joe Biden"
    (sample,) = client.query(lambda bank: bank.samples("Joe Biden"))
    assert example["image_id"] == image_id_of(sample)
    assert client.run(("faces.add", f"./{BIDEN.name}", "Joe Biden", {})) == [example]  # idempotent
    assert client.counts()["Joe Biden"] == 1

    (recognized,) = client.run(("recognition.recognize", f"./{BIDEN.name}", {"limit": 5, "status": True}))
    (face,) = recognized["result"]
    assert face["subjects"][0] == {"subject": "Joe Biden", "similarity": 0.999}
    assert set(recognized) == {"result", "plugins_versions", "execution_time"}

    (renamed,) = client.run((rename_method(client), "Joe Biden", "Joe"))
    assert renamed == {"updated": True}
    assert client.counts() == {"Barack": 1, "Eileen": 1, "Joe": 1}
    (deleted,) = client.run(("subjects.delete", "Joe"))
    assert deleted == {"subject": "Joe"}
    (missing,) = client.run(("subjects.delete", "Joe"))
    assert error_of(missing) == 42
    assert client.counts() == {"Barack": 1, "Eileen": 1}


def error_of(result: Any) -> int:
    """Return the error code in the result of either client."""
    error = result["error"]["data"] if "error" in result else result
    assert set(error) == {"message", "code"}
    assert error["message"]
    code: int = error["code"]
    return code


def test_examples_are_given_as_path_bytes_base64_and_url(client: PublishedClient, photo_server: str) -> None:
    photos: list[Any] = [f"./{SPEECH.name}", {"file": str(SPEECH)}, f"{photo_server}/{SPEECH.name}"]
    if "node" in client.command[0]:
        photos.append({"base64": str(SPEECH)})
    for photo in photos:
        ((face,), example) = (
            result.get("result", result)
            for result in client.run(("recognition.recognize", photo, {"limit": 1}), ("faces.add", photo, "Barack", {}))
        )
        assert face["subjects"][0]["subject"] == "Barack"
        samples = client.query(lambda bank: bank.samples("Barack"))
        assert example == {"image_id": image_id_of(samples[-1]), "subject": "Barack"}
        assert len(samples) == 2
        assert client.run(("faces.delete", example["image_id"])) == [example]
        assert client.counts()["Barack"] == 1


def test_stranger_has_no_subject(client: PublishedClient) -> None:
    (recognized,) = client.run(("recognition.recognize", f"./{BIDEN.name}", {"limit": 1, "prediction_count": 3}))
    (face,) = recognized["result"]
    (expected,) = client.query(lambda bank: next(bank.identify(BIDEN)).faces)
    assert expected.person is None
    assert face["subjects"] == []
    assert face["decision"] == expected.decision
    assert face["candidates"][0]["subject"] == expected.candidates[0].person
    assert face["candidates"][0]["similarity"] == round(expected.probability, 3)


def test_photos_are_compared_with_each_other_and_with_an_example(client: PublishedClient) -> None:
    (sample,) = client.query(lambda bank: bank.samples("Barack"))
    verified, other, against = client.run(
        ("verification.verify", f"./{BARACK.name}", f"./{SPEECH.name}", {"limit": 2}),
        ("verification.verify", f"./{BARACK.name}", f"./{EILEEN.name}", {"limit": 2}),
        ("faces.verify", f"./{SPEECH.name}", image_id_of(sample), {"limit": 1}),
    )
    expected = client.query(lambda bank: bank.verify(BARACK, SPEECH))
    (result,), (stranger,) = verified["result"], other["result"]
    assert result["source_image_face"]["box"]["x_max"] > result["source_image_face"]["box"]["x_min"] > 0
    assert result["face_matches"][0]["similarity"] == round(expected.similarity, 3)
    assert result["face_matches"][0]["same"] is True
    assert stranger["face_matches"][0]["same"] is False
    (face,) = against["result"]
    assert (face["subject"], face["same"], face["similarity"]) == ("Barack", True, round(expected.similarity, 3))


def test_faces_are_detected(client: PublishedClient) -> None:
    (detected,) = client.run(("detection.detect", f"./{SPEECH.name}", {"limit": 1, "face_plugins": "landmarks"}))
    (face,) = detected["result"]
    expected = client.query(lambda bank: next(bank.analyze(SPEECH)).faces[0])
    box = face["box"]
    assert [box[edge] for edge in ("x_min", "y_min", "x_max", "y_max")] == expected.box.round().astype(int).tolist()
    assert box["probability"] == pytest.approx(expected.detection_score, abs=1e-5)
    assert face["landmarks"] == expected.landmarks.round().astype(int).tolist()
    (refused,) = client.run(("detection.detect", f"./{SPEECH.name}", {"limit": 1, "face_plugins": "age,gender"}))
    assert error_of(refused) == 26


def test_examples_are_listed_and_deleted(client: PublishedClient) -> None:
    (listed,) = client.run(("faces.list",))
    samples = client.query(lambda bank: [bank.samples(name)[0] for name in ("Barack", "Eileen")])
    assert listed == {
        "faces": [{"image_id": image_id_of(sample), "subject": sample.person} for sample in samples],
        "page_number": 0,
        "page_size": 20,
        "total_pages": 1,
        "total_elements": 2,
    }
    if "node" in client.command[0]:
        client.run(("faces.add", f"./{SPEECH.name}", "Barack", {}))
        (listed,) = client.run(("faces.list",))
        ids = [face["image_id"] for face in listed["faces"] if face["subject"] == "Barack"]
        (deleted,) = client.run(("faces.delete_multiple_images", ids))
        assert [example["image_id"] for example in deleted] == ids
        assert client.run(("faces.delete_all_subject", "Eileen")) == [{"deleted": 1}]
        assert client.run(("faces.delete_all",)) == [{"deleted": 0}]
    else:
        assert client.run(("faces.delete_all", "Barack"), ("faces.delete_all", "Eileen")) == [{"deleted": 1}] * 2
    assert client.counts() == {"Barack": 0, "Eileen": 0}
    delete_all = "subjects.deleteAll" if "node" in client.command[0] else "subjects.delete_all"
    assert client.run((delete_all,)) == [{"deleted": 2}]
    assert client.counts() == {}


def test_steps_of_the_guide_work(
    javascript: tuple[list[str], Path], python: tuple[list[str], Path], serve: Serve, gallery: Path, tmp_path: Path
) -> None:
    """The commands and programs of docs/compreface.md, with facebank's service instead of CompreFace."""
    guide = GUIDE.read_text(encoding="utf-8")
    steps = guide[guide.index("## Step by step") : guide.index("## Import from CompreFace")]
    lines = [line for block in find_blocks(steps, "") for line in block.splitlines()]
    commands = [line.split()[1:] for line in lines if line.startswith("facebank ")]
    assert [words[0] for words in commands] == ["serve", "serve", "serve", "import", "serve"]
    *key_commands, import_command, serve_command = commands
    facebank = [sys.executable, "-m", "facebank_cli"]
    environment = {**os.environ, "FACEBANK_GALLERY": str(tmp_path / "new.facebank"), "NO_PROXY": "127.0.0.1"}

    def run(words: list[str], folder: Path = tmp_path) -> str:
        completed = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    keys = [run([*facebank, *words]).strip() for words in key_commands]
    (tmp_path / "compreface-key.txt").write_text(KeyFile.of_gallery(gallery).add("import", Role.READ))
    source = str(serve(NETWORK).base_url)
    output = run([*facebank, *(word.replace("http://127.0.0.1:8000", source) for word in import_command)])
    assert output == "2 examples of 2 people imported\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    words = [*facebank, *(word.replace("8470", port) for word in serve_command)]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as service:
        try:
            assert service.stderr is not None
            while "serving" not in service.stderr.readline():
                assert service.poll() is None
            for language, name, key, (command, folder) in (
                ("python", "guide.py", keys[1], python),
                ("javascript", "guide.mjs", keys[0], javascript),
            ):
                (text,) = find_blocks(steps, language)
                (folder / name).write_text(text.replace("8470", port).replace("facebank_KEY", key))
                shutil.copy(BIDEN, folder / "ada.jpg")
                shutil.copy(BIDEN, folder / "party.jpg")
                assert "Ada Lovelace" in run([command[0], name], folder)
        finally:
            service.terminate()


def test_wrong_key_and_photo_without_a_face_are_errors(client: PublishedClient, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), "gray").save(client.folder / "gray.jpg")
    recognized, added = client.run(
        ("recognition.recognize", "./gray.jpg", {"limit": 1}), ("faces.add", "./gray.jpg", "Ada", {})
    )
    assert error_of(recognized) == error_of(added) == 28
    client.key = "facebank_wrong"
    assert error_of(client.run(("subjects.list",))[0]) == 10
