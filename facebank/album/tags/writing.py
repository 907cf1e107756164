"""Writing of identified people's names into photos or sidecars, as regions that photo programs read.

Data of other programs is preserved. A user's name takes precedence over one that facebank found: a conflict is
reported, and the file is not changed. facebank records its names in each region, and later changes or removes only
names that are unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.pictures import changed_photo_message
from facebank.album.tags.region_views import RegionView, TurnFinder
from facebank.album.tags.regions import Box, PhotoFrame, Vocabulary, face_boxes, frame_of, unturn_box
from facebank.album.tags.sidecars import has_unique_stem, sidecar_of
from facebank.album.tags.written_names import TagMarks
from facebank.album.tags.xmp_document import XmpDocument
from facebank.album.tags.xmp_files import PhotoXmp, XmpSource, embed, read_photo_xmp, write_sidecar
from facebank.errors import PhotoError, StorageError, XmpError
from facebank.gallery import name_key
from facebank.media import picture_hash_of_photo
from facebank.storage.text import printable
from facebank.types import Reason

if TYPE_CHECKING:
    from facebank.album.tags.written_names import WrittenNames
    from facebank.storage.folders import NamedFolders
    from facebank.types import Photo


class Action(StrEnum):
    """The outcome for a face's region; of several documents' outcomes, the last in this order counts."""

    UNCHANGED = "unchanged"
    ADDED = "added"
    NAMED = "named"
    RENAMED = "renamed"
    CONFLICT = "conflict"
    UNSURE = "unsure"


_ORDER = tuple(Action)


@dataclass(frozen=True, slots=True)
class TaggedFace:
    """The action for a face's region, and its names."""

    face_number: int  # in the photo, from 1
    person: str  # the identified or improbable name; empty for a face that is only framed
    action: Action
    # the face's other name in a file; empty if a user removed facebank's name; `person` if another face has that name;
    # else None
    named_as: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedPhoto:
    """The written files and the actions for the faces of a photo; on a dry run, those planned."""

    path: str  # of the photo
    files: tuple[str, ...]  # the photo or sidecars that were written
    error: str | None  # why something could not be written, or None
    faces: tuple[TaggedFace, ...]  # the faces to write, and those with an improbable name
    # SHA-256 in hex of the photo's bytes if they changed and were as scanned before; else None
    content_hash: str | None = None
    removed: tuple[str, ...] = ()  # names that were removed because they were denied or forgotten
    # names that facebank wrote and that remain, by file; None if nothing was read
    remaining: Mapping[str, tuple[str, ...]] | None = None
    # names that should be removed from the photo, which is written only with ``into_photos``
    not_removed: tuple[str, ...] = ()
    # files that links place outside of the named folders; if there are any, nothing is written for this photo
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagOptions:
    """Options for writing names.

    Examples
    --------
    >>> TagOptions(into_photos=True, dry_run=True).unnamed
    False
    """

    into_photos: bool = False  # write into the photos, not into sidecars
    unnamed: bool = False  # also frame unknown faces, without a name
    dry_run: bool = False  # leave files unchanged, and only report
    folders: NamedFolders | None = None  # where files may be written after links are resolved; None for anywhere


def tag_photo(photo: Photo, options: TagOptions, written_names: WrittenNames) -> TaggedPhoto:
    """Write the names of people in a photo, and remove facebank's names that were denied or forgotten since.

    Raises `MissingDependencyError` if lxml is not installed.

    Parameters
    ----------
    photo
        The identified photo.
    options
        The options for writing.
    written_names
        Lists the names to remove, and records the names before they are written.

    Returns
    -------
    TaggedPhoto
        The written files and the action for each face.
    """
    unsure = tuple(
        TaggedFace(face_number, face.candidates[0].person, Action.UNSURE)
        for face_number, face in enumerate(photo.faces, 1)
        if face.reason is Reason.IMPROBABLE
    )
    wanted = {
        face_index: face.person or ""
        for face_index, face in enumerate(photo.faces)
        if face.person is not None or options.unnamed
    }
    denied = written_names.denied(photo)
    if not wanted and not denied and not written_names.may_have_forgotten(photo):
        return TaggedPhoto(photo.path, (), None, unsure)
    try:
        xmp = read_photo_xmp(Path(photo.path))
        is_as_scanned = xmp.file.content_hash == photo.content_hash
        if not is_as_scanned and photo.picture_hash != picture_hash_of_photo(xmp.file, xmp.header):
            raise XmpError(changed_photo_message(photo.path))
        if is_as_scanned and options.into_photos and not options.dry_run:
            written_names.add_picture_hash(photo, photo.picture_hash or picture_hash_of_photo(xmp.file, xmp.header))
        tagged = _tag(photo, wanted, xmp, options, written_names, denied=denied)
        content_hash = tagged.content_hash if is_as_scanned else None  # the next scan has to find the other change
        return replace(tagged, faces=tagged.faces + unsure, content_hash=content_hash)
    except (PhotoError, StorageError) as error:
        return TaggedPhoto(photo.path, (), str(error), ())


