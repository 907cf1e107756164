"""Properties of calibrated probabilities and thresholds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.recognition.calibration.calibration import (
    RATES,
    SAMPLES,
    Calibrator,
    SizeTable,
    prior_probabilities,
    sample_spread,
    sample_weights,
    softmax,
)
from facebank.recognition.cohort import NO_CORRECTION
from facebank.recognition.scoring import CLASSIFIERS

if TYPE_CHECKING:
    from facebank.types import FloatArray

from .synthetic_calibrators import (
    calibrators,
    counts,
    embedded_calibration,
    equal_counts,
    probabilities_with_stranger,
    scores,
    sizes,
    stranger_shares,
)


@given(calibrators(), st.lists(st.tuples(scores, counts), min_size=1, max_size=10), sizes, stranger_shares)
def test_probabilities_of_candidates_and_stranger_sum_to_one(
    calibrator: Calibrator, candidates: list[tuple[float, int]], size: int, stranger_share: float
) -> None:
    row, sample_counts = [score for score, _ in candidates], [count for _, count in candidates]
    actual = probabilities_with_stranger(calibrator, row, sample_counts, size, stranger_share)
    assert ((actual >= 0) & (actual <= 1)).all()
    assert math.fsum(actual) == pytest.approx(1, abs=1e-9)


@given(calibrators(), st.lists(scores, min_size=1, max_size=6), counts, sizes, stranger_shares, st.data())
def test_denied_person_has_no_probability(
    calibrator: Calibrator, row: list[float], sample_count: int, size: int, stranger_share: float, data: st.DataObject
) -> None:
    size = max(size, len(row) + 1)
    index = data.draw(st.integers(0, len(row)))
    with_denied = [*row[:index], -math.inf, *row[index:]]
    without_denied = probabilities_with_stranger(calibrator, row, [sample_count] * len(row), size, stranger_share)
    actual = probabilities_with_stranger(
        calibrator, with_denied, [sample_count] * len(with_denied), size, stranger_share
    )
    assert actual[index] == 0
    np.testing.assert_allclose(np.delete(actual, index), without_denied, atol=1e-12)


@given(
    calibrators(), st.lists(scores, min_size=1, max_size=6), counts, sizes, stranger_shares, st.floats(0, 2), st.data()
)
def test_probability_is_monotone_in_the_scores(
    calibrator: Calibrator,
    row: list[float],
    sample_count: int,
    size: int,
    stranger_share: float,
    change: float,
    data: st.DataObject,
) -> None:
    index = data.draw(st.integers(0, len(row) - 1))
    sample_counts = [sample_count + number for number in range(len(row))]
    before = probabilities_with_stranger(calibrator, row, sample_counts, size, stranger_share)
    raised = [score + change * (column == index) for column, score in enumerate(row)]
    after = probabilities_with_stranger(calibrator, raised, sample_counts, size, stranger_share)
    assert after[index] >= before[index] - 1e-12
    others = np.delete(after, index) - np.delete(before, index)
    assert (others <= 1e-12).all()


@given(calibrators(), st.lists(scores, min_size=1, max_size=6), sizes, stranger_shares, stranger_shares)
def test_probabilities_fall_with_expected_strangers(
    calibrator: Calibrator, row: list[float], size: int, first: float, second: float
) -> None:
    low, high = sorted((first, second))
    expecting_few, expecting_many = (
        probabilities_with_stranger(calibrator, row, [1] * len(row), size, stranger_share)
        for stranger_share in (low, high)
    )
    assert (expecting_many[:-1] <= expecting_few[:-1] + 1e-12).all()
    assert expecting_many[-1] >= expecting_few[-1] - 1e-12


def test_uninformative_scores_leave_the_prior() -> None:
    flat = SizeTable(10, ((0.0, 0.0),) * 3, tuple(-0.1 * index for index in range(len(RATES))), 0.0, 0.02)
    actual = probabilities_with_stranger(Calibrator("knn", (0.0, 1.0), (flat,)), [0.9] * 10, [1] * 10, 10, 0.4)
    np.testing.assert_allclose(actual, [0.06] * 10 + [0.4])


@given(calibrators(), scores, scores, counts, sizes)
def test_equal_scores_and_samples_give_equal_probabilities(
    calibrator: Calibrator, score: float, other: float, sample_count: int, size: int
) -> None:
    first, second, _, _ = probabilities_with_stranger(calibrator, [score, score, other], [sample_count] * 3, size)
    assert first == second


@pytest.mark.parametrize("stranger_share", [0.0, 1.0, -1.0, 2.0, math.nan, math.inf])
def test_invalid_fraction_of_strangers_is_refused(stranger_share: float) -> None:
    with pytest.raises(UsageError, match="fraction of strangers"):
        probabilities_with_stranger(embedded_calibration().calibrators[0], [0.5], [1], 10, stranger_share)


@given(st.lists(st.floats(-800, 800), min_size=1, max_size=8), st.floats(-1000, 1000))
def test_softmax_sums_to_one_and_depends_on_differences_only(logits: list[float], shift: float) -> None:
    actual = softmax(np.array([logits]))
    assert actual.sum() == pytest.approx(1)
    np.testing.assert_allclose(softmax(np.array([logits]) + shift), actual, atol=1e-9)


@given(st.integers(1, 1000), stranger_shares)
def test_prior_is_uniform(size: int, stranger_share: float) -> None:
    prior = prior_probabilities(size, size, stranger_share)
    assert (prior[:-1] == prior[0]).all()
    assert prior[-1] == stranger_share
    assert prior.sum() == pytest.approx(1)


@given(calibrators(), scores, counts, st.data())
def test_evidence_interpolates_between_sizes(
    calibrator: Calibrator, score: float, sample_count: int, data: st.DataObject
) -> None:
    measured = [table.size for table in calibrator.tables]
    lower = data.draw(st.integers(0, len(measured) - 1))
    upper = min(lower + 1, len(measured) - 1)
    size = data.draw(st.integers(measured[lower], measured[upper]))
    between, low, high = (
        float(calibrator.evidence(np.array([score], np.float32), np.array([sample_count]), measured_size)[0])
        for measured_size in (size, measured[lower], measured[upper])
    )
    assert min(low, high) - 1e-9 <= between <= max(low, high) + 1e-9


@given(calibrators(), st.data())
def test_evidence_at_measured_points_is_exact(calibrator: Calibrator, data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(calibrator.tables))
    index = data.draw(st.integers(0, len(SAMPLES) - 1))
    sample_counts = np.full(len(calibrator.knots), SAMPLES[index])
    actual = calibrator.evidence(np.array(calibrator.knots), sample_counts, table.size, table.unenrolled)
    np.testing.assert_allclose(actual, table.evidence[index], atol=1e-9)


@given(calibrators(), sizes, counts, st.floats(0, 3))
def test_evidence_is_constant_beyond_the_knots(
    calibrator: Calibrator, size: int, sample_count: int, beyond: float
) -> None:
    first, last = calibrator.knots[0], calibrator.knots[-1]
    inside, outside = (
        calibrator.evidence(np.array(ends), np.array([sample_count] * 2), size)
        for ends in ([first, last], [first - beyond, last + beyond])
    )
    np.testing.assert_array_equal(inside, outside)


@given(st.integers(1, 500))
def test_interpolation_weights_of_sample_counts_sum_to_one(sample_count: int) -> None:
    actual = sample_weights(np.array([sample_count]))[:, 0]
    assert actual.sum() == pytest.approx(1)
    assert (actual >= 0).all()
    assert (actual > 1e-12).sum() <= 2
    if sample_count in SAMPLES:
        assert actual[SAMPLES.index(sample_count)] == pytest.approx(1)
    if sample_count > SAMPLES[-1]:
        assert actual[-1] == pytest.approx(1)


def test_five_hundred_samples_count_like_five() -> None:
    assert sample_spread(np.array([500, 1])) == sample_spread(np.array([5, 1]))


@given(calibrators(), counts, st.floats(RATES[0], RATES[-1]), st.floats(RATES[0], RATES[-1]), st.data())
def test_threshold_never_rises_with_the_allowed_rate(
    calibrator: Calibrator, sample_count: int, first: float, second: float, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, calibrator.tables[-1].size))
    low, high = sorted((first, second))
    people = equal_counts(size, sample_count)
    assert calibrator.threshold(people, high) <= calibrator.threshold(people, low) + 1e-9


@given(calibrators(), counts, sizes, sizes, st.floats(RATES[0], RATES[-1]))
def test_uncorrected_threshold_never_falls_with_gallery_size(
    calibrator: Calibrator, sample_count: int, first: int, second: int, fpir: float
) -> None:
    calibrator = replace(calibrator, correction=NO_CORRECTION)
    small, large = sorted((first, second))
    at_small, at_large = (calibrator.threshold(equal_counts(size, sample_count), fpir) for size in (small, large))
    assert at_large >= at_small - 1e-9


@given(calibrators(), st.sampled_from(RATES))
def test_thresholds_of_the_smallest_size_are_exact(calibrator: Calibrator, fpir: float) -> None:
    smallest = calibrator.tables[0]
    measured = smallest.thresholds[RATES.index(fpir)]
    assert calibrator.threshold(equal_counts(smallest.size), fpir) == pytest.approx(measured, abs=1e-9)


@pytest.mark.parametrize("fpir", [0.0, 0.0009, 0.21, 1.0, math.nan, -0.01])
def test_unmeasured_rate_is_refused(fpir: float) -> None:
    with pytest.raises(UsageError, match=r"0\.001 to 0\.2"):
        embedded_calibration().calibrators[0].threshold(equal_counts(10), fpir)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_embedded_thresholds_rise_with_gallery_size_and_fall_with_the_rate(classifier: str) -> None:
    calibrator = embedded_calibration().calibrator(classifier)
    if calibrator is None:
        assert classifier == "svm-rbf"  # too slow for simulations of large galleries
        return
    gallery_sizes = [1, 2, 5, 10, 50, 100, 500, 1000, 5000, 50_000]
    for sample_count in (1, 5, 50):
        table = np.array(
            [[calibrator.threshold(equal_counts(size, sample_count), fpir) for fpir in RATES] for size in gallery_sizes]
        )
        # The correction of scores grows with the gallery, so a threshold may fall slightly.
        assert (np.diff(table, axis=0) >= -0.05).all()
        assert (table[-1] > table[0]).all()
        assert (np.diff(table, axis=1) <= 0).all()
        assert ((table[:8] > 0) & (table[:8] < 0.7)).all()


def make_scores(*values: float) -> FloatArray:
    return np.array([values], dtype=np.float32)


def test_probabilities_do_not_depend_on_other_probes() -> None:
    calibrator = embedded_calibration().calibrators[0]
    rows = np.random.default_rng(0).uniform(-0.2, 0.9, (20, 10)).astype(np.float32)
    sample_counts = np.random.default_rng(1).integers(1, 9, (20, 10))
    joint = calibrator.probabilities(rows, sample_counts, 300, 0.3)
    single = [
        calibrator.probabilities(make_scores(*row), counts_of_row[None], 300, 0.3)
        for row, counts_of_row in zip(rows, sample_counts, strict=True)
    ]
    np.testing.assert_allclose(joint, np.concatenate(single))
