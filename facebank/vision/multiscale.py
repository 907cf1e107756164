"""Detection at several scales: the whole photo at a small one, then small faces at a larger one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from facebank.storage.arrays import contained
from facebank.types import Detection
from facebank.vision.detector import Candidates, concatenated
from facebank.vision.geometry import resize

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage
    from facebank.vision.detector import Detector, NetworkDetector

    Pictures: TypeAlias = list[tuple[float, RGBImage]]
    """Pairs of a scale, smallest first, and the photo at that scale or at a fraction of it."""

# 640 pixels suffice for large faces; small faces in large photos need a second, larger scale.
_FIRST_SIDE = 640
_LAST_SIDE = 1920
_MAX_ENLARGEMENT = 2.0
_LEAST_STEP = 1.5  # smallest ratio of the last scale to the first

# All numbers below were chosen for both detectors on development people by python -m benchmarks.small_faces.
# Hints are complete if the last scale is at most 2.2 times the one before; otherwise a scale is inserted.
_HINTS_UP_TO, _BETWEEN = 2.2, 1.8
# In pixels at the last scale: the largest hint, as larger faces were found before, and the largest face of a part; the
# largest height of a part; the distance of hints, and of faces' centers, from its edges; and the grid of its corners.
_HINT, _FACE = 200, 96
_HEIGHT, _MARGIN, _EDGE = 320, 48, 24
_GRID = 32
_OF_A_FACE = 0.8  # fraction of a known face's box whose hints belong to that face
_PART = 0.6  # contained fraction from which a detection is part of a known face


def scales(side: int) -> list[float]:
    """Return the scales for a photo whose longer side has `side` pixels: one if it is small, two if it is large."""
    first = min(_FIRST_SIDE / side, _MAX_ENLARGEMENT)
    last = min(_LAST_SIDE / side, 1.0)
    return [first, last] if last > _LEAST_STEP * first else [first]


def hinted_scales(side: int) -> list[float]:
    """Return the scales for a photo whose longer side has `side` pixels and whose last scale is searched at hints."""
    *smaller, last = scales(side)
    if smaller and last > _HINTS_UP_TO * smaller[-1]:
        smaller.append(last / _BETWEEN)
    return [*smaller, last]


class MultiScaleDetector:
    """Detects faces in the whole photo, at each scale."""

    def __init__(self, detector: Detector, choose_scales: Callable[[int], list[float]] = scales) -> None:
        self._detector = detector
        self._scales = choose_scales

    def pictures(self, pixels: RGBImage, share: float = 1.0) -> Pictures:
        """Return the scales of an RGB ``uint8`` photo, each with the photo at the fraction `share` of the scale."""
        found: Pictures = []
        source = pixels
        for scale in reversed(self._scales(max(pixels.shape[:2]))):
            height, width = (max(1, round(side * scale * share)) for side in pixels.shape[:2])
            source = resize(source, width, height)
            found.append((scale, source))
        return found[::-1]

    def faces(self, pictures: Iterable[tuple[float, RGBImage]]) -> list[Detection]:
        """Return the faces of one photo without duplicates, in pixels of the photo at scale 1."""
        found: list[Detection] = []
        for scale, picture in pictures:
            found = joined(found, [unscaled(detection, scale) for detection in self._detector.detect(picture)])
        return found


class HintedDetector(MultiScaleDetector):
    """Detects faces in the whole photo, and at the last scale only in the parts that may hold small faces.

    A detector scores small faces below its threshold, but above nearly all of their surroundings: such candidates are
    hints.

    Parameters
    ----------
    detector
        Finds faces and candidates.
    hint_score
        The smallest score of a hint, 0..1.
    """

    def __init__(self, detector: NetworkDetector, hint_score: float) -> None:
        super().__init__(detector, hinted_scales)
        self._network = detector
        self._hint_score = hint_score

    def faces(self, pictures: Iterable[tuple[float, RGBImage]]) -> list[Detection]:
        """Return the faces of one photo; see `MultiScaleDetector.faces`."""
        *smaller, (last, picture) = pictures
        if not smaller:
            return super().faces([(last, picture)])
        scale, whole = smaller[0]
        (proposals,) = self._network.propose(whole[None], self._hint_score)
        found = [unscaled(face, scale) for face in self._network.chosen(proposals)]
        if len(smaller) > 1:  # used for hints only: each scale adds false detections
            scale, whole = smaller[1]
            (proposals,) = self._network.propose(whole[None], self._hint_score)
        hints = proposals.moved(scale / last)
        centers = hints.centers[hints.sizes <= _HINT]
        for face in found:
            centers = centers[~_is_inside(face.box * np.float32(last), _OF_A_FACE, centers)]
        return joined(found, [unscaled(face, last) for face in self._faces_at(centers, picture)])

    def _faces_at(self, hints: FloatArray, picture: RGBImage) -> list[Detection]:
        """Return small faces at hints ``(n, 2)``, in pixels of the picture."""
        height, width = picture.shape[:2]
        parts = strips(hints, width, height)
        if sum((right - left) * (bottom - top) for left, top, right, bottom in parts) >= height * width:
            return self._network.detect(picture)
        return self._network.chosen(concatenated([self._proposals_in(part, picture) for part in parts]))

    def _proposals_in(self, part: tuple[int, int, int, int], picture: RGBImage) -> Candidates:
        """Return the candidates of small faces in a part of a picture, except those that the part's edges may cut."""
        left, top, right, bottom = part
        (candidates,) = self._network.propose(picture[None, top:bottom, left:right], self._network.score_threshold)
        moved = candidates.moved(1.0, (left, top))
        low = np.array([at + _EDGE if at > 0 else -_HEIGHT for at in (left, top)])
        ends = np.array([right, bottom])
        high = np.where(ends < picture.shape[1::-1], ends - _EDGE, ends + _HEIGHT)
        is_whole = ((moved.centers >= low) & (moved.centers < high)).all(axis=1)
        return moved.chosen(is_whole & (moved.sizes <= _FACE))


