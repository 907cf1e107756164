"""Face regions as photo programs store them, and their transformation to the upright photo.

Regions are fractions of a picture's width and height, which fit copies of any size. The Metadata Working Group's
regions (Guidelines for Handling Image Metadata 2.0, 5.9) refer to the picture as stored, before EXIF's orientation is
applied; immich reads and facebank writes them in this way. Other programs refer to the upright picture, with the
``AppliedToDimensions`` of either or none; `facebank.album.tags.region_views` decides by the faces which one applies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from facebank.media.pixels import TURN_ORIENTATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from facebank.types import FloatArray, Photo

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom in fractions of width and height, 0..1."""

_SIDEWAYS = frozenset((5, 6, 7, 8))
_LEFT_IS_RIGHT = frozenset((2, 3, 6, 7))
_TOP_IS_BOTTOM = frozenset((3, 4, 7, 8))
_INVERSE = {6: 8, 8: 6}
_MIN_OVERLAP = 0.2  # intersection over union; boxes drawn by hand have up to four times the area of a detector's
_SHAPE_TOLERANCE = 0.02
_MIN_NEARNESS = 0.1


class Vocabulary(StrEnum):
    """The XMP properties in which a region is written: the Metadata Working Group's or Microsoft's."""

    MWG = "mwg-rs"
    MICROSOFT = "MP"


@dataclass(frozen=True, slots=True)
class Region:
    """A region as written in a file."""

    box: Box | None  # in the picture to which the region refers; None if it has no valid rectangle
    name: str  # the person's; empty if unnamed
    kind: str  # as written in the file: ``Face``, ``Pet``, ``Focus``, ``BarCode`` or empty
    vocabulary: Vocabulary
    # the name that facebank wrote, which differs from `name` if a user changed it; None if facebank wrote none
    written_name: str | None = None
    # center x, y and diameter of a round region, the latter in fractions of the picture's shorter side; else None
    circle: tuple[float, float, float] | None = None
    mark: str | None = None  # identifies the gallery that wrote the name, or None

    @property
    def has_area(self) -> bool:
        """Whether the region states a possible area."""
        return self.box is not None or self.circle is not None

    def box_in(self, size: tuple[float, float]) -> Box | None:
        """Return the box in the picture to which the region refers, or None.

        `size` is that picture's width and height in any unit; it matters for circles, which are as wide as high in
        pixels, not in fractions.
        """
        if self.circle is None:
            return self.box
        x, y, diameter = self.circle
        radius_x, radius_y = (diameter * min(size) / side / 2 for side in size)
        return clip_box((x - radius_x, y - radius_y, x + radius_x, y + radius_y))

    @property
    def is_face(self) -> bool:
        """Whether the region is a face's; one without a kind counts as a face's."""
        return self.kind.casefold() in {"face", ""}

    @property
    def is_by_facebank(self) -> bool:
        """Whether the name was written by facebank and not changed since."""
        return self.written_name is not None and self.name == self.written_name


@dataclass(frozen=True, slots=True)
class PhotoFrame:
    """The size of a photo's stored picture in pixels, and its EXIF orientation, 1..8."""

    width: int
    height: int
    orientation: int

    @classmethod
    def of_upright(cls, width: int, height: int, orientation: int) -> Self:
        """Return the frame of a photo with this upright size in pixels.

        Examples
        --------
        >>> PhotoFrame.of_upright(300, 400, orientation=6)
        PhotoFrame(width=400, height=300, orientation=6)
        """
        is_sideways = orientation in _SIDEWAYS
        return cls(height, width, orientation) if is_sideways else cls(width, height, orientation)

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the upright picture in pixels."""
        is_sideways = self.orientation in _SIDEWAYS
        return (self.height, self.width) if is_sideways else (self.width, self.height)

    def size_of(self, turn: int) -> tuple[int, int]:
        """Return width and height in pixels of the picture that is upright after a turn (EXIF orientation, 1..8)."""
        width, height = self.upright_size
        return (height, width) if turn in _SIDEWAYS else (width, height)

    def may_have(self, dimensions: tuple[float, float] | None) -> bool:
        """Return whether dimensions may be this picture's: stored, upright, or before it was turned; True for None."""
        sizes = ((self.width, self.height), (self.height, self.width))
        return dimensions is None or any(_same_shape(dimensions, size) for size in sizes)

    def is_distinguished_by(self, dimensions: tuple[float, float] | None) -> bool:
        """Return whether dimensions fit the stored picture only, or the upright one only."""
        fits = dimensions is not None and self.turn_of(dimensions) is not None
        return fits and not _same_shape(self.upright_size, (self.width, self.height))

    def turn_of(self, dimensions: tuple[float, float] | None) -> int | None:
        """Return the EXIF orientation that makes regions of a picture of these dimensions upright.

        The photo's own if there are no dimensions, 1 for the upright picture, None for a picture of another shape, such
        as before cropping.
        """
        if dimensions is None or _same_shape(dimensions, (self.width, self.height)):
            return self.orientation
        return 1 if _same_shape(dimensions, self.upright_size) else None


