"""Fixtures of the service tests: a real service on a free local port with the people of the demo."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageOps

from facebank import FaceBank
from facebank.service.application import make_app
from facebank.service.options import ServiceOptions
from facebank.service.server import Server, listen
from tests.demo_photos import DEMO_PHOTOS

BARACK = DEMO_PHOTOS / "barack_obama_portrait_2012.jpg"
EILEEN = DEMO_PHOTOS / "eileen_collins.jpg"

NAMES = (BARACK.name, EILEEN.name)

MARK = "<script src=//evil.example/x.js></script>\"'><img src=x onerror=alert(1)>{{7*7}}"
"""A name that would run a script if it were not escaped."""

Serve = Callable[..., httpx.Client]


@contextmanager
def run_service(bank: FaceBank, options: ServiceOptions, token: str | None = None) -> Iterator[str]:
    """Serve a bank during the block and yield the address."""
    with listen(replace(options, port=0)) as listening:
        server = Server(make_app(bank, options, token))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
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
    copy = tmp_path / "family.facebank"
    copy.write_bytes(demo_gallery.read_bytes())
    return copy


@pytest.fixture
def serve(gallery: Path) -> Iterator[Serve]:
    """A function that serves the gallery with options and returns a client."""
    with ExitStack() as opened:

        def start(options: ServiceOptions | None = None, token: str | None = None) -> httpx.Client:
            bank = opened.enter_context(FaceBank.open(gallery, device="cpu", threads=1))
            address = opened.enter_context(run_service(bank, options or ServiceOptions(), token))
            return opened.enter_context(httpx.Client(base_url=address, timeout=60.0, trust_env=False))

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
    for name in NAMES:
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
    """An album of the demo photos and its scan."""
    folder = tmp_path_factory.mktemp("page") / "album"
    shutil.copytree(DEMO_PHOTOS, folder)
    own_gallery = shutil.copy(demo_gallery, folder.with_suffix(".facebank"))  # the gallery records the path of its scan
    with FaceBank.open(own_gallery, device="cpu", threads=1) as bank, bank.album() as album:
        album.scan(folder)
    return folder, folder.with_suffix(".scan")


@pytest.fixture
def family(serve: Serve, gallery: Path, scanned_album: tuple[Path, Path]) -> httpx.Client:
    """Client of a service with a scanned and identified album."""
    folder, scan = scanned_album
    shutil.copy(scan, gallery.with_suffix(".scan"))
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


def side_by_side(path: Path) -> Path:
    """Write a photo of Barack and Joe, who is not enrolled, and return its path."""
    together = Image.new("RGB", (1200, 600))
    for index, name in enumerate(("joe_biden_blue_room", "barack_obama_speech")):
        with Image.open(DEMO_PHOTOS / f"{name}.jpg") as photo:
            together.paste(ImageOps.pad(photo, (600, 600)), (600 * index, 0))
    together.save(path, quality=95)
    return path


def wait_for_photos(client: httpx.Client, photos: Sequence[int] = (1,)) -> httpx.Client:
    """Wait until the people page shows these numbers of photos above 0, and return the client."""
    for _ in range(1_500):
        if [int(count) for count in re.findall(r">([1-9]\d*) photos?<", client.get("/").text)] == list(photos):
            return client
        time.sleep(0.02)
    raise AssertionError(client.get("/").text)


@pytest.fixture
def marked_client(serve: Serve, gallery: Path, tmp_path: Path) -> httpx.Client:
    """Client of a service with HTML in names of people, notes, files and folders, and in Exif data."""
    name = MARK.replace("/", "\N{DIVISION SLASH}")
    folder = tmp_path / "album" / name
    folder.mkdir(parents=True)
    for photo in (BARACK, EILEEN, DEMO_PHOTOS / "joe_biden_blue_room.jpg"):
        exif = Image.Exif()
        exif.update({270: MARK, 315: MARK, 306: "2012:01:01 00:00:00"})
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)})
        with Image.open(photo) as opened:
            opened.save(folder / f"{photo.stem[:8]}{name[:100]}.jpg", exif=exif, comment=MARK, quality=95)
    with FaceBank.open(gallery, device="cpu", threads=1) as bank:
        bank.rename("Barack", MARK.replace("/", "|")[:190])
        bank.rename("Eileen", "'; alert(1) </title><svg onload=alert(1)>"[:190].replace("/", "|"))
        bank.gallery.describe("'; alert(1) </title><svg onload=alert(1)>".replace("/", "|"), note=MARK)
    client = serve(ServiceOptions(albums=(tmp_path / "album",)))
    client.post("/api/v1/album/scan")
    assert wait_for_scan(client)["report"]["unreadable"] == 0  # type: ignore[index]
    for _ in range(300):
        if client.get("/").text.count(">1 photo<") == 2:  # both were identified in the album
            return client
        time.sleep(0.05)
    raise AssertionError(client.get("/").text)
