"""Reading and writing of rows with seals that detect damage; the caller holds the transaction.

A row's seal is the digest of its columns. A table's sums hold its number of rows and the total of their seals, overall
and over some columns: they detect lost, altered and duplicate rows. All data that decisions depend on is read here;
damage is an `InvalidValueError`, which the transaction translates to `GalleryFormatError`. Whole tables are read
without their indexes, which may be damaged too. Rows are checked before they are changed or deleted, so that damage is
never sealed. Galleries older than the seals are read without checks.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from facebank.gallery.store.codec import integer_array, real_array
from facebank.gallery.store.digests import ColumnKind, row_digest, row_digests, signed, sum_digests
from facebank.gallery.store.schema import SEALS_SINCE, TABLES, has_seals, schema_version
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facebank.gallery.store.digests import Column, Value

Row = dict[str, Any]

_VALUES_PER_QUERY = 500
_ROWS_PER_SEALING = 2_000
_ROWS_PER_BLOCK = 10_000
_MIN_BATCH = 10  # fewer rows are digested faster one by one
_FIRST_ROW = -(1 << 63)
_ABSENT: Mapping[str, Value] = {"masked": 0, "camera_dated": 0}  # of columns that older versions lack; else NULL
_ROW_NAMES = {
    "people": "the person {id} '{name}'",
    "samples": "the sample {id}",
    "thumbnails": "the thumbnail of the sample {sample_id}",
    "vectors": "the embedding '{variant}' of the sample {sample_id}",
    "denials": "the denial {id}",
    "strangers": "the stranger {id}",
    "settings": "the setting '{key}'",
}
_CACHE: WeakKeyDictionary[sqlite3.Connection, dict[str, tuple[tuple[int, int], list[Row]]]] = WeakKeyDictionary()


class Sum(NamedTuple):
    """The number of rows, and the sum of their digests in 64 bits."""

    row_count: int
    total: int

    def with_digests(self, digests: NDArray[np.int64]) -> Sum:
        """Return the sum with the digests ``(N,)`` of further rows."""
        return Sum(self.row_count + len(digests), signed(self.total + sum_digests(digests)))


EMPTY_SUM = Sum(0, 0)


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Value]]) -> list[int]:
    """Write new rows and return their ids.

    All rows must have the same columns, including unsealed ones; other columns are NULL.
    """
    if not rows:
        return []
    columns = list(rows[0])
    is_numbered = TABLES[table].key == ("id",) and "id" not in columns
    placeholders = ", ".join("?" * (len(columns) + 1))
    statement = f"INSERT INTO {table} ({', '.join(columns)}, seal) VALUES ({placeholders})"
    row_ids, sealed = [], []
    for values in rows:
        seal = 0 if is_numbered else seal_of(table, values)
        row_id = int(connection.execute(statement, (*values.values(), seal)).lastrowid or 0)
        row = {"id": row_id, **values} if is_numbered else values
        if is_numbered:
            connection.execute(f"UPDATE {table} SET seal = ? WHERE id = ?", (seal_of(table, row), row_id))
        row_ids.append(row_id)
        sealed.append(row)
    _update_sums(connection, table, (), sealed)
    return row_ids


def update(connection: sqlite3.Connection, table: str, column: str, value: Value, changes: Mapping[str, Value]) -> None:
    """Set `changes` in all rows whose `column` equals `value`; no-op if there are none.

    Reads the whole table, unless the column is its key, so that a damaged index cannot hide a row.
    """
    where = f"WHERE {column} = ?" if TABLES[table].key == (column,) else f"NOT INDEXED WHERE {column} = ?"
    key = " AND ".join(f"{name} = ?" for name in TABLES[table].key)
    statement = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in changes)}, seal = ? WHERE {key}"
    before = _intact_rows(connection, table, where, (value,))
    after = [{**row, **changes} for row in before]
    for old, new in zip(before, after, strict=True):
        keys = (old[name] for name in TABLES[table].key)
        connection.execute(statement, (*changes.values(), seal_of(table, new), *keys))
    _update_sums(connection, table, before, after)


def delete(connection: sqlite3.Connection, table: str, column: str, values: Iterable[Value]) -> int:
    """Delete all rows whose `column` is one of `values`, and their child rows; return the number of rows.

    Reads the whole table, so that a damaged index cannot hide data of a forgotten person.
    """
    remaining, deleted = list(values), 0
    for start in range(0, len(remaining), _VALUES_PER_QUERY):
        batch = tuple(remaining[start : start + _VALUES_PER_QUERY])
        where = f"NOT INDEXED WHERE {column} IN ({', '.join('?' * len(batch))})"
        rows = _intact_rows(connection, table, where, batch)
        if not rows:
            continue
        for child, reference in _children(table):
            delete(connection, child, reference, [row["id"] for row in rows])
        connection.execute(f"DELETE FROM {table} {where}", batch)
        _update_sums(connection, table, rows, ())
        deleted += len(rows)
    return deleted


def delete_all(connection: sqlite3.Connection, table: str) -> None:
    """Delete all rows of a table without children, including damaged ones."""
    connection.execute(f"DELETE FROM {table}")
    _drop_sums(connection, table)


def seal_table(connection: sqlite3.Connection, table: str) -> None:
    """Seal and sum all rows of a table unchecked, for migrations and repairs."""
    existing = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
    columns = [column for column in TABLES[table].columns if column in existing]
    _drop_sums(connection, table)
    statement = (
        f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_ROWS_PER_SEALING}"
    )
    sums: dict[str, Sum] = {}
    last_id = _FIRST_ROW
    while block := connection.execute(statement, (last_id,)).fetchall():
        row_ids, *values = zip(*block, strict=True)
        by_column = dict(zip(columns, values, strict=True))
        seals = row_digests(table, by_column, TABLES[table].columns, len(block)).tolist()
        connection.executemany(f"UPDATE {table} SET seal = ? WHERE rowid = ?", zip(seals, row_ids, strict=True))
        for name, digests in _all_summands(table, by_column, seals):
            row_count, total = sums.get(name, EMPTY_SUM)
            sums[name] = Sum(row_count + len(digests), total + sum(digests))
        last_id = row_ids[-1]
    _change_sums(connection, sums)


def seal_of(table: str, row: Mapping[str, Value]) -> int:
    """Return the digest of a row's sealed columns."""
    kinds = TABLES[table].columns
    return row_digest(table, {name: row[name] for name in kinds if name in row}, kinds)


