"""Codes: whatever the vectors, the bounds hold and the answers are those of float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facebank.errors import UsageError
from facebank.gallery import VectorIndex, VectorTable
from facebank.index.coded import CodedEngine
from facebank.index.codes import BITS, CodedPart, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

FLOATS = st.floats(-1, 1, width=32)
AWKWARD = st.sampled_from([0.0, 1.0, -1.0, 1e-30, -1e-7, 0.5, np.float32(0.1), 2.0**-14, 1e-40])


def matrices(rows: st.SearchStrategy[int], dimension: int) -> st.SearchStrategy[FloatArray]:
    return rows.flatmap(lambda count: hnp.arrays(np.float32, (count, dimension), elements=FLOATS | AWKWARD))


def exact(matrix: FloatArray, query: FloatArray) -> NDArray[np.float64]:
    return matrix.astype(np.float64) @ query.astype(np.float64)


def expected(matrix: FloatArray, query: FloatArray, limit: int) -> list[int]:
    similarities = np.einsum("kd,d->k", matrix.astype(np.float64), query.astype(np.float64)).clip(-1, 1)
    return np.lexsort((np.arange(len(matrix)), -similarities.astype(np.float32)))[:limit].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("bits", BITS)
@settings(deadline=None)
@given(data=st.data(), dimension=st.sampled_from([1, 3, 16, 40]), scale=st.sampled_from([1.0, 1e-3, 37.0]))
def test_no_product_is_further_off_than_is_said(bits: int, data: st.DataObject, dimension: int, scale: float) -> None:
    matrix = data.draw(matrices(st.integers(1, 30), dimension)) * np.float32(scale)
    queries = data.draw(matrices(st.integers(1, 4), dimension))
    part = CodedPart.of(np.arange(len(matrix)) + 100, matrix, bits)
    near = part.nearest(queries, len(matrix))
    for query, products, ids, error in zip(queries, near.products, near.ids, near.errors, strict=True):
        assert sorted(ids) == list(range(100, 100 + len(matrix)))
        assert (np.abs(products - exact(matrix, query)[ids - 100]) <= error).all()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dimension", [128, 512, 4096])
def test_the_bounds_are_of_use(bits: int, dimension: int) -> None:
    random = np.random.default_rng(dimension)
    matrix = unit(random.standard_normal((500, dimension)))
    queries = unit(random.standard_normal((20, dimension)))
    near = CodedPart.of(np.arange(500), matrix, bits).nearest(queries, 500)
    off = np.abs(near.products - np.take_along_axis(queries @ matrix.T, near.ids, axis=1))
    assert (off.max(axis=1) <= near.errors).all()
    assert near.errors.max() < {8: 0.03, 16: 0.003}[bits]


@pytest.mark.parametrize("bits", BITS)
@settings(deadline=None, max_examples=200)
@given(data=st.data(), dimension=st.sampled_from([1, 2, 16, 40]), part_size=st.integers(1, 200))
def test_whatever_the_vectors_the_answers_are_the_exact_ones(
    bits: int, data: st.DataObject, dimension: int, part_size: int
) -> None:
    """Vectors of any length up to some, duplicates, near duplicates and zeros among them; limits of any size."""
    base = data.draw(matrices(st.integers(1, 12), dimension))
    places = data.draw(st.lists(st.integers(0, len(base) - 1), min_size=1, max_size=150))
    nudged = data.draw(st.lists(st.integers(0, len(places) - 1), max_size=20))
    matrix = base[places]
    matrix[nudged] = np.nextafter(matrix[nudged], np.float32(2))
    queries = np.concatenate([data.draw(matrices(st.integers(1, 2), dimension)), base[:2]])
    engine = CodedEngine(dimension, bits=bits, part_size=part_size)
    engine.add(np.arange(len(matrix)), matrix)
    limit = data.draw(st.integers(1, len(matrix)))
    for query, found in zip(queries, engine.candidates(queries, limit), strict=True):
        order = np.lexsort((found.ids, -found.similarities))[:limit]
        assert found.ids[order].tolist() == expected(matrix, query, limit)
        assert len(np.unique(found.ids)) == len(found.ids)


@pytest.mark.parametrize("bits", BITS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), limit=st.integers(1, 40), tight=st.sampled_from([0.0, 1e-7, 1e-4, 1e-2, 0.5]))
def test_many_who_are_nearly_equal_are_told_apart(bits: int, seed: int, limit: int, tight: float) -> None:
    """More vectors than are looked at first lie within the codes' error of each other: the search must widen."""
    random = np.random.default_rng(seed)
    matrix = unit(random.standard_normal(64) + tight * random.standard_normal((700, 64)))
    matrix[::7] = 0
    index = VectorIndex(64, coded_from=0, bits=bits)
    index.add(VectorTable(np.arange(700), np.arange(700) // 3, matrix))
    queries = np.concatenate([matrix[1:3], unit(random.standard_normal((2, 64))), np.zeros((1, 64), np.float32)])
    hits = index.search(queries, limit)
    for query, found in zip(queries, hits.sample_ids, strict=True):
        assert found.tolist() == expected(matrix, query, limit)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_a_store_that_changes_answers_as_a_new_one(seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    matrix = unit(random.standard_normal((300, 16)))
    engine, held = CodedEngine(16, part_size=32), np.zeros(300, dtype=np.bool_)
    for _ in range(data.draw(st.integers(1, 8))):
        chosen = random.random(300) < 0.3
        if data.draw(st.booleans()):
            new = np.flatnonzero(chosen & ~held)
            engine.add(new, matrix[new])
            held[new] = True
        else:
            engine.remove(np.flatnonzero(chosen & held))
            held &= ~chosen
    ids = np.flatnonzero(held)
    if not len(ids):
        return
    np.testing.assert_array_equal(engine.vectors(ids), matrix[ids])
    (found,) = engine.candidates(matrix[:1], min(5, len(ids)))
    order = np.lexsort((found.ids, -found.similarities))[:5]
    assert found.ids[order].tolist() == ids[expected(matrix[ids], matrix[0], 5)].tolist()


def test_a_search_can_go_on_until_two_people_are_found() -> None:
    """One person has hundreds of the most similar faces; a growing limit finds the second, exactly."""
    random = np.random.default_rng(5)
    matrix = unit(random.standard_normal((3000, 32)))
    person_ids = np.arange(3000) // 4 + 1
    matrix[:900], person_ids[:900] = unit(matrix[0] + 0.05 * random.standard_normal((900, 32))), 0
    answers = []
    for coded_from in (10**9, 0):
        index = VectorIndex(32, coded_from=coded_from)
        index.add(VectorTable(np.arange(3000), person_ids, matrix))
        limit = 10
        while len(set(index.search(matrix[:1], limit).person_ids[0].tolist())) < 2:
            limit *= 2
        hits = index.search(matrix[:1], limit)
        answers.append((limit, hits.person_ids.tolist(), hits.sample_ids.tolist(), hits.similarities.tolist()))
    assert answers[0] == answers[1]
    assert answers[0][0] > 640


def test_there_are_no_other_codes() -> None:
    with pytest.raises(UsageError, match="8 or 16 bits"):
        encode(np.eye(3, dtype=np.float32), 4)


def unit(rows: NDArray[np.float64]) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)
