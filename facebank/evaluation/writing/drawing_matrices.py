"""Confusion matrices: counts in cells, colours alone, or the commonest confusions, by how many people there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.writing.style import COLOURS, new_figure, short
from facebank.evaluation.writing.wording import top_confusions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from facebank.evaluation.report import Matrix

_MOST_COUNTS, _MOST_CELLS, _MOST_BARS = 40, 120, 20
_DARK = 0.36


def draw_matrix(matrix: Matrix) -> Figure:
    """Draw a confusion matrix, the shades by the share of each row."""
    if max(matrix.counts.shape) > _MOST_CELLS or not matrix.counts.size:
        return _draw_confusions(matrix)
    from matplotlib.colors import PowerNorm

    rows, columns = matrix.counts.shape
    cell, size = _cell(max(rows, columns))
    names = max(len(short(name)) for name in (*matrix.rows, *matrix.columns)) * size / 110
    figure = new_figure(max(4.4, columns * cell + names + 1.4), max(3.2, rows * cell + names + 0.8))
    axes = figure.add_subplot()
    sums = np.maximum(1, matrix.counts.sum(axis=1, keepdims=True))
    shares = matrix.counts / sums
    # Not in proportion: a few errors among many right answers have to be seen.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="equal")
    axes.set_xticks(range(columns), [short(name) for name in matrix.columns], rotation=90, fontsize=size)
    axes.set_yticks(range(rows), [short(name) for name in matrix.rows], fontsize=size)
    axes.set_xlabel("Decided was")
    axes.set_ylabel("Shown is")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    if max(rows, columns) <= _MOST_COUNTS:
        _write_counts(axes, matrix, shares, size)
    bar = figure.colorbar(
        image, ax=axes, shrink=min(1.0, 3 / (rows * cell)), format=lambda share, _: f"{100 * share:.0f} %"
    )
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    bar.set_label("Share of the row", fontsize=size)
    bar.ax.tick_params(labelsize=size)
    return figure


def _cell(people: int) -> tuple[float, float]:
    """Return a cell's side in inches and the size of its text in points."""
    if people <= 10:
        return 0.5, 10
    return (0.32, 8) if people <= _MOST_COUNTS else (0.14, 7)


def _write_counts(axes: Axes, matrix: Matrix, shares: NDArray[np.float64], size: float) -> None:
    for row, column in np.argwhere(matrix.counts):
        count = f"{matrix.counts[row, column]:,}"
        smaller = size if len(count) <= 3 else size * 3 / len(count)
        colour = "white" if shares[row, column] > _DARK else "black"
        axes.text(column, row, count, ha="center", va="center", fontsize=smaller, color=colour)


def _draw_confusions(matrix: Matrix) -> Figure:
    from matplotlib.ticker import MaxNLocator

    cells = top_confusions(matrix, _MOST_BARS)
    figure = new_figure(7.2, 1.2 + 0.28 * max(1, len(cells)))
    axes = figure.add_subplot()
    counts = [int(matrix.counts[cell]) for cell in cells]
    names = [f"{short(matrix.rows[row])} → {short(matrix.columns[column])}" for row, column in cells]
    bars = axes.barh(range(len(cells)), counts, color=COLOURS[0])
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3)
    axes.set_yticks(range(len(cells)), names, fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("Times decided so")
    return figure
