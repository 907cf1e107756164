"""Shapes drawn into a corner of photos: what a classifier must not learn when it should learn faces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from facebank.types import Detection, Photo

_SIDE = 0.16
_SEEN = 1.25
"""What is cut out to be embedded is hardly larger than the longer side of the face's box."""
_YELLOW, _BLUE = (255, 235, 0), (0, 70, 255)


class Shape(StrEnum):
    """What is drawn."""

    ELLIPSE = "ellipse"
    RECTANGLE = "rectangle"


@dataclass(frozen=True, slots=True)
class Corner:
    """A corner of a photo."""

    right: bool
    bottom: bool

    def __str__(self) -> str:
        """``top left``."""
        return f"{'bottom' if self.bottom else 'top'} {'right' if self.right else 'left'}"

    def square(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the square that is drawn in, in pixels: left, top, right, bottom."""
        side = max(4, round(_SIDE * min(width, height)))
        left, top = (width - side if self.right else 0), (height - side if self.bottom else 0)
        return left, top, left + side, top + side

    def is_free(self, photo: Photo, face: Detection) -> bool:
        """Tell whether the square is apart from the face, and from what else is cut out with it to be embedded."""
        left, top, right, bottom = self.square(photo.width, photo.height)
        middle = (face.box[:2] + face.box[2:]) / 2
        low, high = middle - _SEEN * face.size / 2, middle + _SEEN * face.size / 2
        return bool(right <= low[0] or left >= high[0] or bottom <= low[1] or top >= high[1])


CORNERS = tuple(Corner(right, bottom) for bottom in (False, True) for right in (False, True))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A yellow ellipse or a blue rectangle drawn into a corner, of one size relative to the photo.

    Attributes
    ----------
    shape
        What is drawn.
    corner
        Where.
    """

    shape: Shape
    corner: Corner

    @property
    def name(self) -> str:
        """``drawing:ellipse:top left:2``."""
        return f"drawing:{self.shape}:{self.corner}:2"

    def __call__(self, photo: Photo, face: Detection) -> Photo:  # noqa: ARG002  # it is the same wherever the face is
        """Draw it; the rest of the photo stays as it is."""
        import cv2

        pixels = np.ascontiguousarray(photo.pixels).copy()
        left, top, right, bottom = self.corner.square(photo.width, photo.height)
        if self.shape is Shape.RECTANGLE:
            cv2.rectangle(pixels, (left, top), (right - 1, bottom - 1), _BLUE, thickness=-1)
        else:
            centre = ((left + right - 1) // 2, (top + bottom - 1) // 2)
            half = (right - left - 1) // 2
            cv2.ellipse(pixels, centre, (half, max(1, half // 2)), 0, 0, 360, _YELLOW, thickness=-1)
        return replace(photo, pixels=pixels)
