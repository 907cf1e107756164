"""What people say after an identification: not this person, nobody I know. The caller holds the transaction.

Two rules hold whatever is said in whatever order: a face that is somebody's sample is not denied to be that person's,
and is no stranger's. Whoever is given a sample, by enrollment or by merging, wins over what was denied before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.gallery.names import name_key
from facebank.gallery.records import PLAIN, FaceKey
from facebank.gallery.same_face import find_sample, is_same_place, is_same_vector
from facebank.gallery.store import feedback_tables
from facebank.gallery.store.codec import float_array, unit_length
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, hex_digest, turns

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from facebank.gallery.records import NewSample, Stranger
    from facebank.gallery.store.tables import Binding
    from facebank.gallery.store.vector_tables import Known
    from facebank.types import FloatArray, Person


def check_face(face: FaceKey, vector: FloatArray | None, dimension: int) -> None:
    """Refuse what is no face of a photo, or no embedding; raises `UsageError`."""
    try:
        float_array(face.box, (4,))
        hex_digest(face.content_hash)
        if face.picture_hash is not None:
            hex_digest(face.picture_hash)
        turns(face.quarter_turns)
        if vector is not None:
            unit_length(float_array(vector, (dimension,)))
    except InvalidValueError as error:
        raise UsageError(f"This is no face of a photo: {error}.") from error


def deny(
    connection: sqlite3.Connection,
    bound: Binding,
    person: Person,
    face: FaceKey,
    *,
    vector: FloatArray | None,
    now: datetime,
) -> bool:
    """Note that a face is not a person's; returns whether that was not known yet.

    Raises
    ------
    UsageError
        The person has a sample that is this very face.
    """
    known = find_sample(connection, bound, face, vector)
    if known is not None and name_key(known.person) == name_key(person.name):
        raise _is_enrolled(known)
    if person.id in denied_people(connection, face):
        return False
    feedback_tables.add_denial(connection, person.id, face, now)
    return True


def denied_people(connection: sqlite3.Connection, face: FaceKey) -> set[int]:
    """Return the numbers of the people that a face is not."""
    denials = feedback_tables.denials_of_photo(connection, face.content_hash, face.picture_hash)
    return {denial.person_id for denial in denials if is_same_place(denial.face, face)}


def withdraw(connection: sqlite3.Connection, person_id: int, face: FaceKey) -> bool:
    """Take back that a face is not a person's; returns whether that had been said."""
    denials = [
        denial.id
        for denial in feedback_tables.denials_of_photo(connection, face.content_hash, face.picture_hash)
        if denial.person_id == person_id and is_same_place(denial.face, face)
    ]
    feedback_tables.delete_denials(connection, denials)
    return bool(denials)


def remember_stranger(
    connection: sqlite3.Connection, bound: Binding, sample: NewSample, now: datetime
) -> tuple[int, bool]:
    """Remember a face as nobody's; returns the stranger's number and whether it is a new one.

    Raises
    ------
    UsageError
        Somebody has a sample that is this very face.
    """
    face, vector = key_of(sample), sample.vectors[PLAIN]
    known = find_sample(connection, bound, face, vector)
    if known is not None:
        raise _is_enrolled(known)
    for stranger, other in _strangers(connection, bound):
        if _is_sample(stranger, other, sample):
            return stranger.id, False
    return feedback_tables.add_stranger(connection, face, sample.path, vector, now), True


def give_way(connection: sqlite3.Connection, bound: Binding, person_id: int, samples: Sequence[NewSample]) -> None:
    """Drop what was said against faces that are a person's samples now."""
    for sample in samples:
        withdraw(connection, person_id, key_of(sample))
    strangers = _strangers(connection, bound)
    if strangers:
        enrolled = [
            stranger.id for stranger, vector in strangers if any(_is_sample(stranger, vector, one) for one in samples)
        ]
        feedback_tables.delete_strangers(connection, enrolled)


def merge_denials(connection: sqlite3.Connection, bound: Binding, source: int, target: Person) -> dict[int, bool]:
    """Give one person the denials of another, but for those of faces that are samples of either.

    To be called after the samples were moved.

    Returns
    -------
    dict[int, bool]
        The denials that came along, and whether the one who stays had denied the same face.
    """
    came = {denial.id for denial in feedback_tables.denials_of_person(connection, source)}
    feedback_tables.move_denials(connection, source, target.id)
    kept: dict[int, FaceKey] = {}
    along: dict[int, bool] = {}
    for denial in feedback_tables.denials_of_person(connection, target.id):
        known = find_sample(connection, bound, denial.face, None)
        own = known is not None and known.person == target.name
        same = next((number for number, face in kept.items() if is_same_place(denial.face, face)), None)
        if own or same is not None:
            feedback_tables.delete_denials(connection, [denial.id])
            if same is not None and (denial.id in came or same in came):
                along[same] = True
            continue
        kept[denial.id] = denial.face
        if denial.id in came:
            along[denial.id] = False
    return along


def key_of(sample: NewSample) -> FaceKey:
    """Return which face of which photo a sample is."""
    return FaceKey.enrolled(sample)


def _strangers(connection: sqlite3.Connection, bound: Binding) -> list[tuple[Stranger, FloatArray]]:
    matrix = feedback_tables.stranger_vectors(connection, bound).matrix
    return list(zip(feedback_tables.strangers(connection), matrix, strict=True))


def _is_sample(stranger: Stranger, vector: FloatArray, sample: NewSample) -> bool:
    return is_same_place(stranger.face, key_of(sample)) or is_same_vector(vector, sample.vectors[PLAIN])


def _is_enrolled(known: Known) -> UsageError:
    return UsageError(
        f"This very face is enrolled as {printable(known.person)}: if that is wrong, remove it first with "
        f"`facebank people remove-sample {known.sample_id}`."
    )
