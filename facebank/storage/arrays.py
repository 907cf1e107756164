"""Overlap of boxes and L2 normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

    Floating = TypeVar("Floating", bound=np.floating)

_ZERO_LENGTH = 1e-6


def normalized(vectors: NDArray[Floating]) -> NDArray[Floating]:
    """Return the rows of ``(N, D)`` scaled to length 1, in their dtype; rows shorter than 1e-6 become zeros."""
    if vectors.dtype == np.float64:  # avoids a second matrix of squares
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    else:  # pairwise summation, so that embeddings stay bit-identical
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > _ZERO_LENGTH, lengths, np.inf), dtype=vectors.dtype)


def overlaps(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return the intersection over union, 0..1, of a box ``(4,)`` (x1, y1, x2, y2) with others ``(N, 4)``: ``(N,)``."""
    intersection = _intersections(box, boxes)
    union = _areas(boxes) + _areas(box[None])[0] - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9), dtype=np.float32)


def contained(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return the intersection of a box ``(4,)`` with others ``(N, 4)`` over the smaller of the two, 0..1: ``(N,)``."""
    smaller = np.minimum(_areas(boxes), _areas(box[None])[0])
    return np.asarray(_intersections(box, boxes) / np.maximum(smaller, 1e-9), dtype=np.float32)


def _intersections(box: FloatArray, boxes: FloatArray) -> FloatArray:
    sides = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def _areas(boxes: FloatArray) -> FloatArray:
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)
