"""Rendering of chapters as Markdown, and as one self-contained HTML page without scripts or network access."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.report.drawing import draw
from facebank.evaluation.report.model import ContactSheet, Table
from facebank.evaluation.report.wording import Code, as_table, similarity
from facebank.storage.text import escape_html, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from facebank.evaluation.report.model import Curves, Evidence, Histogram, Matrix
    from facebank.evaluation.report.wording import Block, Chapter
    from facebank.types import RGBImage

_JPEG_QUALITY = 85
_MAX_FACE = 160
_NUMBERS = re.compile(r"[\d.,–±%\[\] -]+(?:(?:of|to)[\d.,–±%\[\] -]+)?")
_BREAKS = re.compile(r"(?<=[/_])")
_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_|_(?!\w)")
_LEADING = re.compile(r"^(\d*)((?<!\d)[#+=-](?=[\s#=-]|$)|(?<=\d)[.)](?=\s|$))")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def as_markdown(title: str, chapters: Iterable[Chapter]) -> str:
    """Return a report as Markdown, with all names of people and files escaped."""
    blocks = [f"# {escape_markdown(title)}"]
    for chapter in chapters:
        if chapter.title:
            blocks.append(f"## {escape_markdown(chapter.title)}")
        for block in chapter.blocks:
            blocks.extend(_markdown_blocks(block))
    return "\n\n".join(blocks) + "\n"


def escape_markdown(text: str) -> str:
    """Return text on one line, with Markdown markup escaped."""
    plain = "".join(_ENTITIES.get(character, character) for character in printable(text.strip()))
    return _LEADING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", plain))


def _markdown_blocks(block: Block) -> Iterator[str]:
    if isinstance(block, str):
        yield escape_markdown(block)
    elif isinstance(block, Code):
        yield "    " + printable(block.text)
    elif isinstance(block, Table):
        yield from _markdown_table(block)
    elif isinstance(block, ContactSheet):
        rows = tuple((case.first, case.second, similarity(case.similarity), case.verdict) for case in block.cases)
        yield from _markdown_table(Table(block.title, ("First", "Second", "Similarity", "Verdict"), rows))
    else:
        yield from _markdown_table(as_table(block))


def _markdown_table(table: Table) -> Iterator[str]:
    yield f"### {escape_markdown(table.title)}"
    if table.rows:
        rows = [[escape_markdown(cell) or " " for cell in row] for row in (table.headings, *table.rows)]
        lines = ["| " + " | ".join(row) + " |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
        yield "\n".join(lines)
    else:
        yield "Nothing to show."


def as_page(title: str, chapters: Sequence[Chapter]) -> str:
    """Return a report as one HTML page, with all names of people and files escaped."""
    page, style = ((files(__package__) / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    style = "\n" + style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    parts = [_chapter(number, chapter) for number, chapter in enumerate(chapters)]
    content = "\n".join([*parts[:1], _contents(chapters), *parts[1:]])
    return page.format(policy=policy, title=escape_html(title), style=style, content=content)


def _words(text: str) -> str:
    """Return escaped text with a no-break space before each percent sign."""
    return escape_html(text).replace(" %", "\N{NO-BREAK SPACE}%")


def _contents(chapters: Sequence[Chapter]) -> str:
    links = "".join(
        f'<li><a href="#part-{number}">{escape_html(chapter.title)}</a></li>'
        for number, chapter in enumerate(chapters)
        if chapter.title
    )
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def _chapter(number: int, chapter: Chapter) -> str:
    attribute = ' class="summary"' if not chapter.title else ""
    heading = f"<h2>{escape_html(chapter.title)}</h2>\n" if chapter.title else ""
    blocks = "\n".join(_block(block) for block in chapter.blocks)
    return f'<section id="part-{number}"{attribute}>\n{heading}{blocks}\n</section>'


def _block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{_words(block)}</p>"
    if isinstance(block, Code):
        return f"<pre><code>{escape_html(block.text)}</code></pre>"
    if isinstance(block, Table):
        return _table(block)
    return _sheet(block) if isinstance(block, ContactSheet) else _plot(block)


def _table(table: Table) -> str:
    if not table.rows:
        return f'<p><strong>{escape_html(table.title)}</strong></p>\n<p class="nothing">Nothing to show.</p>'
    head = "".join(f'<th scope="col">{escape_html(heading)}</th>' for heading in table.headings)
    head = f"<thead><tr>{head}</tr></thead>" if any(table.headings) else ""
    rows = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    caption = f"<caption>{escape_html(table.title)}</caption>"
    return f'<div class="wide"><table>{caption}{head}<tbody>\n{rows}\n</tbody></table></div>'


def _cell(text: str) -> str:
    attribute = ' class="number"' if text.strip() and _NUMBERS.fullmatch(text) else ""
    return f'<td dir="auto"{attribute}>{_words(text)}</td>'


def _plot(item: Curves | Matrix | Histogram) -> str:
    picture = draw(item)
    return (
        f'<figure class="plot"><figcaption>{escape_html(item.title)}</figcaption>'
        f'<img src="{picture.url}" alt="{escape_html(picture.description)}">'
        f"<details><summary>As a table</summary>{_table(as_table(item))}</details></figure>"
    )


def _sheet(sheet: ContactSheet) -> str:
    heading = f"<h3>{escape_html(sheet.title)}</h3>"
    if not sheet.cases:
        return f'{heading}\n<p class="nothing">Nothing to show.</p>'
    return f'{heading}\n<div class="cases">\n' + "\n".join(map(_case, sheet.cases)) + "\n</div>"


def _case(case: Evidence) -> str:
    faces = "".join(
        _face(name, face, None if case.maps is None else case.maps[side])
        for side, (name, face) in enumerate(zip((case.first, case.second), case.faces, strict=True))
    )
    return (
        f'<article class="case">{faces}'
        f'<p class="similarity">Similarity <strong>{similarity(case.similarity)}</strong></p>'
        f'<p dir="auto">{escape_html(case.verdict)}</p></article>'
    )


def _face(name: str, face: RGBImage, explanation: RGBImage | None) -> str:
    images = _image(face, f"Face of {name}")
    if explanation is not None:
        images += _image(explanation, f"Heat map of the similarity of {name}")
    caption = _BREAKS.sub("<wbr>", escape_html(name))  # allows line breaks in long paths
    return f'<figure class="face">{images}<figcaption><bdi>{caption}</bdi></figcaption></figure>'


def _image(pixels: RGBImage, description: str) -> str:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_MAX_FACE, _MAX_FACE), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape_html(description)}" width="112" height="112">'
