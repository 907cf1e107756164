"""Detection of damaged SQLite indexes that hide rows.

The first few values are looked up in the whole table as well; after that, an index is compared with its table once per
connection, so that enrolling many people does not scan a large table for each.
"""

from __future__ import annotations

import sqlite3
from weakref import WeakKeyDictionary

from facebank.gallery.store.codec import single_value

NAMES_INDEX, OWNERS_INDEX = "sqlite_autoindex_people_1", "samples_by_person"

_MAX_LOOKUPS = 3  # values checked one by one; beyond that, the full comparison is cheaper
_COLUMNS = {NAMES_INDEX: ("people", "key"), OWNERS_INDEX: ("samples", "person_id")}
_CHECKED_VALUES: WeakKeyDictionary[sqlite3.Connection, dict[str, set[str | int]]] = WeakKeyDictionary()


def hides_rows(connection: sqlite3.Connection, index: str, value: str | int) -> bool:
    """Return whether an index lacks rows of a value, or has surplus ones."""
    table, column = _COLUMNS[index]
    checked = _CHECKED_VALUES.setdefault(connection, {}).setdefault(index, set())
    if value in checked or len(checked) > _MAX_LOOKUPS:
        return False
    if len(checked) < _MAX_LOOKUPS:
        indexed, unindexed = (
            f"SELECT count(*) FROM {table} {clause} WHERE {column} = :value"
            for clause in (f"INDEXED BY {index}", "NOT INDEXED")
        )
        statement = f"SELECT ({indexed}) != ({unindexed})"
    else:
        statement = f"""
            SELECT EXISTS (SELECT 1 FROM {table} AS a NOT INDEXED WHERE NOT EXISTS (
                SELECT 1 FROM {table} AS b INDEXED BY {index} WHERE b.{column} = a.{column} AND b.id = a.id))
            OR (SELECT count(*) FROM {table} INDEXED BY {index}) != (SELECT count(*) FROM {table} NOT INDEXED)
            """
    if single_value(connection.execute(statement, {"value": value} if ":value" in statement else {})):
        return True
    checked.add(value)
    return False
