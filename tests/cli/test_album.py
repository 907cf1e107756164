"""A small album of real photographs: everybody enrolled is named, nobody wrongly.

``expected.tsv`` was written by looking at each photograph: who is where, from left to right.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from .conftest import Run

Box: TypeAlias = Sequence[float]
STRANGER = "stranger"
LEAST_SIZE = 40
SAME_PLACE = 0.3


def expected_faces() -> dict[str, list[tuple[Box, str]]]:
    """Read who is where in each photo."""
    faces = defaultdict(list)
    with Path(__file__).with_name("expected.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            box = [float(edge) for edge in row["box"].split(",")]
            faces[row["photo"]].append((box, row["person"]))
    return dict(faces)


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.fixture
def album(shared: Path) -> Path:
    """The album's folder."""
    return shared / "data" / "photos"


def test_everybody_enrolled_is_named_and_nobody_wrongly(
    run: Run, album: Path, valid: Callable[[str, Sequence[dict[str, Any]]], None]
) -> None:
    enrolled = run("enroll", *sorted((album / "enrol").iterdir()), "--json").records
    assert all(record["accepted"] for record in enrolled)
    identified = run("identify", album / "probe", "--json").records
    valid("identify", identified)

    expected = expected_faces()
    assert {Path(record["image"]).name for record in identified} == set(expected)
    for record in identified:
        in_photo = expected[Path(record["image"]).name]
        for box, person in in_photo:
            found = [face for face in record["faces"] if overlap(face["box"], box) >= SAME_PLACE]
            if person != STRANGER and max(box[2] - box[0], box[3] - box[1]) >= LEAST_SIZE:
                assert [face["person"] for face in found] == [person], (record["image"], box, person)
        for face in record["faces"]:
            here = [person for box, person in in_photo if overlap(face["box"], box) >= SAME_PLACE]
            assert face["person"] is None or here == [face["person"]], (record["image"], face["box"], here)


def test_each_face_of_a_photo_gets_a_decision_of_its_own(run: Run, album: Path) -> None:
    run("enroll", "--name", "biden", album / "enrol" / "biden")
    (record,) = run("identify", album / "probe" / "obama_and_biden.jpg", "--json").records
    from_left = sorted(record["faces"], key=lambda face: float(face["box"][0]))
    assert [face["person"] for face in from_left] == ["biden", None, None]
    assert [face["decision"] for face in from_left[1:]] == ["unknown", "unknown"]
