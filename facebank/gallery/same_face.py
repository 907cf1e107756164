"""Tests whether two records are of the same face: same place in the same photo, or same embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery.records import FaceKey
from facebank.gallery.samples import samples_of_photo
from facebank.gallery.vectors import Known, alike
from facebank.storage.arrays import overlaps

if TYPE_CHECKING:
    import sqlite3

    from facebank.gallery.store.state import Binding
    from facebank.types import FloatArray

SAME_VECTOR = 1e-4
"""Two embeddings at most this far apart (Euclidean) are one face embedded twice."""

_SAME_BOX = 0.5  # intersection over union: two faces of one photo overlap far less, one face found twice far more


def is_same_place(one: FaceKey, other: FaceKey) -> bool:
    """Return whether two keys identify the same face of the same photo."""
    return _is_same_photo(one, other) and _is_same_box(one.box, other.box)


def is_other_place(one: FaceKey, other: FaceKey) -> bool:
    """Return whether two keys identify different faces of the same photo."""
    return _is_same_photo(one, other) and not _is_same_box(one.box, other.box)


def is_same_vector(one: FloatArray, other: FloatArray) -> bool:
    """Return whether two embeddings ``(dimension,)`` are of one face, embedded twice."""
    return bool(np.linalg.norm(one - other) <= SAME_VECTOR)


def find_sample(
    connection: sqlite3.Connection, bound: Binding, face: FaceKey, vector: FloatArray | None
) -> Known | None:
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
        if is_same_place(face, FaceKey.enrolled(sample)):
            return Known(sample.id, sample.person)
    if vector is not None:
        for known, candidate in alike(connection, bound, vector, SAME_VECTOR):
            if is_same_vector(candidate, vector):
                return known
    return None


def _is_same_photo(one: FaceKey, other: FaceKey) -> bool:
    same_picture = one.picture_hash is not None and one.picture_hash == other.picture_hash
    return (one.content_hash == other.content_hash or same_picture) and one.quarter_turns == other.quarter_turns


def _is_same_box(one: FloatArray, other: FloatArray) -> bool:
    return bool(overlaps(one, other[None])[0] >= _SAME_BOX) or np.array_equal(one, other)
