"""Finding faces at every size and orientation, and refining their landmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.media import read_photo, turn_photo
from facebank.packs import Pack
from facebank.types import DecodedPhoto, Detection
from facebank.vision import FaceFinder, MultiScaleDetector, build_detector
from facebank.vision.finder import LandmarkRefiner
from facebank.vision.geometry import letterbox, resize

if TYPE_CHECKING:
    from facebank.types import RGBImage


@pytest.fixture(scope="module")
def finder(opencv_pack: Pack) -> FaceFinder:
    return FaceFinder.from_spec(build_detector(opencv_pack, "cpu"), opencv_pack.manifest.detector)


def turn_without_orientation(photo: DecodedPhoto, quarter_turns: int) -> DecodedPhoto:
    """Return a turned photo without an orientation in its metadata."""
    return replace(turn_photo(photo, quarter_turns), has_orientation=False)


def make_photo_with_a_small_face(finder: FaceFinder, photo: DecodedPhoto, face_size: int) -> DecodedPhoto:
    scale = face_size / finder.find(photo.pixels)[0].size
    image = resize(photo.pixels, round(photo.width * scale), round(photo.height * scale))
    pixels = np.full((2250, 3000, 3), 120, dtype=np.uint8)
    pixels[1500 : 1500 + image.shape[0], 2200 : 2200 + image.shape[1]] = image
    return replace(photo, pixels=pixels)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_rotated_photo_is_turned_upright(
    finder: FaceFinder, demo_photos: list[DecodedPhoto], quarter_turns: int
) -> None:
    for photo in demo_photos:
        upright, turns, detections = finder.find_upright(turn_without_orientation(photo, quarter_turns))
        assert (quarter_turns + turns) % 4 == 0
        assert upright.pixels.shape == photo.pixels.shape
        assert len(detections) == 1


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("face_size", [40, 60])
def test_a_rotated_photo_with_a_small_face_is_turned_upright(
    finder: FaceFinder, demo_photos: list[DecodedPhoto], face_size: int, quarter_turns: int
) -> None:
    large = make_photo_with_a_small_face(finder, demo_photos[0], face_size)
    _, turns, detections = finder.find_upright(turn_without_orientation(large, quarter_turns))
    assert (quarter_turns + turns) % 4 == 0
    assert len(detections) == 1


class SidedDetector:
    """Detector whose scores depend on which side of the photo is up, and on the size of the image."""

    def __init__(self, whole: dict[int, list[float]], half: dict[int, list[float]]) -> None:
        self._scores = {640: whole, 320: half}
        self.calls: list[tuple[int, int]] = []

    def detect(self, pixels: RGBImage) -> list[Detection]:
        corner = int(pixels[5, 5, 0]) // 50
        size = max(pixels.shape[:2])
        self.calls.append((size, corner))
        return [
            Detection(
                np.array([40 * number, 0, 40 * number + 30, 30], dtype=np.float32),
                np.zeros((5, 2), dtype=np.float32),
                score,
            )
            for number, score in enumerate(self._scores[size].get(corner, []))
        ]


def make_sided_photo() -> DecodedPhoto:
    """Return a photo whose top left corner has a brightness of 50 times the quarter turns."""
    pixels = np.zeros((640, 640, 3), dtype=np.uint8)
    pixels[:320, 320:], pixels[320:, 320:], pixels[320:, :320] = 50, 100, 150
    return DecodedPhoto("sided.png", pixels, "0" * 64, False, None)


def find_turns(detector: SidedDetector) -> int:
    return FaceFinder(MultiScaleDetector(detector), None, 0.91, min_score=0.6).find_upright(make_sided_photo())[1]


def test_many_upright_faces_outweigh_one_better_upside_down() -> None:
    scores = {0: [0.9] * 12, 2: [0.94, 0.7, 0.7, 0.65, 0.65]}
    assert find_turns(SidedDetector(scores, scores)) == 0
    scores = {0: [0.8], 2: [0.94, 0.7, 0.7, 0.65, 0.65]}
    assert find_turns(SidedDetector(scores, scores)) == 2


def test_a_photo_is_not_turned_for_a_small_gain() -> None:
    scores = {0: [0.860], 1: [0.865]}
    assert find_turns(SidedDetector(scores, scores)) == 0
    assert find_turns(SidedDetector({0: [0.8], 1: [0.7]}, {0: [0.7], 1: [0.8]})) == 0


def test_the_full_size_is_used_if_half_of_it_shows_no_face() -> None:
    detector = SidedDetector({0: [0.7, 0.65], 3: [0.88, 0.8]}, {})
    assert find_turns(detector) == 3
    empty = SidedDetector({}, {})
    assert find_turns(empty) == 0
    assert [size for size, _ in empty.calls] == [640, 320, 320, 320, 320]


def make_group_photo(shared: Path) -> DecodedPhoto:
    """Return a blurred photo of twelve upright people: all are found, with scores that turned faces reach too."""
    people = sorted((shared / "data" / "lfw").iterdir())[100:124:2]
    side = 37
    sheet = np.full((3 * side + 60, 4 * side + 60, 3), 120, dtype=np.uint8)
    for number, person in enumerate(people):
        head = read_photo(min(person.glob("*.jpg"))).pixels[40:210, 40:210]
        y, x = 30 + number // 4 * side, 30 + number % 4 * side
        sheet[y : y + side, x : x + side] = resize(head, side, side)
    blurred = np.asarray(cv2.GaussianBlur(sheet, (0, 0), 2.4), dtype=np.uint8)
    return DecodedPhoto("group.png", blurred, "0" * 64, False, None)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_group_with_middling_scores_is_turned_upright(finder: FaceFinder, shared: Path, quarter_turns: int) -> None:
    photo = make_group_photo(shared)
    assert 0.85 < max(detection.detection_score for detection in finder.find(photo.pixels)) < 0.91
    _, turns, detections = finder.find_upright(turn_without_orientation(photo, quarter_turns))
    assert (quarter_turns + turns) % 4 == 0
    assert len(detections) == 12


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_portraits_and_a_group_are_turned_upright_by_every_pack(
    pack: Pack, demo_photos: list[DecodedPhoto], shared: Path, quarter_turns: int
) -> None:
    any_finder = FaceFinder.from_spec(build_detector(pack, "cpu"), replace(pack.manifest.detector, refine=False))
    for photo in (*demo_photos, make_group_photo(shared)):
        _, turns, _ = any_finder.find_upright(turn_without_orientation(photo, quarter_turns))
        assert (quarter_turns + turns) % 4 == 0


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_one_sharp_rotated_face_does_not_turn_a_group(
    finder: FaceFinder, demo_photos: list[DecodedPhoto], shared: Path, quarter_turns: int
) -> None:
    sheet, portrait = make_group_photo(shared).pixels, demo_photos[0].pixels
    left, top, right, bottom = (int(edge) for edge in finder.find(portrait)[0].box)
    other = np.rot90(resize(portrait[top - 40 : bottom + 40, left - 40 : right + 40], 60, 68), quarter_turns)
    pixels = np.pad(sheet, ((0, 0), (0, 100), (0, 0)), constant_values=120)
    pixels[10 : 10 + other.shape[0], sheet.shape[1] + 10 : sheet.shape[1] + 10 + other.shape[1]] = other
    _, turns, detections = finder.find_upright(DecodedPhoto("group.png", pixels, "0" * 64, False, None))
    assert turns == 0
    assert len(detections) >= 12


def test_a_photo_with_an_orientation_is_not_turned(finder: FaceFinder, demo_photos: list[DecodedPhoto]) -> None:
    upside_down = replace(turn_photo(demo_photos[0], 2), has_orientation=True)
    _, turns, _ = finder.find_upright(upside_down)
    assert turns == 0


def test_a_photo_without_faces_is_not_turned(finder: FaceFinder) -> None:
    empty = DecodedPhoto("sky.jpg", np.full((300, 400, 3), 180, dtype=np.uint8), "0" * 64, False, None)
    upright, turns, detections = finder.find_upright(empty)
    assert (upright, turns, detections) == (empty, 0, [])


@pytest.mark.parametrize("face_size", [24, 40, 80])
def test_a_small_face_in_a_large_photo_is_found(
    finder: FaceFinder, demo_photos: list[DecodedPhoto], face_size: int
) -> None:
    large = make_photo_with_a_small_face(finder, demo_photos[0], face_size)
    (detection,) = finder.find(large.pixels)
    assert detection.size == pytest.approx(face_size, rel=0.25)


def test_a_face_that_fills_a_large_photo_is_found_once(finder: FaceFinder, demo_photos: list[DecodedPhoto]) -> None:
    photo = demo_photos[0]
    face = finder.find(photo.pixels)[0]
    left, top, right, bottom = (int(edge) for edge in face.box)
    scale = 2000 / face.size
    crop = photo.pixels[top - 20 : bottom + 20, left - 20 : right + 20]
    enlarged = resize(crop, round(crop.shape[1] * scale), round(crop.shape[0] * scale))
    (detection,) = finder.find(enlarged)
    assert detection.size == pytest.approx(2000, rel=0.2)


def test_refined_landmarks_depend_less_on_position_and_size(opencv_pack: Pack, demo_photos: list[DecodedPhoto]) -> None:
    detector = build_detector(opencv_pack, "cpu")
    multiscale = MultiScaleDetector(detector)
    plain, refining = FaceFinder(multiscale), FaceFinder(multiscale, LandmarkRefiner(detector))
    errors: dict[FaceFinder, list[float]] = {plain: [], refining: []}
    for photo in demo_photos:
        for finder, finder_errors in errors.items():
            reference = finder.find(photo.pixels)[0]
            for scale, pad in ((0.55, 31), (0.7, 77), (0.83, 10)):
                image = resize(photo.pixels, round(photo.width * scale), round(photo.height * scale))
                shifted = np.pad(image, ((pad, 0), (pad // 2, 0), (0, 0)))
                landmarks = (finder.find(shifted)[0].landmarks - np.array([pad // 2, pad], dtype=np.float32)) / scale
                finder_errors.append(float(np.abs(landmarks - reference.landmarks).mean()) / reference.size)
    assert np.mean(errors[refining]) < 0.75 * np.mean(errors[plain])


@pytest.mark.parametrize(("width", "height"), [(1920, 1), (1, 1920)])
def test_letterboxing_keeps_a_pixel_of_the_thinnest_image(width: int, height: int) -> None:
    frame, _ = letterbox(np.full((height, width, 3), 255, dtype=np.uint8), 640, 640)
    assert sorted(np.count_nonzero(frame[..., 0].any(axis=axis)) for axis in (0, 1)) == [1, 640]


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([64, 160, 320]), st.sampled_from([64, 160, 320]))
def test_letterboxing_keeps_the_aspect_ratio(width: int, height: int, frame_width: int, frame_height: int) -> None:
    frame, scale = letterbox(np.full((height, width, 3), 255, dtype=np.uint8), frame_width, frame_height)
    assert frame.shape == (frame_height, frame_width, 3)
    filled = frame[..., 0] > 0
    assert filled.any(axis=0).sum() == pytest.approx(width * scale, abs=1 + width / height)
    assert filled.any(axis=1).sum() == pytest.approx(height * scale, abs=1)
