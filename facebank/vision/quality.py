"""Quality of a face: a prediction of how well it can be recognized.

Each property is the fraction of a face's similarity to its own person that remains with a weakness, as measured on
LFW's development people by ``python -m benchmarks.quality``. The score is their product, scaled so that 0 is about the
similarity of strangers. A linear model of the lower half of the aligned face (its colors relative to the skin above,
and its edges) decides whether the mouth is hidden; ``python -m benchmarks.real_masks`` fitted it to drawn and real
masks and to unmasked faces.
"""

from __future__ import annotations

import math
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

MODEL_PATH = Path(__file__).with_name("hidden_mouth.npz")
"""Path of the hidden-mouth model in the package."""

HIDDEN_MOUTH = 2 / 3
"""Smallest result of `hidden_mouth` for a hidden mouth."""

FEATURES = 1600
"""Number of features that `lower_face` returns."""

_SIDE = 112
_SMALL = _SIDE // 4
_ROWS, _COLUMNS, _DIRECTIONS = 8, 10, 6
_TOP, _LEFT, _CELL = 48, 16, 8  # the grid of cells from lower eyelids to chin, in pixels of a 112 x 112 crop
_BARE_SKIN = (slice(6, 10), slice(10, 18)), (slice(14, 16), slice(7, 21))  # forehead and upper cheeks
_MIN_LIGHTNESS, _CHROMA = 10.0, 20.0  # in L*a*b*: smallest lightness of skin that is divided by, and unit of hue
_BELOW, _ABOVE = 2.0, 1.0  # distances of the score from the threshold at which the result reaches 0 and 1

# Fraction of a face's detail that remains after a second blur.
_SHARP, _BLURRED = 0.20, 0.70
_FINE, _COARSE = 1.5, 5.0  # standard deviations of the two blurs, in pixels
_MIN_DETAIL = 0.1
# Turned heads keep their similarity until the nose is near the side of the face; nodding heads lose some at once.
_TURN_FREE, _TURN_PROFILE = 0.05, 0.85
_TURNED_KEEP, _TURN_LOSS = 0.7, 0.5
_NOSE_LOW, _NOD_LOSS = 0.52, 2.5
_WHITE, _WHITE_LOSS = 250, 0.75
_CONTRAST = 7.5  # range of gray values at which a face keeps 63 % of its similarity
_EYES_LOSS = 0.35
_STABLE, _UNSTABLE, _UNSTEADY = 0.97, 0.77, 0.93  # the last is the threshold of the weakness "embedding unsteady"
_STRANGERS = 0.3  # similarity of strangers, relative to that of a face to its own person
_WEAK = 0.9
_MOUTH_LOSS = (1 - _WEAK) / HIDDEN_MOUTH  # a mouth that counts as hidden is a weakness
_FULL_SIZE = 30.0  # smallest size of a face that keeps its similarity, in pixels

# Range of the detector's second score that separates hands, ears and coins from faces.
_NO_FACE, _FACE_SEEN = 0.60, 0.80

