"""Error rates match hand counts, and curves match scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from facebank.errors import UsageError
from facebank.evaluation.curves import Comparisons, ErrorCurve, add_band, equal_error_rate, risk_coverage
from facebank.evaluation.figures import format_number
from facebank.evaluation.report.wording import value_of
from facebank.evaluation.verification import area_under_roc, error_curves, pair_difference


def make_comparisons(mated: list[float], non_mated: list[float]) -> Comparisons:
    values = np.array([*mated, *non_mated])
    same = np.arange(len(values)) < len(mated)
    first = np.arange(len(values))
    return Comparisons(values, same, first, np.where(same, first, first + 1000))


def draw_comparisons(count: int = 400, seed: int = 0) -> Comparisons:
    random = np.random.default_rng(seed)
    return make_comparisons(list(random.normal(0.6, 0.15, count)), list(random.normal(0.1, 0.15, 2 * count)))


def test_rates_at_a_threshold_are_counted() -> None:
    comparisons = make_comparisons([0.9, 0.5, 0.2, np.nan], [0.1, 0.3, 0.6, np.nan])
    assert comparisons.fmr(0.4).value == 0.25
    assert comparisons.fnmr(0.4).value == 0.5
    assert comparisons.fmr(0.3).events == 2


def test_missing_face_is_a_false_non_match_and_never_a_match() -> None:
    comparisons = make_comparisons([np.nan] * 3, [np.nan] * 2)
    assert comparisons.fnmr(-1.0).value == 1
    assert comparisons.fmr(-1.0).value == 0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_threshold_passes_no_more_false_matches_than_requested(non_mated: list[float], fmr: float) -> None:
    comparisons = make_comparisons([0.5], non_mated)
    threshold = comparisons.threshold_at(fmr)
    assert np.mean(np.array(non_mated) >= threshold) <= fmr
    # A lower threshold would pass too many.
    below = [value for value in non_mated if value < threshold]
    if below and fmr < 1:
        assert np.mean(np.array(non_mated) >= max(below)) > fmr


def test_roc_and_area_match_scikit_learn() -> None:
    comparisons = draw_comparisons()
    curve = ErrorCurve.of(comparisons)
    false_match_rates, true_match_rates, _ = roc_curve(
        comparisons.same, comparisons.similarities, drop_intermediate=False
    )
    assert curve.area_under_roc == pytest.approx(roc_auc_score(comparisons.same, comparisons.similarities))
    assert np.allclose(curve.fmr[::-1], false_match_rates)
    assert np.allclose(1 - curve.fnmr[::-1], true_match_rates)


def test_rates_rise_and_fall_with_the_threshold() -> None:
    curve = ErrorCurve.of(draw_comparisons())
    assert (np.diff(curve.fmr) <= 0).all()
    assert (np.diff(curve.fnmr) >= 0).all()
    assert (curve.fmr[0], curve.fnmr[0], curve.fmr[-1], curve.fnmr[-1]) == (1, 0, 0, 1)


def test_equal_error_rate_matches_two_normal_distributions() -> None:
    figure = equal_error_rate(draw_comparisons(4000))
    assert figure.value == pytest.approx(0.0478, abs=0.006)  # the normal distribution beyond 0.25 / 0.15 deviations
    assert figure.interval is not None
    assert figure.interval[0] < figure.value < figure.interval[1]
    assert figure.descriptive


def test_shuffled_labels_give_chance() -> None:
    random = np.random.default_rng(1)
    comparisons = draw_comparisons()
    shuffled = Comparisons(
        comparisons.similarities, random.permutation(comparisons.same), comparisons.first, comparisons.second
    )
    assert ErrorCurve.of(shuffled).equal_error_rate == pytest.approx(0.5, abs=0.06)


def test_thinned_curve_keeps_its_ends_and_shape() -> None:
    curve = ErrorCurve.of(draw_comparisons(20_000))
    line = curve.det("all")
    assert len(line.x) <= 402
    assert (line.x.max(), line.y.max()) == (1, 1)
    thinned, exact = (float(np.interp(0.01, x[::-1], y[::-1])) for x, y in ((line.x, line.y), (curve.fmr, curve.fnmr)))
    assert thinned == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("same", [True, False])
def test_pairs_of_one_kind_have_no_error_rates(same: bool) -> None:
    with pytest.raises(UsageError, match="pairs of one person and pairs of different people"):
        make_comparisons([0.5] if same else [], [] if same else [0.5])


def separated_comparisons() -> Comparisons:
    return make_comparisons(list(np.linspace(0.6, 0.9, 300)), list(np.linspace(-0.1, 0.3, 300)))


def test_rates_without_errors_are_insufficient_and_bounded() -> None:
    separated = separated_comparisons()
    figure = equal_error_rate(separated)
    assert (figure.value, figure.insufficient) == (0, True)
    assert figure.interval is not None
    assert figure.interval[1] == pytest.approx(3 / 300)
    assert area_under_roc(separated).insufficient
    assert not equal_error_rate(draw_comparisons(4000)).insufficient


def test_curve_without_errors_is_marked_with_its_bounds() -> None:
    det, _ = error_curves((("pairs", separated_comparisons()),), 0.5)
    bounds = [marker for marker in det.markers if marker[0].startswith("no errors at 300 and 300 pairs")]
    assert bounds[0][1] == bounds[0][2] == pytest.approx(0.01)
    assert "no error" in det.note
    assert not error_curves((("pairs", draw_comparisons()),), 0.5)[0].note


def test_band_contains_the_curve_and_narrows_with_more_pairs() -> None:
    widths = []
    for count in (200, 2000):
        comparisons = draw_comparisons(count)
        line = add_band(ErrorCurve.of(comparisons).det("pairs"), comparisons)
        assert line.low is not None
        assert line.high is not None
        finite = np.isfinite(line.low)
        assert (line.low[finite] <= line.y[finite]).all()
        assert (line.y[finite] <= line.high[finite]).all()
        assert not finite[line.x < 1 / (2 * count)].any()
        middle = int(np.argmin(np.abs(line.x - 0.1)))
        widths.append(line.high[middle] - line.low[middle])
    # The band is four standard errors wide; with ten times as many pairs it is a third as wide.
    assert widths[1] == pytest.approx(widths[0] / np.sqrt(10), rel=0.5)


def test_differences_of_rates_are_in_percentage_points() -> None:
    ours, theirs = np.zeros(20_000), np.zeros(20_000)
    ours[:2] = 1
    people = np.arange(20_000)
    figure = pair_difference(ours, theirs, people, people)
    assert str(figure).startswith("+0.01 [")
    assert str(figure).endswith(" points (insufficient)")
    assert value_of(figure) == "+0.01 points (insufficient)"


@pytest.mark.parametrize(
    ("value", "text"), [(8.711e-05, "0.000087"), (1.234e-8, "0.000000012"), (0.5, "0.5"), (1234.5, "1234")]
)
def test_numbers_are_formatted_without_exponents(value: float, text: str) -> None:
    assert format_number(value) == text


def test_most_certain_answers_come_first() -> None:
    curve = risk_coverage(np.array([0.1, 0.9, np.nan, 0.5]), np.array([True, False, True, False]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.area == pytest.approx((1 / 3 + 1 / 2) / 4)


def test_order_of_equally_certain_answers_does_not_matter() -> None:
    assert risk_coverage(np.full(4, 0.5), np.array([True, True, False, False])).risk == pytest.approx([0.5] * 4)


def test_no_answers_are_an_error() -> None:
    with pytest.raises(UsageError, match="at least one answer"):
        risk_coverage(np.empty(0), np.empty(0, dtype=bool))
