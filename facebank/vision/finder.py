"""Finds faces in a photo of any size and orientation, with refined landmarks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.media import turn_photo, turn_pixels
from facebank.types import Detection
from facebank.vision.alignment import similarity_transform, template_landmarks
from facebank.vision.detector import Candidates, best_score, mean_landmarks
from facebank.vision.multiscale import HintedDetector, MultiScaleDetector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import DetectorSpec
    from facebank.types import DecodedPhoto, FloatArray, RGBImage
    from facebank.vision.detector import NetworkDetector
    from facebank.vision.multiscale import ScaledImages


# Size of a face at which landmarks vary least; chosen on LFW's development people by benchmarks/alignment.py.
_FACE = 256
_WINDOW = 384
_CANDIDATE_SCORE = 0.2  # smallest score of a candidate whose landmarks are averaged
# Detectors score dark faces low: a window whose bright quantile is below _DARK is scaled to _LIGHT at that quantile.
_BRIGHT_QUANTILE, _DARK, _LIGHT = 0.98, 48, 160
_BATCH_SIZE = 8


class LandmarkRefiner:
    """Refines the landmarks of detected faces, and scores each face a second time.

    The detector runs on an upright, enlarged crop of each face and on its mirror image. The refined landmarks are the
    mean of all candidates on the face, and the mirror image cancels the detector's left-right bias. The second score
    separates faces from false detections, which score much lower on the crop.
    """

    def __init__(self, detector: NetworkDetector) -> None:
        self._detector = detector

    def refine(self, pixels: RGBImage, detections: Sequence[Detection]) -> list[Detection]:
        """Return the detections with refined landmarks and a second score; boxes and first scores are unchanged.

        A face that is not found in the crop keeps its landmarks. `pixels` is the photo, RGB ``uint8`` of shape
        ``(height, width, 3)``.
        """
        refined: list[Detection] = []
        for start in range(0, len(detections), _BATCH_SIZE):
            refined += self._refine_batch(pixels, detections[start : start + _BATCH_SIZE])
        return refined

    def _refine_batch(self, pixels: RGBImage, detections: Sequence[Detection]) -> list[Detection]:
        matrices = [_window_transform(detection.landmarks) for detection in detections]
        windows = [_lighten(_crop_window(pixels, matrix)) for matrix in matrices]
        mirrored_windows = [np.asarray(cv2.flip(window, 1), dtype=np.uint8) for window in windows]
        proposals = self._detector.propose(np.stack(windows + mirrored_windows), _CANDIDATE_SCORE)
        return [
            _refine_landmarks(detection, matrix, plain, mirrored.mirror(_WINDOW))
            for detection, matrix, plain, mirrored in zip(
                detections, matrices, proposals[: len(windows)], proposals[len(windows) :], strict=True
            )
        ]


def _crop_window(pixels: RGBImage, matrix: NDArray[np.float64]) -> RGBImage:
    return np.asarray(cv2.warpAffine(pixels, matrix, (_WINDOW, _WINDOW)), dtype=np.uint8)


def _lighten(window: RGBImage) -> RGBImage:
    """Return a window, lightened if it is so dark that the detector might not find its face."""
    sample = window[:: _WINDOW // 48, :: _WINDOW // 48]
    if np.count_nonzero(sample >= _DARK) >= (1 - _BRIGHT_QUANTILE) * sample.size:
        return window
    brightest = max(float(np.quantile(sample, _BRIGHT_QUANTILE)), 1.0)
    return np.asarray(cv2.convertScaleAbs(window, alpha=_LIGHT / brightest), dtype=np.uint8)


def _window_transform(landmarks: FloatArray) -> NDArray[np.float64]:
    return similarity_transform(landmarks, template_landmarks("arcface", _FACE) + np.float32((_WINDOW - _FACE) / 2))


def _refine_landmarks(
    detection: Detection, matrix: NDArray[np.float64], plain: Candidates, mirrored: Candidates
) -> Detection:
    box = _box_in_window(detection.box, matrix)
    second_score = float(np.mean([best_score(candidates, box) for candidates in (plain, mirrored)]))
    means = [mean for candidates in (plain, mirrored) if (mean := mean_landmarks(candidates, box)) is not None]
    if not means:
        return replace(detection, second_score=second_score)
    back = cv2.invertAffineTransform(matrix)
    landmarks = np.mean(means, axis=0) @ back[:, :2].T + back[:, 2]
    return Detection(detection.box, landmarks.astype(np.float32), detection.detection_score, second_score=second_score)


def _box_in_window(box: FloatArray, matrix: NDArray[np.float64]) -> FloatArray:
    center = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
    halves = (box[2:] - box[:2]) / 2 * np.hypot(matrix[0, 0], matrix[1, 0])
    return np.concatenate([center - halves, center + halves]).astype(np.float32)


# Both chosen on development people by benchmarks/orientation.py: the fraction of the size at which turned photos are
# searched, and the power of the scores in the evidence for an orientation.
_TURNED_FRACTION = 0.5
_POWER = 3
_CLEAR_GAIN = 1.15  # smallest ratio of the evidence for a turn to that for the photo as it is


class FaceFinder:
    """Finds faces of every size in a photo, with refined landmarks.

    Parameters
    ----------
    multiscale
        Finds the faces of a photo, at several scales.
    refiner
        Refines their landmarks; None to keep the detector's.
    upright_score
        A detection score that only upright faces reach, 0..1.
    min_score
        The smallest detection score of a face, 0..1.
    """

    def __init__(
        self,
        multiscale: MultiScaleDetector,
        refiner: LandmarkRefiner | None = None,
        upright_score: float = 0.8,
        min_score: float = 0.5,
    ) -> None:
        self._multiscale = multiscale
        self._refiner = refiner
        self._upright_score = upright_score
        self._min_score = min_score

    @classmethod
    def from_spec(cls, detector: NetworkDetector, spec: DetectorSpec) -> FaceFinder:
        """Return a finder with a pack's detector, configured by its manifest."""
        multiscale = (
            MultiScaleDetector(detector) if spec.hint_score is None else HintedDetector(detector, spec.hint_score)
        )
        return cls(
            multiscale, LandmarkRefiner(detector) if spec.refine else None, spec.upright_score, spec.score_threshold
        )

    def find(self, pixels: RGBImage) -> list[Detection]:
        """Return the faces of an RGB ``uint8`` photo ``(height, width, 3)``, largest first, in pixels of the photo."""
        return self._refine(pixels, self._detect(pixels))

    def find_upright(self, photo: DecodedPhoto) -> tuple[DecodedPhoto, int, list[Detection]]:
        """Return a photo turned to make its faces upright, the number of quarter turns, and the faces.

        Only a photo without an orientation in its metadata is turned, and only if its faces together score clearly
        higher in another orientation. Detectors also find faces lying on their side, with wrong landmarks and a lower
        score.

        Returns
        -------
        tuple[DecodedPhoto, int, list[Detection]]
            The photo, turned counter-clockwise by that many quarter turns, and its faces, largest first.
        """
        detections = self._detect(photo.pixels)
        if not photo.has_orientation and _best_score(detections) < self._upright_score:
            turns = self._likely_turns(photo.pixels, detections)
            if turns:
                turned = turn_photo(photo, turns)
                turned_detections = self._detect(turned.pixels)
                if self._evidence(turned_detections) > _CLEAR_GAIN * self._evidence(detections):
                    return turned, turns, self._refine(turned.pixels, turned_detections)
        return photo, 0, self._refine(photo.pixels, detections)

    def _likely_turns(self, pixels: RGBImage, detections: Sequence[Detection]) -> int:
        """Return the number of quarter turns with the most evidence.

        The photo is searched at full size if no face is found in any orientation at half its size.
        """
        evidence = self._evidence_of_turns(self._multiscale.scaled_images(pixels, _TURNED_FRACTION), range(4))
        if detections and not any(evidence):
            images = self._multiscale.scaled_images(pixels)
            evidence = [self._evidence(detections), *self._evidence_of_turns(images, range(1, 4))]
        return evidence.index(max(evidence))

    def _evidence_of_turns(self, images: ScaledImages, turns: Iterable[int]) -> list[float]:
        return [
            self._evidence(self._multiscale.faces((scale, turn_pixels(image, turn)) for scale, image in images))
            for turn in turns
        ]

    def _evidence(self, detections: Sequence[Detection]) -> float:
        """Return the evidence for an orientation of the photo, from the scores of the faces found in it."""
        return math.fsum(max(0.0, detection.detection_score - self._min_score) ** _POWER for detection in detections)

    def _detect(self, pixels: RGBImage) -> list[Detection]:
        return self._multiscale.faces(self._multiscale.scaled_images(pixels))

    def _refine(self, pixels: RGBImage, detections: list[Detection]) -> list[Detection]:
        if self._refiner is not None:
            detections = self._refiner.refine(pixels, detections)
        return sorted(detections, key=lambda detection: -detection.size)


def _best_score(detections: Sequence[Detection]) -> float:
    return max((detection.detection_score for detection in detections), default=0.0)
