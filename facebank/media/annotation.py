"""Photos with their faces framed and named."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, cast

import numpy as np

from facebank.errors import PhotoTooLargeError, StorageError, UsageError
from facebank.media.labels import LabelPainter
from facebank.storage.files import face_file_mode, write_file
from facebank.storage.text import printable
from facebank.types import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.types import DecodedPhoto, FloatArray, RGBImage

# Told apart by people with colour-blindness too: bluish green and orange of Okabe and Ito (2008), and grey.
_COLOURS = {
    Decision.KNOWN: (0, 158, 115),
    Decision.UNCERTAIN: (230, 159, 0),
    Decision.UNKNOWN: (128, 138, 150),
}
_HALO = (16, 16, 16)
_FILE_TYPES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_JPEG_QUALITY = 92
_MARKER = b"Annotated by facebank"
_MARKER_WITHIN = 256  # of the file's first bytes: both formats have comments before anything large
LARGEST_JPEG_SIDE = 65_500
"""The most pixels of a side that libjpeg writes, a little less than the format allows."""

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What to draw on one face.

    Attributes
    ----------
    box
        ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels; may reach over the photo's edge.
    landmarks
        ``float32`` of shape ``(5, 2)``, or None to leave them out.
    label
        What to write on the plate, usually the person's name; nothing is written if empty.
    decision
        Gives the colour: green for known, orange for uncertain, grey for unknown and None.
    """

    box: FloatArray
    landmarks: FloatArray | None
    label: str
    decision: Decision | None