def sum_name(table: str, part: str | None = None, group: Value = None) -> str:
    """Return the name of a sum, such as ``vectors plain`` or ``samples.owners 0``."""
    name = table if part is None else f"{table}.{part}"
    return name if group is None else f"{name} {group!s}"


def is_sum_of(name: str, table: str) -> bool:
    """Return whether a sum of this name belongs to a table."""
    return name.partition(" ")[0].partition(".")[0] == table


def read_sum(connection: sqlite3.Connection, name: str) -> Sum:
    """Return a stored sum; `EMPTY_SUM` if there is none."""
    row = connection.execute("SELECT row_count, total, seal FROM sums WHERE name = ?", (name,)).fetchone()
    if row is None:
        return EMPTY_SUM
    row_count, total, seal = row
    if seal != seal_of("sums", {"name": name, "row_count": row_count, "total": total}):
        raise InvalidValueError(f"the checksum '{name}' does not match its digest")
    return Sum(row_count, total)


def _intact_rows(connection: sqlite3.Connection, table: str, where: str, values: Sequence[Value]) -> list[Row]:
    """Return rows by column, after checking their seals."""
    columns = [*TABLES[table].columns, "seal"]
    cursor = connection.execute(f"SELECT {', '.join(columns)} FROM {table} {where}", values)
    rows = [dict(zip(columns, row, strict=True)) for row in cursor]
    for row in rows:
        if row.pop("seal") != seal_of(table, row):
            raise _mismatch(connection, table, row)
    return rows


def _drop_sums(connection: sqlite3.Connection, table: str) -> None:
    names = connection.execute("SELECT name FROM sums").fetchall()
    connection.executemany("DELETE FROM sums WHERE name = ?", [row for row in names if is_sum_of(str(row[0]), table)])


def _children(table: str) -> Iterator[tuple[str, str]]:
    for child, table_schema in TABLES.items():
        for reference, parent in table_schema.parents.items():
            if parent == table:
                yield child, reference


