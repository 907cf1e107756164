"""Tests whether two records are of the same face: same place in the same photo, or same embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery.records import FaceKey
from facebank.gallery.samples import samples_of_photo
from facebank.gallery.vectors import SampleOwner, nearby_samples
from facebank.storage.arrays import overlaps

if TYPE_CHECKING:
    import sqlite3

    from facebank.gallery.store.state import Binding
    from facebank.types import FloatArray

SAME_VECTOR = 1e-4
"""Two embeddings at most this far apart (Euclidean) are one face embedded twice."""

_SAME_BOX = 0.5  # intersection over union: two faces of one photo overlap far less, one face found twice far more


def is_same_place(a: FaceKey, b: FaceKey) -> bool:
    """Return whether two keys identify the same face of the same photo."""
    return _is_same_photo(a, b) and _is_same_box(a.box, b.box)


def is_other_place(a: FaceKey, b: FaceKey) -> bool:
    """Return whether two keys identify different faces of the same photo."""
    return _is_same_photo(a, b) and not _is_same_box(a.box, b.box)


def is_same_vector(a: FloatArray, b: FloatArray) -> bool:
    """Return whether two embeddings ``(dimension,)`` are of one face, embedded twice."""
    return bool(np.linalg.norm(a - b) <= SAME_VECTOR)


def find_sample(
    connection: sqlite3.Connection, bound: Binding, face: FaceKey, vector: FloatArray | None
) -> SampleOwner | None:
    """Return the sample of this very face; None if it is not enrolled.

    Parameters
    ----------
    connection
        Inside a transaction.
    bound
        The gallery's pack.
    face
        The face.
    vector
        Its plain embedding, ``(dimension,)``; None to compare by place only.
    """
    for sample in samples_of_photo(connection, face.content_hash, face.picture_hash):
        if is_same_place(face, FaceKey.from_sample(sample)):
            return SampleOwner(sample.id, sample.person)
    if vector is not None:
        for owner, candidate in nearby_samples(connection, bound, vector, SAME_VECTOR):
            if is_same_vector(candidate, vector):
                return owner
    return None


def _is_same_photo(a: FaceKey, b: FaceKey) -> bool:
    same_picture = a.picture_hash is not None and a.picture_hash == b.picture_hash
    return (a.content_hash == b.content_hash or same_picture) and a.quarter_turns == b.quarter_turns


def _is_same_box(a: FloatArray, b: FloatArray) -> bool:
    return bool(overlaps(a, b[None])[0] >= _SAME_BOX) or np.array_equal(a, b)
