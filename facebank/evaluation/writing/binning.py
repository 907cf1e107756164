"""The bins of a histogram: the same ones for what is drawn and for what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.report import Histogram

_FEWEST, _MOST = 12, 60


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return those of some values that are numbers; a comparison that could not be made is none."""
    return values[np.isfinite(values)]


def binned(histogram: Histogram) -> tuple[NDArray[np.float64], list[tuple[str, NDArray[np.int64]]]]:
    """Count the values of each group in bins that all groups share.

    Returns
    -------
    tuple
        The bins' edges, ``float64`` of shape ``(B + 1,)``, empty where there are no values; for each group its label
        and its counts, ``int64`` of shape ``(B,)``.
    """
    groups = [(label, finite(values)) for label, values in histogram.groups]
    everything = np.concatenate([np.empty(0), *(values for _, values in groups)])
    if not everything.size:
        return np.empty(0), [(label, np.empty(0, np.int64)) for label, _ in groups]
    low, high = float(everything.min()), float(everything.max())
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _bins(everything, high - low) + 1)
    return edges, [(label, np.histogram(values, edges)[0].astype(np.int64)) for label, values in groups]


def _bins(values: NDArray[np.float64], span: float) -> int:
    """Return how many bins the Freedman-Diaconis rule asks for, within what the eye can take."""
    lower, upper = np.quantile(values, (0.25, 0.75))
    width = 2 * float(upper - lower) / float(np.cbrt(values.size))
    return int(np.clip(span / width, _FEWEST, _MOST)) if width > 0 else _FEWEST
