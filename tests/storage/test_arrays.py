"""Overlaps of boxes, and normalized embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.storage.arrays import contained, normalized, overlaps

NUMBERS = st.lists(st.floats(-100, 100), min_size=8, max_size=8)


def make_box(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float32)


@given(NUMBERS)
def test_overlaps_are_fractions_and_symmetric(numbers: list[float]) -> None:
    first, second = (
        make_box(*map(min, part[:2], part[2:]), *map(max, part[:2], part[2:])) for part in (numbers[:4], numbers[4:])
    )
    (overlap,) = overlaps(first, second[None])
    assert 0 <= overlap <= 1 + 1e-6
    assert overlap == pytest.approx(overlaps(second, first[None])[0])
    assert overlap <= contained(first, second[None])[0] + 1e-6


def test_overlaps_have_known_values() -> None:
    first = make_box(0, 0, 2, 2)
    others = np.stack([make_box(1, 0, 3, 2), first, first + 5, make_box(0, 0, 1, 1)])
    assert overlaps(first, others).tolist() == pytest.approx([1 / 3, 1, 0, 1 / 4])
    assert contained(first, others).tolist() == pytest.approx([1 / 2, 1, 0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalized_rows_have_length_one_or_zero(dtype: type[np.floating]) -> None:
    rows = normalized(np.array([[3, 4], [0, 0], [1e-8, 0]], dtype=dtype))
    assert rows.dtype == dtype
    assert rows.tolist() == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 0]]))
