"""Reports of protocols and their files: ``report.json``, ``report.md``, ``report.html`` and ``scores.csv``."""

from facebank.evaluation.report.files import WrittenReport, check_replaceable, write_report
from facebank.evaluation.report.model import (
    MAX_BANDS,
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
    format_score,
)
from facebank.evaluation.report.wording import figure_tables

__all__ = [
    "MAX_BANDS",
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
    "check_replaceable",
    "figure_tables",
    "format_score",
    "write_report",
]
