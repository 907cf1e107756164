from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.faces import Photo
from facebank.media import turn_photo
from facebank.packs import Pack
from facebank.vision import FaceFinder, build_detector
from facebank.vision.finder import scales
from facebank.vision.geometry import letterbox, resize
from facebank.vision.refinement import LandmarkRefiner


@pytest.fixture(scope="module")
def finder(opencv_pack: Pack) -> FaceFinder:
    detector = build_detector(opencv_pack, "cpu")
    return FaceFinder(detector, LandmarkRefiner(detector), opencv_pack.manifest.detector.upright_score)


def undirected(photo: Photo, quarter_turns: int) -> Photo:
    """The photo as a camera without a sense of direction would have stored it."""
    return replace(turn_photo(photo, quarter_turns), has_orientation=False)


def photo_with_a_small_face(finder: FaceFinder, photo: Photo, face_size: int) -> Photo:
    scale = face_size / finder.find(photo.pixels)[0].size
    picture = resize(photo.pixels, round(photo.width * scale), round(photo.height * scale))
    pixels = np.full((2250, 3000, 3), 120, dtype=np.uint8)
    pixels[1500 : 1500 + picture.shape[0], 2200 : 2200 + picture.shape[1]] = picture
    return replace(photo, pixels=pixels)


@given(st.integers(1, 30_000))
def test_scales_never_enlarge_much_nor_look_twice_at_small_photos(side: int) -> None:
    chosen = scales(side)
    assert all(0 < scale <= 2 for scale in chosen)
    assert chosen == sorted(chosen)
    assert len(chosen) == (1 if side <= 960 else 2)
    assert all(side * scale <= 1921 for scale in chosen)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_photo_that_lies_on_its_side_is_turned(
    finder: FaceFinder, demo_photos: list[Photo], quarter_turns: int
) -> None:
    for photo in demo_photos:
        upright, turned, detections = finder.find_upright(undirected(photo, quarter_turns))
        assert (quarter_turns + turned) % 4 == 0
        assert upright.pixels.shape == photo.pixels.shape
        assert len(detections) == 1


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("face_size", [40, 60])
def test_a_large_photo_with_a_small_face_is_turned_too(
    finder: FaceFinder, demo_photos: list[Photo], face_size: int, quarter_turns: int
) -> None:
    large = photo_with_a_small_face(finder, demo_photos[0], face_size)
    _, turned, detections = finder.find_upright(undirected(large, quarter_turns))
    assert (quarter_turns + turned) % 4 == 0
    assert len(detections) == 1


def test_a_stated_orientation_is_believed(finder: FaceFinder, demo_photos: list[Photo]) -> None:
    upside_down = replace(turn_photo(demo_photos[0], 2), has_orientation=True)
    _, turned, _ = finder.find_upright(upside_down)
    assert turned == 0


def test_a_photo_without_faces_stays_as_it_is(finder: FaceFinder) -> None:
    empty = Photo("sky.jpg", np.full((300, 400, 3), 180, dtype=np.uint8), "0" * 64, False, None)
    upright, turned, detections = finder.find_upright(empty)
    assert (upright, turned, detections) == (empty, 0, [])


@pytest.mark.parametrize("face_size", [24, 40, 80])
def test_a_small_face_in_a_large_photo_is_found(finder: FaceFinder, demo_photos: list[Photo], face_size: int) -> None:
    large = photo_with_a_small_face(finder, demo_photos[0], face_size)
    (found,) = finder.find(large.pixels)
    assert found.size == pytest.approx(face_size, rel=0.25)


def test_a_face_that_fills_a_large_photo_is_found_once(finder: FaceFinder, demo_photos: list[Photo]) -> None:
    photo = demo_photos[0]
    face = finder.find(photo.pixels)[0]
    left, top, right, bottom = (int(value) for value in face.box)
    scale = 2000 / face.size
    cut = photo.pixels[top - 20 : bottom + 20, left - 20 : right + 20]
    close = resize(cut, round(cut.shape[1] * scale), round(cut.shape[0] * scale))
    (found,) = finder.find(close)
    assert found.size == pytest.approx(2000, rel=0.2)


def test_refined_landmarks_do_not_depend_on_where_and_how_large_the_face_is(
    opencv_pack: Pack, demo_photos: list[Photo]
) -> None:
    detector = build_detector(opencv_pack, "cpu")
    plain, refined = FaceFinder(detector), FaceFinder(detector, LandmarkRefiner(detector))
    errors: dict[FaceFinder, list[float]] = {plain: [], refined: []}
    for photo in demo_photos:
        for finder, collected in errors.items():
            reference = finder.find(photo.pixels)[0]
            for scale, pad in ((0.55, 31), (0.7, 77), (0.83, 10)):
                picture = resize(photo.pixels, round(photo.width * scale), round(photo.height * scale))
                shifted = np.pad(picture, ((pad, 0), (pad // 2, 0), (0, 0)))
                landmarks = (finder.find(shifted)[0].landmarks - np.array([pad // 2, pad], dtype=np.float32)) / scale
                collected.append(float(np.abs(landmarks - reference.landmarks).mean()) / reference.size)
    assert np.mean(errors[refined]) < 0.75 * np.mean(errors[plain])


@pytest.mark.parametrize(("width", "height"), [(1920, 1), (1, 1920)])
def test_letterboxing_leaves_a_pixel_of_the_thinnest_picture(width: int, height: int) -> None:
    frame, _ = letterbox(np.full((height, width, 3), 255, dtype=np.uint8), 640, 640)
    assert sorted(np.count_nonzero(frame[..., 0].any(axis=axis)) for axis in (0, 1)) == [1, 640]


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([64, 160, 320]), st.sampled_from([64, 160, 320]))
def test_letterboxing_keeps_the_shape(width: int, height: int, frame_width: int, frame_height: int) -> None:
    frame, scale = letterbox(np.full((height, width, 3), 255, dtype=np.uint8), frame_width, frame_height)
    assert frame.shape == (frame_height, frame_width, 3)
    filled = frame[..., 0] > 0
    assert filled.any(axis=0).sum() == pytest.approx(width * scale, abs=1 + width / height)
    assert filled.any(axis=1).sum() == pytest.approx(height * scale, abs=1)
