"""The three files of a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.evaluation.writing.arrangement import arrange
from facebank.evaluation.writing.checking import check_report
from facebank.evaluation.writing.markdown import as_markdown
from facebank.evaluation.writing.page import as_page
from facebank.evaluation.writing.record import as_json
from facebank.packs.files import write_atomically

if TYPE_CHECKING:
    from facebank.evaluation.report import Report

_ADVICE = "name another folder for the report, or mend this one"


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where a report was written.

    Attributes
    ----------
    json
        Everything, for programs.
    markdown, html
        The same for people: as text, and as one page with the pictures in it.
    """

    json: Path
    markdown: Path
    html: Path


def write_report(report: Report, folder: Path, *, command: str) -> WrittenReport:
    """Write a report as ``report.json``, ``report.md`` and ``report.html``; the same report makes the same bytes.

    All three are made before the first is written, and each replaces an older one wholly or not at all.

    Parameters
    ----------
    report
        What a protocol found.
    folder
        Made where it is missing.
    command
        What the user typed, with paths as they were given.

    Returns
    -------
    WrittenReport
        The three files.

    Raises
    ------
    UsageError
        The report does not hold together, such as a section that shows a figure there is none of.
    StorageError
        A file cannot be written.
    """
    check_report(report)
    chapters = arrange(report, command)
    written = WrittenReport(folder / "report.json", folder / "report.md", folder / "report.html")
    contents = {
        written.json: as_json(report, command),
        written.markdown: as_markdown(report.title, chapters),
        written.html: as_page(report.title, chapters),
    }
    for path, text in contents.items():
        write_atomically(path, text.encode("utf-8"), _ADVICE)
    return written
