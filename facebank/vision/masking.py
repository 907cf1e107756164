"""Draws masks over the nose and mouth of a face, for enrolling and evaluating masked faces.

A mask is an outline in coordinates of the face: y is 0 at the eyes and 1 at the mouth, x is -1 and 1 at the edges of
the cheeks. The cheek that a turned head hides is drawn narrower, and the mask is shaded by the light of the photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.errors import UsageError

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

    Color: TypeAlias = tuple[int, int, int]


class MaskShape(StrEnum):
    """Shape of a mask."""

    SURGICAL = "surgical"
    """Pleated, wide, flat at the top."""
    CLOTH = "cloth"
    """Close to the face, with a seam down the middle."""
    RESPIRATOR = "respirator"
    """A stiff cup, narrower than the face, with two straps."""
    SCARF = "scarf"
    """Pulled up from the neck over the whole lower face."""


MASK_COLORS: MappingProxyType[str, Color] = MappingProxyType(
    {
        "white": (236, 238, 240),
        "light blue": (158, 200, 224),
        "green": (140, 186, 160),
        "pink": (228, 170, 182),
        "red": (168, 44, 50),
        "navy": (44, 56, 92),
        "gray": (120, 122, 126),
        "black": (34, 34, 38),
    }
)
"""Colors of masks: RGB in daylight, 0..255."""

# Right halves of the outlines from the top of the nose to below the chin; the left halves mirror them.
_OUTLINES: dict[MaskShape, list[tuple[float, float]]] = {
    MaskShape.SURGICAL: [
        (0.0, 0.33), (0.22, 0.40), (0.6, 0.55), (0.98, 0.58),
        (0.92, 1.12), (0.66, 1.5), (0.3, 1.68), (0.0, 1.72),
    ],
    MaskShape.CLOTH: [
        (0.0, 0.26), (0.2, 0.36), (0.55, 0.60), (1.0, 0.66),
        (0.97, 0.98), (0.7, 1.36), (0.34, 1.66), (0.0, 1.78),
    ],
    MaskShape.RESPIRATOR: [
        (0.0, 0.20), (0.22, 0.34), (0.56, 0.62), (0.86, 0.88),
        (0.82, 1.2), (0.56, 1.52), (0.24, 1.7), (0.0, 1.74),
    ],
    MaskShape.SCARF: [
        (0.0, 0.42), (0.35, 0.46), (0.75, 0.54), (1.04, 0.5),
        (0.98, 1.1), (0.78, 1.6), (0.74, 2.3), (0.0, 2.4),
    ],
}  # fmt: skip
# Ends of the straps at the mask's edge and at the ear.
_STRAPS: dict[MaskShape, list[tuple[tuple[float, float], tuple[float, float]]]] = {
    MaskShape.SURGICAL: [((0.96, 0.6), (1.16, 0.2)), ((0.88, 1.2), (1.16, 0.5))],
    MaskShape.CLOTH: [((0.98, 0.7), (1.16, 0.25)), ((0.94, 1.0), (1.16, 0.5))],
    MaskShape.RESPIRATOR: [((0.8, 0.88), (1.16, 0.3)), ((0.76, 1.26), (1.08, 1.02))],
    MaskShape.SCARF: [],
}

_TEMPLATE_HEIGHT = 1.16  # of a frontal face: distance from eyes to mouth, relative to that between the eyes
_CHEEK = 1.02  # distance from the face's middle to the edge of the cheek, relative to that between the eyes
_TURN = 1.5  # narrowing of the hidden cheek with the nose's distance from the middle
_MIN_CHEEK = 0.35
_JITTER = 0.035
_DAYLIGHT = 165.0  # gray value of a face in daylight, 0..255
_SUBPIXEL_BITS = 4
_STRAP_COLOR, _STRAP_OPACITY, _STRAP_WIDTH = (225, 225, 228), 0.85, 0.05
_REACH = np.array([[-1.35, -0.1], [1.35, -0.1], [-1.35, 2.5], [1.35, 2.5]])  # corners of the area that masks cover


@dataclass(frozen=True, slots=True)
class _Frame:
    """The face's coordinate system in an image.

    `origin` is the middle of the eyes in pixels, ``(2,)``; `across` is a unit vector from left to right, `down` the
    vector from the eyes to the mouth in pixels. `left` and `right` are the widths of the cheeks in pixels.
    """

    origin: NDArray[np.float64]
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    left: float
    right: float

    @property
    def height(self) -> float:
        """Distance from eyes to mouth, in pixels."""
        return float(np.linalg.norm(self.down))

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        widths = np.where(points[:, :1] < 0, self.left, self.right)
        moved = self.origin + points[:, :1] * widths * self.across + points[:, 1:] * self.down
        return np.asarray(moved, dtype=np.float64)

    def to_face(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
        matrix = np.linalg.inv(np.column_stack([self.across, self.down]))
        u = matrix[0, 0] * (x - self.origin[0]) + matrix[0, 1] * (y - self.origin[1])
        v = matrix[1, 0] * (x - self.origin[0]) + matrix[1, 1] * (y - self.origin[1])
        sideways = u / np.where(u < 0, self.left, self.right)
        return sideways.astype(np.float32), v.astype(np.float32)


def draw_mask(
    pixels: RGBImage,
    landmarks: FloatArray,
    shape: MaskShape = MaskShape.SURGICAL,
    color: Color = MASK_COLORS["light blue"],
    seed: int = 0,
) -> RGBImage:
    """Return a copy of a photo or an aligned crop with a mask over a face's nose and mouth.

    Parameters
    ----------
    pixels
        RGB ``uint8`` of shape ``(height, width, 3)``.
    landmarks
        ``(5, 2)`` in its pixels; raises `UsageError` if they are not finite, or if the eyes are at one point or at the
        mouth.
    shape, color
        Shape, and color as RGB in daylight, 0..255 (see `MASK_COLORS`).
    seed
        Seed for small variations of position, folds and weave.
    """
    masked = pixels.copy()
    random = np.random.default_rng(seed)
    frame = _frame(landmarks)
    outline = _outline(shape, random)
    corners = frame.to_image(_REACH)
    x1, y1 = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(corners.max(axis=0)) + 1, [pixels.shape[1], pixels.shape[0]]).astype(int)
    if x2 <= x1 or y2 <= y1:
        return masked
    part, corner = masked[y1:y2, x1:x2], np.array([x1, y1])
    cover = np.zeros(part.shape[:2], dtype=np.uint8)
    cv2.fillPoly(cover, [_to_fixed_point(frame.to_image(outline) - corner)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    light = _light(part, cover, frame.height)
    rows, columns = np.mgrid[y1:y2, x1:x2].astype(np.float64)
    shade = _shade(shape, *frame.to_face(columns, rows), random)
    strapped = _paint(part, _straps(shape, frame, corner, part), _STRAP_COLOR, light, _STRAP_OPACITY)
    masked[y1:y2, x1:x2] = np.rint(_paint(strapped, cover, color, light * shade)).astype(np.uint8)
    return masked


def _paint(
    part: RGBImage | FloatArray, cover: NDArray[np.uint8], color: Color, light: FloatArray, opacity: float = 1.0
) -> FloatArray:
    paint = np.clip(np.array(color, dtype=np.float32) * light[..., None], 0, 255)
    alpha = cover[..., None].astype(np.float32) * np.float32(opacity / 255)
    return np.asarray(part + (paint - part) * alpha, dtype=np.float32)


def _straps(shape: MaskShape, frame: _Frame, corner: NDArray[np.int64], part: RGBImage) -> NDArray[np.uint8]:
    cover = np.zeros(part.shape[:2], dtype=np.uint8)
    thickness = max(1, round(_STRAP_WIDTH * frame.height))
    for line in _STRAPS[shape]:
        for side in (-1, 1):
            start, end = _to_fixed_point(frame.to_image(np.array(line) * [side, 1]) - corner).tolist()
            cv2.line(cover, start, end, 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return cover


def _frame(landmarks: FloatArray) -> _Frame:
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise UsageError("a mask needs five landmarks of two finite coordinates each")
    eyes, mouth = (points[0] + points[1]) / 2, (points[3] + points[4]) / 2
    height = float(np.linalg.norm(mouth - eyes))
    eye_distance = float(np.linalg.norm(points[1] - points[0]))
    scale = max(eye_distance, height / _TEMPLATE_HEIGHT)
    if height < 1e-3 or eye_distance < 1e-3:
        raise UsageError("a mask needs landmarks whose eyes are apart from each other and from the mouth")
    across = points[1] - points[0] + points[4] - points[3]
    across = across / max(float(np.linalg.norm(across)), 1e-9)
    turn = float(np.dot(points[2] - (eyes + mouth) / 2, across)) / scale
    left, right = (max(_MIN_CHEEK, _CHEEK * (1 + side * _TURN * turn)) * scale for side in (1, -1))
    return _Frame(eyes, across, mouth - eyes, min(left, 1.5 * scale), min(right, 1.5 * scale))


def _outline(shape: MaskShape, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the smooth outline ``(n, 2)`` of a mask, slightly different for each state of `random`."""
    right = np.array(_OUTLINES[shape])
    left = right[-2:0:-1] * [-1, 1]
    points = np.concatenate([right, left])
    points *= 1 + _JITTER * random.uniform(-1, 1, size=2)
    points[:, 1] += _JITTER * random.uniform(-1, 1)
    points += 0.3 * _JITTER * random.uniform(-1, 1, size=points.shape)
    for _ in range(3):  # G. Chaikin, "An algorithm for high-speed curve generation", 1974: corner cutting
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1).reshape(-1, 2)
    return points


