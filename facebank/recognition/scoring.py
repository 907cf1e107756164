"""How much a probe is like each enrolled person: plain NumPy, and nothing that has to be loaded first.

Every scorer gives one number for each probe and person, about -1..1; higher is more like that person. Products are
summed in double precision and rounded once at the end, so that a probe's scores do not depend on what other probes are
asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.enrolled import check_embeddings
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import Enrolled
    from facebank.types import FloatArray

CLASSIFIERS = ("prototype", "knn", "svm", "svm-rbf", "logistic")
"""The kinds of classifiers that `build_scorer` knows."""

QUALITY_FLOOR = 0.5
"""The least weight of a sample in its person's prototype: a poor photo counts for half of a perfect one."""

NEIGHBOURS = 10
"""How many of a person's most similar samples vote in kNN."""

TEMPERATURE = 0.2
"""How fast a vote in kNN loses weight: by a factor of e for each 0.2 that it is less similar than the best one."""

_NUMBERS_AT_ONCE = 4_000_000
_AVERAGED_AT_ONCE = 500_000
_DOUBLES_KEPT = 16_000_000
"""How many weights are kept in double precision; more are converted when they are needed, in blocks."""


class PersonScorer(Protocol):
    """What every classifier can do once it is fitted."""

    @property
    def people(self) -> NDArray[np.int64]:
        """The people's numbers, rising: ``int64`` of shape ``(P,)``."""

    def scores(self, probes: FloatArray) -> FloatArray:
        """Score probes.

        Parameters
        ----------
        probes
            L2-normalised embeddings of shape ``(M, D)``; M may be 0.

        Returns
        -------
        FloatArray
            ``float32`` of shape ``(M, P)``, in the order of `people`; higher is more like that person.

        Raises
        ------
        UsageError
            If the probes are of another shape or not finite.
        """


class LinearScorer:
    """A hyperplane for each person: linear SVM and logistic regression.

    Parameters
    ----------
    people
        The people's numbers, rising, ``int64`` of shape ``(P,)``.
    weights, biases
        ``float32`` of shapes ``(P, D)`` and ``(P,)``; a score is ``probe @ weights.T + biases``.
    centre
        Where probes are seen from, ``(D,)``; None for the origin.
    """

    def __init__(
        self, people: NDArray[np.int64], weights: FloatArray, biases: FloatArray, *, centre: FloatArray | None = None
    ) -> None:
        if weights.ndim != 2 or weights.shape[0] != len(people) or biases.shape != (len(people),):
            raise UsageError(f"Weights of shape {weights.shape} do not fit {len(people)} people.")
        self.people = people
        self._weights = weights.astype(np.float64) if weights.size <= _DOUBLES_KEPT else weights
        self._biases = biases.astype(np.float64)
        self._centre = _checked_centre(centre, weights.shape[1])

    def scores(self, probes: FloatArray) -> FloatArray:
        """Score probes by their distance from each person's hyperplane."""
        seen = seen_from(self._centre, check_embeddings(probes, "probes", self._weights.shape[1]))
        if self._weights.dtype == np.float64:
            return (seen @ self._weights.T + self._biases).astype(np.float32)
        scores = np.empty((len(seen), len(self.people)), dtype=np.float32)
        for block in _blocks(len(self._weights), self._weights.shape[1]):
            scores[:, block] = seen @ self._weights[block].astype(np.float64).T + self._biases[block]
        return scores


class PrototypeScorer(LinearScorer):
    """The cosine of the probe and the mean of a person's samples, weighted by their quality; -1..1.

    Parameters
    ----------
    enrolled
        The samples. A sample counts with its quality, but at least with `QUALITY_FLOOR`.
    """

    def __init__(self, enrolled: Enrolled) -> None:
        none = np.zeros(len(enrolled.people), dtype=np.float32)
        super().__init__(enrolled.people, prototypes(enrolled), none)

    @property
    def prototypes(self) -> FloatArray:
        """The people's prototypes, as `prototypes` makes them: ``float32`` of shape ``(P, D)``."""
        return self._weights.astype(np.float32, copy=False)

    def scores(self, probes: FloatArray) -> FloatArray:
        """Score probes by their cosine with each person's prototype."""
        return super().scores(probes).clip(-1.0, 1.0)


