"""Faces into the gallery's tables: checked first, and none twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.gallery import tables, vector_tables
from facebank.gallery.codec import InvalidValueError, float_array, hex_digest, share, unit_length, variant_name
from facebank.gallery.names import name_key
from facebank.gallery.records import PLAIN, EnrolledSample
from facebank.text import printable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from facebank.faces import FloatArray
    from facebank.gallery.records import NewSample

SAME_VECTOR = 1e-4
"""Two embeddings at most this far apart (Euclidean) are one face embedded twice."""

_SAME_BOX = 0.5  # intersection over union: two faces of one photo overlap far less, one face found twice far more
_LARGEST_THUMBNAIL = 256 * 1024
_LONGEST_SOURCE = 32 * 1024


def check_sample(sample: NewSample, dimension: int) -> None:
    """Refuse a sample that cannot be enrolled.

    Parameters
    ----------
    sample
        The face.
    dimension
        Length of the gallery's embeddings.

    Raises
    ------
    UsageError
        Naming the photo and what is wrong with it.
    """
    try:
        require_sample(sample, dimension)
    except InvalidValueError as error:
        raise UsageError(f"The face of {printable(sample.source)} cannot be enrolled: {error}.") from error


def require_sample(sample: NewSample, dimension: int) -> None:
    """Do as `check_sample` does, but raise `InvalidValueError`: the caller says where the face comes from."""
    float_array(sample.detection.box, (4,))
    float_array(sample.detection.landmarks, (5, 2))
    share(float(sample.detection.score))
    share(float(sample.quality))
    hex_digest(sample.content_hash)
    if sample.quarter_turns not in range(4):
        raise InvalidValueError(f"a photo is turned 0 to 3 times, not {sample.quarter_turns}")
    if len(sample.source) > _LONGEST_SOURCE:
        raise InvalidValueError("its path is too long")
    if sample.thumbnail is not None and len(sample.thumbnail) > _LARGEST_THUMBNAIL:
        raise InvalidValueError(f"its thumbnail has {len(sample.thumbnail)} bytes")
    require_vectors(sample.vectors, dimension)


def require_vectors(vectors: Mapping[str, FloatArray], dimension: int) -> None:
    """Refuse embeddings of one face, by variant, that cannot be kept; raises `InvalidValueError`."""
    if PLAIN not in vectors:
        raise InvalidValueError(f"it has no embedding of the variant '{PLAIN}'")
    for variant, vector in vectors.items():
        variant_name(variant)
        unit_length(float_array(vector, (dimension,)))


def enrol_samples(
    connection: sqlite3.Connection,
    bound: tables.Binding,
    name: str,
    samples: Sequence[NewSample],
    now: datetime,
) -> list[EnrolledSample]:
    """Give a person samples, all but those that somebody has already; the caller holds the transaction.

    Parameters
    ----------
    connection
        Inside a write transaction.
    bound
        The gallery's pack.
    name
        The person's, normalised. Who is new is written down with the first sample that is, or if none is given.
    samples
        Checked faces.
    now
        The time.

    Returns
    -------
    list[EnrolledSample]
        One for each sample, in their order.
    """
    key = name_key(name)
    person = tables.find_person(connection, key)
    person_id = None if person is None else person.id
    if person_id is None and not samples:
        tables.add_person(connection, name, key, now)
        tables.advance(connection)
    revision = tables.revision(connection) + 1
    outcomes: list[EnrolledSample] = []
    for sample in samples:
        known = _find_same_face(connection, bound, sample)
        if known is not None:
            outcomes.append(EnrolledSample(known.sample_id, known.person))
            continue
        if person_id is None:
            person_id = tables.add_person(connection, name, key, now)
        sample_id = tables.add_sample(connection, person_id, sample, now)
        vector_tables.add_vectors(connection, sample_id, bound.pack_id, sample.vectors, revision)
        outcomes.append(EnrolledSample(sample_id, None))
    if any(outcome.duplicate_of_person is None for outcome in outcomes):
        tables.advance(connection)
    return outcomes


def _find_same_face(
    connection: sqlite3.Connection, bound: tables.Binding, sample: NewSample
) -> vector_tables.Known | None:
    for other in tables.samples_of_photo(connection, sample.content_hash):
        turned_alike = other.quarter_turns == sample.quarter_turns
        if turned_alike and _overlap(other.detection.box, sample.detection.box) >= _SAME_BOX:
            return vector_tables.Known(other.id, other.person)
    vector = sample.vectors[PLAIN]
    for known, candidate in vector_tables.alike(connection, bound, vector, SAME_VECTOR):
        if np.linalg.norm(candidate - vector) <= SAME_VECTOR:
            return known
    return None


def _overlap(a: FloatArray, b: FloatArray) -> float:
    corner, opposite = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = float(np.prod(np.maximum(opposite - corner, 0.0), dtype=np.float64))
    areas = float(np.prod(a[2:] - a[:2], dtype=np.float64) + np.prod(b[2:] - b[:2], dtype=np.float64))
    return shared / (areas - shared) if areas > shared else float(np.array_equal(a, b))
