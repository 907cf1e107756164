"""Figures of a report: a value with its interval, its count, and what it may be used for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

LEAST_EVENTS = 10
"""A rate that rests on fewer events than this is called insufficient."""


class Kind(StrEnum):
    """What a figure is."""

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
        A rate as a share, 0..1.
    interval
        Of 95 %; None where it has none. A ratio's may have no upper end: infinity.
    count
        How many comparisons, searches or photos it rests on.
    events
        How many of them were what the rate counts; None where nothing is counted.
    kind
        What it is.
    descriptive
        Whether it was read off a curve, its threshold chosen on these very data: it describes the curve, and promises
        nothing.
    standard_error
        Over folds; None where there are none.
    published
        What others have published for it, with where; None where nobody did.
    meaning
        One sentence for people.
    expected
        How many events the rate that its threshold was set for lets expect, such as 3 false matches for an FMR of 0.1 %
        of 3,000 comparisons; None where the threshold was not set for a rate.
    points
        Whether it is a difference of shares, which is written in percentage points.
    distinct
        Of things that were counted several times, such as photos searched for in several draws: how many different ones
        were events, or were not, whichever is less. None where each was counted once. Of a number that is made of
        rates, the fewest of any of them.
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
        """Whether too few events were seen, or expected, to say much: fewer than ten that were, or that were not."""
        if self.expected is not None and self.expected < LEAST_EVENTS:
            return True
        if self.kind is not Kind.RATE or self.events is None:
            return self.distinct is not None and self.distinct < LEAST_EVENTS
        fewest = min(self.events, self.count - self.events) if self.distinct is None else self.distinct
        return fewest < LEAST_EVENTS

    def __str__(self) -> str:
        """Write it for people: ``0.45 % [0.16, 0.90], 12 of 2,650``."""
        if self.points:
            few = " (insufficient)" if self.insufficient else ""
            return f"{in_points(self.value)}{_points_interval(self.interval)} points{few}"
        if self.kind is Kind.NUMBER:
            few = " (insufficient)" if self.insufficient else ""
            return plain_number(self.value) + _interval(self.interval, 1, "") + few
        text = f"{self.value:.2%}".replace("%", " %") + _interval(self.interval, 100, "")
        if self.standard_error is not None:
            text = f"{self.value:.2%} ± {self.standard_error:.2%}".replace("%", " %")
        if self.events is not None:
            text += f", {self.events:,} of {self.count:,}"
        return text + (" (insufficient)" if self.insufficient else "")


def plain_number(value: float) -> str:
    """Write a number in four digits, two where it is small, and never with a power of ten."""
    if value == int(value) and abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{float(f'{value:.2g}'):.12f}".rstrip("0")


def in_points(difference: float) -> str:
    """Write a difference of shares in percentage points with its sign: ``+0.21``, ``-0.0087``."""
    points = 100 * difference
    if points == 0:
        return "0"
    return f"{points:+.2f}" if abs(points) >= 0.095 else f"{float(f'{points:.2g}'):+.10f}".rstrip("0")


def _points_interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{in_points(interval[0])}, {in_points(interval[1])}]"


def _interval(interval: tuple[float, float] | None, factor: float, unit: str) -> str:
    if interval is None:
        return ""
    if math.isinf(interval[1]):
        return f" [{plain_number(factor * interval[0])} or more]{unit}"
    low, high = (f"{factor * bound:.2f}" if factor > 1 else plain_number(bound) for bound in interval)
    return f" [{low}, {high}]{unit}"
