"""Quality of a face: how recognizable the network will find it.

Each property states how much of a face's likeness to its own person it leaves, as measured on LFW's development people
by ``python -m benchmarks.quality``; the score is their product, 0 where hardly more is left than strangers share.
Whether the mouth is hidden is decided by a linear model of the lower half of the aligned face: its colors relative to
the skin above, and its edges. ``python -m benchmarks.real_masks`` fitted it to drawn and real masks and to bare faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from facebank.types import Detection, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

NUMBERS = Path(__file__).with_name("hidden_mouth.npz")
"""The file of the model of hidden mouths, in the package."""

NOTICED = 2 / 3
"""Value of `hidden_mouth` from which a mouth counts as hidden."""

FEATURES = 1600
"""Number of features that `lower_face` returns."""

_SIDE = 112
_SMALL = _SIDE // 4
_ROWS, _COLUMNS, _DIRECTIONS = 8, 10, 6
_TOP, _LEFT, _CELL = 48, 16, 8  # the grid of cells, in pixels of a crop of 112: from the lower lids to the chin
_BARE_SKIN = (slice(6, 10), slice(10, 18)), (slice(14, 16), slice(7, 21))  # forehead and upper cheeks
_DARKEST, _CHROMA = 10.0, 20.0
_BELOW, _ABOVE = 2.0, 1.0  # the score's distance from the threshold where 0 and 1 are reached

# The share of a face's detail that a second blur leaves: 0.13 to 0.21 for LFW's faces as photographed.
_SHARP, _BLURRED = 0.20, 0.70
_FINE, _COARSE = 1.5, 5.0
_LEAST_DETAIL = 0.1
# Turned heads keep their likeness until the nose nears the side of the face; nodding ones lose some at once.
_TURN_FREE, _TURN_PROFILE = 0.05, 0.85
_TURNED_KEEP, _TURN_LOSS = 0.7, 0.5
_NOSE_LOW, _NOD_LOSS = 0.52, 2.5
_WHITE, _WHITE_LOSS = 250, 0.75
_CONTRAST = 7.5
_EYES_LIKENESS = 0.35
_STABLE, _UNSTABLE, _UNSTEADY = 0.97, 0.77, 0.93
_HOPELESS = 0.3
_WEAK = 0.9
_MOUTH_LIKENESS = (1 - _WEAK) / NOTICED  # 0.15: weak from where a hidden mouth is noticed
_ENOUGH = 30.0

# The detector's score at a second look: nine of ten hands, ears, coins stay below 0.7, one usable face of a hundred.
_NO_FACE, _FACE_SEEN = 0.60, 0.80

# Parts of an aligned face, as fractions of the crop: top, bottom, left, right.
_FACE = (0.18, 0.89, 0.18, 0.82)
_CHEEKS = ((0.52, 0.59, 0.25, 0.375), (0.52, 0.59, 0.625, 0.75))
_FOREHEAD = (0.215, 0.34, 0.36, 0.64)
_EYES = ((0.41, 0.51, 0.25, 0.43), (0.41, 0.51, 0.57, 0.75))
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], dtype=np.float32)
_LINEAR_UP_TO, _CUBE_ROOT_FROM = 0.04045, (6 / 29) ** 3


def assess(detection: Detection, crop: RGBImage) -> Quality:
    """Assess one face; without stability, which needs more embeddings (see `with_stability`).

    Parameters
    ----------
    detection
        The face in its photo.
    crop
        The aligned face, ``uint8`` of shape ``(size, size, 3)``.
    """
    left = likeness_left(detection, crop)
    weaknesses = sorted((word for word in left if left[word] < _WEAK), key=left.__getitem__)
    return Quality(
        score=score_of(left),
        size=detection.size,
        sharpness=left["blurred"],
        frontality=frontality(detection.landmarks),
        exposure=left["badly lit"],
        occlusion=1 - left["mouth hidden"] * left["eyes hidden"],
        weaknesses=tuple(weaknesses),
    )


def likeness_left(detection: Detection, crop: RGBImage) -> dict[str, float]:
    """Return how much of a face's likeness each weakness leaves, by the weakness in words: 1 (none) down to 0."""
    mouth, eyes = hidden_parts(crop)
    return {
        "hardly a face": plausibility(detection),
        "small": float(np.clip(detection.size / _ENOUGH, 0.0, 1.0)) ** 0.5,
        "blurred": sharpness(crop),
        "turned away": min(1.0, _TURNED_KEEP + _TURN_LOSS * frontality(detection.landmarks)),
        "looking down": uprightness(detection.landmarks),
        "badly lit": exposure(crop),
        "mouth hidden": 1 - _MOUTH_LIKENESS * mouth,
        "eyes hidden": 1 - _EYES_LIKENESS * eyes,
    }


def plausibility(detection: Detection) -> float:
    """Return what the detector's second score leaves: 0.3 (no face) to 1 (a face, or there was no second score)."""
    if detection.second_score is None:
        return 1.0
    return _HOPELESS + (1 - _HOPELESS) * _between(detection.second_score, _NO_FACE, _FACE_SEEN)


