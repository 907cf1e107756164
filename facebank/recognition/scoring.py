"""Scorers: similarity of a probe to each enrolled person, in pure NumPy.

A scorer returns one number for each probe and person, about -1..1; higher is more similar. Products are summed in
double precision and rounded once, so that a probe's scores do not depend on the other probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import UsageError
from facebank.index.exact import products
from facebank.recognition.enrolled import check_embeddings
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from facebank.index.gallery_index import MaskedPeople
    from facebank.index.people_index import PeopleIndex
    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import EnrolledSamples
    from facebank.types import FloatArray

CLASSIFIERS = ("prototype", "knn", "svm", "svm-rbf", "logistic")  # of `facebank.recognition.training.build_scorer`
NEIGHBORS = 10  # maximum number of samples of a person that vote in kNN
TEMPERATURE = 0.2  # of kNN votes: a factor of e for each 0.2 below the best similarity
_MAX_BLOCK_SIZE = 4_000_000
_FIRST_SAMPLES = 64


class PersonScorer(Protocol):
    """A fitted classifier."""

    @property
    def person_ids(self) -> NDArray[np.int64]:
        """The ids of the people, ascending, ``int64`` of shape ``(P,)``."""
        ...

    def scores(self, probes: FloatArray) -> FloatArray:
        """Return scores, ``float32`` of shape ``(M, P)`` in the order of `person_ids`, of unit probes ``(M, D)``.

        Raises `UsageError` if the probes have another shape or are not finite.
        """
        ...

    def scores_of(self, probe: FloatArray, indices: NDArray[np.int64]) -> FloatArray:
        """Return scores of one probe ``(D,)`` and some people, ``float32`` of shape ``(K,)``.

        Each depends only on the probe and the person, bit for bit.
        """
        ...

    def near(self, queries: NDArray[np.float64], limit: int, slack: float) -> list[NDArray[np.int64]]:
        """Return the candidates for each query's best scores: see `facebank.index.search.Search.near`."""
        ...


class LinearScorer:
    """A hyperplane for each person: linear SVM and logistic regression.

    Parameters
    ----------
    person_ids
        Ids of the people, ascending, ``int64`` of shape ``(P,)``.
    weights, biases
        ``float32`` of shapes ``(P, D)`` and ``(P,)``; a score is ``probe @ weights.T + biases``.
    center
        Origin subtracted from probes, ``(D,)``; None for zero.
    """

    def __init__(
        self,
        person_ids: NDArray[np.int64],
        weights: FloatArray,
        biases: FloatArray,
        *,
        center: FloatArray | None = None,
    ) -> None:
        if weights.ndim != 2 or weights.shape[0] != len(person_ids) or biases.shape != (len(person_ids),):
            raise UsageError(f"Weights of shape {weights.shape} do not fit {len(person_ids)} people.")
        self.person_ids = person_ids
        self._weights = weights
        self._biases = biases.astype(np.float64)
        self._center = _check_center(center, weights.shape[1])

    def scores(self, probes: FloatArray) -> FloatArray:
        """Return the scores of probes by their distance from each person's hyperplane."""
        directions = directions_from(self._center, check_embeddings(probes, "probes", self._weights.shape[1]))
        return (_similarities(directions, self._weights) + self._biases).astype(np.float32)

    def scores_of(self, probe: FloatArray, indices: NDArray[np.int64]) -> FloatArray:
        """Return the scores of one probe for some people."""
        (direction,) = directions_from(self._center, probe[None])
        return (products(direction, self._weights[indices]) + self._biases[indices]).astype(np.float32)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float) -> list[NDArray[np.int64]]:  # noqa: ARG002
        """Return all people."""
        return [np.arange(len(self.person_ids))] * len(queries)


class PrototypeScorer:
    """Scores by the cosine of the probe and a person's prototype, -1..1, minus the person's penalty.

    `penalties` are at least 0, ``float32`` of shape ``(P,)``; None for none.
    """

    def __init__(self, index: PeopleIndex, penalties: FloatArray | None = None) -> None:
        self.person_ids = index.person_ids
        self._index = index
        self._penalties = None if penalties is None else penalties.astype(np.float64)

    def scores(self, probes: FloatArray) -> FloatArray:
        """Return the scores of probes by their cosine with each person's prototype."""
        probes64 = check_embeddings(probes, "probes", self._index.dimension).astype(np.float64)
        similarities = _similarities(probes64, self._index.prototypes).clip(-1.0, 1.0)
        return np.asarray(similarities if self._penalties is None else similarities - self._penalties, dtype=np.float32)

    def scores_of(self, probe: FloatArray, indices: NDArray[np.int64]) -> FloatArray:
        """Return the scores of one probe for some people."""
        similarities: NDArray[np.float64] = products(probe, self._index.prototypes_of(indices)).clip(-1.0, 1.0)
        penalties = 0.0 if self._penalties is None else self._penalties[indices]
        return np.asarray(similarities - penalties, dtype=np.float32)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float) -> list[NDArray[np.int64]]:
        """Return the candidates for each query's best scores."""
        max_penalty = 0.0 if self._penalties is None else float(self._penalties.max())
        return self._index.nearest_people.near(queries, limit, slack + max_penalty)


