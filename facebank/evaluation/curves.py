"""Error curves of comparisons (ROC, DET, equal error rate) and risk-coverage curves.

A comparison without a face has the similarity NaN and never matches; for a mated pair that is a false non-match, as in
the generalized rates of ISO/IEC 19795-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.evaluation.figures import INTERVAL, Figure, PairWeights, pair_rate, zero_event_bound
from facebank.evaluation.report import Line

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS = 400
_RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Similarities and ground truth of N pairs.

    `similarities` are ``float64``, NaN if a face is missing; `same` is whether a pair is mated; `first` and `second`
    are the numbers of the people shown, ``int64``. Raises `UsageError` without mated or without non-mated pairs.
    """

    similarities: NDArray[np.float64]
    same: NDArray[np.bool_]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.same.any() or self.same.all():
            raise UsageError("error rates need pairs of one person and pairs of different people: add the missing kind")

    def matches(self, threshold: float) -> NDArray[np.bool_]:
        """Return whether each pair matches at a threshold, ``bool`` of shape ``(N,)``."""
        matches: NDArray[np.bool_] = np.nan_to_num(self.similarities, nan=-np.inf) >= threshold
        return matches

    def fmr(self, threshold: float, meaning: str = "", *, descriptive: bool = False) -> Figure:
        """Return the false match rate at a threshold."""
        non_mated = ~self.same
        matched = self.matches(threshold)[non_mated]
        return pair_rate(matched, self.first[non_mated], self.second[non_mated], meaning, descriptive=descriptive)

    def fnmr(self, threshold: float, meaning: str = "", *, descriptive: bool = False) -> Figure:
        """Return the false non-match rate at a threshold."""
        mated = self.same
        missed = ~self.matches(threshold)[mated]
        return pair_rate(missed, self.first[mated], self.second[mated], meaning, descriptive=descriptive)

    def threshold_at(self, fmr: float) -> float:
        """Return the lowest threshold at which at most the fraction `fmr` of non-mated pairs match."""
        non_mated = np.sort(np.nan_to_num(self.similarities[~self.same], nan=-np.inf))[::-1]
        allowed = int(np.floor(fmr * len(non_mated) + 1e-9))
        if allowed >= len(non_mated):
            return -1.0
        return float(np.nextafter(non_mated[allowed], np.inf)) if np.isfinite(non_mated[allowed]) else -1.0

    def fnmr_at(self, fmr: float, meaning: str = "") -> Figure:
        """Return the false non-match rate at the threshold that `threshold_at` finds on the same pairs."""
        return self.fnmr(self.threshold_at(fmr), meaning, descriptive=True)


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCurve:
    """FMR and FNMR at T increasing thresholds: ``float64`` arrays of shape ``(T,)``."""

    thresholds: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]

    @classmethod
    def of(cls, comparisons: Comparisons, weights: NDArray[np.float64] | None = None) -> ErrorCurve:
        """Return both rates at every distinct similarity; `weights` of the pairs, ``(N,)``, default to 1."""
        weights = np.ones(len(comparisons.same)) if weights is None else weights
        values = np.nan_to_num(comparisons.similarities, nan=-np.inf)
        order = np.argsort(values, kind="stable")
        sorted_values, same = values[order], comparisons.same[order]
        mated = np.concatenate([[0.0], np.cumsum(weights[order] * same)])
        non_mated = np.concatenate([[0.0], np.cumsum(weights[order] * ~same)])
        starts = np.concatenate([[True], sorted_values[1:] != sorted_values[:-1], [True]])
        thresholds = np.concatenate([sorted_values, [np.inf]])[starts]
        fmr, fnmr = 1 - non_mated[starts] / max(non_mated[-1], 1e-12), mated[starts] / max(mated[-1], 1e-12)
        return cls(thresholds, fmr, fnmr)

    @property
    def equal_error_rate(self) -> float:
        """The rate at which FMR and FNMR are equal, interpolated linearly."""
        gap = self.fnmr - self.fmr
        after = int(np.argmax(gap >= 0))
        if after == 0:
            return float((self.fnmr[0] + self.fmr[0]) / 2)
        before = after - 1
        fraction = -gap[before] / (gap[after] - gap[before])
        return float(self.fnmr[before] + fraction * (self.fnmr[after] - self.fnmr[before]))

    @property
    def area_under_roc(self) -> float:
        """Fraction of mated and non-mated pairs in which the mated one is more similar, 0..1."""
        return float(-np.trapezoid(1 - self.fnmr, self.fmr))

    def det(self, label: str) -> Line:
        """Return the DET curve: FNMR over FMR."""
        return _thin(label, self.fmr, self.fnmr)

    def roc(self, label: str) -> Line:
        """Return the ROC curve: true match rate over FMR."""
        return _thin(label, self.fmr, 1 - self.fnmr)


