"""How well a face can be recognised, from what the network will see of it.

Each property says how much of a face's likeness to its own person it leaves, as measured on LFW's development people
by ``python -m benchmarks.quality``; the score is their product, from 0 where hardly more is left than strangers share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.types import Detection, Quality
from facebank.vision.colour import lab_of
from facebank.vision.hidden_mouth import NOTICED, hidden_mouth

if TYPE_CHECKING:
    from facebank.types import FloatArray, RGBImage

# The share of a face's detail that blurring leaves: LFW's faces as photographed have 0.13 to 0.21; at 0.29 (24 pixels
# high) a quarter of the likeness is lost, at 0.5 two thirds.
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
# Small faces have lost more than is seen of them once they are enlarged.
_ENOUGH = 30.0

# The detector's score at a second look. Of 87 detections of hands, ears, fabric, coins and the like nine of ten stay
# below 0.7; of usable faces, small, turned, masked and badly lit ones too, one of a hundred does, heavily over-exposed.
_NO_FACE, _FACE_SEEN = 0.60, 0.80

# Parts of an aligned face, in shares of the crop: top, bottom, left, right.
_FACE = (0.18, 0.89, 0.18, 0.82)
_CHEEKS = ((0.52, 0.59, 0.25, 0.375), (0.52, 0.59, 0.625, 0.75))
_FOREHEAD = (0.215, 0.34, 0.36, 0.64)
_EYES = ((0.41, 0.51, 0.25, 0.43), (0.41, 0.51, 0.57, 0.75))


def assess(detection: Detection, crop: RGBImage) -> Quality:
    """Judge one face.

    Parameters
    ----------
    detection
        Where it is in its photo.
    crop
        The aligned face, ``uint8`` of shape ``(size, size, 3)``.

    Returns
    -------
    Quality
        Without stability, for which it has to be embedded again; see `with_stability`.
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
    """Say how much of a face's likeness each weakness leaves.

    Parameters
    ----------
    detection, crop
        As for `assess`.

    Returns
    -------
    dict[str, float]
        By the weakness in words: 1 (none) down to 0.
    """
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
    """Return what the detector's second look leaves, 0.3 (no face) to 1 (a face, or there was no second look)."""
    if detection.second_score is None:
        return 1.0
    return _HOPELESS + (1 - _HOPELESS) * _between(detection.second_score, _NO_FACE, _FACE_SEEN)


def score_of(left: Mapping[str, float]) -> float:
    """Return the score, 0..1, of what `likeness_left` says."""
    likeness = float(np.prod(list(left.values())))
    return float(np.clip((likeness - _HOPELESS) / (1 - _HOPELESS), 0.0, 1.0))


def with_stability(quality: Quality, embedding: FloatArray, others: FloatArray) -> Quality:
    """Judge a face by its embedding too.

    Parameters
    ----------
    quality
        As `assess` gives it.
    embedding
        Of the face, ``(dimension,)``.
    others
        Of the same face mirrored and a little shifted, ``(n, dimension)``, n at least 1; all L2-normalised.

    Returns
    -------
    Quality
        With stability, and the score lowered where the embedding does not stand still.
    """
    stability = float(np.clip((others @ embedding).mean(), -1.0, 1.0))
    share = _between(stability, _UNSTABLE, _STABLE)
    words = (*quality.weaknesses, "embedding unsteady") if stability < _UNSTEADY else quality.weaknesses
    return replace(quality, score=quality.score * share, stability=stability, weaknesses=words)


def sharpness(crop: RGBImage) -> float:
    """Say how sharp a face is, at the resolution of its aligned crop.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(size, size, 3)``.

    Returns
    -------
    float
        0 (blurred) .. 1 (sharp). A blurred picture loses little when it is blurred again, whatever it shows and
        however it is lit.

    Notes
    -----
    F. Crete et al., "The blur effect: perception and estimation with a new no-reference perceptual blur metric",
    SPIE 2007, for the idea; here the spread of the Laplacian after a wide blur is compared with that after a slight
    one, which takes the sensor's noise away.
    """
    margin = crop.shape[0] // 8
    grey = cv2.cvtColor(crop[margin:-margin, margin:-margin], cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = _detail(grey, _FINE)
    if fine < _LEAST_DETAIL:
        return 0.0
    return float(np.clip((_BLURRED - _detail(grey, _COARSE) / fine) / (_BLURRED - _SHARP), 0.0, 1.0))


def _detail(grey: FloatArray, sigma: float) -> float:
    return float(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), sigma), cv2.CV_32F).std())


