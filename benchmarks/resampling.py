"""Bootstrap intervals of the benchmarks' rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    Units = Sequence[int] | np.ndarray

RESAMPLES = 1000


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
