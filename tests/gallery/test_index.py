"""The contract of every vector store, and what the one in memory promises beyond it."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.errors import MissingDependencyError, UsageError
from facebank.gallery import VectorIndex, VectorStore, VectorTable

if TYPE_CHECKING:
    from facebank.types import FloatArray

DIMENSION = 8
STORES = {
    "numpy": partial(VectorIndex, faiss_from=10**9),
    "faiss": partial(VectorIndex, faiss_from=0),
    "numpy, then faiss": partial(VectorIndex, faiss_from=7),
    "8 bits": partial(VectorIndex, coded_from=0),
    "16 bits": partial(VectorIndex, coded_from=0, bits=16),
    "numpy, then faiss, then 8 bits": partial(VectorIndex, faiss_from=4, coded_from=11),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> VectorStore:
    """Every store passes the contract."""
    return STORES[request.param](DIMENSION)


def unit_rows(random: np.random.Generator, count: int, dimension: int = DIMENSION) -> FloatArray:
    rows = random.standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def a_table(seed: int = 0, count: int = 20, people: int = 5, first_id: int = 1) -> VectorTable:
    random = np.random.default_rng(seed)
    ids = first_id + random.permutation(count).astype(np.int64)
    return VectorTable(ids, random.integers(people, size=count), unit_rows(random, count))


def expected_hits(table: VectorTable, query: FloatArray, limit: int) -> list[int]:
    similarities = (table.matrix.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    return [int(table.sample_ids[row]) for row in np.lexsort((table.sample_ids, -similarities))[:limit]]


def test_an_empty_store_finds_nothing(store: VectorStore) -> None:
    hits = store.search(a_table().matrix[:3], limit=5)
    assert store.count == 0
    assert store.dimension == DIMENSION
    assert hits.similarities.shape == hits.person_ids.shape == hits.sample_ids.shape == (3, 0)


def test_the_most_similar_come_first(store: VectorStore) -> None:
    table = a_table()
    store.add(table)
    hits = store.search(table.matrix, limit=4)
    assert store.count == 20
    assert hits.similarities.dtype == np.float32
    assert hits.person_ids.dtype == hits.sample_ids.dtype == np.int64
    np.testing.assert_array_equal(hits.sample_ids[:, 0], table.sample_ids)
    np.testing.assert_allclose(hits.similarities[:, 0], 1, atol=1e-6)
    assert (np.diff(hits.similarities, axis=1) <= 0).all()
    for query, found in zip(table.matrix, hits.sample_ids, strict=True):
        assert found.tolist() == expected_hits(table, query, 4)
    person_of = dict(zip(table.sample_ids.tolist(), table.person_ids.tolist(), strict=True))
    assert [[person_of[number] for number in row] for row in hits.sample_ids.tolist()] == hits.person_ids.tolist()


def test_a_limit_beyond_the_count_gives_all(store: VectorStore) -> None:
    table = a_table()
    store.add(table)
    hits = store.search(table.matrix[:2], limit=1000)
    assert hits.sample_ids.shape == (2, 20)
    assert sorted(hits.sample_ids[1].tolist()) == list(range(1, 21))


def test_no_query_gives_no_row(store: VectorStore) -> None:
    store.add(a_table())
    assert store.search(np.empty((0, DIMENSION), np.float32), limit=3).sample_ids.shape == (0, 3)


def test_many_queries_are_answered_each_for_itself(store: VectorStore) -> None:
    table = a_table(count=300)
    store.add(table)
    queries = unit_rows(np.random.default_rng(1), 500)
    together = store.search(queries, limit=7)
    for row in range(0, 500, 99):
        alone = store.search(queries[row : row + 1], limit=7)
        np.testing.assert_array_equal(alone.sample_ids[0], together.sample_ids[row])
        np.testing.assert_array_equal(alone.similarities[0], together.similarities[row])


def test_vectors_can_be_added_in_parts(store: VectorStore) -> None:
    first, second = a_table(0), a_table(1, first_id=100)
    store.add(first)
    store.add(second)
    hits = store.search(np.concatenate([first.matrix, second.matrix]), limit=1)
    assert hits.sample_ids[:, 0].tolist() == [*first.sample_ids.tolist(), *second.sample_ids.tolist()]


def test_nothing_can_be_added(store: VectorStore) -> None:
    none = VectorTable(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, DIMENSION), np.float32))
    store.add(none)
    store.add(a_table())
    store.add(none)
    assert store.count == 20


def test_a_sample_is_in_a_store_once(store: VectorStore) -> None:
    store.add(a_table())
    with pytest.raises(UsageError, match="once"):
        store.add(a_table(1))
    assert store.count == 20


def test_a_deleted_person_is_found_no_more(store: VectorStore) -> None:
    table = a_table()
    store.add(table)
    theirs = int((table.person_ids == 2).sum())
    assert theirs > 0
    assert store.delete_person(2) == theirs
    assert store.delete_person(2) == 0
    assert store.delete_person(99) == 0
    assert store.count == 20 - theirs
    assert 2 not in store.search(table.matrix, limit=20).person_ids


def test_a_deleted_persons_samples_can_come_back(store: VectorStore) -> None:
    table = a_table()
    store.add(table)
    rows = table.person_ids == 2
    store.delete_person(2)
    store.add(VectorTable(table.sample_ids[rows], np.full(int(rows.sum()), 7), table.matrix[rows]))
    hits = store.search(table.matrix[rows], limit=1)
    assert store.count == 20
    assert set(hits.person_ids[:, 0].tolist()) == {7}


def test_equal_similarities_come_in_the_order_of_samples(store: VectorStore) -> None:
    same = np.repeat(unit_rows(np.random.default_rng(0), 1), 50, axis=0)
    ids = np.random.default_rng(1).permutation(50).astype(np.int64)
    store.add(VectorTable(ids, ids * 10, same))
    for limit in (1, 3, 9, 49, 50):
        hits = store.search(same[:2], limit)
        assert hits.sample_ids.tolist() == [list(range(limit))] * 2
        assert len(set(hits.similarities.ravel().tolist())) == 1


def test_a_store_remembers_the_revision_it_agrees_with(store: VectorStore) -> None:
    assert store.revision == -1
    store.revision = 12
    store.add(a_table())
    assert store.revision == 12


@pytest.mark.parametrize(
    "queries",
    [
        np.zeros(DIMENSION, np.float32),
        np.zeros((1, DIMENSION + 1), np.float32),
        np.full((1, DIMENSION), np.nan, np.float32),
        np.full((1, DIMENSION), np.inf, np.float32),
    ],
)
def test_what_is_no_query_is_refused(store: VectorStore, queries: FloatArray) -> None:
    store.add(a_table())
    with pytest.raises(UsageError, match=r"\(N, 8\)|finite"):
        store.search(queries, limit=1)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(store: VectorStore, limit: int) -> None:
    with pytest.raises(UsageError, match="limit"):
        store.search(a_table().matrix[:1], limit)


def test_vectors_of_another_dimension_are_refused(store: VectorStore) -> None:
    ids = np.arange(3)
    with pytest.raises(UsageError, match=r"\(N, 8\)"):
        store.add(VectorTable(ids, ids, unit_rows(np.random.default_rng(0), 3, DIMENSION + 1)))


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    dimension=st.sampled_from([1, 2, 8, 128]),
    limit=st.integers(1, 70),
    deleted=st.sets(st.integers(0, 5)),
    coarse=st.booleans(),
)
def test_numpy_and_faiss_agree(
    seed: int, count: int, dimension: int, limit: int, deleted: set[int], coarse: bool
) -> None:
    random = np.random.default_rng(seed)
    matrix = unit_rows(random, count, dimension)
    if coarse:  # many ties
        matrix = matrix[random.integers(max(1, count // 4), size=count)]
    table = VectorTable(random.permutation(count).astype(np.int64), random.integers(6, size=count), matrix)
    queries = np.concatenate([unit_rows(random, 3, dimension), matrix[:2]])
    answers = []
    for make in STORES.values():
        store = make(dimension)
        store.add(table)
        for person in sorted(deleted):
            store.delete_person(person)
        answers.append(store.search(queries, limit))
    kept = ~np.isin(table.person_ids, list(deleted))
    rest = VectorTable(table.sample_ids[kept], table.person_ids[kept], matrix[kept])
    for hits in answers:
        np.testing.assert_array_equal(hits.similarities, answers[0].similarities)
        np.testing.assert_array_equal(hits.sample_ids, answers[0].sample_ids)
        np.testing.assert_array_equal(hits.person_ids, answers[0].person_ids)
    similarities = queries.astype(np.float64) @ rest.matrix.T.astype(np.float64)
    best = -np.sort(-similarities, axis=1)[:, :limit]
    np.testing.assert_allclose(answers[0].similarities, best.clip(-1, 1), atol=1e-6)


def test_a_large_index_without_faiss_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"facebank\[cpu\].*facebank\[gpu\]"):
        VectorIndex(DIMENSION, faiss_from=10).add(a_table())


def test_a_small_index_does_not_load_faiss() -> None:
    script = (
        "import sys, numpy as np; from facebank.gallery import VectorIndex, VectorTable\n"
        "index = VectorIndex(2); ids = np.arange(2); index.add(VectorTable(ids, ids, np.eye(2, dtype=np.float32)))\n"
        "assert index.search(np.eye(2, dtype=np.float32), 1).sample_ids.tolist() == [[0], [1]]\n"
        "print('faiss' in sys.modules, 'cv2' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    project = Path(__file__).resolve().parent.parent.parent
    answer = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False"] * 3


def test_the_default_index_goes_over_to_faiss_when_it_is_large() -> None:
    random = np.random.default_rng(0)
    matrix = unit_rows(random, 10_001)
    ids = np.arange(10_001)
    index = VectorIndex(DIMENSION)
    index.add(VectorTable(ids[:9_999], ids[:9_999] % 100, matrix[:9_999]))
    before = index.search(matrix[:5], 3)
    index.add(VectorTable(ids[9_999:], ids[9_999:] % 100, matrix[9_999:]))
    after = index.search(matrix[-5:], 1)
    assert before.sample_ids[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert after.sample_ids[:, 0].tolist() == list(range(9_996, 10_001))