# Parts of an aligned face, as fractions of the crop: top, bottom, left, right.
_FACE = (0.18, 0.89, 0.18, 0.82)
_CHEEKS = ((0.52, 0.59, 0.25, 0.375), (0.52, 0.59, 0.625, 0.75))
_FOREHEAD = (0.215, 0.34, 0.36, 0.64)
_EYES = ((0.41, 0.51, 0.25, 0.43), (0.41, 0.51, 0.57, 0.75))
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], dtype=np.float32)
_TO_RELATIVE_XYZ = (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T
_LINEAR_UP_TO, _CUBE_ROOT_FROM = 0.04045, (6 / 29) ** 3


def assess(detection: Detection, crop: RGBImage) -> Quality:
    """Return the quality of a face, without stability, which needs more embeddings (see `add_stability`).

    Parameters
    ----------
    detection
        The face in its photo.
    crop
        The aligned face, ``uint8`` of shape ``(size, size, 3)``.
    """
    remaining = remaining_similarity(detection, crop)
    weaknesses = sorted((name for name in remaining if remaining[name] < _WEAK), key=remaining.__getitem__)
    return Quality(
        score=quality_score(remaining),
        size=detection.size,
        sharpness=remaining["blurred"],
        frontality=frontality(detection.landmarks),
        exposure=remaining["badly lit"],
        occlusion=1 - remaining["mouth hidden"] * remaining["eyes hidden"],
        weaknesses=tuple(weaknesses),
    )


def remaining_similarity(detection: Detection, crop: RGBImage) -> dict[str, float]:
    """Return the fraction of a face's similarity that remains, by name of the weakness: 1 (no weakness) to 0.

    Parameters are those of `assess`.
    """
    mouth, eyes = hidden_parts(crop)
    return {
        "hardly a face": plausibility(detection),
        "small": _clip(detection.size / _FULL_SIZE, 0.0, 1.0) ** 0.5,
        "blurred": sharpness(crop),
        "turned away": min(1.0, _TURNED_KEEP + _TURN_LOSS * frontality(detection.landmarks)),
        "looking down": uprightness(detection.landmarks),
        "badly lit": exposure(crop),
        "mouth hidden": 1 - _MOUTH_LOSS * mouth,
        "eyes hidden": 1 - _EYES_LOSS * eyes,
    }


def plausibility(detection: Detection) -> float:
    """Return the plausibility by the detector's second score: 0.3 (no face) to 1 (a face, or no second score)."""
    if detection.second_score is None:
        return 1.0
    return _STRANGERS + (1 - _STRANGERS) * _ramp(detection.second_score, _NO_FACE, _FACE_SEEN)


def quality_score(remaining: Mapping[str, float]) -> float:
    """Return the score, 0..1, of the result of `remaining_similarity`."""
    similarity = float(np.prod(list(remaining.values())))
    return _clip((similarity - _STRANGERS) / (1 - _STRANGERS), 0.0, 1.0)


def add_stability(quality: Quality, embedding: FloatArray, variants: FloatArray) -> Quality:
    """Return a quality with stability, and with a lower score if the embedding is unstable.

    Parameters
    ----------
    quality
        The result of `assess`.
    embedding
        The face's embedding, ``(dimension,)``.
    variants
        Embeddings of the face mirrored and slightly moved, ``(n, dimension)`` with n >= 1; all L2-normalized.
    """
    stability = _clip((variants @ embedding).mean(), -1.0, 1.0)
    fraction = _ramp(stability, _UNSTABLE, _STABLE)
    weaknesses = (*quality.weaknesses, "embedding unsteady") if stability < _UNSTEADY else quality.weaknesses
    return replace(quality, score=quality.score * fraction, stability=stability, weaknesses=weaknesses)


def sharpness(crop: RGBImage) -> float:
    """Return the sharpness of a crop ``(size, size, 3)`` at its resolution: 0 (blurred) to 1 (sharp).

    A blurred image changes little when it is blurred again, independent of content and light. Therefore the standard
    deviation of the Laplacian after a strong blur is compared with that after a slight one, which removes sensor noise.
    Source: F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur
    metric", SPIE 2007.
    """
    margin = crop.shape[0] // 8
    gray = cv2.cvtColor(crop[margin:-margin, margin:-margin], cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = _detail(gray, _FINE)
    if fine < _MIN_DETAIL:
        return 0.0
    return _clip((_BLURRED - _detail(gray, _COARSE) / fine) / (_BLURRED - _SHARP), 0.0, 1.0)


def _detail(gray: FloatArray, sigma: float) -> float:
    return float(cv2.Laplacian(cv2.GaussianBlur(gray, (0, 0), sigma), cv2.CV_32F).std())


def frontality(landmarks: FloatArray) -> float:
    """Return the frontality of a face with landmarks ``(5, 2)``: 1 (frontal) to 0 (profile).

    It decreases with the distance of the nose from the middle of eyes and mouth corners.
    """
    across = (landmarks[1] + landmarks[4] - landmarks[0] - landmarks[3]) / 2
    width = float(np.linalg.norm(across))
    if width < 1e-6:
        return 0.0
    middle = (landmarks[0] + landmarks[1] + landmarks[3] + landmarks[4]) / 4
    offset = float(np.dot(landmarks[2] - middle, across)) / width**2
    return _clip((_TURN_PROFILE - abs(offset)) / (_TURN_PROFILE - _TURN_FREE), 0.0, 1.0)


def uprightness(landmarks: FloatArray) -> float:
    """Return the fraction of similarity that a nodding head keeps, 0.5..1, from its landmarks ``(5, 2)``.

    It decreases as the nose moves up between eyes and mouth.
    """
    eyes, mouth = (landmarks[0] + landmarks[1]) / 2, (landmarks[3] + landmarks[4]) / 2
    height = float(np.linalg.norm(mouth - eyes))
    if height < 1e-6:
        return 0.5
    nose = float(np.dot(landmarks[2] - eyes, mouth - eyes)) / height**2
    return _clip(1 - _NOD_LOSS * (_NOSE_LOW - nose), 0.5, 1.0)


def exposure(crop: RGBImage) -> float:
    """Return the quality of the light in a crop ``(size, size, 3)``: 0 (all white, or without contrast) to 1.

    A dark face loses little as long as it has some contrast.
    """
    gray = cv2.cvtColor(np.ascontiguousarray(_part(crop, _FACE)), cv2.COLOR_RGB2GRAY)
    ordered = np.sort(np.asarray(gray, np.uint8), axis=None, kind="stable")  # a radix sort
    darkest, brightest = (_percentile(ordered, percent) for percent in (5, 95))
    white = float((gray >= _WHITE).mean())
    return float((1 - _WHITE_LOSS * white) * (1 - np.exp(-(brightest - darkest) / _CONTRAST)))


def _percentile(ordered: NDArray[np.uint8], percent: int) -> float:
    """Return a percentile of sorted values, with linear interpolation; faster than np.percentile."""
    position = (len(ordered) - 1) * (percent / 100)
    below, above = (float(ordered[rounded]) for rounded in (math.floor(position), math.ceil(position)))
    return below + (above - below) * (position % 1)


def _median(values: FloatArray) -> FloatArray:
    """Return the median along the first axis; faster than np.median."""
    ordered = np.sort(values, axis=0)
    return np.asarray((ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2)


def hidden_parts(crop: RGBImage) -> tuple[float, float]:
    """Return scores of a hidden mouth (mask, scarf, hand) and of hidden eyes (dark glasses): 0 (free) to 1 each.

    `crop` is RGB ``uint8`` of shape ``(size, size, 3)``, aligned to ``arcface``.
    """
    light = max(float(_median(_lightness_of_parts(crop, *_CHEEKS, _FOREHEAD))), 5.0)
    eyes = _lightness_of_parts(crop, *_EYES) / light
    eyes_hidden = _ramp(-float(_median(eyes)), -0.35, -0.25) * _ramp(-float(eyes.std()), -0.09, -0.04)
    return hidden_mouth(crop), eyes_hidden


def _lightness_of_parts(crop: RGBImage, *parts: tuple[float, float, float, float]) -> FloatArray:
    """Return the lightness L* of the pixels in parts of a face, ``float32`` of shape ``(n,)``."""
    pixels = np.concatenate([_part(crop, part).reshape(-1, 3) for part in parts])
    return np.asarray(116 * _lab_steps(_linear_light()[pixels] @ _TO_RELATIVE_XYZ[:, 1]) - 16)


def _part(crop: RGBImage, part: tuple[float, float, float, float]) -> RGBImage:
    size = crop.shape[0]
    top, bottom, left, right = (round(fraction * size) for fraction in part)
    return crop[top:bottom, left:right]


def _clip(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)  # faster than np.clip for one number


def _ramp(value: float, start: float, end: float) -> float:
    return _clip((value - start) / (end - start), 0.0, 1.0)


class _MouthModel(NamedTuple):
    weights: FloatArray
    intercept: float
    threshold: float


def hidden_mouth(crop: RGBImage) -> float:
    """Return the score of a hidden mouth: 0 (free) to 1; from `HIDDEN_MOUTH` on, it counts as hidden.

    `crop` is RGB ``uint8`` of shape ``(size, size, 3)``, aligned to ``arcface``.
    """
    model = _mouth_model()
    excess = float(lower_face(crop) @ model.weights) + model.intercept - model.threshold
    return _clip((excess + _BELOW) / (_BELOW + _ABOVE), 0.0, 1.0)


def lower_face(crop: RGBImage) -> FloatArray:
    """Return features of the lower half of an aligned face ``(size, size, 3)``: ``float32`` of shape ``(FEATURES,)``.

    For each cell of a grid: lightness and hue relative to the skin of forehead and upper cheeks, their magnitudes, the
    hue, and the unevenness of the lightness; then the histogram of edge directions, normalized by the edges of all
    cells and by its own (N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005).
    """
    face = crop if crop.shape[0] == _SIDE else cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.concatenate([*_cell_colors(np.asarray(face, np.uint8)), *_cell_edges(np.asarray(face, np.uint8))])


def provenance() -> str:
    """Return the data and the command with which the hidden-mouth model was fitted."""
    with np.load(MODEL_PATH, allow_pickle=False) as arrays:
        return str(arrays["provenance"])


def _cell_colors(face: RGBImage) -> list[FloatArray]:
    lab = rgb_to_lab(np.asarray(cv2.resize(face, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA), np.uint8))
    skin = _median(np.concatenate([lab[part].reshape(-1, 3) for part in _BARE_SKIN]))
    top, left, side = _TOP // 4, _LEFT // 4, _CELL // 4
    lower = lab[top : top + side * _ROWS, left : left + side * _COLUMNS]
    cells = lower.reshape(_ROWS, side, _COLUMNS, side, 3)
    mean = cells.mean(axis=(1, 3))
    lightness = mean[..., 0] / max(float(skin[0]), _MIN_LIGHTNESS) - 1
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
    across, down = (
        np.asarray(cv2.Sobel(gray, cv2.CV_32F, *order, ksize=3)[1:-1, 1:-1], np.float32) for order in ((1, 0), (0, 1))
    )
    strength = np.asarray(cv2.magnitude(across, down), np.float32)
    sums = np.bincount(
        (_cell_numbers() * _DIRECTIONS + direction_numbers(across, down)).ravel(),
        strength.ravel(),
        _ROWS * _COLUMNS * _DIRECTIONS,
    )
    histograms = sums.reshape(-1, _DIRECTIONS)
    norms = np.linalg.norm(histograms, axis=1, keepdims=True)
    overall = np.sqrt(histograms / (strength.mean() * _CELL**2 + 1e-3))
    own = histograms / (norms + 0.3 * norms.mean() + 1)
    return [part.astype(np.float32).ravel() for part in (overall, own)]


def direction_numbers(across: FloatArray, down: FloatArray) -> NDArray[np.int64]:
    """Return the number of each gradient's direction, 0..5 for half a turn: ``int64`` of the shape of both parameters.

    Opposite gradients have the same direction. Faster than an arctangent.
    """
    sign = np.where((down < 0) | ((down == 0) & (across < 0)), np.float32(-1), np.float32(1))
    x, y = across * sign, down * sign  # an angle from 0 to below half a turn
    numbers = np.zeros(x.shape, dtype=np.int64)
    for angle in np.arange(1, _DIRECTIONS) * (np.pi / _DIRECTIONS):
        numbers += y * np.float32(np.cos(angle)) >= x * np.float32(np.sin(angle))
    return numbers


@cache
def _cell_numbers() -> NDArray[np.int64]:
    """Return the cell number of each pixel of the grid."""
    rows, columns = np.arange(_CELL * _ROWS) // _CELL, np.arange(_CELL * _COLUMNS) // _CELL
    return rows[:, None] * _COLUMNS + columns[None, :]


@cache
def _mouth_model() -> _MouthModel:
    with np.load(MODEL_PATH, allow_pickle=False) as arrays:
        return _MouthModel(arrays["weights"], float(arrays["intercept"]), float(arrays["threshold"]))


def rgb_to_lab(pixels: RGBImage) -> FloatArray:
    """Return sRGB pixels ``(..., 3)``, ``uint8``, in CIE L*a*b*: ``float32`` of the same shape.

    The channels are lightness (0..100), green to red, and blue to yellow (about -128..127). Sources: IEC 61966-2-1
    (sRGB) and ISO/CIE 11664-4, for white D65. OpenCV's conversion takes 80 ms at its first use to build tables.
    """
    steps = _lab_steps(_linear_light()[pixels] @ _TO_RELATIVE_XYZ)
    x, y, z = (steps[..., axis] for axis in range(3))
    lab: FloatArray = np.empty_like(steps)
    lab[..., 0], lab[..., 1], lab[..., 2] = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return lab


def _lab_steps(xyz: FloatArray) -> FloatArray:
    """Return the function of ISO/CIE 11664-4 that compresses relative X, Y or Z: a cube root, linear near 0."""
    return np.where(xyz > _CUBE_ROOT_FROM, np.cbrt(xyz), xyz * np.float32(841 / 108) + np.float32(4 / 29))


@cache
def _linear_light() -> FloatArray:
    """Return the linear light, 0..1, of the 256 values of an sRGB channel."""
    values = np.arange(256) / 255
    light = np.where(values <= _LINEAR_UP_TO, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
