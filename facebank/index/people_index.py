"""Index of enrolled people: samples by person, prototypes and nearest neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from facebank.index.exact import cosines, lengths, products
from facebank.index.search import MatrixSearch
from facebank.storage.arrays import normalized
from facebank.storage.concurrency import computed, map_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from numpy.typing import NDArray

    from facebank.index.search import Search
    from facebank.types import FloatArray

QUALITY_FLOOR = 0.5  # smallest weight of a sample in its person's prototype; the largest is 1
_PEOPLE_PER_BLOCK = 4096
_NEAR_COUNT = 32  # samples found by `samples_near`
_MAX_MATRIX_SIZE = 1 << 24  # above this, allocating the matrix of prototypes takes longer than recomputing some


class Samples(Protocol):
    """The enrolled samples, ordered by person, in memory or in a file."""

    in_memory: bool
    """Whether reading all samples is cheap."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, and dimension of an embedding."""
        ...

    def embeddings(self, rows: NDArray[np.int64] | None) -> FloatArray:
        """Return the embeddings of some samples, or of all, ``float32`` of shape ``(K, D)``."""
        ...

    def qualities(self, rows: NDArray[np.int64]) -> FloatArray:
        """Return the qualities of some samples, ``float32`` of shape ``(K,)``, 0..1."""
        ...


class NearSamples(NamedTuple):
    """The samples most similar to a face: rows and cosine similarities, both of shape ``(K,)``."""

    rows: NDArray[np.int64]
    similarities: NDArray[np.float64]
    complete_above: float  # every sample more similar than this is included


