"""Enrolment: which face of a photo becomes a person's sample, and why others are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebank.errors import UsageError
from facebank.faces import AnalyzedPhoto, EnrolledPhoto, EnrolmentReason, EnrolmentReport, Face
from facebank.gallery import NewSample, name_key, normalise_name
from facebank.media import encode_thumbnail
from facebank.text import printable

if TYPE_CHECKING:
    from typing import TypeAlias

    from facebank.faces import FloatArray
    from facebank.gallery import Gallery

    Pick: TypeAlias = Literal["largest", "central"]

_SMALLEST_FACE = 32
_LEAST_SHARPNESS = 0.1


@dataclass(frozen=True, slots=True)
class UnreadPhoto:
    """A photo that could not be read, and why."""

    source: str
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class _Undecided:
    """A photo of several faces, kept until the person's other samples are known; its pixels are not."""

    position: int
    source: str
    faces: Sequence[tuple[Face, NewSample]]


class Enroller:
    """Enrols photos of one person after another into a gallery.

    Parameters
    ----------
    gallery
        Where the samples go.
    agreement
        The similarity from which two faces are taken for the same person's, -1..1.
    pick
        Which face of a photo with several is the person's; None to take the one that agrees with the person's other
        samples, and refuse the photo where that is not exactly one.
    thumbnails
        Whether samples keep a small picture of the face.
    """

    def __init__(self, gallery: Gallery, agreement: float, pick: Pick | None = None, thumbnails: bool = True) -> None:
        if pick not in (None, "largest", "central"):
            raise UsageError(f"faces are picked by 'largest' or 'central', not {printable(str(pick))!r}")
        self._gallery = gallery
        self._agreement = agreement
        self._pick = pick
        self._thumbnails = thumbnails

    def enrol(
        self,
        name: str,
        photos: Iterable[AnalyzedPhoto | UnreadPhoto],
        on_photo: Callable[[EnrolledPhoto], None] | None = None,
    ) -> EnrolmentReport:
        """Enrol photos of one person.

        Each accepted photo is kept at once, so that an interruption loses nothing that was reported.

        Parameters
        ----------
        name
            The person; made known with the first accepted photo.
        photos
            Read and analysed lazily.
        on_photo
            Called with each photo's fate as soon as it is known: photos with several faces come last.

        Returns
        -------
        EnrolmentReport
            In the order of the photos.

        Raises
        ------
        InvalidNameError
            Nobody can be called that.
        """
        person = normalise_name(name)
        report: dict[int, EnrolledPhoto] = {}
        undecided: list[_Undecided] = []

        def settle(position: int, fate: EnrolledPhoto) -> None:
            report[position] = fate
            if on_photo is not None:
                on_photo(fate)

        for position, photo in enumerate(photos):
            fate = self._enrol_photo(person, photo, position)
            if isinstance(fate, _Undecided):
                undecided.append(fate)
            else:
                settle(position, fate)
        for waiting in undecided:
            settle(waiting.position, self._enrol_agreeing(person, waiting))
        return EnrolmentReport(person, tuple(report[position] for position in sorted(report)))

    def _enrol_photo(
        self, person: str, photo: AnalyzedPhoto | UnreadPhoto, position: int
    ) -> EnrolledPhoto | _Undecided:
        if isinstance(photo, UnreadPhoto):
            return _refused(photo.source, person, EnrolmentReason.UNREADABLE, photo.error)
        source = photo.photo.source
        if not photo.faces:
            return _refused(source, person, EnrolmentReason.NO_FACE, "no face was found")
        if len(photo.faces) == 1 or self._pick is not None:
            face = _picked(photo, self._pick)
            return self._enrol_face(person, source, face, self._sample(photo, face))
        return _Undecided(position, source, [(face, self._sample(photo, face)) for face in photo.faces])

    def _enrol_agreeing(self, person: str, waiting: _Undecided) -> EnrolledPhoto:
        known = self._embeddings_of(person)
        agreeing = [
            (face, sample)
            for face, sample in waiting.faces
            if len(known) and float((known @ face.embedding).max()) >= self._agreement
        ]
        if len(agreeing) == 1:
            return self._enrol_face(person, waiting.source, *agreeing[0])
        if not len(known):
            why = "there is no other sample to compare them with"
        else:
            why = f"{len(agreeing) or 'none'} of them agree with the other samples"
        return _refused(
            waiting.source,
            person,
            EnrolmentReason.SEVERAL_FACES,
            f"{len(waiting.faces)} faces were found and {why}: choose with --pick largest or --pick central",
        )

    def _embeddings_of(self, person: str) -> FloatArray:
        table = self._gallery.vectors()
        numbers = {name_key(name): number for number, name in self._gallery.names().items()}
        return np.compress(table.person_ids == numbers.get(name_key(person), -1), table.matrix, axis=0)

    def _enrol_face(self, person: str, source: str, face: Face, sample: NewSample) -> EnrolledPhoto:
        refusal = _too_poor(face)
        if refusal is not None:
            return _refused(source, person, *refusal)
        (outcome,) = self._gallery.enrol(person, [sample])
        owner = outcome.duplicate_of_person
        if owner is None:
            reason, detail = EnrolmentReason.ENROLLED, "enrolled"
        elif name_key(owner) == name_key(person):
            reason, detail = EnrolmentReason.ALREADY_ENROLLED, "this face was enrolled before"
        else:
            return _refused(
                source,
                person,
                EnrolmentReason.ENROLLED_AS_ANOTHER,
                f"this very face is enrolled as {printable(owner)}: remove it there first, or merge the two people",
            )
        return EnrolledPhoto(source, person, True, reason, detail, outcome.sample_id)

    def _sample(self, photo: AnalyzedPhoto, face: Face) -> NewSample:
        return NewSample(
            detection=face.detection,
            quality=face.quality.score,
            source=_lasting(photo.photo.source),
            content_hash=photo.photo.content_hash,
            quarter_turns=photo.quarter_turns,
            taken_at=photo.photo.taken_at,
            thumbnail=encode_thumbnail(photo.photo, face.detection.box) if self._thumbnails else None,
            vectors={"plain": face.embedding},
        )


def _lasting(source: str) -> str:
    """Return a photo's path so that it is found again from any folder; what names no file stays as it is."""
    path = Path(source)
    return str(path.absolute()) if path.is_file() else source


def _picked(photo: AnalyzedPhoto, pick: Pick | None) -> Face:
    if pick != "central":
        return photo.faces[0]
    middle = np.array([photo.photo.width, photo.photo.height]) / 2

    def distance(face: Face) -> float:
        return float(np.linalg.norm((face.detection.box[:2] + face.detection.box[2:]) / 2 - middle))

    return min(photo.faces, key=distance)


def _too_poor(face: Face) -> tuple[EnrolmentReason, str] | None:
    if face.detection.size < _SMALLEST_FACE:
        size = round(face.detection.size)
        return EnrolmentReason.TOO_SMALL, f"the face is {size} pixels high, at least {_SMALLEST_FACE} are needed"
    if face.quality.sharpness < _LEAST_SHARPNESS:
        return EnrolmentReason.TOO_BLURRED, "the face is too blurred"
    return None


def _refused(source: str, person: str, reason: EnrolmentReason, detail: str) -> EnrolledPhoto:
    return EnrolledPhoto(source, person, False, reason, detail, None)
