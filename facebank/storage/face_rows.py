"""Serialization of faces as rows of float32, for scans and caches."""

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
_SCORES = (_DETECTION - 1, _DETECTION)  # columns of the detection and quality scores
_NORM_TOLERANCE = 1e-3

FIELDS = {
    "box": slice(0, 4),
    "landmarks": slice(4, 14),
    "detection_score": slice(14, 15),
    "quality": slice(15, 16),
    "size": slice(16, 17),
    "sharpness": slice(17, 18),
    "frontality": slice(18, 19),
    "exposure": slice(19, 20),
    "occlusion": slice(20, 21),
    "stability": slice(21, 22),
    "embedding": slice(22, None),
}
"""Columns of each value of a face in its row."""

OPTIONAL_FIELDS = ("exposure", "occlusion", "stability")
"""The fields that are NaN if they were not measured."""


def row_width(dimension: int) -> int:
    """Return the row width for embeddings of length `dimension`."""
    return _DETECTION + _QUALITY + dimension


def face_to_row(face: Face) -> FloatArray:
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


def face_from_row(values: FloatArray, weaknesses: tuple[str, ...]) -> Face:
    """Return a face from its row ``(W,)``, the inverse of `face_to_row`; its weaknesses are stored separately."""
    score, size, sharpness, frontality, *optional = (float(value) for value in values[_DETECTION:][:_QUALITY])
    exposure, occlusion, stability = (None if np.isnan(value) else value for value in optional)
    return Face(
        values[:4],
        values[4:14].reshape(5, 2),
        float(values[14]),
        Quality(score, size, sharpness, frontality, exposure, occlusion, stability, weaknesses),
        values[_DETECTION + _QUALITY :],
    )


def check_face_rows(rows: FloatArray) -> FloatArray:
    """Validate rows of faces ``(N, W)`` and return them; raises `InvalidValueError`.

    Values must be finite, except that optional ones may be NaN; scores 0..1; embeddings of length 1.
    """
    filled = rows.copy()
    filled[:, _OPTIONAL] = np.nan_to_num(rows[:, _OPTIONAL], nan=0.0, posinf=np.inf, neginf=-np.inf)
    scores = filled[:, _SCORES]
    if not np.isfinite(filled).all() or (scores < 0).any() or (scores > 1).any():
        raise InvalidValueError("it contains a face with invalid numbers")
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(embeddings_of(filled), axis=1)
    if (np.abs(lengths - 1.0) > _NORM_TOLERANCE).any():
        raise InvalidValueError("it contains an embedding that is not L2-normalized")
    return rows


def embeddings_of(rows: FloatArray) -> FloatArray:
    """Return the embeddings ``(N, D)`` from rows of faces ``(N, W)``."""
    return rows[:, _DETECTION + _QUALITY :]


def qualities_of(rows: FloatArray) -> FloatArray:
    """Return the quality scores ``(N,)`` from rows of faces ``(N, W)``."""
    return rows[:, _DETECTION].astype(np.float32)
