"""Rows read with their seals checked, and whole tables with their sums; the caller holds the transaction.

What a decision rests on is read by one of these: a row that was altered, lost or doubled is `InvalidValueError`, which
the transaction turns into `GalleryFormatError`. Whole tables are read without their indexes, which may be damaged too.
Galleries of before the seals are read as they are.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from facebank.gallery.store.codec import reals, wholes
from facebank.gallery.store.digests import Kind, row_digests, signed, summed
from facebank.gallery.store.schema import SEALS_SINCE, schema_version
from facebank.gallery.store.sealed_tables import TABLES
from facebank.gallery.store.sealing import Sum, kept_sum, seal_of, sum_name
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from facebank.gallery.store.digests import Column, Value

Row = dict[str, Any]

_AT_ONCE = 10_000
_NUMBERS_AT_ONCE = 500
_FEW = 10  # rows are digested faster one by one
_ABSENT: Mapping[str, Value] = {"masked": 0, "camera_dated": 0}


def has_seals(connection: sqlite3.Connection) -> bool:
    """Return whether the file is of a version whose rows are sealed."""
    return schema_version(connection) >= SEALS_SINCE


def rows_of(connection: sqlite3.Connection, table: str, where: str = "", values: Sequence[Value] = ()) -> list[Row]:
    """Return rows by column, each as it was sealed; what the file has no column for yet is None, or 0.

    Parameters
    ----------
    connection
        Inside a transaction.
    table
        The table's name.
    where
        What follows the table's name in the statement.
    values
        For the question marks in `where`.
    """
    return _read(connection, table, where, values)[0]


def rows_by_number(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    numbers: Iterable[int],
    further: Mapping[str, Value] | None = None,
) -> list[Row]:
    """Return the rows that have one of some numbers in a column, each as it was sealed.

    Parameters
    ----------
    connection, table
        As for `rows_of`.
    column
        The column, which has an index.
    numbers
        The numbers.
    further
        Values that other columns have in them.
    """
    wanted: list[Value] = [int(number) for number in numbers]
    found: list[Row] = []
    conditions = "".join(f" AND {name} = ?" for name in further or {})
    for start in range(0, len(wanted), _NUMBERS_AT_ONCE):
        some = wanted[start : start + _NUMBERS_AT_ONCE]
        marks = ", ".join("?" * len(some))
        where = f"WHERE {column} IN ({marks}){conditions} ORDER BY {column}"
        found += rows_of(connection, table, where, [*some, *(further or {}).values()])
    return found


def every_row(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Return all rows of a table that has one sum, in the order of their keys: none is lost, none is too much."""
    order = ", ".join(TABLES[table].key)
    rows, total = _read(connection, table, f"NOT INDEXED ORDER BY {order}", ())
    if has_seals(connection):
        check_sum(connection, table, None, Sum(len(rows), total))
    return rows


def kept_rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Return what `every_row` does, read once for as long as the file is as it was: not to be changed."""
    kept = _kept.setdefault(connection, {})
    state = _state(connection)
    if table not in kept or kept[table][0] != state:
        kept[table] = state, every_row(connection, table)
    return kept[table][1]


def let_go(connection: sqlite3.Connection) -> None:
    """Let go of what `kept_rows` keeps; to be called after a change, which may have been undone."""
    _kept.pop(connection, None)


def blocks_of(
    connection: sqlite3.Connection, table: str, part: str, group: Value = None, rows_at_once: int = _AT_ONCE
) -> Iterator[list[Any]]:
    """Yield some columns of all rows of a table, or of a group of them, in the order of numbers or, if any, an index.

    Whole and real numbers are arrays of ``int64`` and ``float64``, texts and bytes sequences.

    After the last block the sum of the part is checked: nothing may be made of the blocks before.

    Parameters
    ----------
    connection, table
        As for `rows_of`.
    part
        The part of the table, which says what the columns are.
    group
        The value that the rows have in the column by which the part is summed.
    rows_at_once
        How many rows a block has at most.
    """
    version = schema_version(connection)
    known, wanted = TABLES[table], TABLES[table].parts[part]
    there = known.columns_in(version)
    if wanted.having is not None and wanted.having not in there:
        return
    if wanted.by is not None and wanted.by not in there and group != _ABSENT[wanted.by]:
        return
    columns = ", ".join(name if name in there else str(_ABSENT[name]) for name in wanted.columns)
    conditions, values = ["1"], []
    if wanted.having is not None:
        conditions.append(f"{wanted.having} IS NOT NULL")
    if wanted.by is not None and wanted.by in there:
        conditions.append(f"{wanted.by} = ?")
        values.append(group)
    indexed = wanted.index is not None and version >= wanted.since
    source = f"{table} INDEXED BY {wanted.index}" if indexed else f"{table} NOT INDEXED"
    order = "" if indexed else f"ORDER BY {known.key[0]}"
    statement = f"SELECT {columns} FROM {source} WHERE {' AND '.join(conditions)} {order}"
    seen = Sum(0, 0)
    cursor = connection.execute(statement, values)
    while block := cursor.fetchmany(rows_at_once):
        try:
            read = [
                _array(values, known.columns[name])
                for name, values in zip(wanted.columns, zip(*block, strict=True), strict=True)
            ]
            if version >= SEALS_SINCE:
                by_column: dict[str, Column] = dict(zip(wanted.columns, read, strict=True))
                digests = row_digests(f"{table}.{part}", by_column, known.columns, len(block))
                seen = Sum(seen.row_count + len(block), seen.total + summed(digests))
        except InvalidValueError as error:
            raise damage_of(connection, table, str(error)) from error
        yield read
    if version >= SEALS_SINCE:
        check_sum(connection, table, part, seen, group)


def summed_groups(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the values by which a table is summed, of those that any row has."""
    names = [str(name) for (name,) in connection.execute("SELECT name FROM sums")]
    return {
        name.partition(" ")[2]
        for name in names
        if name.startswith(f"{table} ") and kept_sum(connection, name).row_count
    }