def _light(part: RGBImage, cover: NDArray[np.uint8], height: float) -> FloatArray:
    """Return the brightness of the photo's light at each pixel, about 1 in daylight."""
    gray = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    under = gray[cover > 127]
    level = float(np.median(under)) if under.size else _DAYLIGHT
    smooth = cv2.GaussianBlur(np.minimum(gray, 2 * level + 8), (0, 0), max(1.0, 0.35 * height))
    falling = np.clip(smooth / max(level, 8.0), 0.6, 1.4) ** 0.6
    return np.asarray(falling * np.clip(level / _DAYLIGHT, 0.15, 1.15) ** 0.7, dtype=np.float32)


def _shade(shape: MaskShape, x: FloatArray, y: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return the shading of the mask by its form, folds and weave, about 1."""
    shade = 1.04 - 0.22 * x**2 - 0.10 * np.clip(y - 1.0, 0, None) ** 2
    phase = random.uniform(-0.05, 0.05)
    if shape is MaskShape.SURGICAL:
        for line in (0.78, 1.02, 1.26):
            shade -= 0.10 * np.exp(-(((y - line - phase - 0.05 * x**2) / 0.03) ** 2))
        shade += 0.05 * np.exp(-(((y - 0.46 - 0.2 * np.abs(x)) / 0.05) ** 2))
    elif shape is MaskShape.CLOTH:
        shade -= 0.13 * np.exp(-(((x + phase) / 0.03) ** 2))
        shade -= 0.05 * np.sin(7 * y + 5 * np.abs(x) + 20 * phase)
    elif shape is MaskShape.RESPIRATOR:
        shade += 0.10 * np.exp(-((x / 0.28) ** 2)) - 0.16 * np.abs(x) ** 2
        shade -= 0.14 * np.exp(-(((y - 1.08 - phase) / 0.025) ** 2))
    else:
        shade -= 0.08 * np.sin(9 * y + 3 * x + 30 * phase) * np.clip(y, 0, 1.2)
    weave = random.normal(0, 0.018, size=shade.shape)
    return np.asarray(shade + weave, dtype=np.float32)


def _to_fixed_point(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return points in OpenCV's fixed-point format: whole sixteenths of a pixel."""
    return np.asarray(np.rint(np.clip(points, -1e5, 1e5) * 2**_SUBPIXEL_BITS), dtype=np.int32)
