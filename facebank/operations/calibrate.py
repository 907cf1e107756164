"""Calibration of a pack's scores from photos of known people and of strangers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError, UsageError
from facebank.media import read_photo
from facebank.operations.inputs import check_any_exists, gather_photos, no_photos_error
from facebank.operations.person_folders import people_in_tree
from facebank.recognition.calibration.background import MIN_BACKGROUND_PEOPLE, Background
from facebank.recognition.calibration.calibration import Calibration
from facebank.recognition.calibration.fitting import SIZES_OF_FITTED, calibrated_sizes, fit_calibrator
from facebank.recognition.calibration.reliability import (
    DEFAULT_EFFORT,
    FPIR,
    Reliability,
    count_cross_fit_galleries,
    count_fit_galleries,
    cross_fit,
)
from facebank.recognition.calibration.simulation import Identities
from facebank.recognition.scoring import CLASSIFIERS
from facebank.recognition.training import FITTED
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.gallery import PackIdentity
    from facebank.operations.engine import Engine
    from facebank.recognition.calibration.calibration import Calibrator
    from facebank.recognition.calibration.fitting import Effort
    from facebank.types import DecodedPhoto, Face, FloatArray


SAME_PHOTO = 0.95
"""Similarity above which two faces count as copies of one photo."""

_BLOCK_ROWS = 512


class UnusedReason(Enum):
    """The reason why a photo's face is not used."""

    UNREADABLE = "unreadable"
    NO_FACE = "no_face"
    TOO_POOR = "too_poor"
    SAME_PHOTO = "same_photo"
    TWO_PEOPLE = "two_people"


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """A photo of a known person, or of strangers."""

    path: Path
    person: str | None  # the person's name; None for strangers


@dataclass(frozen=True, slots=True)
class ConflictingPhotos:
    """Two photos of one face in the folders of two people, or of a person and the strangers."""

    first: AlbumPhoto
    second: AlbumPhoto


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationFaces:
    """The faces of known people and strangers for a calibration."""

    identities: Identities  # the faces; strangers are people with one photo each
    people: int  # number of people with a folder
    left_out: Mapping[UnusedReason, int]  # number of unused photos, or strangers' faces, by reason
    # photos of one face in the folders of two people, which are not used; or of a person and the strangers, of which
    # the person's is used
    two_people: tuple[ConflictingPhotos, ...]

    @property
    def strangers(self) -> int:
        """Number of used strangers' faces."""
        return len(self.identities.photos) - self.people


