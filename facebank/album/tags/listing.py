"""Face regions of photos and their sidecars, listed with their boxes in the upright photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.album.tags.regions import Box, PhotoFrame, Vocabulary, turn_box
from facebank.album.tags.xmp_document import REWRITE_ADVICE
from facebank.album.tags.xmp_files import XmpSource, read_photo_xmp
from facebank.errors import PhotoError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ListedRegion:
    """A region of a photo."""

    name: str  # as written in the file
    kind: str  # as written in the file: ``Face``, ``Pet``, ``Focus``, ``BarCode`` or empty
    box: Box | None  # x1, y1, x2, y2 in pixels of the upright photo; None if it cannot be derived
    vocabulary: Vocabulary  # of the properties in which it is written
    path: str  # of the photo or of a sidecar
    written_by_facebank: bool  # whether facebank wrote the name and nobody has changed it since
    problem: str | None  # why there is no box, or None


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """A photo and its regions; sidecars, which take precedence, come first."""

    path: str  # as the user gave it
    width: int | None  # of the upright photo in pixels; None if it could not be read
    height: int | None  # of the upright photo in pixels; None if it could not be read
    error: str | None  # one sentence, or None
    regions: tuple[ListedRegion, ...]


def list_tags(path: Path) -> ListedPhoto:
    """Return the regions in a photo and its sidecars.

    Raises `MissingDependencyError` if lxml is not installed.
    """
    try:
        xmp = read_photo_xmp(path, to_change=False)
        header = xmp.header
        frame = PhotoFrame.of_upright(header.width, header.height, header.orientation)
        regions = tuple(region for source in xmp.sources for region in _list_regions(source, frame))
    except PhotoError as error:
        return ListedPhoto(str(path), None, None, str(error), ())
    return ListedPhoto(str(path), header.width, header.height, None, regions)


def _list_regions(source: XmpSource, frame: PhotoFrame) -> Iterator[ListedRegion]:
    dimensions = source.document.dimensions
    for region in source.document.regions:
        is_mwg = region.vocabulary is Vocabulary.MWG
        turn = frame.turn_of(dimensions) if is_mwg else frame.orientation
        box, problem = None, None
        relative = region.box_in(frame.size_of(turn or frame.orientation))
        if relative is None:
            problem = f"the region's area is missing or invalid: {REWRITE_ADVICE}"
        elif turn is None:
            width, height = dimensions or (0, 0)
            reason = f"the region was written for a photo of {width:g} x {height:g} pixels, which now has another shape"
            problem = f"{reason}: {REWRITE_ADVICE}"
        else:
            x1, y1, x2, y2 = turn_box(relative, turn)
            upright_width, upright_height = frame.upright_size
            box = (x1 * upright_width, y1 * upright_height, x2 * upright_width, y2 * upright_height)
        yield ListedRegion(
            name=region.name,
            kind=region.kind,
            box=box,
            vocabulary=region.vocabulary,
            path=str(source.path),
            written_by_facebank=region.is_by_facebank,
            problem=problem,
        )
