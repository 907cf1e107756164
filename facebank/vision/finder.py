"""Faces in a photo of any size and any orientation, from a detector that sees one picture at one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from facebank.media import turn_photo
from facebank.types import Detection
from facebank.vision.geometry import inside, resize

if TYPE_CHECKING:
    from typing import TypeAlias

    from facebank.types import Photo, RGBImage
    from facebank.vision.detector import Detector
    from facebank.vision.refinement import LandmarkRefiner

    Looks: TypeAlias = list[tuple[float, RGBImage]]

# Faces of any share of the photo are found at 640 pixels; small ones in large photos need a second, larger look.
_FIRST_SIDE = 640
_SECOND_SIDE = 1920
_MAX_ENLARGEMENT = 2.0
# Which side is up shows at half the size as well: of 172 photos turned all four ways SCRFD mistook 2 sides, not 5.
_TURNED_SHARE = 0.5
# Every face counts for a side, a well-scored one much more: chosen on development people by benchmarks/orientation.py.
# With the best face alone a group stood on its head because of one part of the background.
_POWER = 3
_CLEAR_GAIN = 1.15
_PART = 0.6


class FaceFinder:
    """Chooses the scales at which a detector looks at a photo, joins what it finds and refines the landmarks.

    Parameters
    ----------
    detector
        Finds faces in one picture at the scale given.
    refiner
        Finds their landmarks again; None to keep the detector's.
    upright_score
        The score that the detector gives to upright faces only, 0..1.
    choose_scales
        Says for a photo's longer side in pixels at which scales to look at it, smallest first.
    least_score
        The score from which the detector calls something a face, 0..1.
    """

    def __init__(
        self,
        detector: Detector,
        refiner: LandmarkRefiner | None = None,
        upright_score: float = 0.8,
        choose_scales: Callable[[int], list[float]] | None = None,
        least_score: float = 0.5,
    ) -> None:
        self._detector = detector
        self._refiner = refiner
        self._upright_score = upright_score
        self._least_score = least_score
        self._scales = choose_scales or scales

    def find(self, pixels: RGBImage) -> list[Detection]:
        """Find faces of every size.

        Parameters
        ----------
        pixels
            RGB ``uint8`` of shape ``(height, width, 3)``.

        Returns
        -------
        list[Detection]
            Largest first, in pixels of the photo.
        """
        return self._refined(pixels, self._found(pixels))

    def find_upright(self, photo: Photo) -> tuple[Photo, int, list[Detection]]:
        """Find faces, turning a photo that does not say which side is up until its faces are upright.

        Detectors find faces that lie on their side too, with wrong landmarks and a lower score. A photo is turned only
        where its faces, all of them together, score clearly higher on another side than as the photo is.

        Parameters
        ----------
        photo
            The photo as read.

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
        """Look at the photo on each of its sides; return the quarter turns that most speaks for.

        Where half the size shows no face on any side but the whole size does, the whole size is looked at.
        """
        evidence = self._evidence_of_turns(self._looks(pixels, _TURNED_SHARE), range(4))
        if found and not any(evidence):
            evidence = [self._evidence(found), *self._evidence_of_turns(self._looks(pixels), range(1, 4))]
        return evidence.index(max(evidence))

    def _evidence_of_turns(self, looks: Looks, turns: Iterable[int]) -> list[float]:
        return [
            self._evidence(
                self._joined_looks((scale, np.ascontiguousarray(np.rot90(picture, turn))) for scale, picture in looks)
            )
            for turn in turns
        ]

    def _evidence(self, detections: Sequence[Detection]) -> float:
        """Say how much speaks for the side on which these faces were found."""
        return math.fsum(max(0.0, detection.score - self._least_score) ** _POWER for detection in detections)

    def _found(self, pixels: RGBImage) -> list[Detection]:
        """Find faces of every size, with the detector's own landmarks."""
        return self._joined_looks(self._looks(pixels))

    def _joined_looks(self, looks: Iterable[tuple[float, RGBImage]]) -> list[Detection]:
        found: list[Detection] = []
        for scale, picture in looks:
            found = _joined(found, [_unscaled(detection, scale) for detection in self._detector.detect(picture)])
        return found

    def _refined(self, pixels: RGBImage, found: list[Detection]) -> list[Detection]:
        if self._refiner is not None:
            found = self._refiner.refine(pixels, found)
        return sorted(found, key=lambda detection: -detection.size)

    def _looks(self, pixels: RGBImage, share: float = 1.0) -> Looks:
        """Return the scales, smallest first, with the photo at that share of each."""
        looks: Looks = []
        source = pixels
        for scale in reversed(self._scales(max(pixels.shape[:2]))):
            height, width = (max(1, round(side * scale * share)) for side in pixels.shape[:2])
            source = resize(source, width, height)
            looks.append((scale, source))
        return looks[::-1]


def scales(side: int) -> list[float]:
    """Choose the scales at which to look at a photo.

    Parameters
    ----------
    side
        The photo's longer side in pixels.

    Returns
    -------
    list[float]
        One scale for small photos, two for large ones.
    """
    first = min(_FIRST_SIDE / side, _MAX_ENLARGEMENT)
    second = min(_SECOND_SIDE / side, 1.0)
    return [first, second] if second > 1.5 * first else [first]


def _unscaled(detection: Detection, scale: float) -> Detection:
    """Carry a detection from a resized picture into the original; pixel centres lie at half pixels in both."""
    return Detection(
        ((detection.box + 0.5) / scale - 0.5).astype(np.float32),
        ((detection.landmarks + 0.5) / scale - 0.5).astype(np.float32),
        detection.score,
        detection.second_score,
    )


def _joined(known: list[Detection], new: list[Detection]) -> list[Detection]:
    """Add what an earlier look did not find: no face twice, no part of a face."""
    if not known:
        return new
    boxes = np.stack([detection.box for detection in known])
    return known + [detection for detection in new if inside(detection.box, boxes).max() <= _PART]


def _best_score(detections: Sequence[Detection]) -> float:
    return max((detection.score for detection in detections), default=0.0)