def equal_error_rate(comparisons: Comparisons) -> Figure:
    """Return the equal error rate, with its bootstrap interval over the people of both sides.

    If the rate is 0, the upper end of the interval is that of the rule of three.
    """
    rates = _resample(comparisons).equal_error_rates
    low, high = np.quantile(rates, INTERVAL) if rates.size else (0.0, 1.0)
    value, count = ErrorCurve.of(comparisons).equal_error_rate, _smaller_count(comparisons)
    if value == 0:
        high = max(float(high), zero_event_bound(count))
    return Figure(
        value,
        (float(low), float(high)),
        len(comparisons.same),
        descriptive=True,
        meaning="The rate at which false matches and false non-matches are equally frequent.",
        distinct=round(value * count),
    )


def _smaller_count(comparisons: Comparisons) -> int:
    """Return the smaller of the numbers of mated and non-mated pairs."""
    return int(min(comparisons.same.sum(), (~comparisons.same).sum()))


def add_band(line: Line, comparisons: Comparisons) -> Line:
    """Return a DET curve with the 95 % bootstrap band of its FNMR over the people of both sides.

    The band is that of the rule of three where FNMR is 0, and NaN where fewer than one non-mated pair would match.
    """
    resamples = _resample(comparisons)
    if not len(resamples.fnmr):
        return line
    mated, non_mated = int(comparisons.same.sum()), int((~comparisons.same).sum())
    indices = np.searchsorted(resamples.fmr, line.x, side="right").clip(1, len(resamples.fmr)) - 1
    low, high = np.quantile(resamples.fnmr, INTERVAL, axis=0)[:, indices]
    high = np.where(line.y == 0, np.maximum(high, zero_event_bound(mated)), high)
    is_below_one_pair = line.x < 1 / non_mated
    low, high = (
        np.where(is_below_one_pair, np.nan, band) for band in (np.minimum(low, line.y), np.maximum(high, line.y))
    )
    return replace(line, low=low, high=high)


@dataclass(frozen=True, slots=True, eq=False)
class _ResampledCurves:
    """Equal error rates ``(R,)``, and FNMR ``(R, P)`` at increasing FMR ``(P,)``, of R bootstrap resamples."""

    equal_error_rates: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]


def resample_weights(comparisons: Comparisons) -> Iterator[NDArray[np.float64]]:
    """Yield the weights of the pairs, ``(N,)``, for each bootstrap resample with mated and non-mated pairs."""
    pair_weights = PairWeights.of(comparisons.first, comparisons.second, _RESAMPLES)
    is_one_person = comparisons.first == comparisons.second
    for counts in pair_weights.draws:
        weights = counts[pair_weights.first] * np.where(is_one_person, 1.0, counts[pair_weights.second])
        if weights[comparisons.same].any() and weights[~comparisons.same].any():
            yield weights


@lru_cache(maxsize=4)
def _resample(comparisons: Comparisons) -> _ResampledCurves:
    lowest = 1 / int((~comparisons.same).sum())
    fmr = np.concatenate([[0.0], np.geomspace(lowest, 1.0, _POINTS) if lowest < 1 else [1.0]])
    rates: list[float] = []
    fnmr: list[NDArray[np.float64]] = []
    for weights in resample_weights(comparisons):
        curve = ErrorCurve.of(comparisons, weights)
        rates.append(curve.equal_error_rate)
        # FMR decreases and FNMR increases with the threshold, so the lowest threshold for each FMR is used.
        fnmr.append(curve.fnmr[np.searchsorted(-curve.fmr, -fmr - 1e-12)])
    return _ResampledCurves(np.array(rates), fmr, np.array(fnmr))


def _thin(label: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Line:
    """Return at most 400 points, evenly spaced along the plotted curve."""
    if len(x) > _POINTS:
        steps = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(np.log10(x + 1e-6))) + np.abs(np.diff(y)))])
        indices = np.unique(np.searchsorted(steps, np.linspace(0, steps[-1], _POINTS)).clip(0, len(x) - 1))
        x, y = x[indices], y[indices]
    return Line(label, x, y)


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The fraction of wrong answers (risk) over the fraction answered (coverage): ``float64`` of shape ``(N,)``."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Mean risk over all coverages, 0..1; smaller is better."""
        return float(self.risk.mean())

    def line(self, label: str) -> Line:
        """Return the curve as a line of a plot."""
        return Line(label, self.coverage, self.risk)


def risk_coverage(confidences: NDArray[np.float64], wrong: NDArray[np.bool_]) -> RiskCoverage:
    """Return the risk-coverage curve of answers ordered by decreasing confidence; ties share their errors.

    `confidences` (``float64``, NaN for the lowest) and `wrong` have shape ``(N,)``. Raises `UsageError` for N = 0 or
    unequal shapes.
    """
    if not len(confidences) or confidences.shape != wrong.shape:
        raise UsageError(
            "a risk-coverage curve needs at least one answer, and one confidence and one outcome per answer"
        )
    levels, index = np.unique(-np.nan_to_num(confidences, nan=-np.inf), return_inverse=True)
    sizes = np.bincount(index, minlength=len(levels))
    errors = np.bincount(index, weights=wrong, minlength=len(levels)) / sizes
    answered = np.arange(1, len(wrong) + 1)
    return RiskCoverage(answered / len(wrong), np.cumsum(np.repeat(errors, sizes)) / answered)
