"""Fixtures of the dataset tests: small JPEGs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

WritePhotos = Callable[..., Path]


def jpeg(shade: int = 100) -> bytes:
    """Return a JPEG of 8 x 6 pixels of one color; `shade` modulo 256 is its red value."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (shade % 256, 80, 60)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def write_photos(tmp_path: Path) -> WritePhotos:
    """A function that writes photos to paths in the test's folder and returns the folder."""

    def write(*paths: str) -> Path:
        for number, name in enumerate(paths):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(number))
        return tmp_path

    return write


@pytest.fixture(scope="session")
def draw_jpeg() -> Callable[[int], bytes]:
    """A function that returns a small JPEG of the given shade."""
    return jpeg
