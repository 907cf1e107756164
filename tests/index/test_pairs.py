"""Pairs of similar vectors equal those of the full product matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.index import pairs
from facebank.index.pairs import pairs_between, pairs_within


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Compute the products in blocks that are smaller than the matrices."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", 7)
        patch.setattr(pairs, "_COLUMNS", 11)
        yield


def draw_vectors(seed: int, count: int) -> np.ndarray:
    """Return vectors of small integers, whose products are exact in any order of summation."""
    return np.random.default_rng(seed).integers(-3, 4, (count, 5)).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 40), min_product=st.integers(-20, 40))
def test_pairs_within_equal_those_of_the_full_matrix(seed: int, count: int, min_product: int) -> None:
    rows = draw_vectors(seed, count)
    fractions: list[float] = []
    similar = pairs_within(rows, min_product, fractions.append)
    products = rows @ rows.T
    first, second = np.nonzero(np.triu(products >= min_product, 1))
    order = np.lexsort((similar.second, similar.first))
    np.testing.assert_array_equal(similar.first[order], first)
    np.testing.assert_array_equal(similar.second[order], second)
    np.testing.assert_array_equal(similar.similarities[order], products[first, second])
    assert sum(fractions) == pytest.approx(1 if count else 0)


@given(
    seed=st.integers(0, 2**32 - 1),
    left_count=st.integers(0, 20),
    right_count=st.integers(0, 30),
    min_product=st.integers(-20, 40),
)
def test_pairs_between_equal_those_of_the_full_matrix(
    seed: int, left_count: int, right_count: int, min_product: int
) -> None:
    left, right = draw_vectors(seed, left_count), draw_vectors(seed + 1, right_count)
    similar = pairs_between(left, right, min_product)
    first, second = np.nonzero(left @ right.T >= min_product)
    order = np.lexsort((similar.second, similar.first))
    np.testing.assert_array_equal(similar.first[order], first)
    np.testing.assert_array_equal(similar.second[order], second)
