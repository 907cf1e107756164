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
from facebank.index.exact import lengths, max_length, summing_error
from facebank.storage.concurrency import ForkSafeLock, at_fork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.index.codes import CodeScale
    from facebank.types import FloatArray

    Rows = NDArray[np.int64]

FAISS_FROM = 200_000_000  # numbers scanned before FAISS is loaded, which takes about as long as these scans
_QUERIES_PER_BLOCK = 64
TINY = 1e-30  # bound of what underflowing products would add to a sum
_CODES_PER_BLOCK = 1024  # a block that fits the processor's cache
SPARE = 128  # further candidates per part, so that a search rarely has to be widened
WIDEN = 8  # factor by which a search is widened if they were too few


class Search(Protocol):
    """Search of vectors by their inner products with queries."""

    @property
    def count(self) -> int:
        """Number of vectors."""
        ...

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Return for each query the positions of the vectors with the greatest products, ``int64``, ascending.

        Includes every vector with a product of at most `slack` below the `limit`-th greatest, and perhaps a few others.
        Queries are ``float64`` of shape ``(M, D)`` and need not be normalized; `limit` is at least 1.
        """
        ...

    def within(self, queries: NDArray[np.float64], min_product: float) -> list[Rows]:
        """Return for each query the positions of all vectors with a product of at least `min_product`.

        Positions are ``int64``, ascending; a few other vectors may be included.
        """
        ...


class MatrixSearch:
    """Search of a ``float32`` matrix in memory, of shape ``(N, D)``."""

    def __init__(self, matrix: FloatArray) -> None:
        self._matrix = matrix
        self._max_length = max_length(matrix)

    @property
    def count(self) -> int:
        """Number of vectors."""
        return len(self._matrix)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Return positions: see `Search.near`."""
        if self.count <= limit:
            return [np.arange(self.count)] * len(queries)
        results: list[Rows] = []
        for products, errors in self._products(queries):
            last = np.partition(products, self.count - limit, axis=1)[:, self.count - limit]
            results += _rows_above(products, last - 2.0 * errors - slack)
        return results

    def within(self, queries: NDArray[np.float64], min_product: float) -> list[Rows]:
        """Return positions: see `Search.within`."""
        return [
            rows for products, errors in self._products(queries) for rows in _rows_above(products, min_product - errors)
        ]

    def _products(self, queries: NDArray[np.float64]) -> Iterator[tuple[FloatArray, NDArray[np.float64]]]:
        for block in query_blocks(queries):
            rounded = block.astype(np.float32)
            errors = summing_error(block.shape[1]) * lengths(rounded) + lengths(block - rounded)
            yield rounded @ self._matrix.T, errors * self._max_length + TINY


class CodedPart:
    """Codes, ``uint8`` of shape ``(N, D)``, of at most `facebank.index.codes.PART_SIZE` vectors with one scale."""

    def __init__(self, scale: CodeScale, codes: NDArray[np.uint8]) -> None:
        self.count = len(codes)
        self._scale = scale
        self._codes: Any = codes  # the codes, or a FAISS index of them

    def load_into_faiss(self, faiss: Any) -> None:
        """Move the codes into a FAISS index."""
        code_type = faiss.ScalarQuantizer.QT_8bit_direct_signed
        index = faiss.IndexScalarQuantizer(len(self._scale.scale), code_type, faiss.METRIC_INNER_PRODUCT)
        index.add_sa_codes(np.ascontiguousarray(self._codes))
        self._codes = index

    def top_products(
        self, queries: NDArray[np.float64], width: int
    ) -> tuple[NDArray[np.float64], Rows, NDArray[np.float64]]:
        """Return the greatest products and their positions, each ``(M, width)``, and error bounds of shape ``(M,)``."""
        rounded, codes = self._scale.round_queries(queries), self._codes
        if isinstance(codes, np.ndarray):
            sums = _sums(rounded.numbers, codes)
            positions = np.argpartition(sums, self.count - width, axis=1)[:, self.count - width :]
            sums = np.take_along_axis(sums, positions, axis=1)
        else:
            sums, positions = codes.search(rounded.numbers, width)
        return rounded.unit * sums + rounded.offset, positions.astype(np.int64, copy=False), rounded.error


