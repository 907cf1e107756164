"""People who are easily taken for one another: who they are, and how to tell two of them apart.

How often a photo of one is nearer to the other follows from how similar their prototypes are and how many samples each
has. The relation was fitted to Labeled Faces in the Wild, to pairs of people as they are and, as one in a hundred, to
pairs that were made similar by turning one person's embeddings towards the other's: LFW itself knows hardly anybody
who is as similar as siblings are (``benchmarks/confusable.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.photo_model import PhotoModel, agreement
from facebank.recognition.scoring import prototypes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.recognition.background import Background
    from facebank.recognition.enrolled import Enrolled
    from facebank.recognition.scoring import PrototypeScorer

LEAST_EXPECTED_ERROR = 0.01
"""The expected error from which two people are confusable."""

LEAST_PROBABILITY = 0.95
"""How probable one of two confusable people must be to be told from the other."""

MOST_PAIRS = 1000
"""How many pairs are looked for at most."""


class Relation(NamedTuple):
    """From how much more similar photos are to the own prototype to how often they are not.

    Attributes
    ----------
    spread
        How much photos scatter around that lead.
    curvature
        How the lead counts the more, the larger it is.
    wrong_sample
        The share of samples that show somebody else.
    """

    spread: float
    curvature: float
    wrong_sample: float


# Fitted to LFW's development people: python -m benchmarks.confusable_fitting
FITTED = Relation(spread=0.0622, curvature=1.096, wrong_sample=3.4e-4)
_TEMPERATURE = 3.0
_TEMPERATURE_OF_ONE_SAMPLE = 2.0
_LAPSE = 1e-3

_ENOUGH_PEOPLE = 20
_PEOPLE_AT_ONCE = 500
_MANY_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class ConfusablePair:
    """Two people who will be confused.

    Attributes
    ----------
    first, second
        Their numbers; the first is the lower one.
    similarity
        Cosine of their prototypes, -1..1.
    expected_error
        How often a photo of one of them is nearer to the other, 0..0.5, both alike often photographed.
    """

    first: int
    second: int
    similarity: float
    expected_error: float


class PairDiscriminator:
    """Tells two people apart, and is of no use for anybody else.

    Parameters
    ----------
    model
        Of the pack that made the embeddings.
    first, second
        The samples of each, L2-normalised, ``float32`` of shapes ``(N, D)`` and ``(M, D)``; at least one each.
    """

    def __init__(self, model: PhotoModel, first: FloatArray, second: FloatArray) -> None:
        self._model = model
        self._first, self._second = model.believe(first), model.believe(second)
        # The model takes the D directions for independent and is too sure of itself, the more so of few samples.
        self._temperature = _TEMPERATURE + _TEMPERATURE_OF_ONE_SAMPLE * (1 / len(first) + 1 / len(second))

    def probabilities(self, probes: FloatArray) -> NDArray[np.float64]:
        """Return how probable it is that probes ``(M, D)`` show the first person, given that they show one of both."""
        seen = self._model.seen(probes)
        evidence = self._model.log_likelihoods(seen, self._first) - self._model.log_likelihoods(seen, self._second)
        told = 0.5 * (1.0 + np.tanh(0.5 * evidence / self._temperature))
        mixed: NDArray[np.float64] = _LAPSE + (1 - 2 * _LAPSE) * told
        return mixed


class Confusables:
    """The confusable people of a gallery; pairs are looked at when they are asked for.

    Parameters
    ----------
    enrolled
        The samples of everybody.
    background
        The pack's; None where it has none.
    scorer
        Has the people's prototypes, if they were made already: those of a large gallery are not made twice.
    """

    def __init__(
        self, enrolled: Enrolled, background: Background | None = None, scorer: PrototypeScorer | None = None
    ) -> None:
        self._enrolled = enrolled
        self._background = background
        self._scorer = scorer
        self._model: PhotoModel | None = None
        self._discriminators: dict[tuple[int, int], PairDiscriminator] = {}

    @cached_property
    def _similarities(self) -> _Similarities:
        made = None if self._scorer is None else self._scorer.prototypes
        return _Similarities.of(self._enrolled, self._background, made)

    def expected_error(self, first: int, second: int) -> float:
        """Return how often a photo of one of two people, given by number, is nearer to the other; 0..0.5."""
        one, other = np.array([self._place(first)]), np.array([self._place(second)])
        return float(self._similarities.errors(self._similarities.similarities(one, other), one, other)[0])

    def are_confusable(self, first: int, second: int) -> bool:
        """Return whether two people, given by number, are known to be easily confused."""
        return self.expected_error(first, second) >= LEAST_EXPECTED_ERROR

    def probability(self, first: int, second: int, embedding: FloatArray) -> float:
        """Return how probable it is that a face shows the first of two people, given that it shows one of them.

        Parameters
        ----------
        first, second
            Their numbers.
        embedding
            The face's, L2-normalised, ``float32`` of shape ``(D,)``.
        """
        pair = first, second
        if pair not in self._discriminators:
            if self._model is None:
                self._model = PhotoModel(self._enrolled.dimension, self._background)
            self._discriminators[pair] = PairDiscriminator(self._model, self._samples(first), self._samples(second))
        return float(self._discriminators[pair].probabilities(embedding[np.newaxis])[0])

    def told_apart(self, first: int, second: int, embedding: FloatArray) -> bool:
        """Return whether a face shows the first of two people rather than the second, with `LEAST_PROBABILITY`."""
        return self.probability(first, second, embedding) >= LEAST_PROBABILITY

    def which(self, first: int, second: int, embedding: FloatArray) -> int | None:
        """Return which of two people a face shows; None if that cannot be told with `LEAST_PROBABILITY`."""
        probability = self.probability(first, second, embedding)
        if probability >= LEAST_PROBABILITY:
            return first
        return second if 1 - probability >= LEAST_PROBABILITY else None

    def _samples(self, person: int) -> FloatArray:
        mine: FloatArray = self._enrolled.matrix[self._enrolled.owners == self._place(person)]
        return mine

    def _place(self, person: int) -> int:
        people = self._enrolled.people
        place = int(np.searchsorted(people, person))
        if place == len(people) or people[place] != person:
            raise UsageError(f"There is no person {person} among those enrolled.")
        return place


def confusable_pairs(
    enrolled: Enrolled, background: Background | None = None, *, least_error: float = LEAST_EXPECTED_ERROR
) -> list[ConfusablePair]:
    """Find the people who will be confused.

    Parameters
    ----------
    enrolled
        The samples of everybody.
    background
        The pack's; None where it has none.
    least_error
        The expected error from which a pair is told of, above 0.

    Returns
    -------
    list[ConfusablePair]
        At most `MOST_PAIRS`, those with the highest expected error first.
    """
    around = _Similarities.of(enrolled, background)
    least = around.least_similarity(least_error)
    numbers, count = enrolled.people, len(enrolled.people)
    found = np.empty((0, 4))
    for start in range(0, count, _PEOPLE_AT_ONCE):
        similarities = around.block(start, min(start + _PEOPLE_AT_ONCE, count))
        one, other = np.nonzero(similarities >= least)
        beyond = other > one
        one, other = one[beyond] + start, other[beyond] + start
        exact = around.similarities(one, other)
        errors = around.errors(exact, one, other)
        new = np.stack([numbers[one], numbers[other], exact, errors], axis=1)[errors >= least_error]
        found = np.concatenate([found, new])
        found = found[np.lexsort((found[:, 1], found[:, 0], -found[:, 3]))[:MOST_PAIRS]]
    return [ConfusablePair(int(a), int(b), float(s), float(error)) for a, b, s, error in found]


@dataclass(frozen=True, slots=True, eq=False)
class _Similarities:
    """From the similarity of two people's prototypes to how often they are confused.

    Attributes
    ----------
    prototypes
        ``float32`` of shape ``(P, D)``.
    counts
        How many samples each person has, of shape ``(P,)``; many count alike.
    agreement
        The mean cosine of two photos of one person.
    common
        The mean cosine of two people.
    """

    prototypes: FloatArray
    counts: NDArray[np.int64]
    agreement: float
    common: float

    @classmethod
    def of(cls, enrolled: Enrolled, background: Background | None, made: FloatArray | None = None) -> _Similarities:
        found = prototypes(enrolled) if made is None else made
        if background is not None:
            common = float((background.mean.astype(np.float64) ** 2).sum())
        elif len(found) >= _ENOUGH_PEOPLE:
            lengths = float((found.sum(axis=0, dtype=np.float64) ** 2).sum())
            common = (lengths - len(found)) / (len(found) * (len(found) - 1))
        else:
            common = 0.0
        counts = np.minimum(np.bincount(enrolled.owners), _MANY_SAMPLES).astype(np.int64)
        return cls(found, counts, agreement(background), min(max(common, 0.0), 0.9))

    def block(self, start: int, stop: int) -> FloatArray:
        """Return the similarities of some people to themselves and all behind them."""
        return np.asarray(self.prototypes[start:stop] @ self.prototypes[start:].T, dtype=np.float32)

    def similarities(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
        products = self.prototypes[one].astype(np.float64) * self.prototypes[other]
        return np.asarray(products.sum(axis=1).clip(-1.0, 1.0))

    def errors(
        self, similarities: NDArray[np.float64], one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        return self._errors(similarities, self.counts[one], self.counts[other])

    def least_similarity(self, least_error: float) -> float:
        """Return a similarity below which no two people reach an expected error."""
        steps = np.linspace(-1.0, 1.0, 401)
        counts = np.unique(self.counts)
        highest = np.max([self._errors(steps, a, b) for a in counts for b in counts if b >= a], axis=0)
        reached = np.flatnonzero(highest >= least_error)
        return float(steps[max(reached[0] - 1, 0)]) - 1e-3 if len(reached) else math.inf

    def _errors(
        self, similarities: NDArray[np.float64], ones: NDArray[np.int64], others: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        seen = (similarities - self.common) / (1 - self.common)
        errors = [
            error_of_lead(lead_of_own(seen, own, other, self.agreement), own)
            for own, other in ((ones, others), (others, ones))
        ]
        return np.asarray(np.clip(np.mean(errors, axis=0), 0.0, 0.5))


def lead_of_own(
    similarities: NDArray[np.float64], own: NDArray[np.int64], other: NDArray[np.int64], typical: float
) -> NDArray[np.float64]:
    """Return how much more similar a person's photo is to the own prototype than to another person's, on average.

    Parameters
    ----------
    similarities
        Cosines of the two prototypes as seen from the average face, above -1 and below 1.
    own, other
        How many samples the person and the other one have.
    typical
        The mean cosine of two photos of one person.

    Returns
    -------
    NDArray[np.float64]
        The difference of the two cosines in units of the distance at which the prototypes are. Below 0 where the
        other has so many more samples that a photo is mostly nearer to the other.
    """
    sureness, other_sureness = (count * typical / (1 + (count - 1) * typical) for count in (own, other))
    seen = np.clip(similarities, -0.999, 0.999)
    alike = np.clip(seen / np.sqrt(sureness * other_sureness), -0.999, 0.999)
    lead = np.sqrt(typical * sureness) * (1 - alike * np.sqrt(other_sureness / sureness))
    return np.asarray(lead / np.sqrt(1 - seen**2))


def error_of_lead(
    lead: NDArray[np.float64], own: NDArray[np.int64], relation: Relation = FITTED
) -> NDArray[np.float64]:
    """Return how often a person's photo is nearer to the other, of a lead as `lead_of_own` gives it."""
    bent = np.sign(lead) * np.abs(lead) ** relation.curvature
    lapse = relation.wrong_sample / own
    return np.asarray(lapse + (1 - 2 * lapse) / (1 + np.exp(np.minimum(bent / relation.spread, 700.0))))