def check_sum(connection: sqlite3.Connection, table: str, part: str | None, seen: Sum, group: Value = None) -> None:
    """Compare what was read with the sum that is kept; raises `InvalidValueError` that says what is damaged."""
    kept = kept_sum(connection, sum_name(table, part, group))
    if (seen.row_count, signed(seen.total)) != kept:
        raise damage_of(connection, table, _counted(table, seen.row_count, kept.row_count))


def damage_of(connection: sqlite3.Connection, table: str, otherwise: str) -> InvalidValueError:
    """Return the error that names the first row of a table that is not as it was sealed, or says something else."""
    try:
        for row in unchecked_rows(connection, table):
            seal = row.pop("seal")
            if not is_sealed(table, row, seal):
                return InvalidValueError(f"{described(connection, table, row)} is not as it was written")
    except sqlite3.Error:
        pass
    return InvalidValueError(otherwise)


def is_sealed(table: str, row: Mapping[str, Value], seal: object) -> bool:
    """Return whether a row is as it was sealed."""
    try:
        return seal_of(table, row) == seal
    except InvalidValueError:
        return False


def described(connection: sqlite3.Connection, table: str, row: Mapping[str, Value]) -> str:
    """Say which row of which table it is, with the person's name where that can be told."""
    said = _DESCRIBED.get(table, f"a row of its table '{table}'").format_map(
        {name: printable(str(value)) for name, value in row.items()}
    )
    if table in {"thumbnails", "vectors"}:
        return f"{said}{_of_owner(connection, row['sample_id'])}"
    return f"{said}{_of_person(connection, row['person_id'])}" if "person_id" in row else said


def _read(connection: sqlite3.Connection, table: str, where: str, values: Sequence[Value]) -> tuple[list[Row], int]:
    """Return rows, and what their seals add up to."""
    version = schema_version(connection)
    known = TABLES[table]
    if version < known.since:
        return [], 0
    columns = known.columns_in(version)
    is_sealed = version >= SEALS_SINCE
    wanted = ", ".join((*columns, "seal") if is_sealed else columns)
    found = connection.execute(f"SELECT {wanted} FROM {table} {where}", values).fetchall()
    rows = [dict(zip(columns, row, strict=False)) for row in found]
    total = _checked_seals(connection, table, rows, [row[-1] for row in found]) if is_sealed and found else 0
    absent = {column: _ABSENT.get(column) for column in known.columns if column not in columns}
    return [{**row, **absent} for row in rows] if absent else rows, total


def _checked_seals(connection: sqlite3.Connection, table: str, rows: list[Row], seals: list[Any]) -> int:
    digests: list[int] = []
    try:
        if len(rows) < _FEW:
            digests = [seal_of(table, row) for row in rows]
        else:
            columns: dict[str, Column] = {name: [row[name] for row in rows] for name in rows[0]}
            digests = row_digests(table, columns, TABLES[table].columns, len(rows)).tolist()
    except InvalidValueError:  # a value is of another kind than its column's
        pass
    if digests != seals:
        broken = next((row for row, seal in zip(rows, seals, strict=True) if not is_sealed(table, row, seal)), rows[0])
        raise InvalidValueError(f"{described(connection, table, broken)} is not as it was written")
    return sum(seals)


def _array(values: Sequence[Any], kind: Kind) -> Column:
    if kind is Kind.REAL:
        return reals(values)
    return wholes(values) if kind is Kind.WHOLE else values


def unchecked_rows(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Yield all rows of a table as they are, with their ``seal`` where they have one; for what looks for damage."""
    version = schema_version(connection)
    if version < TABLES[table].since:
        return
    columns = TABLES[table].columns_in(version)
    if version >= SEALS_SINCE:
        columns += ("seal",)
    for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED"):
        yield dict(zip(columns, row, strict=True))


def _of_owner(connection: sqlite3.Connection, sample_id: Value) -> str:
    try:
        row = connection.execute("SELECT person_id FROM samples WHERE id = ?", (sample_id,)).fetchone()
    except sqlite3.Error:
        return ""
    return "" if row is None else _of_person(connection, row[0])


def _of_person(connection: sqlite3.Connection, person_id: Value) -> str:
    try:
        row = connection.execute("SELECT name FROM people WHERE id = ?", (person_id,)).fetchone()
    except sqlite3.Error:
        return ""
    return "" if row is None else f" of '{printable(str(row[0]))}'"


_kept: WeakKeyDictionary[sqlite3.Connection, dict[str, tuple[tuple[int, int], list[Row]]]] = WeakKeyDictionary()


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return what changes with every change of the file, by this connection or another."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return version, connection.total_changes


_DESCRIBED = {
    "people": "the person {id} '{name}'",
    "samples": "the sample {id}",
    "thumbnails": "the thumbnail of the sample {sample_id}",
    "vectors": "the embedding '{variant}' of the sample {sample_id}",
    "denials": "the denial {id}",
    "strangers": "the stranger {id}",
    "settings": "the setting '{key}'",
}
_ROWS = {
    "people": "people",
    "samples": "samples",
    "vectors": "embeddings",
    "thumbnails": "thumbnails",
    "denials": "denials",
    "strangers": "strangers",
    "settings": "settings",
    "packs": "packs",
}


def _counted(table: str, seen: int, kept: int) -> str:
    if seen == kept:
        return f"its {_ROWS.get(table, table)} are not those that were written"
    return f"of {kept} {_ROWS.get(table, table)} {seen} can be read"
