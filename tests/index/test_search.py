"""Every search backend finds what the full product matrix finds, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebank.index import search
from facebank.index.codes import encode
from facebank.index.exact import cosines, products
from facebank.index.search import CodedPart, CodedSearch, MatrixSearch

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.index.search import Search
    from facebank.types import FloatArray
    from tests.index.conftest import PaddedSearches

SEEDS = st.integers(0, 2**32 - 1)


def examples(make_search: object) -> int:
    """Return the number of Hypothesis examples for a kind of search."""
    return int(getattr(make_search, "examples", 60))


def draw_rows(generator: np.random.Generator, count: int, dimension: int) -> FloatArray:
    """Return random vectors with duplicates and near duplicates."""
    rows = generator.standard_normal((count, dimension))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    repeated = generator.integers(count, size=count // 3)
    rows[: len(repeated)] = rows[repeated]
    rows[: len(repeated) // 2] += 1e-4 * generator.standard_normal((len(repeated) // 2, dimension))
    return rows.astype(np.float32)


def search_codes(rows: FloatArray, part_size: int = 7) -> CodedSearch:
    """Return a search of 8-bit codes in parts of `part_size` vectors."""
    blocks = [rows[start : start + part_size] for start in range(0, len(rows), part_size)]
    return CodedSearch([CodedPart(*encode(block)) for block in blocks])


def search_with_faiss(rows: FloatArray, monkeypatch: pytest.MonkeyPatch) -> CodedSearch:
    """Return a search of 8-bit codes that uses FAISS from the first query on."""
    monkeypatch.setattr(search, "FAISS_FROM", 0)
    return search_codes(rows)


@pytest.fixture(params=["matrix", "numpy", "faiss", "lite", "server"])
def make_search(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, stored_rows: Callable[[str], PaddedSearches]
) -> Callable[[FloatArray], Search]:
    """A function that creates each kind of search; the last two use Milvus Lite and a Milvus server."""
    if request.param in {"lite", "server"}:
        return stored_rows(request.param)
    if request.param == "matrix":
        return MatrixSearch
    if request.param == "numpy":
        return search_codes
    pytest.importorskip("faiss")
    return lambda rows: search_with_faiss(rows, monkeypatch)


def test_the_greatest_products_are_found(make_search: Callable[[FloatArray], Search]) -> None:
    @settings(max_examples=examples(make_search), deadline=None)
    @given(SEEDS, st.integers(1, 60), st.integers(1, 40), st.integers(1, 12), st.floats(0, 0.3))
    def check(seed: int, count: int, dimension: int, limit: int, slack: float) -> None:
        generator = np.random.default_rng(seed)
        rows = draw_rows(generator, count, dimension)
        queries = generator.standard_normal((3, dimension)) * generator.uniform(0.1, 3)
        queries[0] = rows[generator.integers(count)]
        for query, nearest in zip(queries, make_search(rows).near(queries, limit, slack), strict=True):
            exact = products(query, rows)
            expected = np.flatnonzero(exact >= np.sort(exact)[-min(limit, count)] - slack)
            assert np.isin(expected, nearest).all()
            assert (np.diff(nearest) > 0).all()
            assert len(nearest) >= min(limit, count)

    check()


def test_all_vectors_above_a_similarity_are_found(make_search: Callable[[FloatArray], Search]) -> None:
    @settings(max_examples=examples(make_search), deadline=None)
    @given(SEEDS, st.integers(1, 60), st.integers(1, 40), st.floats(-1, 1))
    def check(seed: int, count: int, dimension: int, min_product: float) -> None:
        generator = np.random.default_rng(seed)
        rows = draw_rows(generator, count, dimension)
        queries = rows[generator.integers(count, size=4)].astype(np.float64)
        for query, nearest in zip(queries, make_search(rows).within(queries, min_product), strict=True):
            assert np.isin(np.flatnonzero(products(query, rows) >= min_product), nearest).all()

    check()


def test_few_extra_candidates_are_found(make_search: Callable[[FloatArray], Search]) -> None:
    generator = np.random.default_rng(3)
    rows = draw_rows(generator, 3000, 64)[1000:]
    nearest = make_search(rows).near(generator.standard_normal((5, 64)), 10)
    assert max(map(len, nearest)) < 100


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 30), st.integers(1, 40))
def test_a_similarity_depends_only_on_its_two_vectors(seed: int, count: int, dimension: int) -> None:
    generator = np.random.default_rng(seed)
    rows = draw_rows(generator, count, dimension)
    probe = rows[0]
    joint = cosines(probe, rows)
    indices = generator.permutation(count)[: generator.integers(1, count + 1)]
    assert np.array_equal(cosines(probe, rows[indices]), joint[indices])
    assert [cosines(probe, rows[index : index + 1])[0] for index in range(count)] == joint.tolist()


def test_faiss_is_loaded_after_enough_scans() -> None:
    program = (
        "import sys, numpy as np\n"
        "from facebank.index import search\n"
        "from facebank.index.codes import encode\n"
        "search.FAISS_FROM = 2400\n"
        "rows = np.eye(100, 8, dtype=np.float32)\n"
        "coded = search.CodedSearch([search.CodedPart(*encode(rows))])\n"
        "for _ in range(3): coded.near(rows[:1].astype(float), 5); print('faiss' in sys.modules)\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["False", "False", "True"]


def test_numpy_is_used_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    rows = draw_rows(np.random.default_rng(1), 40, 16)
    (nearest,) = search_with_faiss(rows, monkeypatch).near(rows[:1].astype(np.float64), 3)
    assert 0 in nearest


def test_zero_vectors_are_found(make_search: Callable[[FloatArray], Search]) -> None:
    rows: Any = np.zeros((30, 4), dtype=np.float32)
    assert make_search(rows).near(np.ones((1, 4)), 3)[0].tolist() == list(range(30))


@pytest.mark.parametrize("length", [1e-20, 1e-30, 1e-41, 1e6])
def test_vectors_of_any_length_are_found(make_search: Callable[[FloatArray], Search], length: float) -> None:
    generator = np.random.default_rng(5)
    rows = (length * generator.standard_normal((300, 128))).astype(np.float32)
    queries = np.concatenate([rows[:2].astype(np.float64), generator.standard_normal((2, 128))])
    built = make_search(rows)
    for row, query in enumerate(queries):
        exact = products(query, rows)
        min_product = float(np.sort(exact)[-20])
        for nearest in (built.near(queries, 20)[row], built.within(queries, min_product)[row]):
            assert np.isin(np.flatnonzero(exact >= min_product), nearest).all()


@pytest.mark.parametrize("distribution", ["equal", "one coordinate is huge", "constant dimensions", "next numbers"])
def test_adversarial_vectors_are_found(make_search: Callable[[FloatArray], Search], distribution: str) -> None:
    generator = np.random.default_rng(6)
    rows = generator.standard_normal((200, 64)).astype(np.float32)
    if distribution == "equal":
        rows[:] = rows[0]
    elif distribution == "one coordinate is huge":
        rows[:, 0] *= np.float32(1e6)
    elif distribution == "constant dimensions":
        rows[:, ::2] = 0.25
    else:
        rows[:] = np.nextafter(rows[0], np.where(generator.random(rows.shape) < 0.5, 9, -9).astype(np.float32))
    queries = np.concatenate([rows[:2].astype(np.float64), generator.standard_normal((2, 64))])
    for query, nearest in zip(queries, make_search(rows).near(queries, 9), strict=True):
        exact = products(query, rows)
        assert np.isin(np.flatnonzero(exact >= np.sort(exact)[-9]), nearest).all()
