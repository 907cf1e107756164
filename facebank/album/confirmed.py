"""Decisions about scanned photos, in which a face that somebody gave a name keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from facebank.gallery import FaceKey
from facebank.gallery.same_face import is_same_place
from facebank.index.gallery_index import read_until_whole
from facebank.operations.identify import identified_photo
from facebank.types import Decision, Identity, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.gallery import Gallery
    from facebank.operations.identify import Identification
    from facebank.types import Face, Photo


def identified_in_album(photo: Photo, gallery: Gallery, identification: Callable[[], Identification]) -> Photo:
    """Decide whose the faces of a scanned photo are: as `identified_photo`, but a person's samples stay the person's.

    Similarities do not count there: two people of one look, such as a person under a second name by mistake, are
    confused, and that must not take away what somebody said. Similarity and probability stay as measured. Another face
    of the photo is not the same person, unless the settings allow that.
    """
    found = identified_photo(photo, gallery, identification)
    owners = _owners(found, gallery)
    if not owners:
        return found
    allow_twice, taken = identification().settings.allow_twice, set(owners.values())
    return found.identified(
        [
            _confirmed(face, owners[face.face_number])
            if face.face_number in owners
            else _decided(face, set() if allow_twice else taken)
            for face in found.faces
        ]
    )


def owner_in_photo(photo: Photo, face_number: int, gallery: Gallery) -> str | None:
    """Return whose sample a face of a photo is; None if nobody's, or of several people."""
    return _owners(photo, gallery).get(face_number)


def _owners(photo: Photo, gallery: Gallery) -> dict[int, str]:
    """Return whose samples faces are, by the faces' numbers."""
    samples = read_until_whole(lambda: gallery.samples_of_photo(photo.content_hash, photo.picture_hash))
    if not samples:
        return {}
    found: dict[int, str] = {}
    for face in photo.faces:
        key = FaceKey.found(photo, face)
        names = {sample.person for sample in samples if is_same_place(FaceKey.enrolled(sample), key)}
        if len(names) == 1:
            found[face.face_number] = names.pop()
    return found


def _confirmed(face: Face, person: str) -> Identity:
    candidates = face.candidates
    own = next((candidate for candidate in candidates if candidate.person == person), None)
    return Identity(
        Decision.KNOWN,
        Reason.MATCH,
        person,
        None if own is None else own.similarity,
        None if own is None else own.probability,
        candidates,
        None if face.identity is None else face.identity.stranger_probability,
    )


def _decided(face: Face, taken: set[str]) -> Identity:
    identity = face.identity
    assert identity is not None  # noqa: S101 - all faces were decided about
    if identity.person not in taken:
        return identity
    return replace(identity, decision=Decision.UNCERTAIN, reason=Reason.SAME_PERSON_TWICE, person=None)
