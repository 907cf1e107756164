"""Drawing of frames and names on faces, in all scripts covered by installed fonts."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, cast

import numpy as np

from facebank.errors import PhotoTooLargeError, StorageError, UsageError
from facebank.media.labels import Color, LabelPainter
from facebank.storage.files import face_file_mode, write_file, write_reason
from facebank.storage.text import printable
from facebank.types import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.storage.folders import NamedFolders
    from facebank.types import DecodedPhoto, FloatArray, RGBImage

# Distinguishable with color blindness: bluish green and orange of Okabe and Ito (2008), and gray.
_COLORS = {
    Decision.KNOWN: (0, 158, 115),
    Decision.UNCERTAIN: (230, 159, 0),
    Decision.UNKNOWN: (128, 138, 150),
}
_HALO = (16, 16, 16)
_FILE_TYPES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_JPEG_QUALITY = 92
_MARKER = b"Annotated by facebank"
_MARKER_WITHIN = 256  # first bytes of the file; both formats put comments near the beginning
MAX_JPEG_SIDE = 65_500
"""Longest side in pixels that libjpeg writes, slightly below the format's limit."""

PixelBox = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """The frame and label of one face."""

    box: FloatArray  # ``float32`` of shape ``(4,)``: x1, y1, x2, y2 in pixels; may extend beyond the photo's edge
    landmarks: FloatArray | None  # ``float32`` of shape ``(5, 2)``, or None to leave them out
    label: str  # text on the plate, usually the person's name; no plate if empty
    decision: Decision | None  # determines the color: green for known, orange for uncertain, gray for unknown and None


def annotate_photo(photo: DecodedPhoto, marks: Sequence[Mark], target: Path) -> None:
    """Write a copy of a photo with one mark for each face.

    Line widths and text size adapt to the photo and its faces. Labels stay inside the photo and do not overlap if
    there is room. The original's metadata is not copied; `is_annotated` recognizes the file by a comment. Raises
    `UsageError` (`target` has another suffix), `PhotoTooLargeError` (a side has more than 65,500 pixels and `target` is
    a JPEG) or `StorageError` (it cannot be written).

    Parameters
    ----------
    photo, marks
        The photo, and the marks to draw on it.
    target
        The file to write atomically, ``.jpg``, ``.jpeg`` or ``.png``; an existing file is replaced.
    """
    file_type = _FILE_TYPES.get(target.suffix.lower())
    if file_type is None:
        raise UsageError(f"{printable(str(target))} cannot be written: name an annotated photo .jpg or .png")
    if file_type == "JPEG" and max(photo.width, photo.height) > MAX_JPEG_SIDE:
        raise PhotoTooLargeError(
            f"{printable(photo.path)} has {photo.width:,} x {photo.height:,} pixels, more than the "
            f"{MAX_JPEG_SIDE:,} a side of a JPEG; save the copy as PNG"
        )
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(draw_marks(photo, marks))
    file = BytesIO()
    png_info = PngInfo()
    png_info.add_text("Comment", _MARKER.decode())
    try:
        picture.save(file, file_type, quality=_JPEG_QUALITY, subsampling="4:4:4", comment=_MARKER, pnginfo=png_info)
        write_file(target, file.getbuffer(), mode=face_file_mode())
    except (OSError, ValueError) as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {write_reason(error)}") from error


def is_annotated(path: Path, within: NamedFolders | None = None) -> bool:
    """Return whether `annotate_photo` wrote a file; False if it is missing, cannot be read, or is outside of `within`.

    With `within` None, all links are followed.
    """
    try:
        if not path.is_file():  # opening a pipe would block until something writes to it
            return False
        with path.open("rb") if within is None else within.open_file(path) as file:
            return _MARKER in file.read(_MARKER_WITHIN)
    except OSError:
        return False


def draw_marks(photo: DecodedPhoto, marks: Sequence[Mark], painter: LabelPainter | None = None) -> RGBImage:
    """Return a copy of a photo's pixels with frames and labels, ``uint8`` of shape ``(height, width, 3)``.

    `painter` paints the labels; frames of a video share one for a constant text size. None chooses a size for this
    photo.
    """
    pixels = photo.pixels.copy()
    painter = LabelPainter(_text_size(photo, marks)) if painter is None else painter
    thickness = max(2, round(painter.size / 10))
    for mark in marks:
        _draw_frame(pixels, _clip_box(mark.box, photo), thickness, _COLORS[mark.decision or Decision.UNKNOWN])
    for mark in marks:
        _draw_landmarks(pixels, mark, thickness)
    taken: list[PixelBox] = []
    for mark in marks:
        if mark.label:
            label = np.asarray(painter.paint(mark.label, _COLORS[mark.decision or Decision.UNKNOWN], photo.width))
            box = _label_box((label.shape[1], label.shape[0]), _clip_box(mark.box, photo), photo, taken, thickness)
            taken.append(box)
            _blend(pixels, label, box)
    return pixels


def _text_size(photo: DecodedPhoto, marks: Sequence[Mark]) -> int:
    """Return a seventh of the median face's width, within bounds that suit the photo, at least 11 pixels."""
    side = min(photo.width, photo.height)
    boxes = [_clip_box(mark.box, photo) for mark in marks]
    median_width = float(np.median([x2 - x1 for x1, _, x2, _ in boxes])) if boxes else 0.0
    return max(11, round(float(np.clip(median_width / 7, side / 50, side / 24))))


def _clip_box(box: FloatArray, photo: DecodedPhoto) -> PixelBox:
    x1, x2 = sorted(np.nan_to_num(box[[0, 2]]).clip(0, photo.width - 1).round().astype(int).tolist())
    y1, y2 = sorted(np.nan_to_num(box[[1, 3]]).clip(0, photo.height - 1).round().astype(int).tolist())
    return x1, y1, x2, y2


def _draw_frame(pixels: RGBImage, box: PixelBox, thickness: int, color: Color) -> None:
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
    # a dark edge keeps the frame visible on every background
    for width, paint in ((thickness + 2 * max(1, thickness // 3), _HALO), (thickness, color)):
        for start, end in sides:
            cv2.line(pixels, start, end, paint, width, cv2.LINE_AA)
        for center, angle in corners:
            cv2.ellipse(pixels, center, (radius, radius), angle, 0, 90, paint, width, cv2.LINE_AA)


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


def _label_box(
    size: tuple[int, int], box: PixelBox, photo: DecodedPhoto, taken: Sequence[PixelBox], gap: int
) -> PixelBox:
    """Return a label's box: above, below or inside its face's; in the photo, clear of other labels if possible."""
    (width, height), (x1, y1, x2, y2) = size, box
    left = min(max((x1 + x2 - width) // 2, 0), max(photo.width - width, 0))
    candidates = []
    for top in (y1 - height - gap, y2 + gap, y1 + gap, y2 - height - gap):
        clipped = min(max(top, 0), max(photo.height - height, 0))
        candidate = (left, clipped, left + width, clipped + height)
        candidates.append((clipped != top, any(_overlap(candidate, other) for other in taken), candidate))
    return min(candidates, key=lambda ranked: ranked[:2])[2]


def _overlap(first: PixelBox, second: PixelBox) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _blend(pixels: RGBImage, label: NDArray[np.uint8], box: PixelBox) -> None:
    left, top, right, bottom = box
    region = pixels[top:bottom, left:right]
    # a label may be taller than the whole photo
    label = label[: region.shape[0], : region.shape[1]]
    alpha = label[..., 3:].astype(np.float32) / 255
    region[:] = cast("RGBImage", np.rint(label[..., :3] * alpha + region * (1 - alpha)).astype(np.uint8))
