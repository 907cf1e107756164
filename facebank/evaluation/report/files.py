"""Writing of a report's files: atomic, and never over files that facebank did not write."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import UsageError
from facebank.evaluation.report.model import (
    PAIR_SCORES,
    SEARCH_SCORES,
    ContactSheet,
    Curves,
    Histogram,
    Matrix,
    Table,
    bin_values,
    check_report,
)
from facebank.evaluation.report.rendering import as_markdown, as_page, escape_markdown
from facebank.evaluation.report.wording import arrange, machine, versions
from facebank.storage.files import write_file
from facebank.storage.text import escape_html, printable, spreadsheet_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.evaluation.figures import Figure
    from facebank.evaluation.report.model import Item, Line, Report

_DIGITS = 6
_MAX_POINTS = 2000
_ADVICE = "choose another folder with --out, or make this one writable"
_MAX_BYTES = 256 * 1024**2  # larger files are not recognized as reports


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Paths of the files of a report; `scores` exists only if it was requested."""

    json: Path
    markdown: Path
    html: Path
    scores: Path

    @classmethod
    def of(cls, folder: Path) -> WrittenReport:
        """Return the paths of a report in a folder."""
        return cls(*(folder / name for name in ("report.json", "report.md", "report.html", "scores.csv")))


def check_replaceable(folder: Path, *, scores: bool = False) -> None:
    """Raise `UsageError` if a report would overwrite a ``report.*`` or ``scores.csv`` of other origin."""
    files = WrittenReport.of(folder)
    title = _read_title(files.json)
    marks = {
        files.json: "",
        files.markdown: f"# {escape_markdown(title or '')}\n",
        files.html: f"<title>{escape_html(title or '')}</title>",
    }
    if scores and os.path.lexists(files.scores) and not _are_scores(files.scores):
        raise _not_a_report_error(files.scores)
    for path, mark in marks.items():
        if os.path.lexists(path) and (title is None or not _contains(path, mark)):
            raise _not_a_report_error(path)


def _not_a_report_error(path: Path) -> UsageError:
    return UsageError(f"{printable(str(path))} exists and is not a facebank report; choose another folder with --out")


def _are_scores(path: Path) -> bool:
    try:
        heading = _read_start(path).partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False
    return heading in {",".join(headings) for headings in (PAIR_SCORES, SEARCH_SCORES)}


def _read_title(path: Path) -> str | None:
    """Return the title of a ``report.json`` that facebank wrote; None for any other file."""
    try:
        content = json.loads(_read_start(path))
    except (ValueError, OSError, RecursionError):
        return None
    is_report = isinstance(content, dict) and {"protocol", "title", "figures", "seed"} <= content.keys()
    return str(content["title"]) if is_report else None


def _contains(path: Path, mark: str) -> bool:
    try:
        return mark in _read_start(path)
    except (OSError, UnicodeDecodeError):
        return False


