"""Lines over axes: ROC, DET, reliability, risk and coverage, shots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.evaluation.writing.binning import finite
from facebank.evaluation.writing.style import COLOURS, GREY, first_looks, label_of, new_figure, place_legend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from facebank.evaluation.report import Curves, Line

_WIDTH, _HEIGHT, _LEGEND_ROW = 7.2, 4.6, 0.2
_FEW_POINTS = 24
_PROBIT_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
_MARKERS = "oDs^vP*X"
_SEEN_WHOLE = 0.5
_MOST_TICKS = 10
_TICK_ROOM = 0.11
_LINE_WIDTH = 1.8
_LOW_ERRORS = 0.25
_ABOVE_ZERO = 1e-12  # a band down to zero ends below every logarithmic axis
_MOST_BANDS = 3  # more of them hide each other; the table has all


def draw_curves(curves: Curves) -> Figure:
    """Draw lines, their bands and markers, with the legend below."""
    entries = len(curves.lines) + len(curves.markers)
    figure = new_figure(_WIDTH, _HEIGHT + _LEGEND_ROW * entries)
    axes = figure.add_subplot()
    axes.set_xlabel(label_of(curves.x_label, 80))
    axes.set_ylabel(label_of(curves.y_label, 60))
    x_limits, y_limits = _set_axes(axes, curves)
    handles: list[Any] = [
        _draw_line(axes, line, look, banded=_banded(curves), hidden=_alike(line, curves.lines[number + 1 :]))
        for number, (line, look) in enumerate(zip(curves.lines, first_looks(len(curves.lines)), strict=True))
    ]
    labels = [label_of(line.label) + _unseen(curves, line.x, line.y) for line in curves.lines]
    for number, (label, x, y) in enumerate(curves.markers):
        shape, colour = _MARKERS[number % len(_MARKERS)], COLOURS[-1 - number % len(COLOURS)]
        (handle,) = axes.plot([x], [y], shape, color=colour, markersize=8, markeredgecolor="white", zorder=5)
        handles.append(handle)
        labels.append(label_of(label) + _unseen(curves, np.array([x]), np.array([y])))
    if curves.diagonal:
        line = np.linspace(max(x_limits[0], y_limits[0]), min(x_limits[1], y_limits[1]), 200)
        axes.plot(line, line, color=GREY, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
    if not handles:
        axes.text(0.5, 0.5, "Nothing to show", ha="center", color=GREY, transform=axes.transAxes)
    if curves.note:
        axes.text(0.5, 0.55, curves.note, ha="center", color=GREY, transform=axes.transAxes)
    axes.set_xlim(*x_limits)
    axes.set_ylim(*y_limits)
    place_legend(figure, handles, labels)
    return figure


def _unseen(curves: Curves, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Say of what no logarithmic axis can show that it is zero."""
    hidden = (curves.x_scale == "log" and not (x > 0).any()) or (curves.y_scale == "log" and not (y > 0).any())
    return " (0, off the scale)" if hidden and x.size else ""


def _banded(curves: Curves) -> bool:
    return len(curves.lines) <= _MOST_BANDS


def _alike(line: Line, later: Sequence[Line]) -> int:
    """Return how many later lines would hide a line because they run where it does."""
    return sum(np.array_equal(line.x, one.x) and np.array_equal(line.y, one.y, equal_nan=True) for one in later)


def _draw_line(axes: Axes, line: Line, look: tuple[str, str], *, banded: bool, hidden: int) -> Line2D:
    """Draw a line, wider than those that lie upon it; an interval of one point alone as a bar."""
    colour, dash = look
    few = line.x.size <= _FEW_POINTS and line.weights is None
    width = _LINE_WIDTH + 2.5 * hidden
    marker = "o" if few else ""
    (drawn,) = axes.plot(line.x, line.y, dash, color=colour, marker=marker, markersize=2.2 + width, linewidth=width)
    if line.x.size == 1 and line.low is not None and line.high is not None:
        axes.vlines(line.x, line.low, line.high, color=colour, alpha=0.4, linewidth=_LINE_WIDTH + 5 * hidden)
    elif banded and line.low is not None and line.high is not None:
        low = np.maximum(line.low, _ABOVE_ZERO) if axes.get_yscale() == "log" else line.low
        axes.fill_between(line.x, low, line.high, color=colour, alpha=0.16, linewidth=0)
    if line.weights is not None:
        weights = np.nan_to_num(line.weights, nan=0.0)
        share = weights / max(float(weights.max(initial=0.0)), 1e-12)
        axes.scatter(line.x, line.y, s=12 + 140 * np.clip(share, 0, 1), color=colour, alpha=0.7, linewidths=0)
    return drawn


