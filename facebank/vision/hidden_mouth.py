"""Whether something covers the mouth of a face: a mask, a scarf, a hand.

A linear judge of the lower half of the aligned face: its colors relative to the skin above, and its edges. The numbers
were fitted by ``python -m benchmarks.real_masks`` to drawn and real masks and to bare faces; `provenance` names these.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from facebank.vision.colour import lab_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

NUMBERS = Path(__file__).with_name("hidden_mouth.npz")
"""The judge's numbers, in the package."""

NOTICED = 2 / 3
"""What `hidden_mouth` says at the score from which a mouth counts as hidden."""

FEATURES = 1600
"""How many numbers `lower_face` returns."""

_SIDE = 112
_SMALL = _SIDE // 4
_ROWS, _COLUMNS, _DIRECTIONS = 8, 10, 6
_TOP, _LEFT, _CELL = 48, 16, 8  # the grid of cells, in pixels of a crop of 112: from the lower lids to the chin
_FOREHEAD, _UPPER_CHEEKS = (slice(6, 10), slice(10, 18)), (slice(14, 16), slice(7, 21))
_DARKEST, _CHROMA = 10.0, 20.0
_BELOW, _ABOVE = 2.0, 1.0  # the score's distance from the threshold where 0 and 1 are reached


class _Judge(NamedTuple):
    weights: FloatArray
    intercept: float
    threshold: float


def hidden_mouth(crop: RGBImage) -> float:
    """Say how surely the mouth of a face is hidden.

    Parameters
    ----------
    crop
        An aligned face, RGB ``uint8`` of shape ``(size, size, 3)``, as ``arcface`` aligns it.

    Returns
    -------
    float
        0 (free) .. 1 (hidden); above `NOTICED` it counts as hidden.
    """
    judge = _judge()
    excess = float(lower_face(crop) @ judge.weights) + judge.intercept - judge.threshold
    return float(np.clip((excess + _BELOW) / (_BELOW + _ABOVE), 0.0, 1.0))


def lower_face(crop: RGBImage) -> FloatArray:
    """Describe the lower half of an aligned face.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(size, size, 3)``.

    Returns
    -------
    FloatArray
        ``float32`` of shape ``(FEATURES,)``: for each cell of a grid its lightness and hue relative to the skin of
        forehead and upper cheeks, their sizes, the hue as it is and how uneven its lightness is; then the histogram of
        its edges' directions, relative to the edges of all cells and to its own.

    Notes
    -----
    N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, for the latter.
    """
    face = crop if crop.shape[0] == _SIDE else cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.concatenate([*_colors(np.asarray(face, np.uint8)), *_edges(np.asarray(face, np.uint8))])


def provenance() -> str:
    """Return what the judge was fitted to, and with which command."""
    with np.load(NUMBERS, allow_pickle=False) as arrays:
        return str(arrays["provenance"])


def _colors(face: RGBImage) -> list[FloatArray]:
    lab = lab_of(np.asarray(cv2.resize(face, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA), np.uint8))
    skin = np.median(np.concatenate([lab[part].reshape(-1, 3) for part in (_FOREHEAD, _UPPER_CHEEKS)]), axis=0)
    top, left, side = _TOP // 4, _LEFT // 4, _CELL // 4
    lower = lab[top : top + side * _ROWS, left : left + side * _COLUMNS]
    cells = lower.reshape(_ROWS, side, _COLUMNS, side, 3)
    mean = cells.mean(axis=(1, 3))
    lightness = mean[..., 0] / max(float(skin[0]), _DARKEST) - 1
    hue = (mean[..., 1:] - skin[1:]) / _CHROMA
    unevenness = np.log1p(cells[..., 0].std(axis=(1, 3)))
    parts = [lightness, np.abs(lightness), hue, mean[..., 1:] / _CHROMA, np.hypot(hue[..., 0], hue[..., 1]), unevenness]
    return [part.astype(np.float32).ravel() for part in parts]


def _edges(face: RGBImage) -> list[FloatArray]:
    height, width = _CELL * _ROWS, _CELL * _COLUMNS
    around = face[_TOP - 1 : _TOP + height + 1, _LEFT - 1 : _LEFT + width + 1]
    grey = cv2.cvtColor(
        cv2.copyMakeBorder(around, 0, height + 2 - len(around), 0, 0, cv2.BORDER_REPLICATE), cv2.COLOR_RGB2GRAY
    )
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3)[1:-1, 1:-1] for order in ((1, 0), (0, 1)))
    strength = np.hypot(across, down)
    direction = np.floor(np.arctan2(down, across) * (_DIRECTIONS / np.pi)).astype(np.int64) % _DIRECTIONS
    counted = np.bincount((_cell_numbers() * _DIRECTIONS + direction).ravel(), strength.ravel(), FEATURES * 3 // 10)
    histograms = counted.reshape(-1, _DIRECTIONS)
    of_cell = np.linalg.norm(histograms, axis=1, keepdims=True)
    overall = np.sqrt(histograms / (strength.mean() * _CELL**2 + 1e-3))
    own = histograms / (of_cell + 0.3 * of_cell.mean() + 1)
    return [part.astype(np.float32).ravel() for part in (overall, own)]


@cache
def _cell_numbers() -> NDArray[np.int64]:
    """Return for each pixel of the grid the number of its cell."""
    rows, columns = np.arange(_CELL * _ROWS) // _CELL, np.arange(_CELL * _COLUMNS) // _CELL
    return rows[:, None] * _COLUMNS + columns[None, :]


@cache
def _judge() -> _Judge:
    with np.load(NUMBERS, allow_pickle=False) as arrays:
        return _Judge(arrays["weights"], float(arrays["intercept"]), float(arrays["threshold"]))
