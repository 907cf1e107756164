"""User feedback on faces: denials ("this is not Ada") and strangers ("nobody I know"); call inside a transaction.

Invariants: no sample of a person is denied for that person or remembered as a stranger. A sample added by enrollment or
a merge overrides earlier denials. Older galleries without these tables are read-only and have neither denials nor
strangers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from facebank.errors import UsageError
from facebank.gallery.names import name_key
from facebank.gallery.records import PLAIN, FaceKey, Stranger, StrangerTable
from facebank.gallery.same_face import find_sample, is_same_place, is_same_vector
from facebank.gallery.store.codec import (
    float_array,
    floats_from_bytes,
    floats_to_bytes,
    integer_array,
    unit_length,
    unit_rows,
)
from facebank.gallery.store.rows import all_rows, cached_rows, delete, insert, update
from facebank.gallery.store.schema import PICTURES_SINCE, schema_version
from facebank.gallery.store.state import advance_denials
from facebank.storage.text import printable
from facebank.storage.values import (
    InvalidValueError,
    bytes_to_path,
    hex_digest,
    integer,
    path_to_bytes,
    quarter_turns,
    text_to_time,
    time_to_text,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from facebank.gallery.records import NewSample
    from facebank.gallery.store.digests import Value
    from facebank.gallery.store.rows import Row
    from facebank.gallery.store.state import Binding
    from facebank.gallery.vectors import SampleOwner
    from facebank.types import FloatArray, Person

_TABLES_WITH_PICTURE = ("samples", "denials", "strangers")


class Denial(NamedTuple):
    """A face that, according to a user, is not a person's."""

    id: int
    person_id: int
    face: FaceKey


def check_face(face: FaceKey, vector: FloatArray | None, dimension: int) -> None:
    """Raise `UsageError` for an invalid face of a photo or an invalid embedding."""
    try:
        float_array(face.box, (4,))
        hex_digest(face.content_hash)
        if face.picture_hash is not None:
            hex_digest(face.picture_hash)
        quarter_turns(face.quarter_turns)
        if vector is not None:
            unit_length(float_array(vector, (dimension,)))
    except InvalidValueError as error:
        raise UsageError(f"Invalid face of a photo: {error}.") from error


def deny(
    connection: sqlite3.Connection,
    bound: Binding,
    person: Person,
    face: FaceKey,
    *,
    vector: FloatArray | None,
    now: datetime,
) -> bool:
    """Record that a face is not a person's; returns whether the denial is new.

    Raises `UsageError` if the face is one of the person's samples.
    """
    existing = find_sample(connection, bound, face, vector)
    if existing is not None and name_key(existing.person) == name_key(person.name):
        raise _enrolled_error(existing)
    if person.id in denied_people(connection, face):
        return False
    insert(connection, "denials", [{"person_id": person.id, **_face_columns(face), "denied_at": time_to_text(now)}])
    advance_denials(connection)
    return True


def denied_people(connection: sqlite3.Connection, face: FaceKey) -> set[int]:
    """Return the ids of the people for whom the face was denied."""
    return {denial.person_id for denial in _denials_of_face(connection, face)}


def withdraw(connection: sqlite3.Connection, person_id: int, face: FaceKey) -> bool:
    """Withdraw a denial; returns whether there was one."""
    denials = [denial.id for denial in _denials_of_face(connection, face) if denial.person_id == person_id]
    delete(connection, "denials", "id", denials)
    if denials:
        advance_denials(connection)
    return bool(denials)


def denials_of_person(connection: sqlite3.Connection, person_id: int) -> list[Denial]:
    """Return the denials of a person."""
    return [_parse_denial(row) for row in cached_rows(connection, "denials") if row["person_id"] == person_id]


def merge_denials(connection: sqlite3.Connection, bound: Binding, source: int, target: Person) -> dict[int, bool]:
    """Move denials to a person, except those of faces that are samples of either; the samples have moved already.

    Returns
    -------
    dict[int, bool]
        The moved denials by id, and whether the remaining person had denied the same face.
    """
    moved_ids = {denial.id for denial in denials_of_person(connection, source)}
    update(connection, "denials", "person_id", source, {"person_id": target.id})
    kept_faces: dict[int, FaceKey] = {}
    moved: dict[int, bool] = {}
    for denial in denials_of_person(connection, target.id):
        existing = find_sample(connection, bound, denial.face, None)
        is_own = existing is not None and existing.person == target.name
        same_id = next((denial_id for denial_id, face in kept_faces.items() if is_same_place(denial.face, face)), None)
        if is_own or same_id is not None:
            delete(connection, "denials", "id", [denial.id])
            if same_id is not None and (denial.id in moved_ids or same_id in moved_ids):
                moved[same_id] = True
            continue
        kept_faces[denial.id] = denial.face
        if denial.id in moved_ids:
            moved[denial.id] = False
    return moved


def move_denial(connection: sqlite3.Connection, denial_id: int, person_id: int, *, keep: bool) -> None:
    """Move a denial to another person, or copy it if `keep`."""
    if not keep:
        update(connection, "denials", "id", denial_id, {"person_id": person_id})
        return
    columns = ("content_hash", "quarter_turns", "box", "denied_at", "picture_hash")
    statement = f"SELECT {', '.join(columns)} FROM denials WHERE id = ?"  # noqa: S608 - constants
    row = connection.execute(statement, (denial_id,)).fetchone()
    if row is not None:
        insert(connection, "denials", [{**dict(zip(columns, row, strict=True)), "person_id": person_id}])


