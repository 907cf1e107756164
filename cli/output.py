"""What commands print: results on standard output; messages and progress on standard error.

Everything from outside is escaped here. Rich is loaded only where a terminal shows what it draws.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeAlias

from facebank.storage.text import is_formula, printable, spreadsheet_cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from facebank.operations.inputs import Gathered

Styles: TypeAlias = Mapping[str, str]

DEGREES = 90
"""Of a quarter turn: JSON gives how far a photo was turned in degrees."""

_BETWEEN = 3  # columns of a drawn table
_MOST_ABOVE = 3  # columns that may be lines of their own, above the others


def is_interactive() -> bool:
    """Return whether somebody at a terminal can be asked a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def shows_colors() -> bool:
    """Return whether standard output is a terminal whose user wants colors."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def write_json(record: Mapping[str, object]) -> None:
    """Write one JSON object on one line of standard output, in ASCII: safe to show whatever it holds."""
    sys.stdout.write(json.dumps(record, allow_nan=False) + "\n")
    sys.stdout.flush()


def write_line(text: str) -> None:
    """Write one line for people on standard output."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """Write one message on standard error; no-op where nobody reads that any more: the work goes on."""
    try:
        sys.stderr.write(f"facebank: {printable(message)}\n")
        sys.stderr.flush()
    except OSError:
        write_nowhere(sys.stderr)


def write_nowhere(stream: TextIO) -> None:
    """Let a stream lead nowhere, so that nothing fails, also when the process ends, because nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write how many there are of something, ``1 photo`` or ``2,000 photos``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def short_path(path: str) -> str:
    """Write a path for people: from the current folder on, where it lies in it."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def tell_skipped(gathered: Gathered) -> None:
    """Say on standard error how many videos and pictures of each unread kind were passed over, if there are any."""
    from facebank.media import counted_skipped

    if gathered.videos:
        say(f"{counted(gathered.videos, 'video')} skipped")
    tell_annotated(gathered.annotated)
    pictures = counted_skipped(kind for _, kind in gathered.skipped)
    if pictures:
        say(f"{pictures} skipped: save them as JPEG or PNG to have them read")


def tell_annotated(count: int) -> None:
    """Say on standard error how many annotated copies were passed over, if there are any."""
    if count:
        say(f"{counted(count, 'annotated copy', 'annotated copies')} skipped, with frames that facebank drew")


def write_skipped(gathered: Gathered, blank: Mapping[str, object], says: str = "error") -> None:
    """Write a JSON object for each picture that was passed over.

    Parameters
    ----------
    gathered
        What the folders hold.
    blank
        The command's record of a photo of which nothing is known.
    says
        The record's key that says in words why.
    """
    from facebank.media import skipped_message

    for path, kind in gathered.skipped:
        write_json({**blank, "image": str(path), says: skipped_message(str(path), kind), "skipped": kind.code})


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write comma-separated values with a line of titles, row by row as they come.

    The first column holds paths. Each is written as it is, its undecodable bytes too, so that a program finds the file;
    only on a terminal, which would act on what is in it, it is escaped.
    """
    import csv

    path_cell = spreadsheet_cell if sys.stdout.isatty() else _path_cell
    if not sys.stdout.isatty() and isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding.lower() == "utf-8":
        sys.stdout.reconfigure(errors="surrogateescape")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in _titled(columns, rows):
        writer.writerow((path_cell(row[0]), *map(spreadsheet_cell, row[1:])))
        sys.stdout.flush()


def _path_cell(path: str) -> str:
    """Return a path of the same file that no spreadsheet takes for a formula."""
    return os.path.join(os.curdir, path) if is_formula(path[:1]) else path  # noqa: PTH118 - Path drops the dot


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: Styles | None = None) -> None:
    """Write a table: drawn, with colors, on a terminal; elsewhere tab-separated lines as the rows come.

    Parameters
    ----------
    columns
        Their titles, the first line.
    rows
        Their cells, raw.
    styles
        Rich styles of cells that hold exactly a given text.
    """
    if not sys.stdout.isatty():
        for row in _titled(columns, rows):
            _write_cells(row)
        return
    lines: list[Sequence[str]] = []
    try:
        lines.extend(_titled(columns, rows))
    finally:
        if lines:
            _draw_table(lines[0], lines[1:], styles or {})


def _titled(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Put the titles before the rows once the first row is there: what fails before that writes nothing."""
    coming = iter(rows)
    first = list(islice(coming, 1))
    yield columns
    yield from first
    yield from coming


def _write_cells(cells: Sequence[str]) -> None:
    sys.stdout.write("\t".join(map(printable, cells)) + "\n")
    sys.stdout.flush()


def _draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> None:
    from rich.cells import cell_len
    from rich.console import Console

    console = Console(file=sys.stdout)
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *shown, strict=True)]
    if sum(widths) + _BETWEEN * len(widths) <= console.width:
        console.print(_table(columns, shown, styles))
        return
    above = next((n for n in range(1, _MOST_ABOVE + 1) if sum(width + 2 for width in widths[n:]) <= console.width), 0)
    lines = _under_lines(columns, shown, widths, styles, above) if above else _as_records(columns, shown, styles)
    for line in lines:
        console.print(line, soft_wrap=True)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(title, overflow="fold") for title in columns), box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, styles.get(cell, "")) for cell in row))
    return table


def _under_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], styles: Styles, above: int
) -> Iterator[Text]:
    """Yield a table that is too wide: the first `above` columns have lines of their own, with the rest under them."""
    from rich.cells import cell_len
    from rich.text import Text

    def line(cells: Sequence[str], styled: Styles) -> Text:
        parts = list[tuple[str, str]]()
        for cell, width in zip(cells, widths[above:], strict=True):
            parts += [(cell, styled.get(cell, "")), (" " * (width - cell_len(cell) + 2), "")]
        indented = Text.assemble("  ", *parts)
        indented.rstrip()
        return indented

    yield Text("  ".join(columns[:above]), "bold")
    yield line(columns[above:], dict.fromkeys(columns, "bold"))
    before = None
    for row in rows:
        first = "  ".join(row[:above])
        if first != before:
            yield Text(first)
        yield line(row[above:], styles)
        before = first


def _as_records(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> Iterator[Text]:
    """Yield a table whose rows fit under no line: each cell that holds something has a line of its own."""
    from rich.text import Text

    for first, *rest in rows:
        yield Text(first, "bold")
        for title, cell in zip(columns[1:], rest, strict=True):
            if cell:
                yield Text.assemble(f"  {title}: ", (cell, styles.get(cell, "")))
