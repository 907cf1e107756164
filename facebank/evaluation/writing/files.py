"""The three files of a report."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.evaluation.report import PAIR_SCORES, SEARCH_SCORES
from facebank.evaluation.writing.arrangement import arrange
from facebank.evaluation.writing.checking import check_report
from facebank.evaluation.writing.markdown import as_markdown, escaped
from facebank.evaluation.writing.page import as_page, safe
from facebank.evaluation.writing.record import as_json
from facebank.evaluation.writing.scores import as_csv
from facebank.storage.text import printable
from facebank.storage.user_folders import write_atomically

if TYPE_CHECKING:
    from facebank.evaluation.report import Report

_ADVICE = "name another folder for the report, or mend this one"
_LARGEST = 256 * 1024**2  # bytes; a report that is larger is taken for somebody else's


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Where a report was written.

    Attributes
    ----------
    json
        Everything, for programs.
    markdown, html
        The same for people: as text, and as one page with the pictures in it.
    scores
        Every comparison or search, where that was asked for.
    """

    json: Path
    markdown: Path
    html: Path
    scores: Path

    @classmethod
    def of(cls, folder: Path) -> WrittenReport:
        """Return the files of a folder's report."""
        return cls(*(folder / name for name in ("report.json", "report.md", "report.html", "scores.csv")))


def require_own(folder: Path, *, scores: bool = False) -> None:
    """Refuse a folder with a ``report.*`` (or ``scores.csv``) that facebank did not write: it would be replaced.

    Raises
    ------
    UsageError
        One is there.
    """
    files = WrittenReport.of(folder)
    title = _title(files.json)
    marks = {
        files.json: "",
        files.markdown: f"# {escaped(title or '')}\n",
        files.html: f"<title>{safe(title or '')}</title>",
    }
    if scores and os.path.lexists(files.scores) and not _are_scores(files.scores):
        raise _foreign(files.scores)
    for path, mark in marks.items():
        if os.path.lexists(path) and (title is None or not _holds(path, mark)):
            raise _foreign(path)


def _foreign(path: Path) -> UsageError:
    return UsageError(
        f"{printable(str(path))} is there already, and no report of facebank: name another folder with --out"
    )


def _are_scores(path: Path) -> bool:
    try:
        first = _head(path).partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return False
    return first in {",".join(headings) for headings in (PAIR_SCORES, SEARCH_SCORES)}


def _title(path: Path) -> str | None:
    """Return the title of a report that facebank wrote; None for any other file."""
    try:
        found = json.loads(_head(path))
    except (ValueError, OSError, RecursionError):
        return None
    ours = isinstance(found, dict) and {"protocol", "title", "figures", "seed"} <= found.keys()
    return str(found["title"]) if ours else None


def _holds(path: Path, mark: str) -> bool:
    try:
        return mark in _head(path)
    except (OSError, UnicodeDecodeError):
        return False


def _head(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_LARGEST).decode("utf-8")


def write_report(report: Report, folder: Path, *, command: str, scores: bool = False) -> WrittenReport:
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
    scores
        Whether every comparison or search is written as well, as ``scores.csv``; else an older one is removed.

    Returns
    -------
    WrittenReport
        The three files.

    Raises
    ------
    UsageError
        The report does not hold together, such as a section that shows a figure there is none of; or a file of one of
        these names is there that is no report.
    StorageError
        A file cannot be written.
    """
    check_report(report)
    chapters = arrange(report, command)
    require_own(folder, scores=scores)
    written = WrittenReport.of(folder)
    contents = {
        written.json: as_json(report, command),
        written.markdown: as_markdown(report.title, chapters),
        written.html: as_page(report.title, chapters),
    }
    if scores:
        contents[written.scores] = as_csv(report)
    for path, text in contents.items():
        write_atomically(path, text.encode("utf-8"), _ADVICE)
    if not scores and _are_scores(written.scores):
        written.scores.unlink()  # it is of other figures than those that are written now
    return written
