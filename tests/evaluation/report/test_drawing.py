"""Axes, ticks and contents of plots, read from the figure before it is encoded."""

from __future__ import annotations

import sys
from io import BytesIO
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facebank.evaluation.report import Curves, Histogram, Line, Matrix, Report, drawing
from facebank.evaluation.report.drawing import draw, draw_curves, draw_histogram, draw_matrix, plot_style
from facebank.evaluation.report.model import bin_values

FRACTIONS = np.array([1e-4, 1e-3, 0.01, 0.1, 0.4])


def confusions(people: int) -> Matrix:
    counts = np.diag(np.full(people, 9)).astype(np.int64)
    counts[0, 1] = 4
    names = tuple(f"person {number}" for number in range(people))
    return Matrix("Confusions", names, names, counts)


def test_det_curve_has_probit_axes_in_percent(curves: Curves) -> None:
    axes = draw_curves(curves).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("FMR", "FNMR")
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert {"0.1 %", "1 %", "5 %"} & set(labels)
    assert all(label.endswith(" %") for label in labels)
    transform = axes.transData.transform
    middle, left, right = (transform((fraction, 0.1))[0] for fraction in (0.5, 0.1, 0.9))
    assert right - middle == pytest.approx(middle - left)


def test_log_axes_of_rates_are_in_percent_and_others_plain() -> None:
    people = np.array([10, 100, 1000.0])
    rate_axes = draw_curves(Curves("ROC", "FMR", "TAR", (Line("a", FRACTIONS, 1 - FRACTIONS),), "log")).axes[0]
    plain_axes = draw_curves(Curves("Size", "People", "FNIR", (Line("a", people, people / 1e5),), "log")).axes[0]
    assert rate_axes.get_xscale() == plain_axes.get_xscale() == "log"
    assert "0.1 %" in [label.get_text() for label in rate_axes.get_xticklabels()]
    assert [label.get_text() for label in plain_axes.get_xticklabels()] == ["10", "100", "1,000"]


def test_values_missing_from_a_log_axis_are_noted() -> None:
    x = np.array([0.01, 0.1])
    lines = (Line("some", x, x), Line("none", x, np.zeros(2)))
    figure = draw_curves(Curves("c", "x", "y", lines, "log", "log", markers=(("here", 0.1, 0.0),)))
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["some", "none (0, off the scale)", "here (0, off the scale)"]


def test_good_det_curve_shows_the_corner_and_bad_one_everything() -> None:
    x = np.linspace(1e-4, 1 - 1e-4, 500)
    good, bad = (Curves("DET", "FMR", "FNMR", (Line("a", x, y),), "probit", "probit") for y in (1e-3 / x, 1 - x))
    assert max(draw_curves(good).axes[0].get_xlim()) <= 0.6
    assert max(draw_curves(bad).axes[0].get_xlim()) > 0.99


def test_overlapping_lines_are_all_visible() -> None:
    x, ones = np.array([1.0, 5, 10]), np.ones(3)
    lines = (Line("a", x, ones), Line("b", x, ones), Line("c", x, ones / 2))
    drawn = draw_curves(Curves("Shots", "photos", "share", lines)).axes[0].lines
    widths = [line.get_linewidth() for line in drawn]
    assert widths[0] > widths[1] == widths[2]


def test_axes_of_rates_end_at_one() -> None:
    line = Line("a", np.array([1.0, 5, 10]), np.ones(3))
    low, high = draw_curves(Curves("Shots", "photos", "share", (line,))).axes[0].get_ylim()
    assert low < 1 < high < 1.01


def test_interval_of_a_single_point_is_drawn() -> None:
    x = np.array([10.0])
    plot = Curves("Size", "people", "share", (Line("a", x, x / 100, x / 200, x / 50),), "log")
    (bar,) = draw_curves(plot).axes[0].collections
    (path,) = bar.get_paths()
    assert np.asarray(path.vertices)[:, 1].tolist() == [0.05, 0.2]


def test_few_steps_are_used_as_ticks() -> None:
    shots = np.array([1, 2, 3, 5, 10, 20.0])
    axes = draw_curves(Curves("Shots", "Photos", "Rank-1", (Line("svm", shots, 1 - 0.1 / shots),))).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3", "5", "10", "20"]


def test_diagonal_band_and_markers_are_drawn(curves: Curves) -> None:
    plain = Curves("R", "x", "y", (Line("a", FRACTIONS, FRACTIONS, FRACTIONS - 0.01, FRACTIONS + 0.01),), diagonal=True)
    axes = draw_curves(plain).axes[0]
    assert len(axes.lines) == 2
    assert np.array_equal(axes.lines[1].get_xdata(), axes.lines[1].get_ydata())
    assert len(axes.collections) == 1
    legend = draw_curves(curves).legends[0]
    assert len(legend.get_texts()) == 2
    assert legend.get_texts()[1].get_text() == "Shipped threshold"


def test_no_label_is_cut(curves: Curves) -> None:
    with plot_style():
        figure = draw_curves(curves)
        figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    with plot_style():
        box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= width + 1
    assert box.y1 <= height + 1


def test_matrices_show_counts_colors_or_confusions_by_size() -> None:
    assert [text.get_text() for text in draw_matrix(confusions(3)).axes[0].texts] == ["9", "4", "9", "9"]
    assert len(draw_matrix(confusions(40)).axes[0].texts) == 41
    assert not draw_matrix(confusions(41)).axes[0].texts
    bars = draw_matrix(confusions(300)).axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["person 0 → person 1"]


def test_histogram_counts_every_number_once() -> None:
    values = np.array([0.1, 0.2, 0.9, np.nan, np.inf])
    histogram = Histogram("H", "Similarity", (("a", values), ("b", values[:1])))
    edges, groups = bin_values(histogram)
    assert [(label, counts.sum()) for label, counts in groups] == [("a", 3), ("b", 1)]
    assert (edges[0], edges[-1]) == (0.1, 0.9)
    axes = draw_histogram(histogram).axes[0]
    assert axes.get_xlabel() == "Similarity"
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize("values", [np.empty(0), np.full(5, 0.3), np.array([np.nan])])
def test_histogram_without_distinct_values_is_drawn(values: NDArray[np.float64]) -> None:
    assert draw(Histogram("H", "x", (("a", values),))).data


def test_every_picture_is_reproducible_and_well_formed(report: Report) -> None:
    drawn = [item for item in report.sections[0].items if isinstance(item, (Curves, Matrix, Histogram))]
    assert len(drawn) == 5
    for item in drawn:
        picture = draw(item)
        assert picture == draw(item)
        assert picture.media_type == "image/svg+xml"
        assert ET.fromstring(picture.data).tag.endswith("svg")
        assert b"<dc:date" not in picture.data


def test_large_picture_is_a_png(curves: Curves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_MAX_SVG", 100)
    picture = draw(curves)
    assert picture.media_type == "image/png"
    assert Image.open(BytesIO(picture.data)).width > 800


def test_user_settings_of_matplotlib_are_neither_used_nor_changed(curves: Curves) -> None:
    import matplotlib as mpl

    before = draw(curves)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert draw(curves) == before
        assert mpl.rcParams["font.size"] == 30
    assert "matplotlib.pyplot" not in sys.modules