class KnnScorer:
    """Scores by the weighted mean similarity of the probe and a person's `neighbors` nearest samples, -1..1.

    A sample weighs ``exp((similarity - best similarity) / temperature)``. A person with one sample is scored by it
    alone, and one with five hundred is not affected by irrelevant samples.
    """

    def __init__(
        self,
        index: PeopleIndex,
        *,
        neighbors: int = NEIGHBORS,
        temperature: float = TEMPERATURE,
    ) -> None:
        if neighbors < 1 or not temperature > 0:
            raise UsageError("kNN needs neighbors >= 1 and temperature > 0.")
        self.person_ids = index.person_ids
        self._index = index
        self._neighbors = neighbors
        self._temperature = temperature

    def scores(self, probes: FloatArray) -> FloatArray:
        """Return the scores of probes by each person's nearest samples."""
        probes64 = check_embeddings(probes, "probes", self._index.dimension).astype(np.float64)
        step = max(1, _MAX_BLOCK_SIZE // self._index.count)
        embeddings = self._index.embeddings()
        blocks = (probes64[start : start + step] for start in range(0, len(probes64), step))
        votes = [self._votes(_similarities(block, embeddings), self._index.counts) for block in blocks]
        return np.concatenate([np.empty((0, len(self.person_ids)), np.float32), *votes])

    def scores_of(self, probe: FloatArray, indices: NDArray[np.int64]) -> FloatArray:
        """Return the scores of one probe for some people."""
        embeddings, _, _ = self._index.samples_of(indices)
        (votes,) = self._votes(products(probe, embeddings)[None], self._index.counts[indices])
        return np.asarray(votes, dtype=np.float32)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float) -> list[NDArray[np.int64]]:
        """Return the candidates for each query's best scores: no score exceeds the most similar sample's similarity."""
        return [self._near(query, limit, slack) for query in queries]

    def _near(self, query: NDArray[np.float64], limit: int, slack: float) -> NDArray[np.int64]:
        samples, count = self._index.nearest_samples, _FIRST_SAMPLES
        while count < self._index.count:
            near = np.unique(self._index.person_indices(samples.near(query[None], count)[0]))
            if len(near) >= limit:
                last = float(np.sort(self.scores_of(query.astype(np.float32), near))[-limit])
                return np.unique(self._index.person_indices(samples.within(query[None], last - slack)[0]))
            count *= 8
        return np.arange(len(self.person_ids))

    def _votes(self, similarities: NDArray[np.float64], counts: NDArray[np.int64]) -> FloatArray:
        scores = np.empty((len(similarities), len(counts)), dtype=np.float32)
        starts = np.cumsum(counts) - counts
        for size in np.unique(counts):  # people with equally many samples form a dense array
            indices = np.flatnonzero(counts == size)
            nearest = similarities[:, starts[indices, None] + np.arange(size)]
            if size > self._neighbors:
                nearest = np.partition(nearest, -self._neighbors, axis=2)[:, :, -self._neighbors :]
            nearest = np.sort(nearest, axis=2)  # in a fixed order, so that rounding is the same for the same samples
            weights = np.exp((nearest - nearest[:, :, -1:]) / self._temperature)
            scores[:, indices] = ((nearest * weights).sum(axis=2) / weights.sum(axis=2)).clip(-1.0, 1.0)
        return scores


