"""How values are spread, group beside group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facebank.evaluation.writing.binning import binned
from facebank.evaluation.writing.style import first_looks, label_of, new_figure, place_legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from facebank.evaluation.report import Histogram


def draw_histogram(histogram: Histogram) -> Figure:
    """Draw each group as the share of its own values in each bin, so that small groups are seen beside large ones."""
    figure = new_figure(7.2, 4.0 + 0.2 * len(histogram.groups))
    axes = figure.add_subplot()
    axes.set_xlabel(label_of(histogram.x_label, 80))
    axes.set_ylabel("Share of each group")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    edges, groups = binned(histogram)
    handles: list[Any] = []
    for (_, counts), (colour, dash) in zip(groups, first_looks(len(groups)), strict=True):
        shares = counts / max(1, int(counts.sum()))
        if edges.size:
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.22)
            handles.append(axes.stairs(shares, edges, color=colour, linestyle=dash, linewidth=1.8))
        else:
            handles.append(axes.plot([], [], dash, color=colour)[0])
    axes.set_ylim(bottom=0)
    place_legend(figure, handles, [f"{label_of(label)} ({int(counts.sum()):,})" for label, counts in groups])
    return figure
