"""Enrollment: choice of the face of a photo that becomes a person's sample, and refusal of others.

The embeddings of enrolled, confirmed and re-embedded faces come from `complete_sample` and `enrolled_vectors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebank.errors import PersonNotFoundError, UsageError
from facebank.gallery import FaceKey, NewSample, name_key, normalize_name
from facebank.index.gallery_index import read_with_retry
from facebank.media import encode_thumbnail
from facebank.operations.guard import ACCEPTED, EnrolledFaces, GuardedFace, Judgment, PersonGuard
from facebank.operations.inputs import absolute_path
from facebank.recognition.face_choice import SeveralFaces, choose_faces
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable, shell_command
from facebank.types import AnalyzedPhoto, EnrolledPhoto, EnrollReason, EnrollReport, Face, Photo
from facebank.vision.augmentation import ENROLLED_VARIANTS
from facebank.vision.quality import add_stability

if TYPE_CHECKING:
    from typing import TypeAlias

    from facebank.gallery import Gallery
    from facebank.operations.engine import Engine
    from facebank.types import FloatArray, RGBImage
    from facebank.vision import FaceAnalyzer

    Pick: TypeAlias = Literal["largest", "central"]


_MIN_FACE_SIZE = 32  # pixels of the box's longer side
_MIN_SHARPNESS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _OfferedFace:
    """A candidate face, without the photo's pixels."""

    face: Face
    crop: RGBImage
    sample: NewSample
    guarded: GuardedFace


@dataclass(frozen=True, slots=True, eq=False)
class _PendingPhoto:
    """A photo to be judged together with the person's other photos."""

    position: int
    path: str
    faces: Sequence[_OfferedFace]  # the candidates
    reason: str = ""  # the reason for choosing this face of several; empty for a single face