def find_album(folder: Path, strangers: Path | None = None) -> list[AlbumPhoto]:
    """Return photos of known people and of strangers.

    Parameters
    ----------
    folder
        A folder with one subfolder for each known person.
    strangers
        A folder, or one photo, of other people; None for no strangers.

    Raises
    ------
    UsageError
        `folder` is not a folder.
    PhotoNotFoundError
        There are no photos, or `strangers` does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"{printable(str(folder))} is not a folder: name a folder with one subfolder for each person")
    people = people_in_tree(folder, "name a folder with one subfolder for each person")
    album = [AlbumPhoto(path, person.name) for person in people for path in gather_photos(person.paths).photos]
    if not album:
        raise no_photos_error([folder])
    if strangers is not None:
        check_any_exists([strangers])
        stranger_paths = gather_photos([strangers]).photos
        if not stranger_paths:
            raise no_photos_error([strangers])
        album += [AlbumPhoto(path, None) for path in stranger_paths]
    return album


def read_faces(album: list[AlbumPhoto], engine: Engine, progress: Progress = SILENT) -> CalibrationFaces:
    """Return the faces of an album: the largest face of a person's photo, all of a stranger's.

    Raises `UsageError` if no face is usable. `progress` is advanced by each photo.
    """
    left_out: Counter[UnusedReason] = Counter()
    analyzed: list[AlbumPhoto] = []
    used: list[tuple[AlbumPhoto, Face]] = []

    def readable() -> Iterator[DecodedPhoto]:
        for entry in album:
            try:
                photo = read_photo(entry.path)
            except PhotoError:
                left_out[UnusedReason.UNREADABLE] += 1
                progress.advance()
            else:
                analyzed.append(entry)
                yield photo

    progress.begin("Reading photos", len(album))
    for index, analyzed_photo in enumerate(engine.analyzer.analyze(readable())):
        entry = analyzed[index]
        faces = analyzed_photo.faces if entry.person is None else analyzed_photo.faces[:1]
        good = [face for face in faces if face.quality >= engine.thresholds.minimum_quality]
        left_out[UnusedReason.NO_FACE] += not faces
        left_out[UnusedReason.TOO_POOR] += len(faces) - len(good)
        used += [(entry, face) for face in good]
        progress.advance()
    if not used:
        raise UsageError(
            f"none of the {len(album):,} photos, such as {printable(str(album[0].path))}, shows a face of sufficient "
            "quality: add sharp photos of larger faces"
        )
    return _exclude_copies(used, left_out)


def _exclude_copies(used: list[tuple[AlbumPhoto, Face]], left_out: Counter[UnusedReason]) -> CalibrationFaces:
    embeddings = np.stack([face.embedding for _, face in used])
    is_unique, two_people = _find_unique_faces([entry for entry, _ in used], embeddings, left_out)
    if not is_unique.any():
        first, second = two_people[0].first.path, two_people[0].second.path
        raise UsageError(
            f"every face is in the folders of two people, such as {printable(str(first))} and "
            f"{printable(str(second))}: keep each photo in the folder of one person"
        )
    chosen = [photo_and_face for photo_and_face, unique in zip(used, is_unique, strict=True) if unique]
    # Each stranger is one person, keyed by a number, which cannot be a folder's name.
    people = [entry.person if entry.person is not None else index for index, (entry, _) in enumerate(chosen)]
    ids_by_person = {person: person_id for person_id, person in enumerate(dict.fromkeys(people))}
    return CalibrationFaces(
        identities=Identities(
            embeddings[is_unique],
            np.array([ids_by_person[person] for person in people], dtype=np.int64),
            np.array([face.quality for _, face in chosen], dtype=np.float32),
        ),
        people=sum(isinstance(person, str) for person in ids_by_person),
        left_out={reason: left_out[reason] for reason in UnusedReason},
        two_people=tuple(two_people),
    )


def _find_unique_faces(
    entries: list[AlbumPhoto], embeddings: FloatArray, left_out: Counter[UnusedReason]
) -> tuple[NDArray[np.bool_], list[ConflictingPhotos]]:
    """Return which faces to keep, ``bool`` of shape ``(N,)``, and the conflicting photos.

    Of the copies of one photo the first is kept; none if they are in the folders of two people.
    """
    is_unique = np.ones(len(entries), dtype=np.bool_)
    two_people: list[ConflictingPhotos] = []
    for first, copies in _near_duplicates(embeddings):
        remaining = [second for second in copies if is_unique[second]]
        if not is_unique[first] or not remaining:
            continue
        person = entries[first].person
        other_people = [second for second in remaining if entries[second].person not in (None, person)]
        two_people += [ConflictingPhotos(entries[first], entries[second]) for second in other_people]
        if person is not None:
            two_people += [
                ConflictingPhotos(entries[first], entries[second])
                for second in remaining
                if entries[second].person is None
            ]
        for second in remaining:
            left_out[UnusedReason.TWO_PEOPLE if entries[second].person != person else UnusedReason.SAME_PHOTO] += 1
        is_unique[remaining] = False
        if other_people:
            left_out[UnusedReason.TWO_PEOPLE] += 1
            is_unique[first] = False
    return is_unique, two_people


def _near_duplicates(embeddings: FloatArray) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each face that has later copies, and the copies."""
    for start in range(0, len(embeddings), _BLOCK_ROWS):
        is_similar = embeddings[start : start + _BLOCK_ROWS] @ embeddings[start:].T >= SAME_PHOTO
        for row in np.flatnonzero(is_similar.sum(axis=1) > 1):
            later = np.flatnonzero(is_similar[row, row + 1 :]) + row + 1
            yield start + int(row), later + start


LARGE_GALLERY = 100
"""Number of people from which simulated galleries predict the rates of larger ones."""

DEFAULT_CLASSIFIERS = ("prototype", "knn")
"""The classifiers calibrated by default, which need no fitting."""


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """A plan for a calibration."""

    classifiers: tuple[str, ...]  # classifiers to calibrate, in the order of `facebank.recognition.scoring.CLASSIFIERS`
    galleries: Mapping[str, int]  # number of simulated galleries for each of these classifiers
    left_out: Mapping[str, str]  # the reason why another requested classifier cannot be calibrated, by name


