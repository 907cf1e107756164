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
    from tests.gallery.conftest import FaceFactory


def move(face: FaceKey, pixels: float) -> FaceKey:
    return replace(face, box=face.box + np.float32(pixels))


@pytest.fixture
def family(gallery: Gallery, faces: FaceFactory) -> Gallery:
    """A gallery of Ada (ID 1) and Bob (ID 2)."""
    for name in ("Ada", "Bob"):
        gallery.enroll(name, faces.samples(2))
    return gallery


@pytest.fixture
def probe(faces: FaceFactory) -> NewSample:
    """A face that is not enrolled."""
    return faces.sample()


def test_a_denial_applies_to_one_person_and_one_face(family: Gallery, probe: NewSample) -> None:
    face = FaceKey.from_sample(probe)
    revision = family.revision
    assert family.deny("ada", face)
    assert not family.deny("Ada", move(face, 3))
    assert family.denials_of(face) == family.denials_of(move(face, 5)) == {1}
    assert family.denials_of(move(face, 60)) == set()
    assert family.denials_of(replace(face, quarter_turns=(face.quarter_turns + 1) % 4)) == set()
    assert family.denials_of(replace(face, content_hash="0" * 64)) == set()
    assert family.deny("Bob", face)
    assert family.denials_of(face) == {1, 2}
    assert family.revision == revision
    family.close()
    with Gallery.open(family.path, family.pack) as reopened:
        assert reopened.denials_of(face) == {1, 2}


def test_a_face_key_is_made_from_an_analyzed_photo(probe: NewSample, faces: FaceFactory) -> None:
    photo = DecodedPhoto("x", np.zeros((9, 9, 3), np.uint8), probe.content_hash, has_orientation=True, taken_at=None)
    face = Face(probe.box, probe.landmarks, probe.detection_score, Quality(1.0, 90.0, 1.0, 1.0), faces.vector())
    key = FaceKey.from_analysis(AnalyzedPhoto(photo, (face,), probe.quarter_turns), face)
    assert (key.content_hash, key.quarter_turns) == (probe.content_hash, probe.quarter_turns)
    np.testing.assert_array_equal(key.box, probe.box)


def test_a_denial_can_be_withdrawn(family: Gallery, probe: NewSample) -> None:
    face = FaceKey.from_sample(probe)
    family.deny("Ada", face)
    family.deny("Bob", face)
    assert family.withdraw_denial("Ada", move(face, 2))
    assert not family.withdraw_denial("Ada", face)
    assert family.denials_of(face) == {2}


def test_a_persons_own_sample_cannot_be_denied(family: Gallery, probe: NewSample) -> None:
    (enrolled,) = family.enroll("Ada", [probe])
    command = rf"enrolled as Ada.*'facebank people remove-sample {enrolled.sample_id}'"
    with pytest.raises(UsageError, match=command):
        family.deny("ada", move(FaceKey.from_sample(probe), 2))
    elsewhere = replace(FaceKey.from_sample(probe), content_hash="0" * 64)
    with pytest.raises(UsageError, match=command):
        family.deny("Ada", elsewhere, probe.vectors["plain"])
    assert family.deny("Bob", FaceKey.from_sample(probe))
    family.remove_sample(enrolled.sample_id)
    assert family.deny("Ada", FaceKey.from_sample(probe))


def test_enrolling_a_face_drops_its_denial(family: Gallery, probe: NewSample) -> None:
    for name in ("Ada", "Bob"):
        family.deny(name, FaceKey.from_sample(probe))
    family.enroll("ADA", [probe])
    assert family.denials_of(FaceKey.from_sample(probe)) == {2}
    copy = replace(probe, content_hash="0" * 64)
    family.deny("Ada", FaceKey.from_sample(copy))  # the photo alone does not identify the face
    family.enroll("Ada", [copy])
    assert family.denials_of(FaceKey.from_sample(copy)) == set()


def test_denials_follow_their_person(family: Gallery, probe: NewSample, faces: FaceFactory) -> None:
    other = FaceKey.from_sample(faces.sample())
    family.deny("Ada", FaceKey.from_sample(probe))
    family.deny("Bob", FaceKey.from_sample(probe))
    family.deny("Bob", other)
    family.rename("Ada", "Augusta")
    assert family.denials_of(FaceKey.from_sample(probe)) == {1, 2}
    family.merge(["Bob"], into="Augusta")
    assert family.denials_of(FaceKey.from_sample(probe)) == family.denials_of(other) == {1}
    assert family.withdraw_denial("Augusta", FaceKey.from_sample(probe))  # one of the two denials was left
    assert family.denials_of(FaceKey.from_sample(probe)) == set()
    family.forget("Augusta")
    assert family.denials_of(other) == set()


def test_merging_drops_denials_of_samples(family: Gallery, probe: NewSample, faces: FaceFactory) -> None:
    other = faces.sample()
    family.enroll("Ada", [probe])
    family.enroll("Bob", [other])
    family.deny("Bob", FaceKey.from_sample(probe))
    family.deny("Ada", FaceKey.from_sample(other))
    family.merge(["Bob"], into="Ada")
    assert family.denials_of(FaceKey.from_sample(probe)) == family.denials_of(FaceKey.from_sample(other)) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content_hash": "abc"}, "SHA-256"),
        ({"quarter_turns": 4}, "quarter turns"),
        ({"box": np.zeros(3, np.float32)}, "shape"),
        ({"box": np.full(4, np.nan, np.float32)}, "finite"),
    ],
)
def test_invalid_faces_are_rejected(family: Gallery, probe: NewSample, change: dict[str, Any], message: str) -> None:
    for method in (family.deny, family.withdraw_denial):
        with pytest.raises(UsageError, match=message):
            method("Ada", replace(FaceKey.from_sample(probe), **change))


