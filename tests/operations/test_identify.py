"""Recognizers of galleries with synthetic people and the embedded pack's calibration."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank import FaceBank
from facebank.errors import UsageError
from facebank.gallery import FaceKey, Gallery, NewSample
from facebank.gallery.derived import classifier_file
from facebank.index.indexed_samples import MASK
from facebank.operations.engine import Engine, load_engine
from facebank.operations.identify import describe_others, identify_photo, prepare_identification
from facebank.packs import load_pack
from facebank.recognition import coefficient_cache
from facebank.recognition.calibration.files import CALIBRATION_NAME, user_folder
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.settings import DecisionSettings
from facebank.recognition.training import Coefficients, fit
from facebank.types import (
    MOUTH_HIDDEN,
    AnalyzedPhoto,
    Decision,
    DecodedPhoto,
    Detection,
    Face,
    Identity,
    Photo,
    Quality,
    Reason,
)

if TYPE_CHECKING:
    from facebank.operations.identify import Identification
    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import EnrolledSamples
    from facebank.types import FloatArray

DIMENSION = 128
NAMES = ("Ada", "Ben", "Cleo", "Dan")
DEFAULTS = DecisionSettings()
CALIBRATED_CLASSIFIERS = ("prototype", "knn", "svm", "logistic")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set temporary folders for the cache and calibrations."""
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FACEBANK_CALIBRATIONS", str(tmp_path / "calibrations"))


def embed(person: int, photo_number: int = 0, similarity: float = 0.8) -> FloatArray:
    """Return the embedding of a photo, whose similarity to the direction of its person is `similarity`."""
    direction = np.random.default_rng(person).normal(size=DIMENSION)
    orthogonal = np.random.default_rng([person, photo_number, 1]).normal(size=DIMENSION)
    orthogonal -= orthogonal @ direction / (direction @ direction) * direction
    vector = similarity * direction / np.linalg.norm(direction)
    vector += (1 - similarity**2) ** 0.5 * orthogonal / np.linalg.norm(orthogonal)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def make_sample(embedding: FloatArray) -> NewSample:
    name = hashlib.sha256(embedding.tobytes()).hexdigest()
    detection = (np.array([10, 10, 90, 90], np.float32), np.zeros((5, 2), np.float32), 0.9)
    return NewSample(*detection, 0.9, f"/photos/{name}.jpg", name, 0, None, None, {"plain": embedding})


def make_face(embedding: FloatArray, quality: float = 0.9) -> Face:
    detection = Detection(np.array([10, 10, 90, 90], np.float32), np.zeros((5, 2), np.float32), 0.9)
    return Face(detection.box, detection.landmarks, detection.detection_score, Quality(quality, 80, 1, 1), embedding)


MakeGallery = Callable[..., Gallery]


@pytest.fixture
def engine() -> Engine:
    """The engine of the embedded pack; its networks are never loaded here."""
    return load_engine()


@pytest.fixture
def make_gallery(tmp_path: Path, engine: Engine, request: pytest.FixtureRequest) -> MakeGallery:
    """A function that creates a gallery of synthetic people with the given numbers of samples."""

    def create_gallery(*counts: int, name: str = "some") -> Gallery:
        gallery = Gallery.open(tmp_path / f"{name}.facebank", engine.identity, create=True)
        request.addfinalizer(gallery.close)
        for person, count in enumerate(counts):
            person_name = NAMES[person] if person < len(NAMES) else f"person {person}"
            gallery.enroll(person_name, [make_sample(embed(person, number)) for number in range(count)])
        return gallery

    return create_gallery


@pytest.fixture
def uncalibrated_engine(tmp_path: Path) -> Engine:
    """The engine of the embedded pack without its calibration."""
    folder = tmp_path / "uncalibrated"
    shutil.copytree(load_pack().folder, folder)
    (folder / CALIBRATION_NAME).unlink()
    return load_engine(str(folder))


