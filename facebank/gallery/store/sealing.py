"""Rows written with their seals, and the sums over them kept; the caller holds the transaction.

A row's seal is the digest of its columns. A table's sums are how many rows it has and what their seals add up to, and
the same over some columns alone: what is lost or too much is noticed by them. Rows that are changed or deleted are
checked first, so that damage is not sealed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from facebank.gallery.store.digests import row_digest, row_digests, signed
from facebank.gallery.store.sealed_tables import TABLES
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from facebank.gallery.store.digests import Value

_AT_ONCE = 500
_SEALED_AT_ONCE = 2_000
_FIRST_ROW = -(1 << 63)


class Sum(NamedTuple):
    """How many rows there are and what their digests add up to, in 64 bits."""

    row_count: int
    total: int


NOTHING = Sum(0, 0)


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Value]]) -> list[int]:
    """Write new rows and return their numbers.

    Parameters
    ----------
    connection
        Inside a write transaction.
    table
        The table's name.
    rows
        The values by column; all rows name the same columns, and those that are left out are NULL. Columns that follow
        from others, and are not sealed, are among them.
    """
    if not rows:
        return []
    columns = list(rows[0])
    is_numbered = TABLES[table].key == ("id",) and "id" not in columns
    marks = ", ".join("?" * (len(columns) + 1))
    statement = f"INSERT INTO {table} ({', '.join(columns)}, seal) VALUES ({marks})"
    numbers, written = [], []
    for new in rows:
        seal = 0 if is_numbered else seal_of(table, new)
        number = int(connection.execute(statement, (*new.values(), seal)).lastrowid or 0)
        row = {"id": number, **new} if is_numbered else new
        if is_numbered:
            connection.execute(f"UPDATE {table} SET seal = ? WHERE id = ?", (seal_of(table, row), number))
        numbers.append(number)
        written.append(row)
    _add_up(connection, table, (), written)
    return numbers


def update(connection: sqlite3.Connection, table: str, column: str, value: Value, changes: Mapping[str, Value]) -> None:
    """Change columns of the rows that have a value in a column; no-op if there are none.

    The whole table is looked through, unless the column is the table's number: no index that is damaged hides a row.
    """
    where = f"WHERE {column} = ?" if TABLES[table].key == (column,) else f"NOT INDEXED WHERE {column} = ?"
    key = " AND ".join(f"{name} = ?" for name in TABLES[table].key)
    statement = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in changes)}, seal = ? WHERE {key}"
    before = _intact(connection, table, where, (value,))
    after = [{**row, **changes} for row in before]
    for old, new in zip(before, after, strict=True):
        keys = (old[name] for name in TABLES[table].key)
        connection.execute(statement, (*changes.values(), seal_of(table, new), *keys))
    _add_up(connection, table, before, after)


def delete(connection: sqlite3.Connection, table: str, column: str, values: Iterable[Value]) -> int:
    """Delete the rows that have one of some values in a column, with all that belongs to them; return how many.

    The whole table is looked through: nothing of somebody who is forgotten is hidden by an index that is damaged.
    """
    wanted, deleted = list(values), 0
    for start in range(0, len(wanted), _AT_ONCE):
        some = tuple(wanted[start : start + _AT_ONCE])
        where = f"NOT INDEXED WHERE {column} IN ({', '.join('?' * len(some))})"
        rows = _intact(connection, table, where, some)
        if not rows:
            continue
        for child, reference in _children(table):
            delete(connection, child, reference, [row["id"] for row in rows])
        connection.execute(f"DELETE FROM {table} {where}", some)
        _add_up(connection, table, rows, ())
        deleted += len(rows)
    return deleted


def delete_all(connection: sqlite3.Connection, table: str) -> None:
    """Delete all rows of a table to which no other refers, damaged ones too."""
    connection.execute(f"DELETE FROM {table}")
    _drop_sums(connection, table)


def seal_table(connection: sqlite3.Connection, table: str) -> None:
    """Seal all rows of a table as they are and sum them up: for migrations, and for repairs."""
    there = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
    columns = [column for column in TABLES[table].columns if column in there]
    _drop_sums(connection, table)
    statement = (
        f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_SEALED_AT_ONCE}"
    )
    sums: dict[str, Sum] = {}
    last = _FIRST_ROW
    while block := connection.execute(statement, (last,)).fetchall():
        numbers, *values = zip(*block, strict=True)
        by_column = dict(zip(columns, values, strict=True))
        seals = row_digests(table, by_column, TABLES[table].columns, len(block)).tolist()
        connection.executemany(f"UPDATE {table} SET seal = ? WHERE rowid = ?", zip(seals, numbers, strict=True))
        for name, digests in _all_summands(table, by_column, seals):
            row_count, total = sums.get(name, NOTHING)
            sums[name] = Sum(row_count + len(digests), total + sum(digests))
        last = numbers[-1]
    _change_sums(connection, sums)


def seal_of(table: str, row: Mapping[str, Value]) -> int:
    """Return the digest of a row's sealed columns; others are left out."""
    kinds = TABLES[table].columns
    return row_digest(table, {name: row[name] for name in kinds if name in row}, kinds)


