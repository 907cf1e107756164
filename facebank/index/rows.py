"""Where the float32 vectors of a coded index lie: in memory, or in a file that is mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray


class StoredRows(Protocol):
    """Vectors that lie elsewhere and do not change."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """Their numbers, rising."""

    def rows(self, places: NDArray[np.int64]) -> FloatArray:
        """Return the vectors of places among `ids`, ``(N, dimension)``; `GalleryBusyError` if they are gone."""

    def close(self) -> None:
        """Let go of them."""


class Rows:
    """Vectors by number: those that are stored, and those that were added since.

    Parameters
    ----------
    dimension
        Length of a vector.
    stored
        Vectors to begin with; they may be removed, and others of the same numbers added.
    """

    def __init__(self, dimension: int, stored: StoredRows | None = None) -> None:
        self._stored = stored
        self._ids = np.empty(0, dtype=np.int64)  # rising
        self._matrix = np.empty((0, dimension), dtype=np.float32)

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors; what is stored under the same numbers counts no more."""
        both = np.concatenate([self._ids, ids])
        order = np.argsort(both)
        matrix = vectors.astype(np.float32, copy=False)
        if len(self._ids):
            matrix = np.concatenate([self._matrix, matrix])
        rising = bool((np.diff(order) == 1).all())
        self._ids, self._matrix = both[order], matrix.copy() if rising else matrix[order]

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors from memory."""
        kept = ~np.isin(self._ids, ids)
        if not kept.all():
            self._ids, self._matrix = self._ids[kept], self._matrix[kept]

    def of(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors, ``(N, dimension)``."""
        if self._stored is None:
            return self._matrix[np.searchsorted(self._ids, ids)]
        found = np.empty((len(ids), self._matrix.shape[1]), dtype=np.float32)
        own = np.isin(ids, self._ids)
        found[own] = self._matrix[np.searchsorted(self._ids, ids[own])]
        found[~own] = self._stored.rows(np.searchsorted(self._stored.ids, ids[~own]))
        return found

    def close(self) -> None:
        """Let go of what is stored."""
        if self._stored is not None:
            self._stored.close()