def strips(hints: FloatArray, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Return parts (left, top, right, bottom) of a picture that contain all hints ``(n, 2)``, with a margin.

    There is no margin at the edges of the picture, which has `width` x `height` pixels.
    """
    parts: list[tuple[int, int, int, int]] = []
    reach = _HEIGHT - 2 * _MARGIN - _GRID  # parts are aligned to the network's grid, which costs up to a step
    left = hints[np.argsort(hints[:, 1], kind="stable")]
    while len(left):
        is_in_row = left[:, 1] < left[0, 1] + reach
        row, left = left[is_in_row], left[~is_in_row]
        row = row[np.argsort(row[:, 0], kind="stable")]
        for near in np.split(row, np.flatnonzero(np.diff(row[:, 0]) > 2 * _MARGIN) + 1):
            (start, top), (end, bottom) = near.min(axis=0), near.max(axis=0)
            parts.append(
                (
                    max(0, _before(start)),
                    max(0, _before(top)),
                    min(width, -_before(-end)),
                    min(height, -_before(-bottom)),
                )
            )
    return parts


def _before(hint: float) -> int:
    """Return the last grid position at least the margin before a hint."""
    return math.floor((hint - _MARGIN) / _GRID) * _GRID


def _is_inside(box: FloatArray, share: float, points: FloatArray) -> NDArray[np.bool_]:
    """Return a mask of the points ``(n, 2)`` in the central fraction `share` of a box's width and height."""
    center, halves = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return np.asarray((np.abs(points - center) < share * halves).all(axis=1))


def unscaled(detection: Detection, scale: float) -> Detection:
    """Return a detection in pixels at scale 1; pixel centers lie at half pixels in both pictures."""
    return Detection(
        ((detection.box + 0.5) / scale - 0.5).astype(np.float32),
        ((detection.landmarks + 0.5) / scale - 0.5).astype(np.float32),
        detection.detection_score,
        second_score=detection.second_score,
    )


def joined(known: list[Detection], new: list[Detection]) -> list[Detection]:
    """Return the known faces and those of `new` that are neither a known face nor a part of one."""
    if not known:
        return new
    boxes = np.stack([detection.box for detection in known])
    return known + [detection for detection in new if contained(detection.box, boxes).max() <= _PART]
