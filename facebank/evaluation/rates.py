"""Rates with intervals that respect who and what was counted: the bootstrap draws people, not photos.

Photos of one person go wrong together, so that counting each of them as a trial of its own would promise too much.
Terms and practice follow ISO/IEC 19795-1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.evaluation.figures import Figure, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
LEAST_PEOPLE = 20
"""Of fewer people than this, groups of photos are drawn instead: so few people say nothing about others."""

_LEVEL = (0.025, 0.975)
_SEED = 19795


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """How often each unit was drawn in each resample.

    Attributes
    ----------
    places
        The unit of each thing counted, ``int64`` of shape ``(N,)``.
    draws
        ``float64`` of shape ``(R, U)``.
    """

    places: NDArray[np.int64]
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, units: NDArray[np.int64], resamples: int = RESAMPLES) -> Resamples:
        """Draw units with replacement; the same units give the same draws."""
        numbers, places = np.unique(units, return_inverse=True)
        random = np.random.default_rng(_SEED)
        count = len(numbers)
        draws = random.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
        return cls(places.astype(np.int64), draws)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up a value of each thing counted, in each resample: ``float64`` of shape ``(R,)``."""
        total: NDArray[np.float64] = self.draws @ np.bincount(
            self.places, weights=values, minlength=self.draws.shape[1]
        )
        return total

    def interval(self, values: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the 95 % interval of what was computed from each resample; None where there was one unit to draw."""
        return _interval(values) if self.draws.shape[1] > 1 else None


def sampling_units(people: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what the bootstrap draws: people, or groups of photos where there are fewer than 20 people.

    Parameters
    ----------
    people, groups
        Whom each photo shows and which photos come from one source, ``int64`` of shape ``(N,)``.
    """
    return people if len(np.unique(people)) >= LEAST_PEOPLE else groups


def rate(
    events: NDArray[np.bool_],
    units: NDArray[np.int64],
    meaning: str = "",
    *,
    descriptive: bool = False,
    things: NDArray[np.int64] | None = None,
) -> Figure:
    """Return a share with its 95 % interval.

    The interval is the bootstrap's over units; where all or none are events it is given by the rule of three, which
    takes different things for independent trials.

    Parameters
    ----------
    events
        Of shape ``(N,)``.
    units
        What is drawn: the person, or the group of photos, that each of the N belongs to. Of a single one nothing can be
        said about others: no interval.
    meaning
        One sentence for people.
    descriptive
        Whether the threshold was chosen on these very data.
    things
        What each of the N is, such as a photo that is searched for several times: repetitions are no further evidence.
        None where each is something else.

    Raises
    ------
    UsageError
        Nothing was counted.
    """
    count, happened = _counted(events)
    trials, distinct = count, None
    if things is not None:
        trials = len(np.unique(things))
        distinct = min(len(np.unique(things[events])), len(np.unique(things[~events])))
    interval: tuple[float, float] | None
    if happened in {0, count}:
        interval = rule_of_three(0 if not happened else trials, trials)
    else:
        resamples = Resamples.of(units)
        interval = resamples.interval(
            resamples.sums(events.astype(np.float64)) / np.maximum(resamples.sums(np.ones(count)), 1e-12)
        )
    return Figure(
        happened / count, interval, count, happened, meaning=meaning, descriptive=descriptive, distinct=distinct
    )


def pair_rate(
    events: NDArray[np.bool_],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    meaning: str = "",
    *,
    descriptive: bool = False,
) -> Figure:
    """Return a share of pairs with its 95 % interval, by drawing the identities of both sides.

    A resample counts a pair of different people as often as both were drawn, multiplied, and a pair of one person as
    often as that person was: see A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007.

    Parameters
    ----------
    events
        Of shape ``(N,)``.
    first, second
        Whom both photos of each pair show, ``int64`` of shape ``(N,)``.
    meaning, descriptive
        As in `rate`.

    Raises
    ------
    UsageError
        Nothing was counted.
    """
    count, happened = _counted(events)
    interval = rule_of_three(happened, count)
    if interval is None:
        weigh = PairWeights.of(first, second)
        drawn = weigh.sums(events.astype(np.float64)) / np.maximum(weigh.sums(np.ones(count)), 1e-12)
        interval = _interval(drawn) if weigh.draws.shape[1] > 1 else None
    return Figure(happened / count, interval, count, happened, meaning=meaning, descriptive=descriptive)


@dataclass(frozen=True, slots=True, eq=False)
class PairWeights:
    """How often each pair was drawn in each resample of the people of both sides."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, first: NDArray[np.int64], second: NDArray[np.int64], resamples: int = RESAMPLES) -> PairWeights:
        """Draw the people of some pairs; the same people give the same draws."""
        both = Resamples.of(np.concatenate([first, second]), resamples)
        return cls(both.places[: len(first)], both.places[len(first) :], both.draws)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up a value of each pair, in each resample: ``float64`` of shape ``(R,)``."""
        from scipy.sparse import coo_matrix

        people = self.draws.shape[1]
        same = self.first == self.second
        own = np.bincount(self.first[same], weights=values[same], minlength=people)
        others = coo_matrix((values[~same], (self.first[~same], self.second[~same])), shape=(people, people)).tocsr()
        mixed = (others.T @ self.draws.T).T * self.draws
        total: NDArray[np.float64] = self.draws @ own + np.asarray(mixed).sum(axis=1)
        return total


def mean_figure(
    values: NDArray[np.float64],
    units: NDArray[np.int64],
    meaning: str = "",
    figure: Callable[[NDArray[np.float64]], float] | None = None,
) -> Figure:
    """Return the mean of a value with its 95 % interval, by drawing units.

    Parameters
    ----------
    values
        Of shape ``(N,)``.
    units
        What is drawn.
    meaning
        One sentence for people.
    figure
        What to make of the mean; None for the mean itself.

    Raises
    ------
    UsageError
        Nothing was counted.
    """
    if not len(values):
        raise UsageError("There is nothing to count.")
    resamples = Resamples.of(units)
    means = resamples.sums(values) / np.maximum(resamples.sums(np.ones(len(values))), 1e-12)
    if figure is not None:
        means = np.array([figure(mean) for mean in means])
    value = float(values.mean()) if figure is None else figure(values.mean())
    return Figure(value, resamples.interval(means), len(values), kind=Kind.NUMBER, meaning=meaning)


def difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], units: NDArray[np.int64], meaning: str = ""
) -> Figure:
    """Return the mean difference of two paired measurements, the same units drawn for both.

    Parameters
    ----------
    ours, theirs
        What both measured on the same N things, such as 1.0 for an error and 0.0 for none.
    units
        What is drawn.
    meaning
        One sentence for people.

    Raises
    ------
    UsageError
        They are not paired.
    """
    if ours.shape != theirs.shape:
        raise UsageError("A paired difference needs the same things measured twice.")
    return mean_figure(ours - theirs, units, meaning)


def rule_of_three(events: int, count: int) -> tuple[float, float] | None:
    """Return the 95 % interval where all or none of independent trials were events, None otherwise."""
    if events == 0:
        return 0.0, min(1.0, 3 / count)
    if events == count:
        return max(0.0, 1 - 3 / count), 1.0
    return None


def _counted(events: NDArray[np.bool_]) -> tuple[int, int]:
    if not len(events):
        raise UsageError("There is nothing to count.")
    return len(events), int(events.sum())


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, _LEVEL)
    return float(low), float(high)
