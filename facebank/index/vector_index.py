"""The vector index: who is most similar, exactly.

`VectorStore` is what the rest of facebank may expect of any index, near or far; `VectorIndex` is the exact one. It
answers from a NumPy matrix while it is small, because loading FAISS takes longer than searching some thousand faces,
from FAISS's flat inner-product index beyond that, and from 8-bit codes when it is large (`facebank.index.coded`). All
give the same hits: an engine finds those who may be the nearest, by proven bounds (`facebank.index.nearest`); their
similarities are computed anew in double precision, so that they depend on the two embeddings alone and not on what else
is searched, and equal ones come in the order of their samples' numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import UsageError
from facebank.gallery.records import VectorTable
from facebank.index.coded import CodedEngine
from facebank.index.engines import ArrayEngine, FaissEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.index.engines import SearchEngine
    from facebank.index.index_file import StoredIndex
    from facebank.types import FloatArray

FAISS_FROM = 10_000
"""How many vectors an index holds before it is worth loading FAISS."""

CODED_FROM = 200_001
"""How many vectors an index holds before it scans codes of them."""

NO_REVISION = -1
"""Revision of an index that follows no gallery yet."""

_QUERIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class SearchHits:
    """The most similar samples of each query, best first.

    Attributes
    ----------
    similarities
        Cosines, ``float32`` of shape ``(M, k)``, -1..1, never rising along a row. ``k`` is the limit, or the number
        of samples where there are fewer.
    person_ids, sample_ids
        Whose they are, ``int64`` of shape ``(M, k)``.
    """

    similarities: FloatArray
    person_ids: NDArray[np.int64]
    sample_ids: NDArray[np.int64]


class VectorStore(Protocol):
    """What every index can do, wherever its vectors lie."""

    revision: int
    """The gallery's revision that the vectors agree with; set by whoever fills the store, after filling it."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def count(self) -> int:
        """How many vectors there are."""

    @property
    def people(self) -> int:
        """How many people the vectors belong to."""

    def add(self, table: VectorTable) -> None:
        """Add vectors of samples that are not in the store; `UsageError` if one is."""

    def delete_person(self, person_id: int) -> int:
        """Delete all vectors of a person and return how many there were."""

    def search(self, queries: FloatArray, limit: int) -> SearchHits:
        """Return the most similar samples of each query of shape ``(M, dimension)``."""


