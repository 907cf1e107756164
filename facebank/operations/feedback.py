"""User feedback after an identification: the face is a person, is not, or is a stranger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from facebank.errors import PersonNotFoundError, UsageError
from facebank.gallery import name_key, normalize_name
from facebank.index.gallery_index import read_with_retry
from facebank.operations.enroll import complete_sample, plain_sample
from facebank.operations.guard import ACCEPTED, GuardedFace, PersonGuard
from facebank.operations.inputs import select_face
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.gallery import Gallery, NewSample
    from facebank.media import PhotoInput
    from facebank.operations.engine import Engine
    from facebank.operations.guard import Judgment
    from facebank.operations.inputs import SelectedFace
    from facebank.types import FloatArray, Person


class FeedbackReason(StrEnum):
    """The outcome of feedback; a closed list."""

    ENROLLED = "enrolled"
    ALREADY_ENROLLED = "already_enrolled"
    DENIED = "denied"
    ALREADY_DENIED = "already_denied"
    REMEMBERED = "remembered"
    ALREADY_REMEMBERED = "already_remembered"
    FACE_TOO_POOR = "face_too_poor"
    UNLIKE_THE_PERSON = "unlike_the_person"
    NEARER_TO_ANOTHER = "nearer_to_another"
    OTHER_FACE_IS_THE_PERSON = "other_face_is_the_person"


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """The outcome of feedback about a face."""

    path: str  # the photo's path as the user gave it
    face_number: int  # from 1, largest first
    box: FloatArray  # pixels of the upright photo, ``float32`` of shape ``(4,)``
    person: str | None  # the name; None for a stranger
    accepted: bool  # whether the gallery now has the sample, the denial or the stranger
    reason: FeedbackReason
    detail: str  # an explanation in one sentence
    sample_id: int | None = None  # the resulting sample; None if there is none
    stranger_id: int | None = None  # the resulting stranger; None if there is none


def confirm(
    gallery: Gallery,
    engine: Engine,
    photo: PhotoInput,
    name: str,
    face_number: int | None = None,
    *,
    force: bool = False,
    create: bool = False,
) -> Feedback:
    """Confirm that a face is a person's: it becomes a sample if its quality is sufficient.

    The latest statement takes effect: an earlier denial of the person for this face is withdrawn, and a stranger of
    this face is forgotten once it is a sample. A face that is unlike the person's samples, nearer to another person, or
    beside another face of the person, is refused as at enrollment, without any change.

    Parameters
    ----------
    gallery
        The gallery, open for writing.
    engine
        The gallery's pack.
    photo
        The photo, or its path.
    name
        Name of the person.
    face_number
        Face number, from 1, largest first; None for a photo with one face.
    force
        Whether to accept faces that are refused otherwise.
    create
        Whether to create a person who is not enrolled yet.

    Raises
    ------
    PersonNotFoundError, InvalidNameError
        The name is not enrolled; or, with `create`, it is not valid.
    PhotoError
        The photo cannot be read or has no face.
    UsageError
        It is unclear which face is meant, or the face is enrolled as another person.
    """
    existing = _find_person(gallery, name, create=create)
    person = normalize_name(name) if existing is None else existing.name
    selected = select_face(engine, photo, face_number)
    is_denied = existing is not None and existing.id in gallery.denials_of(selected.key)
    note = "; it is no longer denied" if is_denied else ""
    quality, needed = selected.face.quality, engine.thresholds.minimum_quality
    if quality < needed:
        if is_denied:
            gallery.withdraw_denial(person, selected.key)
        detail = f"the face was not enrolled, {_describe_low_quality(quality, needed)}{note}"
        return _feedback(selected, person, FeedbackReason.FACE_TOO_POOR, detail, accepted=False)
    judgment = ACCEPTED if force else _judge(gallery, engine, selected, person)
    if judgment.refusal is not None:
        return _feedback(selected, person, FeedbackReason(judgment.refusal.value), judgment.detail, accepted=False)
    strangers = len(gallery.stranger_faces())
    thumbnail = existing is None or _keeps_thumbnails(gallery, person)
    (outcome,) = gallery.enroll(person, [_sample(selected, engine, thumbnail=thumbnail)])
    owner = outcome.duplicate_of_person
    if owner is None:
        reason, detail = FeedbackReason.ENROLLED, f"the face is a sample of {printable(person)} now"
    elif name_key(owner) == name_key(person):
        reason, detail = FeedbackReason.ALREADY_ENROLLED, f"the face was a sample of {printable(person)} before"
    else:
        raise UsageError(
            f"this very face is enrolled as {printable(owner)}: if that is wrong, remove it first with "
            f"'facebank people remove-sample {outcome.sample_id}'"
        )
    if len(gallery.stranger_faces()) < strangers:
        note += "; it is no longer remembered as a stranger"
    if judgment.warning is not None:
        note += f"; {judgment.warning}"
    return _feedback(selected, person, reason, f"{detail}{note}", sample_id=outcome.sample_id)


def _find_person(gallery: Gallery, name: str, *, create: bool) -> Person | None:
    try:
        return gallery.person(name)
    except PersonNotFoundError:
        if not create:
            raise
        return None


def _judge(gallery: Gallery, engine: Engine, selected: SelectedFace, person: str) -> Judgment:
    face = GuardedFace.from_photo(selected.photo.without_pixels, selected.face_number - 1)

    def judge() -> Judgment:
        (judgment,) = PersonGuard(gallery, person, engine.thresholds.verify).judge([face])
        return judgment

    return read_with_retry(judge)


def deny(gallery: Gallery, engine: Engine, photo: PhotoInput, name: str, face_number: int | None = None) -> Feedback:
    """Deny that a face is a person's: the person is not suggested again for this face of this photo.

    Parameters and errors as for `confirm`; also raises `UsageError` if the face is a sample of the person.
    """
    person = gallery.person(name).name
    selected = select_face(engine, photo, face_number)
    if gallery.deny(person, selected.key, selected.face.embedding):
        reason, detail = FeedbackReason.DENIED, f"{printable(person)} is no longer offered for this face"
    else:
        reason, detail = FeedbackReason.ALREADY_DENIED, f"{printable(person)} was denied for this face before"
    return _feedback(selected, person, reason, detail)


def deny_everybody(gallery: Gallery, engine: Engine, photo: PhotoInput, face_number: int | None = None) -> Feedback:
    """Remember a face as a stranger, to be recognized again.

    Parameters and errors as for `confirm`; also raises `UsageError` if the face is a person's sample.
    """
    selected = select_face(engine, photo, face_number)
    quality, needed = selected.face.quality, engine.thresholds.minimum_quality
    if quality < needed:
        detail = f"the face was not remembered, {_describe_low_quality(quality, needed)}"
        return _feedback(selected, None, FeedbackReason.FACE_TOO_POOR, detail, accepted=False)
    stranger_id, is_new = gallery.remember_stranger(plain_sample(selected.photo, selected.face, thumbnail=False))
    if is_new:
        reason, detail = FeedbackReason.REMEMBERED, f"the face is remembered as stranger {stranger_id}"
    else:
        reason, detail = FeedbackReason.ALREADY_REMEMBERED, f"the face was remembered as stranger {stranger_id} before"
    return _feedback(selected, None, reason, detail, stranger_id=stranger_id)


def _sample(selected: SelectedFace, engine: Engine, *, thumbnail: bool) -> NewSample:
    photo, face = selected.photo, selected.face
    crop = engine.analyzer.crop(photo.photo, face)
    return complete_sample(plain_sample(photo, face, thumbnail=thumbnail), face, crop, engine.analyzer)


def _keeps_thumbnails(gallery: Gallery, person: str) -> bool:
    """Return whether a person's samples have thumbnails; without any, they were disabled at enrollment."""
    samples = gallery.samples(person)
    return not samples or any(sample.has_thumbnail for sample in samples)


def _describe_low_quality(quality: float, needed: float) -> str:
    return f"its quality is too low to recognize others by ({quality:.2f}, at least {needed:.2f} is needed)"


def _feedback(
    selected: SelectedFace,
    person: str | None,
    reason: FeedbackReason,
    detail: str,
    *,
    accepted: bool = True,
    sample_id: int | None = None,
    stranger_id: int | None = None,
) -> Feedback:
    number, box = selected.face_number, selected.face.box
    return Feedback(selected.path, number, box, person, accepted, reason, detail, sample_id, stranger_id)
