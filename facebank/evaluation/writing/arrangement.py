"""What stands where in a report that people read: the same for text and page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from facebank.evaluation.report import Curves, Table
from facebank.evaluation.writing.machine import machine, versions
from facebank.evaluation.writing.terms import terms_of
from facebank.evaluation.writing.wording import figure_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from facebank.evaluation.report import Item, Report, Section, Timing

_MOST_FAILURES = 50

_DESCRIPTIVE = (
    "The figures of the next table were read off a curve: the threshold was chosen on these very photos. They describe "
    "the curve and promise nothing for other photos."
)
_INSUFFICIENT = (
    "Insufficient: fewer than ten of these were seen or could be expected (or fewer than ten were not), too few to say "
    "much. Only the interval counts."
)
_PUBLISHED = (
    "What others have published stands beside our figures for orientation: it was measured on their photos and by "
    "their rules."
)


@dataclass(frozen=True, slots=True)
class Code:
    """Something that was typed."""

    text: str


Block: TypeAlias = "str | Code | Item"
"""A paragraph, something typed, or an item of a report."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading and what stands below it; the first has no heading of its own."""

    title: str
    blocks: tuple[Block, ...]


def arrange(report: Report, command: str) -> tuple[Chapter, ...]:
    """Put a report in order: summary and command first, then figures, sections, what was left out, and the terms."""
    shown = {name for section in report.sections for name in section.figures}
    others = [name for name in report.figures if name not in shown]
    chapters = [
        Chapter("", (*report.summary, Code(command))),
        Chapter("Figures", tuple(_figures(report, others))),
        *(_chapter(report, section) for section in report.sections),
        Chapter("What was left out", tuple(_failures(report))),
        Chapter("How this was made", tuple(_circumstances(report))),
    ]
    terms = terms_of(text for chapter in chapters for block in chapter.blocks for text in _texts(block))
    chapters.append(Chapter("What the words mean", (terms,) if terms.rows else ()))
    return tuple(chapter for number, chapter in enumerate(chapters) if chapter.blocks or not number)


def _texts(block: Block) -> Iterator[str]:
    """Return what a block says in words."""
    if isinstance(block, str):
        yield block
    elif isinstance(block, Table):
        yield from (block.title, *block.headings, *(cell for row in block.rows for cell in row))
    elif isinstance(block, Curves):
        yield from (block.title, block.x_label, block.y_label, *(line.label for line in block.lines))
    elif not isinstance(block, Code):
        yield block.title


def _chapter(report: Report, section: Section) -> Chapter:
    return Chapter(section.title, (*section.text, *_figures(report, section.figures), *section.items))


def _figures(report: Report, names: Sequence[str]) -> Iterator[Block]:
    figures = {name: report.figures[name] for name in names}
    measured, read_off = figure_tables(figures)
    if measured.rows:
        yield measured
    if read_off.rows:
        yield _DESCRIPTIVE
        yield read_off
    if any(figure.insufficient for figure in figures.values()):
        yield _INSUFFICIENT
    if any(figure.published is not None for figure in figures.values()):
        yield _PUBLISHED


def _failures(report: Report) -> Iterator[Block]:
    if not report.failures:
        yield "Nothing: every photo could be used."
        return
    rows = tuple((failure.what, failure.why) for failure in report.failures[:_MOST_FAILURES])
    yield Table(f"{len(report.failures):,} left out", ("What", "Why"), rows)
    more = len(report.failures) - len(rows)
    if more:
        yield f"And {more:,} more; all of them are in report.json."


def _circumstances(report: Report) -> Iterator[Table]:
    used = machine()
    yield Table(
        "Circumstances",
        ("", ""),
        (
            ("Protocol", report.protocol),
            ("Seed", str(report.seed)),
            *((f"Pack: {_words(key)}", value) for key, value in report.pack.items()),
            *((f"Dataset: {_words(key)}", _plain(value)) for key, value in report.dataset.items()),
            ("Machine", f"{used['system']}, {used['architecture']}, {used['processors']} processors"),
            *(() if report.timing is None else (("Speed", _speed(report.timing)),)),
            ("Python", str(used["python"])),
            *((name, version or "not installed") for name, version in versions().items()),
        ),
    )


def _speed(timing: Timing) -> str:
    seconds = max(timing.seconds, 1e-9)
    return (
        f"{timing.photos / seconds:.3g} photos and {timing.faces / seconds:.3g} faces a second, of {timing.photos:,} "
        f"photos in {timing.seconds:,.1f} s of this run (not to be compared between machines)"
    )


def _words(key: str) -> str:
    return key.replace("_", " ")


def _plain(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value
