"""Confirmations and denials with the real networks and the demo photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facebank import FaceBank, read_photo
from facebank.errors import NoFaceError, PersonNotFoundError, UsageError
from facebank.gallery import FaceKey, GalleryHealth, inspect_gallery
from facebank.index.indexed_samples import MASK
from facebank.operations.feedback import FeedbackReason
from facebank.operations.inputs import select_face
from facebank.types import AnalyzedPhoto, DecodedPhoto
from tests.demo_photos import BIDEN, BLUE_ROOM, COLLINS, OBAMA, SPEECH


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[FaceBank]:
    """A bank of Barack Obama, with ID 1, and Eileen Collins, with ID 2."""
    with FaceBank.open(tmp_path / "test.facebank", device="cpu") as opened:
        opened.enroll("Barack Obama", OBAMA)
        opened.enroll("Eileen Collins", COLLINS)
        yield opened


def analyze(bank: FaceBank, path: Path) -> AnalyzedPhoto:
    (photo,) = bank.engine.analyzer.analyze([read_photo(path)])
    return photo


def health(bank: FaceBank) -> GalleryHealth:
    return inspect_gallery(bank.path)


def test_denials_are_found_by_face_key(bank: FaceBank) -> None:
    photo = analyze(bank, BIDEN)
    key = FaceKey.from_analysis(photo, photo.faces[0])
    assert bank.deny(BIDEN, "barack obama").reason is FeedbackReason.DENIED
    assert bank.gallery.denials_of(key) == {1}
    with FaceBank.open(bank.path) as reopened:
        assert reopened.gallery.denials_of(key) == {1}
    refused = bank.confirm(BIDEN, "Barack Obama")
    assert (refused.accepted, refused.reason) == (False, FeedbackReason.UNLIKE_THE_PERSON)
    assert bank.gallery.denials_of(key) == {1}
    confirmed = bank.confirm(BIDEN, "Barack Obama", force=True)
    assert confirmed.accepted
    assert "no longer denied" in confirmed.detail
    assert bank.gallery.denials_of(key) == set()
    assert health(bank).problems == ()


def test_a_rotated_photo_has_different_face_keys(bank: FaceBank) -> None:
    upright = read_photo(SPEECH)
    sideways = DecodedPhoto(
        "side", np.rot90(upright.pixels).copy(), upright.content_hash, has_orientation=False, taken_at=None
    )
    first, second = select_face(bank.engine, upright), select_face(bank.engine, sideways)
    assert (first.key.quarter_turns, second.key.quarter_turns) == (0, 3)
    bank.deny(sideways, "Barack Obama")
    assert bank.gallery.denials_of(second.key) == {1}
    assert bank.gallery.denials_of(first.key) == set()


def test_strangers_are_recognized_by_embedding(bank: FaceBank) -> None:
    report = bank.deny_everybody(BIDEN)
    assert (report.person, report.accepted, report.stranger_id) == (None, True, 1)
    table = bank.gallery.strangers()
    assert table.stranger_ids.tolist() == [1]
    assert float(table.matrix[0] @ analyze(bank, BIDEN).faces[0].embedding) == pytest.approx(1, abs=1e-5)
    assert bank.gallery.stranger_faces()[0].path == str(BIDEN)


def test_strangers_are_re_embedded(bank: FaceBank) -> None:
    bank.deny_everybody(BIDEN)
    before = bank.gallery.strangers().matrix
    assert bank.re_embed().lost_strangers == ()
    np.testing.assert_allclose(bank.gallery.strangers().matrix, before, atol=1e-4)


def test_a_refused_re_embedding_keeps_strangers(bank: FaceBank, tmp_path: Path) -> None:
    lost = tmp_path / "lost.jpg"
    lost.write_bytes(BIDEN.read_bytes())
    bank.enroll("Joe", lost)
    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(BLUE_ROOM.read_bytes())
    bank.deny_everybody(stranger)
    for path in (lost, stranger):
        path.unlink()
    report = bank.re_embed()
    assert (report.changed, report.lost_strangers) == (False, (str(stranger),))
    assert len(bank.gallery.strangers().matrix) == 1
    assert bank.re_embed(drop_missing=True).changed
    assert len(bank.gallery.strangers().matrix) == 0


def test_confirmed_samples_have_thumbnails_if_others_do(bank: FaceBank) -> None:
    bank.enroll("Joe", BIDEN, thumbnails=False)
    bank.confirm(SPEECH, "Barack Obama")
    bank.confirm(BLUE_ROOM, "Joe", force=True)
    assert [sample.has_thumbnail for sample in bank.gallery.samples("Barack Obama")] == [True, True]
    assert [sample.has_thumbnail for sample in bank.gallery.samples("Joe")] == [False, False]


def test_a_refusal_changes_nothing(bank: FaceBank) -> None:
    revision = bank.gallery.revision
    nobody = DecodedPhoto("nobody", np.full((200, 200, 3), 128, np.uint8), "0" * 64, True, None)
    with pytest.raises(UsageError, match="remove-sample 1'"):
        bank.deny(OBAMA, "Barack Obama")
    with pytest.raises(UsageError, match="remove-sample 1'"):
        bank.confirm(OBAMA, "Eileen Collins")
    with pytest.raises(UsageError, match="remove-sample 2'"):
        bank.deny_everybody(COLLINS)
    with pytest.raises(PersonNotFoundError):
        bank.confirm(SPEECH, "Somebody")
    for method in (bank.confirm, bank.deny):
        with pytest.raises(NoFaceError):
            method(nobody, "Barack Obama")
    with pytest.raises(UsageError, match="no face 2, only 1 "):
        bank.deny_everybody(BIDEN, 2)
    assert bank.gallery.revision == revision
    assert health(bank).problems == ()


def test_confirming_the_wrong_face_names_the_right_one(bank: FaceBank, shared: Path) -> None:
    path = shared / "data" / "cases" / "confirm" / "two_people.jpg"
    bank.enroll("Joe Biden", BIDEN)
    refused = bank.confirm(path, "Barack Obama", 1)
    assert (refused.accepted, refused.sample_id) == (False, None)
    assert refused.reason in (FeedbackReason.NEARER_TO_ANOTHER, FeedbackReason.UNLIKE_THE_PERSON)
    assert "face 2 looks like Barack Obama" in refused.detail
    assert "--force" in refused.detail
    assert bank.confirm(path, "Barack Obama", 2).accepted
    assert bank.confirm(path, "Barack Obama", 1, force=True).accepted


def test_the_latest_feedback_takes_effect(bank: FaceBank) -> None:
    bank.deny(SPEECH, "Barack Obama")
    (photo,) = bank.enroll("Barack Obama", SPEECH).photos
    assert photo.accepted
    assert photo.warning is not None
    assert "denial" in photo.warning
    bank.deny_everybody(BIDEN)
    assert "no longer remembered as a stranger" in bank.confirm(BIDEN, "Eileen Collins", force=True).detail


def test_lookalikes_rank_all_people(bank: FaceBank) -> None:
    ranking = bank.lookalikes(SPEECH)
    assert [person.person for person in ranking.people] == ["Barack Obama", "Eileen Collins"]
    assert sum(person.share for person in ranking.people) == pytest.approx(1)
    assert ranking.people[0].share > 0.9


def test_confirmed_and_enrolled_samples_are_equal(bank: FaceBank, tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "enrolled.facebank", device="cpu") as other:
        other.enroll("Barack Obama", [OBAMA, SPEECH])
        (_, enrolled), enrolled_masks = other.gallery.samples("Barack Obama"), other.gallery.vectors(MASK).matrix
    confirmed = bank.confirm(SPEECH, "Barack Obama").sample_id
    masks = bank.gallery.vectors(MASK)
    assert bank.gallery.samples("Barack Obama")[1].quality == pytest.approx(enrolled.quality, abs=1e-3)
    np.testing.assert_allclose(masks.matrix[masks.sample_ids == confirmed][0], enrolled_masks[1], atol=1e-4)


def test_re_embedded_samples_have_all_variants(bank: FaceBank) -> None:
    bank.confirm(SPEECH, "Barack Obama")
    before = bank.gallery.vectors(MASK)
    assert bank.re_embed().changed
    after = bank.gallery.vectors(MASK)
    assert after.sample_ids.tolist() == before.sample_ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(after.matrix, before.matrix, atol=1e-4)


def test_confirming_a_new_person_requires_new(bank: FaceBank) -> None:
    with pytest.raises(PersonNotFoundError):
        bank.confirm(BIDEN, "Joe Biden")
    report = bank.confirm(BIDEN, " Joe  Biden", create=True)
    assert (report.person, report.reason) == ("Joe Biden", FeedbackReason.ENROLLED)
    assert bank.samples("Joe Biden")[0].has_thumbnail
    assert bank.confirm(BIDEN, "joe biden", create=True).reason is FeedbackReason.ALREADY_ENROLLED
    assert health(bank).problems == ()
