"""What is asked of the tables of denials and strangers; as `facebank.gallery.tables`, inside a transaction.

A gallery of before these tables, which is only read, has neither denials nor strangers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from facebank.gallery.codec import (
    bytes_to_path,
    floats_from_bytes,
    floats_to_bytes,
    hex_digest,
    path_to_bytes,
    text_to_time,
    time_to_text,
    unit_rows,
    whole,
    wholes,
)
from facebank.gallery.records import FaceKey, Stranger, StrangerTable
from facebank.gallery.schema import FEEDBACK_SINCE, PICTURES_SINCE, schema_version
from facebank.gallery.sealing import delete, insert, update
from facebank.gallery.tables import of_photo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from facebank.faces import FloatArray
    from facebank.gallery.digests import Value
    from facebank.gallery.tables import Binding

_DENIALS = "SELECT id, person_id, content_hash, quarter_turns, box, denied_at, {picture} FROM denials "
_STRANGERS = "SELECT id, content_hash, quarter_turns, box, source, remembered_at, {picture} FROM strangers "
_PICTURED = ("samples", "denials", "strangers")


class Denial(NamedTuple):
    """A face that is not a person's."""

    id: int
    person_id: int
    face: FaceKey


# Denials --------------------------------------------------------------------------------------------------------


def add_denial(connection: sqlite3.Connection, person_id: int, face: FaceKey, now: datetime) -> None:
    """Write down that a face is not a person's."""
    insert(connection, "denials", [{"person_id": person_id, **_columns(face), "denied_at": time_to_text(now)}])


def denials_of_photo(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None = None
) -> list[Denial]:
    """Return what was denied about the faces of one photo, which is known by its bytes or by its picture."""
    if not _has_tables(connection):
        return []
    either, values = of_photo(connection, content_hash, picture_hash)
    return [_denial(row) for row in connection.execute(f"{_denials(connection)}WHERE {either} ORDER BY id", values)]


def denials_of_person(connection: sqlite3.Connection, person_id: int) -> list[Denial]:
    """Return the faces that are not a person's."""
    if not _has_tables(connection):
        return []
    rows = connection.execute(f"{_denials(connection)}WHERE person_id = ? ORDER BY id", (person_id,))
    return [_denial(row) for row in rows]


def move_denials(connection: sqlite3.Connection, source: int, target: int) -> None:
    """Give all denials of one person to another."""
    update(connection, "denials", "person_id", source, {"person_id": target})


def give_denial(connection: sqlite3.Connection, number: int, person_id: int, *, keep: bool) -> None:
    """Give a denial to another person, or a copy of it where the first person is to keep it."""
    if not keep:
        update(connection, "denials", "id", number, {"person_id": person_id})
        return
    columns = ("content_hash", "quarter_turns", "box", "denied_at", "picture_hash")
    row = connection.execute(
        "SELECT content_hash, quarter_turns, box, denied_at, picture_hash FROM denials WHERE id = ?", (number,)
    ).fetchone()
    if row is not None:
        insert(connection, "denials", [{**dict(zip(columns, row, strict=True)), "person_id": person_id}])


def delete_denials(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete denials."""
    delete(connection, "denials", "id", numbers)


# Strangers ------------------------------------------------------------------------------------------------------


def add_stranger(connection: sqlite3.Connection, face: FaceKey, source: str, vector: FloatArray, now: datetime) -> int:
    """Write a stranger down and return the number."""
    row = {"source": path_to_bytes(source), **_columns(face), "vector": floats_to_bytes(vector)}
    (number,) = insert(connection, "strangers", [{**row, "remembered_at": time_to_text(now)}])
    return number


def strangers(connection: sqlite3.Connection) -> list[Stranger]:
    """Return all strangers, in the order of their numbers."""
    if not _has_tables(connection):
        return []
    rows = connection.execute(f"{_STRANGERS.format(picture=_picture(connection))}ORDER BY id")
    return [
        Stranger(
            whole(number), _face(content_hash, turns, box, picture), bytes_to_path(source), text_to_time(remembered_at)
        )
        for number, content_hash, turns, box, source, remembered_at, picture in rows
    ]


def stranger_vectors(connection: sqlite3.Connection, bound: Binding) -> StrangerTable:
    """Return the embeddings of all strangers, in the order of their numbers."""
    rows = []
    if _has_tables(connection):
        rows = connection.execute("SELECT id, vector FROM strangers ORDER BY id").fetchall()
    return StrangerTable(wholes([row[0] for row in rows]), unit_rows([row[1] for row in rows], bound.pack.dimension))


def replace_stranger_vectors(connection: sqlite3.Connection, vectors: Mapping[int, FloatArray]) -> None:
    """Put other embeddings in the place of some strangers'."""
    for number, vector in vectors.items():
        update(connection, "strangers", "id", number, {"vector": floats_to_bytes(vector)})


def delete_strangers(connection: sqlite3.Connection, numbers: Iterable[int]) -> int:
    """Delete strangers and return how many there were."""
    return delete(connection, "strangers", "id", numbers)


# Pictures -------------------------------------------------------------------------------------------------------


def lacks_picture(connection: sqlite3.Connection, content_hash: str | None = None) -> bool:
    """Return whether a sample, a denial or a stranger has no hash of its photo's picture: of one photo, or of any."""
    if schema_version(connection) < PICTURES_SINCE:
        return False  # it is only read, and learns nothing
    if content_hash is None:
        where, values = "picture_hash IS NULL", tuple[str, ...]()
    else:
        where, values = "content_hash = ? AND +picture_hash IS NULL", (content_hash,)
    statements = (f"SELECT 1 FROM {table} WHERE {where} LIMIT 1" for table in _PICTURED)  # noqa: S608 - ours
    return any(connection.execute(statement, values).fetchone() is not None for statement in statements)


def set_picture(connection: sqlite3.Connection, content_hash: str, picture_hash: str) -> None:
    """Note the hash of a photo's picture wherever the photo's faces are kept without it."""
    for table in _PICTURED:
        statement = f"SELECT id FROM {table} WHERE content_hash = ? AND +picture_hash IS NULL"  # noqa: S608 - ours
        for (number,) in connection.execute(statement, (content_hash,)).fetchall():
            update(connection, table, "id", whole(number), {"picture_hash": picture_hash})


# Rows -----------------------------------------------------------------------------------------------------------


def _picture(connection: sqlite3.Connection) -> str:
    return "picture_hash" if schema_version(connection) >= PICTURES_SINCE else "NULL"


def _denials(connection: sqlite3.Connection) -> str:
    return _DENIALS.format(picture=_picture(connection))


def _has_tables(connection: sqlite3.Connection) -> bool:
    return schema_version(connection) >= FEEDBACK_SINCE


def _denial(row: tuple[object, ...]) -> Denial:
    number, person_id, content_hash, turns, box, denied_at, picture = row
    text_to_time(denied_at)
    return Denial(whole(number), whole(person_id), _face(content_hash, turns, box, picture))


def _columns(face: FaceKey) -> dict[str, Value]:
    return {
        "content_hash": face.content_hash,
        "quarter_turns": face.quarter_turns,
        "box": floats_to_bytes(face.box),
        "picture_hash": face.picture_hash,
    }


def _face(content_hash: object, turns: object, box: object, picture: object) -> FaceKey:
    picture_hash = None if picture is None else hex_digest(picture)
    return FaceKey(hex_digest(content_hash), whole(turns), floats_from_bytes(box, (4,)), picture_hash)
