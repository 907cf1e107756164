"""Regions: turned by all eight EXIF orientations, and matched with the faces that they overlap."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.album.tags.regions import (
    Box,
    PhotoFrame,
    clip_box,
    face_boxes,
    frame_of,
    match_faces,
    turn_box,
    unturn_box,
)
from facebank.media import turn_photo
from facebank.media.pixels import apply_orientation
from facebank.storage.arrays import overlaps
from facebank.types import DecodedPhoto, Face, Photo, Quality

ORIENTATIONS = st.integers(1, 8)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, y1 = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    return x1, y1, draw(st.floats(x1 + 0.01, 1)), draw(st.floats(y1 + 0.01, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_like_the_pixels(orientation: int) -> None:
    stored = np.zeros((30, 40, 3), dtype=np.uint8)
    stored[6:12, 4:20] = 255
    white = np.argwhere(apply_orientation(stored, orientation)[..., 0] == 255)
    height, width = apply_orientation(stored, orientation).shape[:2]
    x1, y1, x2, y2 = turn_box((4 / 40, 6 / 30, 20 / 40, 12 / 30), orientation)
    (top, left), (bottom, right) = white.min(axis=0), white.max(axis=0) + 1
    assert (x1 * width, y1 * height, x2 * width, y2 * height) == pytest.approx((left, top, right, bottom))
    assert PhotoFrame(40, 30, orientation).upright_size == (width, height)
    assert PhotoFrame.of_upright(width, height, orientation) == PhotoFrame(40, 30, orientation)


@given(boxes(), ORIENTATIONS)
def test_turning_back_undoes_turning(box: Box, orientation: int) -> None:
    assert unturn_box(turn_box(box, orientation), orientation) == pytest.approx(box)
    assert turn_box(unturn_box(box, orientation), orientation) == pytest.approx(box)


def photo_with_face(box: tuple[float, ...], width: int, height: int, quarter_turns: int) -> Photo:
    face = Face(
        np.array(box, dtype=np.float32),
        np.zeros((5, 2), dtype=np.float32),
        1.0,
        Quality(1.0, 10.0, 1.0, 1.0),
        np.full(4, 0.5, dtype=np.float32),
    )
    return Photo("a.jpg", (face,), width=width, height=height, quarter_turns=quarter_turns, content_hash="0" * 64)


@pytest.mark.parametrize("quarter_turns", range(4))
def test_boxes_of_turned_photos_match_the_file(quarter_turns: int) -> None:
    pixels = np.zeros((30, 40, 3), dtype=np.uint8)
    pixels[6:12, 4:20] = 255
    analyzed = turn_photo(DecodedPhoto("a", pixels, "", False, None), quarter_turns)
    white = np.argwhere(analyzed.pixels[..., 0] == 255)
    (top, left), (bottom, right) = white.min(axis=0), white.max(axis=0) + 1
    photo = photo_with_face((left, top, right, bottom), analyzed.width, analyzed.height, quarter_turns)
    (box,) = face_boxes(photo)
    assert box == pytest.approx((4 / 40, 6 / 30, 20 / 40, 12 / 30))
    assert frame_of(photo, 1) == PhotoFrame(40, 30, 1)
    assert frame_of(photo, 6) == PhotoFrame(30, 40, 6)


def test_a_face_beyond_the_edge_is_clipped() -> None:
    (box,) = face_boxes(photo_with_face((-5, -5, 10, 35), 40, 30, 0))
    assert box == pytest.approx((0, 0, 0.25, 1))
    assert clip_box((1.2, 0, 1.5, 1)) is None


@pytest.mark.parametrize(
    ("dimensions", "turn"),
    [
        (None, 6),
        ((4000, 3000), 6),
        ((400, 301), 6),
        ((3000, 4000), 1),
        ((4000, 2000), None),
    ],
)
def test_regions_refer_to_the_stored_picture_unless_only_the_upright_one_fits(
    dimensions: tuple[float, float] | None, turn: int | None
) -> None:
    assert PhotoFrame(4000, 3000, 6).turn_of(dimensions) == turn


def test_square_dimensions_refer_to_the_stored_picture() -> None:
    assert PhotoFrame(300, 300, 6).turn_of((512, 512)) == 6


def test_each_face_has_at_most_one_region() -> None:
    faces = [(0.1, 0.1, 0.3, 0.3), (0.5, 0.5, 0.7, 0.7)]
    regions = [None, (0.5, 0.5, 0.72, 0.7), (0.05, 0.05, 0.35, 0.35), (0.11, 0.1, 0.31, 0.3), (0.0, 0.9, 0.1, 1.0)]
    matched = match_faces(regions, faces)
    assert {region_index: face_index for region_index, (face_index, _) in matched.items()} == {1: 1, 3: 0}
    assert [matched[1][1], matched[3][1]] == pytest.approx([0.9, 0.9])
    assert match_faces([None], faces) == {}
    assert match_faces(regions, []) == {}


@given(st.lists(boxes(), max_size=5), st.lists(boxes(), max_size=5))
def test_no_face_and_no_region_is_matched_twice(regions: list[Box], faces: list[Box]) -> None:
    matched = match_faces(regions, faces)
    face_indices = {face_index for face_index, _ in matched.values()}
    assert len(face_indices) == len(matched)
    assert set(matched) <= set(range(len(regions)))
    assert face_indices <= set(range(len(faces)))


@given(st.lists(boxes(), min_size=1, max_size=4), st.lists(boxes(), min_size=1, max_size=4))
def test_matches_have_the_largest_total_overlap(regions: list[Box], faces: list[Box]) -> None:
    table = np.asarray(faces, dtype=np.float32)
    overlap = np.stack([overlaps(np.asarray(box, dtype=np.float32), table) for box in regions]).astype(float)
    overlap[overlap < 0.2] = 0.0
    padded = np.pad(overlap, ((0, 0), (0, len(regions))))  # a region may match no face
    best = max(
        sum(padded[row, column] for row, column in enumerate(columns))
        for columns in permutations(range(padded.shape[1]), len(regions))
    )
    matched = match_faces(list(regions), faces)
    assert sum(overlap[row, column] for row, (column, _) in matched.items()) == pytest.approx(best, abs=1e-6)


def test_separate_faces_are_matched_without_loading_scipy() -> None:
    code = (
        "import sys\n"
        "from facebank.album.tags.regions import match_faces\n"
        "print(match_faces([(.1, .1, .3, .3), (.5, .5, .7, .7)], [(.5, .5, .7, .7)]), 'scipy' in sys.modules)\n"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout == "{1: (0, 1.0)} False\n"
