"""Reports of protocols and their files: ``report.json``, ``report.md``, ``report.html`` and ``scores.csv``."""

from facebank.evaluation.report.files import WrittenReport, require_own, write_report
from facebank.evaluation.report.model import (
    PAIR_SCORES,
    SEARCH_SCORES,
    ContactSheet,
    Curves,
    Evidence,
    Histogram,
    Item,
    Line,
    Matrix,
    Report,
    Section,
    Table,
    Timing,
    written_score,
)
from facebank.evaluation.report.wording import figure_tables

__all__ = [
    "PAIR_SCORES",
    "SEARCH_SCORES",
    "ContactSheet",
    "Curves",
    "Evidence",
    "Histogram",
    "Item",
    "Line",
    "Matrix",
    "Report",
    "Section",
    "Table",
    "Timing",
    "WrittenReport",
    "figure_tables",
    "require_own",
    "write_report",
    "written_score",
]
