"""Denials and remembered strangers, and their precedence when they contradict samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.errors import PersonNotFoundError, StorageError, UsageError
from facebank.gallery import FaceKey, Gallery, export_gallery, import_gallery, inspect_gallery
from facebank.types import AnalyzedPhoto, DecodedPhoto, Face, Quality

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.gallery import NewSample
    from tests.gallery.conftest import Faces


def moved(face: FaceKey, by: float) -> FaceKey:
    return replace(face, box=face.box + np.float32(by))


@pytest.fixture
def two(gallery: Gallery, faces: Faces) -> Gallery:
    """A gallery of Ada (number 1) and Bob (number 2)."""
    for name in ("Ada", "Bob"):
        gallery.enroll(name, faces.samples(2))
    return gallery


@pytest.fixture
def seen(faces: Faces) -> NewSample:
    """A face of a stranger."""
    return faces.sample()


# Denials --------------------------------------------------------------------------------------------------------


def test_a_denial_applies_to_one_person_and_one_face(two: Gallery, seen: NewSample) -> None:
    face = FaceKey.from_sample(seen)
    revision = two.revision
    assert two.deny("ada", face)
    assert not two.deny("Ada", moved(face, 3))
    assert two.denials_of(face) == two.denials_of(moved(face, 5)) == {1}
    assert two.denials_of(moved(face, 60)) == set()
    assert two.denials_of(replace(face, quarter_turns=(face.quarter_turns + 1) % 4)) == set()
    assert two.denials_of(replace(face, content_hash="0" * 64)) == set()
    assert two.deny("Bob", face)
    assert two.denials_of(face) == {1, 2}
    assert two.revision == revision
    two.close()
    with Gallery.open(two.path, two.pack) as again:
        assert again.denials_of(face) == {1, 2}


def test_face_keys_of_an_analyzed_photo(seen: NewSample, faces: Faces) -> None:
    photo = DecodedPhoto("x", np.zeros((9, 9, 3), np.uint8), seen.content_hash, has_orientation=True, taken_at=None)
    face = Face(seen.box, seen.landmarks, seen.detection_score, Quality(1.0, 90.0, 1.0, 1.0), faces.vector())
    key = FaceKey.from_analysis(AnalyzedPhoto(photo, (face,), seen.quarter_turns), face)
    assert (key.content_hash, key.quarter_turns) == (seen.content_hash, seen.quarter_turns)
    np.testing.assert_array_equal(key.box, seen.box)


def test_a_denial_can_be_withdrawn(two: Gallery, seen: NewSample) -> None:
    face = FaceKey.from_sample(seen)
    two.deny("Ada", face)
    two.deny("Bob", face)
    assert two.withdraw_denial("Ada", moved(face, 2))
    assert not two.withdraw_denial("Ada", face)
    assert two.denials_of(face) == {2}


def test_a_persons_own_sample_cannot_be_denied(two: Gallery, seen: NewSample) -> None:
    (enrolled,) = two.enroll("Ada", [seen])
    command = rf"enrolled as Ada.*`facebank people remove-sample {enrolled.sample_id}`"
    with pytest.raises(UsageError, match=command):
        two.deny("ada", moved(FaceKey.from_sample(seen), 2))
    elsewhere = replace(FaceKey.from_sample(seen), content_hash="0" * 64)
    with pytest.raises(UsageError, match=command):
        two.deny("Ada", elsewhere, seen.vectors["plain"])
    assert two.deny("Bob", FaceKey.from_sample(seen))
    two.remove_sample(enrolled.sample_id)
    assert two.deny("Ada", FaceKey.from_sample(seen))


def test_enrolling_a_face_drops_its_denial(two: Gallery, seen: NewSample) -> None:
    for name in ("Ada", "Bob"):
        two.deny(name, FaceKey.from_sample(seen))
    two.enroll("ADA", [seen])
    assert two.denials_of(FaceKey.from_sample(seen)) == {2}
    copy = replace(seen, content_hash="0" * 64)
    two.deny("Ada", FaceKey.from_sample(copy))  # the photo alone does not identify the face
    two.enroll("Ada", [copy])
    assert two.denials_of(FaceKey.from_sample(copy)) == set()


def test_denials_follow_their_person(two: Gallery, seen: NewSample, faces: Faces) -> None:
    other = FaceKey.from_sample(faces.sample())
    two.deny("Ada", FaceKey.from_sample(seen))
    two.deny("Bob", FaceKey.from_sample(seen))
    two.deny("Bob", other)
    two.rename("Ada", "Augusta")
    assert two.denials_of(FaceKey.from_sample(seen)) == {1, 2}
    two.merge(["Bob"], into="Augusta")
    assert two.denials_of(FaceKey.from_sample(seen)) == two.denials_of(other) == {1}
    assert two.withdraw_denial("Augusta", FaceKey.from_sample(seen))  # one of the two denials was left
    assert two.denials_of(FaceKey.from_sample(seen)) == set()
    two.forget("Augusta")
    assert two.denials_of(other) == set()


def test_merging_drops_denials_of_samples(two: Gallery, seen: NewSample, faces: Faces) -> None:
    other = faces.sample()
    two.enroll("Ada", [seen])
    two.enroll("Bob", [other])
    two.deny("Bob", FaceKey.from_sample(seen))
    two.deny("Ada", FaceKey.from_sample(other))
    two.merge(["Bob"], into="Ada")
    assert two.denials_of(FaceKey.from_sample(seen)) == two.denials_of(FaceKey.from_sample(other)) == set()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"content_hash": "abc"}, "SHA-256"),
        ({"quarter_turns": 4}, "quarter turns"),
        ({"box": np.zeros(3, np.float32)}, "shape"),
        ({"box": np.full(4, np.nan, np.float32)}, "finite"),
    ],
)
def test_invalid_faces_are_rejected(two: Gallery, seen: NewSample, change: dict[str, Any], complaint: str) -> None:
    for say in (two.deny, two.withdraw_denial):
        with pytest.raises(UsageError, match=complaint):
            say("Ada", replace(FaceKey.from_sample(seen), **change))


def test_invalid_embeddings_are_rejected(two: Gallery, seen: NewSample) -> None:
    for vector in (np.ones(16, np.float32), np.full(16, np.nan, np.float32), np.eye(4, dtype=np.float32)[0]):
        with pytest.raises(UsageError):
            two.deny("Ada", FaceKey.from_sample(seen), vector)


def test_unknown_names_raise(two: Gallery, seen: NewSample) -> None:
    for say in (two.deny, two.withdraw_denial):
        with pytest.raises(PersonNotFoundError, match="Carl"):
            say("Carl", FaceKey.from_sample(seen))


# Remembered strangers ----------------------------------------------------------------------------------------------


def test_a_stranger_is_a_face_with_its_photo(two: Gallery, faces: Faces) -> None:
    seen, other = faces.sample(path="/ph\udcffotos/é.jpg"), faces.sample()
    revision = two.revision
    assert two.remember_stranger(seen) == (1, True)
    assert two.remember_stranger(other) == (2, True)
    assert two.revision == revision + 2
    assert two.remember_stranger(replace(seen, vectors={"plain": faces.vector()})) == (1, False)  # the same position
    assert two.remember_stranger(replace(other, content_hash="0" * 64)) == (2, False)  # the same embedding
    assert two.revision == revision + 2
    table = two.strangers()
    assert table.stranger_ids.tolist() == [1, 2]
    np.testing.assert_array_equal(table.matrix, [seen.vectors["plain"], other.vectors["plain"]])
    stranger, _ = two.stranger_faces()
    assert (stranger.path, stranger.face.content_hash) == (seen.path, seen.content_hash)
    np.testing.assert_array_equal(stranger.face.box, seen.box)
    assert len(two.vectors().sample_ids) == 4
    assert inspect_gallery(two.path).problems == ()


def test_a_sample_cannot_be_a_stranger(two: Gallery, seen: NewSample) -> None:
    (enrolled,) = two.enroll("Ada", [seen])
    for face in (seen, replace(seen, content_hash="0" * 64)):
        with pytest.raises(UsageError, match=rf"remove-sample {enrolled.sample_id}`"):
            two.remember_stranger(face)
    with pytest.raises(UsageError, match="SHA-256"):
        two.remember_stranger(replace(seen, content_hash="x"))


def test_enrolling_a_stranger_forgets_the_stranger(two: Gallery, faces: Faces) -> None:
    met = faces.samples(3)
    for sample in met:
        two.remember_stranger(sample)
    two.enroll("Carl", [met[0], replace(met[2], content_hash="0" * 64)])
    assert two.strangers().stranger_ids.tolist() == [2]


def test_numbers_of_forgotten_strangers_are_not_reused(two: Gallery, faces: Faces) -> None:
    seen = faces.sample()
    two.remember_stranger(seen)
    revision = two.revision
    assert not two.forget_stranger(1).busy_readers
    assert two.revision == revision + 1
    assert len(two.strangers().matrix) == 0
    with pytest.raises(UsageError, match="stranger 1"):
        two.forget_stranger(1)
    assert two.remember_stranger(seen) == (2, True)


def test_strangers_are_re_embedded(two: Gallery, faces: Faces) -> None:
    for sample in faces.samples(2):
        two.remember_stranger(sample)
    vectors = {number: {"plain": faces.vector(24)} for number in (1, 2, 3, 4)}
    embedded = faces.vector(24)
    for strangers in (None, {1: embedded}, {1: embedded, 2: None, 3: None}):
        with pytest.raises(UsageError, match="start again"):
            two.rebind(faces.other_pack, vectors, strangers=strangers)
    with pytest.raises(UsageError, match="Stranger 1"):
        two.rebind(faces.other_pack, vectors, strangers={1: faces.vector(), 2: None})
    two.rebind(faces.other_pack, vectors, strangers={1: embedded, 2: None})
    np.testing.assert_array_equal(two.strangers().matrix, [embedded])


def test_a_read_only_gallery_refuses_feedback(two: Gallery, seen: NewSample) -> None:
    two.deny("Ada", FaceKey.from_sample(seen))
    two.close()
    with Gallery.open(two.path, two.pack, read_only=True) as reader:
        assert reader.denials_of(FaceKey.from_sample(seen)) == {1}
        for change in (lambda: reader.deny("Bob", FaceKey.from_sample(seen)), lambda: reader.remember_stranger(seen)):
            with pytest.raises(StorageError):
                change()


def test_exports_contain_no_feedback(two: Gallery, other: Gallery, faces: Faces, tmp_path: Path) -> None:
    denied, stranger = faces.samples(2)
    two.deny("Ada", FaceKey.from_sample(denied))
    two.remember_stranger(stranger)
    folder = export_gallery(two, tmp_path / "export").folder
    written = b"".join(file.read_bytes() for file in folder.iterdir())
    assert denied.content_hash.encode() not in written
    assert stranger.content_hash.encode() not in written
    import_gallery(other, folder)
    assert other.denials_of(FaceKey.from_sample(denied)) == set()
    assert len(other.strangers().matrix) == 0