def _read_start(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8")


def write_report(report: Report, folder: Path, *, command: str, scores: bool = False) -> WrittenReport:
    """Write ``report.json``, ``report.md`` and ``report.html``; equal reports give equal bytes.

    All files are rendered before the first is written, and each replaces its predecessor atomically.

    Parameters
    ----------
    folder
        Folder of the report, created if missing.
    command
        The command line as typed by the user.
    scores
        Whether to write every comparison or search to ``scores.csv``; if false, an existing one is removed.

    Raises
    ------
    UsageError
        The report is invalid or has no scores to write, or a file of these names was not written by facebank.
    StorageError
        A file cannot be written.
    """
    check_report(report)
    chapters = arrange(report, command)
    check_replaceable(folder, scores=scores)
    written = WrittenReport.of(folder)
    contents = {
        written.json: as_json(report, command),
        written.markdown: as_markdown(report.title, chapters),
        written.html: as_page(report.title, chapters),
    }
    if scores:
        contents[written.scores] = as_csv(report)
    for path, text in contents.items():
        write_file(path, text.encode("utf-8"), advice=_ADVICE)
    if not scores and _are_scores(written.scores):
        written.scores.unlink()  # belongs to the previous report
    return written


def as_csv(report: Report) -> str:
    """Return the scores of a report as CSV that is safe in spreadsheets; raises `UsageError` if it has none."""
    if report.scores is None:
        raise UsageError(f"the protocol {report.protocol} has no scores of single pairs or searches; omit --scores")
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(report.scores.headings)
    writer.writerows(map(spreadsheet_cell, row) for row in report.scores.rows)
    return text.getvalue()


def as_json(report: Report, command: str) -> str:
    """Return a report as JSON of the schema ``bench-report``, with one line per figure, failure and plot."""
    items = [(section.title, item) for section in report.sections for item in section.items]
    timing = report.timing
    record: dict[str, object] = {
        "protocol": report.protocol,
        "title": report.title,
        "summary": list(report.summary),
        "command": command,
        "seed": report.seed,
        "pack": dict(report.pack),
        "dataset": dict(report.dataset),
        "machine": machine(),
        "versions": versions(),
        "timing": timing and {"photos": timing.photos, "faces": timing.faces, "seconds": round(timing.seconds, 3)},
        "figures": {name: _figure(figure) for name, figure in report.figures.items()},
        "failures": [{"what": failure.entry, "why": failure.reason} for failure in report.failures],
    }
    keys = (
        ("tables", Table),
        ("curves", Curves),
        ("matrices", Matrix),
        ("histograms", Histogram),
        ("cases", ContactSheet),
    )
    for key, item_class in keys:
        selected = [(title, item) for title, item in items if isinstance(item, item_class)]
        record[key] = [
            {"section": title, "title": item.title} | part for title, item in selected for part in _parts(item)
        ]
    return "{\n" + ",\n".join(f"  {_text(key)}: {_value(value)}" for key, value in record.items()) + "\n}\n"


def _value(value: object) -> str:
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"    {_text(key)}: {_text(entry)}" for key, entry in value.items()) + "\n  }"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {_text(item)}" for item in value) + "\n  ]"
    return _text(value)


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "value": _number(figure.value),
        "interval": None if figure.interval is None else [_number(bound) for bound in figure.interval],
        "count": int(figure.count),
        "events": None if figure.events is None else int(figure.events),
        "expected": _number(figure.expected),
        "kind": figure.kind.value,
        "descriptive": bool(figure.descriptive),
        "insufficient": bool(figure.insufficient),
        "standard_error": _number(figure.standard_error),
        "published": figure.published,
        "meaning": figure.meaning,
    }


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _round(values: NDArray[np.float64] | Sequence[float]) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None for value in values]


def _parts(item: Item) -> Iterator[dict[str, Any]]:
    """Yield the JSON of an item without section and title; one object per case of a contact sheet."""
    match item:
        case Table():
            yield {"headings": list(item.headings), "rows": [list(row) for row in item.rows]}
        case Curves():
            labels = {name: getattr(item, name) for name in ("x_label", "y_label", "x_scale", "y_scale")}
            markers = [(label, *_round((x, y))) for label, x, y in item.markers]
            yield labels | {
                "diagonal": bool(item.diagonal),
                "lines": [_line(line) for line in item.lines],
                "markers": [dict(zip(("label", "x", "y"), marker, strict=True)) for marker in markers],
            }
        case Matrix():
            cells = [[*map(int, cell), int(item.counts[tuple(cell)])] for cell in np.argwhere(item.counts)]
            yield {"rows": list(item.rows), "columns": list(item.columns), "cells": cells}
        case Histogram():
            edges, groups = bin_values(item)
            counts_by_group = [{"label": label, "counts": [int(count) for count in counts]} for label, counts in groups]
            yield {"x_label": item.x_label, "edges": _round(edges), "groups": counts_by_group}
        case ContactSheet():
            for case in item.cases:
                (similarity,) = _round([case.similarity])
                pair = {"first": case.first, "second": case.second}
                yield pair | {"similarity": similarity, "verdict": case.verdict}


def _line(line: Line) -> dict[str, Any]:
    indices = np.unique(np.linspace(0, max(0, line.x.size - 1), min(line.x.size, _MAX_POINTS)).round().astype(int))
    columns = {"x": line.x, "y": line.y, "low": line.low, "high": line.high, "weights": line.weights}
    return {"label": line.label} | {
        name: None if values is None else _round(values[indices]) for name, values in columns.items()
    }
