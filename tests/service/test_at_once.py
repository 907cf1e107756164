"""Concurrent clients get the same answers as sequential ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from facebank.service.options import ServiceOptions
from tests.demo_photos import DEMO_PHOTOS

from .conftest import Serve

PHOTOS = sorted(DEMO_PHOTOS.glob("*.jpg"))
REQUESTS = 64


def test_64_concurrent_requests_get_the_same_answers(serve: Serve) -> None:
    client = serve(ServiceOptions(exact=True, embeddings=True))
    barrier = threading.Barrier(REQUESTS)

    def send_request(number: int) -> bytes:
        if number % 4 == 0:
            return client.get("/api/v1/people").content
        operation = "embed" if number % 4 == 1 else "identify"
        return client.post(f"/api/v1/{operation}", content=PHOTOS[number % len(PHOTOS)].read_bytes()).content

    def send_at_once(number: int) -> bytes:
        barrier.wait()
        return send_request(number)

    expected = [send_request(number) for number in range(REQUESTS)]
    assert len(set(expected)) == 1 + 2 * len(PHOTOS)
    with ThreadPoolExecutor(REQUESTS) as pool:
        assert list(pool.map(send_at_once, range(REQUESTS))) == expected
