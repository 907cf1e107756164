"""The detected faces decide the orientation of regions; unclear regions are refused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from facebank.album.tags.region_views import RegionView, TurnFinder
from facebank.album.tags.regions import Box, PhotoFrame, Vocabulary, unturn_box
from facebank.album.tags.xmp_document import XmpDocument
from facebank.album.tags.xmp_files import XmpSource

from .xmp_samples import region_item, with_regions

# Sizes of real photos and boxes of their faces, in pixels of the upright picture.
PHOTOS: dict[str, tuple[tuple[int, int], list[tuple[int, int, int, int]]]] = {
    "one": ((1480, 832), [(541, 121, 904, 632)]),
    "one in a corner": ((491, 1137), [(0, 85, 194, 417)]),
    "two side by side": ((1126, 661), [(787, 49, 937, 256), (241, 32, 384, 228)]),
    "two, close": ((501, 700), [(261, 81, 351, 201), (78, 107, 156, 212)]),
    "three": ((2000, 1428), [(1143, 362, 1327, 602), (763, 398, 932, 638), (1625, 1039, 1780, 1235)]),
}
NAMES = ("Ada", "Bea", "Cleo")


def fractions(photo_name: str) -> list[Box]:
    """Return the boxes of a photo's faces, in fractions of its size."""
    (width, height), boxes = PHOTOS[photo_name]
    return [(x1 / width, y1 / height, x2 / width, y2 / height) for x1, y1, x2, y2 in boxes]


def regions_document(faces: Sequence[Box], turn: int, dimensions: tuple[int, int] | None = None) -> XmpSource:
    """Return regions a little larger than the faces, in the picture that `turn` makes upright."""
    boxes = [
        (x1 - (x2 - x1) / 8, y1 - (y2 - y1) / 8, x2 + (x2 - x1) / 8, y2 + (y2 - y1) / 8) for x1, y1, x2, y2 in faces
    ]
    text = "".join(region_item(name, unturn_box(box, turn)) for name, box in zip(NAMES, boxes, strict=False))
    return XmpSource(Path("photo.jpg.xmp"), XmpDocument.parse(with_regions(text, dimensions), "photo.jpg.xmp"))


def views(faces: Sequence[Box], frame: PhotoFrame, *sources: XmpSource) -> list[RegionView]:
    finder = TurnFinder(frame, faces, sources)
    return [RegionView.of(source, frame, faces, finder) for source in sources]


def names(view: RegionView) -> dict[int, str]:
    """Return the names of the regions that match faces, by the index of the face."""
    matches = view.region_of_face[Vocabulary.MWG]
    return {face_index: view.regions[region_index].name for face_index, region_index in matches.items()}


@pytest.mark.parametrize("photo_name", PHOTOS)
def test_regions_of_the_stored_and_the_upright_picture_match_the_right_faces(photo_name: str) -> None:
    faces, (width, height) = fractions(photo_name), PHOTOS[photo_name][0]
    for orientation, is_stored, dimensions in product(range(1, 9), (True, False), ("right", "swapped", "none")):
        frame, turn = PhotoFrame.of_upright(width, height, orientation), orientation if is_stored else 1
        size = frame.size_of(turn)
        stated = {"right": size, "swapped": size[::-1], "none": None}[dimensions]
        (view,) = views(faces, frame, regions_document(faces, turn, stated))
        expected = dict(enumerate(NAMES[: len(faces)]))
        case = (orientation, is_stored, dimensions)
        assert names(view) == expected or view.turn.is_unclear, case
        assert view.turn.to_write in (turn, None) or (len(faces) == 1 and dimensions == "swapped"), case
        if len(faces) > 1:
            assert (names(view), view.turn.to_write) == (expected, turn), case


def test_real_photos_of_two_people_are_clear() -> None:
    for photo_name in ("two side by side", "two, close"):
        faces, (width, height) = fractions(photo_name), PHOTOS[photo_name][0]
        for orientation, is_stored in product(range(1, 9), (True, False)):
            frame, turn = PhotoFrame.of_upright(width, height, orientation), orientation if is_stored else 1
            (view,) = views(faces, frame, regions_document(faces, turn))
            case = (photo_name, orientation, is_stored)
            assert (names(view), view.turn.to_write) == ({0: "Ada", 1: "Bea"}, turn), case


SYMMETRIC_FACES = [(0.15, 0.4, 0.35, 0.6), (0.65, 0.4, 0.85, 0.6)]


@pytest.mark.parametrize(("orientation", "dimensions"), [(2, None), (3, None), (3, (400, 300)), (2, (400, 300))])
def test_regions_that_match_different_faces_in_two_orientations_are_refused(
    orientation: int, dimensions: tuple[int, int] | None
) -> None:
    (view,) = views(
        SYMMETRIC_FACES, PhotoFrame.of_upright(400, 300, orientation), regions_document(SYMMETRIC_FACES, 1, dimensions)
    )
    assert view.turn.is_unclear
    assert names(view) == {}
    assert f"(EXIF {orientation})" in str(view.problem)


