"""Contract of detectors, checked for each one with its real network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facebank.packs import Pack
from facebank.storage.arrays import overlaps
from facebank.types import DecodedPhoto, Detection
from facebank.vision import Detector, build_detector
from facebank.vision.geometry import resize


@pytest.fixture(scope="module")
def detector(pack: Pack) -> Detector:
    return build_detector(pack, "cpu")


def shrink(photo: DecodedPhoto) -> np.ndarray:
    scale = 480 / max(photo.pixels.shape[:2])
    return resize(photo.pixels, round(photo.width * scale), round(photo.height * scale))


def single(detections: list[Detection]) -> Detection:
    assert len(detections) == 1
    return detections[0]


def test_the_face_of_each_photo_is_found(detector: Detector, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        detection = single(detector.detect(shrink(photo)))
        assert detection.box.shape == (4,)
        assert detection.landmarks.shape == (5, 2)
        assert detection.box.dtype == detection.landmarks.dtype == np.float32
        assert 0.5 < detection.detection_score <= 1


def test_landmarks_are_in_the_documented_order(detector: Detector, demo_photos: list[DecodedPhoto]) -> None:
    for photo in demo_photos:
        left_eye, right_eye, nose, left_mouth, right_mouth = single(detector.detect(shrink(photo))).landmarks
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_colors_are_not_swapped(detector: Detector, demo_photos: list[DecodedPhoto]) -> None:
    unchanged = sum(single(detector.detect(shrink(photo))).detection_score for photo in demo_photos)
    swapped = sum(
        max(
            (face.detection_score for face in detector.detect(np.ascontiguousarray(shrink(photo)[..., ::-1]))),
            default=0.0,
        )
        for photo in demo_photos
    )
    assert unchanged > swapped


def test_faces_move_with_the_image(detector: Detector, demo_photos: list[DecodedPhoto]) -> None:
    image = shrink(demo_photos[0])
    shifted = np.pad(image, ((64, 0), (96, 0), (0, 0)))
    moved, original = single(detector.detect(shifted)), single(detector.detect(image))
    shift = np.array([96, 64], dtype=np.float32)
    np.testing.assert_allclose(moved.landmarks - shift, original.landmarks, atol=4)
    assert overlaps(moved.box - np.tile(shift, 2), original.box[None])[0] > 0.9


def test_two_faces_are_found(detector: Detector, demo_photos: list[DecodedPhoto]) -> None:
    left, right = shrink(demo_photos[0]), shrink(demo_photos[-1])
    height = max(left.shape[0], right.shape[0])
    side_by_side = np.concatenate(
        [np.pad(image, ((0, height - image.shape[0]), (0, 0), (0, 0))) for image in (left, right)], axis=1
    )
    detections = detector.detect(side_by_side)
    assert len(detections) == 2
    assert detections[0].detection_score >= detections[1].detection_score


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (33, 31), (500, 3)])
def test_images_of_any_size_are_accepted(detector: Detector, shape: tuple[int, int]) -> None:
    gray = np.full((*shape, 3), 127, dtype=np.uint8)
    assert detector.detect(gray) == []


def test_noise_contains_no_face(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    assert detector.detect(cv2.GaussianBlur(noise, (9, 9), 0).astype(np.uint8)) == []
