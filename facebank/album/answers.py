"""Answers of a user about the faces of an album, which change the gallery at once and can be undone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.album.groups.face_groups import rejoin_group, split_group
from facebank.album.groups.naming import owner_of
from facebank.album.pictures import changed_photo_message, face_at
from facebank.errors import PersonNotFoundError, PhotoError, SampleNotFoundError, UsageError
from facebank.gallery import FaceKey, NewSample, name_key
from facebank.gallery.same_face import is_same_place
from facebank.media.reading import read_photo_file
from facebank.operations import feedback
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Self

    from facebank.album.album import Album
    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.groups.face_groups import GroupSplit
    from facebank.gallery import Gallery
    from facebank.types import Face, Photo, Sample

MAX_DENIED = 200
"""Maximum number of a group's faces that are denied, the most typical ones."""

_STRANGER_FACES = 3  # number of a group's faces that are remembered as a stranger's


@dataclass(frozen=True, slots=True)
class Answer:
    """The changes that an answer made; people are numbers, because they may be renamed before the answer is undone."""

    accepted: bool  # whether the gallery was changed
    detail: str  # the result as a sentence
    person: str | None = None  # the name; None for a stranger
    person_id: int | None = None  # None for a stranger
    samples: tuple[int, ...] = ()  # ids of the new samples
    learned: tuple[FaceKey, ...] = field(default=(), repr=False)  # faces of `samples`, in the same order
    removed: tuple[tuple[int, NewSample], ...] = field(default=(), repr=False)  # removed samples with their owners
    new_person_id: int | None = None  # number of a newly enrolled person; None if nobody was enrolled
    denials: tuple[tuple[int, FaceKey], ...] = ()  # new denials: the person's id and the face
    withdrawn: tuple[tuple[int, FaceKey], ...] = ()  # withdrawn denials: the person's id and the face
    strangers: tuple[tuple[int, FaceKey], ...] = ()  # new strangers: the stranger's id and the face
    forgotten: tuple[NewSample, ...] = field(default=(), repr=False)  # strangers that were forgotten
    split: GroupSplit | None = None  # how a group with faces of several people was divided; None if none was


def confirm_face(bank: GalleryAccess, photo: Photo, face_number: int, name: str, *, force: bool = False) -> Answer:
    """Make a face a person's sample, remove it from other people, and return the answer.

    The person is enrolled if missing. Raises `PhotoError` (the photo cannot be read, or has changed since it was
    scanned), `InvalidNameError` (the name is not allowed) or `UsageError` (there is no such face).

    Parameters
    ----------
    bank
        The gallery, and its engine.
    photo, face_number
        A scanned photo, and the face's number from 1.
    name
        The person's name.
    force
        Whether to accept a face that is unlike the person, or more similar to somebody else.
    """
    key = FaceKey.from_photo(photo, face_at(photo, face_number))
    if read_photo_file(photo.path).content_hash != photo.content_hash:
        raise PhotoError(changed_photo_message(photo.path))
    gallery = bank.open_gallery(create=True)
    before = _PriorState.of(gallery, name)
    others = [sample for sample in gallery.samples_at(key) if name_key(sample.person) != name_key(name)]
    removed = _remove_samples(gallery, others)
    try:
        result = feedback.confirm(gallery, bank.engine, photo.path, name, face_number, force=force, create=True)
    except BaseException:
        _reenroll(gallery, removed)
        raise
    answer = before.add_changes(gallery, Answer(result.accepted, result.detail, result.person or name, removed=removed))
    if not result.accepted:
        _restore(gallery, answer)
        return Answer(False, result.detail, answer.person)
    if result.reason is not feedback.FeedbackReason.ENROLLED or result.sample_id is None:
        return _add_samples(gallery, answer, [])
    return _add_samples(gallery, answer, [result.sample_id])


