"""Two photos, what the similarity of their faces rests on, and the picture that shows it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import NoFaceError, StorageError, UsageError
from facebank.media import is_annotated
from facebank.media.labels import LabelPainter
from facebank.operations.explanation import Explanation, explain, tinted
from facebank.operations.inputs import open_photo
from facebank.storage.files import face_file_mode, write_file
from facebank.storage.text import printable
from facebank.types import Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from facebank.bank import FaceBank
    from facebank.operations.inputs import Place
    from facebank.types import AnalyzedPhoto, DecodedPhoto, RGBImage
    from facebank.vision import FaceAnalyzer

_FACE = 336  # pixels of a face's side in the picture
_GAP, _MARGIN = 20, 24
_TITLE, _TEXT = 26, 17
_WIDTH = 2 * _MARGIN + 2 * _FACE + _GAP
_WHITE, _INK, _KEY_GREY = (255, 255, 255), 20, 170
_KEY_HEIGHT, _SPACE = 22, 6
_SMALLEST_CHANGE = 0.0005
_COMMENT = "Annotated by facebank"  # as annotated photos say it: the file may be replaced by another picture


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedPair:
    """Two photos, compared and explained.

    Attributes
    ----------
    verification
        The answer that ``facebank verify`` gives.
    crops
        The aligned faces, RGB ``uint8`` of shape ``(S, S, 3)`` each.
    explanation
        What their similarity rests on.
    """

    verification: Verification
    crops: tuple[RGBImage, RGBImage]
    explanation: Explanation


def explain_photos(bank: FaceBank, a: Place | DecodedPhoto, b: Place | DecodedPhoto) -> ExplainedPair:
    """Explain the similarity of the largest faces of two photos; needs no gallery.

    Parameters
    ----------
    bank
        Whose pack is used; the embedded one where its gallery cannot be read.
    a, b
        Photos or their files.

    Raises
    ------
    PhotoError
        One cannot be read or shows no face.
    """
    photos, engine = [open_photo(a), open_photo(b)], bank.comparing_engine
    analyzer = engine.analyzer
    first, second = (_largest_crop(analyzer, analyzed) for analyzed in analyzer.analyze(photos))
    explanation = explain(analyzer.embedder.embed, first, second, template=analyzer.embedder.template)
    similarity, threshold = explanation.similarity, engine.thresholds.verify
    verification = Verification(photos[0].path, photos[1].path, similarity, threshold, similarity >= threshold)
    return ExplainedPair(verification, (first, second), explanation)


def check_target(target: Path, photos: Sequence[Path]) -> None:
    """Make sure, before anything is computed, that a picture can be written without loss of anything else.

    Parameters
    ----------
    target
        Where the picture shall be.
    photos
        What it is made from.

    Raises
    ------
    UsageError
        It is no ``.png``, is one of the photos, or is a file that facebank did not draw.
    StorageError
        There is no such folder.
    """
    name = printable(str(target))
    if target.suffix.lower() != ".png":
        raise UsageError(f"{name}: the picture is written as .png: name it so")
    if os.path.realpath(target) in {os.path.realpath(photo) for photo in photos}:
        raise UsageError(f"{name} is one of the photos: name another file for the picture")
    if not target.parent.is_dir():
        raise StorageError(f"{name} cannot be written: there is no folder {printable(str(target.parent))}")
    if os.path.lexists(target) and not is_annotated(target):
        raise UsageError(f"{name} is there already, and facebank did not draw it: name another file for the picture")


def write_picture(pair: ExplainedPair, target: Path) -> None:
    """Write the picture of an explanation.

    Parameters
    ----------
    pair
        What `explain_photos` gave.
    target
        A PNG; it appears complete or not at all.

    Raises
    ------
    UsageError, StorageError
        As `check_target`; or it cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    check_target(target, [Path(pair.verification.a), Path(pair.verification.b)])
    texts, file = PngInfo(), BytesIO()
    texts.add_text("Comment", _COMMENT)
    draw_picture(pair).save(file, "PNG", pnginfo=texts)
    try:
        write_file(target, file.getbuffer(), mode=face_file_mode())
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {error.strerror or error}") from error


