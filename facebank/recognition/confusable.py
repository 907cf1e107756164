"""Enrolled people who are easily mistaken for one another, by `facebank.recognition.pairs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.cohort import NO_CORRECTION, Cohort
from facebank.recognition.pairs import (
    ALIKE,
    DEFAULT_PAIR_MODEL,
    VERY_ALIKE,
    PairCurve,
    PairMargins,
    PairModel,
    leave_one_out_margins,
)
from facebank.storage.concurrency import computed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.index.people_index import PeopleIndex
    from facebank.recognition.calibration.background import Background
    from facebank.types import FloatArray

MIN_EXPECTED_ERROR = 0.03  # expected error from which a pair is reported
MAX_PAIRS = 1000  # maximum number of returned pairs
_MAX_MEASURED = 5000
_MAX_SHARING = 5
_MAX_COMMON = 0.9
_MIN_UNCERTAINTY = 1e-9


@dataclass(frozen=True, slots=True)
class ConfusablePair:
    """Two people who are easily confused."""

    first: int  # id of one person
    second: int  # id of the other person, higher than `first`
    similarity: float  # cosine of their prototypes, -1..1
    expected_error: float  # fraction of photos nearer to the other person, 0..0.5, for equally many photos of both
    doubtful: tuple[int, ...] = ()  # rows of samples nearer to the other person, each left out of its own person


class Confusables:
    """Pairs of people who look alike; a pair is measured on first use.

    Parameters
    ----------
    people
        The enrolled people.
    model
        The pack's pair model; None for `DEFAULT_PAIR_MODEL`.
    common
        The mean similarity of two people of the album; None to measure it on the enrolled people.
    """

    def __init__(
        self,
        people: PeopleIndex,
        model: PairModel | None = None,
        common: float | None = None,
    ) -> None:
        self._people = people
        self._model = DEFAULT_PAIR_MODEL if model is None else model
        self._fixed_common = common
        self._curves: dict[tuple[int, int], PairCurve] = {}

    @computed
    def _common(self) -> float:
        common = self._fixed_common
        return common_similarity(self._people) if common is None else min(common, _MAX_COMMON)

    def margin_weight(self, first: int, second: int) -> float:
        """Return the weight of margins against scores in separating two people, given by index; 0..1."""
        a, b = self._people.prototypes_of(np.array([first, second]))
        similarity = float(a @ b)
        excess = (similarity - self._common) / (1.0 - self._common)
        return float(np.clip((excess - ALIKE) / (VERY_ALIKE - ALIKE), 0.0, 1.0))

    def expected_error(self, first: int, second: int) -> float:
        """Return the fraction of photos of two people, given by index, that are nearer to the other; 0..0.5."""
        return self._curve(first, second).expected_error

    def probability(self, first: int, second: int, margin: float) -> float:
        """Return the probability of the first of two people, given by index, if a face shows one of them.

        `margin` is the cosine with the first person's prototype minus that with the second's.
        """
        low, high = sorted((first, second))
        probability = float(self._curve(low, high).probability(np.array(margin if first == low else -margin)))
        probability = min(max(probability, _MIN_UNCERTAINTY), 1.0 - _MIN_UNCERTAINTY)
        return probability if first == low else 1.0 - probability

    def _curve(self, first: int, second: int) -> PairCurve:
        pair = first, second
        if pair not in self._curves:
            self._curves[pair] = PairCurve(self._model, _margins(self._people, first, second), self._common)
        return self._curves[pair]


def share_among_lookalikes(
    confusables: Confusables,
    person_indices: NDArray[np.int64],
    similarities: FloatArray,
    probabilities: NDArray[np.float64],
) -> None:
    """Redistribute probability among people who look alike, in place.

    Preserves the total of the likeliest person and those who resemble that person. It is divided by margins for
    look-alikes, by scores for others, and by a mixture in between.

    Parameters
    ----------
    confusables
        Separates people who look alike.
    person_indices
        The candidates of each probe, best first, ``(M, K)``.
    similarities
        Cosines with their prototypes, ``(M, K)``.
    probabilities
        As `Calibrator.probabilities` returns them, ``(M, K + 1)``; changed in place.
    """
    for row, candidates in enumerate(person_indices.tolist()):
        columns = [column for column in range(len(candidates)) if probabilities[row, column] > 0]
        while len(columns) > 1 and columns[0] < _MAX_SHARING:
            first, *rest = columns
            odds = {
                column: _odds(confusables, candidates, similarities[row], probabilities[row], (first, column))
                for column in rest
                if confusables.margin_weight(candidates[first], candidates[column])
            }
            columns = [column for column in rest if column not in odds]
            if odds:
                total = probabilities[row, [first, *odds]].sum()
                probabilities[row, first] = total / (1.0 + sum(odds.values()))
                for column, ratio in odds.items():
                    probabilities[row, column] = ratio * probabilities[row, first]


def _odds(
    confusables: Confusables,
    candidates: list[int],
    similarities: FloatArray,
    probabilities: NDArray[np.float64],
    columns: tuple[int, int],
) -> float:
    """Return the odds of a candidate against the likelier person, whom the candidate resembles."""
    first, other = columns
    weight = confusables.margin_weight(candidates[first], candidates[other])
    margin = float(similarities[first]) - float(similarities[other])
    probability = confusables.probability(candidates[first], candidates[other], margin)
    by_scores = float(probabilities[other] / probabilities[first])
    return float(by_scores ** (1 - weight) * ((1 - probability) / probability) ** weight)


def _margins(people: PeopleIndex, first: int, second: int) -> PairMargins:
    (first_embeddings, second_embeddings), (first_qualities, second_qualities) = _samples_of_pair(people, first, second)
    return PairMargins.measure(first_embeddings, second_embeddings, first_qualities, second_qualities)


def _doubtful(people: PeopleIndex, first: int, second: int) -> tuple[int, ...]:
    (first_embeddings, second_embeddings), (first_qualities, second_qualities) = _samples_of_pair(people, first, second)
    _, margins = leave_one_out_margins(first_embeddings, second_embeddings, first_qualities, second_qualities)
    rows = people.rows_of(first), people.rows_of(second)
    return tuple(
        int(row)
        for own_rows, own_margins in zip(rows, margins, strict=True)
        if len(own_margins)
        for row in own_rows[own_margins < 0]
    )


def _samples_of_pair(
    people: PeopleIndex, first: int, second: int
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Return the embeddings and qualities of the samples of two people, given by index."""
    if not all(0 <= index < len(people.person_ids) for index in (first, second)):
        raise UsageError(f"Expected person indices from 0 to {len(people.person_ids) - 1}, not {first} and {second}.")
    rows = people.rows_of(first), people.rows_of(second)
    return (people.embeddings(rows[0]), people.embeddings(rows[1])), (
        people.qualities(rows[0]),
        people.qualities(rows[1]),
    )


