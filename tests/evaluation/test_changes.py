"""Changes of photos are scaled to the face and deterministic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.evaluation.changes import (
    BLUR,
    EXPOSURE,
    MASKS,
    SIZES,
    ContrastReduction,
    DrawnMask,
    ExposureShift,
    GaussianBlur,
    Shrink,
)
from facebank.evaluation.faces import Change
from facebank.types import DecodedPhoto, Detection
from facebank.vision.masking import MaskShape

SIDE = 100.0
LANDMARKS = np.array([[60, 70], [100, 70], [80, 90], [65, 110], [95, 110]], dtype=np.float32)
FACE = Detection(np.array([30, 40, 30 + SIDE - 10, 40 + SIDE], dtype=np.float32), LANDMARKS, 0.9)
CHANGES = [step.change for axes in (MASKS, SIZES, BLUR, EXPOSURE) for axis in axes for step in axis.steps]


@pytest.fixture
def photo() -> DecodedPhoto:
    pixels = np.random.default_rng(0).integers(0, 256, size=(200, 160, 3), dtype=np.uint8)
    return DecodedPhoto("p", pixels, "ab" * 32, has_orientation=True, taken_at=None)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_are_deterministic_and_leave_the_input_unchanged(change: Change, photo: DecodedPhoto) -> None:
    before = photo.pixels.copy()
    first, second = change(photo, FACE), change(photo, FACE)
    assert np.array_equal(photo.pixels, before)
    assert np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, before) or change.name == "size:112:1"
    assert first.pixels.dtype == np.uint8


def test_change_names_are_unique() -> None:
    names = [change.name for change in CHANGES]
    assert len(set(names)) == len(names)


@given(st.integers(8, 99))
def test_photo_shrinks_with_its_face(size: int) -> None:
    photo = DecodedPhoto("p", np.zeros((200, 160, 3), dtype=np.uint8), "", has_orientation=True, taken_at=None)
    small = Shrink(size)(photo, FACE)
    assert small.height == round(200 * size / SIDE)
    assert small.width == round(160 * size / SIDE)


def test_small_face_is_not_enlarged(photo: DecodedPhoto) -> None:
    assert Shrink(101)(photo, FACE) is photo


def test_exposure_shift_changes_the_brightness(photo: DecodedPhoto) -> None:
    def mean(stops: float) -> float:
        return float(ExposureShift(stops)(photo, FACE).pixels.mean())

    assert mean(-2) < mean(-1) < mean(0) < mean(1) < mean(2)
    assert mean(0) == pytest.approx(photo.pixels.mean(), abs=1)


def test_contrast_reduction_keeps_the_mean_brightness_of_the_face(photo: DecodedPhoto) -> None:
    flat = ContrastReduction(0.1)(photo, FACE).pixels
    assert flat.std() == pytest.approx(0.1 * photo.pixels.std(), rel=0.05)
    inside = (slice(40, 140), slice(30, 120))
    assert flat[inside].mean() == pytest.approx(photo.pixels[inside].mean(), abs=1)


def test_blur_scales_with_the_face(photo: DecodedPhoto) -> None:
    larger = replace(FACE, box=np.array([0, 0, 150, 200], dtype=np.float32))
    assert (
        GaussianBlur(0.02)(photo, larger).pixels.std()
        < GaussianBlur(0.02)(photo, FACE).pixels.std()
        < photo.pixels.std()
    )


def test_mask_covers_the_mouth_and_not_the_eyes(photo: DecodedPhoto) -> None:
    masked = DrawnMask(MaskShape.CLOTH, "black")(photo, FACE).pixels
    assert masked[105:112, 70:90].std() < 30 < photo.pixels[105:112, 70:90].std()
    assert np.array_equal(masked[60:72], photo.pixels[60:72])
