"""Enrolment: which face of a photo becomes a person's sample, and why others are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebank.errors import PersonNotFoundError, UsageError
from facebank.faces import AnalyzedPhoto, EnrolledPhoto, EnrolmentReason, EnrolmentReport, Face
from facebank.gallery import name_key, normalise_name
from facebank.gallery.same_face import SAME_VECTOR
from facebank.photos import UnreadPhoto
from facebank.samples import complete_sample, plain_sample
from facebank.text import printable

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from facebank.engine import Engine
    from facebank.faces import FloatArray, RGBImage
    from facebank.gallery import Gallery, NewSample
    from facebank.packs import Thresholds

    Pick: TypeAlias = Literal["largest", "central"]

_SMALLEST_FACE = 32
_LEAST_SHARPNESS = 0.5
# A first sample has nothing else of its person to be held against: it must be much more like another than is enough to
# be known as that person. On LFW the siblings stay below (see ``benchmarks/protection.py``).
_MARGINS_TO_BE_CLEARLY_ANOTHER = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class _Offered:
    """A face that may become a sample; the photo's pixels are not kept."""

    face: Face
    crop: RGBImage
    sample: NewSample


@dataclass(frozen=True, slots=True, eq=False)
class _Undecided:
    """A photo of several faces, kept until the person's other samples are known."""

    position: int
    source: str
    faces: Sequence[_Offered]


class Enroller:
    """Enrols photos of one person after another into a gallery.

    Parameters
    ----------
    gallery
        Where the samples go.
    engine
        The gallery's pack: what it takes for the same person, and what embeds variants of a face.
    pick
        Which face of a photo with several is the person's; None to take the one that agrees with the person's other
        samples, and refuse the photo where that is not exactly one.
    thumbnails
        Whether samples keep a small picture of the face.
    force
        Whether a face that is more like somebody else enrolled is taken all the same.
    """

    def __init__(
        self,
        gallery: Gallery,
        engine: Engine,
        pick: Pick | None = None,
        thumbnails: bool = True,
        force: bool = False,
    ) -> None:
        if pick not in (None, "largest", "central"):
            raise UsageError(f"faces are picked by 'largest' or 'central', not {printable(str(pick))!r}")
        self._gallery = gallery
        self._engine = engine
        self._pick = pick
        self._thumbnails = thumbnails
        self._force = force

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

        turns: dict[int, int] = {}

        def settle(position: int, fate: EnrolledPhoto) -> None:
            report[position] = fate = replace(fate, quarter_turns=turns.get(position))
            if on_photo is not None:
                on_photo(fate)

        for position, photo in enumerate(photos):
            if isinstance(photo, AnalyzedPhoto):
                turns[position] = photo.quarter_turns
            fate = self._enrol_photo(person, photo, position)
            if isinstance(fate, _Undecided):
                undecided.append(fate)
            else:
                settle(position, fate)
        for waiting in undecided:
            settle(waiting.position, self._enrol_agreeing(person, waiting))
        photos_in_order = tuple(report[position] for position in sorted(report))
        return EnrolmentReport(person, photos_in_order, only_masked=has_only_masked_samples(self._gallery, person))

    def _enrol_photo(
        self, person: str, photo: AnalyzedPhoto | UnreadPhoto, position: int
    ) -> EnrolledPhoto | _Undecided:
        if isinstance(photo, UnreadPhoto):
            return _refused(photo.source, person, EnrolmentReason.UNREADABLE, photo.error)
        source = photo.photo.source
        if not photo.faces:
            return _refused(source, person, EnrolmentReason.NO_FACE, "no face was found")
        if len(photo.faces) == 1 or self._pick is not None:
            return self._enrol_face(person, source, self._offered(photo, _picked(photo, self._pick)))
        return _Undecided(position, source, [self._offered(photo, face) for face in photo.faces])

    def _enrol_agreeing(self, person: str, waiting: _Undecided) -> EnrolledPhoto:
        known = Likeness(self._gallery, person).own
        agreeing = [
            offered
            for offered in waiting.faces
            if len(known) and float((known @ offered.face.embedding).max()) >= self._engine.thresholds.verify
        ]
        if len(agreeing) == 1:
            return self._enrol_face(person, waiting.source, agreeing[0])
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

    def _enrol_face(self, person: str, source: str, offered: _Offered) -> EnrolledPhoto:
        refusal = _too_poor(offered.face) or (None if self._force else self._nearer_to_another(person, offered.face))
        if refusal is not None:
            return _refused(source, person, *refusal)
        sample = complete_sample(offered.sample, offered.face, offered.crop, self._engine.analyzer)
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
        return EnrolledPhoto(source, person, True, reason, detail, outcome.sample_id, masked=sample.masked)

    def _nearer_to_another(self, person: str, face: Face) -> tuple[EnrolmentReason, str] | None:
        """Say whose face it is rather than the person's, if it is clear enough."""
        likeness = Likeness(self._gallery, person)
        other = likeness.nearest_other(face.embedding)
        if other is None:
            return None
        number, theirs = other
        own = likeness.to_own(face.embedding) if len(likeness.own) else None
        if not is_nearer_to_another(own, theirs, self._engine.thresholds):
            return None
        name = printable(self._gallery.names()[number])
        if own is None:
            why = f"the face is clearly {name}'s (similarity {theirs:.2f}), and {printable(person)} has no other sample"
        else:
            why = f"the face is nearer to {name} (similarity {theirs:.2f}) than to {printable(person)} ({own:.2f})"
        return (
            EnrolmentReason.NEARER_TO_ANOTHER,
            f"{why}: enrol it with --force if it is {printable(person)} all the same",
        )

    def _offered(self, photo: AnalyzedPhoto, face: Face) -> _Offered:
        sample = plain_sample(photo, face, thumbnail=self._thumbnails)
        return _Offered(face, self._engine.analyzer.crop(photo.photo, face.detection), sample)


