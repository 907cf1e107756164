"""Identification of scanned photos, in which a person's samples are always that person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from facebank.errors import GalleryNotFoundError
from facebank.gallery import FaceKey
from facebank.gallery.same_face import is_same_place
from facebank.index.gallery_index import read_with_retry
from facebank.operations.identify import identify_photo
from facebank.types import Decision, Identity, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.scan_file import ScanFile
    from facebank.gallery import Gallery
    from facebank.operations.identify import Identification
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import Face, Photo


def identify_in_album(photo: Photo, gallery: Gallery, identification: Callable[[], Identification]) -> Photo:
    """Return a scanned photo with an identity for each face; a person's samples always get that person.

    Similarity does not decide about samples: it cannot separate two people who look alike, such as one person
    enrolled under two names, and must not overrule the user. Similarity and probability stay as measured. No other face
    of the photo gets the same person, unless the settings allow it.

    Parameters
    ----------
    photo
        As the scan stores it.
    gallery
        The enrolled people and their samples.
    identification
        Returns the recognizer; called only if the photo has faces to identify.
    """
    identified = identify_photo(photo, gallery, identification)
    owners = _owners(identified, gallery)
    if not owners:
        return identified
    allow_twice, taken = identification().settings.allow_twice, set(owners.values())
    return identified.identified(
        [
            _confirmed_identity(face, owners[face.face_number])
            if face.face_number in owners
            else _resolve_conflict(face, set() if allow_twice else taken)
            for face in identified.faces
        ]
    )


def identify_if_gallery(
    bank: GalleryAccess, photos: Iterable[tuple[list[int], Photo]], settings: DecisionSettings | None = None
) -> Iterator[tuple[list[int], Photo]]:
    """Yield photos with their identities; unchanged without a gallery.

    `photos` are as for `ScanFile.each_photo`, each with the numbers of its faces in the scan.
    """
    try:
        gallery = bank.gallery
    except GalleryNotFoundError:
        yield from photos
        return
    for face_ids, photo in photos:
        yield face_ids, identify_in_album(photo, gallery, lambda: bank.identification(settings))


def known_faces(bank: GalleryAccess, scan_file: ScanFile) -> set[int]:
    """Return the numbers in the scan of the faces whose person is known; empty without a gallery."""
    try:
        _ = bank.gallery
    except GalleryNotFoundError:
        return set()
    known = set[int]()
    for face_ids, photo in identify_if_gallery(bank, scan_file.each_photo()):
        known.update(face_id for face_id, face in zip(face_ids, photo.faces, strict=True) if face.person is not None)
    return known


def owner_in_photo(photo: Photo, face_number: int, gallery: Gallery) -> str | None:
    """Return the person whose sample a face is; None if it is not a sample, or one of several people."""
    return _owners(photo, gallery).get(face_number)


def _owners(photo: Photo, gallery: Gallery) -> dict[int, str]:
    """Return the owners of those faces that are samples of exactly one person, by face number."""
    samples = read_with_retry(lambda: gallery.samples_of_photo(photo.content_hash, photo.picture_hash))
    if not samples:
        return {}
    owners: dict[int, str] = {}
    for face in photo.faces:
        key = FaceKey.from_photo(photo, face)
        names = {sample.person for sample in samples if is_same_place(FaceKey.from_sample(sample), key)}
        if len(names) == 1:
            owners[face.face_number] = names.pop()
    return owners


def _confirmed_identity(face: Face, person: str) -> Identity:
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


def _resolve_conflict(face: Face, taken: set[str]) -> Identity:
    """Return the identity of a face, uncertain if its person is already another face's owner."""
    identity = face.identity
    assert identity is not None  # noqa: S101 - `identify_photo` sets it on every face
    if identity.person not in taken:
        return identity
    return replace(identity, decision=Decision.UNCERTAIN, reason=Reason.SAME_PERSON_TWICE, person=None)