def frame_of(photo: Photo, orientation: int) -> PhotoFrame:
    """Return the frame of a scanned photo with an EXIF orientation, 1..8."""
    is_turned = photo.quarter_turns % 2 == 1
    width, height = (photo.height, photo.width) if is_turned else (photo.width, photo.height)
    return PhotoFrame.of_upright(width, height, orientation)


def turn_box(box: Box, orientation: int) -> Box:
    """Return a box after the picture is turned by an EXIF orientation, 1..8 (EXIF 2.32, 4.6.4).

    Examples
    --------
    >>> turn_box((0.0, 0.0, 0.5, 0.25), orientation=3)
    (0.5, 0.75, 1.0, 1.0)
    """
    (x1, y1), (x2, y2) = _transform_point(*box[:2], orientation), _transform_point(*box[2:], orientation)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def unturn_box(box: Box, orientation: int) -> Box:
    """Return a box of the upright picture in the stored one: the inverse of `turn_box`.

    Examples
    --------
    >>> box = (0.0, 0.0, 0.5, 0.25)
    >>> unturn_box(turn_box(box, 6), 6) == box
    True
    """
    return turn_box(box, _INVERSE.get(orientation, orientation))


def face_boxes(photo: Photo) -> list[Box]:
    """Return the boxes of a photo's faces in the upright picture, clipped to it."""
    orientation = TURN_ORIENTATIONS[photo.quarter_turns % 4]
    boxes = []
    for face in photo.faces:
        x1, y1, x2, y2 = (float(edge) for edge in face.box)
        box = x1 / photo.width, y1 / photo.height, x2 / photo.width, y2 / photo.height
        boxes.append(unturn_box(clip_box(box) or (0.0, 0.0, 0.0, 0.0), orientation))
    return boxes


def clip_box(box: Box) -> Box | None:
    """Return the part of a box inside the picture, or None.

    Examples
    --------
    >>> clip_box((-0.5, 0.0, 0.5, 2.0))
    (0.0, 0.0, 0.5, 1.0)
    """
    x1, y1, x2, y2 = (min(max(edge, 0.0), 1.0) for edge in box)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def match_faces(boxes: Sequence[Box | None], faces: Sequence[Box]) -> dict[int, tuple[int, float]]:
    """Match regions with faces of the same picture, for the largest total overlap.

    Each face has at most one region. A match has an intersection over union of at least 0.2, because some programs
    frame the whole head.

    Parameters
    ----------
    boxes
        Boxes of the regions; None matches no face.
    faces
        Boxes of the faces.

    Returns
    -------
    dict
        By the region's index: the face's index, and the nearness of both centers, from 1 for the same center to 0.1 for
        half a face apart or more.

    Examples
    --------
    >>> match_faces([(0.0, 0.0, 0.5, 0.5), None], [(0.5, 0.5, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5)])
    {0: (1, 1.0)}
    """
    import numpy as np

    from facebank.storage.arrays import overlaps

    indices = [index for index, box in enumerate(boxes) if box is not None]
    if not indices or not faces:
        return {}
    table = np.asarray(faces, dtype=np.float32)
    shared = np.stack([overlaps(np.asarray(boxes[index], dtype=np.float32), table) for index in indices])
    shared[shared < _MIN_OVERLAP] = 0.0
    rows, columns = _assign(shared)
    return {
        indices[row]: (int(column), _nearness(boxes[indices[row]] or faces[column], faces[column]))
        for row, column in zip(rows, columns, strict=True)
        if shared[row, column] > 0
    }


def _assign(shared: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of the assignment with the largest total."""
    rows, columns = shared.nonzero()
    if len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows):  # usual case, avoids the import of SciPy
        return rows, columns
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(shared, maximize=True)
    return rows, columns


def _nearness(box: Box, face: Box) -> float:
    distance_x = (box[0] + box[2] - face[0] - face[2]) / 2 / max(face[2] - face[0], 1e-9)
    distance_y = (box[1] + box[3] - face[1] - face[3]) / 2 / max(face[3] - face[1], 1e-9)
    return max(_MIN_NEARNESS, 1 - 2 * math.hypot(distance_x, distance_y))


def _transform_point(x: float, y: float, orientation: int) -> tuple[float, float]:
    if orientation in _SIDEWAYS:
        x, y = y, x
    return (1 - x if orientation in _LEFT_IS_RIGHT else x, 1 - y if orientation in _TOP_IS_BOTTOM else y)


def _same_shape(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two pictures have the same aspect ratio."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= _SHAPE_TOLERANCE * size[0] * other[1]