class CodedSearch:
    """Search of 8-bit codes, in parts that follow one another in the order of positions."""

    def __init__(self, parts: Sequence[CodedPart]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(part.count for part in parts)])
        self._scanned = 0
        self._faiss: Any = None
        self._loading_lock = ForkSafeLock()

    @property
    def count(self) -> int:
        """Number of vectors."""
        return int(self._starts[-1])

    def near(self, queries: NDArray[np.float64], limit: int, slack: float = 0.0) -> list[Rows]:
        """Return positions: see `Search.near`."""
        if self.count <= limit:
            return [np.arange(self.count)] * len(queries)
        results: list[Rows] = []
        for block in query_blocks(queries):
            parts = self._top_products(block, limit + SPARE)
            lower = np.concatenate([products - errors[:, None] for products, _, errors in parts], axis=1)
            floors = np.partition(lower, lower.shape[1] - limit, axis=1)[:, lower.shape[1] - limit] - slack
            results += [self._rows_from(block[row], float(floor), parts, row) for row, floor in enumerate(floors)]
        return results

    def within(self, queries: NDArray[np.float64], min_product: float) -> list[Rows]:
        """Return positions: see `Search.within`."""
        results: list[Rows] = []
        for block in query_blocks(queries):
            parts = self._top_products(block, SPARE)
            results += [self._rows_from(query, min_product, parts, row) for row, query in enumerate(block)]
        return results

    def _top_products(
        self, queries: NDArray[np.float64], width: int
    ) -> list[tuple[NDArray[np.float64], Rows, NDArray[np.float64]]]:
        """Return the results of all parts, searched in parallel if FAISS is loaded."""
        faiss = self._load_faiss(queries.size * self.count)
        threads = 1 if faiss is None else min(faiss.omp_get_max_threads(), len(self._parts))
        if threads == 1:
            return [part.top_products(queries, min(width, part.count)) for part in self._parts]
        with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda part: part.top_products(queries, min(width, part.count)), self._parts))

    def _rows_from(
        self,
        query: NDArray[np.float64],
        floor: float,
        results: Sequence[tuple[NDArray[np.float64], Rows, NDArray[np.float64]]],
        row: int,
    ) -> Rows:
        """Return the positions whose product may reach a floor; widens the search of a part whose last result does."""
        candidates = []
        for part, start, (products, positions, errors) in zip(
            self._parts, self._starts.tolist(), results, strict=False
        ):
            upper, rows = products[row] + errors[row], positions[row]
            while upper.min() >= floor and len(upper) < part.count:
                wider = part.top_products(query[None], min(WIDEN * len(upper), part.count))
                upper, rows = wider[0][0] + wider[2][0], wider[1][0]
            candidates.append(rows[upper >= floor] + start)
        return np.sort(np.concatenate(candidates))

    def _load_faiss(self, scanned: int) -> Any:
        """Return FAISS after `FAISS_FROM` scanned numbers; None before, or if it is not installed."""
        self._scanned += scanned
        if self._faiss is None and self._scanned >= FAISS_FROM:
            with self._loading_lock:
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
    for start in range(0, len(codes), _CODES_PER_BLOCK):
        block = codes[start : start + _CODES_PER_BLOCK].astype(np.float32)
        block -= ZERO
        sums[:, start : start + len(block)] = numbers @ block.T
    return sums


def query_blocks(queries: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield queries in blocks."""
    return (queries[start : start + _QUERIES_PER_BLOCK] for start in range(0, len(queries), _QUERIES_PER_BLOCK))


def _rows_above(products: NDArray[np.floating[Any]], floors: NDArray[np.float64]) -> list[Rows]:
    return [np.flatnonzero(row >= floor) for row, floor in zip(products, floors, strict=True)]


def _limit_threads() -> None:
    """Limit FAISS to one thread in a forked process, which would otherwise deadlock."""
    limit = getattr(sys.modules.get("faiss"), "omp_set_num_threads", None)  # absent while FAISS is being imported
    if limit is not None:
        limit(1)


at_fork(in_child=_limit_threads)
