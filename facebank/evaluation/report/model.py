"""The content of a report: figures, tables, plots, and what could not be used; checked before it is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.errors import UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.dataset import LeftOut
    from facebank.evaluation.figures import Figure
    from facebank.types import RGBImage


PAIR_SCORES = ("first", "second", "same_person", "similarity")
"""Columns of ``scores.csv`` for pairs."""
SEARCH_SCORES = (
    "enrolled",
    "gallery",
    "photo",
    "person",
    "best_candidate",
    "named",
    "uncertain",
    "similarity",
    "probability",
)
"""Columns of ``scores.csv`` for searches."""

_FIGURE_NAME = re.compile(r"[a-z0-9]+([_.-][a-z0-9]+)*")
_SCALES = ("linear", "log", "probit")
_FEWEST_BINS, _MOST_BINS = 12, 60


def written_score(value: float) -> str:
    """Return a similarity or probability with six decimals; "" if it is not finite."""
    return f"{value:.6f}" if math.isfinite(value) else ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; each row is as long as the headings."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a plot; `x`, `y`, its band and the weights of its points are ``float64`` of shape ``(N,)``."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Lines over the same axes.

    Scales are ``linear``, ``log``, or ``probit`` for a DET curve. `diagonal` draws y = x, `markers` are labeled
    points such as the shipped threshold (label, x, y), and `note` is the text of an empty plot.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_scale: str = "linear"
    y_scale: str = "linear"
    diagonal: bool = False
    markers: tuple[tuple[str, float, float], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """A confusion matrix: how often each row's person was decided to be each column's.

    `counts` is ``int64`` of shape ``(rows, columns)``; the columns may add ``nobody`` and ``uncertain``.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """The distribution of values in several groups, each a label and ``float64`` of shape ``(N,)``."""

    title: str
    x_label: str
    groups: tuple[tuple[str, NDArray[np.float64]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One error, with the two faces and the parts of them that their similarity rests on.

    `faces` are aligned, RGB ``uint8`` of shape ``(S, S, 3)`` each. `maps` are how much the similarity falls where each
    face is hidden, of the same shape and dtype, None for none; `verdict` is one line with the decision and the truth.
    """

    first: str
    second: str
    faces: tuple[RGBImage, RGBImage]
    maps: tuple[RGBImage, RGBImage] | None
    similarity: float
    verdict: str


@dataclass(frozen=True, slots=True, eq=False)
class ContactSheet:
    """The hardest errors, side by side."""

    title: str
    cases: tuple[Evidence, ...]


Item: TypeAlias = "Table | Curves | Matrix | Histogram | ContactSheet"


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A part of a report: paragraphs, names of the report's figures that are shown here, tables and plots."""

    title: str
    text: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Photos and faces read in this run, without those known from an earlier one, and the seconds that it took."""

    photos: int
    faces: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a protocol found.

    Attributes
    ----------
    protocol
        Its name, as the command has it.
    pack, dataset
        What describes them: at least ``name`` and ``title``.
    figures
        By name: lower case, words joined by underscores.
    failures
        Photos without a face, photos that could not be read, and whatever else was left out.
    failed_checks
        Titles of the checks of the harness that failed.
    scores
        Every comparison or search, under `PAIR_SCORES` or `SEARCH_SCORES`; written only on request, because it holds
        names of people and files. None if the protocol has none.
    timing
        Speed of reading photos; None if all were known.
    """

    protocol: str
    title: str
    summary: tuple[str, ...]
    seed: int
    pack: Mapping[str, str]
    dataset: Mapping[str, str | int]
    figures: Mapping[str, Figure]
    sections: Sequence[Section]
    failures: Sequence[LeftOut] = field(default=())
    failed_checks: Sequence[str] = field(default=())
    scores: Table | None = None
    timing: Timing | None = None


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that are numbers, without those of comparisons that could not be made."""
    return values[np.isfinite(values)]


def binned(histogram: Histogram) -> tuple[NDArray[np.float64], list[tuple[str, NDArray[np.int64]]]]:
    """Return the edges of bins, ``float64`` ``(B + 1,)``, and each group's label and counts, ``int64`` ``(B,)``.

    Without values both are empty.
    """
    groups = [(label, finite(values)) for label, values in histogram.groups]
    everything = np.concatenate([np.empty(0), *(values for _, values in groups)])
    if not everything.size:
        return np.empty(0), [(label, np.empty(0, np.int64)) for label, _ in groups]
    low, high = float(everything.min()), float(everything.max())
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _bins(everything, high - low) + 1)
    return edges, [(label, np.histogram(values, edges)[0].astype(np.int64)) for label, values in groups]


def _bins(values: NDArray[np.float64], span: float) -> int:
    """Return the number of bins by the Freedman-Diaconis rule, within readable limits."""
    lower, upper = np.quantile(values, (0.25, 0.75))
    width = 2 * float(upper - lower) / float(np.cbrt(values.size))
    return int(np.clip(span / width, _FEWEST_BINS, _MOST_BINS)) if width > 0 else _FEWEST_BINS


def top_confusions(matrix: Matrix, most: int) -> list[tuple[int, int]]:
    """Return row and column of the cells that count errors, the commonest first."""
    columns = {name: place for place, name in enumerate(matrix.columns)}
    wrong = matrix.counts.copy()
    for row, name in enumerate(matrix.rows):
        if name in columns:
            wrong[row, columns[name]] = 0
    places = np.argwhere(wrong > 0)
    order = np.argsort(-wrong[wrong > 0], kind="stable")[:most]
    return [(int(row), int(column)) for row, column in places[order]]


def check_report(report: Report) -> None:
    """Raise `UsageError` if figures or names are missing or unusable, or the shapes of an item do not fit."""
    for name in report.figures:
        if _FIGURE_NAME.fullmatch(name) is None:
            raise UsageError(f"a figure cannot be called {printable(name)!r}: write lower case and underscores")
    if "name" not in report.pack:
        raise UsageError("the pack of a report needs a name")
    if "title" not in report.dataset:
        raise UsageError("the dataset of a report needs a title")
    for section in report.sections:
        absent = [name for name in section.figures if name not in report.figures]
        if absent:
            there, which = printable(section.title), printable(absent[0])
            raise UsageError(f"section {there!r} shows a figure {which!r} that the report does not have")
        for item in section.items:
            fault = _fault(item)
            if fault:
                raise UsageError(f"{printable(item.title)!r} of a report {fault}")


def _fault(item: Item) -> str | None:
    """Return why an item is invalid; None for a valid one."""
    fault = None
    match item:
        case Table() if any(len(row) != len(item.headings) for row in item.rows):
            fault = "has a row that is not as long as its headings"
        case Curves() if item.x_scale not in _SCALES or item.y_scale not in _SCALES:
            fault = f"has a scale that is none of {', '.join(_SCALES)}"
        case Curves() if not all(_is_even(line) for line in item.lines):
            fault = "has a line whose values are not of one length"
        case Curves() if any((line.low is None) != (line.high is None) for line in item.lines):
            fault = "has a line with half a band"
        case Matrix() if item.counts.shape != (len(item.rows), len(item.columns)):
            fault = "has not one row and column of counts for each name"
        case Histogram() if any(values.ndim != 1 for _, values in item.groups):
            fault = "has values that are no list"
        case ContactSheet() if not all(_is_rgb(case) for case in item.cases):
            fault = "has a picture that is not RGB of 8 bits"
    return fault


def _is_even(line: Line) -> bool:
    others = (line.y, line.low, line.high, line.weights)
    return line.x.ndim == 1 and all(other is None or other.shape == line.x.shape for other in others)


def _is_rgb(case: Evidence) -> bool:
    pictures = (*case.faces, *(case.maps or ()))
    return all(one.ndim == 3 and one.shape[2] == 3 and one.size and one.dtype == "uint8" for one in pictures)
