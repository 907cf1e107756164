"""Detection of cuts between the shots of a video (thresholds: docs/video.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

_SMALL_WIDTH, _SMALL_HEIGHT = 64, 36
_BINS = 8
# both, because fast motion or a pan changes the layout but not the colors
_COLORS_CHANGED, _GRAYS_CHANGED = 0.10, 18.0


class CutDetector:
    """Detects whether a frame begins a new shot, by comparing it with the one before."""

    def __init__(self) -> None:
        self._previous: tuple[FloatArray, FloatArray] | None = None

    def is_cut(self, pixels: NDArray[np.uint8]) -> bool:
        """Return whether a frame ``(height, width, 3)`` begins a new shot; the first frame does not.

        The channel order must be the same in all calls.
        """
        current = _appearance(pixels)
        previous, self._previous = self._previous, current
        if previous is None:
            return False
        colors = float(np.abs(current[0] - previous[0]).sum()) / 2
        grays = float(np.abs(current[1] - previous[1]).mean())
        return colors >= _COLORS_CHANGED and grays >= _GRAYS_CHANGED


def _appearance(pixels: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Return the histogram of 8 by 8 by 8 colors, as fractions, and a small grayscale picture."""
    import cv2

    # subsample first, because averaging a large frame costs more than decoding it
    step = max(1, min(pixels.shape[0] // (2 * _SMALL_HEIGHT), pixels.shape[1] // (2 * _SMALL_WIDTH)))
    small = cv2.resize(pixels[::step, ::step], (_SMALL_WIDTH, _SMALL_HEIGHT), interpolation=cv2.INTER_AREA)
    histogram = cv2.calcHist([small], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3).ravel() / (
        _SMALL_WIDTH * _SMALL_HEIGHT
    )
    return histogram.astype(np.float32), small.mean(axis=2, dtype=np.float32)