def _update_sums(
    connection: sqlite3.Connection,
    table: str,
    before: Iterable[Mapping[str, Value]],
    after: Iterable[Mapping[str, Value]],
) -> None:
    """Subtract old rows from the sums of their table, and add new ones."""
    changes: dict[str, Sum] = {}
    for sign, rows in ((-1, before), (1, after)):
        for row in rows:
            for name, digest in summands(table, row):
                row_count, total = changes.get(name, EMPTY_SUM)
                changes[name] = Sum(row_count + sign, total + sign * digest)
    _change_sums(connection, changes)


def _change_sums(connection: sqlite3.Connection, changes: Mapping[str, Sum]) -> None:
    for name, change in changes.items():
        if change.row_count or signed(change.total):
            stored = read_sum(connection, name)
            row: dict[str, Value] = {
                "name": name,
                "row_count": stored.row_count + change.row_count,
                "total": signed(stored.total + change.total),
            }
            connection.execute(
                "INSERT OR REPLACE INTO sums (name, row_count, total, seal) VALUES (?, ?, ?, ?)",
                (*row.values(), seal_of("sums", row)),
            )


def summands(table: str, row: Mapping[str, Value]) -> Iterator[tuple[str, int]]:
    """Yield the names of the sums that a row contributes to, with its digests."""
    table_schema = TABLES[table]
    if table_schema.is_summed:
        yield sum_name(table, group=table_schema.by and row[table_schema.by]), seal_of(table, row)
    for name, part in table_schema.parts.items():
        values = {column: row.get(column) for column in part.columns}
        if part.having is None or values[part.having] is not None:
            group = part.by and values[part.by]
            yield sum_name(table, name, group), row_digest(f"{table}.{name}", values, table_schema.columns)


def _all_summands(
    table: str, columns: Mapping[str, Sequence[Value]], seals: Sequence[int]
) -> Iterator[tuple[str, list[int]]]:
    """Yield the summands of many rows: the name of each sum, and the digests."""
    table_schema = TABLES[table]
    row_indices = range(len(seals))
    if table_schema.is_summed:
        for group, rows in _group(row_indices, table_schema.by and columns[table_schema.by]):
            yield sum_name(table, group=group), [seals[row] for row in rows]
    for name, part in table_schema.parts.items():
        present = {column: columns[column] for column in part.columns if column in columns}
        if part.having is not None and part.having not in present:
            continue
        digests = row_digests(f"{table}.{name}", present, table_schema.columns, len(seals)).tolist()
        counted_rows = [row for row in row_indices if part.having is None or present[part.having][row] is not None]
        for group, rows in _group(counted_rows, part.by and columns[part.by]):
            yield sum_name(table, name, group), [digests[row] for row in rows]


def _group(rows: Iterable[int], values: Sequence[Value] | str | None) -> Iterable[tuple[Value, Iterable[int]]]:
    if not values:
        return [(None, rows)]
    groups: dict[Value, list[int]] = {}
    for row in rows:
        groups.setdefault(values[row], []).append(row)
    return groups.items()


def rows_of(connection: sqlite3.Connection, table: str, where: str = "", values: Sequence[Value] = ()) -> list[Row]:
    """Return rows by column, after checking their seals; columns of later versions are None or 0.

    `where` is the end of the statement after the table's name, with `values` for its placeholders.
    """
    return _read(connection, table, where, values)[0]


def rows_by_id(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    ids: Iterable[int],
    extra: Mapping[str, Value] | None = None,
) -> list[Row]:
    """Return all rows whose indexed `column` is one of `ids`, and whose other columns have the `extra` values."""
    values: list[Value] = [int(row_id) for row_id in ids]
    rows: list[Row] = []
    conditions = "".join(f" AND {name} = ?" for name in extra or {})
    for start in range(0, len(values), _VALUES_PER_QUERY):
        batch = values[start : start + _VALUES_PER_QUERY]
        placeholders = ", ".join("?" * len(batch))
        where = f"WHERE {column} IN ({placeholders}){conditions} ORDER BY {column}"
        rows += rows_of(connection, table, where, [*batch, *(extra or {}).values()])
    return rows