def _denials_of_face(connection: sqlite3.Connection, face: FaceKey) -> list[Denial]:
    denials = [
        _parse_denial(row)
        for row in cached_rows(connection, "denials")
        if row["content_hash"] == face.content_hash or (face.picture_hash and row["picture_hash"] == face.picture_hash)
    ]
    return [denial for denial in denials if is_same_place(denial.face, face)]


def remember_stranger(
    connection: sqlite3.Connection, bound: Binding, sample: NewSample, now: datetime
) -> tuple[int, bool]:
    """Remember a face as a stranger; returns the stranger's id and whether it is new.

    Raises `UsageError` if the face is a person's sample.
    """
    face, vector = FaceKey.from_sample(sample), sample.vectors[PLAIN]
    existing = find_sample(connection, bound, face, vector)
    if existing is not None:
        raise _enrolled_error(existing)
    for stranger, other in _strangers_with_embeddings(connection, bound):
        if _is_sample(stranger, other, sample):
            return stranger.id, False
    row = {"source": path_to_bytes(sample.path), **_face_columns(face), "vector": floats_to_bytes(vector)}
    (stranger_id,) = insert(connection, "strangers", [{**row, "remembered_at": time_to_text(now)}])
    return stranger_id, True


def strangers(connection: sqlite3.Connection) -> list[Stranger]:
    """Return all strangers, by id."""
    return [
        Stranger(integer(row["id"]), _parse_face(row), bytes_to_path(row["source"]), text_to_time(row["remembered_at"]))
        for row in all_rows(connection, "strangers")
    ]


def stranger_vectors(connection: sqlite3.Connection, bound: Binding) -> StrangerTable:
    """Return the embeddings of all strangers, by id."""
    rows = all_rows(connection, "strangers")
    matrix = unit_rows([row["vector"] for row in rows], bound.pack.dimension)
    return StrangerTable(integer_array([row["id"] for row in rows]), matrix)


def drop_contradicted(
    connection: sqlite3.Connection, bound: Binding, person_id: int, samples: Sequence[NewSample]
) -> None:
    """Drop denials and strangers that a person's new samples contradict."""
    for sample in samples:
        withdraw(connection, person_id, FaceKey.from_sample(sample))
    enrolled = [
        stranger.id
        for stranger, vector in _strangers_with_embeddings(connection, bound)
        if any(_is_sample(stranger, vector, sample) for sample in samples)
    ]
    delete(connection, "strangers", "id", enrolled)


def _strangers_with_embeddings(connection: sqlite3.Connection, bound: Binding) -> list[tuple[Stranger, FloatArray]]:
    return list(zip(strangers(connection), stranger_vectors(connection, bound).matrix, strict=True))


def _is_sample(stranger: Stranger, vector: FloatArray, sample: NewSample) -> bool:
    return is_same_place(stranger.face, FaceKey.from_sample(sample)) or is_same_vector(vector, sample.vectors[PLAIN])


def lacks_picture_hash(connection: sqlite3.Connection, content_hash: str | None = None) -> bool:
    """Return whether any sample, denial or stranger, of one photo or of all, lacks its photo's picture hash."""
    if schema_version(connection) < PICTURES_SINCE:
        return False  # an older gallery is read-only and has no such column
    if content_hash is None:
        where, values = "picture_hash IS NULL", tuple[str, ...]()
    else:
        where, values = "content_hash = ? AND +picture_hash IS NULL", (content_hash,)
    statements = (f"SELECT 1 FROM {table} WHERE {where} LIMIT 1" for table in _TABLES_WITH_PICTURE)  # noqa: S608 - constants
    return any(connection.execute(statement, values).fetchone() is not None for statement in statements)


def set_picture_hash(connection: sqlite3.Connection, content_hash: str, picture_hash: str | None) -> None:
    """Store a photo's picture hash with its samples, denials and strangers that lack it; no-op for None."""
    if picture_hash is None:
        return
    for table in _TABLES_WITH_PICTURE:
        statement = f"SELECT id FROM {table} WHERE content_hash = ? AND +picture_hash IS NULL"  # noqa: S608 - constants
        for (row_id,) in connection.execute(statement, (content_hash,)).fetchall():
            update(connection, table, "id", integer(row_id), {"picture_hash": picture_hash})
            if table == "denials":  # they now hold for copies of the photo too
                advance_denials(connection)


def _parse_denial(row: Row) -> Denial:
    text_to_time(row["denied_at"])
    return Denial(integer(row["id"]), integer(row["person_id"]), _parse_face(row))


def _face_columns(face: FaceKey) -> dict[str, Value]:
    return {
        "content_hash": face.content_hash,
        "quarter_turns": face.quarter_turns,
        "box": floats_to_bytes(face.box),
        "picture_hash": face.picture_hash,
    }


def _parse_face(row: Row) -> FaceKey:
    return FaceKey(
        hex_digest(row["content_hash"]),
        integer(row["quarter_turns"]),
        floats_from_bytes(row["box"], (4,)),
        None if row["picture_hash"] is None else hex_digest(row["picture_hash"]),
    )


def _enrolled_error(existing: SampleOwner) -> UsageError:
    return UsageError(
        f"This face is already enrolled as {printable(existing.person)}: if that is wrong, remove it first with "
        f"'facebank people remove-sample {existing.sample_id}'."
    )
