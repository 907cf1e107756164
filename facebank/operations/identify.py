"""Identification: from an open gallery to its recognizer, and verification of two photos without a gallery."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import GalleryError, StorageError
from facebank.gallery import FaceKey
from facebank.index.gallery_index import open_index
from facebank.media import open_photo
from facebank.operations.inputs import largest_face
from facebank.recognition.cohort import (
    NO_CORRECTION,
    Cohort,
    album_version,
    not_enrolled,
    read_album_people,
    warn_of_unusable_people,
)
from facebank.recognition.confusable import Confusables, common_background
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.facts import BirthDates, identify_without
from facebank.recognition.pairs import least_before
from facebank.recognition.recognizer import Recognizer, Rule, nobody_enrolled
from facebank.recognition.scoring import KnnScorer, PrototypeScorer, masked_scorer
from facebank.recognition.settings import AUTOMATIC, DecisionSettings
from facebank.recognition.training import DEFAULT_CLASSIFIER, TRIED, ClassifierChoice, choose_classifier
from facebank.types import Face, Photo, Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.index.gallery_index import MaskedPeople
    from facebank.index.people_index import PeopleIndex
    from facebank.media import PhotoInput
    from facebank.operations.engine import Engine
    from facebank.packs import Thresholds
    from facebank.recognition.calibration.calibration import Calibrator, StrangersNamed
    from facebank.recognition.calibration.files import Knowledge
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray, Identity


_CHOICE_SETTING = "chosen_classifier"
_ENOUGH_SAMPLES = 5000
"""Number of enrolled samples from which the album's other people are ignored: the enrolled are cohort enough."""


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """A fitted recognizer with the state of the gallery it was fitted to."""

    revision: int  # the gallery's, when it was read
    settings: DecisionSettings  # how decisions are made
    recognizer: Recognizer | None  # makes decisions; None if nobody is enrolled
    choice: ClassifierChoice  # the classifier, and why it is used
    # whether probabilities and the threshold were measured for this classifier; otherwise the threshold is the pack's
    # own and there are no probabilities
    calibrated: bool
    births: BirthDates = field(default_factory=BirthDates)  # birth dates, as far as known
    # number of other people that scores are corrected by: those enrolled but one, and those of the gallery's scan
    others: int = 0
    album_version: int = 0  # `facebank.recognition.cohort.album_version` when it was read


def prepare_identification(gallery: Gallery, engine: Engine, settings: DecisionSettings) -> Identification:
    """Fit a recognizer to a gallery, with its pack.

    Raises `UsageError` (the gallery is too large for the classifier, or has too few people for it) or
    `PackIntegrityError` (the pack's calibration is damaged).
    """
    index = open_index(gallery)
    people = index.people
    if people is None:
        nobody = ClassifierChoice(settings.classifier, "nobody is enrolled")
        return Identification(index.revision, settings, None, nobody, calibrated=False)
    knowledge = engine.knowledge
    choice = _choice(gallery, people, knowledge, settings, index.revision)
    version = album_version(gallery.path)
    further = _album_people(gallery, people)
    if further is None:
        warn_of_unusable_people(gallery.path, gallery.pack.digest, people.dimension)
    recognizer = build_recognizer(
        people,
        index.names,
        _scorer(choice.classifier, people, knowledge, gallery, index.revision),
        classifier=choice.classifier,
        knowledge=knowledge,
        thresholds=engine.thresholds,
        settings=settings,
        strangers=index.strangers,
        masked=index.masked,
        further=further,
    )
    calibrated = recognizer.rule.calibrator is not None
    births = BirthDates.of(index.birth_dates, index.names)
    return Identification(
        index.revision,
        settings,
        recognizer,
        choice,
        calibrated,
        births,
        others=recognizer.others,
        album_version=version,
    )


@dataclass(frozen=True, slots=True)
class AlbumFacts:
    """Facts that decisions in a gallery rest on."""

    # number of other people that scores are corrected by: those enrolled but one, and those of the gallery's scan
    others: int
    in_scan: int  # how many of them are people of the scan who are not enrolled
    # largest fraction of strangers given a name, by threshold and probability; None if nobody is enrolled or nothing is
    # calibrated
    named: StrangersNamed | None