def deny_faces(gallery: Gallery, faces: Iterable[tuple[Photo, int]], name: str) -> Answer:
    """Record that faces are not a person's, and return the answer.

    If a single face is given and is the person's sample, the sample is removed; of several faces, samples are kept.
    Raises `PersonNotFoundError` if the name is not enrolled, and `UsageError` if a copy of a single face is the
    person's sample.

    Parameters
    ----------
    gallery
        The gallery to change.
    faces
        Scanned photos with the faces' numbers from 1; only the first `MAX_DENIED` are used.
    name
        The person's name.
    """
    person = gallery.person(name)
    faces = list(faces)[:MAX_DENIED]
    removed: tuple[tuple[int, NewSample], ...] = ()
    denied: list[tuple[int, FaceKey]] = []
    for photo, face_number in faces:
        face = face_at(photo, face_number)
        key = FaceKey.from_photo(photo, face)
        if len(faces) == 1:
            samples = gallery.samples_at(key)
            removed = _remove_samples(
                gallery, [sample for sample in samples if name_key(sample.person) == name_key(person.name)]
            )
        try:
            if gallery.deny(person.name, key, face.embedding):
                denied.append((person.id, key))
        except UsageError:
            if len(faces) == 1:
                _reenroll(gallery, removed)
                raise
    detail = f"not {printable(person.name)}"
    return Answer(True, detail, person.name, person.id, removed=removed, denials=tuple(denied))


def refuse_everybody(gallery: Gallery, faces: Sequence[tuple[Photo, int]]) -> Answer:
    """Remember the first few faces as a stranger's, and return the answer; other faces are recognized by them.

    A face that is a sample is removed from the samples. Raises `UsageError` if a copy of a face is a sample.

    Parameters
    ----------
    gallery
        The gallery to change.
    faces
        Scanned photos with the faces' numbers from 1, the most typical first.
    """
    strangers: list[tuple[int, FaceKey]] = []
    removed: tuple[tuple[int, NewSample], ...] = ()
    try:
        for photo, face_number in faces[:_STRANGER_FACES]:
            face = face_at(photo, face_number)
            key = FaceKey.from_photo(photo, face)
            removed += _remove_samples(gallery, gallery.samples_at(key))
            stranger_id, is_new = gallery.remember_stranger(_stranger(photo, face))
            if is_new:
                strangers.append((stranger_id, key))
    except UsageError:
        _forget_strangers(gallery, strangers)
        _reenroll(gallery, removed)
        raise
    return Answer(True, "nobody whom you know", removed=removed, strangers=tuple(strangers))


def is_remembered(gallery: Gallery, photo: Photo, face: Face) -> bool:
    """Return whether exactly this face, not only a similar one, is remembered as a stranger's."""
    key = FaceKey.from_photo(photo, face)
    return any(is_same_place(key, stranger.face) for stranger in gallery.stranger_faces())


def name_group(
    album: Album,
    bank: GalleryAccess,
    group_number: int,
    name: str,
    *,
    force: bool = False,
    key: str | None = None,
    excluded_ids: Collection[int] = (),
) -> Answer:
    """Name a group of faces, and return the answer: see `Album.name_group` for the parameters and errors.

    `excluded_ids` are the numbers in the scan of faces to leave out.

    Unless `force` is set, the answer is refused if a face of the group is somebody else's sample already. Therefore,
    if several threads name a group, one of them succeeds.
    """
    gallery = bank.open_gallery(create=True)
    with album.naming:
        owner = None
        if not force:
            owner = owner_of(album.scan_file, gallery, group_number, ignored_person=name, excluded_ids=excluded_ids)
        if owner is not None:
            return Answer(False, f"these faces are {printable(owner)} already", owner)
        before = _PriorState.of(gallery, name)
        named = album.name_group(group_number, name, force=force, key=key, excluded_ids=excluded_ids)
        answer = before.add_changes(gallery, Answer(bool(named.sample_ids), "", named.person))
    if not named.sample_ids:
        _restore(gallery, answer)
        reason = next(iter(named.refused.values()), "no face is new")
        return Answer(False, f"nothing was learned: {reason}", named.person)
    detail = f"{printable(named.person)} has {pluralize(len(named.sample_ids), 'new sample')}"
    return replace(_add_samples(gallery, answer, named.sample_ids), detail=detail)


