"""Detection at several scales: the whole photo at a small one, then small faces at a larger one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from facebank.storage.arrays import contained
from facebank.types import Detection
from facebank.vision.detector import Candidates, concatenate
from facebank.vision.geometry import resize

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage
    from facebank.vision.detector import Detector, NetworkDetector

    ScaledImages: TypeAlias = list[tuple[float, RGBImage]]
    """Pairs of a scale, smallest first, and the photo at that scale or at a fraction of it."""

# 640 pixels suffice for large faces; small faces in large photos need a second, larger scale.
_FIRST_SIDE = 640
_LAST_SIDE = 1920
_MAX_ENLARGEMENT = 2.0
_MIN_STEP = 1.5  # smallest ratio of the last scale to the first

# All constants below were chosen for both detectors on development people by python -m benchmarks.small_faces.
_MAX_STEP = 2.2  # ratio of scales above which hints are incomplete, and a scale is inserted
_INSERTED_STEP = 1.8  # ratio of the last scale to the inserted one
# in pixels at the last scale:
_MAX_HINT = 200  # size of a hint; the first scale finds larger faces
_MAX_FACE = 96  # size of a face that is searched in a part
_MAX_HEIGHT = 320  # height of a part
_HINT_MARGIN = 48  # smallest distance of hints from the edges of a part
_FACE_MARGIN = 24  # smallest distance of the centers of faces from the edges of a part
_GRID = 32  # grid of the corners of parts
_HINT_AREA = 0.8  # fraction of the box of a found face whose hints belong to that face
_MAX_CONTAINED = 0.6  # contained fraction above which a detection is part of a found face


def scales(side: int) -> list[float]:
    """Return the scales for a photo whose longer side has `side` pixels: one if it is small, two if it is large."""
    first = min(_FIRST_SIDE / side, _MAX_ENLARGEMENT)
    last = min(_LAST_SIDE / side, 1.0)
    return [first, last] if last > _MIN_STEP * first else [first]


def hinted_scales(side: int) -> list[float]:
    """Return the scales for a photo whose longer side has `side` pixels and whose last scale is searched at hints."""
    *smaller, last = scales(side)
    if smaller and last > _MAX_STEP * smaller[-1]:
        smaller.append(last / _INSERTED_STEP)
    return [*smaller, last]


class MultiScaleDetector:
    """Detects faces in the whole photo, at each scale.

    Parameters
    ----------
    detector
        Finds the faces at one scale.
    choose_scales
        Returns the scales, smallest first, for the longer side of a photo in pixels.
    """

    def __init__(self, detector: Detector, choose_scales: Callable[[int], list[float]] = scales) -> None:
        self._detector = detector
        self._scales = choose_scales

    def scaled_images(self, pixels: RGBImage, fraction: float = 1.0) -> ScaledImages:
        """Return the scales of an RGB ``uint8`` photo ``(h, w, 3)``, each with the photo at a fraction of the scale."""
        images: ScaledImages = []
        image = pixels
        for scale in reversed(self._scales(max(pixels.shape[:2]))):
            height, width = (max(1, round(side * scale * fraction)) for side in pixels.shape[:2])
            image = resize(image, width, height)
            images.append((scale, image))
        return images[::-1]

    def faces(self, images: Iterable[tuple[float, RGBImage]]) -> list[Detection]:
        """Return the faces of one photo without duplicates, in pixels of the photo at scale 1."""
        faces: list[Detection] = []
        for scale, image in images:
            faces = add_faces(faces, [unscale(detection, scale) for detection in self._detector.detect(image)])
        return faces


class HintedDetector(MultiScaleDetector):
    """Detects faces in the whole photo, and at the last scale only in the parts that may hold small faces.

    A detector scores small faces below its threshold, but above nearly all of their surroundings; such candidates are
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

    def faces(self, images: Iterable[tuple[float, RGBImage]]) -> list[Detection]:
        """Return the faces of one photo; see `MultiScaleDetector.faces`."""
        *smaller, (last, image) = images
        if not smaller:
            return super().faces([(last, image)])
        scale, small_image = smaller[0]
        (proposals,) = self._network.propose(small_image[None], self._hint_score)
        faces = [unscale(face, scale) for face in self._network.select_faces(proposals)]
        if len(smaller) > 1:  # used for hints only: each scale adds false detections
            scale, small_image = smaller[1]
            (proposals,) = self._network.propose(small_image[None], self._hint_score)
        hints = proposals.transform(scale / last)
        centers = hints.centers[hints.sizes <= _MAX_HINT]
        for face in faces:
            centers = centers[~_is_inside(face.box * np.float32(last), _HINT_AREA, centers)]
        return add_faces(faces, [unscale(face, last) for face in self._faces_at(centers, image)])

    def _faces_at(self, hints: FloatArray, image: RGBImage) -> list[Detection]:
        """Return small faces at hints ``(n, 2)``, in pixels of the image."""
        height, width = image.shape[:2]
        parts = parts_around(hints, width, height)
        if sum((right - left) * (bottom - top) for left, top, right, bottom in parts) >= height * width:
            return self._network.detect(image)
        return self._network.select_faces(concatenate([self._proposals_in(part, image) for part in parts]))

    def _proposals_in(self, part: tuple[int, int, int, int], image: RGBImage) -> Candidates:
        """Return the candidates of small faces in a part of an image, except those that the part's edges may cut."""
        left, top, right, bottom = part
        (candidates,) = self._network.propose(image[None, top:bottom, left:right], self._network.score_threshold)
        if not len(candidates):
            return candidates
        moved = candidates.transform(1.0, (left, top))
        low = np.array([start + _FACE_MARGIN if start > 0 else -_MAX_HEIGHT for start in (left, top)])
        ends = np.array([right, bottom])
        high = np.where(ends < image.shape[1::-1], ends - _FACE_MARGIN, ends + _MAX_HEIGHT)
        is_whole = ((moved.centers >= low) & (moved.centers < high)).all(axis=1)
        return moved.select(is_whole & (moved.sizes <= _MAX_FACE))