def annotate_photo(photo: DecodedPhoto, marks: Sequence[Mark], target: Path) -> None:
    """Write a photo with its faces framed and named.

    Lines and letters are as large as the photo and its faces ask for. Labels stay inside the picture and off each
    other where there is room. None of the original file's metadata is carried over; a comment in the file is what
    `is_annotated` looks for.

    Parameters
    ----------
    photo
        The photo; it is not changed.
    marks
        What to draw, one for each face.
    target
        The file to write, ``.jpg``, ``.jpeg`` or ``.png``. It appears complete or not at all; a file that was there
        is replaced.

    Raises
    ------
    UsageError
        If `target` has another suffix.
    PhotoTooLargeError
        If the photo is wider or higher than a JPEG can be, 65,500 pixels, and `target` is one.
    StorageError
        If it cannot be written.
    """
    file_type = _FILE_TYPES.get(target.suffix.lower())
    if file_type is None:
        raise UsageError(f"{printable(str(target))}: annotated photos are written as .jpg or .png")
    if file_type == "JPEG" and max(photo.width, photo.height) > LARGEST_JPEG_SIDE:
        raise PhotoTooLargeError(
            f"{printable(photo.path)} has {photo.width:,} x {photo.height:,} pixels, "
            f"a JPEG at most {LARGEST_JPEG_SIDE:,} a side; save it as PNG"
        )
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(draw_marks(photo, marks))
    file = BytesIO()
    texts = PngInfo()
    texts.add_text("Comment", _MARKER.decode())
    try:
        picture.save(file, file_type, quality=_JPEG_QUALITY, subsampling="4:4:4", comment=_MARKER, pnginfo=texts)
        write_file(target, file.getbuffer(), mode=face_file_mode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{printable(str(target))} cannot be written: {reason}") from error


def is_annotated(path: Path) -> bool:
    """Tell whether a file is a picture that `annotate_photo` wrote; False for what is absent or cannot be read."""
    try:
        if not path.is_file():  # to open a pipe would wait for somebody to write into it
            return False
        with path.open("rb") as file:
            return _MARKER in file.read(_MARKER_WITHIN)
    except OSError:
        return False


def draw_marks(photo: DecodedPhoto, marks: Sequence[Mark], painter: LabelPainter | None = None) -> RGBImage:
    """Draw frames and labels on a copy of a photo's pixels.

    Parameters
    ----------
    photo
        The photo; it is not changed.
    marks
        What to draw, one for each face.
    painter
        Paints the labels: for frames of a video the same one each time, so that letters keep their size; None for
        letters that fit this photo.

    Returns
    -------
    RGBImage
        ``uint8`` of the shape of the photo's pixels.
    """
    pixels = photo.pixels.copy()
    painter = LabelPainter(_text_size(photo, marks)) if painter is None else painter
    thickness = max(2, round(painter.size / 10))
    for mark in marks:
        _draw_frame(pixels, _inside(mark.box, photo), thickness, _COLOURS[mark.decision or Decision.UNKNOWN])
    for mark in marks:
        _draw_landmarks(pixels, mark, thickness)
    taken: list[Rectangle] = []
    for mark in marks:
        if mark.label:
            label = np.asarray(painter.paint(mark.label, _COLOURS[mark.decision or Decision.UNKNOWN], photo.width))
            place = _place((label.shape[1], label.shape[0]), _inside(mark.box, photo), photo, taken, thickness)
            taken.append(place)
            _lay_over(pixels, label, place)
    return pixels


def _text_size(photo: DecodedPhoto, marks: Sequence[Mark]) -> int:
    """Write as large as a seventh of a usual face, within what suits the photo; never too small to read."""
    side = min(photo.width, photo.height)
    boxes = [_inside(mark.box, photo) for mark in marks]
    usual = float(np.median([x2 - x1 for x1, _, x2, _ in boxes])) if boxes else 0.0
    return max(11, round(float(np.clip(usual / 7, side / 50, side / 24))))


def _inside(box: FloatArray, photo: DecodedPhoto) -> Rectangle:
    x1, x2 = sorted(np.nan_to_num(box[[0, 2]]).clip(0, photo.width - 1).round().astype(int).tolist())
    y1, y2 = sorted(np.nan_to_num(box[[1, 3]]).clip(0, photo.height - 1).round().astype(int).tolist())
    return x1, y1, x2, y2


def _draw_frame(pixels: RGBImage, box: Rectangle, thickness: int, colour: tuple[int, int, int]) -> None:
    import cv2

    x1, y1, x2, y2 = box
    radius = min(x2 - x1, y2 - y1) // 8
    corners = (
        ((x1 + radius, y1 + radius), 180),
        ((x2 - radius, y1 + radius), 270),
        ((x2 - radius, y2 - radius), 0),
        ((x1 + radius, y2 - radius), 90),
    )
    sides = (
        ((x1 + radius, y1), (x2 - radius, y1)),
        ((x2, y1 + radius), (x2, y2 - radius)),
        ((x2 - radius, y2), (x1 + radius, y2)),
        ((x1, y2 - radius), (x1, y1 + radius)),
    )
    # a dark edge keeps the frame visible on any background
    for width, paint in ((thickness + 2 * max(1, thickness // 3), _HALO), (thickness, colour)):
        for start, end in sides:
            cv2.line(pixels, start, end, paint, width, cv2.LINE_AA)
        for centre, angle in corners:
            cv2.ellipse(pixels, centre, (radius, radius), angle, 0, 90, paint, width, cv2.LINE_AA)


def _draw_landmarks(pixels: RGBImage, mark: Mark, thickness: int) -> None:
    import cv2

    if mark.landmarks is None:
        return
    height, width = pixels.shape[:2]
    radius = round(thickness * 0.7)
    for x, y in mark.landmarks.tolist():
        if 0 <= x < width and 0 <= y < height:
            cv2.circle(pixels, (round(x), round(y)), radius + 1, _HALO, -1, cv2.LINE_AA)
            cv2.circle(pixels, (round(x), round(y)), radius, (255, 255, 255), -1, cv2.LINE_AA)


def _place(
    size: tuple[int, int], box: Rectangle, photo: DecodedPhoto, taken: Sequence[Rectangle], gap: int
) -> Rectangle:
    """Put a label above its box, else below, else inside: the first that is in the photo and on no other label."""
    (width, height), (x1, y1, x2, y2) = size, box
    left = min(max((x1 + x2 - width) // 2, 0), max(photo.width - width, 0))
    places = []
    for top in (y1 - height - gap, y2 + gap, y1 + gap, y2 - height - gap):
        kept = min(max(top, 0), max(photo.height - height, 0))
        place = (left, kept, left + width, kept + height)
        places.append((kept != top, any(_overlap(place, other) for other in taken), place))
    return min(places, key=lambda choice: choice[:2])[2]


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _lay_over(pixels: RGBImage, label: NDArray[np.uint8], place: Rectangle) -> None:
    left, top, right, bottom = place
    region = pixels[top:bottom, left:right]
    # a label may be taller than the whole photo
    label = label[: region.shape[0], : region.shape[1]]
    alpha = label[..., 3:].astype(np.float32) / 255
    region[:] = cast("RGBImage", np.rint(label[..., :3] * alpha + region * (1 - alpha)).astype(np.uint8))
