"""Quality of false detections (hands, fabric, print, a painted wall), which is too low for a name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.media import read_photo
from facebank.packs import Pack
from facebank.types import DecodedPhoto, Detection, Face
from facebank.vision import FaceAnalyzer, FaceFinder, MultiScaleDetector, build_detector
from facebank.vision.alignment import template_landmarks
from facebank.vision.detector import Candidates, best_score
from facebank.vision.quality import assess, plausibility

if TYPE_CHECKING:
    from facebank.types import RGBImage

IMPLAUSIBLE = "hardly a face"
DETECTION = Detection(np.array([10, 0, 100, 112], dtype=np.float32), template_landmarks("arcface", 112), 0.7)
LEFT, RIGHT, BELOW = (
    (slice(0, 250), slice(0, 72)),
    (slice(0, 250), slice(178, 250)),
    (slice(185, 250), slice(0, 250)),
)


def analyze(analyzer: FaceAnalyzer, pixels: RGBImage) -> tuple[Face, ...]:
    photo = DecodedPhoto("made.png", np.ascontiguousarray(pixels), "0" * 64, True, None)
    return next(analyzer.analyze([photo])).faces


@pytest.mark.parametrize(
    ("name", "strip", "quarter_turns"),
    [
        pytest.param("Jose_Woldenberg_0001.jpg", RIGHT, 2, id="fist"),
        pytest.param("Andres_DAlessandro_0001.jpg", LEFT, 2, id="fingers"),
        pytest.param("Mary_Lou_Retton_0001.jpg", BELOW, 1, id="print"),
        pytest.param("Pier_Ferdinando_Casini_0001.jpg", RIGHT, 0, id="chair"),
        pytest.param("Troy_Hudson_0001.jpg", BELOW, 3, id="necklace"),
    ],
)
def test_a_false_detection_is_below_the_minimum_quality(
    analyzer: FaceAnalyzer,
    opencv_pack: Pack,
    shared: Path,
    name: str,
    strip: tuple[slice, slice],
    quarter_turns: int,
) -> None:
    path = shared / "data" / "lfw" / name.rsplit("_", 1)[0] / name
    edge = np.ascontiguousarray(np.rot90(read_photo(path).pixels[strip], quarter_turns))
    enlarged = np.asarray(cv2.resize(edge, None, fx=2, fy=2), dtype=np.uint8)
    faces = analyze(analyzer, enlarged)
    assert faces
    for face in faces:
        assert face.assessment.weaknesses[0] == IMPLAUSIBLE
        assert face.quality < opencv_pack.manifest.thresholds.minimum_quality


def test_a_painted_wall_beside_a_face_is_below_the_minimum_quality(
    analyzer: FaceAnalyzer, opencv_pack: Pack, shared: Path
) -> None:
    photo = read_photo(shared / "data" / "photos" / "enrol" / "biden" / "biden2.jpg")
    real, *false_detections = sorted(next(analyzer.analyze([photo])).faces, key=lambda face: -face.detection_score)
    assert real.assessment.weaknesses == ()
    assert len(false_detections) == 2
    for false_detection in false_detections:
        assert IMPLAUSIBLE in false_detection.assessment.weaknesses
        assert false_detection.quality < opencv_pack.manifest.thresholds.minimum_quality


def test_masked_faces_are_plausible(analyzer: FaceAnalyzer, shared: Path) -> None:
    for path in sorted((shared / "data" / "hard" / "masks").glob("*.png")):
        canvas = np.full((240, 240, 3), 110, dtype=np.uint8)
        canvas[64:176, 64:176] = read_photo(path).pixels
        for face in analyze(analyzer, canvas)[:1]:
            assert IMPLAUSIBLE not in face.assessment.weaknesses, path.name


def test_small_blurred_and_dark_faces_are_plausible(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        (face,) = next(analyzer.analyze([photo])).faces
        size = face.size
        small = cv2.resize(photo.pixels, None, fx=20 / size, fy=20 / size, interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(photo.pixels, (0, 0), 0.03 * size)
        noise = np.random.default_rng(3).normal(0, 2, photo.pixels.shape)
        dark = np.clip(photo.pixels * 0.08 + noise, 0, 255)
        for changed in (small, blurred, dark):
            best = max(analyze(analyzer, np.asarray(changed, dtype=np.uint8)), key=lambda face: face.detection_score)
            assert IMPLAUSIBLE not in best.assessment.weaknesses


def test_a_detection_without_a_second_score_is_plausible(opencv_pack: Pack, demo_photos: list[DecodedPhoto]) -> None:
    (detection,) = FaceFinder(MultiScaleDetector(build_detector(opencv_pack, "cpu"))).find(demo_photos[0].pixels)
    assert detection.second_score is None
    assert plausibility(detection) == 1.0


@given(st.floats(0, 1), st.floats(0, 1))
def test_plausibility_rises_with_the_second_score(first: float, second: float) -> None:
    low, high = (plausibility(replace(DETECTION, second_score=score)) for score in sorted((first, second)))
    assert 0.3 <= low <= high <= 1


@pytest.mark.parametrize(("second_score", "is_weak"), [(0.0, True), (0.7, True), (0.85, False), (None, False)])
def test_a_low_second_score_is_a_weakness(analyzer: FaceAnalyzer, second_score: float | None, is_weak: bool) -> None:
    crop = np.random.default_rng(1).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    quality = assess(replace(DETECTION, second_score=second_score), crop)
    assert (IMPLAUSIBLE in quality.weaknesses) is is_weak


def test_the_best_score_ignores_candidates_away_from_the_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], dtype=np.float32)
    candidates = Candidates(boxes, np.zeros((3, 5, 2), dtype=np.float32), np.array([0.3, 0.6, 0.9], dtype=np.float32))
    assert best_score(candidates, boxes[0]) == pytest.approx(0.6)
    assert best_score(candidates, boxes[2] + 100) == 0
    assert best_score(candidates.select(np.zeros(3, dtype=bool)), boxes[0]) == 0
