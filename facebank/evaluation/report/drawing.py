"""Deterministic drawing of curves, matrices and histograms: equal items give equal bytes."""

from __future__ import annotations

import base64
import textwrap
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice, product
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.evaluation.report.model import MAX_BANDS, Curves, Histogram, Matrix, bin_values, finite, top_confusions
from facebank.storage.paths import set_matplotlib_cache
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

    from facebank.evaluation.report.model import Line

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Palette of Okabe and Ito, "Color Universal Design", 2008, without yellow, which is hard to see on white."""
_DASHES = ("-", "--", ":", "-.")
_GRAY = "#666666"
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "facebank",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRAY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.color": _GRAY,
    "ytick.color": _GRAY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "legend.frameon": False,
    "path.simplify": True,
}

_MAX_SVG = 300_000
_DOTS_PER_INCH = 160
_WRAP = 46
_MARGIN = 0.12
_WIDTH, _HEIGHT, _LEGEND_ROW = 7.2, 4.6, 0.2
_LINE_WIDTH = 1.8
_FEW_POINTS = 24

_MARKERS = "oDs^vP*X"
_PROBIT_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
_TICK_ROOM = 0.11
_MAX_TICKS = 10
_FULL_RANGE = 0.5
_LOW_ERRORS = 0.25
_ABOVE_ZERO = 1e-12  # stands for 0 on logarithmic axes
_MAX_COUNTS, _MAX_CELLS, _MAX_BARS = 40, 120, 20
_DARK = 0.36


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file (``image/svg+xml`` or ``image/png``) with its alternative text."""

    data: bytes
    media_type: str
    description: str

    @property
    def url(self) -> str:
        """The image as a ``data:`` URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


def draw(item: Curves | Matrix | Histogram) -> Picture:
    """Return an item of a report drawn as SVG, or as PNG if the SVG exceeds 300,000 bytes."""
    with plot_style():
        match item:
            case Curves():
                figure = draw_curves(item)
            case Matrix():
                figure = draw_matrix(item)
            case Histogram():
                figure = draw_histogram(item)
        data, media_type = _encode(figure, "svg"), "image/svg+xml"
        if len(data) > _MAX_SVG:
            data, media_type = _encode(figure, "png"), "image/png"
    return Picture(data, media_type, _alternative_text(item))


def _encode(figure: Figure, file_format: str) -> bytes:
    omitted = ("Date", "Creator", "Format", "Type") if file_format == "svg" else ("Software",)
    buffer = BytesIO()
    figure.savefig(buffer, format=file_format, dpi=_DOTS_PER_INCH, metadata=dict.fromkeys(omitted))
    return buffer.getvalue()


def _alternative_text(item: Curves | Matrix | Histogram) -> str:
    if isinstance(item, Curves):
        names = ", ".join(line.label for line in item.lines)
        text = f"Plot “{item.title}”: {item.y_label} over {item.x_label}; {names}."
    elif isinstance(item, Matrix):
        text = f"Confusion matrix “{item.title}” of {len(item.rows)} people."
    else:
        names = ", ".join(label for label, _ in item.groups)
        text = f"Histogram “{item.title}” of {item.x_label}; {names}."
    return printable(text)


@contextmanager
def plot_style() -> Iterator[None]:
    """Apply the style of all plots, independent of the user's Matplotlib settings, and restore these afterwards."""
    set_matplotlib_cache()
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams
        settings.update(_STYLE)
        # Glyphs that the font lacks are drawn as boxes; the table below the plot has the full names.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support", category=UserWarning)
        yield


def _label(text: str, width: int = _WRAP) -> str:
    """Return a printable, wrapped label, without the leading underscore that would hide it from legends."""
    lines = textwrap.wrap(printable(text), width) or [" "]
    return "\n".join(lines) if lines[0][0] != "_" else " " + "\n".join(lines)


def _shorten(text: str, width: int = 28) -> str:
    plain = printable(text)
    return plain if len(plain) <= width else plain[: width - 1] + "…"


def _line_styles(count: int) -> list[tuple[str, str]]:
    """Return a color and a dash style for each of `count` lines, repeating as late as possible."""
    distinct = [(color, dash) for dash, color in product(_DASHES, _COLORS)]
    return list(islice(cycle(distinct), count))


def _new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (sides in inches) without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=_MARGIN, h_pad=_MARGIN))
    FigureCanvasAgg(figure)
    return figure


