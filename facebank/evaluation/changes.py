"""Alterations of photos before detection: masks, size, blur, exposure, contrast and drawn shapes, and series of them.

An alteration is relative to the face found in the original photo. The last number of a name is the version of its
algorithm.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.storage.text import pluralize
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import Change
    from facebank.types import DecodedPhoto, Detection, RGBImage

_GAMMA = 2.2
"""Exponent from stored values to linear light, close to that of sRGB."""
_SIDE = 0.16
"""Side of a drawn shape, as a fraction of the shorter side of the photo."""
_CROP_SIDE = 1.25
"""Upper bound of the side of the embedded crop, in longer sides of the face's box."""
_YELLOW, _BLUE = (255, 235, 0), (0, 70, 255)


@dataclass(frozen=True, slots=True)
class DrawnMask:
    """A mask drawn over nose and mouth, with random folds; `color` is a key of `MASK_COLORS`."""

    shape: MaskShape
    color: str

    @property
    def name(self) -> str:
        """Key of the change, such as ``mask:cloth:black:1``."""
        return f"mask:{self.shape}:{self.color}:1"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:
        """Return the photo with the mask, whose folds are seeded by the photo's content."""
        seed = zlib.crc32(photo.content_hash.encode())
        return replace(photo, pixels=draw_mask(photo.pixels, face.landmarks, self.shape, MASK_COLORS[self.color], seed))


@dataclass(frozen=True, slots=True)
class Shrink:
    """Downsizing until the longer side of the face's box has `size` pixels; smaller faces are left unchanged."""

    size: int

    @property
    def name(self) -> str:
        """Key of the change, such as ``size:40:1``."""
        return f"size:{self.size}:1"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:
        """Return the downsized photo, area-averaged."""
        import cv2

        factor = self.size / max(face.size, 1e-6)
        if factor >= 1:
            return photo
        sides = (max(1, round(photo.width * factor)), max(1, round(photo.height * factor)))
        shrunk = cv2.resize(photo.pixels, sides, interpolation=cv2.INTER_AREA)
        return replace(photo, pixels=np.asarray(shrunk, dtype=np.uint8))


@dataclass(frozen=True, slots=True)
class GaussianBlur:
    """Gaussian blur; `fraction` is the standard deviation in longer sides of the face's box."""

    fraction: float

    @property
    def name(self) -> str:
        """Key of the change, such as ``blur:0.02:1``."""
        return f"blur:{self.fraction:g}:1"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:
        """Return the blurred photo."""
        import cv2

        sigma = max(self.fraction * face.size, 1e-3)
        return replace(photo, pixels=np.asarray(cv2.GaussianBlur(photo.pixels, (0, 0), sigma), dtype=np.uint8))


@dataclass(frozen=True, slots=True)
class ExposureShift:
    """Exposure changed by `stops`: each doubles the light, or halves it if negative; clipped to 8 bits."""

    stops: float

    @property
    def name(self) -> str:
        """Key of the change, such as ``exposure:-2:1``."""
        return f"exposure:{self.stops:g}:1"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:  # noqa: ARG002  # required by Change
        """Return the photo with the changed exposure."""
        light = (np.arange(256) / 255) ** _GAMMA * 2.0**self.stops
        return replace(photo, pixels=_map_values(photo.pixels, 255 * light.clip(0, 1) ** (1 / _GAMMA)))


@dataclass(frozen=True, slots=True)
class ContrastReduction:
    """Contrast reduced to the fraction `contrast` around the mean brightness of the face."""

    contrast: float

    @property
    def name(self) -> str:
        """Key of the change, such as ``contrast:0.25:1``."""
        return f"contrast:{self.contrast:g}:1"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:
        """Return the photo with the reduced contrast."""
        x1, y1, x2, y2 = np.rint(face.box).astype(int)
        inside = photo.pixels[max(0, y1) : max(1, y2), max(0, x1) : max(1, x2)]
        middle = float(inside.mean()) if inside.size else 128.0
        return replace(photo, pixels=_map_values(photo.pixels, middle + self.contrast * (np.arange(256) - middle)))


def _map_values(pixels: RGBImage, values: NDArray[np.floating]) -> RGBImage:
    """Return pixels with their values mapped by a table of 256 entries, rounded and clipped to 0..255."""
    table: NDArray[np.uint8] = np.rint(values.clip(0, 255)).astype(np.uint8)
    return table[pixels]


@dataclass(frozen=True, slots=True)
class ChangeStep:
    """One condition of probes: `name` and `label` as in `Condition`, its position on the axis, and the change."""

    name: str
    label: str
    strength: float
    change: Change


@dataclass(frozen=True, slots=True)
class Axis:
    """Steps of one kind; `plain` is the position of the unchanged photos, None to omit them from the plot."""

    label: str
    plain: float | None
    steps: tuple[ChangeStep, ...]


