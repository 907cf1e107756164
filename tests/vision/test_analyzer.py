from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from facebank.faces import Photo
from facebank.vision import FaceAnalyzer
from facebank.vision.quality import frontality, sharpness


def photo_of(pixels: np.ndarray, source: str = "made") -> Photo:
    return Photo(source, np.ascontiguousarray(pixels), "0" * 64, True, None)


def test_photos_come_back_in_order_with_their_faces(analyzer: FaceAnalyzer, demo_photos: list[Photo]) -> None:
    empty = photo_of(np.zeros((120, 90, 3), dtype=np.uint8), "empty")
    photos = [demo_photos[0], empty, *demo_photos[1:], empty]
    results = list(analyzer.analyze(photos))
    assert [result.photo.source for result in results] == [photo.source for photo in photos]
    assert [len(result.faces) for result in results] == [0 if photo is empty else 1 for photo in photos]


def test_a_batch_gives_what_one_by_one_gives(analyzer: FaceAnalyzer, demo_photos: list[Photo]) -> None:
    together = [result.faces[0].embedding for result in analyzer.analyze(demo_photos)]
    one_by_one = [next(analyzer.analyze([photo])).faces[0].embedding for photo in demo_photos]
    np.testing.assert_allclose(together, one_by_one, atol=1e-4)


def test_nothing_makes_nothing(analyzer: FaceAnalyzer) -> None:
    assert list(analyzer.analyze([])) == []


def test_photos_are_read_only_a_bounded_number_ahead(analyzer: FaceAnalyzer) -> None:
    read = 0

    def endless() -> Iterator[Photo]:
        nonlocal read
        while True:
            read += 1
            yield photo_of(np.zeros((2000, 3000, 3), dtype=np.uint8))

    next(analyzer.analyze(endless()))
    assert read * 6_000_000 <= 64_000_000 + 6_000_000


def test_blur_lowers_quality_step_by_step(analyzer: FaceAnalyzer, demo_photos: list[Photo]) -> None:
    for photo in demo_photos:
        (sharp,) = next(analyzer.analyze([photo])).faces
        scores = [sharp.quality.sharpness]
        for sigma in (0.01, 0.02, 0.04):
            blurred = cv2.GaussianBlur(photo.pixels, (0, 0), sigma * sharp.detection.size)
            face = next(analyzer.analyze([photo_of(blurred)])).faces[0]
            scores.append(face.quality.sharpness)
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 0.9
        assert scores[-1] < 0.15


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_crop_of_one_colour_is_not_sharp(shade: int) -> None:
    assert sharpness(np.full((112, 112, 3), shade, dtype=np.uint8)) == 0


def test_frontality_falls_from_frontal_to_profile() -> None:
    frontal = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [70, 92]], dtype=np.float32)
    nose = np.array([[0, 0], [0, 0], [1, 0], [0, 0], [0, 0]], dtype=np.float32)
    turned = [frontality(frontal + np.float32(shift) * nose) for shift in (0, 8, 16, 30)]
    assert turned[0] == 1
    assert turned == sorted(turned, reverse=True)
    assert turned[-1] == 0
    assert frontality(np.zeros((5, 2), dtype=np.float32)) == 0