def test_invalid_embeddings_are_rejected(family: Gallery, probe: NewSample) -> None:
    for embedding in (np.ones(16, np.float32), np.full(16, np.nan, np.float32), np.eye(4, dtype=np.float32)[0]):
        with pytest.raises(UsageError):
            family.deny("Ada", FaceKey.from_sample(probe), embedding)


def test_unknown_names_raise(family: Gallery, probe: NewSample) -> None:
    for method in (family.deny, family.withdraw_denial):
        with pytest.raises(PersonNotFoundError, match="Carl"):
            method("Carl", FaceKey.from_sample(probe))


def test_a_stranger_is_remembered_once(family: Gallery, faces: FaceFactory) -> None:
    first, second = faces.samples(2)
    family.remember_stranger(first)
    family.remember_stranger(second)
    revision = family.revision
    same_position = replace(first, vectors={"plain": faces.vector()})
    same_embedding = replace(second, content_hash="0" * 64)
    assert family.remember_stranger(same_position) == (1, False)
    assert family.remember_stranger(same_embedding) == (2, False)
    assert family.revision == revision


def test_strangers_are_stored_with_their_photos(family: Gallery, faces: FaceFactory) -> None:
    probe, other = faces.sample(path="/ph\udcffotos/é.jpg"), faces.sample()
    revision = family.revision
    assert family.remember_stranger(probe) == (1, True)
    assert family.remember_stranger(other) == (2, True)
    assert family.revision == revision + 2
    table = family.strangers()
    assert table.stranger_ids.tolist() == [1, 2]
    np.testing.assert_array_equal(table.matrix, [probe.vectors["plain"], other.vectors["plain"]])
    stranger, _ = family.stranger_faces()
    assert (stranger.path, stranger.face.content_hash) == (probe.path, probe.content_hash)
    np.testing.assert_array_equal(stranger.face.box, probe.box)
    assert len(family.vectors().sample_ids) == 4
    assert inspect_gallery(family.path).problems == ()


def test_a_sample_cannot_be_a_stranger(family: Gallery, probe: NewSample) -> None:
    (enrolled,) = family.enroll("Ada", [probe])
    for face in (probe, replace(probe, content_hash="0" * 64)):
        with pytest.raises(UsageError, match=rf"remove-sample {enrolled.sample_id}'"):
            family.remember_stranger(face)
    with pytest.raises(UsageError, match="SHA-256"):
        family.remember_stranger(replace(probe, content_hash="x"))


def test_enrolling_a_stranger_forgets_the_stranger(family: Gallery, faces: FaceFactory) -> None:
    strangers = faces.samples(3)
    for sample in strangers:
        family.remember_stranger(sample)
    family.enroll("Carl", [strangers[0], replace(strangers[2], content_hash="0" * 64)])
    assert family.strangers().stranger_ids.tolist() == [2]


def test_numbers_of_forgotten_strangers_are_not_reused(family: Gallery, faces: FaceFactory) -> None:
    probe = faces.sample()
    family.remember_stranger(probe)
    revision = family.revision
    assert not family.forget_stranger(1).busy_readers
    assert family.revision == revision + 1
    assert len(family.strangers().matrix) == 0
    with pytest.raises(UsageError, match="stranger 1"):
        family.forget_stranger(1)
    assert family.remember_stranger(probe) == (2, True)


def test_strangers_are_re_embedded(family: Gallery, faces: FaceFactory) -> None:
    for sample in faces.samples(2):
        family.remember_stranger(sample)
    vectors = {sample_id: {"plain": faces.vector(24)} for sample_id in (1, 2, 3, 4)}
    embedding = faces.vector(24)
    for strangers in (None, {1: embedding}, {1: embedding, 2: None, 3: None}):
        with pytest.raises(UsageError, match="start again"):
            family.rebind(faces.other_pack, vectors, strangers=strangers)
    with pytest.raises(UsageError, match="Stranger 1"):
        family.rebind(faces.other_pack, vectors, strangers={1: faces.vector(), 2: None})
    family.rebind(faces.other_pack, vectors, strangers={1: embedding, 2: None})
    np.testing.assert_array_equal(family.strangers().matrix, [embedding])


def test_a_read_only_gallery_refuses_feedback(family: Gallery, probe: NewSample) -> None:
    family.deny("Ada", FaceKey.from_sample(probe))
    family.close()
    with Gallery.open(family.path, family.pack, read_only=True) as reader:
        assert reader.denials_of(FaceKey.from_sample(probe)) == {1}
        for change in (
            lambda: reader.deny("Bob", FaceKey.from_sample(probe)),
            lambda: reader.remember_stranger(probe),
        ):
            with pytest.raises(StorageError):
                change()


def test_exports_contain_no_feedback(
    family: Gallery, other_gallery: Gallery, faces: FaceFactory, tmp_path: Path
) -> None:
    denied, stranger = faces.samples(2)
    family.deny("Ada", FaceKey.from_sample(denied))
    family.remember_stranger(stranger)
    folder = export_gallery(family, tmp_path / "export").folder
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert denied.content_hash.encode() not in content
    assert stranger.content_hash.encode() not in content
    import_gallery(other_gallery, folder)
    assert other_gallery.denials_of(FaceKey.from_sample(denied)) == set()
    assert len(other_gallery.strangers().matrix) == 0
