"""Measured figures: rates and means with their 95 % intervals and counts.

The bootstrap resamples people rather than photos, since errors on photos of one person are correlated. Terms follow
ISO/IEC 19795-1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_EVENTS = 10
"""Smallest number of events for which a rate counts as sufficient."""
RESAMPLES = 1000
MIN_PEOPLE = 20
"""With fewer people, the bootstrap resamples groups of photos instead."""
INTERVAL = (0.025, 0.975)
"""Quantiles at the ends of a 95 % interval."""
_SEED = 19795


class FigureKind(StrEnum):
    """The kind of a figure."""

    RATE = "rate"
    """A fraction of counted trials, 0..1."""
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
        95 % interval, or None. The upper end of a ratio may be infinite.
    count
        Number of comparisons, searches or photos.
    events
        Number of trials that count for the rate; None if `kind` is not a rate.
    kind
        Rate or number.
    descriptive
        Whether it was read off a curve at a threshold chosen on the same data, and is no estimate for other data.
    standard_error
        Standard error over folds; None without folds.
    published
        A published figure to compare with, and its source; None without one.
    meaning
        One sentence that explains the figure in reports.
    expected
        Number of events expected at the rate that the threshold was chosen for, such as 3 false matches for an FMR of
        0.1 % and 3,000 comparisons; None if it was not chosen for a rate.
    points
        Whether it is a difference of fractions, written in percentage points.
    distinct
        If items are counted repeatedly, such as photos searched for in several draws: the number of distinct items
        among the events or the non-events, whichever is smaller. None if each was counted once. For a number computed
        from several rates, the smallest of theirs.
    """

    value: float
    interval: tuple[float, float] | None = None
    count: int = 0
    events: int | None = None
    kind: FigureKind = FigureKind.RATE
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
        if self.expected is not None and self.expected < MIN_EVENTS:
            return True
        if self.kind is not FigureKind.RATE or self.events is None:
            return self.distinct is not None and self.distinct < MIN_EVENTS
        distinct = min(self.events, self.count - self.events) if self.distinct is None else self.distinct
        return distinct < MIN_EVENTS

    def __str__(self) -> str:
        """Return the figure as text: ``0.45 % [0.16, 0.90], 12 of 2,650``."""
        note = " (insufficient)" if self.insufficient else ""
        if self.points:
            return f"{format_points(self.value)}{_points_interval(self.interval)} points{note}"
        if self.kind is FigureKind.NUMBER:
            return format_number(self.value) + _format_interval(self.interval, 1) + note
        if self.standard_error is None:
            text = format_percent(self.value) + _format_interval(self.interval, 100)
        else:
            text = f"{format_percent(self.value)} ± {format_percent(self.standard_error)}"
        if self.events is not None:
            text += f", {self.events:,} of {self.count:,}"
        return text + note


def format_percent(fraction: float, decimals: int | None = 2) -> str:
    """Return a fraction as a percentage: ``0.45 %``; with `decimals` None, without trailing zeros: ``0.1 %``."""
    return f"{100 * fraction:g} %" if decimals is None else f"{100 * fraction:.{decimals}f} %"


def format_number(value: float) -> str:
    """Return a number with four significant digits, two below 0.001, and never with an exponent."""
    if value == int(value) and abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{float(f'{value:.2g}'):.12f}".rstrip("0")


def format_points(difference: float) -> str:
    """Return a difference of fractions in signed percentage points: ``+0.21``, ``-0.0087``."""
    points = 100 * difference
    if points == 0:
        return "0"
    return f"{points:+.2f}" if abs(points) >= 0.095 else f"{float(f'{points:.2g}'):+.10f}".rstrip("0")


def _points_interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{format_points(interval[0])}, {format_points(interval[1])}]"


