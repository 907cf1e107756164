"""``report.json``: everything that a report says, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.evaluation.report import ContactSheet, Curves, Histogram, Matrix, Table
from facebank.evaluation.writing.binning import binned
from facebank.evaluation.writing.machine import machine, versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report import Item, Line, Report, Timing

_DIGITS = 6
_MOST_POINTS = 2000


def as_json(report: Report, command: str) -> str:
    """Return a report in the form of the schema ``bench-report``, a line for each figure, failure and picture."""
    record = {
        "protocol": report.protocol,
        "title": report.title,
        "summary": list(report.summary),
        "command": command,
        "seed": report.seed,
        "pack": dict(report.pack),
        "dataset": dict(report.dataset),
        "machine": machine(),
        "versions": versions(),
        "timing": None if report.timing is None else _timing(report.timing),
        "figures": {name: _figure(figure) for name, figure in report.figures.items()},
        "failures": [{"what": failure.what, "why": failure.why} for failure in report.failures],
        "tables": [_table(title, item) for title, item in _items(report) if isinstance(item, Table)],
        "curves": [_curves(title, item) for title, item in _items(report) if isinstance(item, Curves)],
        "matrices": [_matrix(title, item) for title, item in _items(report) if isinstance(item, Matrix)],
        "histograms": [_histogram(title, item) for title, item in _items(report) if isinstance(item, Histogram)],
        "cases": [
            case for title, item in _items(report) if isinstance(item, ContactSheet) for case in _cases(title, item)
        ],
    }
    return "{\n" + ",\n".join(f"  {_text(key)}: {_value(value)}" for key, value in record.items()) + "\n}\n"


def _items(report: Report) -> Iterator[tuple[str, Item]]:
    for section in report.sections:
        for item in section.items:
            yield section.title, item


def _value(value: object) -> str:
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"    {_text(key)}: {_text(one)}" for key, one in value.items()) + "\n  }"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {_text(one)}" for one in value) + "\n  ]"
    return _text(value)


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "value": _number(figure.value),
        "interval": None if figure.interval is None else [_number(bound) for bound in figure.interval],
        "count": int(figure.count),
        "events": None if figure.events is None else int(figure.events),
        "expected": None if figure.expected is None else _number(figure.expected),
        "kind": figure.kind.value,
        "descriptive": bool(figure.descriptive),
        "insufficient": bool(figure.insufficient),
        "standard_error": None if figure.standard_error is None else _number(figure.standard_error),
        "published": figure.published,
        "meaning": figure.meaning,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rounded(values: NDArray[np.float64] | Sequence[float]) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values]


def _timing(timing: Timing) -> dict[str, Any]:
    return {"photos": timing.photos, "faces": timing.faces, "seconds": round(timing.seconds, 3)}


def _table(section: str, table: Table) -> dict[str, Any]:
    rows = [list(row) for row in table.rows]
    return {"section": section, "title": table.title, "headings": list(table.headings), "rows": rows}


def _curves(section: str, curves: Curves) -> dict[str, Any]:
    return {
        "section": section,
        "title": curves.title,
        "x_label": curves.x_label,
        "y_label": curves.y_label,
        "x_scale": curves.x_scale,
        "y_scale": curves.y_scale,
        "diagonal": bool(curves.diagonal),
        "lines": [_line(line) for line in curves.lines],
        "markers": [
            dict(zip(("label", "x", "y"), (label, *_rounded((x, y))), strict=True)) for label, x, y in curves.markers
        ],
    }


def _line(line: Line) -> Mapping[str, Any]:
    chosen = np.unique(np.linspace(0, max(0, line.x.size - 1), min(line.x.size, _MOST_POINTS)).round().astype(int))
    columns = {"x": line.x, "y": line.y, "low": line.low, "high": line.high, "weights": line.weights}
    return {"label": line.label} | {
        name: None if values is None else _rounded(values[chosen]) for name, values in columns.items()
    }


def _matrix(section: str, matrix: Matrix) -> dict[str, Any]:
    cells = [[int(row), int(column), int(matrix.counts[row, column])] for row, column in np.argwhere(matrix.counts)]
    rows, columns = list(matrix.rows), list(matrix.columns)
    return {"section": section, "title": matrix.title, "rows": rows, "columns": columns, "cells": cells}


def _histogram(section: str, histogram: Histogram) -> dict[str, Any]:
    edges, groups = binned(histogram)
    return {
        "section": section,
        "title": histogram.title,
        "x_label": histogram.x_label,
        "edges": _rounded(edges),
        "groups": [{"label": label, "counts": [int(count) for count in counts]} for label, counts in groups],
    }


def _cases(section: str, sheet: ContactSheet) -> list[dict[str, Any]]:
    return [
        {
            "section": section,
            "title": sheet.title,
            "first": case.first,
            "second": case.second,
            "similarity": _rounded([case.similarity])[0],
            "verdict": case.verdict,
        }
        for case in sheet.cases
    ]
