"""The gallery's state: revision, pack and settings; call inside a transaction. Damage raises `InvalidValueError`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from facebank.errors import UsageError
from facebank.gallery.records import PackIdentity
from facebank.gallery.store.codec import MAX_DIMENSION, variant_name
from facebank.gallery.store.rows import all_rows, cached_rows, delete, delete_all, insert, rows_of, update
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, integer

if TYPE_CHECKING:
    import sqlite3

    from facebank.gallery.store.digests import Value
    from facebank.gallery.store.rows import Row

_DENIALS_SETTING = "denials_revision"
_MAX_SETTING_LENGTH = 64 * 1024  # characters of JSON


class Binding(NamedTuple):
    """The pack that a gallery is bound to, and its number in the file."""

    pack_id: int
    pack: PackIdentity


def begin_gallery(connection: sqlite3.Connection, pack: PackIdentity) -> None:
    """Write the one row that binds a new gallery to its pack."""
    insert(connection, "gallery", [{"id": 1, "pack_id": add_pack(connection, pack), "revision": 0, "traces": 0}])


def add_pack(connection: sqlite3.Connection, pack: PackIdentity) -> int:
    """Return the number of a pack in the file, after adding it if it is new."""
    stored = connection.execute("SELECT id FROM packs WHERE digest = ?", (pack.digest,)).fetchone()
    if stored is not None:
        return int(stored[0])
    row: dict[str, Value] = {"name": pack.name, "digest": pack.digest, "dimension": pack.dimension}
    (pack_id,) = insert(connection, "packs", [row])
    return pack_id


def binding(connection: sqlite3.Connection) -> Binding:
    """Return the pack that the gallery is bound to."""
    pack_ids = [row["pack_id"] for row in rows_of(connection, "gallery")]
    packs = [row for row in all_rows(connection, "packs") if row["id"] in pack_ids]
    if len(pack_ids) != 1 or not packs:
        raise InvalidValueError("it has no pack")
    pack_id, name, digest, dimension = (packs[0][column] for column in ("id", "name", "digest", "dimension"))
    if not (isinstance(name, str) and isinstance(digest, str) and isinstance(dimension, int)):
        raise InvalidValueError("it has no pack")
    if not 1 <= dimension <= MAX_DIMENSION:
        raise InvalidValueError(f"its embeddings have an invalid dimension {dimension}")
    return Binding(integer(pack_id), PackIdentity(name, digest, dimension))


def bind(connection: sqlite3.Connection, pack_id: int) -> None:
    """Bind the gallery to a pack, and drop all embeddings."""
    others = [number for (number,) in connection.execute("SELECT id FROM packs") if number != pack_id]
    delete_all(connection, "vectors")
    update(connection, "gallery", "id", 1, {"pack_id": pack_id})
    delete(connection, "packs", "id", others)


def revision(connection: sqlite3.Connection) -> int:
    """Return the gallery's revision."""
    return integer(_gallery(connection)["revision"])


def advance(connection: sqlite3.Connection) -> int:
    """Advance the gallery's revision by one and return it."""
    new_revision = revision(connection) + 1
    update(connection, "gallery", "id", 1, {"revision": new_revision})
    return new_revision


def denials_revision(connection: sqlite3.Connection) -> int:
    """Return a number that increases with every change of denials only."""
    stored = read_setting(connection, _DENIALS_SETTING)
    return stored if isinstance(stored, int) else 0


def advance_denials(connection: sqlite3.Connection) -> None:
    """Advance `denials_revision` by one."""
    write_setting(connection, _DENIALS_SETTING, denials_revision(connection) + 1)


def traces(connection: sqlite3.Connection) -> int:
    """Return the revision of the last removal whose bytes may still be in the file; 0 if there is none."""
    return integer(_gallery(connection)["traces"])


def note_traces(connection: sqlite3.Connection) -> None:
    """Record a removal whose bytes may still be in the file; call it after `advance`."""
    update(connection, "gallery", "id", 1, {"traces": revision(connection)})


def clear_traces(connection: sqlite3.Connection, wiped: int) -> None:
    """Record that the bytes are erased, unless more was removed after revision `wiped`."""
    if traces(connection) == wiped:
        update(connection, "gallery", "id", 1, {"traces": 0})


def read_setting(connection: sqlite3.Connection, key: str) -> Any:
    """Return a setting's value, decoded from JSON; None if it is not set."""
    text = next((str(row["value"]) for row in cached_rows(connection, "settings") if row["key"] == key), None)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"the setting '{printable(key)}' is not JSON") from error


def write_setting(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Set a setting to a JSON value; None removes it. Raises `UsageError` for other values."""
    try:
        variant_name(key)
        text = None if value is None else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"The setting '{printable(key)}' cannot be stored: {error}.") from error
    if text is not None and len(text) > _MAX_SETTING_LENGTH:
        raise UsageError(f"The setting '{printable(key)}' cannot be stored: it is larger than 64 KiB.")
    delete(connection, "settings", "key", [key])
    if text is not None:
        insert(connection, "settings", [{"key": key, "value": text}])


def _gallery(connection: sqlite3.Connection) -> Row:
    rows = rows_of(connection, "gallery")
    if len(rows) != 1:
        raise InvalidValueError("its table 'gallery' does not have exactly one row")
    return rows[0]