class PeopleIndex:
    """Samples by person, and the nearest people and samples to a face. Created by `from_samples`.

    Parameters
    ----------
    person_ids
        The people's ids, ascending: ``int64`` of shape ``(P,)``, P at least 1.
    starts
        First row of each person's samples, and the end: ``int64`` of shape ``(P + 1,)``.
    samples
        L2-normalized embeddings and qualities.
    derived
        Stored values computed from the same samples; None to compute them on first use.
    """

    def __init__(
        self,
        person_ids: NDArray[np.int64],
        starts: NDArray[np.int64],
        samples: Samples,
        derived: DerivedValues | None = None,
    ) -> None:
        self.person_ids = person_ids
        self.starts = starts
        self._samples = samples
        self._derived = derived
        self._last_near: dict[bytes, NearSamples] = {}
        self._last_prototypes = np.empty(0, np.int64), np.empty((0, samples.shape[1]), np.float32)

    @classmethod
    def from_samples(cls, embeddings: FloatArray, person_ids: NDArray[np.int64], qualities: FloatArray) -> Self:
        """Return an index in memory of N >= 1 embeddings, ``float32 (N, D)``, with person ids and qualities, 0..1."""
        distinct_ids, starts, order = group_by_person(person_ids)
        if order is not None:
            embeddings, qualities = embeddings[order], qualities[order]
        return cls(distinct_ids, starts, _SamplesInMemory(embeddings, qualities))

    def with_searches(self, people_search: Callable[[], Search], sample_search: Callable[[], Search]) -> PeopleIndex:
        """Return an index of the same people that uses other searches; they are created on first use."""
        return PeopleIndex(
            self.person_ids, self.starts, self._samples, _ExternalSearches(self, people_search, sample_search)
        )

    @property
    def count(self) -> int:
        """Number of samples."""
        return int(self.starts[-1])

    @property
    def dimension(self) -> int:
        """Dimension of an embedding."""
        return self._samples.shape[1]

    @computed
    def counts(self) -> NDArray[np.int64]:
        """Count of each person's samples, ``int64`` of shape ``(P,)``."""
        return np.diff(self.starts)

    @computed
    def nearest_people(self) -> Search:
        """Search of the prototypes; results are indices into `person_ids`."""
        return MatrixSearch(self.prototypes) if self._derived is None else self._derived.nearest_people()

    @computed
    def nearest_samples(self) -> Search:
        """Search of the samples; results are rows."""
        return MatrixSearch(self.embeddings()) if self._derived is None else self._derived.nearest_samples()

    def samples_near(self, embedding: FloatArray) -> NearSamples:
        """Return the samples most similar to an embedding, ``float32`` of shape ``(D,)``."""
        key = embedding.tobytes()
        near = self._last_near.get(key)
        if near is None:  # one face's samples are needed several times in a row
            (rows,) = self.nearest_samples.near(embedding.astype(np.float64)[None], _NEAR_COUNT)
            similarities, complete_above = products(embedding, self.embeddings(rows)), -np.inf
            if len(rows) < self.count:
                complete_above = float(np.partition(similarities, len(rows) - _NEAR_COUNT)[len(rows) - _NEAR_COUNT])
            near = NearSamples(rows, similarities, complete_above)
            self._last_near = {key: near}  # replaced, not changed: other threads may read it
        return near

    def samples_within(self, embedding: FloatArray, min_similarity: float) -> NDArray[np.int64]:
        """Return the rows of all samples whose cosine with an embedding ``(D,)`` is at least `min_similarity`.

        They are ``int64`` of shape ``(K,)``, and may include rows of slightly lower similarity.
        """
        near = self.samples_near(embedding)
        if min_similarity > near.complete_above:
            return near.rows[near.similarities >= min_similarity]
        return self.nearest_samples.within(embedding.astype(np.float64)[None], min_similarity)[0]

    @computed
    def prototypes(self) -> FloatArray:
        """All prototypes, ``float32`` of shape ``(P, D)``."""
        prototypes = np.empty((len(self.person_ids), self.dimension), dtype=np.float32)
        blocks = list(self.blocks())
        for indices, means in zip(blocks, map_in_threads(self._average, blocks), strict=True):
            prototypes[indices[0] : indices[-1] + 1] = means
        return prototypes

    @computed
    def prototype_sum(self) -> NDArray[np.float64]:
        """Sum of all prototypes, ``float64`` of shape ``(D,)``."""
        if self._derived is not None:
            return self._derived.prototype_sum
        sums = map_in_threads(
            lambda indices: self.prototypes_of(indices).sum(axis=0, dtype=np.float64), list(self.blocks())
        )
        return np.asarray(np.sum(list(sums), axis=0), dtype=np.float64)

    @computed
    def products_range(self) -> tuple[float, float]:
        """Lowest and highest product of a prototype and the sum of all others."""
        if self._derived is not None:
            return self._derived.products_range
        sums = np.concatenate(list(map_in_threads(self.products_with_others, list(self.blocks()))))
        return float(sums.min()), float(sums.max())

    def products_with_others(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return some prototypes' inner products with the sum of all others, ``float64`` of shape ``(K,)``."""
        prototypes = self.prototypes_of(indices)
        return products(self.prototype_sum, prototypes) - lengths(prototypes) ** 2

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of all people, ``int64``, in blocks."""
        for start in range(0, len(self.person_ids), _PEOPLE_PER_BLOCK):
            yield np.arange(start, min(start + _PEOPLE_PER_BLOCK, len(self.person_ids)))

    def prototypes_of(self, indices: NDArray[np.int64]) -> FloatArray:
        """Return prototypes, ``float32`` of shape ``(K, D)``: a person's mean, weighted by quality and L2-normalized.

        The prototype is zero if a person's samples cancel out.
        """
        if self._samples.in_memory and self.count * self.dimension <= _MAX_MATRIX_SIZE:
            return _select_rows(self.prototypes, indices)
        last_positions, prototypes = self._last_prototypes
        if not np.array_equal(last_positions, indices):  # one face's candidates are needed several times in a row
            prototypes = self._average(indices)
            self._last_prototypes = indices, prototypes
        return prototypes

    def _average(self, indices: NDArray[np.int64]) -> FloatArray:
        embeddings, starts, qualities = self.samples_of(indices)
        weighted = weight_samples(embeddings, qualities)
        if len(weighted) > len(indices):  # some people have several samples
            weighted = np.add.reduceat(weighted, starts, axis=0)
        return normalized(weighted).astype(np.float32)

    def embeddings(self, rows: NDArray[np.int64] | None = None) -> FloatArray:
        """Return the embeddings of some samples, or of all, ``float32`` of shape ``(K, D)``."""
        return self._samples.embeddings(rows)

    def qualities(self, rows: NDArray[np.int64]) -> FloatArray:
        """Return qualities of some samples, ``float32`` of shape ``(K,)``, 0..1."""
        return self._samples.qualities(rows)

    def rows_of(self, index: int) -> NDArray[np.int64]:
        """Return the rows of the samples of the person at an index into `person_ids`, ``int64`` of shape ``(K,)``."""
        return np.arange(self.starts[index], self.starts[index + 1])

    def samples_of(self, indices: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        """Return the embeddings of some people's samples, each person's first row among them, and the qualities.

        They are ``float32`` of shape ``(K, D)``, ``int64`` of shape ``(P,)``, and ``float32`` of shape ``(K,)``.
        """
        counts = self.counts[indices]
        starts = np.cumsum(counts) - counts
        rows = np.repeat(self.starts[indices] - starts, counts) + np.arange(int(counts.sum()))
        return self._samples.embeddings(rows), starts, self._samples.qualities(rows)

    def similarities(self, probe: FloatArray, indices: NDArray[np.int64]) -> FloatArray:
        """Return a probe's cosines with the prototypes of some people, ``float32`` of shape ``(K,)``."""
        return cosines(probe, self.prototypes_of(indices))

    def person_indices(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices into `person_ids` of the people of some samples, ``int64`` of shape ``(K,)``."""
        return np.searchsorted(self.starts, rows, side="right") - 1


class DerivedValues(Protocol):
    """Values computed from all samples and stored with them."""

    @property
    def prototype_sum(self) -> NDArray[np.float64]:
        """Sum of all prototypes, ``float64`` of shape ``(D,)``."""
        ...

    @property
    def products_range(self) -> tuple[float, float]:
        """Lowest and highest product of a prototype and the sum of all others."""
        ...

    def nearest_people(self) -> Search:
        """Return the search of the prototypes."""
        ...

    def nearest_samples(self) -> Search:
        """Return the search of the samples."""
        ...


class _ExternalSearches:
    def __init__(
        self, index: PeopleIndex, people_search: Callable[[], Search], sample_search: Callable[[], Search]
    ) -> None:
        self._index = index
        self.nearest_people = people_search
        self.nearest_samples = sample_search

    @property
    def prototype_sum(self) -> NDArray[np.float64]:
        return self._index.prototype_sum

    @property
    def products_range(self) -> tuple[float, float]:
        return self._index.products_range


class _SamplesInMemory:
    in_memory = True

    def __init__(self, embeddings: FloatArray, qualities: FloatArray) -> None:
        self.shape = embeddings.shape
        self._embeddings = embeddings
        self._qualities = qualities

    def embeddings(self, rows: NDArray[np.int64] | None) -> FloatArray:
        return self._embeddings if rows is None else _select_rows(self._embeddings, rows)

    def qualities(self, rows: NDArray[np.int64]) -> FloatArray:
        return self._qualities[rows]


def _select_rows(matrix: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """Return rows of a matrix; a view if they are contiguous."""
    is_contiguous = len(rows) > 1 and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all())
    return matrix[rows[0] : rows[-1] + 1] if is_contiguous else matrix[rows]


def group_by_person(
    person_ids: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]:
    """Return the distinct person ids ``(P,)``, their first rows and the end ``(P + 1,)``, and the order that groups.

    The order is None if the samples are already grouped by ascending person id.
    """
    order = None
    if (person_ids[1:] < person_ids[:-1]).any():
        order = np.argsort(person_ids, kind="stable")
        person_ids = person_ids[order]
    starts = np.flatnonzero(np.concatenate([[True], person_ids[1:] != person_ids[:-1]]))
    return person_ids[starts], np.append(starts, len(person_ids)).astype(np.int64), order


def weight_samples(embeddings: FloatArray, qualities: FloatArray) -> NDArray[np.float64]:
    """Return embeddings times their weights in a prototype, ``float64`` of shape ``(N, D)``."""
    weighted = embeddings.astype(np.float64)
    weighted *= np.maximum(qualities, QUALITY_FLOOR).astype(np.float64)[:, None]
    return weighted
