"""Drawn masks cover nose and mouth, and masked faces are found and recognized as masked."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer
from facebank.vision.alignment import template_landmarks
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask
from facebank.vision.quality import hidden_parts

LANDMARKS = template_landmarks("arcface", 112)
SKIN = np.full((112, 112, 3), (190, 150, 130), dtype=np.uint8)


def changed_pixels(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.asarray(np.any(before != after, axis=2))


@pytest.mark.parametrize("shape", MaskShape)
@pytest.mark.parametrize("color", MASK_COLORS)
def test_a_mask_covers_nose_and_mouth_and_leaves_the_eyes(shape: MaskShape, color: str) -> None:
    masked = draw_mask(SKIN, LANDMARKS, shape, MASK_COLORS[color])
    covered = changed_pixels(SKIN, masked)
    eyes, mouth = LANDMARKS[:2].round().astype(int), LANDMARKS[3:].round().astype(int)
    assert not any(covered[y - 4 : y + 4, x - 4 : x + 4].any() for x, y in eyes)
    assert all(covered[y, x] for x, y in mouth)
    assert covered[72, 56]
    assert 0.15 < covered.mean() < 0.6


def test_the_mask_has_the_given_color() -> None:
    for color in MASK_COLORS.values():
        mean_color = draw_mask(SKIN, LANDMARKS, MaskShape.CLOTH, color)[84:100, 44:68].mean(axis=(0, 1))
        np.testing.assert_allclose(mean_color / mean_color.sum(), np.array(color) / sum(color), atol=0.03)


def test_the_given_photo_is_unchanged() -> None:
    before = SKIN.copy()
    draw_mask(before, LANDMARKS)
    np.testing.assert_array_equal(before, SKIN)


def test_the_seed_determines_the_mask() -> None:
    first, second, other = (draw_mask(SKIN, LANDMARKS, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert changed_pixels(first, other).any()


def test_masks_of_different_shapes_differ() -> None:
    outlines = [changed_pixels(SKIN, draw_mask(SKIN, LANDMARKS, shape)) for shape in MaskShape]
    overlaps = [(first & second).sum() / (first | second).sum() for first, second in combinations(outlines, 2)]
    assert max(overlaps) < 0.95


@given(
    scale=st.floats(0.3, 4.0),
    angle=st.floats(-3.14, 3.14),
    shift=st.tuples(st.floats(-400, 400), st.floats(-400, 400)),
    shape=st.sampled_from(MaskShape),
)
def test_a_mask_stays_near_the_face_at_any_position(
    scale: float, angle: float, shift: tuple[float, float], shape: MaskShape
) -> None:
    photo = np.full((160, 200, 3), 128, dtype=np.uint8)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * scale
    landmarks = ((LANDMARKS - 56) @ rotation + 90 + np.array(shift)).astype(np.float32)
    masked = draw_mask(photo, landmarks, shape, (200, 0, 0))
    assert masked.shape == photo.shape
    rows, columns = np.nonzero(changed_pixels(photo, masked))
    if len(rows):
        distances = np.linalg.norm(np.column_stack([columns, rows]) - landmarks.mean(axis=0), axis=1)
        assert distances.max() <= 110 * scale + 3


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2)), np.array([[0, 0], [0, 0], [0, 0], [0, 9], [0, 9]])],
)
def test_invalid_landmarks_are_an_error(landmarks: np.ndarray) -> None:
    with pytest.raises(UsageError, match="landmarks"):
        draw_mask(SKIN, landmarks.astype(np.float32))


def test_masked_faces_are_found_and_recognized_as_masked(
    analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]
) -> None:
    for number, photo in enumerate(demo_photos):
        (face,) = next(analyzer.analyze([photo])).faces
        shape, color = list(MaskShape)[number % 4], list(MASK_COLORS.values())[3 + number % 5]
        pixels = draw_mask(photo.pixels, face.landmarks, shape, color)
        masked_photo = DecodedPhoto("masked", pixels, "0" * 64, True, None)
        masked = next(analyzer.analyze([masked_photo])).faces[0]
        assert hidden_parts(analyzer.crop(photo, face))[0] < 0.5
        assert hidden_parts(analyzer.crop(masked_photo, masked))[0] > 0.5
        assert "mouth hidden" in masked.assessment.weaknesses
        assert masked.quality < face.quality