def other_people(gallery: Gallery) -> int:
    """Return how many other people a gallery's album has, for one of those enrolled; 0 if nobody is."""
    people = open_index(gallery).people
    if people is None:
        return 0
    further = _album_people(gallery, people)
    return len(people.people) - 1 + (0 if further is None else len(further))


def described_others(others: int, in_scan: int = 0) -> str:
    """Describe the numbers of an `AlbumFacts` in words."""
    if not others:
        return "no other people; scores are plain similarities"
    counted = counted_others(others)
    if in_scan:
        counted += ", only in the scan" if others == 1 else f", {in_scan} of them only in the scan"
    return f"{counted}; scores are corrected by what other people look like"


def counted_others(others: int) -> str:
    """Return a number of other people in words."""
    return "1 other person" if others == 1 else f"{others or 'no'} other people"


def album_facts(gallery: Gallery, engine: Engine, settings: DecisionSettings) -> AlbumFacts:
    """Return the facts that decisions in a gallery rest on; parameters as for `prepare_identification`."""
    from facebank.recognition.calibration.calibration import named_strangers

    recognizer = prepare_identification(gallery, engine, settings).recognizer
    if recognizer is None or recognizer.rule.calibrator is None:
        return AlbumFacts(0, 0, None)
    named = named_strangers(
        recognizer.rule.calibrator,
        recognizer.samples,
        fpir=settings.fpir,
        stranger_share=settings.stranger_share,
        least_probability=settings.least_probability,
        further=recognizer.further,
    )
    return AlbumFacts(recognizer.others, recognizer.further, named)


def _album_people(gallery: Gallery, people: PeopleIndex) -> FloatArray | None:
    """Return the mean embedding of each person of the gallery's scan who is not enrolled; None for nobody."""
    if people.count > _ENOUGH_SAMPLES:
        return None
    further = read_album_people(gallery.path, gallery.pack.digest, people.dimension)
    return None if further is None else not_enrolled(further, people)


def build_recognizer(
    people: PeopleIndex,
    names: Mapping[int, str],
    scorer: PersonScorer,
    *,
    classifier: str,
    knowledge: Knowledge,
    thresholds: Thresholds,
    settings: DecisionSettings,
    strangers: FloatArray | None = None,
    masked: MaskedPeople | None = None,
    further: FloatArray | None = None,
) -> Recognizer:
    """Assemble a recognizer.

    Parameters
    ----------
    people
        The enrolled people.
    names
        Their names by their numbers.
    scorer, classifier
        The fitted classifier, and its name.
    knowledge, thresholds
        The pack's calibration, and its own thresholds where nothing is calibrated.
    settings
        How decisions are made.
    strangers
        Embeddings of remembered strangers, ``(S, D)``; None for none.
    masked
        The same people as they look in masks, for faces with a hidden mouth; None to treat them alike.
    further
        Mean embeddings of the album's people who are not enrolled, ``(G, D)``; None for none.
    """
    calibrator = None if knowledge.calibration is None else knowledge.calibration.of(classifier)
    correction = NO_CORRECTION if calibrator is None else calibrator.correction
    cohort = Cohort(people, further, correction)
    common = max(cohort.common, common_background(knowledge.background))
    pairs = None if knowledge.calibration is None else knowledge.calibration.pairs
    return Recognizer(
        people,
        names,
        scorer,
        _rule(calibrator, people.counts, thresholds, settings, 0 if further is None else len(further)),
        strangers=strangers,
        confusables=Confusables(people, pairs, common),
        for_hidden_mouths=None if masked is None or classifier != "prototype" else masked_scorer(masked),
        cohort=cohort if correction.share else None,
    )


def identified_photo(photo: Photo, gallery: Gallery, identification: Identification) -> Photo:
    """Decide whose the faces of a photo are, by `prepare_identification` and the gallery's denials."""
    recognizer, faces = identification.recognizer, photo.faces
    if recognizer is None:
        identities = nobody_enrolled(faces)
    else:
        with suppress(GalleryError, StorageError):  # a read-only gallery learns nothing
            gallery.learn_picture(photo.content_hash, photo.picture_hash)
        denied = [gallery.denials_of(FaceKey.found(photo, face)) for face in faces]
        dated = photo.taken_at if photo.camera_dated else None
        unborn = {} if dated is None else identification.births.unborn(dated)
        identities = (
            identify_without(recognizer, faces, denied, unborn) if unborn else recognizer.identify(faces, denied)
        )
    return replace(photo, opener=open_photo).identified(identities)


