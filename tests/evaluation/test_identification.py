"""Figures and tables of searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.faces import FaceSet
from facebank.evaluation.identification import (
    Condition,
    calibration_figures,
    calibration_table,
    classification_report,
    confusion_matrix,
    rate_curves,
    reliability,
    reliability_counts,
    searches_table,
    strangers_table,
)
from facebank.evaluation.searches import NOBODY, Searches


def make_searches(
    shown: list[int], named: list[int], first: list[int], probabilities: list[float], uncertain: Sequence[bool] = ()
) -> Searches:
    count = len(shown)
    values = np.array(probabilities)
    return Searches(
        indices=np.arange(count),
        shown=np.array(shown),
        named=np.array(named),
        first=np.array(first),
        uncertain=np.array(uncertain or [False] * count),
        acquired=np.isfinite(values),
        similarities=values,
        probabilities=values,
    )


def make_condition(searches: Searches) -> Condition:
    count = len(searches.shown)
    photos = tuple(DatasetPhoto(f"{number}", f"P{shown}", b"") for number, shown in enumerate(searches.shown))
    faces = FaceSet(Dataset("made up", photos), (None,) * count, (0,) * count, ("",) * count, 2, ())
    return Condition("plain", "as they are", faces, searches)


OWN = [0, 0, 1, 1, NOBODY, NOBODY, NOBODY, NOBODY]
NAMED = [0, NOBODY, 0, NOBODY, NOBODY, 1, NOBODY, NOBODY]
FIRST = [0, 0, 0, NOBODY, 0, 1, 1, 1]
PROBABILITIES = [0.9, 0.4, 0.8, np.nan, 0.1, 0.9, 0.0, 0.0]


def test_figures_count_outcomes() -> None:
    condition = make_condition(make_searches(OWN, NAMED, FIRST, PROBABILITIES))
    figures = condition.figures()
    assert figures["rank_1_plain"].value == 2 / 4
    assert figures["fnir_plain"].value == 3 / 4
    assert figures["fpir_plain"].value == 1 / 4
    assert figures["failure_to_acquire_plain"].value == 1 / 8
    assert [failure.entry for failure in condition.failures] == ["3 (as they are)"]
    (row,) = searches_table([condition]).rows
    assert row[1:7] == ("4", "1", "1", "0", "1", "1")
    (row,) = strangers_table([condition]).rows
    assert row[1:] == ("4", "1", "0", "3", "0")


def test_strangers_do_not_narrow_intervals_of_enrolled_people() -> None:
    strangers = list(range(30))
    condition = make_condition(make_searches([0, 0, 1, 1], [0, 0, 1, NOBODY], [0, 0, 1, 1], [1, 1, 1, 1]))
    photos = tuple(DatasetPhoto(f"s{number}", f"S{number}", b"") for number in strangers)
    faces = replace(
        condition.faces, dataset=Dataset("more", condition.faces.dataset.photos + photos), hashes=("",) * 34
    )
    both = Searches.concatenate([condition.searches, make_searches([NOBODY] * 30, [NOBODY] * 30, [0] * 30, [0.0] * 30)])
    joined = Condition("plain", "as they are", faces, replace(both, indices=np.arange(34)))
    assert len(np.unique(joined.units)) == 34
    assert joined.figures()["fnir_plain"].interval == condition.figures()["fnir_plain"].interval


def test_correct_probabilities_have_a_brier_score_of_zero() -> None:
    right = make_searches([0, NOBODY, NOBODY, NOBODY], [0] + [NOBODY] * 3, [0] * 4, [1.0, 0.0, 0.0, 0.0])
    assert calibration_figures(right, np.arange(4))["brier"].value == pytest.approx(0)


def test_searches_are_weighted_to_the_assumed_fraction_of_strangers() -> None:
    wrong = make_searches([0, NOBODY, NOBODY, NOBODY], [0] + [NOBODY] * 3, [0] * 4, [0.0, 0.0, 0.0, 0.0])
    figures = calibration_figures(wrong, np.arange(4))
    assert figures["brier"].value == pytest.approx(0.5)
    assert figures["expected_calibration_error"].value == pytest.approx(0.5)
    assert figures["log_loss"].value > 5


def test_bins_with_ties_match_hand_computed_values() -> None:
    searches = make_searches([0, 0, NOBODY, NOBODY], [0] * 4, [0, 1, 0, 0], [0.75, 0.75, 0.25, 0.15])
    figures = calibration_figures(searches, np.arange(4))
    assert figures["expected_calibration_error"].value == pytest.approx((abs(1.5 - 1) + 0.25 + 0.15) / 4)
    assert figures["brier"].value == pytest.approx((0.25**2 + 0.75**2 + 0.25**2 + 0.15**2) / 4)


def test_searches_are_counted_by_probability() -> None:
    values = [0.95] * 12 + [0.05] * 3 + [1.0]
    count = len(values)
    searches = make_searches([0] * 8 + [NOBODY] * (count - 8), [NOBODY] * count, [0] * count, values)
    (row,) = reliability_counts([make_condition(searches)]).rows
    assert row == ("as they are", "3 (few)", *["0"] * 8, "13")


def test_figures_without_searches_are_omitted() -> None:
    condition = make_condition(make_searches([0, 0], [0, 0], [0, 0], [0.9, 0.8]))
    assert not [name for name in condition.figures() if name.startswith(("fpir", "brier"))]
    assert calibration_table([condition]).rows == ()
    assert reliability([condition]).lines == ()
    assert [line.label for line in rate_curves("t", "x", [1.0], [condition]).lines] == [
        "rank-1",
        "FNIR",
        "no face found",
    ]


def test_confusion_matrix_has_strangers_and_uncertain_answers() -> None:
    named, uncertain = [0, 1, -1, 1, 0, -1], [False, False, True, False, False, False]
    searches = make_searches([0, 0, 0, 1, -1, -1], named, named, [0.0] * 6, uncertain)
    matrix = confusion_matrix(searches, ("Ann", "Bob"), "answers")
    assert matrix.rows == ("Ann", "Bob", "nobody")
    assert matrix.columns == ("Ann", "Bob", "nobody", "uncertain")
    assert matrix.counts.tolist() == [[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0]]
    assert classification_report(matrix, "each").rows == (
        ("Ann", "50.00 %", "33.33 %", "40.00 %", "3"),
        ("Bob", "50.00 %", "100.00 %", "66.67 %", "1"),
    )


def test_no_stranger_row_without_strangers_and_no_precision_without_names() -> None:
    matrix = confusion_matrix(make_searches([0], [-1], [-1], [0.0]), ("Ann",), "answers")
    assert matrix.rows == ("Ann",)
    assert classification_report(matrix, "each").rows == (("Ann", "-", "0.00 %", "0.00 %", "1"),)