def parts_around(hints: FloatArray, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Return parts (left, top, right, bottom) of an image that contain all hints ``(n, 2)``, with a margin.

    There is no margin at the edges of the image, which has `width` x `height` pixels.
    """
    parts: list[tuple[int, int, int, int]] = []
    reach = _MAX_HEIGHT - 2 * _HINT_MARGIN - _GRID  # parts are aligned to the network's grid, which costs up to a step
    remaining = hints[np.argsort(hints[:, 1], kind="stable")]
    while len(remaining):
        is_in_row = remaining[:, 1] < remaining[0, 1] + reach
        row, remaining = remaining[is_in_row], remaining[~is_in_row]
        row = row[np.argsort(row[:, 0], kind="stable")]
        for group in np.split(row, np.flatnonzero(np.diff(row[:, 0]) > 2 * _HINT_MARGIN) + 1):
            (start, top), (end, bottom) = group.min(axis=0), group.max(axis=0)
            parts.append(
                (
                    max(0, _grid_before(start)),
                    max(0, _grid_before(top)),
                    min(width, -_grid_before(-end)),
                    min(height, -_grid_before(-bottom)),
                )
            )
    return parts


def _grid_before(hint: float) -> int:
    """Return the last grid position at least the margin before a hint."""
    return math.floor((hint - _HINT_MARGIN) / _GRID) * _GRID


def _is_inside(box: FloatArray, fraction: float, points: FloatArray) -> NDArray[np.bool_]:
    """Return a mask of the points ``(n, 2)`` in the central `fraction` of a box's width and height."""
    center, halves = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return np.asarray((np.abs(points - center) < fraction * halves).all(axis=1))


def unscale(detection: Detection, scale: float) -> Detection:
    """Return a detection in pixels at scale 1; pixel centers lie at half pixels in both images."""
    return Detection(
        ((detection.box + 0.5) / scale - 0.5).astype(np.float32),
        ((detection.landmarks + 0.5) / scale - 0.5).astype(np.float32),
        detection.detection_score,
        second_score=detection.second_score,
    )


def add_faces(faces: list[Detection], new: list[Detection]) -> list[Detection]:
    """Return the faces, and those of `new` that are neither one of them nor a part of one."""
    if not faces:
        return new
    boxes = np.stack([face.box for face in faces])
    return faces + [face for face in new if contained(face.box, boxes).max() <= _MAX_CONTAINED]
