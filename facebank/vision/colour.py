"""Colours as people see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from facebank.types import FloatArray, RGBImage

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], dtype=np.float32)
_LINEAR_UP_TO, _CUBE_ROOT_FROM = 0.04045, (6 / 29) ** 3


def lab_of(pixels: RGBImage) -> FloatArray:
    """Convert to CIE L*a*b*.

    Parameters
    ----------
    pixels
        sRGB ``uint8`` of shape ``(..., 3)``.

    Returns
    -------
    FloatArray
        ``float32`` of the same shape: lightness 0..100, then green to red and blue to yellow, about -128..127.

    Notes
    -----
    IEC 61966-2-1 (sRGB) and ISO/CIE 11664-4, for the white of sRGB, D65. OpenCV's conversion spends 80 ms on tables
    when it is first used: as long as finding the faces of a photo.
    """
    xyz = _linear_light()[pixels] @ (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T
    steps = np.where(xyz > _CUBE_ROOT_FROM, np.cbrt(xyz), xyz * np.float32(841 / 108) + np.float32(4 / 29))
    x, y, z = np.moveaxis(steps, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _linear_light() -> FloatArray:
    """Return the share of light that each of the 256 values of a channel stands for."""
    values = np.arange(256) / 255
    light = np.where(values <= _LINEAR_UP_TO, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