def leave_out(
    album: Album, gallery: Gallery, answer: Answer, group_number: int, others: Mapping[int, tuple[Photo, int]]
) -> Answer:
    """Take faces to which an answer does not apply out of a group, and return the answer with that change.

    If the answer named the remaining faces, the name is denied for the others. Raises the errors of `split_group`.

    Parameters
    ----------
    album, gallery
        The album of the group, and the gallery to change.
    answer, group_number
        The answer about the remaining faces, and the group's number.
    others
        The faces to take out, by their numbers in the scan: photo, and face number from 1.
    """
    split = split_group(album.scan_file, group_number, others.keys())
    name = answer.person if answer.samples else None
    denied = Answer(True, "") if name is None else deny_faces(gallery, others.values(), name)
    return replace(
        answer,
        denials=(*answer.denials, *denied.denials),
        removed=(*answer.removed, *denied.removed),
        split=split,
    )


def take_back(bank: GalleryAccess, answer: Answer, album: Album) -> bool:
    """Undo an answer: remove what it added, including a new person, and restore what it removed.

    Undoing answers in reverse order restores the gallery as it was before them. Data removed since is skipped, and
    people forgotten since are not enrolled again.

    Returns
    -------
    bool
        Whether anything changed.
    """
    gallery = bank.gallery
    names = gallery.names()
    is_changed = answer.split is not None and rejoin_group(album.scan_file, answer.split)
    added = [
        current_id
        for sample_id, key in zip(answer.samples, answer.learned, strict=True)
        for current_id in _current_ids(gallery, sample_id, key, names.get(answer.person_id or 0))
    ]
    with suppress(UsageError):  # another process has removed them
        is_changed |= gallery.remove_samples(added).sample_count > 0
    is_changed |= _forget_strangers(gallery, answer.strangers)
    for person_id, key in answer.denials:
        with suppress(PersonNotFoundError):
            is_changed |= person_id in names and gallery.withdraw_denial(names[person_id], key)
    is_changed |= _restore(gallery, answer)
    person = None if answer.new_person_id is None else gallery.names().get(answer.new_person_id)
    if person is not None and not gallery.person(person).sample_count:  # no samples were added since
        gallery.forget(person)
        is_changed = True
    return is_changed


class _PriorState(NamedTuple):
    """The people, denials and strangers before an answer, some of which enrolling a sample may remove."""

    person_ids: frozenset[int]
    denied: Mapping[int, FaceKey]  # of the person, by denial id
    strangers: Mapping[int, NewSample]

    @classmethod
    def of(cls, gallery: Gallery, name: str) -> Self:
        return cls(frozenset(gallery.names()), _denials_by_id(gallery, name), _strangers(gallery))

    def add_changes(self, gallery: Gallery, answer: Answer) -> Answer:
        """Return an answer with the denials and strangers that it removed, and its person if new."""
        name = str(answer.person)
        try:
            person_id = gallery.person(name).id
        except PersonNotFoundError:
            return answer
        withdrawn = self.denied.keys() - _denials_by_id(gallery, name).keys()
        forgotten = self.strangers.keys() - {stranger.id for stranger in gallery.stranger_faces()}
        return replace(
            answer,
            person_id=person_id,
            new_person_id=None if person_id in self.person_ids else person_id,
            withdrawn=tuple((person_id, self.denied[denial]) for denial in sorted(withdrawn)),
            forgotten=tuple(self.strangers[stranger] for stranger in sorted(forgotten)),
        )


def _add_samples(gallery: Gallery, answer: Answer, sample_ids: Sequence[int]) -> Answer:
    faces = tuple(FaceKey.from_sample(gallery.sample(sample_id)) for sample_id in sample_ids)
    return replace(answer, samples=tuple(sample_ids), learned=faces)


