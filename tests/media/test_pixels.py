"""Thumbnails of faces."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facebank.errors import UsageError
from facebank.media import encode_thumbnail
from facebank.types import DecodedPhoto

WIDTH, HEIGHT = 400, 300


def make_photo(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> DecodedPhoto:
    return DecodedPhoto("photo", pixels, "0" * 64, has_orientation=False, taken_at=None)


def make_box(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def decode(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    assert image.format == "JPEG"
    assert not image.getexif()
    return image.convert("RGB")


BLUE = make_photo(np.full((HEIGHT, WIDTH, 3), (0, 0, 255), np.uint8))


def test_thumbnails_have_a_margin_of_a_quarter() -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[100:200, 150:250] = (255, 0, 0)
    thumbnail = np.asarray(decode(encode_thumbnail(make_photo(pixels), make_box(150, 100, 250, 200), side=150)))
    assert thumbnail.shape == (150, 150, 3)
    red = thumbnail[..., 0] > 127
    assert red[28:122, 28:122].all()
    assert not red[:22].any()
    assert not red[:, :22].any()


@pytest.mark.parametrize(("side", "size"), [(128, (128, 64)), (64, (64, 32)), (1000, (300, 150))])
def test_thumbnails_are_downsized_and_never_enlarged(side: int, size: tuple[int, int]) -> None:
    data = encode_thumbnail(BLUE, make_box(100, 100, 300, 200), side)
    assert decode(data).size == size


def test_the_margin_is_clipped_to_the_photo() -> None:
    assert decode(encode_thumbnail(BLUE, make_box(-50, -50, 40, 40), side=1000)).size == (63, 63)


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4),
    side=st.integers(1, 200),
)
def test_any_box_gives_a_thumbnail_within_bounds(values: list[float], side: int) -> None:
    image = decode(encode_thumbnail(BLUE, make_box(*values), side))
    assert 1 <= max(image.size) <= side


@pytest.mark.parametrize("side", [0, -5])
def test_the_side_must_be_positive(side: int) -> None:
    with pytest.raises(UsageError, match=r"1 pixel or more"):
        encode_thumbnail(BLUE, make_box(0, 0, 9, 9), side)


@pytest.mark.parametrize("edge", [np.nan, np.inf])
def test_the_box_must_be_finite(edge: float) -> None:
    with pytest.raises(UsageError, match=r"finite"):
        encode_thumbnail(BLUE, make_box(0, 0, edge, 9))