class Enroller:
    """Enrolls photos into a gallery, person by person.

    Parameters
    ----------
    gallery
        The gallery that receives the samples.
    engine
        The gallery's pack.
    pick
        Choice of the face in a photo with several: ``largest`` or ``central``. None for the one that agrees with the
        person's other photos or is clearly the largest; the photo is refused if that is not exactly one.
    thumbnails
        Whether samples store a thumbnail.
    force
        Whether to accept a face that is unlike the person's other faces, or more like another enrolled person.
    enrolled
        The gallery's faces if they have been read already.

    Raises
    ------
    UsageError
        `pick` has another value.
    """

    def __init__(
        self,
        gallery: Gallery,
        engine: Engine,
        pick: Pick | None = None,
        thumbnails: bool = True,
        force: bool = False,
        *,
        enrolled: EnrolledFaces | None = None,
    ) -> None:
        if pick not in (None, "largest", "central"):
            raise UsageError(f"pick must be 'largest' or 'central', not {printable(str(pick))!r}")
        self._gallery = gallery
        self._engine = engine
        self._pick = pick
        self._thumbnails = thumbnails
        self._force = force
        self._enrolled = EnrolledFaces(gallery) if enrolled is None else enrolled

    def enroll(
        self,
        name: str,
        photos: Iterable[AnalyzedPhoto | Photo],
        *,
        earlier: Sequence[str] = (),
        progress: Progress = SILENT,
    ) -> EnrollReport:
        """Enroll photos of one person.

        All photos are analyzed before the first is enrolled, so that their order does not matter. Then each
        accepted photo is stored immediately: an interruption loses nothing that was reported.

        Parameters
        ----------
        name
            Name of the person, created with the first accepted photo.
        photos
            The photos, read and analyzed lazily.
        earlier
            People whom the photos may show instead: they are assigned to the most similar one, if they agree with that
            person's samples, unless `name` is enrolled or `force` is set.
        progress
            Advanced with each analyzed photo; then each photo's `EnrolledPhoto` is reported, in their order.

        Returns
        -------
        EnrollReport
            The results, in the order of the photos.

        Raises
        ------
        InvalidNameError
            The name is not valid.
        GalleryError, StorageError
            The gallery cannot be read or written.
        """
        named = person = self._stored_spelling(normalize_name(name))
        results: list[EnrolledPhoto | _PendingPhoto] = []
        turns: list[int | None] = []
        for photo in photos:
            turns.append(photo.quarter_turns if isinstance(photo, AnalyzedPhoto) else None)
            results.append(self._analyze_photo(person, photo, len(results)))
            progress.advance()
        pending = [result for result in results if isinstance(result, _PendingPhoto)]
        if earlier and not self._force:
            person = read_with_retry(lambda: self._earlier_person(named, earlier, pending))
        outcomes = read_with_retry(lambda: self._judge_together(person, pending)) if pending else {}
        report: list[EnrolledPhoto] = []
        for position, result in enumerate(results):
            outcome = outcomes[position] if isinstance(result, _PendingPhoto) else result
            enrolled = outcome if isinstance(outcome, EnrolledPhoto) else self._enroll_face(person, *outcome)
            report.append(replace(enrolled, person=person, quarter_turns=turns[position]))
            progress.report(report[-1])
        only_masked = has_only_masked_samples(self._gallery, person)
        given_as = None if named == person else named
        return EnrollReport(person, tuple(report), only_masked=only_masked, given_as=given_as)

    def _stored_spelling(self, name: str) -> str:
        """Return a name with the gallery's spelling if it is enrolled."""
        try:
            return self._gallery.person(name).name
        except PersonNotFoundError:
            return name

    def _earlier_person(self, name: str, earlier: Sequence[str], photos: Sequence[_PendingPhoto]) -> str:
        """Return the person among `earlier` who is in most of the photos; `name` if there is none."""
        alone = [photo.faces[0].guarded for photo in photos if len(photo.faces) == 1]
        faces = [face.embedding for face in alone if face.is_comparable]
        enrolled = self._current_faces()
        if not faces or enrolled.person_id(name) >= 0:
            return name
        nearest = enrolled.nearest(np.stack(faces), earlier)
        if nearest is None:
            return name
        guard = PersonGuard(self._gallery, nearest, self._engine.thresholds.verify, enrolled=enrolled)
        return nearest if guard.is_person_of(np.stack(faces)) else name

    def _analyze_photo(self, person: str, photo: AnalyzedPhoto | Photo, position: int) -> EnrolledPhoto | _PendingPhoto:
        if isinstance(photo, Photo):
            return _refused_photo(photo.path, person, EnrollReason.UNREADABLE, photo.error or "")
        path = photo.photo.path
        if not photo.faces:
            return _refused_photo(path, person, EnrollReason.NO_FACE, "no face was found")
        faces = photo.faces if self._pick is None else (_pick_face(photo, self._pick),)
        if len(faces) == 1:
            refusal = _quality_refusal(faces[0])
            if refusal is not None:
                return _refused_photo(path, person, *refusal)
        return _PendingPhoto(position, path, [self._offered_face(photo, face) for face in faces])

    def _judge_together(
        self, person: str, pending: Sequence[_PendingPhoto]
    ) -> dict[int, EnrolledPhoto | tuple[_PendingPhoto, Judgment]]:
        """Return, by position, the offered face of each photo and its judgment, or the refusal."""
        guard = PersonGuard(self._gallery, person, self._engine.thresholds.verify, enrolled=self._current_faces())
        chosen = [photo for photo in pending if len(photo.faces) == 1]
        several = [photo for photo in pending if len(photo.faces) > 1]
        outcomes: dict[int, EnrolledPhoto | tuple[_PendingPhoto, Judgment]] = {}
        for photo, choice in self._choose(person, guard, chosen, several) if several else []:
            if isinstance(choice, EnrolledPhoto):
                outcomes[photo.position] = choice
            else:
                chosen.append(choice)
        for photo, judgment in zip(chosen, self._judgments(guard, chosen), strict=True):
            outcomes[photo.position] = photo, judgment
        return outcomes

    def _current_faces(self) -> EnrolledFaces:
        """Return the gallery's faces; reread only if another process has changed them."""
        self._enrolled.refresh()
        return self._enrolled

    def _judgments(self, guard: PersonGuard, photos: Sequence[_PendingPhoto]) -> list[Judgment]:
        if self._force:
            return [ACCEPTED] * len(photos)
        return guard.judge([photo.faces[0].guarded for photo in photos])

    def _choose(
        self, person: str, guard: PersonGuard, alone: Sequence[_PendingPhoto], several: Sequence[_PendingPhoto]
    ) -> list[tuple[_PendingPhoto, EnrolledPhoto | _PendingPhoto]]:
        """Return the person's face in each of `several`, or a refusal, by the samples and the photos with one face."""
        judgments = self._judgments(guard, alone)
        embeddings = [
            photo.faces[0].face.embedding
            for photo, judgment in zip(alone, judgments, strict=True)
            if judgment.refusal is None and photo.faces[0].guarded.is_comparable
        ]
        choices = choose_faces(
            [_several_faces(photo.faces) for photo in several],
            np.concatenate(
                [guard.embeddings, np.reshape(embeddings, (-1, guard.embeddings.shape[1]))], dtype=np.float32
            ),
            self._engine.thresholds.verify,
        )
        chosen: list[tuple[_PendingPhoto, EnrolledPhoto | _PendingPhoto]] = []
        for photo, (index, reason) in zip(several, choices, strict=True):
            if index is None:
                problem = f"{len(photo.faces)} faces were found and {reason}"
                detail = f"{problem}: choose with --pick largest or --pick central"
                chosen.append((photo, _refused_photo(photo.path, person, EnrollReason.SEVERAL_FACES, detail)))
                continue
            refusal = _quality_refusal(photo.faces[index].face)
            if refusal is not None:
                chosen.append((photo, _refused_photo(photo.path, person, *refusal)))
            else:
                chosen.append((photo, _PendingPhoto(photo.position, photo.path, [photo.faces[index]], reason)))
        return chosen

    def _enroll_face(self, person: str, photo: _PendingPhoto, judgment: Judgment) -> EnrolledPhoto:
        (offered,) = photo.faces
        if judgment.refusal is not None:
            return _refused_photo(photo.path, person, judgment.refusal, judgment.detail)
        sample = complete_sample(offered.sample, offered.face, offered.crop, self._engine.analyzer)
        denied = self._is_denied(person, sample)
        (outcome,) = self._gallery.enroll(person, [sample])
        owner = outcome.duplicate_of_person
        if owner is None:
            self._enrolled.refresh(person)
            reason, detail = EnrollReason.ENROLLED, "enrolled"
        elif name_key(owner) == name_key(person):
            reason, detail = EnrollReason.ALREADY_ENROLLED, "this face was enrolled before"
        else:
            return _refused_photo(
                photo.path,
                person,
                EnrollReason.ENROLLED_AS_ANOTHER,
                f"this very face is enrolled as {printable(owner)}: {self._advice(person, owner, outcome.sample_id)}",
            )
        warning = judgment.warning
        if denied:
            withdrawn = f"the denial of {printable(person)} for this face was withdrawn"
            warning = withdrawn if warning is None else f"{warning}; {withdrawn}"
        detail = f"{detail}: {photo.reason}" if photo.reason else detail
        return EnrolledPhoto(photo.path, person, True, reason, detail, outcome.sample_id, warning, masked=sample.masked)

    def _advice(self, person: str, owner: str, sample_id: int) -> str:
        """Return advice for a face that is another person's sample."""
        try:
            into = self._gallery.person(person).name
            join = shell_command("people", "merge", owner, "--into", into)
        except PersonNotFoundError:
            join = shell_command("people", "rename", owner, person)
        remove = shell_command("people", "remove-sample", str(sample_id))
        return f"if it is {printable(person)}'s, `{remove}`; if the two are one person, `{join}`"

    def _is_denied(self, person: str, sample: NewSample) -> bool:
        denied = self._gallery.denials_of(FaceKey.from_sample(sample))
        names = self._gallery.names() if denied else {}
        return any(name_key(names[person_id]) == name_key(person) for person_id in denied)

    def _offered_face(self, photo: AnalyzedPhoto, face: Face) -> _OfferedFace:
        sample = plain_sample(photo, face, thumbnail=self._thumbnails)
        crop = self._engine.analyzer.crop(photo.photo, face)
        index = next(index for index, other in enumerate(photo.faces) if other is face)
        return _OfferedFace(face, crop, sample, GuardedFace.from_photo(photo.without_pixels, index))


