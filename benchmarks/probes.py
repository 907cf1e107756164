"""Faces made from stored embeddings, to be decided by a recognizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.types import Face, Quality

if TYPE_CHECKING:
    from facebank.types import FloatArray


def make_probe(embedding: FloatArray, quality: float) -> Face:
    """Return a face without a box and landmarks.

    Parameters
    ----------
    embedding
        ``float32`` of shape ``(D,)`` and length 1.
    quality
        Overall quality, 0..1; no weakness is set.
    """
    assessment = Quality(quality, 100.0, quality, 1.0)
    return Face(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0, assessment, embedding)
