"""Photos are recognized by the hash of their pixels after their metadata was edited."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from facebank.errors import UsageError
from facebank.gallery import FaceKey, Gallery, export_gallery, import_gallery
from facebank.gallery.same_face import is_same_place

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.gallery import NewSample
    from tests.gallery.conftest import FaceFactory

PICTURE_HASH, OTHER_PICTURE_HASH = "ab" * 32, "cd" * 32
EDITED_CONTENT_HASH = "ef" * 32


@pytest.fixture
def probe(faces: FaceFactory) -> NewSample:
    """A face of a photo with a known picture hash."""
    return faces.sample(picture_hash=PICTURE_HASH)


def edit(face: FaceKey, picture_hash: str | None = PICTURE_HASH) -> FaceKey:
    """Return the key of a face after the photo's metadata was edited."""
    return replace(face, content_hash=EDITED_CONTENT_HASH, picture_hash=picture_hash)


def test_faces_match_by_bytes_or_by_picture(probe: NewSample) -> None:
    face = FaceKey.from_sample(probe)
    assert is_same_place(face, edit(face))
    assert is_same_place(face, replace(face, picture_hash=None)), "an older entry with the same file hash"
    assert not is_same_place(face, edit(face, OTHER_PICTURE_HASH))
    assert not is_same_place(replace(face, picture_hash=None), edit(face, None)), "two unknown hashes are not equal"
    assert not is_same_place(face, replace(edit(face), quarter_turns=(face.quarter_turns + 1) % 4))


def test_copies_of_a_photo_are_counted_once(gallery: Gallery, faces: FaceFactory, probe: NewSample) -> None:
    copies = [
        faces.sample(picture_hash=PICTURE_HASH, content_hash=content) for content in (EDITED_CONTENT_HASH, "12" * 32)
    ]
    gallery.enroll("Ada", [probe, *copies, *faces.samples(2)])
    gallery.enroll("Grace", faces.samples(1))
    assert sorted(gallery.photo_counts().values()) == [1, 3]


def test_a_denial_holds_for_the_edited_photo(gallery: Gallery, faces: FaceFactory, probe: NewSample) -> None:
    gallery.enroll("Ada", faces.samples(2))
    face = FaceKey.from_sample(probe)
    assert gallery.deny("Ada", face)
    assert gallery.denials_of(edit(face)) == gallery.denials_of(face) == {1}
    assert not gallery.deny("Ada", edit(face)), "the denial exists already"
    assert gallery.denials_of(edit(face, OTHER_PICTURE_HASH)) == gallery.denials_of(edit(face, None)) == set()
    assert gallery.withdraw_denial("Ada", edit(face))
    assert gallery.denials_of(face) == set()


def test_older_rows_get_picture_hashes(gallery: Gallery, faces: FaceFactory, probe: NewSample, path: Path) -> None:
    old = replace(FaceKey.from_sample(probe), picture_hash=None)
    gallery.enroll("Ada", [faces.sample(content_hash=probe.content_hash)])
    gallery.deny("Ada", old)
    gallery.remember_stranger(faces.sample(content_hash=probe.content_hash))
    assert gallery.denials_of(edit(old)) == set()
    revision = gallery.revision
    gallery.add_picture_hash(probe.content_hash, None)
    gallery.add_picture_hash("12" * 32, OTHER_PICTURE_HASH)
    assert gallery.denials_of(edit(old)) == set()
    gallery.add_picture_hash(probe.content_hash, PICTURE_HASH)
    assert gallery.denials_of(edit(old)) == {1}
    assert [sample.picture_hash for sample in gallery.samples("Ada")] == [PICTURE_HASH]
    assert [stranger.face.picture_hash for stranger in gallery.stranger_faces()] == [PICTURE_HASH]
    assert gallery.revision == revision
    gallery.close()
    with Gallery.open(path, gallery.pack, read_only=True) as reopened:
        reopened.add_picture_hash(probe.content_hash, OTHER_PICTURE_HASH)  # no row lacks a hash, and nothing is written
        assert reopened.denials_of(edit(old)) == {1}


def test_repeated_feedback_adds_the_picture_hash(gallery: Gallery, faces: FaceFactory, probe: NewSample) -> None:
    gallery.enroll("Ada", faces.samples(1))
    old = replace(FaceKey.from_sample(probe), picture_hash=None)
    assert gallery.deny("Ada", old)
    assert not gallery.deny("Ada", FaceKey.from_sample(probe))
    assert gallery.denials_of(edit(old)) == {1}


def test_an_edited_copy_of_an_enrolled_photo_is_the_same_face(
    gallery: Gallery, faces: FaceFactory, probe: NewSample
) -> None:
    (enrolled,) = gallery.enroll("Ada", [probe])
    copy = replace(probe, content_hash=EDITED_CONTENT_HASH, vectors={"plain": faces.vector()})
    (outcome,) = gallery.enroll("Bob", [copy])
    assert (outcome.sample_id, outcome.duplicate_of_person) == (enrolled.sample_id, "Ada")
    with pytest.raises(UsageError, match="enrolled as Ada"):
        gallery.deny("Ada", edit(FaceKey.from_sample(probe)))
    with pytest.raises(UsageError, match="enrolled as Ada"):
        gallery.remember_stranger(copy)


def test_an_edited_photo_of_a_stranger_is_the_same_stranger(
    gallery: Gallery, faces: FaceFactory, probe: NewSample
) -> None:
    number, is_new = gallery.remember_stranger(probe)
    assert is_new
    copy = replace(probe, content_hash=EDITED_CONTENT_HASH, vectors={"plain": faces.vector()})
    assert gallery.remember_stranger(copy) == (number, False)
    gallery.enroll("Ada", [copy])
    assert gallery.stranger_faces() == []


def test_exports_contain_picture_hashes(
    gallery: Gallery, other_gallery: Gallery, probe: NewSample, tmp_path: Path
) -> None:
    gallery.enroll("Ada", [probe])
    folder = export_gallery(gallery, tmp_path / "export").folder
    import_gallery(other_gallery, folder)
    assert [sample.picture_hash for sample in other_gallery.samples("Ada")] == [PICTURE_HASH]


@pytest.mark.parametrize("invalid", ["", "AB" * 32, "ab" * 31, "g" * 64])
def test_invalid_hashes_are_rejected(gallery: Gallery, probe: NewSample, invalid: str) -> None:
    with pytest.raises(UsageError, match="SHA-256"):
        gallery.enroll("Ada", [replace(probe, picture_hash=invalid)])
    gallery.enroll("Ada", [])
    with pytest.raises(UsageError, match="SHA-256"):
        gallery.deny("Ada", replace(FaceKey.from_sample(probe), picture_hash=invalid))
