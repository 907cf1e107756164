"""Concurrent clients get the same answers as sequential ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from facebank.service.options import ServiceOptions

from .conftest import DEMO_PHOTOS, Serve

PHOTOS = sorted(DEMO_PHOTOS.glob("*.jpg"))
REQUESTS = 64


def test_64_concurrent_requests_get_the_same_answers(serve: Serve) -> None:
    client = serve(ServiceOptions(exact=True, embeddings=True))
    together = threading.Barrier(REQUESTS)

    def ask(number: int) -> bytes:
        if number % 4 == 0:
            return client.get("/api/v1/people").content
        what = "embed" if number % 4 == 1 else "identify"
        return client.post(f"/api/v1/{what}", content=PHOTOS[number % len(PHOTOS)].read_bytes()).content

    def ask_together(number: int) -> bytes:
        together.wait()
        return ask(number)

    single = [ask(number) for number in range(REQUESTS)]
    assert len(set(single)) == 1 + 2 * len(PHOTOS)
    with ThreadPoolExecutor(REQUESTS) as pool:
        assert list(pool.map(ask_together, range(REQUESTS))) == single
