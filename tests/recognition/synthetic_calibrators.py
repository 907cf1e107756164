"""Strategies for calibrators, and the calibration of the embedded pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from facebank.packs import load_pack
from facebank.recognition.calibration.calibration import (
    RATES,
    SAMPLES,
    Calibration,
    Calibrator,
    SizeTable,
)
from facebank.recognition.cohort import Correction

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy
    from numpy.typing import NDArray


scores = st.floats(-1, 1, width=32)
stranger_shares = st.floats(0.001, 0.999)
sizes = st.integers(1, 3000)
counts = st.integers(1, 20)


def non_decreasing(count: int, start: float, max_step: float) -> SearchStrategy[tuple[float, ...]]:
    """Return a strategy for `count` non-decreasing numbers; the first is within `start` of 0."""
    steps = st.lists(st.just(0.0) | st.floats(0, max_step), min_size=count - 1, max_size=count - 1)
    return st.tuples(st.floats(-start, start), steps).map(
        lambda parts: tuple(np.cumsum([parts[0], *parts[1]]).tolist())
    )


@st.composite
def calibrators(draw: DrawFn) -> Calibrator:
    """Strategy for all valid calibrators."""
    knots = draw(st.lists(st.integers(-99, 99), min_size=2, max_size=8, unique=True).map(sorted))
    tables = tuple(
        SizeTable(
            size=size,
            evidence=tuple(draw(non_decreasing(len(knots), 10, 8)) for _ in SAMPLES),
            thresholds=draw(non_decreasing(len(RATES), 0.5, 0.2))[::-1],
            thresholds_per_sample=draw(st.floats(-0.05, 0.05)),
            lapse=draw(st.floats(0, 0.1)),
            unenrolled=unenrolled,
        )
        for size in draw(st.lists(st.integers(1, 2000), min_size=1, max_size=4, unique=True).map(sorted))
        for unenrolled in ((0, 50) if draw(st.booleans()) else (0,))
    )
    correction = Correction(draw(st.floats(0, 1)), draw(st.floats(0, 1)), draw(st.floats(0.1, 20)))
    return Calibrator("prototype", tuple(knot / 100 for knot in knots), tables, correction)


def embedded_calibration() -> Calibration:
    """Return the calibration of the embedded pack."""
    return Calibration.from_json((load_pack().folder / "calibration.json").read_bytes())


def probabilities_with_stranger(
    calibrator: Calibrator, row: list[float], samples: list[int], size: int, stranger_share: float = 0.5
) -> NDArray[np.float64]:
    """Return the probabilities of a probe's candidates, followed by that of a stranger."""
    probabilities = calibrator.probabilities(
        np.array([row], np.float32), np.array([samples], np.int64), max(size, len(row)), stranger_share
    )
    assert probabilities.shape == (1, len(row) + 1)
    first: NDArray[np.float64] = probabilities[0]
    return first


def equal_counts(people: int, samples: int = 1) -> NDArray[np.int64]:
    """Return the sample counts of people who all have the same number."""
    return np.full(people, samples, dtype=np.int64)
