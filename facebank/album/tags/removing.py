"""Names that facebank wrote into photos and sidecars, taken out again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.tags.regions import Vocabulary
from facebank.album.tags.xmp_files import embed, read_photo_xmp, write_sidecar
from facebank.errors import PhotoError, StorageError, XmpError
from facebank.gallery import name_key
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facebank.album.tags.regions import Region
    from facebank.album.tags.xmp_files import PhotoXmp, XmpSource
    from facebank.media import PhotoFile
    from facebank.storage.folders import NamedFolders


@dataclass(frozen=True, slots=True)
class RemovedTags:
    """What became of a name in a photo and in its sidecars.

    Attributes
    ----------
    image
        Its path.
    files
        What was changed, or would be: the photo or sidecars.
    names
        How many names were taken out, or would be.
    left
        How many regions have the name that facebank did not write, or that somebody changed: they stay.
    error
        Why it could not be done, or not wholly; else None.
    content_hash
        SHA-256 in hex of the photo's bytes where they are others now; else None.
    before
        The photo as it was read; None where nothing was to be changed.
    standing
        Names that facebank wrote and that stand there now, by file.
    outside
        Files with the name that links lead out of the named folders to: where there is one, nothing is changed.
    """

    image: str
    files: tuple[str, ...]
    names: int
    left: int
    error: str | None
    content_hash: str | None = None
    before: PhotoFile | None = None
    standing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


def remove_name(photo: Path, name: str, folders: NamedFolders, *, dry_run: bool = False) -> RemovedTags:
    """Take a name out of a photo and of its sidecars, wherever facebank wrote it and nobody changed it since.

    Regions that facebank made go; of others only the name does. Nothing else in the files changes.

    Parameters
    ----------
    photo
        The photo.
    name
        The name; case does not matter.
    folders
        What somebody named: a file to which links lead out of them is left alone.
    dry_run
        Whether nothing is written, and only said what would be.

    Raises
    ------
    MissingDependencyError
        The extra that reads XMP is not installed.
    """
    key = name_key(name)
    try:
        head = read_photo_xmp(photo, to_change=False)
        if not any(_has(region, key) for source in head.sources for region in source.document.regions):
            return RemovedTags(str(photo), (), 0, 0, None, standing=standing_names(head.sources))
        xmp = read_photo_xmp(photo)
        found = [
            (source, [place for place, region in enumerate(source.document.regions) if _is_ours(region, key)])
            for source in xmp.sources
        ]
        named = sum(_has(region, key) for source in xmp.sources for region in source.document.regions)
    except PhotoError as error:
        return RemovedTags(str(photo), (), 0, 0, str(error))
    changed = [(source, places) for source, places in found if places]
    ours = sum(len(places) for _, places in changed)
    planned = RemovedTags(
        str(photo), tuple(str(source.path) for source, _ in changed), ours, named - ours, None, before=xmp.file
    )
    outside = [str(source.path) for source, _ in changed if not folders.hold(source.path)]
    if outside:
        return replace(planned, files=(), names=0, outside=tuple(outside))
    return planned if dry_run else _written(planned, xmp, changed)


def standing_names(sources: Sequence[XmpSource]) -> dict[str, tuple[str, ...]]:
    """Return the names in documents that facebank wrote and nobody changed, by the documents' files."""
    return {
        str(source.path): tuple(region.name for region in source.document.regions if region.is_ours and region.name)
        for source in sources
    }


def take_out(source: XmpSource, places: list[int]) -> None:
    """Take the names out of some regions of a document, of the Metadata Working Group's."""
    for place in sorted(places, reverse=True):
        source.document.unname_region(place)


def _written(planned: RemovedTags, xmp: PhotoXmp, changed: list[tuple[XmpSource, list[int]]]) -> RemovedTags:
    files, names, content_hash = list[str](), 0, None
    for source, places in changed:
        try:
            if source is xmp.extended:
                raise XmpError(
                    f"{printable(str(xmp.path))} has the name in Extended XMP, which is not written: take it out with "
                    "another program"
                )
            take_out(source, places)
            if source.path != xmp.path:
                write_sidecar(source.path, source.document, source.data)
            else:
                content_hash = sha256(embed(xmp, source.document)).hexdigest()
        except (PhotoError, StorageError) as error:
            done = replace(planned, files=tuple(files), names=names, content_hash=content_hash)
            return replace(done, error=str(error))
        files.append(str(source.path))
        names += len(places)
    standing = standing_names(xmp.sources)
    return replace(planned, files=tuple(files), names=names, content_hash=content_hash, standing=standing)


def _has(region: Region, key: str) -> bool:
    return bool(region.name) and name_key(region.name) == key


def _is_ours(region: Region, key: str) -> bool:
    return region.vocabulary is Vocabulary.MWG and region.is_ours and _has(region, key)
