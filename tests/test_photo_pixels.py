"""`DecodedPhoto` rejects invalid pixels, with a message that shows how to correct them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facebank.errors import UsageError
from facebank.types import DecodedPhoto


def make_photo(pixels: Any) -> DecodedPhoto:
    return DecodedPhoto("array", pixels, "", has_orientation=False, taken_at=None)


@pytest.mark.parametrize(
    ("pixels", "message", "correct"),
    [
        (np.zeros((4, 5), np.uint8), "gray", lambda pixels: np.dstack([pixels] * 3)),
        (np.zeros((4, 5, 1), np.uint8), "gray", lambda pixels: np.dstack([pixels] * 3)),
        (np.zeros((4, 5, 4), np.uint8), "alpha channel", lambda pixels: pixels[..., :3]),
        (np.zeros((3, 4, 5), np.uint8), "channels first", lambda pixels: pixels.transpose(1, 2, 0)),
        (np.ones((4, 5, 3), np.float32), "float32", lambda pixels: (pixels * 255).round().astype("uint8")),
        (np.ones((4, 5, 3), np.uint16), "uint16", None),
        (np.ones((2, 4, 5, 3), np.uint8), "(height, width, 3)", None),
        (np.ones((0, 5, 3), np.uint8), "empty, shape", None),
        ([[[0, 0, 0]]], "not list", None),
    ],
)
def test_invalid_pixels_are_rejected_with_advice(pixels: Any, message: str, correct: Any) -> None:
    with pytest.raises(UsageError, match=r"the pixels of array are invalid") as caught:
        make_photo(pixels)
    assert message in str(caught.value)
    if correct is not None:
        assert make_photo(correct(pixels)).height == 4


def test_valid_pixels_are_not_copied() -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)[..., ::-1]
    assert make_photo(pixels).pixels is pixels
