"""Answers about the faces of an album: each is learned at once, and can be taken back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.album.groups.face_groups import owner_of, part_group, rejoin_group
from facebank.errors import PersonNotFoundError, PhotoError, SampleNotFoundError, UsageError
from facebank.gallery import FaceKey, NewSample, name_key
from facebank.gallery.same_face import is_same_place
from facebank.media.reading import read_photo_file
from facebank.operations import feedback
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Self

    from facebank.album.album import Album, GalleryAccess
    from facebank.album.groups.face_groups import PartedGroup
    from facebank.gallery import Gallery
    from facebank.types import Face, Photo, Sample

MOST_DENIED = 200
"""How many faces of a group are denied to be somebody: the most typical ones."""

_STRANGERS = 3  # faces of a group that are remembered as a stranger


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer changed; people are numbers where it is taken back, so that they may be renamed meanwhile."""

    accepted: bool  # whether it was learned
    detail: str  # a sentence for people
    person: str | None = None  # the name; None for a face that is nobody's
    person_id: int | None = None
    samples: tuple[int, ...] = ()  # numbers of the new samples
    learned: tuple[FaceKey, ...] = field(default=(), repr=False)  # the faces that they are
    removed: tuple[tuple[int, NewSample], ...] = field(default=(), repr=False)  # samples that went, and whose they were
    made_person: int | None = None  # number of a person who was not enrolled before
    denials: tuple[tuple[int, FaceKey], ...] = ()  # new denials
    withdrawn: tuple[tuple[int, FaceKey], ...] = ()  # denials that were withdrawn
    strangers: tuple[tuple[int, FaceKey], ...] = ()  # new strangers
    forgotten: tuple[NewSample, ...] = field(default=(), repr=False)  # strangers that were forgotten
    parted: PartedGroup | None = None  # what became of the group whose faces are not all one person's


def confirm_face(bank: GalleryAccess, photo: Photo, face_number: int, name: str, *, force: bool = False) -> Answer:
    """Learn that a face is a person's, who is made if nobody is called so; a wrong owner of this very face loses it.

    Raises `PhotoError` (the photo cannot be read, or has changed since it was scanned), `InvalidNameError` (nobody can
    be called so) or `UsageError` (there is no such face).

    Parameters
    ----------
    bank
        Whose gallery learns.
    photo, face_number
        A scanned photo, and the face, from 1.
    name
        Of the person.
    force
        Whether the face is taken even if it is unlike the person, or nearer to somebody else.
    """
    key = FaceKey.found(photo, _face(photo, face_number))
    if read_photo_file(photo.path).content_hash != photo.content_hash:
        raise PhotoError(f"{printable(photo.path)} has changed since it was scanned: scan it again")
    gallery = bank.open_gallery(create=True)
    before = _Before.of(gallery, name)
    wrong = [sample for sample in gallery.samples_at(key) if name_key(sample.person) != name_key(name)]
    removed = _taken(gallery, wrong)
    try:
        found = feedback.confirm(gallery, bank.engine, photo.path, name, face_number, force=force, new=True)
    except BaseException:
        _enroll_again(gallery, removed)
        raise
    answer = before.compared(gallery, Answer(found.accepted, found.detail, found.person or name, removed=removed))
    if not found.accepted:
        _restore(gallery, answer)
        return Answer(False, found.detail, answer.person)
    is_new = found.reason is feedback.FeedbackReason.ENROLLED and found.sample_id is not None
    return _with_samples(gallery, answer, [found.sample_id] if is_new and found.sample_id is not None else [])


def deny_faces(gallery: Gallery, faces: Iterable[tuple[Photo, int]], name: str) -> Answer:
    """Learn that faces are not a person's. Of several, those that are samples of the person are left alone.

    A single face that is a sample of the person is one no more. Raises `PersonNotFoundError` if nobody is called so,
    `UsageError` if a copy of a single face is the person's sample.
    """
    person = gallery.person(name)
    several = list(faces)[:MOST_DENIED]
    removed: tuple[tuple[int, NewSample], ...] = ()
    denied: list[tuple[int, FaceKey]] = []
    for photo, face_number in several:
        face = _face(photo, face_number)
        key = FaceKey.found(photo, face)
        if len(several) == 1:
            own = [sample for sample in gallery.samples_at(key) if name_key(sample.person) == name_key(person.name)]
            removed = _taken(gallery, own)
        try:
            if gallery.deny(person.name, key, face.embedding):
                denied.append((person.id, key))
        except UsageError:
            if len(several) == 1:
                _enroll_again(gallery, removed)
                raise
    detail = f"not {printable(person.name)}"
    return Answer(True, detail, person.name, person.id, removed=removed, denials=tuple(denied))


