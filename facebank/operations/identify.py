"""Identification with a gallery's recognizer, and verification of two photos without a gallery."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import GalleryError, StorageError
from facebank.gallery import FaceKey
from facebank.index.gallery_index import open_index, read_with_retry
from facebank.media import open_photo
from facebank.operations.inputs import largest_face
from facebank.recognition.classifier_choice import (
    COMPARED,
    DEFAULT_CLASSIFIER,
    ClassifierChoice,
    choose_classifier,
)
from facebank.recognition.cohort import NO_CORRECTION, Cohort, exclude_enrolled
from facebank.recognition.cohort_file import album_version, read_album_people, warn_of_unusable_people
from facebank.recognition.confusable import Confusables, common_background
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.facts import BirthDates, identify_without_unborn
from facebank.recognition.pairs import min_pair_probability
from facebank.recognition.recognizer import Recognizer, Rule, empty_gallery_identities
from facebank.recognition.scoring import KnnScorer, PrototypeScorer, masked_scorer
from facebank.recognition.settings import AUTOMATIC, DecisionSettings
from facebank.storage.text import pluralize
from facebank.types import Face, Photo, Verification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.index.gallery_index import GalleryIndex, MaskedPeople
    from facebank.index.people_index import PeopleIndex
    from facebank.media import PhotoInput
    from facebank.operations.engine import Engine
    from facebank.packs import Thresholds
    from facebank.recognition.calibration.calibration import Calibrator, NamedStrangerBound
    from facebank.recognition.calibration.files import PackCalibration
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray, Identity


_CHOICE_SETTING = "chosen_classifier"
_ENOUGH_SAMPLES = 5000
"""Number of enrolled samples above which the album's other people are ignored: the enrolled people suffice."""


@dataclass(frozen=True, slots=True)
class DecisionBasis:
    """The state that a recognizer is fitted to: equal states give equal decisions, apart from denials."""

    revision: int  # the gallery's revision
    settings: DecisionSettings
    album_version: int  # `facebank.recognition.cohort_file.album_version`
    pack_calibration: PackCalibration  # the pack's calibration


def decision_basis(gallery: Gallery, engine: Engine, settings: DecisionSettings) -> DecisionBasis:
    """Return the current basis of decisions in a gallery; parameters as for `prepare_identification`."""
    return DecisionBasis(gallery.revision, settings, album_version(gallery.path), engine.pack_calibration)


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """A fitted recognizer with the state of the gallery it was fitted to."""

    basis: DecisionBasis
    recognizer: Recognizer | None  # None if nobody is enrolled
    choice: ClassifierChoice  # the classifier and the reason for it
    # whether probabilities and the threshold were measured for this classifier; otherwise the pack's own threshold
    # applies, without probabilities
    calibrated: bool
    births: BirthDates = field(default_factory=BirthDates)  # known birth dates
    # number of other people in the correction of scores: the other enrolled people, and people of the gallery's scan
    other_people: int = 0
    index: GalleryIndex | None = None  # the index in use; None if nobody is enrolled

    @property
    def revision(self) -> int:
        """The gallery's revision at the time of reading."""
        return self.basis.revision

    @property
    def settings(self) -> DecisionSettings:
        """The decision settings."""
        return self.basis.settings

    @property
    def is_lost(self) -> bool:
        """Whether the index was overwritten, so that it is unusable."""
        return self.index is not None and self.index.is_lost


def prepare_identification(gallery: Gallery, engine: Engine, settings: DecisionSettings) -> Identification:
    """Return a recognizer fitted to a gallery.

    Its decisions may raise `ReadAgainError`: see `facebank.index.gallery_index.read_with_retry`.

    Parameters
    ----------
    gallery
        The gallery.
    engine
        The gallery's pack.
    settings
        The decision settings.

    Raises
    ------
    UsageError
        The gallery is too large for the classifier, or has too few people for it.
    PackIntegrityError
        The pack's calibration is damaged.
    """
    return read_with_retry(lambda: _prepare(gallery, engine, settings))


def _prepare(gallery: Gallery, engine: Engine, settings: DecisionSettings) -> Identification:
    version, pack_calibration = album_version(gallery.path), engine.pack_calibration  # read first
    index = open_index(gallery)
    basis, people = DecisionBasis(index.revision, settings, version, pack_calibration), index.people
    if people is None:
        nobody = ClassifierChoice(settings.classifier, "nobody is enrolled")
        return Identification(basis, None, nobody, calibrated=False)
    choice = _choose_classifier(gallery, people, pack_calibration, settings, index.revision)
    unenrolled_prototypes = _album_people(gallery, people)
    if unenrolled_prototypes is None:
        warn_of_unusable_people(gallery.path, gallery.pack.digest, people.dimension)
    recognizer = build_recognizer(
        people,
        index.names,
        _build_scorer(choice.classifier, people, pack_calibration, gallery, index.revision),
        classifier=choice.classifier,
        pack_calibration=pack_calibration,
        thresholds=engine.thresholds,
        settings=settings,
        strangers=index.strangers,
        masked=index.masked,
        unenrolled_prototypes=unenrolled_prototypes,
    )
    calibrated = recognizer.rule.calibrator is not None
    births = BirthDates.from_texts(index.birth_dates, index.names)
    return Identification(
        basis,
        recognizer,
        choice,
        calibrated,
        births,
        other_people=recognizer.other_people,
        index=index,
    )