def draw_picture(pair: ExplainedPair) -> Image:
    """Draw both aligned faces, both maps beside them, the similarity, and what the colours mean."""
    from PIL import Image as Pictures

    found, explanation = pair.verification, pair.explanation
    title, text = LabelPainter(_TITLE), LabelPainter(_TEXT)
    rows: list[list[Image]] = [
        [_written(title, f"Similarity {found.similarity:.3f}: {answer(found)}")],
        [_written(text, f"What it rests on. The threshold for the same person is {found.threshold:.3f}.")],
    ]
    overlays = explanation.overlays((_enlarged(pair.crops[0]), _enlarged(pair.crops[1])))
    sides = zip(("A", "B"), (found.a, found.b), pair.crops, overlays, strict=True)
    for letter, source, crop, tinted_face in sides:
        rows += [
            [_written(text, f"{letter}: {Path(source).name or source}")],
            [Pictures.fromarray(_enlarged(crop)), Pictures.fromarray(tinted_face)],
        ]
    rows += [
        [_written(text, "How the similarity changes where a part is hidden:")],
        [_key(explanation)],
        [_key_numbers(text, explanation)],
        *([_written(text, line)] for line in _key_words(explanation)),
    ]
    return _stacked(rows)


def answer(found: Verification) -> str:
    """Say in words what was decided: as ``facebank verify`` does."""
    return "the same person" if found.same else "different people"


def _key_words(explanation: Explanation) -> list[str]:
    fall, rise = explanation.largest_drop, explanation.largest_rise
    words = [f"Orange: hiding this lowers the similarity, by up to {max(fall, 0):.3f}."]
    if rise >= _SMALLEST_CHANGE:
        words.append(f"Blue: hiding this raises it, by up to {rise:.3f}.")
    return [*words, "Gray: hiding this changes nothing. One scale for both faces."]


def _largest_crop(analyzer: FaceAnalyzer, analyzed: AnalyzedPhoto) -> RGBImage:
    if not analyzed.faces:
        raise NoFaceError(f"{printable(analyzed.photo.path)}: no face was found")
    return analyzer.crop(analyzed.photo, analyzed.faces[0])


def _written(painter: LabelPainter, text: str) -> Image:
    """Write a line, without the plate's room at its sides: it stands where pictures do."""
    line = painter.paint(text, _WHITE, _WIDTH - 2 * _MARGIN).convert("RGB")
    left, _, right, _ = line.convert("L").point(lambda grey: 255 - grey).getbbox() or (0, 0, *line.size)
    return line.crop((left, 0, right, line.height))


def _enlarged(crop: RGBImage) -> RGBImage:
    import cv2

    return np.asarray(cv2.resize(crop, (_FACE, _FACE), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _key(explanation: Explanation) -> Image:
    """Draw the colours on the grey of a face, as far as the maps use them, with a line where nothing changes."""
    from PIL import Image as Pictures

    low, high = -explanation.largest_rise / explanation.scale, explanation.largest_drop / explanation.scale
    strength = np.linspace(low, max(high, low), _WIDTH - 2 * _MARGIN, dtype=np.float32)
    strengths = np.broadcast_to(strength, (_KEY_HEIGHT, len(strength)))
    colours = tinted(np.full((*strengths.shape, 3), _KEY_GREY, dtype=np.float32), strengths)
    zero = round(_zero(explanation) * (len(strength) - 1))
    colours[:, max(0, zero - 1) : zero + 1] = _INK
    return Pictures.fromarray(colours)


def _zero(explanation: Explanation) -> float:
    """Return where on the key nothing changes: 0 at its left end, 1 at its right one."""
    rise, fall = explanation.largest_rise, max(explanation.largest_drop, 0.0)
    return rise / (rise + fall) if rise + fall else 0.0


def _key_numbers(painter: LabelPainter, explanation: Explanation) -> Image:
    """Write below the key which change of the similarity its ends stand for, and where there is none."""
    from PIL import Image as Pictures

    width, rise, fall = _WIDTH - 2 * _MARGIN, explanation.largest_rise, explanation.largest_drop
    raised = _written(painter, f"+{rise:.3f}") if rise >= _SMALLEST_CHANGE else None
    lowered = _written(painter, f"-{fall:.3f}") if fall >= _SMALLEST_CHANGE else None
    nothing = _written(painter, "0")
    strip = Pictures.new("RGB", (width, nothing.height), _WHITE)
    first, last = 0, width - nothing.width
    if raised is not None:
        strip.paste(raised, (0, 0))
        first = raised.width + _GAP // 2
    if lowered is not None:
        strip.paste(lowered, (width - lowered.width, 0))
        last -= lowered.width + _GAP // 2
    centre = round(_zero(explanation) * width - nothing.width / 2)
    strip.paste(nothing, (min(max(centre, first), last), 0))
    return strip


def _stacked(rows: Sequence[Sequence[Image]]) -> Image:
    """Lay rows of pictures below each other on white."""
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
