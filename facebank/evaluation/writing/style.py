"""How pictures look: colours after Okabe and Ito, which people with any colour vision can tell apart."""

from __future__ import annotations

import textwrap
import warnings
from contextlib import contextmanager
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from facebank.storage.text import printable
from facebank.storage.user_folders import keep_plots_out_of_home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, "Color Universal Design", 2008, without the yellow, which is hard to see on white."""

DASHES = ("-", "--", ":", "-.")
GREY = "#666666"

STYLE: dict[str, Any] = {
    "svg.hashsalt": "facebank",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "legend.frameon": False,
    "path.simplify": True,
}

_WRAP = 46
_MARGIN = 0.12


@contextmanager
def house_style() -> Iterator[None]:
    """Draw as this house does, whatever the user's own settings are, and leave those as they were."""
    keep_plots_out_of_home()
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        settings: Any = mpl.rcParams
        settings.update(STYLE)
        # A name in a script that the font lacks is drawn as boxes; the table below the picture has it in full.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support", category=UserWarning)
        yield


def label_of(text: str, width: int = _WRAP) -> str:
    """Return a label that is printable, wrapped, and that the legend does not take for a private one."""
    lines = textwrap.wrap(printable(text), width) or [" "]
    return "\n".join(lines) if lines[0][0] != "_" else " " + "\n".join(lines)


def short(text: str, most: int = 28) -> str:
    """Return a name that fits beside a cell."""
    plain = printable(text)
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def looks() -> Iterator[tuple[str, str]]:
    """Return a colour and a dash for each line, all unlike each other for as long as possible."""
    return ((colour, dash) for dash in cycle(DASHES) for colour in COLOURS)


def first_looks(count: int) -> list[tuple[str, str]]:
    """Return the first few of `looks`."""
    return list(islice(looks(), count))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of some inches that no window and no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=_MARGIN, h_pad=_MARGIN))
    FigureCanvasAgg(figure)
    return figure


def place_legend(figure: Figure, handles: Iterable[Any], labels: Iterable[str]) -> None:
    """Write a legend below the plot, in as many columns as fit: nothing of it is ever cut or covers a line."""
    entries = list(labels)
    if not entries:
        return
    longest = max(len(line) for entry in entries for line in entry.split("\n"))
    columns = max(1, min(len(entries), 88 // (longest + 8)))
    figure.legend(list(handles), entries, loc="outside lower center", ncols=columns, fontsize=9)