def refuse_everybody(gallery: Gallery, faces: Sequence[tuple[Photo, int]]) -> Answer:
    """Remember faces as nobody's; of a group, the most typical few, by which the others are recognized.

    A face that is somebody's sample is one no more. Raises `UsageError` if a copy of a face is somebody's sample.
    """
    made: list[tuple[int, FaceKey]] = []
    removed: tuple[tuple[int, NewSample], ...] = ()
    try:
        for photo, face_number in faces[:_STRANGERS]:
            face = _face(photo, face_number)
            key = FaceKey.found(photo, face)
            removed += _taken(gallery, gallery.samples_at(key))
            number, is_new = gallery.remember_stranger(_stranger(photo, face))
            if is_new:
                made.append((number, key))
    except UsageError:
        _forget_strangers(gallery, made)
        _enroll_again(gallery, removed)
        raise
    return Answer(True, "nobody whom you know", removed=removed, strangers=tuple(made))


def is_remembered(gallery: Gallery, photo: Photo, face: Face) -> bool:
    """Return whether somebody said of this very face that it is nobody's, and not only of one like it."""
    key = FaceKey.found(photo, face)
    return any(is_same_place(key, stranger.face) for stranger in gallery.stranger_faces())


def name_group(
    album: Album,
    bank: GalleryAccess,
    number: int,
    name: str,
    *,
    force: bool = False,
    key: str | None = None,
    without: Collection[int] = (),
) -> Answer:
    """Learn that a group of faces is a person: see `Album.name_group`, also for what it raises.

    Of several threads that name a group, one succeeds: unless it is forced, nothing is learned if faces of the group
    are somebody else's samples already.
    """
    gallery = bank.open_gallery(create=True)
    with album.naming:
        other = None if force else owner_of(album.scan_file, gallery, number, besides=name, without=without)
        if other is not None:
            return Answer(False, f"these faces are {printable(other)} already", other)
        before = _Before.of(gallery, name)
        named = album.name_group(number, name, force=force, key=key, without=without)
        answer = before.compared(gallery, Answer(bool(named.samples), "", named.person))
    if not named.samples:
        _restore(gallery, answer)
        why = next(iter(named.refused.values()), "no face is new")
        return Answer(False, f"nothing was learned: {why}", named.person)
    count = len(named.samples)
    detail = f"{printable(named.person)} has {count} new sample{'s' if count > 1 else ''}"
    return replace(_with_samples(gallery, answer, named.samples), detail=detail)


def leave_out(
    album: Album, gallery: Gallery, answer: Answer, group: int, others: Mapping[int, tuple[Photo, int]]
) -> Answer:
    """Take faces out of a group that an answer is not about, and return the answer with that.

    If it gave the others a name, these are denied to be that person. Raises as `part_group`.

    Parameters
    ----------
    album, gallery
        Of the group and the people.
    answer, group
        What was learned of the other faces, and the group's number.
    others
        The faces' numbers in the scan, with their photos and numbers in them.
    """
    parted = part_group(album.scan_file, group, others.keys())
    name = answer.person if answer.samples else None
    denied = Answer(True, "") if name is None else deny_faces(gallery, others.values(), name)
    return replace(
        answer,
        denials=(*answer.denials, *denied.denials),
        removed=(*answer.removed, *denied.removed),
        parted=parted,
    )


def take_back(bank: GalleryAccess, answer: Answer, album: Album) -> bool:
    """Undo an answer: what it added goes, also a person whom it made, and what it removed comes back.

    Answers that are taken back in the reverse order leave the gallery as it was before them. What is gone already is
    passed over, and nobody who was forgotten meanwhile is learned again.

    Returns
    -------
    bool
        Whether that changed anything.
    """
    gallery = bank.gallery
    names = gallery.names()
    is_changed = answer.parted is not None and rejoin_group(album.scan_file, answer.parted)
    made = [
        number
        for sample, key in zip(answer.samples, answer.learned, strict=True)
        for number in _numbers_now(gallery, sample, key, names.get(answer.person_id or 0))
    ]
    with suppress(UsageError):  # removed by somebody else at this moment
        is_changed |= gallery.remove_samples(made).samples > 0
    is_changed |= _forget_strangers(gallery, answer.strangers)
    for number, key in answer.denials:
        with suppress(PersonNotFoundError):
            is_changed |= number in names and gallery.withdraw_denial(names[number], key)
    is_changed |= _restore(gallery, answer)
    person = None if answer.made_person is None else gallery.names().get(answer.made_person)
    if person is not None and not gallery.person(person).sample_count:  # nobody else gave samples meanwhile
        gallery.forget(person)
        is_changed = True
    return is_changed


