"""Picture of an explained comparison: both faces with their occlusion maps, the similarity and a color key."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import StorageError, UsageError
from facebank.media import LabelPainter, is_annotated
from facebank.operations.explain import tint
from facebank.operations.identify import describe_verification
from facebank.storage.files import face_file_mode, write_file, write_reason
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from facebank.operations.explain import ExplainedPair, Explanation
    from facebank.types import RGBImage

_FACE_SIDE = 336  # pixels of a face in the picture
_GAP, _MARGIN = 20, 24  # pixels
_TITLE_SIZE, _TEXT_SIZE = 26, 17
_WIDTH = 2 * _MARGIN + 2 * _FACE_SIDE + _GAP
_WHITE, _INK, _KEY_GRAY = (255, 255, 255), 20, 170
_KEY_HEIGHT, _SPACE = 22, 6  # pixels
_MIN_SHOWN_CHANGE = 0.0005  # of the similarity
_COMMENT = "Annotated by facebank"  # marker of annotated photos: the file may be replaced


def check_target(target: Path, photo_paths: Sequence[Path]) -> None:
    """Check in advance that a picture can be written without replacing another file.

    Raises `UsageError` (`target` is not a ``.png``, is one of the photos, or is a file not drawn by facebank) or
    `StorageError` (its folder does not exist).
    """
    label = printable(str(target))
    if target.suffix.lower() != ".png":
        raise UsageError(f"{label}: the picture is written as PNG: use the suffix .png")
    if os.path.realpath(target) in {os.path.realpath(path) for path in photo_paths}:
        raise UsageError(f"{label} is one of the photos: choose another file for the picture")
    if not target.parent.is_dir():
        raise StorageError(f"{label} cannot be written: there is no folder {printable(str(target.parent))}; create it")
    if os.path.lexists(target) and not is_annotated(target):
        raise UsageError(f"{label} already exists and was not drawn by facebank: choose another file for the picture")


def write_picture(pair: ExplainedPair, target: Path) -> None:
    """Write the picture of an explanation as a PNG, atomically.

    Raises the errors of `check_target`, and `StorageError` if it cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    check_target(target, [Path(pair.verification.a), Path(pair.verification.b)])
    metadata, buffer = PngInfo(), BytesIO()
    metadata.add_text("Comment", _COMMENT)
    draw_picture(pair).save(buffer, "PNG", pnginfo=metadata)
    try:
        write_file(target, buffer.getbuffer(), mode=face_file_mode())
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {write_reason(error)}") from error


def draw_picture(pair: ExplainedPair) -> Image:
    """Return a picture of both aligned faces with their maps, the similarity, and a color key."""
    from PIL import Image as Pictures

    verification, explanation = pair.verification, pair.explanation
    title, text = LabelPainter(_TITLE_SIZE), LabelPainter(_TEXT_SIZE)
    rows: list[list[Image]] = [
        [_draw_line(title, f"Similarity {verification.similarity:.3f}: {describe_verification(verification)}")],
        [_draw_line(text, f"The threshold for the same person is {verification.threshold:.3f}.")],
    ]
    overlays = explanation.overlays((_enlarge(pair.crops[0]), _enlarge(pair.crops[1])))
    sides = zip(("A", "B"), (verification.a, verification.b), pair.crops, overlays, strict=True)
    for letter, path, crop, tinted_face in sides:
        rows += [
            [_draw_line(text, f"{letter}: {Path(path).name or path}")],
            [Pictures.fromarray(_enlarge(crop)), Pictures.fromarray(tinted_face)],
        ]
    rows += [
        [_draw_line(text, "How the similarity changes where a part is hidden:")],
        [_draw_key(explanation)],
        [_draw_key_numbers(text, explanation)],
        *([_draw_line(text, line)] for line in _legend_lines(explanation)),
    ]
    return _stack(rows)


def _legend_lines(explanation: Explanation) -> list[str]:
    fall, rise = explanation.largest_drop, explanation.largest_rise
    lines = [f"Orange: hiding this lowers the similarity, by up to {max(fall, 0):.3f}."]
    if rise >= _MIN_SHOWN_CHANGE:
        lines.append(f"Blue: hiding this raises it, by up to {rise:.3f}.")
    return [*lines, "Gray: hiding this changes nothing. One scale for both faces."]


def _draw_line(painter: LabelPainter, text: str) -> Image:
    """Return a picture of a line of text without the plate's padding."""
    line = painter.paint(text, _WHITE, _WIDTH - 2 * _MARGIN).convert("RGB")
    left, _, right, _ = line.convert("L").point(lambda gray: 255 - gray).getbbox() or (0, 0, *line.size)
    return line.crop((left, 0, right, line.height))


def _enlarge(crop: RGBImage) -> RGBImage:
    import cv2

    return np.asarray(cv2.resize(crop, (_FACE_SIDE, _FACE_SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _draw_key(explanation: Explanation) -> Image:
    """Return a picture of the range of colors used by the maps, on gray, with a line at zero."""
    from PIL import Image as Pictures

    low, high = -explanation.largest_rise / explanation.scale, explanation.largest_drop / explanation.scale
    strength = np.linspace(low, max(high, low), _WIDTH - 2 * _MARGIN, dtype=np.float32)
    strengths = np.broadcast_to(strength, (_KEY_HEIGHT, len(strength)))
    colors = tint(np.full((*strengths.shape, 3), _KEY_GRAY, dtype=np.float32), strengths)
    zero = round(_zero_position(explanation) * (len(strength) - 1))
    colors[:, max(0, zero - 1) : zero + 1] = _INK
    return Pictures.fromarray(colors)


def _zero_position(explanation: Explanation) -> float:
    """Return the position of zero on the key, from 0 at its left end to 1 at its right end."""
    rise, fall = explanation.largest_rise, max(explanation.largest_drop, 0.0)
    return rise / (rise + fall) if rise + fall else 0.0


def _draw_key_numbers(painter: LabelPainter, explanation: Explanation) -> Image:
    """Return a picture of the changes of similarity at the ends of the key and at zero."""
    from PIL import Image as Pictures

    width, rise, fall = _WIDTH - 2 * _MARGIN, explanation.largest_rise, explanation.largest_drop
    raised = _draw_line(painter, f"+{rise:.3f}") if rise >= _MIN_SHOWN_CHANGE else None
    lowered = _draw_line(painter, f"-{fall:.3f}") if fall >= _MIN_SHOWN_CHANGE else None
    zero = _draw_line(painter, "0")
    strip = Pictures.new("RGB", (width, zero.height), _WHITE)
    first, last = 0, width - zero.width
    if raised is not None:
        strip.paste(raised, (0, 0))
        first = raised.width + _GAP // 2
    if lowered is not None:
        strip.paste(lowered, (width - lowered.width, 0))
        last -= lowered.width + _GAP // 2
    center = round(_zero_position(explanation) * width - zero.width / 2)
    strip.paste(zero, (min(max(center, first), last), 0))
    return strip


def _stack(rows: Sequence[Sequence[Image]]) -> Image:
    """Return rows of pictures, stacked on white."""
    from PIL import Image as Pictures

    height = 2 * _MARGIN + sum(max(part.height for part in row) + _SPACE for row in rows) - _SPACE
    sheet = Pictures.new("RGB", (_WIDTH, height), _WHITE)
    top = _MARGIN
    for row in rows:
        left = _MARGIN
        for part in row:
            sheet.paste(part.convert("RGB"), (left, top))
            left += part.width + _GAP
        top += max(part.height for part in row) + _SPACE
    return sheet