def sum_name(table: str, part: str | None = None, group: Value = None) -> str:
    """Return under which name a sum is kept, such as ``vectors plain`` or ``samples.owners 0``."""
    name = table if part is None else f"{table}.{part}"
    return name if group is None else f"{name} {group!s}"


def is_sum_of(name: str, table: str) -> bool:
    """Return whether a sum of this name is one of a table's."""
    return name.partition(" ")[0].partition(".")[0] == table


def kept_sum(connection: sqlite3.Connection, name: str) -> Sum:
    """Return a sum that is kept; `NOTHING` where there is none."""
    row = connection.execute("SELECT row_count, total, seal FROM sums WHERE name = ?", (name,)).fetchone()
    if row is None:
        return NOTHING
    row_count, total, seal = row
    if seal != seal_of("sums", {"name": name, "row_count": row_count, "total": total}):
        raise InvalidValueError(f"the sum of {name} is not as it was written")
    return Sum(row_count, total)


def _intact(connection: sqlite3.Connection, table: str, where: str, values: Sequence[Value]) -> list[dict[str, Value]]:
    """Return rows by column; raises `InvalidValueError` where one is not as it was sealed."""
    columns = [*TABLES[table].columns, "seal"]
    found = connection.execute(f"SELECT {', '.join(columns)} FROM {table} {where}", values)
    rows = [dict(zip(columns, row, strict=True)) for row in found]
    for row in rows:
        if row.pop("seal") != seal_of(table, row):
            raise InvalidValueError(f"a row of {table} is not as it was written")
    return rows


def _drop_sums(connection: sqlite3.Connection, table: str) -> None:
    names = connection.execute("SELECT name FROM sums").fetchall()
    connection.executemany("DELETE FROM sums WHERE name = ?", [one for one in names if is_sum_of(str(one[0]), table)])


def _children(table: str) -> Iterator[tuple[str, str]]:
    for child, known in TABLES.items():
        for reference, parent in known.parents.items():
            if parent == table:
                yield child, reference


def _add_up(
    connection: sqlite3.Connection,
    table: str,
    before: Iterable[Mapping[str, Value]],
    after: Iterable[Mapping[str, Value]],
) -> None:
    """Take rows out of the sums of their table, and put others in."""
    changes: dict[str, Sum] = {}
    for sign, rows in ((-1, before), (1, after)):
        for row in rows:
            for name, digest in summands(table, row):
                row_count, total = changes.get(name, NOTHING)
                changes[name] = Sum(row_count + sign, total + sign * digest)
    _change_sums(connection, changes)


def _change_sums(connection: sqlite3.Connection, changes: Mapping[str, Sum]) -> None:
    for name, change in changes.items():
        if change.row_count or signed(change.total):
            kept = kept_sum(connection, name)
            row: dict[str, Value] = {
                "name": name,
                "row_count": kept.row_count + change.row_count,
                "total": signed(kept.total + change.total),
            }
            connection.execute(
                "INSERT OR REPLACE INTO sums (name, row_count, total, seal) VALUES (?, ?, ?, ?)",
                (*row.values(), seal_of("sums", row)),
            )


def summands(table: str, row: Mapping[str, Value]) -> Iterator[tuple[str, int]]:
    """Yield the sums that a row is part of, and the digests by which it is."""
    known = TABLES[table]
    if known.is_summed:
        yield sum_name(table, group=known.by and row[known.by]), seal_of(table, row)
    for name, part in known.parts.items():
        values = {column: row.get(column) for column in part.columns}
        if part.having is None or values[part.having] is not None:
            group = part.by and values[part.by]
            yield sum_name(table, name, group), row_digest(f"{table}.{name}", values, known.columns)


def _all_summands(
    table: str, columns: Mapping[str, Sequence[Value]], seals: Sequence[int]
) -> Iterator[tuple[str, list[int]]]:
    """Yield what `summands` does for many rows: each sum they are part of, and the digests by which they are."""
    known = TABLES[table]
    everything = range(len(seals))
    if known.is_summed:
        for group, rows in _grouped(everything, known.by and columns[known.by]):
            yield sum_name(table, group=group), [seals[row] for row in rows]
    for name, part in known.parts.items():
        there = {column: columns[column] for column in part.columns if column in columns}
        if part.having is not None and part.having not in there:
            continue
        digests = row_digests(f"{table}.{name}", there, known.columns, len(seals)).tolist()
        counted = [row for row in everything if part.having is None or there[part.having][row] is not None]
        for group, rows in _grouped(counted, part.by and columns[part.by]):
            yield sum_name(table, name, group), [digests[row] for row in rows]


def _grouped(rows: Iterable[int], values: Sequence[Value] | str | None) -> Iterable[tuple[Value, Iterable[int]]]:
    if not values:
        return [(None, rows)]
    groups: dict[Value, list[int]] = {}
    for row in rows:
        groups.setdefault(values[row], []).append(row)
    return groups.items()
