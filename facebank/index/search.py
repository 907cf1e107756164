"""Exact nearest-neighbor search by inner product.

A `Search` finds candidates by fast products with bounded errors; the caller ranks them by
`facebank.index.exact.products`, so that all backends return the same results to the last bit. `MatrixSearch` multiplies
by a ``float32`` matrix; `CodedSearch` scans 8-bit codes, with NumPy at first and with FAISS after `FAISS_FROM` numbers.

The proof that a search misses nothing is in ``docs/speed.md``.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facebank.index.codes import ZERO
from facebank.index.exact import lengths, longest, summing_error
from facebank.storage.concurrency import SharedLock, at_fork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.index.codes import CodeScale
    from facebank.types import FloatArray

    Rows = NDArray[np.int64]

FAISS_FROM = 200_000_000  # numbers scanned before FAISS is loaded; measured: loading it takes as long as the scans
_QUERIES_AT_ONCE = 64
TINY = 1e-30  # bound of what underflowing products would add to a sum
_CODES_AT_ONCE = 1024  # a block that fits the processor's cache: ten times as fast as larger ones
SPARE = 128  # further candidates per part; measured with 65,536 vectors: rarely too few, and they cost nothing
WIDEN = 8  # factor by which a search is widened if they were too few


class Search(Protocol):
    """Search of vectors by their inner products with queries."""

    @property
    def count(self) -> int:
        """Number of vectors."""
        ...

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Return for each query the places of the vectors with the greatest products, ``int64``, rising.

        Includes every vector with a product of at most `slack` below the `limit`-th greatest, and perhaps a few others.
        Queries are ``float64`` of shape ``(M, D)`` and need not be normalized; `limit` is at least 1.
        """
        ...

    def within(self, queries: NDArray[np.float64], least: float) -> list[Rows]:
        """Return for each query the places of all vectors whose product is at least `least`, and perhaps others."""
        ...


