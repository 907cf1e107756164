"""Different rows have different digests."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.storage.values import InvalidValueError, register_row_digest, row_digest, verify_row

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.binary(),
)
ROWS = st.lists(VALUES, max_size=5)


def with_types(row: list[object]) -> list[tuple[type, object]]:
    return [(type(value), 0.0 if value == 0.0 else value) for value in row]


@given(ROWS, ROWS)
def test_different_rows_have_different_digests(first: list[object], second: list[object]) -> None:
    assert (row_digest("t", first) == row_digest("t", second)) == (with_types(first) == with_types(second))
    assert row_digest("t", first) != row_digest("u", first)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_the_sql_function_returns_the_same_digest(row: list[object]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        register_row_digest(connection)
        placeholders = ", ".join("?" * len(row))
        (digest,) = connection.execute(f"SELECT row_digest('t', {placeholders})", row).fetchone()
    assert digest == row_digest("t", row)


def test_swapped_values_change_the_digest() -> None:
    rows = (["ab", "c"], ["a", "bc"], ["abc"], [b"ab", "c"], [1, "1"], ["1", 1], [1.0, "1"], [None, ""], ["", None])
    assert len({row_digest("t", row) for row in rows}) == len(rows)


def test_altered_rows_are_rejected() -> None:
    row = [1, "Ada", b"\1\2", 0.5, None]
    digest = row_digest("people", row)
    assert verify_row("people", [*row, digest]) == row
    for altered in ([2, *row[1:], digest], [*row, digest[:-1]], [*row, None], [*row, "x"]):
        with pytest.raises(InvalidValueError, match="people"):
            verify_row("people", altered)
    with pytest.raises(InvalidValueError):
        verify_row("samples", [*row, digest])