def _format_interval(interval: tuple[float, float] | None, factor: float) -> str:
    if interval is None:
        return ""
    if math.isinf(interval[1]):
        return f" [{format_number(factor * interval[0])} or more]"
    low, high = (f"{factor * bound:.2f}" if factor > 1 else format_number(bound) for bound in interval)
    return f" [{low}, {high}]"


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Bootstrap resamples of units.

    `draws` is how often each of U units was drawn in each of R resamples, ``float64`` of shape ``(R, U)``; `indices` is
    the unit of each of N counted items, ``int64`` of shape ``(N,)``.
    """

    indices: NDArray[np.int64]
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, units: NDArray[np.int64], resamples: int = RESAMPLES) -> Resamples:
        """Return resamples of the units of N items, ``(N,)``; they depend only on `units` and `resamples`."""
        distinct, indices = np.unique(units, return_inverse=True)
        random = np.random.default_rng(_SEED)
        count = len(distinct)
        draws = random.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
        return cls(indices.astype(np.int64), draws)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of the items' values, ``float64`` of shape ``(N,)``, in each resample: shape ``(R,)``."""
        total: NDArray[np.float64] = self.draws @ np.bincount(
            self.indices, weights=values, minlength=self.draws.shape[1]
        )
        return total

    def interval(self, values: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the 95 % interval of one value per resample, ``(R,)``; None if there is only one unit."""
        return _interval(values) if self.draws.shape[1] > 1 else None


def sampling_units(people: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the units that the bootstrap draws, ``int64`` ``(N,)``: people, or groups of photos if people are few."""
    return people if len(np.unique(people)) >= MIN_PEOPLE else groups


def rate(
    events: NDArray[np.bool_],
    units: NDArray[np.int64],
    meaning: str = "",
    *,
    descriptive: bool = False,
    ids: NDArray[np.int64] | None = None,
) -> Figure:
    """Return the fraction of events, with its 95 % bootstrap interval over units.

    `events` and `units` (the person or group of photos of each trial) have shape ``(N,)``. `ids` identifies repeated
    trials, such as a photo searched for in several draws, which count as one in `Figure.distinct`; None if all differ.
    The interval is that of the rule of three if all or no trials are events, and None for a single unit. Raises
    `UsageError` for N = 0.
    """
    count, event_count = _count_events(events)
    trials, distinct = count, None
    if ids is not None:
        trials = len(np.unique(ids))
        distinct = min(len(np.unique(ids[events])), len(np.unique(ids[~events])))
    interval: tuple[float, float] | None
    if event_count in {0, count}:
        interval = rule_of_three(0 if not event_count else trials, trials)
    else:
        resamples = Resamples.of(units)
        interval = resamples.interval(
            resamples.sums(events.astype(np.float64)) / np.maximum(resamples.sums(np.ones(count)), 1e-12)
        )
    return Figure(
        event_count / count, interval, count, event_count, meaning=meaning, descriptive=descriptive, distinct=distinct
    )


def pair_rate(
    events: NDArray[np.bool_],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    meaning: str = "",
    *,
    descriptive: bool = False,
) -> Figure:
    """Return the fraction of events among N pairs, with its 95 % bootstrap interval over the people of both sides.

    `events`, `first` and `second` have shape ``(N,)``. In a resample, a pair of different people has the product of
    both people's draw counts as its weight, and a pair of one person that person's count: A. B. Owen, "The pigeonhole
    bootstrap", Annals of Applied Statistics, 2007. Raises `UsageError` for N = 0.
    """
    count, event_count = _count_events(events)
    interval = rule_of_three(event_count, count)
    if interval is None:
        has_several_people = len(np.union1d(first, second)) > 1
        interval = pair_mean(events.astype(np.float64), first, second).interval if has_several_people else None
    return Figure(event_count / count, interval, count, event_count, meaning=meaning, descriptive=descriptive)


@dataclass(frozen=True, slots=True, eq=False)
class PairWeights:
    """Weights of N pairs in R bootstrap resamples of the people of both sides.

    `first` and `second` are indices of people, ``int64`` of shape ``(N,)``; `draws` is as in `Resamples`.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, first: NDArray[np.int64], second: NDArray[np.int64], resamples: int = RESAMPLES) -> PairWeights:
        """Return the weights of pairs of people, ``(N,)`` each; they depend only on the arguments."""
        resampled = Resamples.of(np.concatenate([first, second]), resamples)
        return cls(resampled.indices[: len(first)], resampled.indices[len(first) :], resampled.draws)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weighted sum of the pairs' values in each resample, ``float64`` of shape ``(R,)``."""
        from scipy.sparse import coo_matrix

        people = self.draws.shape[1]
        same = self.first == self.second
        of_one = np.bincount(self.first[same], weights=values[same], minlength=people)
        of_two = coo_matrix((values[~same], (self.first[~same], self.second[~same])), shape=(people, people)).tocsr()
        weighted = (of_two.T @ self.draws.T).T * self.draws
        total: NDArray[np.float64] = self.draws @ of_one + np.asarray(weighted).sum(axis=1)
        return total


def pair_mean(values: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]) -> Figure:
    """Return the mean of pairs' values, with its 95 % interval; arrays of shape ``(N,)`` as in `pair_rate`."""
    weights = PairWeights.of(first, second)
    means = weights.sums(values) / np.maximum(weights.sums(np.ones(len(values))), 1e-12)
    return Figure(float(values.mean()), _interval(means), len(values), kind=FigureKind.NUMBER)


def mean_figure(
    values: NDArray[np.float64],
    units: NDArray[np.int64],
    meaning: str = "",
) -> Figure:
    """Return the mean of values of shape ``(N,)``, with its 95 % bootstrap interval; raises `UsageError` for N = 0."""
    if not len(values):
        raise UsageError("there are no trials to count")
    resamples = Resamples.of(units)
    means = resamples.sums(values) / np.maximum(resamples.sums(np.ones(len(values))), 1e-12)
    interval = resamples.interval(means)
    return Figure(float(values.mean()), interval, len(values), kind=FigureKind.NUMBER, meaning=meaning)


def difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], units: NDArray[np.int64], meaning: str = ""
) -> Figure:
    """Return the mean difference of two measurements of the same N items, with its paired 95 % bootstrap interval.

    Arrays have shape ``(N,)``. Raises `UsageError` if the shapes differ.
    """
    if ours.shape != theirs.shape:
        raise UsageError("a paired difference needs two measurements of equal shape")
    return mean_figure(ours - theirs, units, meaning)


def rule_of_three(events: int, count: int) -> tuple[float, float] | None:
    """Return the 95 % interval if all or none of `count` independent trials were events, else None."""
    if events == 0:
        return 0.0, zero_event_bound(count)
    if events == count:
        return 1 - zero_event_bound(count), 1.0
    return None


def zero_event_bound(count: int) -> float:
    """Return the 95 % upper bound of a rate if none of `count` independent trials was an event: the rule of three."""
    return min(1.0, 3 / count)


def _count_events(events: NDArray[np.bool_]) -> tuple[int, int]:
    if not len(events):
        raise UsageError("there are no trials to count")
    return len(events), int(events.sum())


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, INTERVAL)
    return float(low), float(high)