def _place_legend(figure: Figure, handles: list[Any], labels: list[str]) -> None:
    """Add a legend below the plot, in as many columns as fit."""
    if labels:
        width = max(len(line) for label in labels for line in label.split("\n"))
        columns = max(1, min(len(labels), 88 // (width + 8)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)


def draw_curves(curves: Curves) -> Figure:
    """Return a plot of lines with their bands and markers, and the legend below."""
    entries = len(curves.lines) + len(curves.markers)
    figure = _new_figure(_WIDTH, _HEIGHT + _LEGEND_ROW * entries)
    axes = figure.add_subplot()
    axes.set_xlabel(_label(curves.x_label, 80))
    axes.set_ylabel(_label(curves.y_label, 60))
    x_limits, y_limits = _set_axes(axes, curves)
    handles: list[Any] = [
        _draw_line(
            axes, line, style, has_bands=_has_bands(curves), equal_count=_count_equal(line, curves.lines[number + 1 :])
        )
        for number, (line, style) in enumerate(zip(curves.lines, _line_styles(len(curves.lines)), strict=True))
    ]
    labels = [_label(line.label) + _zero_note(curves, line.x, line.y) for line in curves.lines]
    for number, (label, x, y) in enumerate(curves.markers):
        shape, color = _MARKERS[number % len(_MARKERS)], _COLORS[-1 - number % len(_COLORS)]
        (handle,) = axes.plot([x], [y], shape, color=color, markersize=8, markeredgecolor="white", zorder=5)
        handles.append(handle)
        labels.append(_label(label) + _zero_note(curves, np.array([x]), np.array([y])))
    if curves.diagonal:
        line = np.linspace(max(x_limits[0], y_limits[0]), min(x_limits[1], y_limits[1]), 200)
        axes.plot(line, line, color=_GRAY, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
    if not handles:
        axes.text(0.5, 0.5, "Nothing to show", ha="center", color=_GRAY, transform=axes.transAxes)
    if curves.note:
        axes.text(0.5, 0.55, curves.note, ha="center", color=_GRAY, transform=axes.transAxes)
    axes.set_xlim(*x_limits)
    axes.set_ylim(*y_limits)
    _place_legend(figure, handles, labels)
    return figure


def _zero_note(curves: Curves, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Return a legend note for lines whose values are all 0, which logarithmic axes cannot show."""
    is_hidden = (curves.x_scale == "log" and not (x > 0).any()) or (curves.y_scale == "log" and not (y > 0).any())
    return " (0, off the scale)" if is_hidden and x.size else ""


def _has_bands(curves: Curves) -> bool:
    return len(curves.lines) <= MAX_BANDS


def _count_equal(line: Line, later: Sequence[Line]) -> int:
    """Return the number of later lines that are equal to `line` and would hide it."""
    return sum(np.array_equal(line.x, other.x) and np.array_equal(line.y, other.y, equal_nan=True) for other in later)


def _draw_line(axes: Axes, line: Line, style: tuple[str, str], *, has_bands: bool, equal_count: int) -> Line2D:
    """Draw a line, wider than the `equal_count` equal ones on top of it; a single point gets its interval as a bar."""
    color, dash = style
    has_few_points = line.x.size <= _FEW_POINTS and line.weights is None
    width = _LINE_WIDTH + 2.5 * equal_count
    marker = "o" if has_few_points else ""
    (drawn,) = axes.plot(line.x, line.y, dash, color=color, marker=marker, markersize=2.2 + width, linewidth=width)
    if line.x.size == 1 and line.low is not None and line.high is not None:
        axes.vlines(line.x, line.low, line.high, color=color, alpha=0.4, linewidth=_LINE_WIDTH + 5 * equal_count)
    elif has_bands and line.low is not None and line.high is not None:
        low = np.maximum(line.low, _ABOVE_ZERO) if axes.get_yscale() == "log" else line.low
        axes.fill_between(line.x, low, line.high, color=color, alpha=0.16, linewidth=0)
    if line.weights is not None:
        weights = np.nan_to_num(line.weights, nan=0.0)
        fraction = weights / max(float(weights.max(initial=0.0)), 1e-12)
        axes.scatter(line.x, line.y, s=12 + 140 * np.clip(fraction, 0, 1), color=color, alpha=0.7, linewidths=0)
    return drawn


def _set_axes(axes: Axes, curves: Curves) -> tuple[tuple[float, float], tuple[float, float]]:
    x_values = _values([line.x for line in curves.lines], [x for _, x, _ in curves.markers])
    banded = [line for line in curves.lines if _has_bands(curves) or line.x.size == 1]
    bands = [band for line in banded for band in (line.low, line.high) if band is not None]
    y_values = _values([line.y for line in curves.lines] + bands, [y for _, _, y in curves.markers])
    if curves.x_scale == curves.y_scale == "probit" and all(map(_is_low_error, curves.lines)):
        x_values, y_values = x_values[x_values <= _FULL_RANGE], y_values[y_values <= _FULL_RANGE]
    x_limits = _set_axis(axes, "x", curves.x_scale, x_values)
    y_limits = _set_axis(axes, "y", curves.y_scale, y_values)
    steps = np.unique(_values([line.x for line in curves.lines], []))
    if curves.x_scale != "probit" and 0 < steps.size <= _MAX_TICKS and all(len(f"{step:g}") <= 4 for step in steps):
        _set_ticks(axes, "x", [float(step) for step in steps], [f"{step:,g}" for step in steps])
    return x_limits, y_limits


def _is_low_error(line: Line) -> bool:
    """Return whether a DET curve comes near enough to the origin to clip the plot at error rates of 0.5."""
    return bool((np.maximum(line.x, line.y) <= _LOW_ERRORS).any())


def _values(arrays: list[NDArray[np.float64]], more: list[float]) -> NDArray[np.float64]:
    return finite(np.concatenate([*arrays, np.array(more, dtype=np.float64)]))


def _set_axis(axes: Axes, axis_name: str, scale: str, values: NDArray[np.float64]) -> tuple[float, float]:
    setting = {"x": axes.set_xscale, "y": axes.set_yscale}[axis_name]
    if scale == "probit":
        from scipy.special import ndtr, ndtri

        limits = _probit_limits(values)
        setting("function", functions=(lambda fraction: ndtri(np.clip(fraction, 1e-12, 1 - 1e-12)), ndtr))
        ticks = _space_ticks([tick for tick in _PROBIT_TICKS if limits[0] <= tick <= limits[1]], *ndtri(limits))
        _set_ticks(axes, axis_name, ticks, [f"{100 * tick:.10g} %" for tick in ticks])
        return limits
    if scale == "log":
        setting("log", nonpositive="mask")
        return _set_log(axes, axis_name, values)
    return _linear_limits(values)


def _set_ticks(axes: Axes, axis_name: str, ticks: list[float], labels: list[str]) -> None:
    from matplotlib.ticker import NullLocator

    axis = axes.xaxis if axis_name == "x" else axes.yaxis
    axis.set_ticks(ticks, labels=labels)
    axis.set_minor_locator(NullLocator())


def _space_ticks(ticks: list[float], low: float, high: float) -> list[float]:
    """Return the ticks of a probit axis whose labels do not overlap."""
    from scipy.special import ndtri

    spaced: list[float] = []
    for tick in reversed(ticks):
        if not spaced or float(ndtri(spaced[-1]) - ndtri(tick)) >= _TICK_ROOM * (high - low):
            spaced.append(tick)
    return spaced[::-1]


def _probit_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    inside = values[(values > 0) & (values < 1)]
    if not inside.size:
        return 1e-3, _FULL_RANGE
    low = max(1e-6, float(inside.min()) / 1.5)
    high = min(0.999, max(float(inside.max()) * 1.2, 20 * low))
    return (low, high) if low < high else (1e-3, _FULL_RANGE)


def _set_log(axes: Axes, axis_name: str, values: NDArray[np.float64]) -> tuple[float, float]:
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if positive.size else (0.1, 1.0)
    first, last = int(np.floor(np.log10(low) + 1e-9)), int(np.ceil(np.log10(high) - 1e-9))
    if high / low >= 10:
        ticks = [10.0**power for power in range(first, last + 1)]
    else:
        ticks = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
    is_fraction = high <= 1
    _set_ticks(axes, axis_name, ticks, [f"{100 * tick:.10g} %" if is_fraction else f"{tick:,.10g}" for tick in ticks])
    return low / 1.15, high * 1.15


def _linear_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    # Fractions that span most of 0..1 get the full axis, because a detail could be mistaken for the whole.
    if low >= 0 and high <= 1 and high - low >= _FULL_RANGE:
        return -0.02, 1.02
    margin = 0.06 * (high - low) or 0.05 * max(1.0, abs(high))
    if low >= 0 and high <= 1:  # beyond 0 and 1, only the width of the line needs space
        return max(low - margin, -0.1 * margin), min(high + margin, 1 + 0.1 * margin)
    return low - margin, high + margin


def draw_histogram(histogram: Histogram) -> Figure:
    """Return a plot of each group as fractions of its own size, which keeps small groups visible next to large ones."""
    figure = _new_figure(7.2, 4.0 + 0.2 * len(histogram.groups))
    axes = figure.add_subplot()
    axes.set_xlabel(_label(histogram.x_label, 80))
    axes.set_ylabel("Fraction of each group")
    axes.yaxis.set_major_formatter(lambda fraction, _: f"{100 * fraction:g} %")
    edges, groups = bin_values(histogram)
    handles: list[Any] = []
    for (_, counts), (color, dash) in zip(groups, _line_styles(len(groups)), strict=True):
        fractions = counts / max(1, int(counts.sum()))
        if edges.size:
            axes.stairs(fractions, edges, fill=True, color=color, alpha=0.22)
            handles.append(axes.stairs(fractions, edges, color=color, linestyle=dash, linewidth=1.8))
        else:
            handles.append(axes.plot([], [], dash, color=color)[0])
    axes.set_ylim(bottom=0)
    _place_legend(figure, handles, [f"{_label(label)} ({int(counts.sum()):,})" for label, counts in groups])
    return figure


def draw_matrix(matrix: Matrix) -> Figure:
    """Return a confusion matrix shaded by fraction of the row, or a plot of its most frequent confusions if large."""
    if max(matrix.counts.shape) > _MAX_CELLS or not matrix.counts.size:
        return _draw_confusions(matrix)
    from matplotlib.colors import PowerNorm

    rows, columns = matrix.counts.shape
    cell, size = _cell_size(max(rows, columns))
    label_size = max(len(_shorten(name)) for name in (*matrix.rows, *matrix.columns)) * size / 110
    figure = _new_figure(max(4.4, columns * cell + label_size + 1.4), max(3.2, rows * cell + label_size + 0.8))
    axes = figure.add_subplot()
    sums = np.maximum(1, matrix.counts.sum(axis=1, keepdims=True))
    fractions = matrix.counts / sums
    # The square root makes a few errors visible among many correct answers.
    image = axes.imshow(fractions, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="equal")
    axes.set_xticks(range(columns), [_shorten(name) for name in matrix.columns], rotation=90, fontsize=size)
    axes.set_yticks(range(rows), [_shorten(name) for name in matrix.rows], fontsize=size)
    axes.set_xlabel("Decision")
    axes.set_ylabel("Person shown")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    if max(rows, columns) <= _MAX_COUNTS:
        _write_counts(axes, matrix, fractions, size)
    bar = figure.colorbar(
        image, ax=axes, shrink=min(1.0, 3 / (rows * cell)), format=lambda fraction, _: f"{100 * fraction:.0f} %"
    )
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    bar.set_label("Fraction of the row", fontsize=size)
    bar.ax.tick_params(labelsize=size)
    return figure


def _cell_size(people: int) -> tuple[float, float]:
    """Return the side of a cell in inches and its font size in points."""
    if people <= 10:
        return 0.5, 10
    return (0.32, 8) if people <= _MAX_COUNTS else (0.14, 7)


def _write_counts(axes: Axes, matrix: Matrix, fractions: NDArray[np.float64], size: float) -> None:
    for row, column in np.argwhere(matrix.counts):
        count = f"{matrix.counts[row, column]:,}"
        font_size = size if len(count) <= 3 else size * 3 / len(count)
        color = "white" if fractions[row, column] > _DARK else "black"
        axes.text(column, row, count, ha="center", va="center", fontsize=font_size, color=color)


def _draw_confusions(matrix: Matrix) -> Figure:
    from matplotlib.ticker import MaxNLocator

    cells = top_confusions(matrix, _MAX_BARS)
    figure = _new_figure(7.2, 1.2 + 0.28 * max(1, len(cells)))
    axes = figure.add_subplot()
    counts = [int(matrix.counts[cell]) for cell in cells]
    names = [f"{_shorten(matrix.rows[row])} → {_shorten(matrix.columns[column])}" for row, column in cells]
    bars = axes.barh(range(len(cells)), counts, color=_COLORS[0])
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
    axes.set_yticks(range(len(cells)), names, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Number of decisions")
    return figure