def decide(identification: Identification, *embeddings: FloatArray) -> list[Identity]:
    assert identification.recognizer is not None
    return [identification.recognizer.identify([make_face(embedding)])[0] for embedding in embeddings]


def threshold(identification: Identification) -> float:
    assert identification.recognizer is not None
    return identification.recognizer.rule.threshold


@pytest.mark.parametrize("classifier", CALIBRATED_CLASSIFIERS)
def test_the_embedded_pack_is_calibrated(classifier: str, make_gallery: MakeGallery, engine: Engine) -> None:
    identification = prepare_identification(make_gallery(3, 2, 1, 1), engine, DecisionSettings(classifier=classifier))
    assert identification.calibrated
    assert identification.choice.classifier == classifier
    identities = decide(identification, embed(0, 50), embed(3, 50), embed(99))
    assert [identity.person for identity in identities] == ["Ada", "Dan", None]
    for identity in identities:
        probabilities = [candidate.probability for candidate in identity.candidates]
        assert all(probability is not None for probability in probabilities)
        assert identity.probability == probabilities[0]
        assert 0 < sum(probability or 0 for probability in probabilities) < 1
    enrolled, _, stranger = identities
    assert (enrolled.probability or 0) > 0.9 > 0.5 > (stranger.probability or 0)


@pytest.mark.parametrize("classifier", ["prototype", "knn", "svm", "svm-rbf", "logistic"])
def test_uncalibrated_packs_use_their_own_threshold(
    classifier: str, make_gallery: MakeGallery, uncalibrated_engine: Engine
) -> None:
    identification = prepare_identification(
        make_gallery(3, 2, 1), uncalibrated_engine, DecisionSettings(classifier=classifier)
    )
    assert not identification.calibrated
    assert threshold(identification) == uncalibrated_engine.thresholds.known
    for identity in decide(identification, embed(0, 50), embed(99)):
        assert identity.probability is None
        assert all(candidate.probability is None for candidate in identity.candidates)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_classifiers_missing_in_the_calibration_are_uncalibrated(
    classifier: str, make_gallery: MakeGallery, uncalibrated_engine: Engine, engine: Engine
) -> None:
    calibration = engine.pack_calibration.calibration
    assert calibration is not None
    other_calibrators = tuple(
        calibrator for calibrator in calibration.calibrators if calibrator.classifier != classifier
    )
    folder = user_folder(engine.identity)
    folder.mkdir(parents=True)
    (folder / CALIBRATION_NAME).write_text(replace(calibration, calibrators=other_calibrators).to_json())
    identification = prepare_identification(
        make_gallery(2, 2), uncalibrated_engine, DecisionSettings(classifier=classifier)
    )
    assert (identification.calibrated, threshold(identification)) == (False, uncalibrated_engine.thresholds.known)


def test_auto_chooses_calibrated_classifiers_only(
    make_gallery: MakeGallery, uncalibrated_engine: Engine, engine: Engine
) -> None:
    gallery, automatic = make_gallery(10, 10, 10, 10), DecisionSettings(classifier="auto")
    assert "knn" in prepare_identification(gallery, engine, automatic).choice.reason
    calibration = engine.pack_calibration.calibration
    assert calibration is not None
    folder = user_folder(engine.identity)
    folder.mkdir(parents=True)
    (folder / CALIBRATION_NAME).write_text(replace(calibration, calibrators=calibration.calibrators[:1]).to_json())
    gallery.enroll("Eve", [make_sample(embed(4, 1))])
    identification = prepare_identification(gallery, uncalibrated_engine, automatic)
    assert identification.calibrated
    assert identification.choice.classifier == "prototype"
    assert "knn" not in identification.choice.reason


