"""95 % intervals of the benchmarks' rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    Units = Sequence[int] | np.ndarray

RESAMPLES = 1000
_NORMAL_QUANTILE = 1.96


def bootstrap_interval(values: ArrayLike, units: Units) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of N values, which resamples their units.

    Parameters
    ----------
    values
        Figures or events, of shape ``(N,)``.
    units
        Number of the person, family or other unit of each value, of shape ``(N,)``.
    """
    numbers, indices = np.unique(units, return_inverse=True)
    sums, counts = np.bincount(indices, weights=np.asarray(values, dtype=np.float64)), np.bincount(indices)
    draws = np.random.default_rng(0).integers(len(numbers), size=(RESAMPLES, len(numbers)))
    low, high = np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval, within 0..1, of a fraction of independent trials.

    Parameters
    ----------
    count
        Number of trials that count for the fraction.
    total
        Number of all trials, at least 1.
    """
    fraction, squared = count / total, _NORMAL_QUANTILE**2
    center = fraction + squared / (2 * total)
    half_width = _NORMAL_QUANTILE * np.sqrt(fraction * (1 - fraction) / total + squared / (4 * total**2))
    low, high = ((center + sign * half_width) / (1 + squared / total) for sign in (-1, 1))
    return max(0.0, float(low)), min(1.0, float(high))
