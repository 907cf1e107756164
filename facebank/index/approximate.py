"""Approximate search, for those who ask for it: faster, and it tells how many of the nearest it finds.

FAISS's inverted lists: the vectors are parted by their nearest of some centres, and a query is compared with the lists
of the nearest centres alone. Vectors lie in memory as ``float32``. Nothing in facebank uses it unless told to::

    gallery.search_with(ApproximateIndex)
    index = gallery.index()
    print(f"finds {index.recall():.1%} of the ten nearest")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.index.engines import load_faiss
from facebank.index.nearest import Candidates, similarities
from facebank.index.rows import Rows
from facebank.index.vector_index import CODED_FROM, FAISS_FROM, VectorIndex
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from facebank.types import FloatArray

PROBES = 32
"""How many lists a query is compared with."""

_SPARE = 8
_NEVER = 1 << 62
_PER_CENTRE = 39  # vectors that FAISS wants for each centre to learn it
_TRAINED_ON = 64  # times as many vectors as centres are enough
_SEED = 20_240_229


class ListsEngine:
    """FAISS's inverted lists.

    Parameters
    ----------
    dimension
        Length of a vector.
    probes
        How many lists a query is compared with.
    """

    def __init__(self, dimension: int, probes: int) -> None:
        load_faiss()
        self._dimension = dimension
        self._probes = probes
        self._rows = Rows(dimension)
        self._index: Any = None

    def add(self, ids: NDArray[np.int64], vectors: FloatArray) -> None:
        """Add vectors; the first ones decide where the centres are."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if not len(ids):
            return
        if self._index is None:
            self._index = self._trained(vectors)
        self._rows.add(ids, vectors)
        self._index.add_with_ids(vectors, np.ascontiguousarray(ids))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Remove vectors."""
        self._rows.remove(ids)
        self._index.remove_ids(load_faiss().IDSelectorBatch(np.ascontiguousarray(ids)))

    def candidates(self, queries: FloatArray, limit: int, probes: int | None = None) -> Iterator[Candidates]:
        """Yield those found; where that is less than the limit, all lists are looked at."""
        width = min(limit + _SPARE, self._index.ntotal)
        self._index.nprobe = probes or self._probes
        _, found = self._index.search(queries, width)
        for query, ids in zip(queries, found, strict=True):
            near = ids[ids >= 0]
            if len(near) < limit:
                self._index.nprobe = self._index.nlist
                near = self._index.search(query[None], width)[1][0]
            yield Candidates(near, similarities(query, near, self.vectors))

    def vectors(self, ids: NDArray[np.int64]) -> FloatArray:
        """Return vectors."""
        return self._rows.of(ids)

    def close(self) -> None:
        """Do nothing: there are no files."""

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self._index.nlist)

    def _trained(self, vectors: FloatArray) -> Any:
        faiss = load_faiss()
        lists = max(1, min(int(4 * len(vectors) ** 0.5), len(vectors) // _PER_CENTRE))
        index = faiss.index_factory(self._dimension, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        chosen = np.random.default_rng(_SEED).permutation(len(vectors))[: _TRAINED_ON * lists]
        index.cp.min_points_per_centroid = 1
        index.train(vectors[np.sort(chosen)])
        return index


class ApproximateIndex(VectorIndex):
    """An index that is exact while it is small, and beyond that does not find everybody.

    Parameters
    ----------
    dimension
        Length of a vector.
    approximate_from
        How many vectors are searched approximately.
    probes
        How many lists a query is compared with: more find more, and take longer.
    """

    def __init__(self, dimension: int, *, approximate_from: int = CODED_FROM, probes: int = PROBES) -> None:
        super().__init__(dimension, faiss_from=min(FAISS_FROM, approximate_from), coded_from=_NEVER)
        self._approximate_from = approximate_from
        self._probes = probes

    def recall(self, limit: int = 10, samples: int = 200) -> float:
        """Measure the share of the nearest that is found, 0..1.

        Parameters
        ----------
        limit
            How many of the nearest.
        samples
            How many vectors of the index serve as queries, drawn at random, each a little changed.
        """
        engine = self._engine
        if not isinstance(engine, ListsEngine) or not self.count:
            return 1.0
        random = np.random.default_rng(_SEED)
        queries = engine.vectors(random.choice(self._sample_ids, size=min(samples, self.count), replace=False))
        noise = random.standard_normal(queries.shape).astype(np.float32)
        queries = normalized(queries + np.float32(0.6 / self.dimension**0.5) * noise)
        limit = min(limit, self.count)
        exact = [near.ids[_best(near, limit)] for near in engine.candidates(queries, limit, engine.lists)]
        found = [near.ids[_best(near, limit)] for near in engine.candidates(queries, limit)]
        return float(np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)]))

    def _choose_engine(self, count: int) -> None:
        if count < self._approximate_from:
            super()._choose_engine(count)
        elif not isinstance(self._engine, ListsEngine):
            engine = ListsEngine(self.dimension, self._probes)
            if self.count:
                engine.add(self._sample_ids, self._engine.vectors(self._sample_ids))
            self._engine = engine


def _best(near: Candidates, limit: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.lexsort((near.ids, -near.similarities))[:limit]
    return order
