"""Small pictures of faces, for people to look at."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError

if TYPE_CHECKING:
    from facebank.types import DecodedPhoto, FloatArray

_MARGIN = 0.25
_JPEG_QUALITY = 88


def encode_thumbnail(photo: DecodedPhoto, box: FloatArray, side: int = 128) -> bytes:
    """Cut a face out of its photo as a small JPEG.

    Parameters
    ----------
    photo
        The photo the box refers to.
    box
        ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels; may reach over the photo's edge. A quarter of its
        size is added on every side, as far as the photo reaches.
    side
        The thumbnail's longer side in pixels at most. Faces that are smaller stay as they are.

    Returns
    -------
    bytes
        A JPEG file without metadata.

    Raises
    ------
    UsageError
        If `side` is less than 1 or the box is not finite.
    """
    if side < 1:
        raise UsageError(f"a thumbnail's side has to be 1 pixel or more, not {side}")
    if not np.isfinite(box).all():
        raise UsageError("a thumbnail's box has to be four finite numbers")
    from PIL import Image

    left, top, right, bottom = _with_margin(box, photo.width, photo.height)
    face = Image.fromarray(np.ascontiguousarray(photo.pixels[top:bottom, left:right]))
    face.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = BytesIO()
    face.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _with_margin(box: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (float(value) for value in box)
    across, down = abs(x2 - x1) * _MARGIN, abs(y2 - y1) * _MARGIN
    left, right = _span(min(x1, x2) - across, max(x1, x2) + across, width)
    top, bottom = _span(min(y1, y2) - down, max(y1, y2) + down, height)
    return left, top, right, bottom


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    """Round outwards, keep inside 0..length and leave at least one pixel."""
    first = min(max(int(np.floor(start)), 0), length - 1)
    return first, min(max(int(np.ceil(end)), first + 1), length)
