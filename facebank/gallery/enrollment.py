"""Validation and insertion of samples, without duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.gallery import feedback, people
from facebank.gallery.names import name_key
from facebank.gallery.records import PLAIN, EnrolledSample, FaceKey
from facebank.gallery.same_face import find_sample
from facebank.gallery.samples import add_sample, sample_ids
from facebank.gallery.store.codec import float_array, floats_to_bytes, unit_length, variant_name
from facebank.gallery.store.rows import delete, update
from facebank.gallery.store.state import add_pack, advance, bind, binding, note_traces, revision
from facebank.gallery.vectors import add_vectors
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, fraction, hex_digest, quarter_turns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from facebank.gallery.records import NewSample, PackIdentity
    from facebank.gallery.store.state import Binding
    from facebank.types import FloatArray

_MAX_THUMBNAIL_BYTES = 256 * 1024
_MAX_PATH_LENGTH = 32 * 1024


def check_sample(sample: NewSample, dimension: int) -> None:
    """Raise `UsageError`, naming the photo, for an invalid sample or one whose embeddings are not of `dimension`."""
    try:
        require_sample(sample, dimension)
    except InvalidValueError as error:
        raise UsageError(f"The face of {printable(sample.path)} cannot be enrolled: {error}.") from error


def require_sample(sample: NewSample, dimension: int) -> None:
    """Do the same as `check_sample`, but raise `InvalidValueError`; the caller adds the path."""
    float_array(sample.box, (4,))
    float_array(sample.landmarks, (5, 2))
    fraction(float(sample.detection_score))
    fraction(float(sample.quality))
    hex_digest(sample.content_hash)
    if sample.picture_hash is not None:
        hex_digest(sample.picture_hash)
    quarter_turns(sample.quarter_turns)
    if len(sample.path) > _MAX_PATH_LENGTH:
        raise InvalidValueError("its path is too long")
    if sample.thumbnail is not None and len(sample.thumbnail) > _MAX_THUMBNAIL_BYTES:
        raise InvalidValueError(
            f"its thumbnail has {len(sample.thumbnail):,} bytes, more than {_MAX_THUMBNAIL_BYTES:,}"
        )
    require_vectors(sample.vectors, dimension)


def require_vectors(vectors: Mapping[str, FloatArray], dimension: int) -> None:
    """Raise `InvalidValueError` for a face's embeddings, by variant, that cannot be stored."""
    if PLAIN not in vectors:
        raise InvalidValueError(f"it has no embedding of the variant '{PLAIN}'")
    for variant, vector in vectors.items():
        variant_name(variant)
        unit_length(float_array(vector, (dimension,)))


def enroll_samples(
    connection: sqlite3.Connection,
    bound: Binding,
    name: str,
    samples: Sequence[NewSample],
    now: datetime,
    *,
    ids_by_key: dict[str, int] | None = None,
) -> list[EnrolledSample]:
    """Add samples to a person, except faces that are already enrolled.

    Drops denials and strangers that contradict the samples.

    Parameters
    ----------
    connection, bound, now
        A connection inside a write transaction; the gallery's pack; the current time.
    name
        The person's normalized name. A new person is added with the first new sample, or if no samples are given.
    samples
        Validated samples; one result is returned for each, in their order.
    ids_by_key
        All people's ids by name key, updated here; None to look the person up.
    """
    key = name_key(name)
    if ids_by_key is None:
        person = people.find_key(connection, key)
        ids_by_key = {} if person is None else {key: person.id}
    person_id = ids_by_key.get(key)
    if person_id is None and not samples:
        ids_by_key[key] = people.add_person(connection, name, now)
        advance(connection)
    new_revision = revision(connection) + 1
    results: list[EnrolledSample] = []
    own_samples: list[NewSample] = []
    for sample in samples:
        feedback.set_picture_hash(connection, sample.content_hash, sample.picture_hash)
        existing = find_sample(connection, bound, FaceKey.from_sample(sample), sample.vectors[PLAIN])
        if existing is not None:
            results.append(EnrolledSample(existing.sample_id, existing.person))
            if name_key(existing.person) == key:
                own_samples.append(sample)
            continue
        if person_id is None:
            person_id = ids_by_key[key] = people.add_person(connection, name, now)
        sample_id = add_sample(connection, person_id, sample, now)
        add_vectors(connection, sample_id, bound.pack_id, sample.vectors, new_revision)
        results.append(EnrolledSample(sample_id, None))
        own_samples.append(sample)
    if person_id is not None:
        feedback.drop_contradicted(connection, bound, person_id, own_samples)
    if any(result.duplicate_of_person is None for result in results):
        advance(connection)
    return results


def check_embeddings(
    samples: Mapping[int, Mapping[str, FloatArray]], strangers: Mapping[int, FloatArray | None], dimension: int
) -> None:
    """Raise `UsageError` for new embeddings of samples, by variant, or of strangers that cannot be stored."""
    groups = {
        "Sample": samples,
        "Stranger": {stranger_id: {PLAIN: vector} for stranger_id, vector in strangers.items() if vector is not None},
    }
    for noun, embeddings in groups.items():
        for row_id, variants in embeddings.items():
            try:
                require_vectors(variants, dimension)
            except InvalidValueError as error:
                raise UsageError(f"{noun} {row_id} cannot be re-embedded: {error}.") from error


def replace_embeddings(
    connection: sqlite3.Connection,
    pack: PackIdentity,
    vectors: Mapping[int, Mapping[str, FloatArray]],
    dropped: Sequence[int],
    strangers: Mapping[int, FloatArray | None],
) -> Binding:
    """Replace all embeddings with another pack's and return the new binding; raises as `Gallery.rebind` does."""
    is_complete = {*vectors, *dropped} == sample_ids(connection) and vectors.keys().isdisjoint(dropped)
    if not is_complete or strangers.keys() != {stranger.id for stranger in feedback.strangers(connection)}:
        raise UsageError("The gallery was changed while it was re-embedded: start again.")
    pack_id = add_pack(connection, pack)
    bind(connection, pack_id)
    delete(connection, "samples", "id", dropped)
    people.drop_empty_merges(connection)
    delete(connection, "strangers", "id", [stranger_id for stranger_id, vector in strangers.items() if vector is None])
    for stranger_id, vector in strangers.items():
        if vector is not None:
            update(connection, "strangers", "id", stranger_id, {"vector": floats_to_bytes(vector)})
    new_revision = advance(connection)
    for sample_id, variants in vectors.items():
        add_vectors(connection, sample_id, pack_id, variants, new_revision)
    note_traces(connection)
    return binding(connection)