class MatrixSearch:
    """Search of a ``float32`` matrix in memory, of shape ``(N, D)``."""

    def __init__(self, matrix: FloatArray) -> None:
        self._matrix = matrix
        self._longest = longest(matrix)

    @property
    def count(self) -> int:
        """Number of vectors."""
        return len(self._matrix)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Find vectors: see `Search.near`."""
        if self.count <= limit:
            return [np.arange(self.count)] * len(queries)
        found: list[Rows] = []
        for products, errors in self._products(queries):
            last = np.partition(products, self.count - limit, axis=1)[:, self.count - limit]
            found += _at_least(products, last - 2.0 * errors - slack)
        return found

    def within(self, queries: NDArray[np.float64], least: float) -> list[Rows]:
        """Find vectors: see `Search.within`."""
        return [found for products, errors in self._products(queries) for found in _at_least(products, least - errors)]

    def _products(self, queries: NDArray[np.float64]) -> Iterator[tuple[FloatArray, NDArray[np.float64]]]:
        for block in in_blocks(queries):
            rounded = block.astype(np.float32)
            errors = summing_error(block.shape[1]) * lengths(rounded) + lengths(block - rounded)
            yield rounded @ self._matrix.T, errors * self._longest + TINY


class CodedPart:
    """Codes, ``uint8`` of shape ``(N, D)``, of at most `facebank.index.codes.PART_SIZE` vectors with one scale."""

    def __init__(self, scale: CodeScale, codes: NDArray[np.uint8]) -> None:
        self.count = len(codes)
        self._scale = scale
        self._held: Any = codes  # the codes, or a FAISS index of them

    def load_into_faiss(self, faiss: Any) -> None:
        """Move the codes into a FAISS index."""
        kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
        index = faiss.IndexScalarQuantizer(len(self._scale.scale), kind, faiss.METRIC_INNER_PRODUCT)
        index.add_sa_codes(np.ascontiguousarray(self._held))
        self._held = index

    def greatest(
        self, queries: NDArray[np.float64], width: int
    ) -> tuple[NDArray[np.float64], Rows, NDArray[np.float64]]:
        """Return the greatest products and their places, each ``(M, width)``, and error bounds of shape ``(M,)``."""
        rounded, held = self._scale.rounded(queries), self._held
        if isinstance(held, np.ndarray):
            sums = _sums(rounded.numbers, held)
            places = np.argpartition(sums, self.count - width, axis=1)[:, self.count - width :]
            sums = np.take_along_axis(sums, places, axis=1)
        else:
            sums, places = held.search(rounded.numbers, width)
        return rounded.unit * sums + rounded.offset, places.astype(np.int64, copy=False), rounded.error


class CodedSearch:
    """Search of 8-bit codes, in parts that follow one another in the order of places."""

    def __init__(self, parts: Sequence[CodedPart]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.count for part in parts)])
        self._scanned = 0
        self._faiss: Any = None
        self._loading = SharedLock()

    @property
    def count(self) -> int:
        """Number of vectors."""
        return int(self._starts[-1])

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Find vectors: see `Search.near`."""
        if self.count <= limit:
            return [np.arange(self.count)] * len(queries)
        found: list[Rows] = []
        for block in in_blocks(queries):
            firsts = self._greatest(block, limit + SPARE)
            lower = np.concatenate([products - errors[:, None] for products, _, errors in firsts], axis=1)
            floors = np.partition(lower, lower.shape[1] - limit, axis=1)[:, lower.shape[1] - limit] - slack
            found += [self._places_from(block[row], float(floor), firsts, row) for row, floor in enumerate(floors)]
        return found

    def within(self, queries: NDArray[np.float64], least: float) -> list[Rows]:
        """Find vectors: see `Search.within`."""
        found: list[Rows] = []
        for block in in_blocks(queries):
            firsts = self._greatest(block, SPARE)
            found += [self._places_from(query, least, firsts, row) for row, query in enumerate(block)]
        return found

    def _greatest(
        self, queries: NDArray[np.float64], width: int
    ) -> list[tuple[NDArray[np.float64], Rows, NDArray[np.float64]]]:
        """Return the results of all parts, searched in parallel if FAISS is loaded."""
        faiss = self._load_faiss(queries.size * self.count)
        threads = 1 if faiss is None else min(faiss.omp_get_max_threads(), len(self._parts))
        if threads == 1:
            return [part.greatest(queries, min(width, part.count)) for part in self._parts]
        with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda part: part.greatest(queries, min(width, part.count)), self._parts))

    def _places_from(
        self,
        query: NDArray[np.float64],
        floor: float,
        firsts: Sequence[tuple[NDArray[np.float64], Rows, NDArray[np.float64]]],
        row: int,
    ) -> Rows:
        """Return the places whose product may reach a floor; widens the search of a part whose last result does."""
        found = []
        for part, start, (products, places, errors) in zip(self._parts, self._starts.tolist(), firsts, strict=False):
            near, where = products[row] + errors[row], places[row]
            while near.min() >= floor and len(near) < part.count:
                wider = part.greatest(query[None], min(WIDEN * len(near), part.count))
                near, where = wider[0][0] + wider[2][0], wider[1][0]
            found.append(where[near >= floor] + start)
        return np.sort(np.concatenate(found))

    def _load_faiss(self, scanned: int) -> Any:
        """Return FAISS after `FAISS_FROM` scanned numbers; None before, or if it is not installed."""
        self._scanned += scanned
        if self._faiss is None and self._scanned >= FAISS_FROM:
            with self._loading:
                if self._faiss is None:
                    try:
                        import faiss
                    except ImportError:
                        return None
                    for part in self._parts:
                        part.load_into_faiss(faiss)
                    self._faiss = faiss
        return self._faiss


def _sums(numbers: FloatArray, codes: NDArray[np.uint8]) -> FloatArray:
    sums = np.empty((len(numbers), len(codes)), dtype=np.float32)
    for start in range(0, len(codes), _CODES_AT_ONCE):
        block = codes[start : start + _CODES_AT_ONCE].astype(np.float32)
        block -= ZERO
        sums[:, start : start + len(block)] = numbers @ block.T
    return sums


def in_blocks(queries: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield queries in blocks."""
    return (queries[start : start + _QUERIES_AT_ONCE] for start in range(0, len(queries), _QUERIES_AT_ONCE))


def _at_least(products: NDArray[np.floating[Any]], floors: NDArray[np.float64]) -> list[Rows]:
    return [np.flatnonzero(row >= floor) for row, floor in zip(products, floors, strict=True)]


def _search_alone() -> None:
    """Limit FAISS to one thread in a forked process, which would otherwise deadlock."""
    limit = getattr(sys.modules.get("faiss"), "omp_set_num_threads", None)  # absent while FAISS is being imported
    if limit is not None:
        limit(1)


at_fork(in_child=_search_alone)