def score_of(left: Mapping[str, float]) -> float:
    """Return the score, 0..1, of the result of `likeness_left`."""
    likeness = float(np.prod(list(left.values())))
    return float(np.clip((likeness - _HOPELESS) / (1 - _HOPELESS), 0.0, 1.0))


def with_stability(quality: Quality, embedding: FloatArray, others: FloatArray) -> Quality:
    """Return `quality` with stability, and the score lowered where the embedding is unsteady.

    Parameters
    ----------
    quality
        As `assess` returns it.
    embedding
        Of the face, ``(dimension,)``.
    others
        Of the same face mirrored and slightly moved, ``(n, dimension)`` with n >= 1; all L2-normalized.
    """
    stability = float(np.clip((others @ embedding).mean(), -1.0, 1.0))
    share = _between(stability, _UNSTABLE, _STABLE)
    words = (*quality.weaknesses, "embedding unsteady") if stability < _UNSTEADY else quality.weaknesses
    return replace(quality, score=quality.score * share, stability=stability, weaknesses=words)


def sharpness(crop: RGBImage) -> float:
    """Return the sharpness of a crop ``(size, size, 3)`` at its resolution: 0 (blurred) .. 1 (sharp).

    A blurred picture loses little when it is blurred again, whatever it shows and however it is lit: the spread of the
    Laplacian after a wide blur is compared with that after a slight one, which removes the sensor's noise. After F.
    Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric", SPIE
    2007.
    """
    margin = crop.shape[0] // 8
    gray = cv2.cvtColor(crop[margin:-margin, margin:-margin], cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = _detail(gray, _FINE)
    if fine < _LEAST_DETAIL:
        return 0.0
    return float(np.clip((_BLURRED - _detail(gray, _COARSE) / fine) / (_BLURRED - _SHARP), 0.0, 1.0))


def _detail(gray: FloatArray, sigma: float) -> float:
    return float(cv2.Laplacian(cv2.GaussianBlur(gray, (0, 0), sigma), cv2.CV_32F).std())


def frontality(landmarks: FloatArray) -> float:
    """Return how frontal a face with landmarks ``(5, 2)`` is.

    1 where the nose lies midway between the eyes and mouth corners, 0 where it reaches out at one side (a profile).
    """
    across = (landmarks[1] + landmarks[4] - landmarks[0] - landmarks[3]) / 2
    width = float(np.linalg.norm(across))
    if width < 1e-6:
        return 0.0
    middle = (landmarks[0] + landmarks[1] + landmarks[3] + landmarks[4]) / 4
    offset = float(np.dot(landmarks[2] - middle, across)) / width**2
    return float(np.clip((_TURN_PROFILE - abs(offset)) / (_TURN_PROFILE - _TURN_FREE), 0.0, 1.0))


def uprightness(landmarks: FloatArray) -> float:
    """Return how much likeness a nodding head leaves: 1 unless the nose is high between eyes and mouth, at least .5."""
    eyes, mouth = (landmarks[0] + landmarks[1]) / 2, (landmarks[3] + landmarks[4]) / 2
    height = float(np.linalg.norm(mouth - eyes))
    if height < 1e-6:
        return 0.5
    nose = float(np.dot(landmarks[2] - eyes, mouth - eyes)) / height**2
    return float(np.clip(1 - _NOD_LOSS * (_NOSE_LOW - nose), 0.5, 1.0))


def exposure(crop: RGBImage) -> float:
    """Return how well a crop ``(size, size, 3)`` is lit: 0 (all white, or without contrast) .. 1.

    Dark faces lose little while they keep some contrast.
    """
    gray = cv2.cvtColor(np.ascontiguousarray(_part(crop, _FACE)), cv2.COLOR_RGB2GRAY)
    darkest, brightest = np.percentile(gray, [5, 95])
    white = float((gray >= _WHITE).mean())
    return float((1 - _WHITE_LOSS * white) * (1 - np.exp(-(brightest - darkest) / _CONTRAST)))


def hidden_parts(crop: RGBImage) -> tuple[float, float]:
    """Return how surely mouth (mask, scarf, hand) and eyes (dark glasses) of a crop are hidden: 0 (free) .. 1 each."""
    light = max(float(np.median(_lab_of_parts(crop, *_CHEEKS, _FOREHEAD)[:, 0])), 5.0)
    eyes = _lab_of_parts(crop, *_EYES)[:, 0] / light
    eyes_hidden = _between(-float(np.median(eyes)), -0.35, -0.25) * _between(-float(eyes.std()), -0.09, -0.04)
    return hidden_mouth(crop), eyes_hidden


def _lab_of_parts(crop: RGBImage, *parts: tuple[float, float, float, float]) -> FloatArray:
    """Return the pixels of parts of a face as L*a*b* of shape ``(n, 3)``."""
    return lab_of(np.concatenate([_part(crop, part).reshape(-1, 3) for part in parts]))


def _part(crop: RGBImage, part: tuple[float, float, float, float]) -> RGBImage:
    size = crop.shape[0]
    top, bottom, left, right = (round(share * size) for share in part)
    return crop[top:bottom, left:right]


def _between(value: float, none: float, full: float) -> float:
    return float(np.clip((value - none) / (full - none), 0.0, 1.0))


class _MouthModel(NamedTuple):
    weights: FloatArray
    intercept: float
    threshold: float


def hidden_mouth(crop: RGBImage) -> float:
    """Return how surely the mouth is hidden: 0 (free) .. 1; from `NOTICED` on it counts as hidden.

    `crop` is RGB ``uint8`` of shape ``(size, size, 3)``, aligned to ``arcface``.
    """
    model = _mouth_model()
    excess = float(lower_face(crop) @ model.weights) + model.intercept - model.threshold
    return float(np.clip((excess + _BELOW) / (_BELOW + _ABOVE), 0.0, 1.0))


def lower_face(crop: RGBImage) -> FloatArray:
    """Describe the lower half of an aligned face ``(size, size, 3)`` by ``float32`` of shape ``(FEATURES,)``.

    For each cell of a grid: lightness and hue relative to the skin of forehead and upper cheeks, their sizes, the hue
    itself and the unevenness of the lightness; then the histogram of its edges' directions, relative to the edges of
    all cells and to its own (N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR
    2005).
    """
    face = crop if crop.shape[0] == _SIDE else cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.concatenate([*_cell_colors(np.asarray(face, np.uint8)), *_cell_edges(np.asarray(face, np.uint8))])


def provenance() -> str:
    """Return the data and the command that the model of hidden mouths was fitted with."""
    with np.load(NUMBERS, allow_pickle=False) as arrays:
        return str(arrays["provenance"])


def _cell_colors(face: RGBImage) -> list[FloatArray]:
    lab = lab_of(np.asarray(cv2.resize(face, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA), np.uint8))
    skin = np.median(np.concatenate([lab[part].reshape(-1, 3) for part in _BARE_SKIN]), axis=0)
    top, left, side = _TOP // 4, _LEFT // 4, _CELL // 4
    lower = lab[top : top + side * _ROWS, left : left + side * _COLUMNS]
    cells = lower.reshape(_ROWS, side, _COLUMNS, side, 3)
    mean = cells.mean(axis=(1, 3))
    lightness = mean[..., 0] / max(float(skin[0]), _DARKEST) - 1
    hue = (mean[..., 1:] - skin[1:]) / _CHROMA
    unevenness = np.log1p(cells[..., 0].std(axis=(1, 3)))
    parts = [lightness, np.abs(lightness), hue, mean[..., 1:] / _CHROMA, np.hypot(hue[..., 0], hue[..., 1]), unevenness]
    return [part.astype(np.float32).ravel() for part in parts]


def _cell_edges(face: RGBImage) -> list[FloatArray]:
    height, width = _CELL * _ROWS, _CELL * _COLUMNS
    around = face[_TOP - 1 : _TOP + height + 1, _LEFT - 1 : _LEFT + width + 1]
    gray = cv2.cvtColor(
        cv2.copyMakeBorder(around, 0, height + 2 - len(around), 0, 0, cv2.BORDER_REPLICATE), cv2.COLOR_RGB2GRAY
    )
    across, down = (cv2.Sobel(gray, cv2.CV_32F, *order, ksize=3)[1:-1, 1:-1] for order in ((1, 0), (0, 1)))
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
    """Return the cell number of each pixel of the grid."""
    rows, columns = np.arange(_CELL * _ROWS) // _CELL, np.arange(_CELL * _COLUMNS) // _CELL
    return rows[:, None] * _COLUMNS + columns[None, :]


@cache
def _mouth_model() -> _MouthModel:
    with np.load(NUMBERS, allow_pickle=False) as arrays:
        return _MouthModel(arrays["weights"], float(arrays["intercept"]), float(arrays["threshold"]))


def lab_of(pixels: RGBImage) -> FloatArray:
    """Convert sRGB ``uint8`` ``(..., 3)`` to CIE L*a*b*, ``float32`` of the same shape.

    Lightness 0..100, then green to red and blue to yellow, about -128..127. IEC 61966-2-1 (sRGB) and ISO/CIE 11664-4,
    for white D65. OpenCV's conversion spends 80 ms on tables at its first use: as long as finding the faces of a photo.
    """
    xyz = _linear_light()[pixels] @ (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T
    steps = np.where(xyz > _CUBE_ROOT_FROM, np.cbrt(xyz), xyz * np.float32(841 / 108) + np.float32(4 / 29))
    x, y, z = np.moveaxis(steps, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def _linear_light() -> FloatArray:
    """Return the fraction of light of each of the 256 values of a channel."""
    values = np.arange(256) / 255
    light = np.where(values <= _LINEAR_UP_TO, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
