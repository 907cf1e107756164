"""How well a face can be recognised, from what the network will see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.faces import Detection, Quality

if TYPE_CHECKING:
    from facebank.faces import FloatArray, RGBImage

_FULL_SIZE = 112.0
# The share of a face's detail that blurring leaves: LFW's faces as photographed have 0.18 to 0.29; at 0.46 half of them
# have lost a fifth of their embedding's likeness, at 0.49 a half.
_SHARP, _BLURRED = 0.28, 0.48
_FINE, _COARSE = 1.0, 3.0
_LEAST_DETAIL = 0.3


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
        Its score is the product of sharpness, frontality and size, each 0..1: one bad property is enough to make
        a face hard to recognise.
    """
    sharp, frontal = sharpness(crop), frontality(detection.landmarks)
    enough = min(1.0, detection.size / _FULL_SIZE)
    return Quality(score=sharp * frontal * enough**0.5, size=detection.size, sharpness=sharp, frontality=frontal)


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
        1 where the nose lies midway between the eyes and mouth corners, 0 where it reaches one side: a profile.
    """
    across = (landmarks[1] + landmarks[4] - landmarks[0] - landmarks[3]) / 2
    width = float(np.linalg.norm(across))
    if width < 1e-6:
        return 0.0
    middle = (landmarks[0] + landmarks[1] + landmarks[3] + landmarks[4]) / 4
    offset = float(np.dot(landmarks[2] - middle, across)) / width**2
    return float(np.clip(1.0 - 2.0 * max(0.0, abs(offset) - 0.05), 0.0, 1.0))
