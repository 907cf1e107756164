"""The check for faces unlike their person at confirmations, merges and imports, with real networks and photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from facebank import FaceBank
from facebank.errors import UsageError
from facebank.gallery import export_gallery
from facebank.operations.engine import Engine
from facebank.operations.feedback import FeedbackReason
from facebank.recognition.audit import FindingKind, audit_gallery
from facebank.recognition.halves import find_halves
from tests.demo_photos import BIDEN, BLUE_ROOM, COLLINS, OBAMA, SPEECH


@pytest.fixture
def bank(engine: Engine, tmp_path: Path) -> Iterator[FaceBank]:
    """A bank of two photos of Barack Obama and one of Eileen Collins."""
    with FaceBank.open(tmp_path / "test.facebank") as opened:
        opened.engine = engine
        opened.enroll("Barack", [OBAMA, SPEECH])
        opened.enroll("Eileen", COLLINS)
        yield opened


def count_samples(bank: FaceBank) -> dict[str, int]:
    return {person.name: person.sample_count for person in bank.gallery.people()}


@pytest.fixture
def brothers(bank: FaceBank, shared: Path) -> Path:
    """Path of a photo of two brothers, of whom Jeb is enrolled with other photos."""
    folder = shared / "data" / "lfw" / "Jeb_Bush"
    bank.enroll("Jeb", [folder / "Jeb_Bush_0006.jpg", folder / "Jeb_Bush_0008.jpg"])
    return shared / "data" / "cases" / "relatives" / "brothers.jpg"


def test_a_photo_with_another_face_of_the_person_is_refused(bank: FaceBank, brothers: Path) -> None:
    assert bank.confirm(brothers, "Jeb", 1).accepted
    refused = bank.confirm(brothers, "Jeb", 2)
    assert (refused.accepted, refused.reason) == (False, FeedbackReason.OTHER_FACE_IS_THE_PERSON)
    assert "another face of the photo is a sample of Jeb already" in refused.detail
    assert "--force" in refused.detail
    assert bank.confirm(brothers, "Jeb", 2, force=True).accepted


def test_an_edited_copy_with_another_face_of_the_person_is_refused(
    bank: FaceBank, brothers: Path, tmp_path: Path
) -> None:
    assert bank.confirm(brothers, "Jeb", 1).accepted
    retitled = tmp_path / "retitled.jpg"
    retitled.write_bytes(brothers.read_bytes()[:2] + b"\xff\xfe\0\x07title" + brothers.read_bytes()[2:])
    refused = bank.confirm(retitled, "Jeb", 2)
    assert refused.reason is FeedbackReason.OTHER_FACE_IS_THE_PERSON
    assert "another face of the photo is a sample" in refused.detail


def test_merging_different_people_requires_force(bank: FaceBank) -> None:
    with pytest.raises(UsageError, match=r"Eileen and Barack look like two people \(mean similarity .*--force"):
        bank.merge(["Eileen"], "Barack")
    assert count_samples(bank) == {"Barack": 2, "Eileen": 1}
    assert bank.merge(["Eileen"], "Barack", force=True).sample_count == 3


def test_one_person_with_two_names_is_merged(bank: FaceBank) -> None:
    bank.enroll("The President", BLUE_ROOM, force=True)
    assert bank.merge(["The President"], "Barack").sample_count == 3


def test_an_audit_finds_the_two_halves_of_a_wrong_merge(bank: FaceBank, shared: Path) -> None:
    bank.enroll("Kit", shared / "data" / "photos" / "enrol" / "kit_harington")
    assert find_halves(bank.gallery, bank.engine.thresholds.verify) == []
    kit_ids = [sample.id for sample in bank.gallery.samples("Kit")]
    bank.merge(["Kit"], "Barack", force=True)
    audit = audit_gallery(bank.gallery, bank.engine.pack_calibration, threshold=bank.engine.thresholds.verify)
    (finding,) = [finding for finding in audit.findings if finding.names == ("Barack",)]
    assert (finding.kind, finding.sample_ids) == (FindingKind.TWO_PEOPLE, (1, 2, *kit_ids))
    assert finding.commands == (
        "facebank people show Barack",
        "facebank people unmerge Barack",
        "facebank people split Barack --into NEW_NAME",
    )
    assert bank.split("Barack", "Kit Again").sample_count == 2
    assert [sample.id for sample in bank.gallery.samples("Kit Again")] == kit_ids
    with pytest.raises(UsageError, match="do not form two halves"):
        bank.split("Barack", "Somebody")
    with pytest.raises(UsageError, match="No merge into"):
        bank.unmerge("Barack")


def test_people_in_one_photo_are_not_merged(bank: FaceBank, shared: Path) -> None:
    path = shared / "data" / "cases" / "confirm" / "two_people.jpg"
    bank.enroll("Joe", BIDEN)
    for name, face_number in (("Joe", 1), ("Barack", 2)):
        assert bank.confirm(path, name, face_number).accepted
    with pytest.raises(UsageError, match=r"Joe and Barack are two faces of .*two_people\.jpg"):
        bank.merge(["Joe"], "Barack")


def test_samples_of_a_different_person_of_the_same_name_are_not_imported(
    bank: FaceBank, engine: Engine, tmp_path: Path
) -> None:
    with FaceBank.open(tmp_path / "other.facebank") as other:
        other.engine = engine
        other.enroll("Barack", BIDEN)
        other.enroll("Chief", BLUE_ROOM)
        folder = export_gallery(other.gallery, tmp_path / "export").folder
    imported = bank.import_people(folder)
    assert (imported.person_count, imported.sample_count) == (0, 0)
    assert [(refusal.person, refusal.reason) for refusal in imported.refused] == [
        ("Barack", "unlike_the_person"),
        ("Chief", "nearer_to_another"),
    ]
    assert count_samples(bank) == {"Barack": 2, "Eileen": 1}
    assert bank.import_people(folder, force=True).sample_count == 2
    assert count_samples(bank) == {"Barack": 3, "Chief": 1, "Eileen": 1}


def test_an_export_is_imported_completely_into_an_empty_gallery(bank: FaceBank, engine: Engine, tmp_path: Path) -> None:
    bank.merge(["Eileen"], "Barack", force=True)
    folder = export_gallery(bank.gallery, tmp_path / "export").folder
    assert bank.import_people(folder).refused == ()
    with FaceBank.open(tmp_path / "new.facebank", pack="opencv") as new:
        new.engine = engine
        assert (new.import_people(folder).sample_count, new.import_people(folder).duplicates) == (3, 3)
