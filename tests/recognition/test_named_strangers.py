"""The rate of strangers who are named, given the threshold and the least probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.recognition.calibration.calibration import RATES, Calibrator, NamedStrangerBound, named_strangers

from .synthetic import CALIBRATOR
from .synthetic_calibrators import calibrators, counts, embedded_calibration, equal_counts, stranger_shares

rates = st.floats(RATES[0], RATES[-1])


def measure(
    calibrator: Calibrator, samples: list[int], fpir: float, stranger_share: float, least_probability: float
) -> NamedStrangerBound:
    return named_strangers(
        calibrator, np.array(samples), fpir=fpir, stranger_share=stranger_share, least_probability=least_probability
    )


def probability_at(calibrator: Calibrator, people: int, fpir: float, stranger_share: float) -> float:
    """Return the probability of a sole candidate whose score is the threshold of a rate."""
    scores = np.full((1, 1), calibrator.threshold(equal_counts(people), fpir), dtype=np.float32)
    return float(calibrator.probabilities(scores, np.ones((1, 1), np.int64), people, stranger_share)[0, 0])


@given(calibrators(), st.lists(counts, min_size=1, max_size=20), rates, stranger_shares, st.floats(0, 0.99))
def test_rate_lies_between_the_lowest_and_the_requested_rate(
    calibrator: Calibrator, samples: list[int], fpir: float, stranger_share: float, least_probability: float
) -> None:
    result = measure(calibrator, samples, fpir, stranger_share, least_probability)
    assert RATES[0] * (1 - 1e-9) <= result.fraction <= fpir * (1 + 1e-9)
    assert not result.is_below or result.fraction == pytest.approx(RATES[0])
    assert measure(calibrator, samples, fpir, stranger_share, 0.0).fraction == pytest.approx(fpir)
    stricter = measure(calibrator, samples, fpir, stranger_share, (1 + least_probability) / 2)
    assert stricter.fraction <= result.fraction * (1 + 1e-9)


@given(st.integers(2, 300), st.floats(0.05, 0.95))
def test_sole_candidate_at_the_reported_rate_has_the_least_probability(people: int, stranger_share: float) -> None:
    calibrator = embedded_calibration().calibrator("prototype")
    assert calibrator is not None
    result = measure(calibrator, [1] * people, 0.2, stranger_share, 0.5)
    if result.is_below:
        assert probability_at(calibrator, people, RATES[0], stranger_share) < 0.5
    elif result.fraction < 0.2 * (1 - 1e-9):
        assert probability_at(calibrator, people, result.fraction, stranger_share) == pytest.approx(0.5, abs=0.01)
    else:
        assert probability_at(calibrator, people, 0.2, stranger_share) >= 0.5


def test_sample_counts_are_weighted_by_number_of_people() -> None:
    few, many = (measure(CALIBRATOR, [count] * 10, 0.2, 0.5, 0.5).fraction for count in (1, 5))
    mixed = measure(CALIBRATOR, [1] * 5 + [5] * 5, 0.2, 0.5, 0.5).fraction
    assert min(few, many) * 0.5 < mixed < max(few, many) * 1.5