def test_one_face_is_named_in_any_orientation_but_no_region_is_added() -> None:
    faces = [(0.4, 0.4, 0.6, 0.6)]
    for orientation in range(2, 9):
        (view,) = views(faces, PhotoFrame.of_upright(400, 400, orientation), regions_document(faces, 1))
        assert (names(view), view.turn.to_write, view.turn.is_unclear) == ({0: "Ada"}, None, False)
    (view,) = views(faces, PhotoFrame.of_upright(300, 400, 6), regions_document(faces, 6, (400, 300)))
    assert view.turn.to_write == 6  # the stated dimensions fit only this orientation


def test_regions_of_a_photo_turned_since_are_read_if_all_match() -> None:
    faces = fractions("two side by side")
    frame = PhotoFrame.of_upright(1126, 661, 1)
    (view,) = views(faces, frame, regions_document(faces, 6))
    assert (names(view), view.turn.to_write) == ({0: "Ada", 1: "Bea"}, 6)
    (view,) = views(faces, frame, regions_document(faces[:1], 6))
    assert names(view) == {}  # one region may match a face by chance


def test_each_document_of_a_photo_has_its_own_orientation() -> None:
    faces = fractions("three")
    frame = PhotoFrame.of_upright(2000, 1428, 6)
    stored, upright = views(faces, frame, regions_document(faces, 6), regions_document(faces, 1))
    assert (stored.turn.to_write, upright.turn.to_write) == (6, 1)
    assert names(stored) == names(upright) == dict(enumerate(NAMES))


def test_all_documents_together_decide_an_unclear_one() -> None:
    faces = [*SYMMETRIC_FACES, (0.1, 0.05, 0.2, 0.15), (0.4, 0.05, 0.5, 0.15)]
    frame = PhotoFrame.of_upright(400, 300, 3)
    unclear = regions_document(SYMMETRIC_FACES, 3)
    assert views(faces, frame, unclear)[0].turn.is_unclear
    together, _ = views(faces, frame, unclear, regions_document(faces[2:], 3))
    assert not together.turn.is_unclear
    assert names(together) == {0: "Ada", 1: "Bea"}


def test_no_region_is_added_to_a_turned_photo_without_matches() -> None:
    faces, nowhere = fractions("one"), [(0.0, 0.9, 0.05, 1.0)]
    (view,) = views(faces, PhotoFrame.of_upright(1480, 832, 1), regions_document(nowhere, 1))
    assert view.turn.to_write == 1
    (view,) = views(faces, PhotoFrame.of_upright(1480, 832, 6), regions_document(nowhere, 6, (832, 1480)))
    assert (view.turn.to_write, view.turn.is_unclear) == (None, False)
    assert "no face was found" in str(view.problem)


def test_regions_of_facebank_refer_to_the_stored_picture() -> None:
    source = XmpSource(Path("a.xmp"), XmpDocument.empty("a.xmp"))
    for name, box in zip(NAMES, SYMMETRIC_FACES, strict=False):
        source.document.add_region(unturn_box(box, 3), name, (400, 300))
    (view,) = views(SYMMETRIC_FACES, PhotoFrame.of_upright(400, 300, 3), source)
    assert (names(view), view.turn.to_write) == ({0: "Ada", 1: "Bea"}, 3)


ROUND_REGION = (
    '<rdf:li rdf:parseType="Resource"><mwg-rs:Name>Ada</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type>'
    '<mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:d="{d}" stArea:unit="{unit}"/></rdf:li>'
)


def test_round_regions_are_read() -> None:
    (_, ((x1, y1, x2, y2),)) = PHOTOS["one in a corner"]
    x, y, diameter = (x1 + x2) / 2, (y1 + y2) / 2, 260
    texts = (
        ROUND_REGION.format(x=x / 491, y=y / 1137, d=diameter / 491, unit="normalized"),
        ROUND_REGION.format(x=x, y=y, d=diameter, unit="pixel"),
    )
    for text in texts:
        parsed = XmpDocument.parse(with_regions(text, (491, 1137)), "round")
        (view,) = views(fractions("one in a corner"), PhotoFrame.of_upright(491, 1137, 1), XmpSource(Path("r"), parsed))
        assert names(view) == {0: "Ada"}
        (box,) = view.boxes
        assert box == pytest.approx((0, (y - 130) / 1137, (x + 130) / 491, (y + 130) / 1137))


@pytest.mark.parametrize("diameter", ["0", "-1", "nan", "1e400"])
def test_a_round_region_with_an_invalid_diameter_has_no_area(diameter: str) -> None:
    text = ROUND_REGION.format(x=0.5, y=0.5, d=diameter, unit="normalized")
    assert not XmpDocument.parse(with_regions(text), "round").regions[0].has_area