def has_only_masked_samples(gallery: Gallery, name: str) -> bool:
    """Return whether a person has samples and each of them wears a mask; False for nobody of that name."""
    try:
        person = gallery.person(name)
    except PersonNotFoundError:
        return False
    return 0 < person.sample_count == person.masked_count


class Likeness:
    """How like a face is to a person's samples, and to everybody else's.

    Parameters
    ----------
    gallery
        The enrolled people.
    person
        The name; nobody of that name need be enrolled.

    Attributes
    ----------
    own
        The person's embeddings, ``(N, D)``; N may be 0.
    """

    def __init__(self, gallery: Gallery, person: str) -> None:
        table = gallery.vectors()
        numbers = {name_key(name): number for number, name in gallery.names().items()}
        mine = table.person_ids == numbers.get(name_key(person), -1)
        self.own: FloatArray = np.compress(mine, table.matrix, axis=0)
        self._others: FloatArray = np.compress(~mine, table.matrix, axis=0)
        self._owners = table.person_ids[~mine]

    def to_own(self, embedding: FloatArray) -> float:
        """Return the cosine with the mean of the person's samples."""
        return float(_prototypes(self.own, np.zeros(len(self.own), dtype=np.int64))[0] @ embedding)

    def nearest_other(self, embedding: FloatArray) -> tuple[int, float] | None:
        """Return whose samples' mean is nearest and its cosine; None where that is this very face, or nobody."""
        if not len(self._others):
            return None
        if float(np.linalg.norm(self._others - embedding, axis=1).min()) <= SAME_VECTOR:
            return None  # the gallery finds out itself, and says it more clearly
        people, owners = np.unique(self._owners, return_inverse=True)
        similarities = _prototypes(self._others, owners) @ embedding
        best = int(np.argmax(similarities))
        return int(people[best]), float(similarities[best])


def is_nearer_to_another(own: float | None, other: float, thresholds: Thresholds) -> bool:
    """Say whether a face offered for enrolment is rather somebody else's.

    Parameters
    ----------
    own
        Its similarity with the mean of the person's samples; None where there are none yet.
    other
        Its similarity with the mean of the nearest other person's samples.
    thresholds
        Of the pack.

    Returns
    -------
    bool
        Whether it is enough like the other to be known as that person and nearer by the pack's margin; a first sample
        has to be above that by three margins, so that siblings can be enrolled.
    """
    if own is None:
        return other >= thresholds.known + _MARGINS_TO_BE_CLEARLY_ANOTHER * thresholds.margin
    return other >= thresholds.known and other - own >= thresholds.margin


def _prototypes(matrix: FloatArray, owners: NDArray[np.int64]) -> FloatArray:
    """Return the L2-normalised mean of each owner's rows."""
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    sums = np.add.reduceat(matrix[order], starts, axis=0)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12), dtype=np.float32)


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
