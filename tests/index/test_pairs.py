"""Pairs of similar vectors equal those of the full product matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.index import pairs
from facebank.index.pairs import pairs_between, pairs_within


def vectors(seed: int, count: int) -> np.ndarray:
    """Return vectors of small integers, whose products are exact in any order of summation."""
    return np.random.default_rng(seed).integers(-3, 4, (count, 5)).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 40), least=st.integers(-20, 40))
def test_pairs_within_equal_those_of_the_full_matrix(seed: int, count: int, least: int) -> None:
    rows = vectors(seed, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 7)
        patch.setattr(pairs, "_COLUMNS", 11)
        shares: list[float] = []
        found = pairs_within(rows, least, shares.append)
    products = rows @ rows.T
    first, second = np.nonzero(np.triu(products >= least, 1))
    order = np.lexsort((found.second, found.first))
    np.testing.assert_array_equal(found.first[order], first)
    np.testing.assert_array_equal(found.second[order], second)
    np.testing.assert_array_equal(found.similarities[order], products[first, second])
    assert sum(shares) == pytest.approx(1 if count else 0)


@given(seed=st.integers(0, 2**32 - 1), some=st.integers(0, 20), many=st.integers(0, 30), least=st.integers(-20, 40))
def test_pairs_between_equal_those_of_the_full_matrix(seed: int, some: int, many: int, least: int) -> None:
    ones, others = vectors(seed, some), vectors(seed + 1, many)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 7)
        patch.setattr(pairs, "_COLUMNS", 11)
        found = pairs_between(ones, others, least)
    first, second = np.nonzero(ones @ others.T >= least)
    order = np.lexsort((found.second, found.first))
    np.testing.assert_array_equal(found.first[order], first)
    np.testing.assert_array_equal(found.second[order], second)