def _tag(
    photo: Photo,
    wanted: dict[int, str],
    xmp: PhotoXmp,
    options: TagOptions,
    written_names: WrittenNames,
    *,
    denied: Mapping[int, AbstractSet[str]],
) -> TaggedPhoto:
    frame, boxes = frame_of(photo, xmp.header.orientation), face_boxes(photo)
    finder = TurnFinder(frame, boxes, xmp.sources)
    named_faces = {face_index for face_index, name in wanted.items() if name}

    def view_without_obsolete(source: XmpSource) -> tuple[RegionView, list[int]]:
        view = RegionView.of(source, frame, boxes, finder)
        obsolete = _find_obsolete(view, written_names.marks, denied, named_faces)
        return view.without_names(obsolete), obsolete

    views = [view_without_obsolete(source)[0] for source in xmp.sources]
    _require_clear(views if wanted else ())
    had_regions = xmp.embedded is not None and xmp.embedded.document.has_mwg_regions
    targets = _targets(xmp, [view.source for view in views if view.turn.to_write], into_photo=options.into_photos)
    changed, faces, removed = list[XmpSource](), dict[int, TaggedFace](), list[str]()
    for target in targets:
        view, obsolete = view_without_obsolete(target)
        names = [target.document.regions[region_index].name for region_index in obsolete]
        plans = [_plan(face_index, name, view, views, named_faces) for face_index, name in wanted.items()]
        if _has_changes(plans):
            _apply(plans, view, frame, boxes, written_names.marks)
        remove_names(target, obsolete)
        if target.path == xmp.path and not had_regions:
            # regions that only a sidecar had are copied into the photo
            copied = view.region_of_face[Vocabulary.MWG]
            plans = [_at_least_added(plan) if plan.face_number - 1 in copied else plan for plan in plans]
        if _has_changes(plans) or (obsolete and any(target is source for source in xmp.sources)):
            changed.append(target)
            removed += names
        for plan in plans:
            other = faces.get(plan.face_number, plan)
            faces[plan.face_number] = max(other, plan, key=lambda tagged: _ORDER.index(tagged.action))
    inside = [] if xmp.embedded is None or options.into_photos else [xmp.embedded]
    planned = TaggedPhoto(
        photo.path,
        tuple(str(target.path) for target in changed),
        None,
        tuple(faces.values()),
        removed=tuple(dict.fromkeys(removed)),
        not_removed=tuple(
            source.document.regions[region_index].name
            for source in inside
            for region_index in view_without_obsolete(source)[1]
        ),
    )
    planned = replace(planned, remaining=remaining_names([*xmp.sources, *changed]))
    outside = _files_outside(changed, options.folders)
    if outside:
        return TaggedPhoto(photo.path, (), None, (), outside=outside)
    if options.dry_run:
        return planned
    if changed:
        written_names.prepare(photo, planned.remaining or {})
    return _write(planned, xmp, changed)


def _require_clear(views: Sequence[RegionView]) -> None:
    """Raise `XmpError` if the orientation of a document's regions is unclear."""
    unclear = next((view.problem for view in views if view.turn.is_unclear), None)
    if unclear is not None:
        raise XmpError(unclear)


def _files_outside(targets: Sequence[XmpSource], folders: NamedFolders | None) -> tuple[str, ...]:
    """Return the files that links place outside of the named folders."""
    if folders is None:
        return ()
    return tuple(str(target.path) for target in targets if not folders.contains(target.path))


def _find_obsolete(
    view: RegionView, marks: TagMarks, denied: Mapping[int, AbstractSet[str]], named_faces: AbstractSet[int]
) -> list[int]:
    """Return the indices of regions whose names are to be removed; known faces are renamed instead."""
    faces = {region_index: face_index for face_index, region_index in view.region_of_face[Vocabulary.MWG].items()}
    return [
        region_index
        for region_index, region in enumerate(view.regions)
        if faces.get(region_index) not in named_faces
        and marks.is_obsolete(region, denied.get(faces.get(region_index, -1), frozenset()))
    ]


def _at_least_added(plan: TaggedFace) -> TaggedFace:
    return replace(plan, action=max(plan.action, Action.ADDED, key=_ORDER.index))


def _has_changes(plans: Sequence[TaggedFace]) -> bool:
    return any(plan.action not in (Action.UNCHANGED, Action.CONFLICT) for plan in plans)


