"""``report.md``: a report as text that reads well as it is, and rendered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from facebank.evaluation.report import ContactSheet, Table
from facebank.evaluation.writing.arrangement import Code
from facebank.evaluation.writing.wording import as_table, similarity
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from facebank.evaluation.writing.arrangement import Block, Chapter

_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_|_(?!\w)")
_LEADING = re.compile(r"^(\d*)((?<!\d)[#+=-](?=[\s#=-]|$)|(?<=\d)[.)](?=\s|$))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def as_markdown(title: str, chapters: Iterable[Chapter]) -> str:
    """Return a report as Markdown with tables; names and file names are text in it, never markup."""
    blocks = [f"# {escaped(title)}"]
    for chapter in chapters:
        if chapter.title:
            blocks.append(f"## {escaped(chapter.title)}")
        for block in chapter.blocks:
            blocks.extend(_written(block))
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    """Return text on one line of which Markdown makes nothing."""
    plain = "".join(_ENTITIES.get(character, character) for character in printable(text.strip()))
    return _LEADING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", plain))


def _written(block: Block) -> Iterator[str]:
    if isinstance(block, str):
        yield escaped(block)
    elif isinstance(block, Code):
        yield "    " + printable(block.text)
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, ContactSheet):
        yield from _cases(block)
    else:
        yield from _table(as_table(block))


def _table(table: Table) -> Iterator[str]:
    yield f"### {escaped(table.title)}"
    if not table.rows:
        yield "Nothing to show."
        return
    ruler = _row("---" for _ in table.headings)
    yield "\n".join([_row(map(_cell, table.headings)), ruler, *(_row(map(_cell, row)) for row in table.rows)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return escaped(text) or " "


def _cases(sheet: ContactSheet) -> Iterator[str]:
    rows = tuple((case.first, case.second, similarity(case.similarity), case.verdict) for case in sheet.cases)
    yield from _table(Table(sheet.title, ("First", "Second", "Similarity", "Verdict"), rows))
