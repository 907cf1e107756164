"""Enrolling faces and detecting duplicates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import InvalidNameError, PersonNotFoundError, UsageError
from facebank.gallery import EnrolledSample, Gallery

if TYPE_CHECKING:
    from typing import Any

    from facebank.gallery import NewSample
    from tests.gallery.conftest import FaceFactory


def replace_box(sample: NewSample, x1: float, y1: float, x2: float, y2: float) -> NewSample:
    return replace(sample, box=np.array([x1, y1, x2, y2], dtype=np.float32))


def test_enrolled_samples_are_returned_unchanged(gallery: Gallery, faces: FaceFactory) -> None:
    new = faces.sample(taken_at=datetime(1999, 12, 31, 23, 59, tzinfo=UTC))
    (enrolled,) = gallery.enroll("Ada", [new])
    (sample,) = gallery.samples("Ada")
    assert enrolled == EnrolledSample(sample.id, None)
    assert sample.person == "Ada"
    np.testing.assert_array_equal(sample.box, new.box)
    np.testing.assert_array_equal(sample.landmarks, new.landmarks)
    assert sample.detection_score == new.detection_score
    assert (sample.quality, sample.path, sample.content_hash) == (new.quality, new.path, new.content_hash)
    assert (sample.quarter_turns, sample.taken_at) == (new.quarter_turns, new.taken_at)
    assert abs((datetime.now(UTC) - sample.enrolled_at).total_seconds()) < 3600
    assert sample.has_thumbnail
    assert gallery.thumbnail(sample.id) == new.thumbnail
    for variant in ("plain", "flip"):
        table = gallery.vectors(variant)
        np.testing.assert_array_equal(table.matrix, [new.vectors[variant]])
        assert table.sample_ids.tolist() == [sample.id]
    assert gallery.variants() == ["flip", "plain"]


def test_samples_persist(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", faces.samples(2))
    people, table = gallery.people(), gallery.vectors()
    gallery.close()
    with Gallery.open(gallery.path, faces.pack) as reopened:
        assert reopened.people() == people
        assert [(person.name, person.sample_count) for person in people] == [("Ada", 3), ("Bob", 2)]
        np.testing.assert_array_equal(reopened.vectors().matrix, table.matrix)
        assert len(reopened.vectors().sample_ids) == 5


def test_thumbnail_and_time_are_optional(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", [faces.sample(thumbnail=None, taken_at=None)])
    (sample,) = gallery.samples("Ada")
    assert not sample.has_thumbnail
    assert gallery.thumbnail(sample.id) is None
    assert sample.taken_at is None
    assert gallery.thumbnail(999) is None


@pytest.mark.parametrize(
    "photo_path", ["/photos/\udcff\udce9.jpg", "C:\\photos\\愛達.jpg", "line\nbreak", 'it\'s "x"; --']
)
def test_paths_of_any_form_are_stored(gallery: Gallery, faces: FaceFactory, photo_path: str) -> None:
    gallery.enroll("Robert'); DROP TABLE people;--", [faces.sample(path=photo_path)])
    (person,) = gallery.people()
    assert gallery.samples(person.name)[0].path == photo_path


def test_names_are_found_regardless_of_case_and_normal_form(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Zo\u00eb  Straße", faces.samples(1))
    gallery.enroll("ZOE\u0308 STRASSE", faces.samples(1))
    assert [person.name for person in gallery.people()] == ["Zo\u00eb Straße"]
    assert gallery.person("zoë strasse").sample_count == 2


def test_people_are_ordered_by_name(gallery: Gallery, faces: FaceFactory) -> None:
    for name in ("bob", "Ada", "Carl"):
        gallery.enroll(name, faces.samples(1))
    assert [person.name for person in gallery.people()] == ["Ada", "bob", "Carl"]
    assert gallery.names() == {1: "bob", 2: "Ada", 3: "Carl"}


def test_a_person_can_have_no_samples(gallery: Gallery) -> None:
    before = gallery.revision
    assert gallery.enroll("Ada", []) == []
    assert gallery.person("Ada").sample_count == 0
    assert gallery.revision > before
    assert gallery.samples("Ada") == []


def test_duplicates_are_found_across_several_people(gallery: Gallery, faces: FaceFactory) -> None:
    first, second = faces.samples(2)
    outcomes = gallery.enroll_people([("Ada", [first]), ("Bob", [second, first])])
    assert [[outcome.duplicate_of_person for outcome in person] for person in outcomes] == [[None], [None, "Ada"]]


def test_enrolling_several_people_is_atomic(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(1))
    with pytest.raises(InvalidNameError):
        gallery.enroll_people([("Carl", faces.samples(1)), ("a/b", faces.samples(1))])
    with pytest.raises(UsageError):
        gallery.enroll_people([("Carl", faces.samples(1)), ("Dora", [faces.sample(content_hash="x")])])
    assert [person.name for person in gallery.people()] == ["Ada"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content_hash": "abc"}, "SHA-256"),
        ({"quarter_turns": 4}, "quarter turns"),
        ({"quality": float("nan")}, "finite"),
        ({"thumbnail": b"x" * (256 * 1024 + 1)}, "thumbnail"),
        ({"path": "x" * 40_000}, "path"),
        ({"vectors": {}}, "plain"),
        ({"vectors": {"flip": np.eye(16, dtype=np.float32)[0]}}, "plain"),
        ({"vectors": {"plain": np.eye(15, dtype=np.float32)[0]}}, r"shape \(16,\) but got \(15,\)"),
        ({"vectors": {"plain": np.full(16, np.nan, np.float32)}}, "finite"),
        ({"vectors": {"plain": np.zeros(16, np.float32)}}, "L2-normalized"),
        ({"vectors": {"plain": np.eye(16, dtype=np.float32)[0], "a b": np.eye(16, dtype=np.float32)[0]}}, "variant"),
        ({"box": np.zeros(3, np.float32)}, r"shape \(4,\)"),
        ({"landmarks": np.zeros((5, 3), np.float32)}, r"shape \(5, 2\)"),
    ],
)
def test_invalid_samples_are_rejected(
    gallery: Gallery, faces: FaceFactory, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        gallery.enroll("Ada", [faces.sample(), faces.sample(**change)])
    assert gallery.people() == []


def test_the_same_face_is_enrolled_once(gallery: Gallery, faces: FaceFactory) -> None:
    samples = faces.samples(3)
    first = gallery.enroll("Ada", samples)
    revision = gallery.revision
    second = gallery.enroll("ada", samples)
    assert [outcome.sample_id for outcome in second] == [outcome.sample_id for outcome in first]
    assert {outcome.duplicate_of_person for outcome in second} == {"Ada"}
    assert gallery.person("Ada").sample_count == 3
    assert gallery.revision == revision


def test_the_same_face_within_one_call_is_enrolled_once(gallery: Gallery, faces: FaceFactory) -> None:
    sample = faces.sample()
    outcomes = gallery.enroll("Ada", [sample, sample])
    assert [outcome.duplicate_of_person for outcome in outcomes] == [None, "Ada"]
    assert gallery.person("Ada").sample_count == 1


def test_a_face_of_another_person_is_reported_with_that_person(gallery: Gallery, faces: FaceFactory) -> None:
    sample = faces.sample()
    (ada,) = gallery.enroll("Ada", [sample])
    assert gallery.enroll("Bob", [sample]) == [EnrolledSample(ada.sample_id, "Ada")]
    with pytest.raises(PersonNotFoundError):
        gallery.person("Bob")


def test_the_same_box_of_the_same_photo_is_the_same_face(gallery: Gallery, faces: FaceFactory) -> None:
    sample = faces.sample()
    gallery.enroll("Ada", [replace_box(sample, 100, 100, 200, 220)])
    moved = replace(replace_box(sample, 104, 98, 207, 222), vectors={"plain": faces.vector()})
    assert gallery.enroll("Ada", [moved])[0].duplicate_of_person == "Ada"


@pytest.mark.parametrize("box", [(300, 100, 400, 220), (160, 100, 260, 220), (100, 100, 130, 130)])
def test_two_faces_of_one_photo_are_two_samples(gallery: Gallery, faces: FaceFactory, box: tuple[float, ...]) -> None:
    sample = faces.sample()
    gallery.enroll("Ada", [replace_box(sample, 100, 100, 200, 220)])
    other = replace(replace_box(sample, *box), vectors={"plain": faces.vector()})
    assert gallery.enroll("Bob", [other])[0].duplicate_of_person is None


def test_boxes_of_differently_rotated_photos_are_not_compared(gallery: Gallery, faces: FaceFactory) -> None:
    sample = faces.sample(quarter_turns=0)
    gallery.enroll("Ada", [sample])
    rotated = replace(sample, quarter_turns=1, vectors={"plain": faces.vector()})
    assert gallery.enroll("Bob", [rotated])[0].duplicate_of_person is None


@pytest.mark.parametrize(("distance", "same"), [(0.0, True), (0.5e-4, True), (2e-4, False)])
def test_nearly_equal_embeddings_are_one_face(
    gallery: Gallery, faces: FaceFactory, distance: float, same: bool
) -> None:
    for _ in range(30):
        gallery.enroll("Others", faces.samples(1))
    embedding = faces.vector().astype(np.float64)
    moved = embedding + distance * np.linalg.svd(embedding[None])[2][5]  # in an orthogonal direction
    similar = (moved / np.linalg.norm(moved)).astype(np.float32)
    gallery.enroll("Ada", [faces.sample(vectors={"plain": embedding.astype(np.float32)})])
    (outcome,) = gallery.enroll("Bob", [faces.sample(vectors={"plain": similar})])
    assert outcome.duplicate_of_person == ("Ada" if same else None)
