"""The two ways an index finds the nearest vectors: a NumPy matrix, and FAISS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from facebank.errors import MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.faces import FloatArray


class SearchEngine(Protocol):
    """Finds the nearest of its vectors by inner product, exact but for ``float32`` rounding."""

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors ``(N, dimension)`` under numbers ``(N,)`` that are not in use."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors by their numbers."""

    def nearest(self, queries: FloatArray, width: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return inner products and numbers, each ``(M, width)``, in any order; `width` is at most the count."""

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return the vectors ``(N, dimension)`` of numbers that are in use."""


class ArrayEngine:
    """A matrix that is multiplied with the queries."""

    def __init__(self, dimension: int) -> None:
        self._ids = np.empty(0, dtype=np.int64)  # rising
        self._matrix = np.empty((0, dimension), dtype=np.float32)

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors."""
        ids = np.concatenate([self._ids, ids])
        order = np.argsort(ids)
        self._ids = ids[order]
        self._matrix = np.concatenate([self._matrix, vectors.astype(np.float32, copy=False)])[order]

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors."""
        kept = ~np.isin(self._ids, ids)
        self._ids, self._matrix = self._ids[kept], self._matrix[kept]

    def nearest(self, queries: FloatArray, width: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return inner products and numbers."""
        products = queries @ self._matrix.T
        columns = np.argpartition(products, -width, axis=1)[:, -width:]
        return np.take_along_axis(products, columns, axis=1), self._ids[columns]

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors."""
        return self._matrix[np.searchsorted(self._ids, ids)]


class FaissEngine:
    """FAISS's flat inner-product index under the samples' numbers.

    Raises
    ------
    MissingDependencyError
        If FAISS is not installed.
    """

    def __init__(self, dimension: int) -> None:
        self._faiss = _load_faiss()
        self._index = self._faiss.IndexIDMap2(self._faiss.IndexFlatIP(dimension))

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors."""
        self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), np.ascontiguousarray(ids))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors."""
        self._index.remove_ids(self._faiss.IDSelectorBatch(np.ascontiguousarray(ids)))

    def nearest(self, queries: FloatArray, width: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return inner products and numbers."""
        products, ids = self._index.search(queries, width)
        return products, ids

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors."""
        vectors: FloatArray = self._index.reconstruct_batch(np.ascontiguousarray(ids))
        return vectors


def _load_faiss() -> Any:  # the module has no types
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError(
            "A gallery of this size is searched with FAISS, which is not installed: "
            "`python -m pip install 'facebank[cpu]'`, or 'facebank[gpu]' for CUDA."
        ) from error
    return faiss