class VectorIndex:
    """Exact search.

    Parameters
    ----------
    dimension
        Length of a vector.
    faiss_from
        How many vectors are searched with FAISS rather than NumPy.
    coded_from
        How many vectors are scanned as codes.
    bits
        How many bits a number of those codes has, 8 or 16.
    """

    def __init__(
        self, dimension: int, *, faiss_from: int = FAISS_FROM, coded_from: int = CODED_FROM, bits: int = 8
    ) -> None:
        self.revision = NO_REVISION
        self.coded_from = coded_from
        self._dimension = dimension
        self._faiss_from = faiss_from
        self._bits = bits
        self._engine: SearchEngine = ArrayEngine(dimension)
        self._sample_ids = np.empty(0, dtype=np.int64)  # rising
        self._person_ids = np.empty(0, dtype=np.int64)
        self._stored: StoredIndex | None = None

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._dimension

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return len(self._sample_ids)

    @property
    def people(self) -> int:
        """How many people the vectors belong to."""
        return len(np.unique(self._person_ids))

    @property
    def is_stored(self) -> bool:
        """Whether vectors are read from a file."""
        return self._stored is not None

    @property
    def is_intact(self) -> bool:
        """Whether the vectors are all there: nobody overwrote the file that they are read from."""
        return self._stored is None or self._stored.rows.is_intact

    def take(self, stored: StoredIndex) -> None:
        """Hold what a file holds, and nothing else."""
        self._stored = stored
        self._sample_ids, self._person_ids = stored.listing[:, 0].copy(), stored.listing[:, 1].copy()
        self._engine = CodedEngine(self._dimension, bits=self._bits, stored=stored.rows, parts=stored.parts)

    def add(self, table: VectorTable) -> None:
        """Add vectors.

        Parameters
        ----------
        table
            L2-normalised vectors of samples that are not in the index.

        Raises
        ------
        UsageError
            If a sample is in the index already, or the vectors have another dimension.
        MissingDependencyError
            If the index grows so large that FAISS is needed, and it is not installed.
        """
        self._check_rows(table.matrix, "vectors")
        both = np.concatenate([self._sample_ids, table.sample_ids])
        if len(np.unique(both)) != len(both):
            raise UsageError("A sample can be in an index only once.")
        self._choose_engine(len(both))
        self._engine.add(table.sample_ids, table.matrix)
        order = np.argsort(both)
        self._sample_ids = both[order]
        self._person_ids = np.concatenate([self._person_ids, table.person_ids])[order]

    def delete_person(self, person_id: int) -> int:
        """Delete all vectors of a person.

        Parameters
        ----------
        person_id
            The person's number; one who is not in the index has no vectors.

        Returns
        -------
        int
            How many there were.
        """
        theirs = self._person_ids == person_id
        if theirs.any():
            self._engine.remove(self._sample_ids[theirs])
            self._sample_ids, self._person_ids = self._sample_ids[~theirs], self._person_ids[~theirs]
        return int(theirs.sum())

    def search(self, queries: FloatArray, limit: int) -> SearchHits:
        """Find the most similar samples.

        Parameters
        ----------
        queries
            L2-normalised embeddings, ``float32`` of shape ``(M, dimension)``.
        limit
            How many hits each query gets, at least 1; fewer where the index holds fewer.

        Returns
        -------
        SearchHits
            Best first; equal similarities in the order of the samples' numbers.

        Raises
        ------
        UsageError
            If the queries have another shape or are not finite, or the limit is below 1.
        """
        self._check_rows(queries, "queries")
        if limit < 1:
            raise UsageError(f"A search needs a limit of at least 1, not {limit}.")
        if not len(queries) or not self.count:
            none = np.empty((len(queries), min(limit, self.count)), dtype=np.int64)
            return SearchHits(none.astype(np.float32), none, none)
        blocks = [
            self._search_block(np.ascontiguousarray(queries[start : start + _QUERIES_AT_ONCE], np.float32), limit)
            for start in range(0, len(queries), _QUERIES_AT_ONCE)
        ]
        similarities = np.concatenate([block[0] for block in blocks])
        sample_ids = np.concatenate([block[1] for block in blocks])
        person_ids = self._person_ids[np.searchsorted(self._sample_ids, sample_ids)]
        return SearchHits(similarities, person_ids, sample_ids)

    def close(self) -> None:
        """Let go of the file that vectors are read from, if there is one; nothing can be searched afterwards."""
        self._engine.close()

    def _choose_engine(self, count: int) -> None:
        """Go over to what searches so many vectors; never back."""
        engine: SearchEngine
        if count >= self.coded_from and not isinstance(self._engine, CodedEngine):
            engine = CodedEngine(self._dimension, bits=self._bits)
        elif count >= self._faiss_from and isinstance(self._engine, ArrayEngine):
            engine = FaissEngine(self._dimension)
        else:
            return
        if self.count:
            engine.add(self._sample_ids, self._engine.vectors(self._sample_ids))
        self._engine = engine

    def _search_block(self, queries: FloatArray, limit: int) -> tuple[FloatArray, NDArray[np.int64]]:
        limit = min(limit, self.count)
        best = np.empty((len(queries), limit), dtype=np.float32)
        best_ids = np.empty((len(queries), limit), dtype=np.int64)
        for row, (ids, similarities) in enumerate(self._engine.candidates(queries, limit)):
            order = np.lexsort((ids, -similarities))[:limit]
            best[row], best_ids[row] = similarities[order], ids[order]
        return best, best_ids

    def _check_rows(self, rows: FloatArray, what: str) -> None:
        if rows.ndim != 2 or rows.shape[1] != self._dimension:
            raise UsageError(f"Expected {what} of shape (N, {self._dimension}) but got {rows.shape}.")
        if not np.isfinite(rows).all():
            raise UsageError(f"The {what} hold numbers that are not finite.")