class _Before(NamedTuple):
    """What an answer that gives a person samples may take away, as it was before."""

    person_ids: frozenset[int]
    denied: Mapping[int, FaceKey]  # of the person, by the denials' numbers
    strangers: Mapping[int, NewSample]

    @classmethod
    def of(cls, gallery: Gallery, name: str) -> Self:
        return cls(frozenset(gallery.names()), _denied(gallery, name), _strangers(gallery))

    def compared(self, gallery: Gallery, answer: Answer) -> Answer:
        """Return an answer with what it took away, and whether its person is new."""
        name = str(answer.person)
        try:
            number = gallery.person(name).id
        except PersonNotFoundError:
            return answer
        gone = self.denied.keys() - _denied(gallery, name).keys()
        lost = self.strangers.keys() - {stranger.id for stranger in gallery.stranger_faces()}
        return replace(
            answer,
            person_id=number,
            made_person=None if number in self.person_ids else number,
            withdrawn=tuple((number, self.denied[denial]) for denial in sorted(gone)),
            forgotten=tuple(self.strangers[stranger] for stranger in sorted(lost)),
        )


def _with_samples(gallery: Gallery, answer: Answer, samples: Sequence[int]) -> Answer:
    faces = tuple(FaceKey.enrolled(gallery.sample(number)) for number in samples)
    return replace(answer, samples=tuple(samples), learned=faces)


def _taken(gallery: Gallery, samples: Sequence[Sample]) -> tuple[tuple[int, NewSample], ...]:
    """Remove samples, and return them whole with their people's numbers."""
    numbers = {name: number for number, name in gallery.names().items()}
    taken = tuple((numbers[sample.person], gallery.whole_sample(sample.id)) for sample in samples)
    gallery.remove_samples([sample.id for sample in samples])
    return taken


def _enroll_again(gallery: Gallery, removed: Iterable[tuple[int, NewSample]]) -> bool:
    """Give people back samples that were removed; return whether any was."""
    is_changed, names = False, gallery.names()
    for number, sample in removed:
        if number in names:
            (outcome,) = gallery.enroll(names[number], [sample])
            is_changed |= outcome.duplicate_of_person is None
    return is_changed


def _restore(gallery: Gallery, answer: Answer) -> bool:
    """Give back what an answer took away: samples, denials and strangers; return whether there was anything."""
    is_changed, names = _enroll_again(gallery, answer.removed), gallery.names()
    for number, key in answer.withdrawn:
        with suppress(PersonNotFoundError, UsageError):
            is_changed |= number in names and gallery.deny(names[number], key)
    for stranger in answer.forgotten:
        with suppress(UsageError):
            is_changed |= gallery.remember_stranger(stranger)[1]
    return is_changed


def _numbers_now(gallery: Gallery, sample: int, key: FaceKey, owner: str | None) -> list[int]:
    """Return the number of a sample that was learned; another one once it was removed and given back."""
    with suppress(SampleNotFoundError):
        return [gallery.sample(sample).id]
    return [found.id for found in gallery.samples_at(key) if found.person == owner]


def _forget_strangers(gallery: Gallery, strangers: Iterable[tuple[int, FaceKey]]) -> bool:
    """Forget strangers that were remembered, also those that were forgotten and given back; return whether any was."""
    is_changed = False
    for number, key in strangers:
        there = gallery.stranger_faces()
        same = (
            [number]
            if any(one.id == number for one in there)
            else [one.id for one in there if is_same_place(one.face, key)]
        )
        for one in same:
            with suppress(UsageError):
                gallery.forget_stranger(one)
                is_changed = True
    return is_changed


def _denied(gallery: Gallery, name: str) -> dict[int, FaceKey]:
    try:
        return gallery.denied_faces(name)
    except PersonNotFoundError:
        return {}


def _strangers(gallery: Gallery) -> dict[int, NewSample]:
    """Return all strangers, as they are remembered again."""
    with gallery.snapshot():
        there, vectors = gallery.stranger_faces(), gallery.strangers().matrix
    return {
        stranger.id: NewSample(
            box=stranger.face.box,
            landmarks=np.zeros((5, 2), np.float32),  # which are not kept of strangers
            detection_score=0.0,
            quality=0.0,
            path=stranger.path,
            content_hash=stranger.face.content_hash,
            quarter_turns=stranger.face.quarter_turns,
            taken_at=None,
            thumbnail=None,
            vectors={"plain": vector},
            picture_hash=stranger.face.picture_hash,
        )
        for stranger, vector in zip(there, vectors, strict=True)
    }


def _face(photo: Photo, face_number: int) -> Face:
    if not 1 <= face_number <= len(photo.faces):
        raise UsageError(f"{printable(photo.path)} has no face {face_number}")
    return photo.faces[face_number - 1]


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
