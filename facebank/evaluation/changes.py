"""What is done to photos before faces are looked for in them: masks, fewer pixels, blur, other light.

Each is relative to the face that was found in the photo as it is, so that a strength means the same in every photo.
A change's name has its strength and a version, which counts up whenever its pixels would come out otherwise.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import Detection, Photo, RGBImage

_GAMMA = 2.2
"""From stored values to light: of sRGB, nearly."""


@dataclass(frozen=True, slots=True)
class DrawnMask:
    """A mask drawn over nose and mouth, sitting and folded differently in every photo.

    Attributes
    ----------
    shape
        What is drawn.
    colour
        One of `facebank.vision.masking.MASK_COLORS`.
    """

    shape: MaskShape
    colour: str

    @property
    def name(self) -> str:
        """``mask:cloth:black:1``."""
        return f"mask:{self.shape}:{self.colour}:1"

    def __call__(self, photo: Photo, face: Detection) -> Photo:
        """Draw the mask; the same photo gets the same."""
        seed = zlib.crc32(photo.content_hash.encode())
        return replace(
            photo, pixels=draw_mask(photo.pixels, face.landmarks, self.shape, MASK_COLORS[self.colour], seed)
        )


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The photo shrunk until its face is so small; one whose face is smaller already stays as it is.

    Attributes
    ----------
    size
        The longer side of the face's box in pixels.
    """

    size: int

    @property
    def name(self) -> str:
        """``size:40:1``."""
        return f"size:{self.size}:1"

    def __call__(self, photo: Photo, face: Detection) -> Photo:
        """Shrink the photo, each new pixel the mean of those it stands for."""
        import cv2

        factor = self.size / max(face.size, 1e-6)
        if factor >= 1:
            return photo
        sides = (max(1, round(photo.width * factor)), max(1, round(photo.height * factor)))
        shrunk = cv2.resize(photo.pixels, sides, interpolation=cv2.INTER_AREA)
        return replace(photo, pixels=np.asarray(shrunk, dtype=np.uint8))


@dataclass(frozen=True, slots=True)
class Blurred:
    """The photo out of focus.

    Attributes
    ----------
    share
        Standard deviation of the Gaussian as a share of the face's longer side.
    """

    share: float

    @property
    def name(self) -> str:
        """``blur:0.02:1``."""
        return f"blur:{self.share:g}:1"

    def __call__(self, photo: Photo, face: Detection) -> Photo:
        """Blur the photo."""
        import cv2

        sigma = max(self.share * face.size, 1e-3)
        return replace(photo, pixels=np.asarray(cv2.GaussianBlur(photo.pixels, (0, 0), sigma), dtype=np.uint8))


@dataclass(frozen=True, slots=True)
class Exposed:
    """The photo taken with more or less light; what is too bright or too dark is lost, as in a camera's JPEG.

    Attributes
    ----------
    stops
        Each is twice the light; negative for less.
    """

    stops: float

    @property
    def name(self) -> str:
        """``exposure:-2:1``."""
        return f"exposure:{self.stops:g}:1"

    def __call__(self, photo: Photo, face: Detection) -> Photo:  # noqa: ARG002  # what is done depends on no face
        """Change the light."""
        light = (np.arange(256) / 255) ** _GAMMA * 2.0**self.stops
        return replace(photo, pixels=_looked_up(photo.pixels, 255 * light.clip(0, 1) ** (1 / _GAMMA)))


@dataclass(frozen=True, slots=True)
class Hazy:
    """The photo with less contrast, as behind fog; the face stays as bright as it is.

    Attributes
    ----------
    contrast
        What is left of it, 0..1.
    """

    contrast: float

    @property
    def name(self) -> str:
        """``contrast:0.25:1``."""
        return f"contrast:{self.contrast:g}:1"

    def __call__(self, photo: Photo, face: Detection) -> Photo:
        """Take contrast away."""
        x1, y1, x2, y2 = np.rint(face.box).astype(int)
        inside = photo.pixels[max(0, y1) : max(1, y2), max(0, x1) : max(1, x2)]
        middle = float(inside.mean()) if inside.size else 128.0
        return replace(photo, pixels=_looked_up(photo.pixels, middle + self.contrast * (np.arange(256) - middle)))


def _looked_up(pixels: RGBImage, values: NDArray[np.floating]) -> RGBImage:
    """Replace each value 0..255 of a picture."""
    table: NDArray[np.uint8] = np.rint(values.clip(0, 255)).astype(np.uint8)
    return table[pixels]