def has_only_masked_samples(gallery: Gallery, name: str) -> bool:
    """Return whether a person has samples and all of them wear a mask; False if the name is not enrolled."""
    try:
        person = gallery.person(name)
    except PersonNotFoundError:
        return False
    return 0 < person.sample_count == person.masked_count


def _several_faces(faces: Sequence[_OfferedFace]) -> SeveralFaces:
    embeddings = np.stack([offered.face.embedding for offered in faces])
    return SeveralFaces(embeddings, tuple(offered.face.size for offered in faces))


def _pick_face(photo: AnalyzedPhoto, pick: Pick | None) -> Face:
    if pick != "central":
        return photo.faces[0]
    middle = np.array([photo.photo.width, photo.photo.height]) / 2

    def distance(face: Face) -> float:
        return float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - middle))

    return min(photo.faces, key=distance)


def _quality_refusal(face: Face) -> tuple[EnrollReason, str] | None:
    if face.size < _MIN_FACE_SIZE:
        size = f"{round(face.size)} pixels, at least {_MIN_FACE_SIZE} are needed"
        return EnrollReason.TOO_SMALL, f"the face is too small ({size}): use a photo that shows it larger"
    if face.assessment.sharpness < _MIN_SHARPNESS:
        return EnrollReason.TOO_BLURRED, "the face is too blurred: use a sharper photo"
    return None


