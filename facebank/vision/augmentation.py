"""Augmentation of aligned faces by named variants: mirrored, lighter or darker, slightly moved, or masked."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.errors import UsageError
from facebank.storage.text import printable
from facebank.vision.alignment import template_landmarks
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask

if TYPE_CHECKING:
    from facebank.types import FloatArray, RGBImage

_BRIGHTER, _DARKER = 0.6, 1.7
_DEGREES = 7.0
_SCALE = 1.06
_SHIFT = 0.03


def augment(crop: RGBImage, template: str, variant: str) -> RGBImage:
    """Return a variant of an aligned face, of the crop's shape; the same input gives the same result.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(size, size, 3)``, aligned to `template` (``arcface`` or ``facenet``).
    variant
        One of `VARIANTS`; others raise `UsageError`.
    """
    if variant not in VARIANTS:
        raise UsageError(f"unknown variant {printable(variant)!r} of a face: choose from {', '.join(VARIANTS)}")
    return VARIANTS[variant](crop, template_landmarks(template, crop.shape[0]))


def _flip(crop: RGBImage, _: FloatArray) -> RGBImage:
    return np.ascontiguousarray(crop[:, ::-1])


def _tone(exponent: float) -> Callable[[RGBImage, FloatArray], RGBImage]:
    curve = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)

    def tone(crop: RGBImage, _: FloatArray) -> RGBImage:
        return np.asarray(curve[crop], dtype=np.uint8)

    return tone


def _move(
    *, degrees: float = 0.0, scale: float = 1.0, right: float = 0.0
) -> Callable[[RGBImage, FloatArray], RGBImage]:
    def move(crop: RGBImage, _: FloatArray) -> RGBImage:
        size = crop.shape[0]
        matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), degrees, scale)
        matrix[0, 2] += right * size
        return np.asarray(cv2.warpAffine(crop, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)

    return move


def _mask(shape: MaskShape, color: str) -> Callable[[RGBImage, FloatArray], RGBImage]:
    def mask(crop: RGBImage, landmarks: FloatArray) -> RGBImage:
        return draw_mask(crop, landmarks, shape, MASK_COLORS[color])

    return mask


VARIANTS: MappingProxyType[str, Callable[[RGBImage, FloatArray], RGBImage]] = MappingProxyType(
    {
        "flip": _flip,
        "brighter": _tone(_BRIGHTER),
        "darker": _tone(_DARKER),
        "rotated-left": _move(degrees=_DEGREES),
        "rotated-right": _move(degrees=-_DEGREES),
        "larger": _move(scale=_SCALE),
        "smaller": _move(scale=1 / _SCALE),
        "shifted": _move(right=_SHIFT),
        "mask": _mask(MaskShape.SURGICAL, "light blue"),
    }
)
"""The variants by name; each takes a crop and its landmarks."""

ENROLLED_VARIANTS: tuple[str, ...] = ("mask",)
"""Variants that a gallery stores beside the plain embedding; ``benchmarks/masks.py`` measures that they help."""

MASK_WEIGHT = 0.5
"""Weight of ``mask`` relative to the plain embedding in prototypes for masked faces; from ``benchmarks/masks.py``."""
