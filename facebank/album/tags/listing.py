"""The regions of a photo as they are, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facebank.album.tags.regions import Box, Frame, Vocabulary, turned
from facebank.album.tags.xmp_files import XmpSource, read_photo_xmp
from facebank.errors import PhotoError


@dataclass(frozen=True, slots=True)
class ShownRegion:
    """A region of a photo.

    Attributes
    ----------
    name, kind
        As the file says: the kind is ``Face``, ``Pet``, ``Focus``, ``BarCode`` or empty.
    box
        In pixels of the upright photo; None where it states no area that can be.
    vocabulary
        In whose words it is written.
    file
        The photo itself or a sidecar.
    written_by_facebank
        Whether facebank wrote the name and nobody changed it since.
    problem
        Why there is no box; None where there is one.
    """

    name: str
    kind: str
    box: Box | None
    vocabulary: Vocabulary
    file: str
    written_by_facebank: bool
    problem: str | None


@dataclass(frozen=True, slots=True)
class ShownPhoto:
    """A photo and its regions.

    Attributes
    ----------
    image
        The path as the user gave it.
    width, height
        Of the upright photo in pixels; None where it could not be read.
    error
        One sentence, or None.
    regions
        Of all files, those that count for more first.
    """

    image: str
    width: int | None
    height: int | None
    error: str | None
    regions: tuple[ShownRegion, ...]


def list_tags(path: Path) -> ShownPhoto:
    """List the regions that are in a photo and beside it.

    Parameters
    ----------
    path
        The photo.

    Raises
    ------
    MissingDependencyError
        The extra that reads XMP is not installed.
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
