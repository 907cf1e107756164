"""Quality falls with each weakness, and weaknesses are named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facebank.types import DecodedPhoto, Detection, Face, Quality
from facebank.vision import FaceAnalyzer
from facebank.vision.alignment import template_landmarks
from facebank.vision.quality import (
    add_stability,
    assess,
    direction_numbers,
    exposure,
    frontality,
    hidden_parts,
    rgb_to_lab,
    sharpness,
    uprightness,
)

LANDMARKS = template_landmarks("arcface", 112)
DETECTION = Detection(np.array([10, 0, 100, 112], dtype=np.float32), LANDMARKS, 0.9)


def analyze_face(analyzer: FaceAnalyzer, pixels: np.ndarray) -> Face:
    return next(analyzer.analyze([DecodedPhoto("made", np.ascontiguousarray(pixels), "0" * 64, True, None)])).faces[0]


def assert_falls(scores: Sequence[float]) -> None:
    """Check that scores fall, or rise by a thousandth at most: blur changes exposure and hue too."""
    assert all(later <= earlier + 0.001 for earlier, later in pairwise(scores))


def test_portraits_have_a_high_quality(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        quality = next(analyzer.analyze([photo])).faces[0].assessment
        assert quality.score > 0.8
        assert quality.weaknesses == ()
        assert quality.stability is None


def test_quality_of_a_crop_falls_with_blur(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    """Uses one crop, because the detector misplaces the landmarks of very blurred faces."""
    for photo in demo_photos:
        (face,) = next(analyzer.analyze([photo])).faces
        qualities = []
        for sigma in (0.001, 0.01, 0.02, 0.04, 0.06, 0.08):
            blurred = cv2.GaussianBlur(photo.pixels, (0, 0), sigma * face.size)
            crop = analyzer.crop(
                DecodedPhoto("blurred", np.asarray(blurred, dtype=np.uint8), "0" * 64, True, None), face
            )
            qualities.append(assess(face, crop))
        sharpnesses, scores = zip(*((quality.sharpness, quality.score) for quality in qualities), strict=True)
        assert list(sharpnesses) == sorted(sharpnesses, reverse=True)
        assert_falls(scores)
        assert sharpnesses[0] > 0.9
        assert sharpnesses[-1] < 0.5
        assert qualities[-1].weaknesses[0] == "blurred"


def test_quality_of_a_photo_falls_with_blur(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        face = analyze_face(analyzer, photo.pixels)
        scores = [face.quality]
        for sigma in (0.01, 0.02, 0.04):
            blurred = cv2.GaussianBlur(photo.pixels, (0, 0), sigma * face.size)
            scores.append(analyze_face(analyzer, np.asarray(blurred, dtype=np.uint8)).quality)
        assert_falls(scores)
        assert scores[-1] < 0.5 * scores[0]


def test_a_small_face_is_a_weakness(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        face = analyze_face(analyzer, photo.pixels)
        scale = 20 / face.size
        shape = (round(photo.width * scale), round(photo.height * scale))
        small = analyze_face(
            analyzer, np.asarray(cv2.resize(photo.pixels, shape, interpolation=cv2.INTER_AREA), np.uint8)
        )
        assert small.quality < face.quality - 0.1
        assert "small" in small.assessment.weaknesses


@pytest.mark.parametrize("factor", [0.03, 3.5])
def test_wrong_exposure_is_a_weakness(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto], factor: float) -> None:
    for photo in demo_photos:
        (face,) = next(analyzer.analyze([photo])).faces
        crop = analyzer.crop(photo, face)
        changed = np.clip(crop.astype(np.float32) * factor, 0, 255).astype(np.uint8)
        quality = assess(face, changed)
        assert quality.score < face.quality - 0.1
        assert "badly lit" in quality.weaknesses


def test_dark_glasses_are_a_weakness(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        (face,) = next(analyzer.analyze([photo])).faces
        covered = analyzer.crop(photo, face).copy()
        covered[40:62, 20:92] = 20
        quality = assess(face, covered)
        assert quality.weaknesses[0] == "eyes hidden"
        assert quality.occlusion == pytest.approx(0.35, abs=0.1)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_crop_of_one_color_has_quality_zero(shade: int) -> None:
    plain = np.full((112, 112, 3), shade, dtype=np.uint8)
    assert sharpness(plain) == 0
    assert exposure(plain) == 0
    assert assess(DETECTION, plain).score == 0


def test_frontality_falls_from_frontal_to_profile() -> None:
    nose = np.array([[0, 0], [0, 0], [1, 0], [0, 0], [0, 0]], dtype=np.float32)
    turned = [frontality(LANDMARKS + np.float32(shift) * nose) for shift in (0, 8, 16, 30)]
    assert turned[0] == pytest.approx(1, abs=0.02)
    assert turned == sorted(turned, reverse=True)
    assert turned[-1] == 0
    assert frontality(np.zeros((5, 2), dtype=np.float32)) == 0


def test_uprightness_falls_with_the_nose_rising() -> None:
    nose = np.array([[0, 0], [0, 0], [0, 1], [0, 0], [0, 0]], dtype=np.float32)
    nodded = [uprightness(LANDMARKS + np.float32(shift) * nose) for shift in (6, 0, -3, -6, -30)]
    assert nodded[0] == 1
    assert nodded == sorted(nodded, reverse=True)
    assert nodded[-1] == 0.5
    assert uprightness(np.zeros((5, 2), dtype=np.float32)) == 0.5


@given(arrays.arrays(np.uint8, (48, 48, 3)), arrays.arrays(np.float32, (5, 2), elements=st.floats(-99, 99, width=32)))
def test_all_properties_are_within_bounds(crop: np.ndarray, landmarks: np.ndarray) -> None:
    quality = assess(Detection(DETECTION.box, landmarks, 0.5), crop)
    assert quality.exposure is not None
    assert quality.occlusion is not None
    properties = (quality.score, quality.sharpness, quality.frontality, quality.exposure, quality.occlusion)
    assert all(0 <= value <= 1 for value in (*properties, *hidden_parts(crop)))


def test_an_unstable_embedding_is_a_weakness() -> None:
    quality = Quality(0.8, 100.0, 1.0, 1.0, weaknesses=("small",))
    first, second = np.eye(2, dtype=np.float32)
    stable = add_stability(quality, first, np.stack([first, first]))
    assert (stable.score, stable.stability, stable.weaknesses) == (0.8, 1.0, ("small",))
    unstable = add_stability(quality, first, np.stack([first, 0.8 * first + 0.6 * second]))
    assert unstable.stability == pytest.approx(0.9)
    assert unstable.weaknesses == ("small", "embedding unsteady")
    assert 0 < unstable.score < stable.score
    assert add_stability(quality, first, second[None]).score == 0


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
def test_lab_of_primary_colors_equals_the_standard(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert rgb_to_lab(np.array([[rgb]], np.uint8))[0, 0] == pytest.approx(lab, abs=0.05)


@given(st.tuples(CHANNEL, CHANNEL, CHANNEL))
def test_lab_is_close_to_opencv(rgb: tuple[int, int, int]) -> None:
    pixel = np.array([[rgb]], np.uint8)
    expected = cv2.cvtColor(pixel.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    assert np.abs(rgb_to_lab(pixel) - expected).max() < 1.5  # OpenCV interpolates in a table


@given(CHANNEL)
def test_lab_of_grays_has_no_color(value: int) -> None:
    lightness, *color = rgb_to_lab(np.full((2, 3, 3), value, np.uint8))[1, 2]
    assert 0 <= lightness <= 100.001
    assert np.abs(color).max() < 0.05


@given(st.integers(-1020, 1020), st.integers(-1020, 1020))
def test_direction_numbers_are_those_of_the_angle(across: int, down: int) -> None:
    number = direction_numbers(*(np.array([[side]], np.float32) for side in (across, down)))[0, 0]
    if (across, down) != (0, 0):
        assert number == math.floor(math.degrees(math.atan2(down, across)) / 30) % 6