def all_rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Return all rows of a table with one sum, in the order of their keys; completeness is checked by the sum."""
    order = ", ".join(TABLES[table].key)
    rows, total = _read(connection, table, f"NOT INDEXED ORDER BY {order}", ())
    if has_seals(connection):
        check_sum(connection, table, None, Sum(len(rows), total))
    return rows


def cached_rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    """Return the same as `all_rows`, cached until the file changes; do not modify it."""
    cache = _CACHE.setdefault(connection, {})
    state = _state(connection)
    if table not in cache or cache[table][0] != state:
        cache[table] = state, all_rows(connection, table)
    return cache[table][1]


def clear_cache(connection: sqlite3.Connection) -> None:
    """Clear the cache of `cached_rows`; call it after a change, even if rolled back."""
    _CACHE.pop(connection, None)


def blocks_of(
    connection: sqlite3.Connection, table: str, part: str, group: Value = None, rows_at_once: int = _ROWS_PER_BLOCK
) -> Iterator[list[Any]]:
    """Yield the columns of a part of a table, for all rows or a group, in blocks by number or in index order.

    Numbers are arrays of ``int64`` or ``float64``, texts and bytes sequences. The part's sum is checked after the last
    block: do not use a block before that.

    `group` is the rows' value in the column by which the part is grouped.
    """
    total = EMPTY_SUM
    for block, digests in _blocks(connection, table, part, group, rows_at_once=rows_at_once):
        total = total.with_digests(digests)
        yield block
    if has_seals(connection):
        check_sum(connection, table, part, total, group)


def added_blocks(
    connection: sqlite3.Connection, table: str, part: str, group: Value = None, *, after: int, before: Sum
) -> list[list[Any]] | None:
    """Return the blocks of `blocks_of` for the rows after a given number.

    None if their digests and the sum of the earlier rows do not add up to the total: other rows changed too.
    """
    blocks, total = [], before
    for block, digests in _blocks(connection, table, part, group, after=after):
        blocks.append(block)
        total = total.with_digests(digests)
    return blocks if total == read_sum(connection, sum_name(table, part, group)) else None


def _blocks(
    connection: sqlite3.Connection,
    table: str,
    part: str,
    group: Value,
    *,
    rows_at_once: int = _ROWS_PER_BLOCK,
    after: int | None = None,
) -> Iterator[tuple[list[Any], NDArray[np.int64]]]:
    """Yield the columns of a part of a table, and the rows' digests, which are empty in a file without seals."""
    version = schema_version(connection)
    table_schema, selection = TABLES[table], TABLES[table].parts[part]
    existing = table_schema.columns_in(version)
    if selection.having is not None and selection.having not in existing:
        return
    if selection.by is not None and selection.by not in existing and group != _ABSENT[selection.by]:
        return
    columns = ", ".join(name if name in existing else str(_ABSENT[name]) for name in selection.columns)
    conditions, values = ["1"], []
    if selection.having is not None:
        conditions.append(f"{selection.having} IS NOT NULL")
    if selection.by is not None and selection.by in existing:
        conditions.append(f"{selection.by} = ?")
        values.append(group)
    if after is not None:
        conditions.append(f"{table_schema.key[0]} > ?")
        values.append(after)
    is_indexed = selection.index is not None and version >= selection.since and after is None
    source = f"{table} INDEXED BY {selection.index}" if is_indexed else f"{table} NOT INDEXED"
    order = "" if is_indexed else f"ORDER BY {table_schema.key[0]}"
    statement = f"SELECT {columns} FROM {source} WHERE {' AND '.join(conditions)} {order}"
    cursor = connection.execute(statement, values)
    digests = np.empty(0, np.int64)
    while block := cursor.fetchmany(rows_at_once):
        try:
            arrays = [
                _array(values, table_schema.columns[name])
                for name, values in zip(selection.columns, zip(*block, strict=True), strict=True)
            ]
            if version >= SEALS_SINCE:
                by_column: dict[str, Column] = dict(zip(selection.columns, arrays, strict=True))
                digests = row_digests(f"{table}.{part}", by_column, table_schema.columns, len(block))
        except InvalidValueError as error:
            raise damage_of(connection, table, str(error)) from error
        yield arrays, digests


