"""Scales of a photo, and detection at hints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.media import read_photo
from facebank.packs import Pack
from facebank.storage.arrays import overlaps
from facebank.vision import MultiScaleDetector, build_detector
from facebank.vision.geometry import resize
from facebank.vision.multiscale import HintedDetector, hinted_scales, parts_around, scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import Detection, RGBImage
    from facebank.vision.detector import Candidates, NetworkDetector


@given(st.integers(1, 30_000))
def test_a_small_photo_has_one_scale_and_is_enlarged_little(side: int) -> None:
    chosen = scales(side)
    assert all(0 < scale <= 2 for scale in chosen)
    assert chosen == sorted(chosen)
    assert len(chosen) == (1 if side <= 960 else 2)
    assert all(side * scale <= 1921 for scale in chosen)


@given(st.integers(1, 30_000))
def test_the_last_two_hinted_scales_are_close(side: int) -> None:
    chosen = hinted_scales(side)
    assert [chosen[0], chosen[-1]] == [scales(side)[0], scales(side)[-1]]
    assert chosen == sorted(chosen)
    assert chosen[-1] / chosen[-2:][0] <= 2.2


points = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60)


@given(points, st.integers(1, 2000), st.integers(1, 2000))
def test_every_hint_is_in_a_strip_away_from_its_edges(
    fractions: list[tuple[float, float]], width: int, height: int
) -> None:
    hints = np.array(fractions, np.float32).reshape(-1, 2) * np.array([width, height], np.float32)
    boxes = np.array(parts_around(hints, width, height)).reshape(-1, 4)
    corners, ends = boxes[:, :2], boxes[:, 2:]
    assert (corners >= 0).all()
    assert (ends <= (width, height)).all()
    assert (ends > corners).all()
    for hint in hints:
        is_far = (hint - corners >= 47) | (corners == 0)
        is_far &= (ends - hint >= 47) | (ends == (width, height))
        assert is_far.all(axis=1).any()
    assert len(boxes) <= len(hints)


def make_crowd(shared: Path, width: int, height: int, face_sizes: list[int]) -> RGBImage:
    """Return an image of faces with given sizes in pixels, far apart on a gradient."""
    people = [folder for folder in sorted((shared / "data" / "lfw").iterdir()) if folder.is_dir()]
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = np.linspace(60, 180, width, dtype=np.uint8)[None, :, None]
    for number, size in enumerate(face_sizes):
        side = round(170 * size / 92)
        tile = resize(read_photo(min(people[40 + number].glob("*.jpg"))).pixels[45:215, 40:210], side, side)
        x, y = 60 + (number % 4) * (width - 400) // 4, 60 + (number // 4) * (height // 3)
        image[y : y + side, x : x + side] = tile
    return image


class CountingDetector:
    """A detector that counts the pixels of its images."""

    def __init__(self, detector: NetworkDetector) -> None:
        self._detector = detector
        self.score_threshold, self.select_faces = detector.score_threshold, detector.select_faces
        self.pixels = 0

    def detect(self, pixels: RGBImage) -> list[Detection]:
        return self._detector.select_faces(self.propose(pixels[None], self.score_threshold)[0])

    def propose(self, images: NDArray[np.uint8], score_threshold: float) -> list[Candidates]:
        self.pixels += images.size // 3
        return self._detector.propose(images, score_threshold)


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (1920, 1440), (3000, 2250)])
def test_every_small_face_is_found_in_a_fraction_of_the_pixels(
    pack: Pack, shared: Path, width: int, height: int
) -> None:
    spec = pack.manifest.detector
    assert spec.hint_score is not None
    image = make_crowd(shared, width, height, [round(size * max(1, width / 1920)) for size in (32, 30, 40, 34, 60, 90)])
    detectors: list[CountingDetector] = []
    results: list[list[Detection]] = []
    for hint_score in (None, spec.hint_score):
        detector = CountingDetector(build_detector(pack, "cpu", 1))
        multiscale = MultiScaleDetector(detector) if hint_score is None else HintedDetector(detector, hint_score)  # type: ignore[arg-type]
        results.append(multiscale.faces(multiscale.scaled_images(image)))
        detectors.append(detector)
    everywhere, hinted = results
    everywhere = [face for face in everywhere if face.detection_score > 0.6]  # SCRFD scores a gap between heads 0.55
    assert len(everywhere) >= 4
    boxes = np.stack([face.box for face in hinted])
    assert all(overlaps(face.box, boxes).max() > 0.6 for face in everywhere)
    assert sum(face.detection_score > 0.6 for face in hinted) <= len(everywhere) + 1
    assert detectors[1].pixels < 0.75 * detectors[0].pixels


def test_a_photo_without_hints_is_not_searched_at_the_last_scale(opencv_pack: Pack) -> None:
    detector = CountingDetector(build_detector(opencv_pack, "cpu", 1))
    multiscale = HintedDetector(detector, 0.01)  # type: ignore[arg-type]
    assert multiscale.faces(multiscale.scaled_images(np.full((900, 1200, 3), 180, np.uint8))) == []
    assert detector.pixels == 640 * 480
