"""Measured figures: a value with its interval and count, and the rates and means that they come from.

The bootstrap draws people, not photos: photos of one person fail together and are not independent trials. Terms and
practice follow ISO/IEC 19795-1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_EVENTS = 10
"""A rate with fewer events is insufficient."""
RESAMPLES = 1000
LEAST_PEOPLE = 20
"""The bootstrap draws groups of photos instead of fewer people."""
_LEVEL = (0.025, 0.975)
_SEED = 19795


class Kind(StrEnum):
    """The kind of a figure."""

    RATE = "rate"
    """A share of something counted, 0..1."""
    NUMBER = "number"
    """Anything else: a threshold, a loss, an area."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    value
        A rate as a fraction, 0..1.
    interval
        95 % interval; None without one. The upper end of a ratio may be infinite.
    count
        Number of comparisons, searches or photos it rests on.
    events
        How many of them were what the rate counts; None where nothing is counted.
    kind
        Rate or number.
    descriptive
        Whether it was read off a curve, with a threshold chosen on these very data: it describes the curve only.
    standard_error
        Over folds; None without folds.
    published
        The figure that others have published, with its source; None without one.
    meaning
        One sentence for people.
    expected
        Number of events expected from the rate that the threshold was set for, such as 3 false matches for an FMR of
        0.1 % of 3,000 comparisons; None where it was not set for a rate.
    points
        Whether it is a difference of fractions, written in percentage points.
    distinct
        Of things counted several times, such as photos searched for in several draws: how many different ones were
        events, or were not, whichever is less. None where each was counted once. For a number made of rates, the fewest
        of any of them.
    """

    value: float
    interval: tuple[float, float] | None = None
    count: int = 0
    events: int | None = None
    kind: Kind = Kind.RATE
    descriptive: bool = False
    standard_error: float | None = None
    published: str | None = None
    meaning: str = ""
    expected: float | None = None
    distinct: int | None = None
    points: bool = False

    @property
    def insufficient(self) -> bool:
        """Whether fewer than ten events, or fewer than ten non-events, were seen or expected."""
        if self.expected is not None and self.expected < LEAST_EVENTS:
            return True
        if self.kind is not Kind.RATE or self.events is None:
            return self.distinct is not None and self.distinct < LEAST_EVENTS
        fewest = min(self.events, self.count - self.events) if self.distinct is None else self.distinct
        return fewest < LEAST_EVENTS

    def __str__(self) -> str:
        """Return it for people: ``0.45 % [0.16, 0.90], 12 of 2,650``."""
        if self.points:
            few = " (insufficient)" if self.insufficient else ""
            return f"{in_points(self.value)}{_points_interval(self.interval)} points{few}"
        if self.kind is Kind.NUMBER:
            few = " (insufficient)" if self.insufficient else ""
            return plain_number(self.value) + _written_interval(self.interval, 1, "") + few
        text = f"{self.value:.2%}".replace("%", " %") + _written_interval(self.interval, 100, "")
        if self.standard_error is not None:
            text = f"{self.value:.2%} ± {self.standard_error:.2%}".replace("%", " %")
        if self.events is not None:
            text += f", {self.events:,} of {self.count:,}"
        return text + (" (insufficient)" if self.insufficient else "")


def plain_number(value: float) -> str:
    """Return a number with four digits, two if it is small, and never with an exponent."""
    if value == int(value) and abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{float(f'{value:.2g}'):.12f}".rstrip("0")


def in_points(difference: float) -> str:
    """Return a difference of fractions in signed percentage points: ``+0.21``, ``-0.0087``."""
    points = 100 * difference
    if points == 0:
        return "0"
    return f"{points:+.2f}" if abs(points) >= 0.095 else f"{float(f'{points:.2g}'):+.10f}".rstrip("0")


def _points_interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{in_points(interval[0])}, {in_points(interval[1])}]"


def _written_interval(interval: tuple[float, float] | None, factor: float, unit: str) -> str:
    if interval is None:
        return ""
    if math.isinf(interval[1]):
        return f" [{plain_number(factor * interval[0])} or more]{unit}"
    low, high = (f"{factor * bound:.2f}" if factor > 1 else plain_number(bound) for bound in interval)
    return f" [{low}, {high}]{unit}"


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """How often each unit was drawn in each of R bootstrap resamples: `draws`, ``float64`` of shape ``(R, U)``.

    `places` is the unit of each thing counted, ``int64`` of shape ``(N,)``.
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
        """Return the sum of a value of each thing in each resample, ``float64`` of shape ``(R,)``."""
        total: NDArray[np.float64] = self.draws @ np.bincount(
            self.places, weights=values, minlength=self.draws.shape[1]
        )
        return total

    def interval(self, values: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the 95 % interval of what was computed from each resample; None if there was one unit to draw."""
        return _interval(values) if self.draws.shape[1] > 1 else None


def sampling_units(people: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the units that the bootstrap draws, ``int64`` ``(N,)``: people, or groups of photos of few people."""
    return people if len(np.unique(people)) >= LEAST_PEOPLE else groups


def rate(
    events: NDArray[np.bool_],
    units: NDArray[np.int64],
    meaning: str = "",
    *,
    descriptive: bool = False,
    things: NDArray[np.int64] | None = None,
) -> Figure:
    """Return a fraction with its 95 % interval, drawing units; by the rule of three if all or none are events.

    `events` and `units`, the person or group of photos of each, have shape ``(N,)``; a single unit gives no interval.
    `things` is the identity of each event, such as a photo searched for several times (None if all differ): repetitions
    are no further evidence. Raises `UsageError` if nothing was counted.
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
    """Return a fraction of N pairs with its 95 % interval, drawing the people of both sides, `first` and `second`.

    All three arrays have shape ``(N,)``. A resample counts a pair of different people as often as both were drawn,
    multiplied, and a pair of one person as often as that person was: A. B. Owen, "The pigeonhole bootstrap", Annals of
    Applied Statistics, 2007. Raises `UsageError` if nothing was counted.
    """
    count, happened = _counted(events)
    interval = rule_of_three(happened, count)
    if interval is None:
        several = len(np.union1d(first, second)) > 1
        interval = pair_mean(events.astype(np.float64), first, second).interval if several else None
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
        """Return the sum of a value of each pair in each resample, ``float64`` of shape ``(R,)``."""
        from scipy.sparse import coo_matrix

        people = self.draws.shape[1]
        same = self.first == self.second
        own = np.bincount(self.first[same], weights=values[same], minlength=people)
        others = coo_matrix((values[~same], (self.first[~same], self.second[~same])), shape=(people, people)).tocsr()
        mixed = (others.T @ self.draws.T).T * self.draws
        total: NDArray[np.float64] = self.draws @ own + np.asarray(mixed).sum(axis=1)
        return total


def pair_mean(values: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]) -> Figure:
    """Return the mean of a value of pairs with its 95 % interval, drawing people as `pair_rate` does."""
    weigh = PairWeights.of(first, second)
    means = weigh.sums(values) / np.maximum(weigh.sums(np.ones(len(values))), 1e-12)
    return Figure(float(values.mean()), _interval(means), len(values), kind=Kind.NUMBER)


def mean_figure(
    values: NDArray[np.float64],
    units: NDArray[np.int64],
    meaning: str = "",
    figure: Callable[[NDArray[np.float64]], float] | None = None,
) -> Figure:
    """Return the mean of values of shape ``(N,)``, or `figure` of it, with its 95 % interval by drawing units.

    Raises `UsageError` if nothing was counted.
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
    """Return the mean difference of two measurements of the same N things, the same units drawn for both.

    Raises `UsageError` if the shapes differ.
    """
    if ours.shape != theirs.shape:
        raise UsageError("A paired difference needs the same things measured twice.")
    return mean_figure(ours - theirs, units, meaning)


def rule_of_three(events: int, count: int) -> tuple[float, float] | None:
    """Return the 95 % interval where all or none of independent trials were events, else None."""
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