def _mask_step(number: int, shape: MaskShape, color: str) -> ChangeStep:
    return ChangeStep(
        f"mask_{shape}_{color}".replace(" ", "_"), f"{shape} mask, {color}", number, DrawnMask(shape, color)
    )


def _blur_step(per_mille: int) -> ChangeStep:
    percent = per_mille / 10
    return ChangeStep(
        f"blur_{per_mille}_per_mille", f"blurred by {percent:g} %", percent, GaussianBlur(per_mille / 1000)
    )


def _exposure_step(stops: int) -> ChangeStep:
    direction, amount = "darker" if stops < 0 else "brighter", pluralize(abs(stops), "stop")
    return ChangeStep(f"{direction}_{amount}".replace(" ", "_"), f"{amount} {direction}", stops, ExposureShift(stops))


def _contrast_step(percent: int) -> ChangeStep:
    return ChangeStep(
        f"contrast_{percent}_per_cent", f"{percent} % of the contrast", percent, ContrastReduction(percent / 100)
    )


MASKS = (
    Axis(
        "mask, numbered as in the table; 0 is no mask",
        0,
        (
            _mask_step(1, MaskShape.SURGICAL, "light blue"),
            _mask_step(2, MaskShape.CLOTH, "black"),
            _mask_step(3, MaskShape.RESPIRATOR, "white"),
            _mask_step(4, MaskShape.SCARF, "red"),
        ),
    ),
)
"""One mask of each shape, all unlike the mask of the masked variants that a gallery keeps."""
SIZES = (
    Axis(
        "longer side of the face in pixels",
        None,
        tuple(ChangeStep(f"size_{size}", f"{size} pixels", size, Shrink(size)) for size in (112, 80, 56, 40, 28, 20)),
    ),
)
BLUR = (Axis("standard deviation of the blur, percent of the face", 0, tuple(map(_blur_step, (10, 20, 30, 45, 65)))),)
EXPOSURE = (
    Axis("exposure in stops; each doubles the light", 0, tuple(map(_exposure_step, (-6, -4, -2, 1, 2, 3)))),
    Axis("remaining contrast, percent", 100, tuple(map(_contrast_step, (50, 25, 10)))),
)
FRONTALITY = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
"""Edges of the frontality bins, from frontal (1) to profile (0)."""


class Shape(StrEnum):
    """A shape that is drawn into a corner of a photo."""

    ELLIPSE = "ellipse"
    RECTANGLE = "rectangle"


@dataclass(frozen=True, slots=True)
class Corner:
    """A corner of a photo."""

    is_right: bool
    is_bottom: bool

    def __str__(self) -> str:
        """Return the corner's name, such as ``top left``."""
        return f"{'bottom' if self.is_bottom else 'top'} {'right' if self.is_right else 'left'}"

    def square(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the square for the shape, in pixels: left, top, right, bottom."""
        side = max(4, round(_SIDE * min(width, height)))
        left, top = (width - side if self.is_right else 0), (height - side if self.is_bottom else 0)
        return left, top, left + side, top + side

    def is_free(self, photo: DecodedPhoto, face: Detection) -> bool:
        """Return whether the square and the crop that is embedded are disjoint."""
        left, top, right, bottom = self.square(photo.width, photo.height)
        middle = (face.box[:2] + face.box[2:]) / 2
        low, high = middle - _CROP_SIDE * face.size / 2, middle + _CROP_SIDE * face.size / 2
        return bool(right <= low[0] or left >= high[0] or bottom <= low[1] or top >= high[1])


CORNERS = tuple(Corner(right, bottom) for bottom in (False, True) for right in (False, True))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A yellow ellipse or a blue rectangle in a corner of the photo."""

    shape: Shape
    corner: Corner

    @property
    def name(self) -> str:
        """Key of the change, such as ``drawing:ellipse:top left:2``."""
        return f"drawing:{self.shape}:{self.corner}:2"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:  # noqa: ARG002  # required by Change
        """Return the photo with the shape; all other pixels are unchanged."""
        import cv2

        pixels = np.ascontiguousarray(photo.pixels).copy()
        left, top, right, bottom = self.corner.square(photo.width, photo.height)
        if self.shape is Shape.RECTANGLE:
            cv2.rectangle(pixels, (left, top), (right - 1, bottom - 1), _BLUE, thickness=-1)
        else:
            center = ((left + right - 1) // 2, (top + bottom - 1) // 2)
            half = (right - left - 1) // 2
            cv2.ellipse(pixels, center, (half, max(1, half // 2)), 0, 0, 360, _YELLOW, thickness=-1)
        return replace(photo, pixels=pixels)
