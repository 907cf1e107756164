"""Whether a report holds together, before anything is drawn or written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.evaluation.report import ContactSheet, Curves, Histogram, Matrix, Table
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.report import Evidence, Item, Line, Report

_FIGURE_NAME = re.compile(r"[a-z0-9]+([_.-][a-z0-9]+)*")
_SCALES = ("linear", "log", "probit")


def check_report(report: Report) -> None:
    """Refuse a report that does not hold together.

    Raises
    ------
    UsageError
        A section shows a figure that there is none of, a figure's name is unusable, a table's row or a line's values
        do not fit, the pack has no name or the dataset no title.
    """
    for name in report.figures:
        if _FIGURE_NAME.fullmatch(name) is None:
            raise UsageError(f"a figure cannot be called {printable(name)!r}: write lower case and underscores")
    for key, entries in (("name", report.pack), ("title", report.dataset)):
        if key not in entries:
            raise UsageError(f"the {'pack' if key == 'name' else 'dataset'} of a report needs a {key}")
    for section in report.sections:
        absent = [name for name in section.figures if name not in report.figures]
        if absent:
            there, which = printable(section.title), printable(absent[0])
            raise UsageError(f"section {there!r} shows a figure {which!r} that the report does not have")
        for item in section.items:
            _check_item(item)


def _check_item(item: Item) -> None:
    match item:
        case Table():
            if any(len(row) != len(item.headings) for row in item.rows):
                raise _unfit(item, "has a row that is not as long as its headings")
        case Curves():
            _check_curves(item)
        case Matrix():
            if item.counts.shape != (len(item.rows), len(item.columns)):
                raise _unfit(item, "has not one row and column of counts for each name")
        case Histogram():
            if any(values.ndim != 1 for _, values in item.groups):
                raise _unfit(item, "has values that are no list")
        case ContactSheet():
            if not all(_is_face_like(case) for case in item.cases):
                raise _unfit(item, "has a picture that is not RGB of 8 bits")


def _check_curves(curves: Curves) -> None:
    if curves.x_scale not in _SCALES or curves.y_scale not in _SCALES:
        raise _unfit(curves, f"has a scale that is none of {', '.join(_SCALES)}")
    if not all(_fits(line) for line in curves.lines):
        raise _unfit(curves, "has a line whose values are not of one length")
    if any((line.low is None) != (line.high is None) for line in curves.lines):
        raise _unfit(curves, "has a line with half a band")


def _fits(line: Line) -> bool:
    others = (line.y, line.low, line.high, line.weights)
    return line.x.ndim == 1 and all(other is None or other.shape == line.x.shape for other in others)


def _is_face_like(case: Evidence) -> bool:
    pictures = (*case.faces, *(case.maps or ()))
    return all(one.ndim == 3 and one.shape[2] == 3 and one.size and one.dtype == "uint8" for one in pictures)


def _unfit(item: Item, why: str) -> UsageError:
    return UsageError(f"{printable(item.title)!r} of a report {why}")
