"""One bank behind a real web server: 64 requests at once get the answers of a single thread."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from facebank import FaceBank

DEMO_PHOTOS = Path(__file__).resolve().parent.parent / "facebank" / "demo" / "photos"
PHOTOS = sorted(DEMO_PHOTOS.glob("*.jpg"))
REQUESTS = 64


def answer(bank: FaceBank, photo: Path) -> list[object]:
    """Return all of an answer that JSON gives back to the bit."""
    return [
        [face.embedding.tolist(), face.box.tolist(), repr(face.decision)]
        for found in bank.identify(photo)
        for face in found.faces
    ]


@contextmanager
def served(bank: FaceBank) -> Iterator[str]:
    """Answer on a free port of this machine, and give its address."""

    def identify(request: Request) -> JSONResponse:  # the server calls what is not async in threads
        return JSONResponse(answer(bank, DEMO_PHOTOS / request.path_params["photo"]))

    def people(_: Request) -> JSONResponse:
        return JSONResponse([person.name for person in bank.gallery.people()])

    app = Starlette(routes=[Route("/identify/{photo}", identify), Route("/people", people)])
    config = uvicorn.Config(app, log_level="error", ws="none", http="h11", loop="asyncio", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=2 * REQUESTS) as listening:
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


def test_64_requests_at_once_get_a_single_threads_answers(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "family.facebank", device="cpu", threads=1) as bank:
        bank.enroll("Barack Obama", DEMO_PHOTOS / "barack_obama_portrait_2012.jpg")
        bank.enroll("Eileen Collins", DEMO_PHOTOS / "eileen_collins.jpg")
        single = {photo.name: answer(bank, photo) for photo in PHOTOS}
    together = threading.Barrier(REQUESTS)

    with (
        FaceBank.open(bank.path, device="cpu", threads=1) as shared,
        served(shared) as address,
        ThreadPoolExecutor(REQUESTS) as pool,
    ):

        def ask(number: int) -> bool:
            name = "people" if number % 4 == 0 else PHOTOS[number % len(PHOTOS)].name
            together.wait()
            with urlopen(f"{address}/{name if name == 'people' else f'identify/{name}'}", timeout=300) as response:
                told = json.load(response)
            return bool(told == (["Barack Obama", "Eileen Collins"] if name == "people" else single[name]))

        assert all(pool.map(ask, range(REQUESTS)))
