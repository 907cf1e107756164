"""Removal of names that facebank wrote into photos and sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.tags.regions import Vocabulary
from facebank.album.tags.writing import remaining_names, remove_names, save
from facebank.album.tags.xmp_files import PhotoXmp, XmpSource, read_photo_xmp
from facebank.errors import PhotoError, StorageError, XmpError
from facebank.gallery import name_key
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.album.tags.regions import Region
    from facebank.media import PhotoFile
    from facebank.storage.folders import NamedFolders


@dataclass(frozen=True, slots=True)
class RemovedTags:
    """The result of removing a name from a photo and its sidecars."""

    path: str  # of the photo
    files: tuple[str, ...]  # the photo or sidecars that were changed; on a dry run, that would be
    names: int  # number of names that were removed; on a dry run, that would be
    kept: int  # regions that keep the name because facebank did not write it, or somebody changed it
    error: str | None  # why the name was not removed, or not everywhere; else None
    content_hash: str | None = None  # SHA-256 in hex of the photo's bytes if they changed; else None
    before: PhotoFile | None = None  # the photo as it was read; None if there was nothing to change
    # names that facebank wrote and that remain, by file
    remaining: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # files with the name that links place outside of the named folders; if there are any, nothing is changed
    outside: tuple[str, ...] = ()


def remove_name(path: Path, name: str, folders: NamedFolders, *, dry_run: bool = False) -> RemovedTags:
    """Remove a name from a photo and its sidecars where facebank wrote it and nobody has changed it since.

    Regions that facebank added are removed; others only lose the name. Nothing else in the files changes. Raises
    `MissingDependencyError` if lxml is not installed.

    Parameters
    ----------
    path, name
        The photo's file, and the name in any case.
    folders
        The places that the user named. No file is changed through a link that leads out of them.
    dry_run
        Whether files stay unchanged, and the results are only reported.

    Returns
    -------
    RemovedTags
        The changed files and the number of removed names.
    """
    key = name_key(name)
    try:
        head = read_photo_xmp(path, to_change=False)
        if not any(_has(region, key) for source in head.sources for region in source.document.regions):
            return RemovedTags(str(path), (), 0, 0, None, remaining=remaining_names(head.sources))
        xmp = read_photo_xmp(path)
        removals = [
            (source, [index for index, region in enumerate(source.document.regions) if _is_ours(region, key)])
            for source in xmp.sources
        ]
        named = sum(_has(region, key) for source in xmp.sources for region in source.document.regions)
    except PhotoError as error:
        return RemovedTags(str(path), (), 0, 0, str(error))
    changed = [(source, indices) for source, indices in removals if indices]
    count = sum(len(indices) for _, indices in changed)
    planned = RemovedTags(
        str(path), tuple(str(source.path) for source, _ in changed), count, named - count, None, before=xmp.file
    )
    outside = [str(source.path) for source, _ in changed if not folders.contains(source.path)]
    if outside:
        return replace(planned, files=(), names=0, outside=tuple(outside))
    return planned if dry_run else _write_removals(planned, xmp, changed)


def _write_removals(planned: RemovedTags, xmp: PhotoXmp, changed: list[tuple[XmpSource, list[int]]]) -> RemovedTags:
    files, names, content_hash = list[str](), 0, None
    for source, indices in changed:
        try:
            if source is xmp.extended:
                raise XmpError(
                    f"{printable(str(xmp.path))} has the name in Extended XMP, which facebank cannot change: remove it "
                    "with another program"
                )
            remove_names(source, indices)
            content_hash = save(xmp, source) or content_hash
        except (PhotoError, StorageError) as error:
            done = replace(planned, files=tuple(files), names=names, content_hash=content_hash)
            return replace(done, error=str(error))
        files.append(str(source.path))
        names += len(indices)
    remaining = remaining_names(xmp.sources)
    return replace(planned, files=tuple(files), names=names, content_hash=content_hash, remaining=remaining)


def _has(region: Region, key: str) -> bool:
    return bool(region.name) and name_key(region.name) == key


def _is_ours(region: Region, key: str) -> bool:
    return region.vocabulary is Vocabulary.MWG and region.is_by_facebank and _has(region, key)