@dataclass(frozen=True, slots=True)
class AlbumFacts:
    """Facts about the album that decisions depend on."""

    # number of other people in the correction of scores: the other enrolled people, and people of the gallery's scan
    other_people: int
    unenrolled: int  # number of them who are people of the scan and not enrolled
    # upper bound on the fraction of strangers named; None if nobody is enrolled or the classifier is not
    # calibrated
    named: NamedStrangerBound | None


def count_other_people(gallery: Gallery) -> int:
    """Return the number of other people in a gallery's album, for an enrolled person; 0 if nobody is enrolled."""

    def count() -> int:
        people = open_index(gallery).people
        if people is None:
            return 0
        unenrolled_prototypes = _album_people(gallery, people)
        return len(people.person_ids) - 1 + (0 if unenrolled_prototypes is None else len(unenrolled_prototypes))

    return read_with_retry(count)


def describe_others(other_people: int, unenrolled: int = 0) -> str:
    """Return the numbers of an `AlbumFacts` in words."""
    if not other_people:
        return "no other people; scores are plain similarities"
    others_text = count_in_words(other_people)
    if unenrolled:
        others_text += ", only in the scan" if other_people == 1 else f", {unenrolled} of them only in the scan"
    return f"{others_text}; scores are corrected by what other people look like"


def count_in_words(other_people: int) -> str:
    """Return a number of other people in words."""
    return pluralize(other_people, "other person", "other people") if other_people else "no other people"


def album_facts(gallery: Gallery, engine: Engine, settings: DecisionSettings) -> AlbumFacts:
    """Return the facts that decisions in a gallery depend on; parameters as for `prepare_identification`."""
    from facebank.recognition.calibration.calibration import named_strangers

    recognizer = prepare_identification(gallery, engine, settings).recognizer
    if recognizer is None or recognizer.rule.calibrator is None:
        return AlbumFacts(0, 0, None)
    named = named_strangers(
        recognizer.rule.calibrator,
        recognizer.sample_counts,
        fpir=settings.fpir,
        stranger_share=settings.stranger_share,
        least_probability=settings.least_probability,
        unenrolled=recognizer.unenrolled,
    )
    return AlbumFacts(recognizer.other_people, recognizer.unenrolled, named)


def _album_people(gallery: Gallery, people: PeopleIndex) -> FloatArray | None:
    """Return the mean embedding of each person of the gallery's scan who is not enrolled; None if there are none."""
    if people.count > _ENOUGH_SAMPLES:
        return None
    album = read_album_people(gallery.path, gallery.pack.digest, people.dimension)
    return None if album is None else exclude_enrolled(album, people)


def build_recognizer(
    people: PeopleIndex,
    names: Mapping[int, str],
    scorer: PersonScorer,
    *,
    classifier: str,
    pack_calibration: PackCalibration,
    thresholds: Thresholds,
    settings: DecisionSettings,
    strangers: FloatArray | None = None,
    masked: MaskedPeople | None = None,
    unenrolled_prototypes: FloatArray | None = None,
) -> Recognizer:
    """Return a recognizer with the correction, confusable people and rule of its calibration.

    Parameters
    ----------
    people
        The enrolled people.
    names
        Names by person id.
    scorer, classifier
        The fitted classifier, and its name.
    pack_calibration, thresholds
        The pack's calibration, and its thresholds for uncalibrated classifiers.
    settings
        The decision settings.
    strangers
        Embeddings of remembered strangers, ``(S, D)``; None for none.
    masked
        The same people for faces with a hidden mouth; None to treat all faces alike.
    unenrolled_prototypes
        Mean embeddings of the album's people who are not enrolled, ``(G, D)``; None for none.
    """
    calibrator = None if pack_calibration.calibration is None else pack_calibration.calibration.calibrator(classifier)
    correction = NO_CORRECTION if calibrator is None else calibrator.correction
    cohort = Cohort(people, unenrolled_prototypes, correction)
    common = max(cohort.common, common_background(pack_calibration.background))
    pairs = None if pack_calibration.calibration is None else pack_calibration.calibration.pairs
    return Recognizer(
        people,
        names,
        scorer,
        _build_rule(calibrator, people.counts, thresholds, settings, cohort.unenrolled),
        strangers=strangers,
        confusables=Confusables(people, pairs, common),
        hidden_mouth_scorer=None if masked is None or classifier != "prototype" else masked_scorer(masked),
        cohort=cohort if correction.share else None,
    )


def identify_photo(photo: Photo, gallery: Gallery, identification: Callable[[], Identification]) -> Photo:
    """Return a photo with the identities of its faces, from the current identification and the gallery's denials."""
    identities = read_with_retry(lambda: _identify_faces(photo, gallery, identification()))
    return replace(photo, opener=open_photo).identified(identities)


