"""Faces into the gallery's tables: checked first, and none twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.gallery import feedback
from facebank.gallery.names import name_key
from facebank.gallery.records import PLAIN, EnrolledSample
from facebank.gallery.same_face import find_sample
from facebank.gallery.store import feedback_tables, tables, vector_tables
from facebank.gallery.store.codec import float_array, unit_length, variant_name
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, fraction, hex_digest, turns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from facebank.gallery.records import NewSample
    from facebank.types import FloatArray

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
        raise UsageError(f"The face of {printable(sample.path)} cannot be enrolled: {error}.") from error


def require_sample(sample: NewSample, dimension: int) -> None:
    """Do as `check_sample` does, but raise `InvalidValueError`: the caller says where the face comes from."""
    float_array(sample.box, (4,))
    float_array(sample.landmarks, (5, 2))
    fraction(float(sample.detection_score))
    fraction(float(sample.quality))
    hex_digest(sample.content_hash)
    if sample.picture_hash is not None:
        hex_digest(sample.picture_hash)
    turns(sample.quarter_turns)
    if len(sample.path) > _LONGEST_SOURCE:
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


def enroll_samples(
    connection: sqlite3.Connection,
    bound: tables.Binding,
    name: str,
    samples: Sequence[NewSample],
    now: datetime,
    *,
    people_ids: dict[str, int] | None = None,
) -> list[EnrolledSample]:
    """Give a person samples, all but those that somebody has already; the caller holds the transaction.

    What was said against a face that is this person's now, a denial or that it is nobody's, is dropped.

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
    people_ids
        Everybody's numbers by the names' keys, kept up to date; None to look the person up.

    Returns
    -------
    list[EnrolledSample]
        One for each sample, in their order.
    """
    key = name_key(name)
    if people_ids is None:
        person = tables.find_person(connection, key)
        people_ids = {} if person is None else {key: person.id}
    person_id = people_ids.get(key)
    if person_id is None and not samples:
        people_ids[key] = tables.add_person(connection, name, key, now)
        tables.advance(connection)
    revision = tables.revision(connection) + 1
    outcomes: list[EnrolledSample] = []
    owned: list[NewSample] = []
    for sample in samples:
        if sample.picture_hash is not None:
            feedback_tables.set_picture(connection, sample.content_hash, sample.picture_hash)
        known = find_sample(connection, bound, feedback.key_of(sample), sample.vectors[PLAIN])
        if known is not None:
            outcomes.append(EnrolledSample(known.sample_id, known.person))
            if name_key(known.person) == key:
                owned.append(sample)
            continue
        if person_id is None:
            person_id = people_ids[key] = tables.add_person(connection, name, key, now)
        sample_id = tables.add_sample(connection, person_id, sample, now)
        vector_tables.add_vectors(connection, sample_id, bound.pack_id, sample.vectors, revision)
        outcomes.append(EnrolledSample(sample_id, None))
        owned.append(sample)
    if person_id is not None:
        feedback.give_way(connection, bound, person_id, owned)
    if any(outcome.duplicate_of_person is None for outcome in outcomes):
        tables.advance(connection)
    return outcomes
