"""Checks at enrollment against wrong samples, and the quality and variants of samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.operations.person_folders import PersonPhotos
from facebank.types import EnrolledPhoto, EnrollReason
from facebank.vision.augmentation import ENROLLED_VARIANTS
from tests.demo_photos import BIDEN, BLUE_ROOM, COLLINS, OBAMA, SPEECH


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[FaceBank]:
    """A bank of two photos of Barack Obama and one of Joe Biden."""
    with FaceBank.open(tmp_path / "test.facebank", device="cpu") as opened:
        opened.enroll("Barack", [OBAMA, SPEECH])
        opened.enroll("Joe", BIDEN)
        yield opened


def assert_nearer_to_another(photo: EnrolledPhoto) -> None:
    assert (photo.accepted, photo.reason) == (False, EnrollReason.NEARER_TO_ANOTHER)
    assert photo.sample_id is None


def test_a_face_nearer_to_another_person_is_refused(bank: FaceBank) -> None:
    (photo,) = bank.enroll("Joe", BLUE_ROOM).photos
    assert_nearer_to_another(photo)
    assert all(word in photo.detail for word in ("Barack", "Joe", "--force"))
    assert [person.sample_count for person in bank.gallery.people()] == [2, 1]


def test_a_new_name_for_an_enrolled_person_is_refused(bank: FaceBank) -> None:
    (photo,) = bank.enroll("Somebody", BLUE_ROOM).photos
    assert_nearer_to_another(photo)
    assert all(word in photo.detail for word in ("Barack", "Somebody", "--force"))
    assert [person.name for person in bank.gallery.people()] == ["Barack", "Joe"]


def test_force_enrolls_a_refused_face(bank: FaceBank) -> None:
    assert bank.enroll("Somebody", BLUE_ROOM, force=True).accepted == 1
    (report,) = bank.enroll_people([PersonPhotos("Joe", (SPEECH,))], force=True)
    assert [photo.reason for photo in report.photos] == [EnrollReason.ENROLLED_AS_ANOTHER]


def test_force_applies_to_all_people_of_a_call(bank: FaceBank) -> None:
    people = [PersonPhotos("Joe", (BLUE_ROOM,))]
    (refused,) = bank.enroll_people(people)
    assert_nearer_to_another(refused.photos[0])
    (forced,) = bank.enroll_people(people, force=True)
    assert forced.accepted == 1


def test_own_photos_and_new_people_are_accepted(bank: FaceBank) -> None:
    assert bank.enroll("Barack", BLUE_ROOM).accepted == 1
    assert bank.enroll("Eileen", COLLINS).accepted == 1


def test_an_enrolled_face_is_reported_as_already_enrolled(bank: FaceBank) -> None:
    (photo,) = bank.enroll("Somebody", OBAMA).photos
    assert photo.reason is EnrollReason.ENROLLED_AS_ANOTHER
    (photo,) = bank.enroll("Barack", OBAMA).photos
    assert photo.reason is EnrollReason.ALREADY_ENROLLED


def test_advice_about_an_enrolled_face_names_commands(bank: FaceBank) -> None:
    (photo,) = bank.enroll("Barack O.", OBAMA).photos
    assert "`facebank people rename Barack 'Barack O.'`" in photo.detail
    (photo,) = bank.enroll("joe", OBAMA, force=True).photos
    assert "`facebank people merge Barack --into Joe`" in photo.detail
    assert f"`facebank people remove-sample {bank.gallery.samples('Barack')[0].id}`" in photo.detail


def test_reports_spell_names_as_in_the_gallery(bank: FaceBank) -> None:
    report = bank.enroll("barack", BLUE_ROOM)
    assert (report.person, report.given_as) == ("Barack", None)
    assert [photo.person for photo in report.photos] == ["Barack"]


def test_a_face_picked_from_a_group_photo_is_checked(bank: FaceBank, tmp_path: Path) -> None:
    with Image.open(BLUE_ROOM) as left, Image.open(COLLINS) as right:
        images = [left.convert("RGB").resize((700, 700 * left.height // left.width)), right.convert("RGB")]
        images[1] = images[1].resize((250, 250 * right.height // right.width))
    joined = Image.new("RGB", (950, max(image.height for image in images)))
    joined.paste(images[0], (0, 0))
    joined.paste(images[1], (700, 0))
    joined.save(tmp_path / "pair.png")
    (photo,) = bank.enroll("Somebody", tmp_path / "pair.png", pick="largest").photos
    assert_nearer_to_another(photo)


@pytest.mark.parametrize("order", [1, -1])
def test_a_photo_unlike_the_majority_is_refused_in_any_order(tmp_path: Path, order: int) -> None:
    with FaceBank.open(tmp_path / "new.facebank", device="cpu") as opened:
        photos = opened.enroll("Mia", [COLLINS, OBAMA, SPEECH, BLUE_ROOM][::order]).photos
        refused = {Path(photo.path): photo for photo in photos if not photo.accepted}
        assert set(refused) == {COLLINS}
        assert refused[COLLINS].reason is EnrollReason.UNLIKE_THE_PERSON
        assert all(word in refused[COLLINS].detail for word in ("Mia", "--force"))
        assert [person.sample_count for person in opened.gallery.people()] == [3]


def test_two_disagreeing_photos_are_both_refused(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "new.facebank", device="cpu") as opened:
        photos = opened.enroll("Mia", [COLLINS, OBAMA]).photos
        assert [photo.reason for photo in photos] == [EnrollReason.UNLIKE_THE_PERSON] * 2
        assert opened.gallery.people() == []
        assert opened.enroll("Mia", [COLLINS, OBAMA], force=True).accepted == 2


def test_a_photo_of_another_enrolled_person_among_two_is_refused(bank: FaceBank) -> None:
    photos = bank.enroll("Eileen", [BLUE_ROOM, COLLINS]).photos
    assert [photo.reason for photo in photos] == [EnrollReason.NEARER_TO_ANOTHER, EnrollReason.ENROLLED]


def test_a_face_unlike_the_samples_is_refused(bank: FaceBank) -> None:
    (photo,) = bank.enroll("Barack", COLLINS).photos
    assert (photo.accepted, photo.reason) == (False, EnrollReason.UNLIKE_THE_PERSON)
    assert bank.enroll("Barack", COLLINS, force=True).accepted == 1


def test_a_sample_unlike_most_photos_is_named_in_the_message(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "new.facebank", device="cpu") as opened:
        opened.enroll("Mia", COLLINS)
        photos = opened.enroll("Mia", [OBAMA, SPEECH, BLUE_ROOM]).photos
        assert not any(photo.accepted for photo in photos)
        assert all("remove-sample" in photo.detail and "sample 1" in photo.detail for photo in photos)


def test_samples_have_variants_and_quality_with_stability(bank: FaceBank) -> None:
    expected = {"plain", *(name if name == "flip" else f"augmented:{name}" for name in ENROLLED_VARIANTS)}
    assert set(bank.gallery.variants()) == expected
    plain = bank.gallery.vectors()
    for variant in expected - {"plain"}:
        table = bank.gallery.vectors(variant)
        np.testing.assert_array_equal(table.sample_ids, plain.sample_ids)
        similarity = np.einsum("nd,nd->n", table.matrix, plain.matrix)
        assert ((similarity > 0.4) & (similarity < 0.9999)).all()
    (photo,) = bank.identify(OBAMA)
    (first, _) = bank.gallery.samples("Barack")
    assert 0.5 < first.quality <= photo.faces[0].quality
