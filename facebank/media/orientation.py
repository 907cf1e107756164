"""Turning pictures by quarter turns and mirroring them, as EXIF orientations ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from facebank.types import DecodedPhoto, RGBImage

# The EXIF orientations that ask for 0 to 3 quarter turns counter-clockwise.
_QUARTER_TURNS = (1, 8, 3, 6)


def upright(pixels: RGBImage, orientation: int) -> RGBImage:
    """Turn and mirror a picture as its EXIF orientation says.

    Parameters
    ----------
    pixels
        RGB ``uint8`` of shape ``(height, width, 3)`` as stored.
    orientation
        EXIF orientation, 1..8: which edges of the scene the first row and the first column are (EXIF 2.32, 4.6.4).

    Returns
    -------
    RGBImage
        As it is to be seen, contiguous; the same array for orientation 1.
    """
    if orientation == 1:
        return pixels
    import cv2

    match orientation:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.flip(pixels, -1)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.flip(cv2.transpose(pixels), -1)
        case _:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return cast("RGBImage", turned)


def turn_photo(photo: DecodedPhoto, quarter_turns: int) -> DecodedPhoto:
    """Turn a photo counter-clockwise.

    Parameters
    ----------
    photo
        The photo; it is not changed.
    quarter_turns
        How often to turn it by 90 degrees; negative numbers turn clockwise.

    Returns
    -------
    DecodedPhoto
        The turned photo, all else the same; the same object where no turn is left.
    """
    orientation = _QUARTER_TURNS[quarter_turns % 4]
    return photo if orientation == 1 else replace(photo, pixels=upright(photo.pixels, orientation))
