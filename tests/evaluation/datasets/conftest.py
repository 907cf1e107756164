"""Fixtures of the reader tests: small real images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Draw = Callable[..., Path]


def jpeg(shade: int = 100) -> bytes:
    """Return a small JPEG."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (shade % 256, 80, 60)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """A function that writes pictures to paths below the test's folder and returns the folder."""

    def write(*names: str) -> Path:
        for number, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(number))
        return tmp_path

    return write


@pytest.fixture(scope="session")
def picture() -> Callable[[int], bytes]:
    return jpeg
