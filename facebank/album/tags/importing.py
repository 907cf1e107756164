"""Enrollment of people from face regions that another program named.

Of each person's named faces, the best and most varied ones are enrolled. The usual checks of enrollment apply: faces of
poor quality and faces that are more similar to somebody else are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.naming import MAX_SAMPLES, choose_varied, find_face
from facebank.album.tags.region_views import RegionView, TurnFinder
from facebank.album.tags.regions import face_boxes, frame_of
from facebank.album.tags.xmp_files import read_photo_xmp
from facebank.errors import InvalidNameError, PhotoError, UnreadablePhotoError
from facebank.gallery import name_key, normalize_name
from facebank.media import read_photo
from facebank.operations.enroll import Enroller
from facebank.operations.guard import GuardedFace, PersonGuard
from facebank.storage.bucket_urls import bucket_file_message, is_bucket_url
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.operations.engine import Engine
    from facebank.operations.guard import Judgment
    from facebank.types import Face, Photo


class TagReason(StrEnum):
    """Reasons why a region was not enrolled, in addition to `facebank.types.EnrollReason`."""

    NO_NAME = "no_name"
    NO_NAME_OF_A_PERSON = "no_name_of_a_person"
    NO_FACE_THERE = "no_face_there"
    UNCLEAR_TURN = "unclear_turn"
    SEVERAL_NAMES = "several_names"
    UNLIKE_THE_OTHERS = "unlike_the_others"
    NAMED_TWICE = "named_twice"
    ENOUGH_OTHERS = "enough_others"
    WRITTEN_BY_FACEBANK = "written_by_facebank"


@dataclass(frozen=True, slots=True)
class ImportedTag:
    """The result of a region, or of a photo whose regions cannot be read."""

    path: str  # of the photo
    person: str | None  # the name in the region, or None
    accepted: bool  # whether the face was enrolled as a sample
    reason: TagReason | EnrollReason
    detail: str  # the reason as a sentence
    sample_id: int | None = None  # the sample's number, or None


@dataclass(frozen=True, slots=True, eq=False)
class TagOffer:
    """A face that a region names."""

    person: str  # normalized as in the gallery
    photo: Photo  # without its faces
    face: Face  # as scanned
    guarded: GuardedFace  # the face prepared for comparison with samples


def read_tags(
    photos: Iterable[Photo], *, include_own: bool = False, progress: Progress = SILENT
) -> Iterator[TagOffer | ImportedTag]:
    """Yield the named faces in the regions of scanned photos.

    Parameters
    ----------
    photos
        As scanned.
    include_own
        Whether to use names that facebank wrote and nobody has changed since.
    progress
        Advanced with each photo that was read.

    Yields
    ------
    TagOffer | ImportedTag
        A named face, or why a region has none; a photo without regions yields nothing.
    """
    for photo in photos:
        try:
            yield from _read(photo, include_own=include_own)
        except PhotoError as error:
            yield ImportedTag(photo.path, None, False, EnrollReason.UNREADABLE, str(error))
        progress.advance()


def _read(photo: Photo, *, include_own: bool) -> Iterator[TagOffer | ImportedTag]:
    if is_bucket_url(photo.path):
        raise UnreadablePhotoError(bucket_file_message(photo.path))
    xmp = read_photo_xmp(Path(photo.path), to_change=False)
    if not xmp.sources:
        return
    frame, boxes = frame_of(photo, xmp.header.orientation), face_boxes(photo)
    finder = TurnFinder(frame, boxes, xmp.sources)
    views = [RegionView.of(source, frame, boxes, finder) for source in xmp.sources]
    names: dict[int, dict[str, str]] = {}
    unmatched: dict[str, str] = {}
    written_by_facebank: dict[str, str] = {}
    for view in views:
        if view.turn.is_unclear:
            yield ImportedTag(photo.path, None, False, TagReason.UNCLEAR_TURN, view.problem or "")
            continue
        matched = {
            region_index: face_index
            for indices in view.region_of_face.values()
            for face_index, region_index in indices.items()
        }
        for index, region in enumerate(view.regions):
            if not region.is_face:
                continue
            if region.is_by_facebank and region.name and not include_own:
                written_by_facebank[name_key(region.name)] = region.name
            elif index in matched:
                names.setdefault(matched[index], {}).setdefault(name_key(region.name), region.name)
            else:
                unmatched[name_key(region.name)] = region.name
    matched_keys = {key for keys in names.values() for key in keys}
    yield from (_unmatched_tag(photo.path, name) for key, name in unmatched.items() if key not in matched_keys)
    yield from (_own_tag(photo.path, name) for key, name in written_by_facebank.items() if key not in matched_keys)
    for face_index, face_names in names.items():
        yield _offer(photo, face_index, [name for key, name in face_names.items() if key])


def _unmatched_tag(path: str, name: str) -> ImportedTag:
    if not name:
        return ImportedTag(path, None, False, TagReason.NO_NAME, "a region has no name, and no face was found there")
    detail = "no face was found where the region is, or the region is about a picture of another shape"
    return ImportedTag(path, name, False, TagReason.NO_FACE_THERE, detail)


def _own_tag(path: str, name: str) -> ImportedTag:
    detail = "facebank wrote the name itself, which is no evidence: use --own to enroll the face anyway"
    return ImportedTag(path, name, False, TagReason.WRITTEN_BY_FACEBANK, detail)


def _offer(photo: Photo, face_index: int, names: Sequence[str]) -> TagOffer | ImportedTag:
    if not names:
        return ImportedTag(
            photo.path,
            None,
            False,
            TagReason.NO_NAME,
            "a face's region has no name: name it in the program that wrote it",
        )
    if len(names) > 1:
        listed = " and ".join(map(printable, names))
        detail = f"a face is named {listed}: use one name in the photo and its sidecars"
        return ImportedTag(photo.path, names[0], False, TagReason.SEVERAL_NAMES, detail)
    try:
        person = normalize_name(names[0])
    except InvalidNameError as error:
        return ImportedTag(photo.path, names[0], False, TagReason.NO_NAME_OF_A_PERSON, str(error))
    face, guarded = photo.faces[face_index], GuardedFace.from_photo(photo, face_index)
    return TagOffer(person, replace(photo, faces=()), face, guarded)


def enroll_tags(
    gallery: Gallery,
    engine: Engine,
    offers: Sequence[TagOffer],
    *,
    max_samples: int = MAX_SAMPLES,
    force: bool = False,
) -> Iterator[ImportedTag]:
    """Enroll people from the faces that regions name.

    Parameters
    ----------
    gallery, engine
        The gallery, open for writing, and its pack's engine.
    offers
        As `read_tags` yields them.
    max_samples
        Maximum number of faces to enroll for a person.
    force
        Whether to enroll faces that are unlike the person's others, more similar to somebody else, or one of several in
        a photo with the same name.

    Yields
    ------
    ImportedTag
        The result of each offer, person by person, once it is stored.
    """
    offers_by_person: dict[str, list[TagOffer]] = {}
    for offer in offers:
        offers_by_person.setdefault(name_key(offer.person), []).append(offer)
    enroller = Enroller(gallery, engine, force=True)
    for person_offers in offers_by_person.values():
        accepted = list[TagOffer]()
        for offer, refusal in zip(person_offers, _refusals(gallery, engine, person_offers, force=force), strict=True):
            if refusal is None:
                accepted.append(offer)
            else:
                yield refusal
        embeddings = np.array([offer.face.embedding for offer in accepted], dtype=np.float32)
        qualities = np.array([offer.face.quality for offer in accepted], dtype=np.float32)
        chosen = choose_varied(embeddings, qualities, max_samples) if accepted else []
        for index in chosen:
            yield _enroll(enroller, engine, accepted[index])
        for index in sorted(set(range(len(accepted))) - set(chosen)):
            detail = f"{max_samples} better or more varied faces are enrolled"
            offer = accepted[index]
            yield ImportedTag(offer.photo.path, offer.person, False, TagReason.ENOUGH_OTHERS, detail)


def _refusals(
    gallery: Gallery, engine: Engine, offers: Sequence[TagOffer], *, force: bool
) -> Sequence[ImportedTag | None]:
    """Return the refusal of each face of one person, or None; a name that occurs twice in a photo is refused."""
    if force:
        return [None] * len(offers)
    counts = Counter(offer.photo.path for offer in offers)
    indices = [index for index, offer in enumerate(offers) if counts[offer.photo.path] == 1]
    guard = PersonGuard(gallery, offers[0].person, engine.thresholds.verify)
    judgments = guard.judge([offers[index].guarded for index in indices])
    judged = dict(zip(indices, judgments, strict=True))
    return [_refusal(offer, judged.get(index)) for index, offer in enumerate(offers)]


def _refusal(offer: TagOffer, judgment: Judgment | None) -> ImportedTag | None:
    if judgment is None:
        person = printable(offer.person)
        detail = f"two faces of the photo are named {person}: rename one region, or use --force if both are {person}"
        return ImportedTag(offer.photo.path, offer.person, False, TagReason.NAMED_TWICE, detail)
    if judgment.refusal is None:
        return None
    is_unlike = judgment.refusal is EnrollReason.UNLIKE_THE_PERSON
    reason = TagReason.UNLIKE_THE_OTHERS if is_unlike else judgment.refusal
    return ImportedTag(offer.photo.path, offer.person, False, reason, judgment.detail)


def _enroll(enroller: Enroller, engine: Engine, offer: TagOffer) -> ImportedTag:
    """Read the photo of an offer again, and enroll the face."""
    path = offer.photo.path
    try:
        (analyzed,) = engine.analyzer.analyze([read_photo(path)])
    except PhotoError as error:
        return ImportedTag(path, offer.person, False, EnrollReason.UNREADABLE, str(error))
    face = find_face(analyzed, offer.photo, offer.face)
    if face is None:
        detail = "the photo has changed: scan again"
        return ImportedTag(path, offer.person, False, TagReason.NO_FACE_THERE, detail)
    (enrolled,) = enroller.enroll(offer.person, [replace(analyzed, faces=(face,))]).photos
    return ImportedTag(path, offer.person, enrolled.accepted, enrolled.reason, enrolled.detail, enrolled.sample_id)
