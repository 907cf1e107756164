"""Parts of a report, selected by type and title."""

from __future__ import annotations

from typing import TypeVar

from facebank.evaluation.report import ContactSheet, Curves, Histogram, Matrix, Report, Table

ItemT = TypeVar("ItemT", Table, Curves, Matrix, Histogram, ContactSheet)


def find_items(report: Report, item_type: type[ItemT], title: str = "") -> list[ItemT]:
    """Return the items of a type whose title begins with `title`, in the order of the report."""
    items = [item for section in report.sections for item in section.items]
    return [item for item in items if isinstance(item, item_type) and item.title.startswith(title)]


def find_table(report: Report, title: str) -> Table:
    """Return the first table whose title begins with `title`."""
    return find_items(report, Table, title)[0]


def figures_in_sections(report: Report) -> set[str]:
    """Return the names of the figures that the report's sections show."""
    return {name for section in report.sections for name in section.figures}
