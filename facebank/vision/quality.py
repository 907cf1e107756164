"""How well a face can be recognised, from what the network will see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.faces import Detection, Quality

if TYPE_CHECKING:
    from facebank.faces import FloatArray, RGBImage

_FULL_SIZE = 112.0
# Relative sharpness of LFW's faces: 0.16 and more as photographed; 0.06 blurred until a face's embedding has lost half
# of its likeness.
_BLURRED, _SHARP = 0.06, 0.16
_NOISE = 4.0


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
        0 (blurred) .. 1 (sharp). The spread of the Laplacian of the face's middle, relative to the spread of its
        brightness, so that a dark or flat photo is not called blurred.

    Notes
    -----
    J. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000 (variance of the Laplacian).
    """
    margin = crop.shape[0] // 8
    grey = cv2.cvtColor(crop[margin:-margin, margin:-margin], cv2.COLOR_RGB2GRAY)
    relative = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / (float(grey.std()) + _NOISE)
    return float(np.clip((relative - _BLURRED) / (_SHARP - _BLURRED), 0.0, 1.0))


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
