"""Pairs of similar vectors equal those of the full product matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.index import pairs
from facebank.index.pairs import pairs_between, pairs_within


def draw_vectors(seed: int, count: int) -> np.ndarray:
    """Return vectors of small integers, whose products are exact in any order of summation."""
    return np.random.default_rng(seed).integers(-3, 4, (count, 5)).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 40), least=st.integers(-20, 40))
def test_pairs_within_equal_those_of_the_full_matrix(seed: int, count: int, least: int) -> None:
    rows = draw_vectors(seed, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 7)
        patch.setattr(pairs, "_COLUMNS", 11)
        fractions: list[float] = []
        similar = pairs_within(rows, least, fractions.append)
    products = rows @ rows.T
    first, second = np.nonzero(np.triu(products >= least, 1))
    order = np.lexsort((similar.second, similar.first))
    np.testing.assert_array_equal(similar.first[order], first)
    np.testing.assert_array_equal(similar.second[order], second)
    np.testing.assert_array_equal(similar.similarities[order], products[first, second])
    assert sum(fractions) == pytest.approx(1 if count else 0)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(0, 20), columns=st.integers(0, 30), least=st.integers(-20, 40))
def test_pairs_between_equal_those_of_the_full_matrix(seed: int, rows: int, columns: int, least: int) -> None:
    left, right = draw_vectors(seed, rows), draw_vectors(seed + 1, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 7)
        patch.setattr(pairs, "_COLUMNS", 11)
        similar = pairs_between(left, right, least)
    first, second = np.nonzero(left @ right.T >= least)
    order = np.lexsort((similar.second, similar.first))
    np.testing.assert_array_equal(similar.first[order], first)
    np.testing.assert_array_equal(similar.second[order], second)
