"""Faces in a photo of any size and orientation, with refined landmarks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facebank.media import turn_photo
from facebank.types import Detection
from facebank.vision.alignment import similarity_transform, template_landmarks
from facebank.vision.detector import Candidates, best_score, voted_landmarks
from facebank.vision.looks import HintedLooks, WholeLooks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import DetectorSpec
    from facebank.types import DecodedPhoto, FloatArray, RGBImage
    from facebank.vision.detector import NetworkDetector
    from facebank.vision.looks import Pictures


# Chosen on LFW's development people (benchmarks/alignment.py): landmarks are steadiest where a face is this large.
_FACE = 256
_WINDOW = 384
_VOTER_SCORE = 0.2
# Faces at a twelfth of the light score .5 to .9 on the cut-out as they are, .88 to .93 lightened.
_BRIGHTEST, _DARK, _LIGHT = 0.98, 48, 160
_BATCH = 8


class LandmarkRefiner:
    """Finds the landmarks of detected faces again, with less noise, and scores each face a second time.

    Each face is cut out upright and enlarged, and the detector runs on the cut-out and its mirror image; all candidates
    on the face vote in both. The mean of the two cancels the detector's left-right bias. Things that are no face score
    much lower this time; faces do not.
    """

    def __init__(self, detector: NetworkDetector) -> None:
        self._detector = detector

    def refine(self, pixels: RGBImage, detections: Sequence[Detection]) -> list[Detection]:
        """Return the detections with refined landmarks and a second score, boxes and scores unchanged.

        A face that is not found again keeps its own landmarks. `pixels` is the photo, RGB ``uint8`` of shape ``(height,
        width, 3)``.
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
    """Lighten a window that is so dark that the detector would hardly find its face again."""
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
    return Detection(detection.box, landmarks.astype(np.float32), detection.detection_score, second_score=second_score)


def _box_in_window(box: FloatArray, matrix: NDArray[np.float64]) -> FloatArray:
    center = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
    halves = (box[2:] - box[:2]) / 2 * np.hypot(matrix[0, 0], matrix[1, 0])
    return np.concatenate([center - halves, center + halves]).astype(np.float32)


# Half the size shows which side is up: of 172 photos turned all four ways SCRFD mistook 2 sides, not 5.
_TURNED_FRACTION = 0.5
# Every face counts for a side, a well-scored one much more: chosen on development people by benchmarks/orientation.py.
_POWER = 3
_CLEAR_GAIN = 1.15


class FaceFinder:
    """Finds faces of every size in a photo, with refined landmarks.

    Parameters
    ----------
    looks
        Finds faces in one photo, at several scales.
    refiner
        Finds their landmarks again; None to keep the detector's.
    upright_score
        The score that the detector gives to upright faces only, 0..1.
    least_score
        The score from which the detector calls something a face, 0..1.
    """

    def __init__(
        self,
        looks: WholeLooks,
        refiner: LandmarkRefiner | None = None,
        upright_score: float = 0.8,
        least_score: float = 0.5,
    ) -> None:
        self._looks = looks
        self._refiner = refiner
        self._upright_score = upright_score
        self._least_score = least_score

    @classmethod
    def from_spec(cls, detector: NetworkDetector, spec: DetectorSpec) -> FaceFinder:
        """Use a pack's detector as its manifest says."""
        looks = WholeLooks(detector) if spec.hint_score is None else HintedLooks(detector, spec.hint_score)
        return cls(looks, LandmarkRefiner(detector) if spec.refine else None, spec.upright_score, spec.score_threshold)

    def find(self, pixels: RGBImage) -> list[Detection]:
        """Find faces in RGB ``uint8`` of shape ``(height, width, 3)``; largest first, in pixels of the photo."""
        return self._refined(pixels, self._found(pixels))

    def find_upright(self, photo: DecodedPhoto) -> tuple[DecodedPhoto, int, list[Detection]]:
        """Find faces, first turning a photo without a stated orientation until its faces are upright.

        Detectors also find faces that lie on their side, with wrong landmarks and a lower score. A photo is turned only
        where its faces, taken together, score clearly higher on another side.

        Returns
        -------
        tuple[Photo, int, list[Detection]]
            The photo, turned counter-clockwise by that many quarters, and its faces, largest first.
        """
        found = self._found(photo.pixels)
        if not photo.has_orientation and _best_score(found) < self._upright_score:
            turns = self._likely_turns(photo.pixels, found)
            if turns:
                turned = turn_photo(photo, turns)
                found_turned = self._found(turned.pixels)
                if self._evidence(found_turned) > _CLEAR_GAIN * self._evidence(found):
                    return turned, turns, self._refined(turned.pixels, found_turned)
        return photo, 0, self._refined(photo.pixels, found)

    def _likely_turns(self, pixels: RGBImage, found: Sequence[Detection]) -> int:
        """Return the quarter turns with the most evidence.

        Uses the whole size where half of it shows no face on any side but the whole size does.
        """
        evidence = self._evidence_of_turns(self._looks.pictures(pixels, _TURNED_FRACTION), range(4))
        if found and not any(evidence):
            evidence = [self._evidence(found), *self._evidence_of_turns(self._looks.pictures(pixels), range(1, 4))]
        return evidence.index(max(evidence))

    def _evidence_of_turns(self, pictures: Pictures, turns: Iterable[int]) -> list[float]:
        return [
            self._evidence(
                self._looks.faces((scale, np.ascontiguousarray(np.rot90(picture, turn))) for scale, picture in pictures)
            )
            for turn in turns
        ]

    def _evidence(self, detections: Sequence[Detection]) -> float:
        """Return the evidence for the side on which these faces were found."""
        return math.fsum(max(0.0, detection.detection_score - self._least_score) ** _POWER for detection in detections)

    def _found(self, pixels: RGBImage) -> list[Detection]:
        return self._looks.faces(self._looks.pictures(pixels))

    def _refined(self, pixels: RGBImage, found: list[Detection]) -> list[Detection]:
        if self._refiner is not None:
            found = self._refiner.refine(pixels, found)
        return sorted(found, key=lambda detection: -detection.size)


def _best_score(detections: Sequence[Detection]) -> float:
    return max((detection.detection_score for detection in detections), default=0.0)