class KernelScorer:
    """A radial-basis-function machine for each person.

    Parameters
    ----------
    person_ids
        Ids of the people, ascending, ``int64`` of shape ``(P,)``.
    support
        L2-normalized support vectors as seen from the center, ``(S, D)``.
    duals, biases
        ``float32`` of shapes ``(P, S)`` and ``(P,)``; a score is
        ``exp(-gamma * |probe - support|^2) @ duals.T + biases``.
    gamma
        Kernel coefficient, above 0.
    center
        Origin subtracted from probes, ``(D,)``; None for zero.
    """

    def __init__(
        self,
        person_ids: NDArray[np.int64],
        support: FloatArray,
        duals: FloatArray,
        biases: FloatArray,
        gamma: float,
        *,
        center: FloatArray | None = None,
    ) -> None:
        if duals.shape != (len(person_ids), len(support)) or biases.shape != (len(person_ids),) or support.ndim != 2:
            raise UsageError(f"Coefficients of shape {duals.shape} do not fit {len(person_ids)} people.")
        self.person_ids = person_ids
        self._support = support
        self._duals = duals.astype(np.float64)
        self._biases = biases.astype(np.float64)
        self._gamma = gamma
        self._center = _check_center(center, support.shape[1])

    def scores(self, probes: FloatArray) -> FloatArray:
        """Return the scores of probes by each person's support vector machine."""
        directions = directions_from(self._center, check_embeddings(probes, "probes", self._support.shape[1]))
        step = max(1, _MAX_BLOCK_SIZE // max(1, len(self._support)))
        scores = np.empty((len(directions), len(self.person_ids)), dtype=np.float32)
        for start in range(0, len(directions), step):
            kernel = rbf(directions[start : start + step], self._support, self._gamma)
            scores[start : start + step] = kernel @ self._duals.T + self._biases
        return scores

    def scores_of(self, probe: FloatArray, indices: NDArray[np.int64]) -> FloatArray:
        """Return the scores of one probe for some people."""
        directions = directions_from(self._center, probe[None])
        (kernel,) = rbf(directions, self._support, self._gamma)
        scores = np.einsum("ps,s->p", self._duals[indices], kernel) + self._biases[indices]
        return np.asarray(scores, dtype=np.float32)

    def near(self, queries: NDArray[np.float64], limit: int, slack: float) -> list[NDArray[np.int64]]:  # noqa: ARG002
        """Return all people."""
        return [np.arange(len(self.person_ids))] * len(queries)


def check_background(background: Background | None, enrolled: EnrolledSamples) -> None:
    """Raise `UsageError` if the background has a different dimension than the samples."""
    if background is not None and background.dimension != enrolled.dimension:
        raise UsageError(
            f"The background is of length {background.dimension}, the gallery's embeddings of {enrolled.dimension}: "
            "use the background of the gallery's pack."
        )


def top_indices(scores: FloatArray, count: int) -> NDArray[np.int64]:
    """Return the indices of each row's highest scores, ``(M, min(count, P))``; ties in index order.

    `scores` are ``float32`` of shape ``(M, P)`` and may be infinite.
    """
    count = min(count, scores.shape[1])
    indices = np.empty((len(scores), count), dtype=np.int64)
    for row, row_scores in enumerate(scores):
        lowest = np.partition(row_scores, len(row_scores) - count)[len(row_scores) - count]
        candidates = np.flatnonzero(row_scores >= lowest)
        indices[row] = candidates[np.argsort(-row_scores[candidates], kind="stable")[:count]]
    return indices


def directions_from(center: FloatArray | None, rows: FloatArray) -> NDArray[np.float64]:
    """Return the directions, ``(N, D)`` of length 1, of embeddings ``(N, D)`` from a center ``(D,)``.

    Without a center, returns them unchanged; an embedding at the center gives zeros.
    """
    rows64 = rows.astype(np.float64)
    return rows64 if center is None else normalized(rows64 - center)


def rbf(rows: NDArray[np.float64], others: FloatArray, gamma: float) -> NDArray[np.float64]:
    """Return ``exp(-gamma * squared distance)`` of each L2-normalized row ``(M, D)`` and each other ``(S, D)``."""
    distances = np.maximum(2.0 - 2.0 * _similarities(rows, others), 0.0)
    kernel: NDArray[np.float64] = np.exp(-gamma * distances)
    return kernel


def _similarities(probes: NDArray[np.float64], others: FloatArray) -> NDArray[np.float64]:
    similarities = np.empty((len(probes), len(others)))
    for block in _blocks(len(others), others.shape[1]):
        similarities[:, block] = probes @ others[block].astype(np.float64).T
    return similarities


def _blocks(rows: int, dimension: int) -> Iterator[slice]:
    step = max(1, _MAX_BLOCK_SIZE // dimension)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _check_center(center: FloatArray | None, dimension: int) -> FloatArray | None:
    if center is not None and (center.shape != (dimension,) or not np.isfinite(center).all()):
        raise UsageError(
            f"The background is of length {len(center)}, the gallery's embeddings of {dimension}: use the background "
            "of the gallery's pack."
        )
    return center


WORN_PENALTY = 0.12
"""Penalty of a person whose samples all wear a mask; proportional to the fraction of masked samples.

Two people in masks are more similar than without. Chosen with ``python -m benchmarks.masked_samples``.
"""


def masked_scorer(people: MaskedPeople) -> PrototypeScorer:
    """Return a scorer of masked faces, with penalties for people whose samples wear masks."""
    index, worn_fraction = people
    return PrototypeScorer(index, WORN_PENALTY * worn_fraction if worn_fraction.any() else None)
