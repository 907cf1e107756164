"""How an index finds the nearest vectors: a NumPy matrix, or FAISS; `facebank.index.coded` has a third way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facebank.errors import MissingDependencyError
from facebank.index.nearest import Nearest, candidates, lengths, summing_error
from facebank.storage.concurrency import at_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from facebank.index.nearest import Candidates
    from facebank.types import FloatArray

_SPARE = 8  # more are fetched than asked for, so that a tie at the end is seen
_MOST_ON_GPU = 2048  # neighbours that FAISS finds on CUDA


class SearchEngine(Protocol):
    """Holds vectors by number, and finds those that may be the most similar."""

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors ``(N, dimension)`` under numbers ``(N,)`` that are not in use."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors by their numbers."""

    def candidates(self, queries: FloatArray, limit: int) -> Iterator[Candidates]:
        """Yield for each query vectors among which are the `limit` most similar, and all equal to the last of them."""

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return the vectors ``(N, dimension)`` of numbers that are in use."""

    def close(self) -> None:
        """Let go of files; nothing can be asked afterwards."""


class ArrayEngine:
    """A matrix that is multiplied with the queries."""

    def __init__(self, dimension: int) -> None:
        self._ids = np.empty(0, dtype=np.int64)  # rising
        self._matrix = np.empty((0, dimension), dtype=np.float32)
        self._longest = 0.0

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return len(self._ids)

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors."""
        ids = np.concatenate([self._ids, ids])
        order = np.argsort(ids)
        self._ids = ids[order]
        self._matrix = np.concatenate([self._matrix, vectors.astype(np.float32, copy=False)])[order]
        self._longest = max(self._longest, _longest(vectors))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors."""
        kept = ~np.isin(self._ids, ids)
        self._ids, self._matrix = self._ids[kept], self._matrix[kept]

    def candidates(self, queries: FloatArray, limit: int) -> Iterator[Candidates]:
        """Yield vectors."""
        return candidates([self], queries, limit, self.vectors, spare=_SPARE)

    def nearest(self, queries: FloatArray, width: int) -> Nearest:
        """Return products, numbers and errors."""
        products = queries @ self._matrix.T
        columns = np.argpartition(products, -width, axis=1)[:, -width:]
        greatest = np.take_along_axis(products, columns, axis=1).astype(np.float64)
        return Nearest(greatest, self._ids[columns], _errors(queries, self._longest))

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors."""
        return self._matrix[np.searchsorted(self._ids, ids)]

    def close(self) -> None:
        """Do nothing: there are no files."""


class FaissEngine:
    """FAISS's flat inner-product index under the samples' numbers; on CUDA too where such a FAISS is installed.

    Raises
    ------
    MissingDependencyError
        If FAISS is not installed.
    """

    def __init__(self, dimension: int) -> None:
        self._faiss = load_faiss()
        self._index = self._faiss.IndexIDMap2(self._faiss.IndexFlatIP(dimension))
        self._on_gpu: Any = None
        self._longest = 0.0

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return int(self._index.ntotal)

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors."""
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), np.ascontiguousarray(ids))
        self._longest = max(self._longest, _longest(vectors))
        self._on_gpu = None

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors."""
        self._index.remove_ids(self._faiss.IDSelectorBatch(np.ascontiguousarray(ids)))
        self._on_gpu = None

    def candidates(self, queries: FloatArray, limit: int) -> Iterator[Candidates]:
        """Yield vectors."""
        return candidates([self], queries, limit, self.vectors, spare=_SPARE)

    def nearest(self, queries: FloatArray, width: int) -> Nearest:
        """Return products, numbers and errors."""
        products, ids = self._searched(width).search(queries, width)
        return Nearest(products.astype(np.float64), ids, _errors(queries, self._longest))

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors."""
        vectors: FloatArray = self._index.reconstruct_batch(np.ascontiguousarray(ids))
        return vectors

    def close(self) -> None:
        """Do nothing: there are no files."""

    def _searched(self, width: int) -> Any:
        if width > _MOST_ON_GPU or not getattr(self._faiss, "get_num_gpus", int)():
            return self._index
        if self._on_gpu is None:
            self._on_gpu = self._faiss.index_cpu_to_gpu(self._faiss.StandardGpuResources(), 0, self._index)
        return self._on_gpu


def load_faiss() -> Any:  # the module has no types
    """Import FAISS; raises `MissingDependencyError` where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError(
            "A gallery of this size is searched with FAISS, which is not installed: "
            "`python -m pip install 'facebank[cpu]'`, or 'facebank[gpu]' for CUDA."
        ) from error
    return faiss


def _search_alone() -> None:
    """Let FAISS search with the one thread that is left in a forked process: it would wait for the others for ever."""
    faiss = sys.modules.get("faiss")
    if faiss is not None:
        faiss.omp_set_num_threads(1)


at_fork(in_child=_search_alone)


def _errors(queries: FloatArray, longest: float) -> NDArray[np.float64]:
    """Return how far float32 products may be from the similarities, with vectors no longer than that."""
    return summing_error(queries.shape[1]) * longest * lengths(queries)


def _longest(vectors: FloatArray) -> float:
    squares = np.einsum("ij,ij->i", vectors, vectors) if len(vectors) else np.zeros(1)
    return float(np.sqrt(np.float64(squares.max()))) * (1.0 + summing_error(vectors.shape[1]))
