"""Conversion of decoded pixels to RGB, rotation to upright, and thumbnails."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, cast

import numpy as np

from facebank.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image

    from facebank.types import DecodedPhoto, FloatArray, RGBImage

_BAND_PIXELS = 512 * 1024  # a band that fits the processor's cache is converted faster
_COMMON_WHITES = (1.0, 255.0, 65_535.0)
_TIFF_BITS_PER_SAMPLE = 258
TURN_ORIENTATIONS = (1, 8, 3, 6)
"""EXIF orientations, by the number of quarter turns counter-clockwise."""

_THUMBNAIL_MARGIN = 0.25  # of the box's size, on every side
_THUMBNAIL_QUALITY = 88


def to_rgb(image: Image) -> RGBImage:
    """Return a decoded image as contiguous RGB ``uint8`` of shape ``(height, width, 3)``, as stored.

    Transparency becomes white. Gray values of 16 bits are scaled to 8. Color profiles are not applied.
    """
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    white = _white(image) if _has_deep_bands(image) else None
    top = 0
    for band in _bands(image):
        pixels[top : top + band.height] = np.asarray(_rgb_band(band)) if white is None else _deep_band(band, white)
        top += band.height
    return pixels


def _bands(image: Image) -> Iterator[Image]:
    rows = max(1, _BAND_PIXELS // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _has_deep_bands(image: Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _rgb_band(band: Image) -> Image:
    if band.mode == "RGB" and not band.has_transparency_data:
        return band
    if not band.has_transparency_data:
        return band.convert("RGB")
    from PIL import Image

    if band.mode == "La":
        band = band.convert("LA")
    paper = Image.new("RGBA", band.size, "white")
    return Image.alpha_composite(paper, band.convert("RGBA")).convert("RGB")


def _deep_band(band: Image, white: float) -> NDArray[np.uint8]:
    values = np.asarray(band)
    # divide first: white may be the largest float
    gray = (np.nan_to_num(values.astype(np.float32), nan=0.0) / np.float32(white)).clip(0.0, 1.0) * 255.0
    transparent = band.info.get("transparency")
    if isinstance(transparent, int):
        gray[values == transparent] = 255.0
    return np.rint(gray).astype(np.uint8)[..., np.newaxis]


def _white(image: Image) -> float:
    """Return the value of white: the format's, else the smallest common one that no pixel exceeds."""
    if image.format == "PPM" and image.mode == "I":
        return 65_535.0
    if image.mode.startswith("I;16"):
        bits = cast("dict[int, tuple[int, ...]]", getattr(image, "tag_v2", {})).get(_TIFF_BITS_PER_SAMPLE, (16,))
        return float(2 ** bits[0] - 1)
    brightest = max(_brightest(np.asarray(band)) for band in _bands(image))
    return next((white for white in _COMMON_WHITES if brightest <= white), brightest)


def _brightest(values: NDArray[np.int32] | NDArray[np.float32]) -> float:
    return float(values.max(initial=0, where=np.isfinite(values)))


def apply_orientation(pixels: RGBImage, orientation: int) -> RGBImage:
    """Apply an EXIF orientation, 1..8, to stored pixels ``(height, width, 3)``; returns contiguous pixels.

    Returns the same array for orientation 1. See EXIF 2.32, 4.6.4.
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
    """Return a photo turned counter-clockwise by `quarter_turns` times 90 degrees; negative is clockwise."""
    return replace(photo, pixels=turn_pixels(photo.pixels, quarter_turns)) if quarter_turns % 4 else photo


def turn_pixels(pixels: RGBImage, quarter_turns: int) -> RGBImage:
    """Return pixels ``(height, width, 3)`` turned as by `turn_photo`, contiguous."""
    return apply_orientation(pixels, TURN_ORIENTATIONS[quarter_turns % 4])


def encode_thumbnail(
    photo: DecodedPhoto, box: FloatArray, side: int = 128, *, quality: int = _THUMBNAIL_QUALITY
) -> bytes:
    """Return a face of a photo as a small JPEG file without metadata.

    Raises `UsageError` if `side` is less than 1 or the box is not finite.

    Parameters
    ----------
    photo
        The photo that the box refers to.
    box
        ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels; may extend beyond the photo's edge. A quarter of its
        size is added on every side, within the photo.
    side
        Longest side of the thumbnail in pixels. Smaller faces are not enlarged.
    quality
        JPEG quality, 1..95.
    """
    if side < 1:
        raise UsageError(f"a thumbnail's side must be 1 pixel or more, not {side}")
    if not np.isfinite(box).all():
        raise UsageError("a thumbnail's box must be four finite numbers")
    from PIL import Image

    left, top, right, bottom = _add_margin(box, photo.width, photo.height)
    face = Image.fromarray(np.ascontiguousarray(photo.pixels[top:bottom, left:right]))
    face.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = BytesIO()
    face.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _add_margin(box: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (float(value) for value in box)
    margin_x, margin_y = abs(x2 - x1) * _THUMBNAIL_MARGIN, abs(y2 - y1) * _THUMBNAIL_MARGIN
    left, right = _span(min(x1, x2) - margin_x, max(x1, x2) + margin_x, width)
    top, bottom = _span(min(y1, y2) - margin_y, max(y1, y2) + margin_y, height)
    return left, top, right, bottom


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    """Return the ends rounded outwards, inside 0..length and at least one pixel apart."""
    first = min(max(int(np.floor(start)), 0), length - 1)
    return first, min(max(int(np.ceil(end)), first + 1), length)
