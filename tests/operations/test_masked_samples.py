"""Enrollment of masked photos, which are compared with masked faces only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank import FaceBank, read_photo
from facebank.gallery import Gallery, export_gallery, import_gallery
from facebank.operations.identify import prepare_identification
from facebank.recognition.audit import FindingKind, audit_gallery
from facebank.recognition.settings import DecisionSettings
from facebank.types import Decision, EnrollReason
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask
from facebank.vision.quality import HIDDEN_MOUTH, hidden_mouth, provenance
from tests.demo_photos import BIDEN, BLUE_ROOM, COLLINS, OBAMA, SPEECH


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[FaceBank]:
    """A bank of Joe Biden."""
    with FaceBank.open(tmp_path / "test.facebank", device="cpu") as opened:
        opened.enroll("Joe", BIDEN)
        yield opened


def write_masked(bank: FaceBank, path: Path, target: Path, *, shape: MaskShape, color: str) -> Path:
    """Write a copy of a photo in which its person wears a mask, and return the path of the copy."""
    (photo,) = bank.engine.analyzer.analyze([read_photo(path)])
    pixels = draw_mask(photo.photo.pixels, photo.faces[0].landmarks, shape, MASK_COLORS[color], seed=3)
    Image.fromarray(pixels).save(target)
    return target


def test_masked_samples_affect_masked_faces_only(bank: FaceBank, tmp_path: Path) -> None:
    masked_path = write_masked(bank, OBAMA, tmp_path / "worn.png", shape=MaskShape.SURGICAL, color="light blue")
    probe_path = write_masked(bank, BLUE_ROOM, tmp_path / "probe.png", shape=MaskShape.CLOTH, color="black")
    bank.enroll("Barack", SPEECH)
    before_bare, before_masked = (next(bank.identify(path)).faces[0] for path in (OBAMA, probe_path))
    matrix = bank.gallery.vectors().matrix
    report = bank.enroll("Barack", masked_path)
    assert [(photo.accepted, photo.masked) for photo in report.photos] == [(True, True)]
    assert not report.only_masked
    assert [sample.masked for sample in bank.gallery.samples("Barack")] == [False, True]
    np.testing.assert_array_equal(bank.gallery.vectors().matrix, matrix)
    assert len(bank.gallery.vectors(masked=True).matrix) == 1
    assert len(bank.gallery.vectors(masked=None).matrix) == len(matrix) + 1
    after_bare, after_masked = (next(bank.identify(path)).faces[0] for path in (OBAMA, probe_path))
    assert after_bare.identity == before_bare.identity
    assert after_masked.candidates[0].person == "Barack"
    assert after_masked.candidates[0].similarity > before_masked.candidates[0].similarity + 0.02


@pytest.mark.parametrize("classifier", ["knn", "svm"])
def test_other_classifiers_do_not_learn_from_masked_samples(bank: FaceBank, tmp_path: Path, classifier: str) -> None:
    bank.enroll("Eileen", COLLINS)
    settings = DecisionSettings(classifier=classifier)

    def scores() -> list[float]:
        recognizer = prepare_identification(bank.gallery, bank.engine, settings).recognizer
        assert recognizer is not None
        (photo,) = bank.identify(OBAMA)
        return [candidate.similarity for candidate in recognizer.identify([photo.faces[0]])[0].candidates]

    before = scores()
    bank.enroll("Eileen", write_masked(bank, COLLINS, tmp_path / "worn.png", shape=MaskShape.SURGICAL, color="white"))
    assert scores() == before


def test_people_with_masked_samples_only_are_not_candidates_for_bare_faces(bank: FaceBank, tmp_path: Path) -> None:
    masked_path = write_masked(bank, OBAMA, tmp_path / "worn.png", shape=MaskShape.SURGICAL, color="light blue")
    report = bank.enroll("Barack", masked_path)
    assert report.only_masked
    assert report.photos[0].reason is EnrollReason.ENROLLED
    (person,) = (person for person in bank.gallery.people() if person.name == "Barack")
    assert (person.sample_count, person.masked_count) == (1, 1)
    audit = audit_gallery(bank.gallery, bank.engine.pack_calibration)
    assert audit.sample_count == 2
    assert [finding.names for finding in audit.findings if finding.kind is FindingKind.ONLY_MASKED] == [("Barack",)]
    assert not any(
        "Barack" in finding.names for finding in audit.findings if finding.kind is not FindingKind.ONLY_MASKED
    )
    (photo,) = bank.identify(OBAMA)
    assert photo.faces[0].decision is not Decision.KNOWN
    assert "Barack" not in [candidate.person for candidate in photo.faces[0].candidates]
    assert not bank.enroll("Barack", SPEECH).only_masked


def test_a_gallery_of_masked_samples_only_names_no_bare_face(tmp_path: Path) -> None:
    with FaceBank.open(tmp_path / "test.facebank", device="cpu") as bank:
        masked_path = write_masked(bank, OBAMA, tmp_path / "worn.png", shape=MaskShape.SURGICAL, color="light blue")
        bank.enroll("Barack", masked_path)
        (photo,) = bank.identify(OBAMA)
        assert photo.faces[0].decision is Decision.UNKNOWN
        assert photo.faces[0].candidates == ()
        audit = audit_gallery(bank.gallery)
        assert [finding.kind for finding in audit.findings] == [FindingKind.ONLY_MASKED]


def test_exports_keep_masks(bank: FaceBank, tmp_path: Path) -> None:
    masked_path = write_masked(bank, OBAMA, tmp_path / "worn.png", shape=MaskShape.SURGICAL, color="light blue")
    bank.enroll("Joe", masked_path, force=True)
    export_gallery(bank.gallery, tmp_path / "export")
    with Gallery.open(tmp_path / "other.facebank", bank.engine.identity, create=True) as other:
        import_gallery(other, tmp_path / "export")
        assert [sample.masked for sample in other.samples("Joe")] == [False, True]


def test_real_masks_are_detected(shared: Path) -> None:
    crops = [read_photo(path).pixels for path in sorted((shared / "data" / "hard" / "masks").glob("*.png"))]
    is_hidden = [hidden_mouth(np.ascontiguousarray(crop)) > HIDDEN_MOUTH for crop in crops]
    assert len(is_hidden) >= 50
    assert np.mean(is_hidden) >= 0.85
    assert "Real-World Masked Face Dataset" in provenance()