def summed_groups(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the groups of a table with a sum that is not empty."""
    names = [str(name) for (name,) in connection.execute("SELECT name FROM sums")]
    return {
        name.partition(" ")[2]
        for name in names
        if name.startswith(f"{table} ") and read_sum(connection, name).row_count
    }


def check_sum(connection: sqlite3.Connection, table: str, part: str | None, actual: Sum, group: Value = None) -> None:
    """Compare the sum of the rows read with the stored one; raises `InvalidValueError` naming the damage."""
    stored = read_sum(connection, sum_name(table, part, group))
    if (actual.row_count, signed(actual.total)) != stored:
        raise damage_of(connection, table, _count_message(table, actual.row_count, stored.row_count))


def damage_of(connection: sqlite3.Connection, table: str, fallback: str) -> InvalidValueError:
    """Return the error for the first row of a table that does not match its seal, else with the text `fallback`."""
    try:
        for row in unchecked_rows(connection, table):
            seal = row.pop("seal")
            if not is_sealed(table, row, seal):
                return _mismatch(connection, table, row)
    except sqlite3.Error:
        pass
    return InvalidValueError(fallback)


def _mismatch(connection: sqlite3.Connection, table: str, row: Mapping[str, Value]) -> InvalidValueError:
    return InvalidValueError(f"{describe_row(connection, table, row)} does not match its digest")


def is_sealed(table: str, row: Mapping[str, Value], seal: object) -> bool:
    """Return whether a row matches its seal."""
    try:
        return seal_of(table, row) == seal
    except InvalidValueError:
        return False


def describe_row(connection: sqlite3.Connection, table: str, row: Mapping[str, Value]) -> str:
    """Return the name of a row for messages, with the person's name if it can be read."""
    text = _ROW_NAMES.get(table, f"a row of its table '{table}'").format_map(
        {name: printable(str(value)) for name, value in row.items()}
    )
    if table in {"thumbnails", "vectors"}:
        return f"{text}{_of_owner(connection, row['sample_id'])}"
    return f"{text}{_of_person(connection, row['person_id'])}" if "person_id" in row else text


def _read(connection: sqlite3.Connection, table: str, where: str, values: Sequence[Value]) -> tuple[list[Row], int]:
    """Return rows, and the sum of their seals."""
    version = schema_version(connection)
    table_schema = TABLES[table]
    if version < table_schema.since:
        return [], 0
    columns = table_schema.columns_in(version)
    is_sealed = version >= SEALS_SINCE
    selected = ", ".join((*columns, "seal") if is_sealed else columns)
    stored = connection.execute(f"SELECT {selected} FROM {table} {where}", values).fetchall()
    rows = [dict(zip(columns, row, strict=False)) for row in stored]
    total = _check_seals(connection, table, rows, [row[-1] for row in stored]) if is_sealed and stored else 0
    absent = {column: _ABSENT.get(column) for column in table_schema.columns if column not in columns}
    return [{**row, **absent} for row in rows] if absent else rows, total


def _check_seals(connection: sqlite3.Connection, table: str, rows: list[Row], seals: list[Any]) -> int:
    digests: list[int] = []
    try:
        if len(rows) < _MIN_BATCH:
            digests = [seal_of(table, row) for row in rows]
        else:
            columns: dict[str, Column] = {name: [row[name] for row in rows] for name in rows[0]}
            digests = row_digests(table, columns, TABLES[table].columns, len(rows)).tolist()
    except InvalidValueError:  # a value is not of its column's type
        pass
    if digests != seals:
        broken = next((row for row, seal in zip(rows, seals, strict=True) if not is_sealed(table, row, seal)), rows[0])
        raise _mismatch(connection, table, broken)
    return sum(seals)


def _array(values: Sequence[Any], kind: ColumnKind) -> Column:
    if kind is ColumnKind.REAL:
        return real_array(values)
    return integer_array(values) if kind is ColumnKind.INTEGER else values


def unchecked_rows(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Yield all rows of a table unchecked, with their ``seal`` if present, to search for damage."""
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


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return two counters, one of which changes with every change of the file, by any connection."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return version, connection.total_changes


def _count_message(table: str, actual: int, expected: int) -> str:
    noun = "embeddings" if table == "vectors" else table
    if actual == expected:
        return f"its {noun} do not match their checksum"
    if actual > expected:
        return f"{actual} {noun} can be read, but {expected} are recorded"
    return f"only {actual} of {expected} {noun} can be read"
