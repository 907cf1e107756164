"""Reports as files: ``report.json`` for programs, ``report.md`` and ``report.html`` for people."""

from facebank.evaluation.writing.files import WrittenReport, require_own, write_report
from facebank.evaluation.writing.pictures import Picture, draw
from facebank.evaluation.writing.wording import figure_tables

__all__ = ["Picture", "WrittenReport", "draw", "figure_tables", "require_own", "write_report"]