def _refused_photo(path: str, person: str, reason: EnrollReason, detail: str) -> EnrolledPhoto:
    return EnrolledPhoto(path, person, False, reason, detail, None)


STABILITY_VARIANTS = ("flip", "shifted")
"""Variants whose embeddings differ little from the plain one for a good face."""


def plain_sample(photo: AnalyzedPhoto, face: Face, *, thumbnail: bool) -> NewSample:
    """Return a sample with the plain embedding only, optionally with a thumbnail."""
    return NewSample(
        box=face.box,
        landmarks=face.landmarks,
        detection_score=face.detection_score,
        quality=face.quality,
        path=absolute_path(photo.photo.path),
        content_hash=photo.photo.content_hash,
        quarter_turns=photo.quarter_turns,
        taken_at=photo.photo.taken_at,
        thumbnail=encode_thumbnail(photo.photo, face.box) if thumbnail else None,
        vectors={"plain": face.embedding},
        camera_dated=photo.photo.camera_dated,
        masked=face.assessment.mouth_hidden,
        picture_hash=photo.photo.picture_hash,
    )


def complete_sample(sample: NewSample, face: Face, crop: RGBImage, analyzer: FaceAnalyzer) -> NewSample:
    """Return a sample with all embeddings, and its quality adjusted by their stability.

    Parameters
    ----------
    sample
        The result of `plain_sample`.
    face
        Its face.
    crop
        The aligned face from `facebank.vision.FaceAnalyzer.crop`.
    analyzer
        The pack's analyzer.
    """
    variants = analyzer.embed_variants(crop, sorted({*STABILITY_VARIANTS, *ENROLLED_VARIANTS}))
    quality = add_stability(face.assessment, face.embedding, np.stack([variants[name] for name in STABILITY_VARIANTS]))
    return replace(sample, quality=quality.score, vectors=_vectors_to_store(face, variants))


def enrolled_vectors(face: Face, crop: RGBImage, analyzer: FaceAnalyzer) -> dict[str, FloatArray]:
    """Return all embeddings to store for a face, by variant; for `crop` see `complete_sample`."""
    return _vectors_to_store(face, analyzer.embed_variants(crop, ENROLLED_VARIANTS))


def variant_key(variant: str) -> str:
    """Return the gallery's key for the embedding of a variant of `facebank.vision.augmentation.VARIANTS`."""
    return variant if variant == "flip" else f"augmented:{variant}"


def _vectors_to_store(face: Face, variants: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {"plain": face.embedding, **{variant_key(name): variants[name] for name in ENROLLED_VARIANTS}}
