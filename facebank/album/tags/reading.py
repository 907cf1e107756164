"""Face regions of photos, listed as they are or used to enroll people who were tagged with another program.

Of each person's named faces the most varied good ones are enrolled, through the same enrollment as always: it refuses
faces that are too poor or rather somebody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.face_groups import MOST_SAMPLES, choose_varied, same_face
from facebank.album.tags.region_views import RegionView, TurnFinder
from facebank.album.tags.regions import Box, Frame, Vocabulary, face_boxes, frame_of, turned
from facebank.album.tags.xmp_files import XmpSource, read_photo_xmp
from facebank.errors import InvalidNameError, PhotoError
from facebank.gallery import name_key, normalize_name
from facebank.media import read_photo
from facebank.operations.enroll import Enroller
from facebank.operations.guard import GuardedFace, PersonGuard
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import EnrollReason

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.operations.engine import Engine
    from facebank.operations.guard import Judgment
    from facebank.types import Face, Photo


@dataclass(frozen=True, slots=True)
class ShownRegion:
    """A region of a photo."""

    name: str  # as the file says
    kind: str  # as the file says: ``Face``, ``Pet``, ``Focus``, ``BarCode`` or empty
    # in pixels of the upright photo; None if the region states no possible area, with the reason in `problem`
    box: Box | None
    vocabulary: Vocabulary  # whose properties it is written in
    file: str  # the photo itself or a sidecar
    written_by_facebank: bool  # whether facebank wrote the name and nobody changed it since
    problem: str | None


@dataclass(frozen=True, slots=True)
class ShownPhoto:
    """A photo and its regions of all files, those that count for more first."""

    path: str  # as the user gave it
    width: int | None  # of the upright photo in pixels; None if it could not be read
    height: int | None  # of the upright photo in pixels; None if it could not be read
    error: str | None  # one sentence, or None
    regions: tuple[ShownRegion, ...]


def list_tags(path: Path) -> ShownPhoto:
    """List the regions in a photo and beside it.

    Raises `MissingDependencyError`: lxml is not installed.
    """
    try:
        xmp = read_photo_xmp(path, to_change=False)
        header = xmp.header
        frame = Frame.of_upright(header.width, header.height, header.orientation)
        regions = tuple(shown for source in xmp.sources for shown in _shown(source, frame))
    except PhotoError as error:
        return ShownPhoto(str(path), None, None, str(error), ())
    return ShownPhoto(str(path), header.width, header.height, None, regions)


def _shown(source: XmpSource, frame: Frame) -> Iterator[ShownRegion]:
    dimensions = source.document.dimensions
    for region in source.document.regions:
        is_mwg = region.vocabulary is Vocabulary.MWG
        turn = frame.turn_of(dimensions) if is_mwg else frame.orientation
        box, problem = None, None
        stated = region.box_in(frame.size_of(turn or frame.orientation))
        if stated is None:
            problem = "it states no area that can be"
        elif turn is None:
            across, down = dimensions or (0, 0)
            problem = f"it is about a picture of {across:g} x {down:g} pixels, which the photo is not any more"
        else:
            x1, y1, x2, y2 = turned(stated, turn)
            width, height = frame.upright_size
            box = (x1 * width, y1 * height, x2 * width, y2 * height)
        yield ShownRegion(
            name=region.name,
            kind=region.kind,
            box=box,
            vocabulary=region.vocabulary,
            file=str(source.path),
            written_by_facebank=region.is_ours,
            problem=problem,
        )


class TagFate(StrEnum):
    """What became of a region, beside the reasons of `facebank.types.EnrollReason`: a closed list."""

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
    """What became of a region, or of a photo whose regions cannot be read."""

    path: str
    person: str | None  # the name in the region, or None
    accepted: bool  # whether the person has this face now
    # a code, and a sentence for people
    reason: TagFate | EnrollReason
    detail: str
    sample_id: int | None = None  # the sample's number, or None


@dataclass(frozen=True, slots=True, eq=False)
class TagOffer:
    """A face that a region names."""

    person: str  # as the gallery writes names
    photo: Photo  # without its faces
    face: Face  # as scanned
    guarded: GuardedFace  # compared with the person's samples


def read_tags(
    photos: Iterable[Photo], *, own: bool = False, progress: Progress = SILENT
) -> Iterator[TagOffer | ImportedTag]:
    """Read the regions of scanned photos.

    Parameters
    ----------
    photos
        As scanned.
    own
        Whether names count that facebank wrote and nobody changed since.
    progress
        Advanced with each photo that was read.

    Yields
    ------
    TagOffer | ImportedTag
        A face with a name, or why a region gives none; nothing for a photo without regions.
    """
    for photo in photos:
        try:
            yield from _read(photo, own=own)
        except PhotoError as error:
            yield ImportedTag(photo.path, None, False, EnrollReason.UNREADABLE, str(error))
        progress.advance()


def _read(photo: Photo, *, own: bool) -> Iterator[TagOffer | ImportedTag]:
    xmp = read_photo_xmp(Path(photo.path), to_change=False)
    if not xmp.sources:
        return
    frame, boxes = frame_of(photo, xmp.header.orientation), face_boxes(photo)
    finder = TurnFinder(frame, boxes, xmp.sources)
    views = [RegionView.of(source, frame, boxes, finder) for source in xmp.sources]
    names: dict[int, dict[str, str]] = {}
    nowhere: dict[str, str] = {}
    ours: dict[str, str] = {}
    for view in views:
        if view.turn.is_unclear:
            yield ImportedTag(photo.path, None, False, TagFate.UNCLEAR_TURN, view.problem or "")
            continue
        matched = {place: face for places in view.of_face.values() for face, place in places.items()}
        for place, region in enumerate(view.regions):
            if not region.is_face:
                continue
            if region.is_ours and region.name and not own:
                ours[name_key(region.name)] = region.name
            elif place in matched:
                names.setdefault(matched[place], {}).setdefault(name_key(region.name), region.name)
            else:
                nowhere[name_key(region.name)] = region.name
    found = {key for keys in names.values() for key in keys}
    yield from (_not_there(photo.path, name) for key, name in nowhere.items() if key not in found)
    yield from (_ours(photo.path, name) for key, name in ours.items() if key not in found)
    for face, given in names.items():
        yield _offer(photo, face, [name for key, name in given.items() if key])


def _not_there(path: str, name: str) -> ImportedTag:
    if not name:
        return ImportedTag(path, None, False, TagFate.NO_NAME, "a region has no name, and no face was found there")
    detail = "no face was found where the region is, or it is about a picture of another shape"
    return ImportedTag(path, name, False, TagFate.NO_FACE_THERE, detail)


def _ours(path: str, name: str) -> ImportedTag:
    detail = "facebank wrote the name and nobody changed it, so that it proves nothing: --own takes it anyway"
    return ImportedTag(path, name, False, TagFate.WRITTEN_BY_FACEBANK, detail)


def _offer(photo: Photo, face: int, names: Sequence[str]) -> TagOffer | ImportedTag:
    if not names:
        return ImportedTag(photo.path, None, False, TagFate.NO_NAME, "a face's region has no name")
    if len(names) > 1:
        listed = " and ".join(map(printable, names))
        detail = f"a face is called {listed}: have them agree, in the photo and in its sidecars"
        return ImportedTag(photo.path, names[0], False, TagFate.SEVERAL_NAMES, detail)
    try:
        person = normalize_name(names[0])
    except InvalidNameError as error:
        return ImportedTag(photo.path, names[0], False, TagFate.NO_NAME_OF_A_PERSON, str(error))
    return TagOffer(person, replace(photo, faces=()), photo.faces[face], GuardedFace.of(photo, face))


def enroll_tags(
    gallery: Gallery,
    engine: Engine,
    offers: Sequence[TagOffer],
    *,
    most: int = MOST_SAMPLES,
    force: bool = False,
) -> Iterator[ImportedTag]:
    """Enroll people from faces that regions name.

    Parameters
    ----------
    gallery, engine
        The gallery, open for writing, and its pack.
    offers
        As `read_tags` yields them.
    most
        How many faces of a person are enrolled.
    force
        Whether faces are taken that are unlike the person's others, nearer to somebody else, or one of two of a photo
        with the same name.

    Yields
    ------
    ImportedTag
        One for each offer, person by person; accepted ones are kept even if the rest is never asked for.
    """
    people: dict[str, list[TagOffer]] = {}
    for offer in offers:
        people.setdefault(name_key(offer.person), []).append(offer)
    enroller = Enroller(gallery, engine, force=True)
    for offered in people.values():
        taken = list[TagOffer]()
        for offer, refusal in zip(offered, _refusals(gallery, engine, offered, force=force), strict=True):
            if refusal is None:
                taken.append(offer)
            else:
                yield refusal
        embeddings = np.array([offer.face.embedding for offer in taken], dtype=np.float32)
        qualities = np.array([offer.face.quality for offer in taken], dtype=np.float32)
        chosen = choose_varied(embeddings, qualities, most) if taken else []
        for place in chosen:
            yield _enroll(enroller, engine, taken[place])
        for place in sorted(set(range(len(taken))) - set(chosen)):
            detail = f"{most} faces that show more are enrolled"
            offer = taken[place]
            yield ImportedTag(offer.photo.path, offer.person, False, TagFate.ENOUGH_OTHERS, detail)


def _refusals(
    gallery: Gallery, engine: Engine, offers: Sequence[TagOffer], *, force: bool
) -> Sequence[ImportedTag | None]:
    """Judge the faces of one person together, as enrollment does, without those of a photo with the name twice."""
    if force:
        return [None] * len(offers)
    counts = Counter(offer.photo.path for offer in offers)
    places = [place for place, offer in enumerate(offers) if counts[offer.photo.path] == 1]
    guard = PersonGuard(gallery, offers[0].person, engine.thresholds.verify)
    judgments = guard.judge([offers[place].guarded for place in places])
    judged = dict(zip(places, judgments, strict=True))
    return [_refusal(offer, judged.get(place)) for place, offer in enumerate(offers)]


def _refusal(offer: TagOffer, judgment: Judgment | None) -> ImportedTag | None:
    if judgment is None:
        person = printable(offer.person)
        detail = f"two faces of the photo are called {person}: rename one region, or use --force if both are {person}"
        return ImportedTag(offer.photo.path, offer.person, False, TagFate.NAMED_TWICE, detail)
    if judgment.refusal is None:
        return None
    unlike = judgment.refusal is EnrollReason.UNLIKE_THE_PERSON
    reason = TagFate.UNLIKE_THE_OTHERS if unlike else judgment.refusal
    return ImportedTag(offer.photo.path, offer.person, False, reason, judgment.detail)


def _enroll(enroller: Enroller, engine: Engine, offer: TagOffer) -> ImportedTag:
    """Read a photo again, and enroll the one face."""
    source = offer.photo.path
    try:
        (analyzed,) = engine.analyzer.analyze([read_photo(source)])
    except PhotoError as error:
        return ImportedTag(source, offer.person, False, EnrollReason.UNREADABLE, str(error))
    face = same_face(analyzed, offer.photo, offer.face)
    if face is None:
        detail = "it is another photo now: scan again"
        return ImportedTag(source, offer.person, False, TagFate.NO_FACE_THERE, detail)
    (fate,) = enroller.enroll(offer.person, [replace(analyzed, faces=(face,))]).photos
    return ImportedTag(source, offer.person, fate.accepted, fate.reason, fate.detail, fate.sample_id)
