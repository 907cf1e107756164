"""Measuring the reliability of a calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facebank.recognition.calibration.calibration import RATES, SAMPLES, Calibrator, SizeTable
from facebank.recognition.calibration.fitting import Effort, fit_calibrator
from facebank.recognition.calibration.reliability import (
    count_cross_fit_galleries,
    count_fit_galleries,
    cross_fit,
    measure_reliability,
)
from facebank.recognition.calibration.simulation import SimulatedSearches
from tests.recorder import Recorder

from .synthetic import make_identities

TINY = Effort(enrolled=200, strangers=2000, galleries=(4, 20))


def make_calibrator(odds: float, threshold: float) -> Calibrator:
    """Return a calibrator with constant odds for scores from 0 and the inverse odds below."""
    curve = (-math.log(odds), -math.log(odds), math.log(odds), math.log(odds))
    table = SizeTable(1, (curve,) * len(SAMPLES), (threshold,) * len(RATES), 0.0, 0.0)
    return Calibrator("prototype", (-1.0, -1e-6, 0.0, 1.0), (table,))


def make_searches(scores: list[float], own: list[int]) -> SimulatedSearches:
    """Return searches in a gallery of one person with one sample."""
    return SimulatedSearches(
        scores=np.array(scores, np.float32)[:, None],
        sample_counts=np.ones((len(scores), 1), np.int64),
        own_columns=np.array(own, np.int64),
        weights=np.ones(len(scores)),
        enrolled=np.ones(1, np.int64),
        unenrolled=0,
        relatives=np.zeros(len(scores), bool),
    )


def test_figures_match_hand_computed_values() -> None:
    # Probability 0.9 for scores from 0 and 0.1 below; three photos of the person, one missed, and four strangers.
    searches = make_searches([0.5, 0.6, -0.5, -0.5, -0.5, 0.3, 0.7], [0, 0, 0, -1, -1, -1, -1])
    figures = measure_reliability([([searches], make_calibrator(9.0, 0.4))])
    assert figures.size == 1
    assert figures.fpir == pytest.approx(1 / 4)
    hits, missed, refused, named = 1 / 3, 1 / 6, 1 / 4, 1 / 4
    assert figures.brier == pytest.approx(0.01 * (hits + refused) + 0.81 * (missed + named))
    assert figures.log_loss == pytest.approx(-math.log(0.9) * (hits + refused) - math.log(0.1) * (missed + named))
    low = abs(0.1 * (missed + refused) - missed)
    high = abs(0.9 * (hits + named) - hits)
    assert figures.ece == pytest.approx(low + high)


def test_overconfident_calibrator_is_detected() -> None:
    searches = make_searches([0.5] * 8 + [-0.5] * 8, [0] * 6 + [-1] * 2 + [0] * 2 + [-1] * 6)
    calibrated, overconfident = (
        measure_reliability([([searches], make_calibrator(odds, 0.9))]) for odds in (3.0, 999.0)
    )
    assert calibrated.ece == pytest.approx(0, abs=1e-6)
    assert overconfident.ece > 0.2
    assert overconfident.log_loss > calibrated.log_loss
    assert overconfident.brier > calibrated.brier


@pytest.mark.parametrize("classifier", ["prototype", "knn", "svm"])
def test_cross_fitting_on_halves_confirms_the_calibration(classifier: str) -> None:
    identities = make_identities(160, photos=5, singles=60)
    progress = Recorder()
    figures = cross_fit(identities, classifier, effort=TINY, progress=progress)
    assert [entry.size for entry in figures] == ([1, 10] if classifier == "svm" else [1, 3, 10, 30])
    assert progress.advances == count_cross_fit_galleries(identities, classifier, effort=TINY)
    for entry in figures:
        assert 0 <= entry.fpir < 0.04
        assert entry.ece < 0.05
        assert 0 < entry.brier < 0.1
        assert 0 < entry.log_loss < 0.3


def test_too_few_people_to_halve_give_no_figures() -> None:
    for identities, classifier in (
        (make_identities(20, photos=5, singles=20), "prototype"),
        (make_identities(45, photos=5), "svm"),
    ):
        assert cross_fit(identities, classifier, effort=TINY) == ()
        assert count_cross_fit_galleries(identities, classifier, effort=TINY) == 0


def test_galleries_are_counted_beforehand() -> None:
    identities = make_identities(40, 2, singles=40)
    progress = Recorder()
    fit_calibrator(identities, "prototype", None, effort=TINY, progress=progress)
    assert progress.advances == count_fit_galleries(identities, "prototype", TINY)


def test_same_seed_gives_same_figures() -> None:
    identities = make_identities(40, 3, singles=40)
    first, second, other = (cross_fit(identities, "prototype", effort=TINY, seed=seed) for seed in (1, 1, 2))
    assert first == second != other
