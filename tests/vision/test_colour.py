"""Colours as people see them: against known values and OpenCV's conversion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.vision.quality import lab_of

CHANNEL = st.integers(0, 255)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_the_corners_are_where_the_standard_puts_them(
    rgb: tuple[int, int, int], lab: tuple[float, float, float]
) -> None:
    assert lab_of(np.array([[rgb]], np.uint8))[0, 0] == pytest.approx(lab, abs=0.05)


@given(st.tuples(CHANNEL, CHANNEL, CHANNEL))
def test_opencv_says_nearly_the_same(rgb: tuple[int, int, int]) -> None:
    pixel = np.array([[rgb]], np.uint8)
    other = cv2.cvtColor(pixel.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    assert np.abs(lab_of(pixel) - other).max() < 1.5  # OpenCV looks up and interpolates


@given(CHANNEL)
def test_greys_have_no_colour(value: int) -> None:
    lightness, *colour = lab_of(np.full((2, 3, 3), value, np.uint8))[1, 2]
    assert 0 <= lightness <= 100.001
    assert np.abs(colour).max() < 0.05