def _remove_samples(gallery: Gallery, samples: Sequence[Sample]) -> tuple[tuple[int, NewSample], ...]:
    """Remove samples, and return them in full, with their people's ids."""
    ids_by_name = {name: person_id for person_id, name in gallery.names().items()}
    removed = tuple((ids_by_name[sample.person], gallery.whole_sample(sample.id)) for sample in samples)
    gallery.remove_samples([sample.id for sample in samples])
    return removed


def _reenroll(gallery: Gallery, removed: Iterable[tuple[int, NewSample]]) -> bool:
    """Enroll removed samples again; return whether any was enrolled."""
    is_changed, names = False, gallery.names()
    for person_id, sample in removed:
        if person_id in names:
            (outcome,) = gallery.enroll(names[person_id], [sample])
            is_changed |= outcome.duplicate_of_person is None
    return is_changed


def _restore(gallery: Gallery, answer: Answer) -> bool:
    """Restore the samples, denials and strangers that an answer removed; return whether anything changed."""
    is_changed, names = _reenroll(gallery, answer.removed), gallery.names()
    for person_id, key in answer.withdrawn:
        with suppress(PersonNotFoundError, UsageError):
            is_changed |= person_id in names and gallery.deny(names[person_id], key)
    for stranger in answer.forgotten:
        with suppress(UsageError):
            is_changed |= gallery.remember_stranger(stranger)[1]
    return is_changed


def _current_ids(gallery: Gallery, sample_id: int, key: FaceKey, owner: str | None) -> list[int]:
    """Return the current id of a sample, which differs after it was removed and restored; empty if gone."""
    with suppress(SampleNotFoundError):
        return [gallery.sample(sample_id).id]
    return [sample.id for sample in gallery.samples_at(key) if sample.person == owner]


def _forget_strangers(gallery: Gallery, strangers: Iterable[tuple[int, FaceKey]]) -> bool:
    """Remove strangers by number, or by face if they were restored under other numbers; return whether any existed."""
    is_changed = False
    for stranger_id, key in strangers:
        present = gallery.stranger_faces()
        current_ids = (
            [stranger_id]
            if any(stranger.id == stranger_id for stranger in present)
            else [stranger.id for stranger in present if is_same_place(stranger.face, key)]
        )
        for current_id in current_ids:
            with suppress(UsageError):
                gallery.forget_stranger(current_id)
                is_changed = True
    return is_changed


def _denials_by_id(gallery: Gallery, name: str) -> dict[int, FaceKey]:
    try:
        return gallery.denied_faces(name)
    except PersonNotFoundError:
        return {}


def _strangers(gallery: Gallery) -> dict[int, NewSample]:
    """Return all strangers by number, in the form in which they can be remembered again."""
    with gallery.snapshot():
        present, embeddings = gallery.stranger_faces(), gallery.strangers().matrix
    return {
        stranger.id: NewSample(
            box=stranger.face.box,
            landmarks=np.zeros((5, 2), np.float32),  # not stored for strangers
            detection_score=0.0,
            quality=0.0,
            path=stranger.path,
            content_hash=stranger.face.content_hash,
            quarter_turns=stranger.face.quarter_turns,
            taken_at=None,
            thumbnail=None,
            vectors={"plain": embedding},
            picture_hash=stranger.face.picture_hash,
        )
        for stranger, embedding in zip(present, embeddings, strict=True)
    }


def _stranger(photo: Photo, face: Face) -> NewSample:
    return NewSample(
        box=face.box,
        landmarks=face.landmarks,
        detection_score=face.detection_score,
        quality=face.quality,
        path=photo.path,
        content_hash=photo.content_hash,
        quarter_turns=photo.quarter_turns,
        taken_at=photo.taken_at,
        thumbnail=None,
        vectors={"plain": face.embedding},
        camera_dated=photo.camera_dated,
        masked=face.assessment.mouth_hidden,
        picture_hash=photo.picture_hash,
    )