def frontality(landmarks: FloatArray) -> float:
    """Say how frontal a face is.

    Parameters
    ----------
    landmarks
        ``(5, 2)``.

    Returns
    -------
    float
        1 where the nose lies midway between the eyes and mouth corners, 0 where it reaches out at one side: a profile.
    """
    across = (landmarks[1] + landmarks[4] - landmarks[0] - landmarks[3]) / 2
    width = float(np.linalg.norm(across))
    if width < 1e-6:
        return 0.0
    middle = (landmarks[0] + landmarks[1] + landmarks[3] + landmarks[4]) / 4
    offset = float(np.dot(landmarks[2] - middle, across)) / width**2
    return float(np.clip((_TURN_PROFILE - abs(offset)) / (_TURN_PROFILE - _TURN_FREE), 0.0, 1.0))


def uprightness(landmarks: FloatArray) -> float:
    """Say how much likeness a nodding head leaves: 1 unless the nose lies high between eyes and mouth, at least 0.5."""
    eyes, mouth = (landmarks[0] + landmarks[1]) / 2, (landmarks[3] + landmarks[4]) / 2
    height = float(np.linalg.norm(mouth - eyes))
    if height < 1e-6:
        return 0.5
    nose = float(np.dot(landmarks[2] - eyes, mouth - eyes)) / height**2
    return float(np.clip(1 - _NOD_LOSS * (_NOSE_LOW - nose), 0.5, 1.0))


def exposure(crop: RGBImage) -> float:
    """Say how well a face is lit.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(size, size, 3)``.

    Returns
    -------
    float
        0 (all of it white, or without contrast) .. 1 (well lit). Dark faces lose little while they keep some contrast.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(_part(crop, _FACE)), cv2.COLOR_RGB2GRAY)
    darkest, brightest = np.percentile(grey, [5, 95])
    white = float((grey >= _WHITE).mean())
    return float((1 - _WHITE_LOSS * white) * (1 - np.exp(-(brightest - darkest) / _CONTRAST)))


def hidden_parts(crop: RGBImage) -> tuple[float, float]:
    """Say whether something covers the mouth (a mask, a scarf, a hand) or the eyes (dark glasses).

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(size, size, 3)``.

    Returns
    -------
    tuple[float, float]
        For mouth and eyes: 0 (free) .. 1 (hidden).

    Notes
    -----
    `facebank.vision.hidden_mouth` judges the mouth. Dark glasses are dark and even.
    """
    light = max(float(np.median(_colours(crop, *_CHEEKS, _FOREHEAD)[:, 0])), 5.0)
    eyes = _colours(crop, *_EYES)[:, 0] / light
    eyes_hidden = _between(-float(np.median(eyes)), -0.35, -0.25) * _between(-float(eyes.std()), -0.09, -0.04)
    return hidden_mouth(crop), eyes_hidden


def _colours(crop: RGBImage, *parts: tuple[float, float, float, float]) -> FloatArray:
    """Return the colours of parts of a face, L*a*b* of shape ``(n, 3)``."""
    return lab_of(np.concatenate([_part(crop, part).reshape(-1, 3) for part in parts]))


def _part(crop: RGBImage, part: tuple[float, float, float, float]) -> RGBImage:
    size = crop.shape[0]
    top, bottom, left, right = (round(share * size) for share in part)
    return crop[top:bottom, left:right]


def _between(value: float, none: float, full: float) -> float:
    return float(np.clip((value - none) / (full - none), 0.0, 1.0))
