"""Landmarks found again on an upright, enlarged cut-out of each face: where an alignment error costs accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.types import Detection
from facebank.vision.alignment import similarity_transform, template_landmarks
from facebank.vision.candidates import Candidates, best_score, voted_landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage
    from facebank.vision.detector import NetworkDetector

# Chosen on LFW's development people (benchmarks/alignment.py): landmarks are steadiest where a face is this large.
_FACE = 256
_WINDOW = 384
_VOTER_SCORE = 0.2
# Faces at a twelfth of the light: scored .5 to .9 at the second look as they are, .88 to .93 lightened.
_BRIGHTEST, _DARK, _LIGHT = 0.98, 48, 160
_BATCH = 8


class LandmarkRefiner:
    """Finds the landmarks of detected faces again, with less noise.

    Each face is cut out upright and enlarged; the detector looks at the cut-out and at its mirror image; all its
    candidates on the face vote, in both. The mean of the two cancels the detector's left-right bias. What is no face is
    scored much lower at this second look, faces are not.

    Parameters
    ----------
    detector
        The detector that found the faces.
    """

    def __init__(self, detector: NetworkDetector) -> None:
        self._detector = detector

    def refine(self, pixels: RGBImage, detections: Sequence[Detection]) -> list[Detection]:
        """Refine landmarks.

        Parameters
        ----------
        pixels
            RGB ``uint8`` of shape ``(height, width, 3)``.
        detections
            Faces of the photo.

        Returns
        -------
        list[Detection]
            The same boxes and scores with better landmarks and a second score; a face that is not found again keeps
            its own landmarks.
        """
        refined: list[Detection] = []
        for start in range(0, len(detections), _BATCH):
            refined += self._refine_batch(pixels, detections[start : start + _BATCH])
        return refined

    def _refine_batch(self, pixels: RGBImage, detections: Sequence[Detection]) -> list[Detection]:
        matrices = [_window_transform(detection.landmarks) for detection in detections]
        windows = np.stack([_lightened(_cut_out(pixels, matrix)) for matrix in matrices])
        proposals = self._detector.propose(np.concatenate([windows, windows[:, :, ::-1]]), _VOTER_SCORE)
        return [
            _with_landmarks(detection, matrix, plain, mirrored.mirrored(_WINDOW))
            for detection, matrix, plain, mirrored in zip(
                detections, matrices, proposals[: len(windows)], proposals[len(windows) :], strict=True
            )
        ]


def _cut_out(pixels: RGBImage, matrix: NDArray[np.float64]) -> RGBImage:
    return np.asarray(cv2.warpAffine(pixels, matrix, (_WINDOW, _WINDOW)), dtype=np.uint8)


def _lightened(window: RGBImage) -> RGBImage:
    """Lighten what is so dark that the detector, which sees the face in it, would hardly see it again."""
    some = window[:: _WINDOW // 48, :: _WINDOW // 48]
    if np.count_nonzero(some >= _DARK) >= (1 - _BRIGHTEST) * some.size:
        return window
    brightest = max(float(np.quantile(some, _BRIGHTEST)), 1.0)
    return np.asarray(cv2.convertScaleAbs(window, alpha=_LIGHT / brightest), dtype=np.uint8)


def _window_transform(landmarks: FloatArray) -> NDArray[np.float64]:
    return similarity_transform(landmarks, template_landmarks("arcface", _FACE) + np.float32((_WINDOW - _FACE) / 2))


def _with_landmarks(
    detection: Detection, matrix: NDArray[np.float64], plain: Candidates, mirrored: Candidates
) -> Detection:
    box = _box_in_window(detection.box, matrix)
    second_score = float(np.mean([best_score(look, box) for look in (plain, mirrored)]))
    votes = [vote for look in (plain, mirrored) if (vote := voted_landmarks(look, box)) is not None]
    if not votes:
        return replace(detection, second_score=second_score)
    back = cv2.invertAffineTransform(matrix)
    landmarks = np.mean(votes, axis=0) @ back[:, :2].T + back[:, 2]
    return Detection(detection.box, landmarks.astype(np.float32), detection.score, second_score)


def _box_in_window(box: FloatArray, matrix: NDArray[np.float64]) -> FloatArray:
    centre = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
    halves = (box[2:] - box[:2]) / 2 * np.hypot(matrix[0, 0], matrix[1, 0])
    return np.concatenate([centre - halves, centre + halves]).astype(np.float32)