class KnnScorer:
    """The similarity of the probe and a person's most similar samples, the nearer the more; -1..1.

    The `NEIGHBOURS` most similar samples of each person vote, or all of them where there are fewer; a vote weighs
    ``exp((similarity - best similarity) / TEMPERATURE)``. So a person with one sample is judged by it alone, and one
    with five hundred gains nothing from those that do not matter. Every sample is compared: the search is exact.

    Parameters
    ----------
    enrolled
        The samples.
    neighbours, temperature
        In the place of `NEIGHBOURS` and `TEMPERATURE`.
    """

    def __init__(
        self,
        enrolled: Enrolled,
        *,
        neighbours: int = NEIGHBOURS,
        temperature: float = TEMPERATURE,
    ) -> None:
        if neighbours < 1 or not temperature > 0:
            raise UsageError("kNN needs at least one neighbour and a temperature above 0.")
        self.people = enrolled.people
        owners = enrolled.owners
        together = np.argsort(owners, kind="stable")
        self._matrix = enrolled.matrix[together]
        self._sizes = np.bincount(owners)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._neighbours = neighbours
        self._temperature = temperature

    def scores(self, probes: FloatArray) -> FloatArray:
        """Score probes by each person's nearest samples."""
        seen = check_embeddings(probes, "probes", self._matrix.shape[1]).astype(np.float64)
        step = max(1, _NUMBERS_AT_ONCE // len(self._matrix))
        scores = np.empty((len(seen), len(self.people)), dtype=np.float32)
        for start in range(0, len(seen), step):
            self._vote(seen[start : start + step], scores[start : start + step])
        return scores

    def _vote(self, probes: NDArray[np.float64], scores: FloatArray) -> None:
        similarities = _similarities(probes, self._matrix)
        for size in np.unique(self._sizes):  # people with equally many samples are a table without gaps
            places = np.flatnonzero(self._sizes == size)
            theirs = similarities[:, self._starts[places, None] + np.arange(size)]
            if size > self._neighbours:
                theirs = np.partition(theirs, -self._neighbours, axis=2)[:, :, -self._neighbours :]
            theirs = np.sort(theirs, axis=2)  # in one order, so that the rounding is the same for the same samples
            weights = np.exp((theirs - theirs[:, :, -1:]) / self._temperature)
            scores[:, places] = ((theirs * weights).sum(axis=2) / weights.sum(axis=2)).clip(-1.0, 1.0)


class KernelScorer:
    """A radial-basis-function machine for each person.

    Parameters
    ----------
    people
        The people's numbers, rising, ``int64`` of shape ``(P,)``.
    support
        What the probe is compared with: L2-normalised as seen from the centre, of shape ``(S, D)``.
    duals, biases
        ``float32`` of shapes ``(P, S)`` and ``(P,)``; a score is
        ``exp(-gamma * |probe - support|^2) @ duals.T + biases``.
    gamma
        How narrow the kernel is, above 0.
    centre
        Where probes are seen from, ``(D,)``; None for the origin.
    """

    def __init__(
        self,
        people: NDArray[np.int64],
        support: FloatArray,
        duals: FloatArray,
        biases: FloatArray,
        gamma: float,
        *,
        centre: FloatArray | None = None,
    ) -> None:
        if duals.shape != (len(people), len(support)) or biases.shape != (len(people),) or support.ndim != 2:
            raise UsageError(f"Coefficients of shape {duals.shape} do not fit {len(people)} people.")
        self.people = people
        self._support = support
        self._duals = duals.astype(np.float64)
        self._biases = biases.astype(np.float64)
        self._gamma = gamma
        self._centre = _checked_centre(centre, support.shape[1])

    def scores(self, probes: FloatArray) -> FloatArray:
        """Score probes by what each person's machine says."""
        seen = seen_from(self._centre, check_embeddings(probes, "probes", self._support.shape[1]))
        step = max(1, _NUMBERS_AT_ONCE // max(1, len(self._support)))
        scores = np.empty((len(seen), len(self.people)), dtype=np.float32)
        for start in range(0, len(seen), step):
            kernel = rbf(seen[start : start + step], self._support, self._gamma)
            scores[start : start + step] = kernel @ self._duals.T + self._biases
        return scores


def check_background(background: Background | None, enrolled: Enrolled) -> None:
    """Raise `UsageError` if a background describes embeddings of another length than the samples'."""
    if background is not None and background.dimension != enrolled.dimension:
        raise UsageError(
            f"The background is of length {background.dimension}, the gallery's embeddings of {enrolled.dimension}."
        )


def prototypes(enrolled: Enrolled) -> FloatArray:
    """Return each person's mean, weighted by quality and L2-normalised.

    Parameters
    ----------
    enrolled
        The samples.

    Returns
    -------
    FloatArray
        ``float32`` of shape ``(P, D)``. Zeros for samples that cancel one another out, and so are like nobody.
    """
    weights = np.maximum(enrolled.qualities, QUALITY_FLOOR).astype(np.float64)
    together = np.argsort(enrolled.owners, kind="stable")
    ends = np.cumsum(np.bincount(enrolled.owners))
    starts = np.concatenate([[0], ends[:-1]])
    found = np.empty((len(ends), enrolled.dimension), dtype=np.float32)
    for block in _blocks(len(ends), enrolled.dimension, _AVERAGED_AT_ONCE):
        samples = together[starts[block][0] : ends[block][-1]]
        rows = enrolled.matrix[samples].astype(np.float64)
        rows *= weights[samples, None]
        if len(rows) > len(starts[block]):  # somebody has several
            rows = np.add.reduceat(rows, starts[block] - starts[block][0], axis=0)
        found[block] = normalized(rows)
    return found


def greatest(scores: FloatArray, count: int) -> NDArray[np.int64]:
    """Return the places of each row's greatest scores, the greatest first, equal ones in their order.

    Parameters
    ----------
    scores
        ``float32`` of shape ``(M, P)``; may be infinite.
    count
        How many are wanted.

    Returns
    -------
    NDArray[np.int64]
        Of shape ``(M, count)``, or ``(M, P)`` where there are fewer.
    """
    count = min(count, scores.shape[1])
    found = np.empty((len(scores), count), dtype=np.int64)
    for row, theirs in enumerate(scores):
        least = np.partition(theirs, len(theirs) - count)[len(theirs) - count]
        candidates = np.flatnonzero(theirs >= least)
        found[row] = candidates[np.argsort(-theirs[candidates], kind="stable")[:count]]
    return found


def seen_from(centre: FloatArray | None, rows: FloatArray) -> NDArray[np.float64]:
    """Return the directions in which embeddings lie as seen from a point.

    Parameters
    ----------
    centre
        The point, ``(D,)``; None for the origin, from where embeddings of length 1 are what they are.
    rows
        Embeddings, ``(N, D)``.

    Returns
    -------
    NDArray[np.float64]
        Of shape ``(N, D)`` and length 1; zeros for an embedding that is the point itself.
    """
    exact = rows.astype(np.float64)
    return exact if centre is None else normalized(exact - centre)


def rbf(rows: NDArray[np.float64], others: FloatArray, gamma: float) -> NDArray[np.float64]:
    """Return ``exp(-gamma * squared distance)`` of each L2-normalised row ``(M, D)`` and each other ``(S, D)``."""
    distances = np.maximum(2.0 - 2.0 * _similarities(rows, others), 0.0)
    kernel: NDArray[np.float64] = np.exp(-gamma * distances)
    return kernel


def _similarities(probes: NDArray[np.float64], matrix: FloatArray) -> NDArray[np.float64]:
    similarities = np.empty((len(probes), len(matrix)))
    for block in _blocks(len(matrix), matrix.shape[1]):
        similarities[:, block] = probes @ matrix[block].astype(np.float64).T
    return similarities


def _blocks(rows: int, dimension: int, numbers: int | None = None) -> Iterator[slice]:
    """Cut a matrix into blocks that fit into memory twice, or of so many numbers."""
    step = max(1, (numbers or _NUMBERS_AT_ONCE) // dimension)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _checked_centre(centre: FloatArray | None, dimension: int) -> FloatArray | None:
    if centre is not None and (centre.shape != (dimension,) or not np.isfinite(centre).all()):
        raise UsageError(f"The background is of length {len(centre)}, the gallery's embeddings of {dimension}.")
    return centre