def _set_axes(axes: Axes, curves: Curves) -> tuple[tuple[float, float], tuple[float, float]]:
    across = _values([line.x for line in curves.lines], [x for _, x, _ in curves.markers])
    shown = [line for line in curves.lines if _banded(curves) or line.x.size == 1]
    bands = [band for line in shown for band in (line.low, line.high) if band is not None]
    up = _values([line.y for line in curves.lines] + bands, [y for _, _, y in curves.markers])
    if curves.x_scale == curves.y_scale == "probit" and all(map(_errs_little, curves.lines)):
        across, up = across[across <= _SEEN_WHOLE], up[up <= _SEEN_WHOLE]
    x_limits = _set_axis(axes, "x", curves.x_scale, across)
    y_limits = _set_axis(axes, "y", curves.y_scale, up)
    steps = np.unique(_values([line.x for line in curves.lines], []))
    if curves.x_scale != "probit" and 0 < steps.size <= _MOST_TICKS and all(len(f"{step:g}") <= 4 for step in steps):
        _set_ticks(axes, "x", [float(step) for step in steps], [f"{step:,g}" for step in steps])
    return x_limits, y_limits


def _errs_little(line: Line) -> bool:
    """Tell whether a DET curve comes so near to its corner that nobody looks at errors of more than a half."""
    return bool((np.maximum(line.x, line.y) <= _LOW_ERRORS).any())


def _values(arrays: list[NDArray[np.float64]], more: list[float]) -> NDArray[np.float64]:
    return finite(np.concatenate([*arrays, np.array(more, dtype=np.float64)]))


def _set_axis(axes: Axes, which: str, scale: str, values: NDArray[np.float64]) -> tuple[float, float]:
    setting = {"x": axes.set_xscale, "y": axes.set_yscale}[which]
    if scale == "probit":
        from scipy.special import ndtr, ndtri

        limits = _probit_limits(values)
        setting("function", functions=(lambda share: ndtri(np.clip(share, 1e-12, 1 - 1e-12)), ndtr))
        ticks = _spaced([tick for tick in _PROBIT_TICKS if limits[0] <= tick <= limits[1]], *ndtri(limits))
        _set_ticks(axes, which, ticks, [f"{100 * tick:.10g} %" for tick in ticks])
        return limits
    if scale == "log":
        setting("log", nonpositive="mask")
        return _set_log(axes, which, values)
    return _linear_limits(values)


def _set_ticks(axes: Axes, which: str, ticks: list[float], labels: list[str]) -> None:
    from matplotlib.ticker import NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, labels=labels)
    axis.set_minor_locator(NullLocator())


def _spaced(ticks: list[float], low: float, high: float) -> list[float]:
    """Return those ticks of a probit axis whose labels have room."""
    from scipy.special import ndtri

    kept: list[float] = []
    for tick in reversed(ticks):
        if not kept or float(ndtri(kept[-1]) - ndtri(tick)) >= _TICK_ROOM * (high - low):
            kept.append(tick)
    return kept[::-1]


def _probit_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    inside = values[(values > 0) & (values < 1)]
    if not inside.size:
        return 1e-3, _SEEN_WHOLE
    low = max(1e-6, float(inside.min()) / 1.5)
    high = min(0.999, max(float(inside.max()) * 1.2, 20 * low))
    return (low, high) if low < high else (1e-3, _SEEN_WHOLE)


def _set_log(axes: Axes, which: str, values: NDArray[np.float64]) -> tuple[float, float]:
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (0.1, 1.0)
    first, last = int(np.floor(np.log10(low) + 1e-9)), int(np.ceil(np.log10(high) - 1e-9))
    if high / low >= 10:
        ticks = [10.0**power for power in range(first, last + 1)]
    else:
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    share = high <= 1
    _set_ticks(axes, which, ticks, [f"{100 * tick:.10g} %" if share else f"{tick:,.10g}" for tick in ticks])
    return low / 1.15, high * 1.15


def _linear_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    # Shares are shown from 0 to 1 where they take most of that room: nobody should mistake a detail for the whole.
    if low >= 0 and high <= 1 and high - low >= _SEEN_WHOLE:
        return -0.02, 1.02
    edge = 0.06 * (high - low) or 0.05 * max(1.0, abs(high))
    if low >= 0 and high <= 1:
        # No share is more than 1: what is there is only room for the line.
        return max(low - edge, -0.1 * edge), min(high + edge, 1 + 0.1 * edge)
    return low - edge, high + edge