def identified_tracks(
    tracks: Sequence[Sequence[Face]], identification: Identification, together: Sequence[Sequence[int]]
) -> list[Identity]:
    """Decide who people are that are seen several times each, such as on the tracks of a video.

    Parameters
    ----------
    tracks
        Each person's faces, at least one.
    identification
        As `prepare_identification` returns it.
    together
        Positions of tracks that are seen at the same time: no two of them get one name.
    """
    recognizer = identification.recognizer
    if recognizer is None:
        return nobody_enrolled([faces[0] for faces in tracks])
    return recognizer.identify_tracks(tracks, together)


def _choice(
    gallery: Gallery,
    people: PeopleIndex,
    knowledge: Knowledge,
    settings: DecisionSettings,
    revision: int,
) -> ClassifierChoice:
    if settings.classifier != AUTOMATIC:
        return ClassifierChoice(settings.classifier, "it is the one asked for")
    kinds = _worth_choosing(knowledge)
    kept = gallery.read_setting(_CHOICE_SETTING)
    if isinstance(kept, dict) and kept.get("revision") == revision and kept.get("classifier") in kinds:
        return ClassifierChoice(str(kept["classifier"]), str(kept.get("why", "")))
    choice = choose_classifier(Enrolled.of(people), knowledge.background, kinds)
    if not gallery.read_only:
        try:
            gallery.write_setting(
                _CHOICE_SETTING, {"revision": revision, "classifier": choice.classifier, "why": choice.why}
            )
        except GalleryError:
            return choice  # another process is writing: chosen again next time
    return choice


def _worth_choosing(knowledge: Knowledge) -> list[str]:
    """Return the classifiers to choose from: only calibrated ones if there are any."""
    known = knowledge.calibration
    return [kind for kind in TRIED if kind == DEFAULT_CLASSIFIER or known is None or known.of(kind) is not None]


def _scorer(
    classifier: str, people: PeopleIndex, knowledge: Knowledge, gallery: Gallery, revision: int
) -> PersonScorer:
    if classifier == "prototype":
        return PrototypeScorer(people)
    if classifier == "knn":
        return KnnScorer(people)
    from facebank.gallery.derived import wipe_derived
    from facebank.recognition.coefficient_cache import fit_cached

    with suppress(GalleryError, StorageError):  # nobody is forgotten in a read-only gallery
        gallery.note_place()
    fitted = fit_cached(
        classifier,
        Enrolled.of(people),
        knowledge.background,
        gallery=gallery.path,
        revision=revision,
        pack_digest=gallery.pack.digest,
    )
    if gallery.revision != revision:
        wipe_derived(gallery.path)  # somebody may have been forgotten while the coefficients were written
    return fitted.scorer()


def _rule(
    calibrator: Calibrator | None,
    samples: NDArray[np.int64],
    thresholds: Thresholds,
    settings: DecisionSettings,
    further: int,
) -> Rule:
    return Rule(
        threshold=thresholds.known if calibrator is None else calibrator.threshold(samples, settings.fpir, further),
        margin=thresholds.margin,
        minimum_quality=thresholds.minimum_quality,
        stranger_likeness=thresholds.verify,
        calibrator=calibrator,
        stranger_share=settings.stranger_share,
        least_probability=settings.least_probability,
        allow_twice=settings.allow_twice,
        least_before_alike=least_before(settings.confusable_error),
    )


def compare_photos(engine: Engine, a: PhotoInput, b: PhotoInput) -> Verification:
    """Compare the largest faces of two photos; `PhotoError` if one cannot be read or shows no face."""
    engine.preload()
    photos = [open_photo(a), open_photo(b)]
    first, second = (largest_face(analyzed) for analyzed in engine.analyzer.analyze(photos))
    similarity = float(first.embedding @ second.embedding)
    threshold = engine.thresholds.verify
    return Verification(photos[0].path, photos[1].path, similarity, threshold, similarity >= threshold)
