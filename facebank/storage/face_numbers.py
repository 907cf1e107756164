"""Faces as rows of numbers, as scans and caches store them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.storage.values import InvalidValueError
from facebank.types import Face, Quality

if TYPE_CHECKING:
    from facebank.types import FloatArray

_DETECTION = 15
_QUALITY = 7
_OPTIONAL = slice(_DETECTION + 4, _DETECTION + _QUALITY)
_SHARES = (_DETECTION - 1, _DETECTION)  # the scores of detection and quality
_NORM_TOLERANCE = 1e-3


def width_of(dimension: int) -> int:
    """Return how many numbers a face with an embedding of `dimension` numbers takes."""
    return _DETECTION + _QUALITY + dimension


def face_to_numbers(face: Face) -> FloatArray:
    """Return box, landmarks, score, quality and embedding as little-endian ``float32`` of shape ``(W,)``."""
    quality = face.assessment
    optional = [
        np.nan if value is None else value for value in (quality.exposure, quality.occlusion, quality.stability)
    ]
    return np.concatenate(
        [
            face.box.ravel(),
            face.landmarks.ravel(),
            [face.detection_score, quality.score, quality.size, quality.sharpness, quality.frontality],
            optional,
            face.embedding,
        ]
    ).astype("<f4")


def face_from_numbers(values: FloatArray, weaknesses: tuple[str, ...]) -> Face:
    """Return the face that `face_to_numbers` was given, with its weaknesses, which are stored separately."""
    score, size, sharpness, frontality, *optional = (float(value) for value in values[_DETECTION:][:_QUALITY])
    exposure, occlusion, stability = (None if np.isnan(value) else value for value in optional)
    return Face(
        values[:4],
        values[4:14].reshape(5, 2),
        float(values[14]),
        Quality(score, size, sharpness, frontality, exposure, occlusion, stability, weaknesses),
        values[_DETECTION + _QUALITY :],
    )


def check_face_numbers(rows: FloatArray) -> FloatArray:
    """Return faces, one a row, ``(N, W)``; raises `InvalidValueError` for impossible ones.

    Numbers are finite, except optional ones; scores are 0..1; embeddings have length 1.
    """
    known = rows.copy()
    known[:, _OPTIONAL] = np.nan_to_num(rows[:, _OPTIONAL], nan=0.0, posinf=np.inf, neginf=-np.inf)
    scores = known[:, _SHARES]
    if not np.isfinite(known).all() or (scores < 0).any() or (scores > 1).any():
        raise InvalidValueError("it holds a face whose numbers cannot be")
    if (np.abs(np.linalg.norm(embeddings_of(known), axis=1) - 1.0) > _NORM_TOLERANCE).any():
        raise InvalidValueError("it holds an embedding that is not L2-normalised")
    return rows


def embeddings_of(rows: FloatArray) -> FloatArray:
    """Return the embeddings of faces, one a row: ``(N, D)`` of ``(N, W)``."""
    return rows[:, _DETECTION + _QUALITY :]


def qualities_of(rows: FloatArray) -> FloatArray:
    """Return the quality scores of faces, one a row: ``(N,)`` of ``(N, W)``."""
    return rows[:, _DETECTION].astype(np.float32)