def _plan(
    face_index: int, person: str, target: RegionView, views: Sequence[RegionView], named_faces: AbstractSet[int]
) -> TaggedFace:
    """Return the action for a face in the target document, in view of all documents about the photo.

    `named_faces` are the indices of the faces that get a name.
    """
    face_number, region_index = face_index + 1, target.region_of_face[Vocabulary.MWG].get(face_index)
    named_regions = [region for view in views for region in view.named_regions(face_index)]
    if not person:
        return TaggedFace(
            face_number, person, Action.ADDED if region_index is None and not named_regions else Action.UNCHANGED
        )
    others = (
        region.name
        for region in named_regions
        if not region.is_by_facebank and name_key(region.name) != name_key(person)
    )
    other = next(others, None)
    if other is None and any(view.names_another(face_index, person, named_faces) for view in views):
        other = person
    if other is not None:
        return TaggedFace(face_number, person, Action.CONFLICT, other)
    if region_index is None:
        return TaggedFace(
            face_number, person, Action.UNCHANGED if target.is_framed(face_index, person) else Action.ADDED
        )
    name = target.regions[region_index].name
    if name_key(name) == name_key(person):
        return TaggedFace(face_number, person, Action.UNCHANGED)
    if not name and target.regions[region_index].written_name:
        return TaggedFace(face_number, person, Action.CONFLICT, "")
    return TaggedFace(face_number, person, Action.RENAMED if name else Action.NAMED, name or None)


def _apply(
    plans: Sequence[TaggedFace], view: RegionView, frame: PhotoFrame, boxes: Sequence[Box], marks: TagMarks
) -> None:
    document = view.source.document
    for plan in plans:
        face_index = plan.face_number - 1
        if plan.action is Action.ADDED:
            turn = view.turn.to_write
            if turn is None:
                raise XmpError(view.problem or "")
            box, mark = unturn_box(boxes[face_index], turn), marks.mark(plan.person)
            document.add_region(box, plan.person, frame.size_of(turn), mark)
        elif plan.action in (Action.NAMED, Action.RENAMED):
            document.name_region(view.region_of_face[Vocabulary.MWG][face_index], plan.person, marks.mark(plan.person))


def _targets(xmp: PhotoXmp, usable: Sequence[XmpSource], *, into_photo: bool) -> list[XmpSource]:
    """Return the documents to write: the sidecar, or the photo and a sidecar with regions, which programs prefer.

    A document without regions gets those of the first usable document.
    """
    path = sidecar_of(xmp.path)
    sidecar = next((source for source in xmp.sidecars if source.path == path), None)
    if into_photo:
        if xmp.extended is not None and xmp.extended.document.has_mwg_regions:
            raise XmpError(
                f"{printable(str(xmp.path))} has face regions in Extended XMP, which facebank cannot change: write a "
                "sidecar instead, without --embed"
            )
        inside = xmp.embedded or XmpSource(xmp.path, XmpDocument.empty(str(xmp.path)))
        preferred = [sidecar] if sidecar is not None and sidecar.document.has_mwg_regions else []
        return [*preferred, _with_regions(inside, usable)]
    if sidecar is None:
        adobe = next(iter(xmp.sidecars), None)
        if adobe is not None and has_unique_stem(xmp.path):
            sidecar = XmpSource(path, XmpDocument.parse(adobe.document.to_bytes(), str(path)))
        else:
            sidecar = XmpSource(path, XmpDocument.empty(str(path)))
    return [_with_regions(sidecar, usable)]


def _with_regions(target: XmpSource, sources: Sequence[XmpSource]) -> XmpSource:
    """Copy another document's regions into one without any, because programs read only the first document."""
    if not target.document.has_mwg_regions:
        other = next((source for source in sources if source.document.has_mwg_regions), None)
        if other is not None:
            target.document.copy_regions(other.document)
    return target


def _write(planned: TaggedPhoto, xmp: PhotoXmp, changed: Sequence[XmpSource]) -> TaggedPhoto:
    """Write documents, the photo first: if it cannot be written, no other one is."""
    files, content_hash, error = list[str](), None, None
    for target in sorted(changed, key=lambda target: target.path != xmp.path):
        try:
            content_hash = save(xmp, target) or content_hash
        except (PhotoError, StorageError) as failure:
            error = str(failure)
            break
        files.append(str(target.path))
    faces = planned.faces if error is None or files else ()
    return replace(planned, files=tuple(files), error=error, faces=faces, content_hash=content_hash)


def save(xmp: PhotoXmp, source: XmpSource) -> str | None:
    """Write a document, and return the SHA-256 in hex of the photo's new bytes if the document is in the photo."""
    if source.path == xmp.path:
        return sha256(embed(xmp, source.document)).hexdigest()
    write_sidecar(source.path, source.document, source.data)
    return None


def remaining_names(sources: Sequence[XmpSource]) -> dict[str, tuple[str, ...]]:
    """Return the names that facebank wrote and that are unchanged, by path of the document."""
    return {
        str(source.path): tuple(
            region.name for region in source.document.regions if region.is_by_facebank and region.name
        )
        for source in sources
    }


def remove_names(source: XmpSource, indices: list[int]) -> None:
    """Remove the names of MWG regions, given by their indices."""
    for index in sorted(indices, reverse=True):
        source.document.unname_region(index)
