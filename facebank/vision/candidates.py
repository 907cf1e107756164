"""What a detector's network proposes before overlapping proposals are reduced to one a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.types import Detection
from facebank.vision.geometry import overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

_MIRRORED_LANDMARKS = [1, 0, 2, 4, 3]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Proposals of one picture, several a face.

    Attributes
    ----------
    boxes
        ``float32`` of shape ``(n, 4)``: x1, y1, x2, y2 in pixels.
    landmarks
        ``float32`` of shape ``(n, 5, 2)``.
    scores
        ``float32`` of shape ``(n,)``, 0..1.
    """

    boxes: FloatArray
    landmarks: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)

    def chosen(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """Return some of them, by indices or by a mask."""
        return Candidates(self.boxes[which], self.landmarks[which], self.scores[which])

    def moved(self, scale: float, offset: tuple[float, float] = (0.0, 0.0)) -> Candidates:
        """Carry them into another picture: divide coordinates by `scale`, then add `offset` (x, y)."""
        shift = np.asarray(offset, dtype=np.float32)
        factor = np.float32(1 / scale)
        return Candidates(self.boxes * factor + np.tile(shift, 2), self.landmarks * factor + shift, self.scores)

    def mirrored(self, width: int) -> Candidates:
        """Carry them from a mirrored picture, `width` pixels wide, into the picture itself."""
        boxes = self.boxes.copy()
        boxes[:, [0, 2]] = width - 1 - self.boxes[:, [2, 0]]
        landmarks = self.landmarks[:, _MIRRORED_LANDMARKS].copy()
        landmarks[..., 0] = width - 1 - landmarks[..., 0]
        return Candidates(boxes, landmarks, self.scores)


def concatenated(parts: Sequence[Candidates]) -> Candidates:
    """Join the candidates of several looks at one picture; none make an empty set."""
    if not parts:
        return Candidates(*(np.empty(shape, dtype=np.float32) for shape in ((0, 4), (0, 5, 2), (0,))))
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def suppress(candidates: Candidates, threshold: float) -> list[Detection]:
    """Reduce candidates to one a face: greedy non-maximum suppression.

    Parameters
    ----------
    candidates
        In any order.
    threshold
        Overlap (intersection over union, 0..1) above which the lower-scored candidate is dropped.

    Returns
    -------
    list[Detection]
        The survivors, best score first.
    """
    ordered = candidates.chosen(np.argsort(-candidates.scores, kind="stable"))
    alive = np.ones(len(ordered), dtype=bool)
    kept = []
    for i in range(len(ordered)):
        if alive[i]:
            kept.append(Detection(ordered.boxes[i], ordered.landmarks[i], float(ordered.scores[i])))
            alive[i:] &= overlaps(ordered.boxes[i], ordered.boxes[i:]) <= threshold
    return kept


_ON_FACE = 0.4


def best_score(candidates: Candidates, box: FloatArray) -> float:
    """Return the best score of the candidates that lie on one face; 0 without any.

    Parameters
    ----------
    candidates
        In any order.
    box
        ``(4,)``: where the face is.
    """
    if not len(candidates):
        return 0.0
    return float(candidates.scores[overlaps(box, candidates.boxes) > _ON_FACE].max(initial=0.0))


def voted_landmarks(candidates: Candidates, box: FloatArray, threshold: float = 0.5) -> FloatArray | None:
    """Average the landmarks of the candidates that lie on one face, weighted by their scores.

    A detector's network proposes each face from several cells, each with an error of its own; suppression keeps one
    of them, the mean has less noise.

    Parameters
    ----------
    candidates
        In any order.
    box
        ``(4,)``: where the face is.
    threshold
        Overlap (intersection over union, 0..1) with the best candidate from which a candidate votes.

    Returns
    -------
    FloatArray or None
        ``(5, 2)``; None where no candidate overlaps the box by 0.4.
    """
    if not len(candidates):
        return None
    on_face = np.flatnonzero(overlaps(box, candidates.boxes) > _ON_FACE)
    if not len(on_face):
        return None
    best = on_face[np.argmax(candidates.scores[on_face])]
    voters = candidates.chosen(overlaps(candidates.boxes[best], candidates.boxes) > threshold)
    weights = voters.scores / voters.scores.sum()
    return np.tensordot(weights, voters.landmarks, axes=1).astype(np.float32)