def common_similarity(people: PeopleIndex, background: Background | None = None) -> float:
    """Return the mean cosine of two people, 0..0.9: the maximum over the background and the enrolled people.

    The weight of the enrolled grows with their number, as in `facebank.recognition.cohort`.
    """
    common = max(Cohort(people, None, NO_CORRECTION).common, common_background(background))
    return float(min(common, _MAX_COMMON))


def common_background(background: Background | None) -> float:
    """Return the mean cosine of two people of a pack's background, 0 without one."""
    return 0.0 if background is None else float((background.mean.astype(np.float64) ** 2).sum())


def confusable_pairs(
    people: PeopleIndex,
    model: PairModel | None = None,
    background: Background | None = None,
    *,
    min_error: float = MIN_EXPECTED_ERROR,
) -> list[ConfusablePair]:
    """Return the people who are easily confused, highest expected error first, at most `MAX_PAIRS`.

    Parameters
    ----------
    people
        The enrolled people; only the most similar pairs that are `VERY_ALIKE` are measured.
    model
        The pack's pair model; None for `DEFAULT_PAIR_MODEL`.
    background
        The pack's background, to discount the similarity common to all faces.
    min_error
        Minimum expected error of a reported pair, above 0.
    """
    common = common_similarity(people, background)
    confusables = Confusables(people, model, common=common)
    pairs = []
    for a, b, similarity in _similar_pairs(people, common + VERY_ALIKE * (1 - common)):
        error = confusables.expected_error(a, b)
        if error >= min_error:
            rows = _doubtful(people, a, b)
            pairs.append(ConfusablePair(int(people.person_ids[a]), int(people.person_ids[b]), similarity, error, rows))
    return sorted(pairs, key=lambda pair: (-pair.expected_error, pair.first, pair.second))[:MAX_PAIRS]


def _similar_pairs(people: PeopleIndex, threshold: float) -> list[tuple[int, int, float]]:
    """Return the most similar pairs of person indices, with their similarities, which are `threshold` or more."""
    best = np.empty((0, 3))
    for person_indices in people.blocks():
        prototypes = people.prototypes_of(person_indices)
        near = people.nearest_people.within(prototypes.astype(np.float64), threshold)
        for a, prototype, others in zip(person_indices.tolist(), prototypes, near, strict=True):
            later = others[others > a]
            similarities = people.similarities(prototype, later)
            block = np.stack([np.full(len(later), a), later, similarities], axis=1)
            best = np.concatenate([best, block[similarities >= threshold]])
        best = best[np.argsort(-best[:, 2], kind="stable")[:_MAX_MEASURED]]
    return [(int(a), int(b), float(similarity)) for a, b, similarity in best]