def test_the_threshold_depends_on_fpir_and_gallery_size(make_gallery: MakeGallery, engine: Engine) -> None:
    small, large = make_gallery(1, 1), make_gallery(*[1] * 60, name="large")
    rates = [0.001, 0.01, 0.05, 0.2]
    thresholds = [
        [threshold(prepare_identification(gallery, engine, DecisionSettings(fpir=rate))) for rate in rates]
        for gallery in (small, large)
    ]
    assert all(first > second for row in thresholds for first, second in pairwise(row))
    assert all(few < many for few, many in zip(*thresholds, strict=True))


def test_probabilities_decrease_with_the_stranger_share(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    probe = embed(0, 50, 0.5)
    probabilities = [
        decide(prepare_identification(gallery, engine, DecisionSettings(stranger_share=fraction)), probe)[0].probability
        for fraction in (0.01, 0.5, 0.99)
    ]
    assert probabilities == sorted(probabilities, key=lambda value: -(value or 0))
    assert len(set(probabilities)) == 3


@pytest.mark.parametrize("counts", [(), (0, 0)], ids=["empty", "people without samples"])
def test_an_empty_gallery_names_nobody(counts: Sequence[int], make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(*counts)
    identification = prepare_identification(gallery, engine, DEFAULTS)
    assert (identification.recognizer, identification.calibrated) == (None, False)
    photo = identify_photo(make_photo(embed(0), embed(1)).without_pixels, gallery, lambda: identification)
    assert [face.reason for face in photo.faces] == [Reason.GALLERY_EMPTY] * 2


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("samples", [1, 4])
def test_the_only_person_is_always_the_candidate(
    classifier: str, samples: int, make_gallery: MakeGallery, engine: Engine
) -> None:
    identification = prepare_identification(make_gallery(samples), engine, DecisionSettings(classifier=classifier))
    identities = decide(identification, embed(0, 50), embed(99))
    assert [identity.candidates[0].person for identity in identities] == ["Ada", "Ada"]


def test_a_fitted_classifier_needs_negatives(make_gallery: MakeGallery, uncalibrated_engine: Engine) -> None:
    with pytest.raises(UsageError, match="svm needs negatives"):
        prepare_identification(make_gallery(3), uncalibrated_engine, DecisionSettings(classifier="svm"))


def test_people_with_equal_embeddings_are_not_named(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(1, 1)
    nearly = embed(0) + np.float32(1e-3) * embed(7)
    gallery.enroll("Twin", [make_sample(nearly / np.linalg.norm(nearly))])
    for classifier in CLASSIFIERS:
        (identity,) = decide(
            prepare_identification(gallery, engine, DecisionSettings(classifier=classifier)), embed(0, 50)
        )
        assert identity.person is None
        assert {candidate.person for candidate in identity.candidates[:2]} == {"Ada", "Twin"}


def test_people_without_samples_are_not_candidates(make_gallery: MakeGallery, engine: Engine) -> None:
    (identity,) = decide(prepare_identification(make_gallery(1, 0, 1), engine, DEFAULTS), embed(0, 50))
    assert [candidate.person for candidate in identity.candidates] == ["Ada", "Cleo"]


def make_photo(*embeddings: FloatArray) -> AnalyzedPhoto:
    """Return a photo with faces side by side."""
    photo = DecodedPhoto("photo.jpg", np.zeros((200, 200 * len(embeddings), 3), np.uint8), "ab" * 32, True, None)
    faces = []
    for index, embedding in enumerate(embeddings):
        box = np.array([200 * index + 10, 10, 200 * index + 90, 90], np.float32)
        faces.append(Face(box, np.zeros((5, 2), np.float32), 0.9, Quality(0.9, 80, 1, 1), embedding))
    return AnalyzedPhoto(photo, tuple(faces))


def test_a_denial_applies_to_one_face(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    photo = make_photo(embed(0, 50), embed(0, 51))
    gallery.deny("Ada", FaceKey.from_analysis(photo, photo.faces[0]))
    result = identify_photo(photo.without_pixels, gallery, lambda: prepare_identification(gallery, engine, DEFAULTS))
    denied, other = result.faces
    assert "Ada" not in {candidate.person for candidate in denied.candidates}
    assert (denied.person, other.person) == (None, "Ada")
    assert (result.path, result.width, result.height, result.error) == ("photo.jpg", 400, 200, None)


def set_date(photo: AnalyzedPhoto, day: str, *, by_camera: bool = True) -> Photo:
    """Return a photo result with the given date."""
    return replace(photo.without_pixels, taken_at=datetime.fromisoformat(day), camera_dated=by_camera)


def decide_photo(
    photo: Photo, gallery: Gallery, engine: Engine
) -> list[tuple[Decision | None, Reason | None, str | None]]:
    result = identify_photo(photo, gallery, lambda: prepare_identification(gallery, engine, DEFAULTS))
    return [(face.decision, face.reason, face.person) for face in result.faces]


KNOWN_ADA, KNOWN_BEN = ((Decision.KNOWN, Reason.MATCH, name) for name in ("Ada", "Ben"))
UNBORN = (Decision.UNCERTAIN, Reason.BEFORE_BIRTH, None)


def test_nobody_is_named_before_birth(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    gallery.describe("Ada", born="2015-06")
    photo = make_photo(embed(0, 50), embed(1, 50))
    assert decide_photo(set_date(photo, "2010-01-01"), gallery, engine) == [UNBORN, KNOWN_BEN]
    assert decide_photo(set_date(photo, "2015-05-30"), gallery, engine) == [UNBORN, KNOWN_BEN]
    assert decide_photo(set_date(photo, "2015-05-31"), gallery, engine) == [KNOWN_ADA, KNOWN_BEN]
    assert decide_photo(set_date(photo, "2010-01-01", by_camera=False), gallery, engine) == [KNOWN_ADA, KNOWN_BEN]
    assert decide_photo(photo.without_pixels, gallery, engine) == [KNOWN_ADA, KNOWN_BEN]


def test_unborn_people_are_not_candidates(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2, 2)
    gallery.describe("Ada", born="2015")
    photo = set_date(make_photo(embed(0, 50), embed(99)), "2010-01-01")
    result = identify_photo(photo, gallery, lambda: prepare_identification(gallery, engine, DEFAULTS))
    for face in result.faces:
        assert "Ada" not in {candidate.person for candidate in face.candidates}
    assert result.faces[1].reason is Reason.BELOW_THRESHOLD


def test_a_face_like_an_unborn_person_is_not_named(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2)
    mother = 0.55 * embed(0, 0, 1.0) + 0.8 * embed(20, 0, 1.0)
    gallery.enroll("Eve", [make_sample(np.asarray(mother / np.linalg.norm(mother), np.float32))])
    photo = make_photo(embed(0, 50))
    assert decide_photo(photo.without_pixels, gallery, engine) == [KNOWN_ADA]
    gallery.describe("Ada", born="2015")
    assert decide_photo(set_date(photo, "2010-01-01"), gallery, engine) == [UNBORN]
    gallery.deny("Ada", FaceKey.from_analysis(photo, photo.faces[0]))
    assert decide_photo(set_date(photo, "2010-01-01"), gallery, engine) == [(Decision.KNOWN, Reason.MATCH, "Eve")]


def test_nobody_is_named_if_all_are_unborn(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2)
    gallery.describe("Ada", born="2015")
    photo = set_date(make_photo(embed(0, 50), embed(0, 51), embed(99)), "2010-01-01")
    assert decide_photo(photo, gallery, engine) == [UNBORN, UNBORN, (Decision.UNKNOWN, Reason.BELOW_THRESHOLD, None)]


def test_denials_precede_birth_dates(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    gallery.describe("Ada", born="2015")
    photo = make_photo(embed(0, 50))
    gallery.deny("Ada", FaceKey.from_analysis(photo, photo.faces[0]))
    ((outcome, reason, _),) = decide_photo(set_date(photo, "2010-01-01"), gallery, engine)
    assert (outcome, reason) == (Decision.UNKNOWN, Reason.BELOW_THRESHOLD)


def test_a_remembered_stranger_is_not_named(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    before = prepare_identification(gallery, engine, DEFAULTS)
    gallery.remember_stranger(make_sample(embed(99)))
    assert gallery.revision > before.revision
    (identity,) = decide(prepare_identification(gallery, engine, DEFAULTS), embed(99, 1))
    assert (identity.decision, identity.reason) == (Decision.UNKNOWN, Reason.REMEMBERED_STRANGER)


def test_an_identification_is_cached_until_a_change(make_gallery: MakeGallery) -> None:
    with FaceBank.open(make_gallery(2, 2).path) as bank:
        first = bank.identification()
        assert bank.identification() is first
        assert bank.identification(DEFAULTS) is first
        stricter = bank.identification(DecisionSettings(fpir=0.001))
        assert stricter is not first
        assert threshold(stricter) > threshold(first)
        bank.gallery.write_setting("fpir", 0.001)
        assert bank.identification() is stricter
        bank.gallery.enroll("Eve", [make_sample(embed(4))])
        later = bank.identification()
        assert later is not stricter
        assert decide(later, embed(4, 50))[0].person == "Eve"


def test_changes_by_another_process_invalidate_the_cache(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    with FaceBank.open(gallery.path) as bank:
        assert decide(bank.identification(), embed(0, 50))[0].person == "Ada"
        gallery.rename("Ada", "Ada Lovelace")
        assert decide(bank.identification(), embed(0, 50))[0].person == "Ada Lovelace"
        gallery.forget("Ada Lovelace")
        (identity,) = decide(bank.identification(), embed(0, 50))
        assert "Ada Lovelace" not in {candidate.person for candidate in identity.candidates}


def test_the_automatic_choice_is_stored_until_a_change(
    make_gallery: MakeGallery, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery, automatic = make_gallery(10, 10, 10, 10), DecisionSettings(classifier="auto")
    revision = gallery.revision
    first = prepare_identification(gallery, engine, automatic).choice
    assert first.classifier in CLASSIFIERS
    assert "40 samples" in first.reason
    assert gallery.revision == revision
    with monkeypatch.context() as patch:
        patch.delattr("facebank.operations.identify.choose_classifier")
        assert prepare_identification(gallery, engine, automatic).choice == first
    gallery.enroll("Eve", [make_sample(embed(4, number)) for number in range(10)])
    assert "50 samples" in prepare_identification(gallery, engine, automatic).choice.reason


@pytest.mark.parametrize(
    "stored", [7, "svm", [], {}, {"revision": 1}, {"classifier": "svm"}, {"revision": "x", "classifier": ["svm"]}]
)
def test_an_invalid_stored_choice_is_ignored(stored: object, make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(2, 2)
    gallery.write_setting("chosen_classifier", stored)
    choice = prepare_identification(gallery, engine, DecisionSettings(classifier="auto")).choice
    assert (choice.classifier, "too few" in choice.reason) == ("prototype", True)


@pytest.mark.parametrize("classifier", ["auto", *CLASSIFIERS])
def test_a_read_only_gallery_works(classifier: str, make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(10, 10, 10)
    gallery.close()
    before = gallery.path.read_bytes()
    with Gallery.open(gallery.path, engine.identity, read_only=True) as reader:
        identification = prepare_identification(reader, engine, DecisionSettings(classifier=classifier))
        assert decide(identification, embed(1, 50))[0].person == "Ben"
        assert reader.read_setting("chosen_classifier") is None
    assert gallery.path.read_bytes() == before


@pytest.mark.parametrize("classifier", ["svm", "svm-rbf", "logistic"])
def test_fitted_coefficients_are_cached(classifier: str, make_gallery: MakeGallery, engine: Engine) -> None:
    gallery, settings = make_gallery(3, 2, 1), DecisionSettings(classifier=classifier)
    first = prepare_identification(gallery, engine, settings)
    path = classifier_file(gallery.path)
    before = path.stat()
    second = prepare_identification(gallery, engine, settings)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    probes = [embed(0, 50), embed(1, 50), embed(99)]
    assert decide(second, *probes) == decide(first, *probes)
    gallery.enroll("Eve", [make_sample(embed(4))])
    assert decide(prepare_identification(gallery, engine, settings), embed(4, 50))[0].candidates[0].person == "Eve"
    assert path.stat().st_mtime_ns > before.st_mtime_ns


@pytest.mark.parametrize("classifier", ["prototype", "knn"])
def test_classifiers_without_fitting_write_no_cache(classifier: str, make_gallery: MakeGallery, engine: Engine) -> None:
    gallery = make_gallery(3, 2, 1)
    prepare_identification(gallery, engine, DecisionSettings(classifier=classifier))
    assert not classifier_file(gallery.path).exists()


def test_forgetting_a_person_wipes_the_coefficients(make_gallery: MakeGallery, engine: Engine) -> None:
    gallery, settings = make_gallery(3, 2, 1), DecisionSettings(classifier="svm")
    removals: list[Callable[[], object]] = [
        lambda: gallery.forget("Ada"),
        lambda: gallery.remove_sample(gallery.samples("Ben")[0].id),
    ]
    for remove in removals:
        prepare_identification(gallery, engine, settings)
        path = classifier_file(gallery.path)
        link = path.with_name("the same bytes on the disk")
        os.link(path, link)
        size = path.stat().st_size
        remove()
        assert not path.exists()
        assert link.read_bytes() == bytes(size)
        link.unlink()
    (identity,) = decide(prepare_identification(gallery, engine, settings), embed(0, 50))
    assert "Ada" not in {candidate.person for candidate in identity.candidates}


def test_coefficients_written_during_forgetting_are_wiped(
    make_gallery: MakeGallery, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = make_gallery(3, 2, 1)

    def forget_and_fit(
        classifier: str, enrolled: EnrolledSamples, background: Background | None = None
    ) -> Coefficients:
        with Gallery.open(gallery.path) as other:
            other.forget("Ada")
        return fit(classifier, enrolled, background)

    monkeypatch.setattr(coefficient_cache, "fit", forget_and_fit)
    prepare_identification(gallery, engine, DecisionSettings(classifier="svm"))
    assert not classifier_file(gallery.path).exists()


def test_a_masked_face_is_compared_with_masked_prototypes(tmp_path: Path, engine: Engine) -> None:
    plain, masked = embed(1), embed(1, photo_number=7, similarity=0.3)
    ada = replace(make_sample(plain), vectors={"plain": plain, MASK: masked})
    with Gallery.open(tmp_path / "g.facebank", engine.identity, create=True) as gallery:
        gallery.enroll_people([("Ada", [ada]), ("Ben", [make_sample(embed(2))])])
        recognizer = prepare_identification(gallery, engine, DEFAULTS).recognizer
    assert recognizer is not None
    bare = make_face(masked)
    covered = replace(bare, assessment=replace(bare.assessment, weaknesses=(MOUTH_HIDDEN,)))
    open_decision, masked_decision, other = recognizer.identify([bare, covered, make_face(embed(2))])
    assert masked_decision.candidates[0].similarity > open_decision.candidates[0].similarity + 0.1
    assert other.person == "Ben"
    assert masked_decision == recognizer.identify([covered])[0]


@pytest.mark.parametrize(
    ("other_people", "unenrolled", "expected"),
    [
        (0, 0, "no other people; scores are plain similarities"),
        (1, 0, "1 other person; scores are corrected by what other people look like"),
        (1, 1, "1 other person, only in the scan; scores are corrected by what other people look like"),
        (9, 2, "9 other people, 2 of them only in the scan; scores are corrected by what other people look like"),
    ],
)
def test_other_people_of_the_album_are_described(other_people: int, unenrolled: int, expected: str) -> None:
    assert describe_others(other_people, unenrolled) == expected
