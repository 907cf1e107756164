"""Text for figures, and explanations of the terms that occur."""

from __future__ import annotations

import numpy as np
import pytest

from facebank.evaluation.figures import Figure, FigureKind
from facebank.evaluation.report import Curves, Line, Matrix
from facebank.evaluation.report.model import top_confusions
from facebank.evaluation.report.rendering import escape_markdown
from facebank.evaluation.report.wording import (
    as_table,
    count_of,
    figure_title,
    interval_of,
    number,
    percent,
    similarity,
    terms_of,
    value_of,
)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("fnir_at_fpir_0.01", "FNIR at FPIR 0.01"),
        ("rank_1", "Rank-1"),
        ("rank_1_5_knn", "Rank-1 knn, 5 enrolled"),
        ("fnir_5_at_fpir_1e-2", "FNIR at FPIR 1e-2, 5 enrolled"),
        ("fnir_among_100", "FNIR among 100"),
        ("twin_fmr", "Twin FMR"),
        ("two_class_accuracy_at_coverage_70_4", "Two-class accuracy at coverage 70, 4 enrolled"),
        ("fpir_4_among_20", "FPIR among 20 others, 4 enrolled"),
        ("absent_sibling_named_and_probable_3", "Absent sibling named and probable, 3 enrolled"),
        ("chartered", "Chartered"),
    ],
)
def test_names_of_figures_are_readable(name: str, title: str) -> None:
    assert figure_title(name) == title


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0.00 %"), (1, "100.00 %"), (0.00045, "0.045 %"), (1.234e-6, "0.00012 %"), (0.0123, "1.23 %")],
)
def test_small_rates_are_not_rounded_to_zero(fraction: float, text: str) -> None:
    assert percent(fraction) == text


def test_numbers_intervals_and_counts_are_worded() -> None:
    assert [number(value) for value in (5749, 0.36312, -2, float("nan"))] == ["5,749", "0.3631", "-2", "none"]
    figure = Figure(0.0, (0, 0.003), 1000, 0)
    assert value_of(figure) == "0.00 % (insufficient)"
    assert interval_of(figure) == "0.00 % to 0.30 %"
    assert count_of(figure) == "0 of 1,000"
    assert value_of(Figure(float("inf"), kind=FigureKind.NUMBER)) == "not measurable"


def test_similarities_have_three_decimals() -> None:
    assert [similarity(value) for value in (0.43, 0.45361, float("nan"))] == ["0.430", "0.454", "none"]


def test_lines_with_the_same_steps_share_a_table() -> None:
    shots = np.array([1.0, 5])
    table = as_table(Curves("Shots", "k", "Rank-1", (Line("knn", shots, shots / 10), Line("svm", shots, shots / 5))))
    assert table.headings == ("k", "knn", "svm")
    assert table.rows == (("1", "0.1", "0.2"), ("5", "0.5", "1"))


def test_long_lines_are_sampled_including_both_ends() -> None:
    x = np.linspace(0, 1, 1000)
    rows = as_table(Curves("C", "x", "y", (Line("a", x, x),))).rows
    assert len(rows) == 9
    assert (rows[0][1], rows[-1][1]) == ("0", "1")


def test_confusions_are_sorted_without_right_answers() -> None:
    matrix = Matrix("M", ("b", "a"), ("a", "b", "nobody"), np.array([[1, 9, 2], [9, 5, 0]]))
    assert top_confusions(matrix, 2) == [(1, 1), (0, 2)]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a_b", "a_b"),
        ("_a_", r"\_a\_"),
        ("# x", r"\# x"),
        ("1. x", r"1\. x"),
        ("0.5", "0.5"),
        ("-0.5", "-0.5"),
        ("- x", r"\- x"),
        ("[a](b)", r"\[a\](b)"),
        ("a\nb", r"a\\nb"),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_markdown_is_escaped(text: str, markdown: str) -> None:
    assert escape_markdown(text) == markdown


def list_terms(*texts: str) -> list[str]:
    return [term for term, _ in terms_of(texts).rows]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("FNMR at FMR 1e-3", "FNMR, false non-match rate"),
        ("FNMR at FMR 1e-3", "FMR, false match rate"),
        ("TAR at FAR 1e-2", "TAR at FAR"),
        ("EER", "EER, equal error rate"),
        ("Equal error rate shuffled labels", "EER, equal error rate"),
        ("false match rate", "FMR, false match rate"),
        ("False non-match rate (descriptive)", "FNMR, false non-match rate"),
        ("true match rate", "TAR at FAR"),
        ("ROC", "ROC curve"),
        ("Rank-1, 5 enrolled", "Rank-1"),
        ("Failure to acquire", "FTA, failure to acquire"),
        ("Brier, 1 enrolled", "Brier score"),
        ("Expected calibration error, 1 enrolled", "ECE, expected calibration error"),
        ("99.53 % ± 0.12 % (standard error)", "Standard error"),
        ("risk over coverage", "Risk and coverage"),
        ("0.3 % (insufficient)", "Insufficient"),
    ],
)
def test_terms_that_occur_are_explained(text: str, term: str) -> None:
    assert term in list_terms("Some other words.", text)


def test_terms_that_do_not_occur_are_not_explained() -> None:
    assert list_terms("Five people were enrolled, and all were found.") == []
    assert list_terms("The word DETAIL and the name ROCKY are no terms, nor is FARMER.") == []


def test_each_term_is_explained_once() -> None:
    terms = list_terms("FNIR, FNIR and FPIR; similarity, similarities")
    assert len(terms) == len(set(terms)) == 3
