"""What is asked of the tables of denials and strangers; as `facebank.gallery.store.tables`, inside a transaction.

A gallery of before these tables, which is only read, has neither denials nor strangers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from facebank.gallery.records import FaceKey, Stranger, StrangerTable
from facebank.gallery.store.checked_rows import every_row, kept_rows
from facebank.gallery.store.codec import floats_from_bytes, floats_to_bytes, unit_rows, wholes
from facebank.gallery.store.schema import PICTURES_SINCE, schema_version
from facebank.gallery.store.sealing import delete, insert, update
from facebank.storage.values import bytes_to_path, hex_digest, path_to_bytes, text_to_time, time_to_text, whole

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from facebank.gallery.store.checked_rows import Row
    from facebank.gallery.store.digests import Value
    from facebank.gallery.store.tables import Binding
    from facebank.types import FloatArray

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
    return [
        _denial(row)
        for row in kept_rows(connection, "denials")
        if row["content_hash"] == content_hash or (picture_hash and row["picture_hash"] == picture_hash)
    ]


def denials_of_person(connection: sqlite3.Connection, person_id: int) -> list[Denial]:
    """Return the faces that are not a person's."""
    return [_denial(row) for row in kept_rows(connection, "denials") if row["person_id"] == person_id]


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
    return [
        Stranger(whole(row["id"]), _face(row), bytes_to_path(row["source"]), text_to_time(row["remembered_at"]))
        for row in every_row(connection, "strangers")
    ]


def stranger_vectors(connection: sqlite3.Connection, bound: Binding) -> StrangerTable:
    """Return the embeddings of all strangers, in the order of their numbers."""
    rows = every_row(connection, "strangers")
    matrix = unit_rows([row["vector"] for row in rows], bound.pack.dimension)
    return StrangerTable(wholes([row["id"] for row in rows]), matrix)


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


def _denial(row: Row) -> Denial:
    text_to_time(row["denied_at"])
    return Denial(whole(row["id"]), whole(row["person_id"]), _face(row))


def _columns(face: FaceKey) -> dict[str, Value]:
    return {
        "content_hash": face.content_hash,
        "quarter_turns": face.quarter_turns,
        "box": floats_to_bytes(face.box),
        "picture_hash": face.picture_hash,
    }


def _face(row: Row) -> FaceKey:
    return FaceKey(
        hex_digest(row["content_hash"]),
        whole(row["quarter_turns"]),
        floats_from_bytes(row["box"], (4,)),
        None if row["picture_hash"] is None else hex_digest(row["picture_hash"]),
    )
