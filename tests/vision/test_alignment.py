"""Alignment: the similarity transform is the best one, and landmarks end on the template."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.vision.alignment import align, similarity_transform, template_landmarks

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.2, 5.0)
shifts = st.floats(-500.0, 500.0)


def transform(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, x], [sine, cosine, y]])


@given(angles, scales, shifts, shifts)
def test_a_similarity_transform_is_recovered(angle: float, scale: float, x: float, y: float) -> None:
    landmarks = template_landmarks("arcface", 112)
    matrix = transform(angle, scale, x, y)
    moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(similarity_transform(landmarks, moved.astype(np.float32)), matrix, atol=1e-3)


@given(st.lists(st.tuples(shifts, shifts), min_size=5, max_size=5), angles)
def test_no_other_rotation_fits_better(offsets: list[tuple[float, float]], angle: float) -> None:
    source = template_landmarks("arcface", 112)
    target = (source + np.array(offsets) / 20).astype(np.float32)

    def error(matrix: np.ndarray) -> float:
        return float(np.sum((source @ matrix[:, :2].T + matrix[:, 2] - target) ** 2))

    best = similarity_transform(source, target)
    other = best.copy()
    rotation = transform(angle, 1.0, 0.0, 0.0)[:, :2]
    other[:, :2] = rotation @ best[:, :2]
    other[:, 2] = target.mean(axis=0) - other[:, :2] @ source.mean(axis=0)
    assert error(best) <= error(other) + 1e-3


def test_coinciding_points_give_a_finite_transform() -> None:
    matrix = similarity_transform(np.zeros((5, 2), dtype=np.float32), template_landmarks("arcface", 112))
    assert np.isfinite(matrix).all()


@pytest.mark.parametrize(("template", "size"), [("arcface", 112), ("arcface", 224), ("facenet", 160)])
def test_landmarks_are_moved_onto_the_template(template: str, size: int) -> None:
    expected = template_landmarks(template, size)
    matrix = transform(0.3, 2.5, 40.0, 10.0)
    landmarks = (expected @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    photo = np.zeros((900, 900, 3), dtype=np.uint8)
    for number, (x, y) in enumerate(landmarks):
        cv2.circle(photo, (round(float(x)), round(float(y))), 12, (50 * (number + 1), 255 - 40 * number, 90), -1)
    crop = align(photo, landmarks, template, size)
    assert crop.shape == (size, size, 3)
    for number, (x, y) in enumerate(expected):
        np.testing.assert_allclose(
            crop[round(float(y)), round(float(x))], (50 * (number + 1), 255 - 40 * number, 90), atol=2
        )


def test_a_crop_beyond_the_edge_is_filled_with_black() -> None:
    photo = np.full((60, 60, 3), 200, dtype=np.uint8)
    crop = align(photo, template_landmarks("arcface", 112) - 56, "arcface", 112)
    assert crop[5, 5].tolist() == [0, 0, 0]
    assert crop[-5, -5].tolist() == [200, 200, 200]
