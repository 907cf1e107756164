"""``scores.csv``: every comparison or search of a protocol, for statistics of one's own."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.evaluation.report import Report


def as_csv(report: Report) -> str:
    """Return the scores of a report, a line each.

    A name that a spreadsheet would take for a formula has an apostrophe before it.

    Raises
    ------
    UsageError
        The protocol gives none.
    """
    if report.scores is None:
        raise UsageError(f"{report.protocol} has no scores of single pairs or searches: leave out --scores")
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(report.scores.headings)
    writer.writerows([_cell(cell) for cell in row] for row in report.scores.rows)
    return text.getvalue()


def _cell(text: str) -> str:
    plain = printable(text)
    try:
        float(plain)
    except ValueError:
        return f"'{plain}" if plain[:1] in {"=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}"} else plain
    return plain