@dataclass(frozen=True, slots=True)
class CalibratedSize:
    """The results of a calibration for galleries of one size."""

    people: int  # number of enrolled people
    threshold: float | None  # at one sample per person and the FPIR of `Reliability`; None if not simulated
    reliability: Reliability | None  # None if not measured


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """A calibration, its background (None with too few people), and its measured reliability.

    The rates of `reliability` are measured on people not used for fitting; empty with too few people for two halves.
    """

    calibration: Calibration
    background: Background | None
    reliability: Mapping[str, tuple[Reliability, ...]]

    @property
    def largest_gallery(self) -> int:
        """Number of people in the largest gallery that was simulated for every classifier."""
        return min(calibrator.tables[-1].size for calibrator in self.calibration.calibrators)

    @property
    def covers_large_galleries(self) -> bool:
        """Whether `largest_gallery` is `LARGE_GALLERY` or more."""
        return self.largest_gallery >= LARGE_GALLERY

    def sizes_of(self, calibrator: Calibrator) -> list[CalibratedSize]:
        """Return the results of a calibrator for some gallery sizes; the simulated ones are too many for a table."""
        simulated = {table.size for table in calibrator.tables}
        by_size = {measured.size: measured for measured in self.reliability[calibrator.classifier]}
        return [
            CalibratedSize(
                size,
                calibrator.threshold(np.ones(size, np.int64), FPIR) if size in simulated else None,
                by_size.get(size),
            )
            for size in SIZES_OF_FITTED
        ]


def select_classifiers(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classifiers to calibrate.

    `names` are from `facebank.recognition.scoring.CLASSIFIERS`, or ``all``; empty for `DEFAULT_CLASSIFIERS`. Raises
    `UsageError` for other names.
    """
    unknown = [name for name in names or () if name not in {*CLASSIFIERS, "all"}]
    if unknown:
        raise UsageError(f"unknown classifier {printable(unknown[0])}: choose from {', '.join(CLASSIFIERS)}, all")
    if not names:
        return DEFAULT_CLASSIFIERS
    return tuple(name for name in CLASSIFIERS if name in names or "all" in names)


def plan_calibration(
    identities: Identities, classifiers: Sequence[str] = DEFAULT_CLASSIFIERS, effort: Effort = DEFAULT_EFFORT
) -> CalibrationPlan:
    """Return a plan of a calibration with these people and classifiers: see `select_classifiers`.

    Raises `UsageError` if a classifier is unknown, or there are too few people.
    """
    people = len(identities.photos)
    selected = select_classifiers(classifiers)
    try:
        calibrated_sizes(identities, selected[0])
    except UsageError as error:
        raise UsageError(f"{error} Add photos of more people; strangers count as people with one photo.") from error
    left_out = {
        name: f"its background needs {MIN_BACKGROUND_PEOPLE} people; there are {people}"
        for name in selected
        if name in FITTED and people < MIN_BACKGROUND_PEOPLE
    }
    chosen = tuple(name for name in selected if name not in left_out)
    if not chosen:
        raise UsageError(f"{selected[0]} cannot be calibrated: {left_out[selected[0]]}; add photos of more people")
    return CalibrationPlan(chosen, {name: _count_galleries(identities, name, effort) for name in chosen}, left_out)


def _count_galleries(identities: Identities, classifier: str, effort: Effort) -> int:
    fitted = count_fit_galleries(identities, classifier, effort)
    return fitted + count_cross_fit_galleries(identities, classifier, effort=effort)


def calibrate(
    identities: Identities,
    pack: PackIdentity,
    classifiers: Sequence[str],
    made_from: str,
    *,
    effort: Effort = DEFAULT_EFFORT,
    progress: Progress = SILENT,
) -> CalibrationResult:
    """Return a calibration of a pack's scores.

    Parameters
    ----------
    identities
        Known people and strangers, embedded by the pack.
    pack
        The pack.
    classifiers
        The classifiers of a `CalibrationPlan`.
    made_from
        Description of the photos.
    effort
        Amount of simulation.
    progress
        Advanced with each simulated gallery.

    Raises
    ------
    UsageError
        There are too few people, or their embeddings do not distinguish them.
    """
    has_enough_people = len(identities.photos) >= MIN_BACKGROUND_PEOPLE
    background = Background.measure(identities.embeddings, identities.person_ids) if has_enough_people else None
    calibrators, reliability = [], {}
    progress.begin("Simulating galleries", sum(_count_galleries(identities, name, effort) for name in classifiers))
    for classifier in classifiers:
        calibrators.append(fit_calibrator(identities, classifier, background, effort=effort, progress=progress))
        reliability[classifier] = cross_fit(identities, classifier, effort=effort, progress=progress)
    calibration = Calibration(
        pack_digest=pack.digest,
        made_from=printable(made_from),
        people=len(identities.photos),
        photos=len(identities.person_ids),
        calibrators=tuple(calibrators),
    )
    return CalibrationResult(calibration, background, reliability)