def _identify_faces(photo: Photo, gallery: Gallery, identification: Identification) -> list[Identity]:
    recognizer, faces = identification.recognizer, photo.faces
    if recognizer is None:
        return empty_gallery_identities(faces)
    with suppress(GalleryError, StorageError):  # a read-only gallery cannot store it
        gallery.add_picture_hash(photo.content_hash, photo.picture_hash)
    denied = [gallery.denials_of(FaceKey.from_photo(photo, face)) for face in faces]
    dated = photo.taken_at if photo.camera_dated else None
    unborn = {} if dated is None else identification.births.born_after(dated)
    return identify_without_unborn(recognizer, faces, denied, unborn) if unborn else recognizer.identify(faces, denied)


def identify_tracks(
    tracks: Sequence[Sequence[Face]], identification: Callable[[], Identification], together: Sequence[Sequence[int]]
) -> list[Identity]:
    """Return the identities of people with several faces each, such as tracks of a video.

    Parameters
    ----------
    tracks
        Each person's faces, at least one.
    identification
        Returns the current identification, such as `facebank.FaceBank.identification`.
    together
        Groups of indices of simultaneous tracks, which get different names.
    """

    def identify() -> list[Identity]:
        recognizer = identification().recognizer
        if recognizer is None:
            return empty_gallery_identities([faces[0] for faces in tracks])
        return recognizer.identify_tracks(tracks, together)

    return read_with_retry(identify)


def _choose_classifier(
    gallery: Gallery,
    people: PeopleIndex,
    pack_calibration: PackCalibration,
    settings: DecisionSettings,
    revision: int,
) -> ClassifierChoice:
    if settings.classifier != AUTOMATIC:
        return ClassifierChoice(settings.classifier, "set explicitly")
    classifiers = _classifiers_to_compare(pack_calibration)
    basis = {
        "revision": revision,
        "background": pack_calibration.background and pack_calibration.background.digest(),
    }
    stored = gallery.read_setting(_CHOICE_SETTING)
    if isinstance(stored, dict) and basis.items() <= stored.items() and stored.get("classifier") in classifiers:
        return ClassifierChoice(str(stored["classifier"]), str(stored.get("why", "")))
    choice = choose_classifier(EnrolledSamples.from_index(people), pack_calibration.background, classifiers)
    if not gallery.read_only:
        try:
            gallery.write_setting(_CHOICE_SETTING, {**basis, "classifier": choice.classifier, "why": choice.reason})
        except GalleryError:
            return choice  # another process is writing: choose again next time
    return choice


def _classifiers_to_compare(pack_calibration: PackCalibration) -> list[str]:
    """Return the classifiers to choose from: calibrated ones if there are any."""
    calibration = pack_calibration.calibration
    return [
        classifier
        for classifier in COMPARED
        if classifier == DEFAULT_CLASSIFIER or calibration is None or calibration.calibrator(classifier) is not None
    ]


def _build_scorer(
    classifier: str, people: PeopleIndex, pack_calibration: PackCalibration, gallery: Gallery, revision: int
) -> PersonScorer:
    if classifier == "prototype":
        return PrototypeScorer(people)
    if classifier == "knn":
        return KnnScorer(people)
    from facebank.gallery.derived import wipe_derived
    from facebank.recognition.coefficient_cache import fit_cached

    with suppress(GalleryError, StorageError):  # in a read-only gallery nobody can be forgotten
        gallery.note_place()
    fitted = fit_cached(
        classifier,
        EnrolledSamples.from_index(people),
        pack_calibration.background,
        gallery=gallery.path,
        revision=revision,
        pack_digest=gallery.pack.digest,
    )
    if gallery.revision != revision:
        wipe_derived(gallery.path)  # a person may have been forgotten while the coefficients were written
    return fitted.scorer()


def _build_rule(
    calibrator: Calibrator | None,
    sample_counts: NDArray[np.int64],
    thresholds: Thresholds,
    settings: DecisionSettings,
    unenrolled: int,
) -> Rule:
    return Rule(
        threshold=thresholds.known
        if calibrator is None
        else calibrator.threshold(sample_counts, settings.fpir, unenrolled),
        margin=thresholds.margin,
        minimum_quality=thresholds.minimum_quality,
        stranger_threshold=thresholds.verify,
        calibrator=calibrator,
        stranger_share=settings.stranger_share,
        least_probability=settings.least_probability,
        allow_twice=settings.allow_twice,
        min_lookalike_probability=min_pair_probability(settings.confusable_error),
    )


def compare_photos(engine: Engine, a: PhotoInput, b: PhotoInput) -> Verification:
    """Return the comparison of the largest faces of two photos; raises `PhotoError` if one has no face."""
    engine.preload()
    photos = [open_photo(a), open_photo(b)]
    first, second = (largest_face(analyzed) for analyzed in engine.analyzer.analyze(photos))
    similarity = float(first.embedding @ second.embedding)
    threshold = engine.thresholds.verify
    return Verification(photos[0].path, photos[1].path, similarity, threshold, similarity >= threshold)


def describe_verification(verification: Verification) -> str:
    """Return the result of a verification in words."""
    return "the same person" if verification.same else "different people"
