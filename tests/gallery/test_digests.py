"""Digests of rows, which every change of a value changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.gallery.store.digests import ColumnKind, Value, row_digest, row_digests, signed, sum_digests
from facebank.storage.values import InvalidValueError

KINDS = {"id": ColumnKind.INTEGER, "fraction": ColumnKind.REAL, "name": ColumnKind.TEXT, "vector": ColumnKind.BLOB}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(-(2**63), 2**63 - 1),
            "fraction": st.none() | st.floats(allow_nan=False),
            "name": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            "vector": st.none() | st.binary(),
        }
    ),
    max_size=5,
)


@given(ROWS)
def test_digests_of_many_rows_equal_single_digests(rows: list[dict[str, Value]]) -> None:
    single = [row_digest("people", row, KINDS) for row in rows]
    columns = {name: [row[name] for row in rows] for name in KINDS}
    joint = row_digests("people", columns, KINDS, len(rows))
    assert joint.tolist() == single
    assert sum_digests(joint) == signed(sum(single))


@pytest.mark.parametrize("column", list(KINDS))
def test_every_flipped_bit_changes_the_digest(column: str) -> None:
    row: dict[str, Value] = {"id": 5, "fraction": 0.75, "name": "Ada", "vector": np.arange(128, dtype="<f4").tobytes()}
    digests = {row_digest("people", row, KINDS)}
    count = {"vector": 8 * 512, "name": 7 * 3}.get(column, 64)
    for bit in range(count):
        digests.add(row_digest("people", {**row, column: flip_bit(row[column], bit)}, KINDS))
    assert len(digests) == count + 1


def flip_bit(value: Value, bit: int) -> Value:
    if isinstance(value, bytes):
        return (int.from_bytes(value, "little") ^ 1 << bit).to_bytes(len(value), "little")
    if isinstance(value, str):
        return (int.from_bytes(value.encode(), "little") ^ 1 << bit // 7 * 8 + bit % 7).to_bytes(3, "little").decode()
    if isinstance(value, float):
        return float((np.array([value]).view(np.uint64) ^ np.uint64(1 << bit)).view(np.float64)[0])
    return signed(int(value or 0) ^ 1 << bit)


def test_digests_depend_on_the_table_and_columns() -> None:
    row: dict[str, Value] = {"id": 1, "name": "Ada"}
    others: list[tuple[str, dict[str, Value]]] = [
        ("samples", row),
        ("people", {"id": 2, "name": "Ada"}),
        ("people", {"id": 1, "name": "Bob"}),
        ("people", {"id": 1, "name": ""}),
    ]
    digests = {row_digest(table, row, KINDS) for table, row in [("people", row), *others]}
    assert len(digests) == 5


def test_null_columns_do_not_change_the_digest() -> None:
    assert row_digest("people", {"id": 1, "name": None}, KINDS) == row_digest("people", {"id": 1}, KINDS)


@pytest.mark.parametrize("row", [{"id": "1"}, {"name": b"Ada"}, {"vector": "x"}, {"fraction": "x"}])
def test_values_of_wrong_types_are_rejected(row: dict[str, Value]) -> None:
    with pytest.raises(InvalidValueError, match="that is not"):
        row_digest("people", row, KINDS)
    with pytest.raises(InvalidValueError, match="that is not"):
        row_digests("people", {name: [value] for name, value in row.items()}, KINDS, 1)
