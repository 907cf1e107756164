"""Content of a report as dataclasses (figures, tables, plots, skipped entries), and its validation."""

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

    from facebank.evaluation.dataset import SkippedEntry
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
MAX_BANDS = 3
"""Largest number of lines whose bands are drawn: more bands would hide each other."""

_FIGURE_NAME = re.compile(r"[a-z0-9]+([_.-][a-z0-9]+)*")
_SCALES = ("linear", "log", "probit")
_MIN_BINS, _MAX_BINS = 12, 60


def format_score(value: float) -> str:
    """Return a similarity or probability with six decimals; "" if it is not finite."""
    return f"{value:.6f}" if math.isfinite(value) else ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings, one cell per heading."""

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
    """A plot of lines over common axes.

    Scales are ``linear``, ``log``, or ``probit`` for a DET curve. `diagonal` draws y = x, `markers` are points (label,
    x, y) such as the shipped threshold, and `note` is text written into the plot.
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
    """A confusion matrix: counts of decisions (columns) by person shown (rows).

    `counts` is ``int64`` of shape ``(rows, columns)``; columns may include ``nobody`` and ``uncertain``.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A histogram of several groups, each a label and values, ``float64`` of shape ``(N,)``."""

    title: str
    x_label: str
    groups: tuple[tuple[str, NDArray[np.float64]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One error: two faces, their similarity, and maps of the parts that it depends on.

    `faces` are aligned crops, RGB ``uint8`` of shape ``(S, S, 3)`` each. `maps` are heat maps of the drop in similarity
    when a part is covered, of the same shape and dtype, or None. `verdict` is a line with the decision and the truth.
    """

    first: str
    second: str
    faces: tuple[RGBImage, RGBImage]
    maps: tuple[RGBImage, RGBImage] | None
    similarity: float
    verdict: str


@dataclass(frozen=True, slots=True, eq=False)
class ContactSheet:
    """A sheet of the hardest errors, side by side."""

    title: str
    cases: tuple[Evidence, ...]


Item: TypeAlias = "Table | Curves | Matrix | Histogram | ContactSheet"


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A section of a report: paragraphs, names of the report's figures to show, tables and plots."""

    title: str
    text: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """Photos and faces that were analyzed in this run, excluding cached ones, and the seconds it took."""

    photos: int
    faces: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The result of a protocol.

    Attributes
    ----------
    protocol
        The name of its command.
    pack, dataset
        Descriptions, with at least the keys ``name`` and ``title``.
    figures
        Figures by name: lower case, words joined by underscores.
    failures
        Photos without a face, unreadable photos, and all other skipped entries.
    failed_checks
        Titles of the failed checks of the ``sanity`` protocol.
    scores
        Every comparison or search, with the columns `PAIR_SCORES` or `SEARCH_SCORES`. Written only on request, since it
        holds names of people and files. None if the protocol has none.
    timing
        Photos and faces per second; None if all photos were cached.
    """

    protocol: str
    title: str
    summary: tuple[str, ...]
    seed: int
    pack: Mapping[str, str]
    dataset: Mapping[str, str | int]
    figures: Mapping[str, Figure]
    sections: Sequence[Section]
    failures: Sequence[SkippedEntry] = field(default=())
    failed_checks: Sequence[str] = field(default=())
    scores: Table | None = None
    timing: Timing | None = None


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the finite ones of values ``(N,)``; NaN stands for comparisons that could not be made."""
    return values[np.isfinite(values)]


def bin_values(histogram: Histogram) -> tuple[NDArray[np.float64], list[tuple[str, NDArray[np.int64]]]]:
    """Return bin edges, ``float64`` ``(B + 1,)``, and each group's label and counts, ``int64`` ``(B,)``.

    All arrays are empty without values.
    """
    groups = [(label, finite(values)) for label, values in histogram.groups]
    all_values = np.concatenate([np.empty(0), *(values for _, values in groups)])
    if not all_values.size:
        return np.empty(0), [(label, np.empty(0, np.int64)) for label, _ in groups]
    low, high = float(all_values.min()), float(all_values.max())
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _bins(all_values, high - low) + 1)
    return edges, [(label, np.histogram(values, edges)[0].astype(np.int64)) for label, values in groups]


def _bins(values: NDArray[np.float64], span: float) -> int:
    """Return the number of bins by the Freedman-Diaconis rule, clipped to 12..60."""
    lower, upper = np.quantile(values, (0.25, 0.75))
    width = 2 * float(upper - lower) / float(np.cbrt(values.size))
    return int(np.clip(span / width, _MIN_BINS, _MAX_BINS)) if width > 0 else _MIN_BINS


def top_confusions(matrix: Matrix, limit: int) -> list[tuple[int, int]]:
    """Return row and column of at most `limit` cells that count errors, most frequent first."""
    columns = {name: index for index, name in enumerate(matrix.columns)}
    wrong = matrix.counts.copy()
    for row, name in enumerate(matrix.rows):
        if name in columns:
            wrong[row, columns[name]] = 0
    indices = np.argwhere(wrong > 0)
    order = np.argsort(-wrong[wrong > 0], kind="stable")[:limit]
    return [(int(row), int(column)) for row, column in indices[order]]


def check_report(report: Report) -> None:
    """Raise `UsageError` if names are missing or invalid, or the shapes of an item do not match."""
    for name in report.figures:
        if _FIGURE_NAME.fullmatch(name) is None:
            raise UsageError(f"invalid figure name {printable(name)!r}: use lower case and underscores")
    if "name" not in report.pack:
        raise UsageError("the report's pack lacks the key 'name'")
    if "title" not in report.dataset:
        raise UsageError("the report's dataset lacks the key 'title'")
    for section in report.sections:
        absent = [name for name in section.figures if name not in report.figures]
        if absent:
            title, name = printable(section.title), printable(absent[0])
            raise UsageError(f"section {title!r} refers to the missing figure {name!r}")
        for item in section.items:
            fault = _fault(item)
            if fault:
                raise UsageError(f"invalid report: {printable(item.title)!r} {fault}")


def _fault(item: Item) -> str | None:
    """Return the fault of an invalid item, None for a valid one."""
    fault = None
    match item:
        case Table() if any(len(row) != len(item.headings) for row in item.rows):
            fault = "has a row whose length differs from the number of headings"
        case Curves() if item.x_scale not in _SCALES or item.y_scale not in _SCALES:
            fault = f"has an unknown scale; expected one of {', '.join(_SCALES)}"
        case Curves() if not all(_has_equal_lengths(line) for line in item.lines):
            fault = "has a line with arrays of different lengths"
        case Curves() if any((line.low is None) != (line.high is None) for line in item.lines):
            fault = "has a line with only one edge of its band"
        case Matrix() if item.counts.shape != (len(item.rows), len(item.columns)):
            fault = "has counts whose shape does not match its rows and columns"
        case Histogram() if any(values.ndim != 1 for _, values in item.groups):
            fault = "has a group whose values are not one-dimensional"
        case ContactSheet() if not all(_is_rgb(case) for case in item.cases):
            fault = "has an image that is not RGB uint8"
    return fault


def _has_equal_lengths(line: Line) -> bool:
    columns = (line.y, line.low, line.high, line.weights)
    return line.x.ndim == 1 and all(column is None or column.shape == line.x.shape for column in columns)


def _is_rgb(case: Evidence) -> bool:
    images = (*case.faces, *(case.maps or ()))
    return all(image.ndim == 3 and image.shape[2] == 3 and image.size and image.dtype == "uint8" for image in images)
