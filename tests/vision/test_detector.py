"""Suppression of overlapping candidates, and their mean landmarks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facebank.storage.arrays import overlaps
from facebank.vision.detector import Candidates, concatenate, mean_landmarks, suppress


def random_candidates(seed: int, count: int) -> Candidates:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (count, 2))], axis=1).astype(np.float32)
    landmarks = rng.uniform(0, 100, (count, 5, 2)).astype(np.float32)
    return Candidates(boxes, landmarks, rng.uniform(0.1, 1, count).astype(np.float32))


candidate_sets = st.builds(random_candidates, st.integers(0, 10_000), st.integers(0, 40))
thresholds = st.floats(0.05, 0.95)


@given(candidate_sets, thresholds)
def test_suppression_removes_overlaps_and_loses_no_face(candidates: Candidates, threshold: float) -> None:
    detections = suppress(candidates, threshold)
    scores = [detection.detection_score for detection in detections]
    assert scores == sorted(scores, reverse=True)
    for number, detection in enumerate(detections[:-1]):
        others = np.stack([other.box for other in detections[number + 1 :]])
        assert overlaps(detection.box, others).max() <= threshold
    for box, score in zip(candidates.boxes, candidates.scores, strict=True):
        stronger = [detection.box for detection in detections if detection.detection_score >= score]
        assert overlaps(box, np.stack(stronger)).max() > threshold or any(
            (box == stronger_box).all() for stronger_box in stronger
        )


@given(candidate_sets, thresholds)
def test_suppression_is_independent_of_order(candidates: Candidates, threshold: float) -> None:
    reversed_candidates = candidates.select(np.arange(len(candidates))[::-1])
    boxes = [detection.box.tolist() for detection in suppress(candidates, threshold)]
    assert boxes == [detection.box.tolist() for detection in suppress(reversed_candidates, threshold)]


@given(candidate_sets, st.integers(50, 500))
def test_mirroring_twice_is_the_identity(candidates: Candidates, width: int) -> None:
    mirrored = candidates.mirror(width).mirror(width)
    np.testing.assert_allclose(mirrored.boxes, candidates.boxes, atol=1e-3)
    np.testing.assert_allclose(mirrored.landmarks, candidates.landmarks, atol=1e-3)


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_mean_landmarks_are_within_those_of_the_candidates(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    box = np.array([10, 10, 60, 70], dtype=np.float32)
    on_face = Candidates(
        box + rng.uniform(-2, 2, (count, 4)).astype(np.float32),
        rng.uniform(20, 50, (count, 5, 2)).astype(np.float32),
        rng.uniform(0.2, 1, count).astype(np.float32),
    )
    elsewhere = on_face.transform(1.0, (300.0, 300.0))
    landmarks = mean_landmarks(concatenate([elsewhere, on_face]), box)
    assert landmarks is not None
    assert (landmarks >= on_face.landmarks.min(axis=0) - 1e-3).all()
    assert (landmarks <= on_face.landmarks.max(axis=0) + 1e-3).all()


def test_a_face_without_candidates_has_no_landmarks() -> None:
    box = np.array([500, 500, 560, 570], dtype=np.float32)
    assert mean_landmarks(random_candidates(1, 30), box) is None
    assert mean_landmarks(concatenate([]), box) is None
