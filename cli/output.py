"""Output of commands: results on standard output, messages on standard error.

Text from files and users is escaped here. Rich is imported only to draw tables on a terminal.
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

from facebank.storage.text import is_formula, pluralize, printable, spreadsheet_cell

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from facebank.operations.inputs import GatheredPhotos

Styles: TypeAlias = Mapping[str, str]

_MAX_LISTED = 12  # default number of items that `join_first` lists
_COLUMN_GAP = 3  # characters between columns of a drawn table
_MAX_COLUMNS_ABOVE = 3  # columns of a wide table that may move to a line above the others


def is_interactive() -> bool:
    """Return whether a user at a terminal can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def shows_colors() -> bool:
    """Return whether standard output is a terminal and ``NO_COLOR`` is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def write_json(record: Mapping[str, object]) -> None:
    """Write one JSON object on one line of standard output, in ASCII, which is safe on any terminal."""
    sys.stdout.write(json.dumps(record, allow_nan=False) + "\n")
    sys.stdout.flush()


def write_line(text: str) -> None:
    """Write one line of text to standard output."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """Write one message to standard error; no-op if that is closed, so that the command continues."""
    try:
        sys.stderr.write(f"facebank: {printable(message)}\n")
        sys.stderr.flush()
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Redirect a stream without a reader to the null device, so that later writes, even at exit, do not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def join_first(items: Sequence[object], limit: int = _MAX_LISTED) -> str:
    """Return the first items of a list and the number of the others: ``1/4, 2/4 and 2 more``."""
    suffix = f" and {len(items) - limit:,} more" if len(items) > limit else ""
    return ", ".join(map(str, items[:limit])) + suffix


def scan_line(path: Path, *, faces: int, photos: int, files: int, parquet_shards: int | None = None) -> str:
    """Return the path of a scan with its counts: ``a.scan: 3 faces in 2 photos (2 files)``."""
    parquet = "" if parquet_shards is None else f", {pluralize(parquet_shards, 'Parquet shard')}"
    return f"{path}: {pluralize(faces, 'face')} in {pluralize(photos, 'photo')} ({pluralize(files, 'file')}{parquet})"


def short_path(path: str) -> str:
    """Return a path relative to the current folder if the file is in it."""
    return path.removeprefix(f"{Path.cwd()}{os.sep}")


def report_skipped(gathered: GatheredPhotos) -> None:
    """Report the number of skipped videos, annotated copies and unsupported pictures on standard error."""
    from facebank.media import describe_skipped

    if gathered.videos:
        say(f"{pluralize(gathered.videos, 'video')} skipped")
    report_annotated(gathered.annotated)
    pictures = describe_skipped(kind for _, kind in gathered.skipped)
    if pictures:
        say(f"{pictures} skipped: save them as JPEG or PNG to have them read")


def report_annotated(count: int) -> None:
    """Report the number of skipped annotated copies on standard error; no-op for 0."""
    if count:
        say(f"{pluralize(count, 'annotated copy', 'annotated copies')} skipped, with boxes drawn by facebank")


def write_skipped(gathered: GatheredPhotos, blank: Mapping[str, object], message_key: str = "error") -> None:
    """Write a JSON object for each unsupported picture.

    Parameters
    ----------
    gathered
        Files found in the folders.
    blank
        The command's record of a photo without results.
    message_key
        Key of the record for the reason in words.
    """
    from facebank.media import skipped_message

    for path, kind in gathered.skipped:
        write_json({**blank, "image": str(path), message_key: skipped_message(str(path), kind), "skipped": kind.code})


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write CSV with a header line, row by row.

    The first column holds paths, written verbatim, including undecodable bytes, so that programs find the files. On a
    terminal they are escaped.
    """
    import csv

    path_cell = spreadsheet_cell if sys.stdout.isatty() else _path_cell
    if not sys.stdout.isatty() and isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding.lower() == "utf-8":
        sys.stdout.reconfigure(errors="surrogateescape")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in _with_titles(columns, rows):
        writer.writerow((path_cell(row[0]), *map(spreadsheet_cell, row[1:])))
        sys.stdout.flush()


def _path_cell(path: str) -> str:
    """Return a path of the same file that no spreadsheet interprets as a formula."""
    return os.path.join(os.curdir, path) if is_formula(path[:1]) else path  # noqa: PTH118 - Path drops the dot


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: Styles | None = None) -> None:
    """Write a table: drawn in color on a terminal, otherwise tab-separated lines, row by row.

    Parameters
    ----------
    columns
        Titles of the columns.
    rows
        Cells of each row, not yet escaped.
    styles
        Rich styles by the full text of a cell.
    """
    if not sys.stdout.isatty():
        for row in _with_titles(columns, rows):
            _write_cells(row)
        return
    lines: list[Sequence[str]] = []
    try:
        lines.extend(_with_titles(columns, rows))
    finally:
        if lines:
            _draw_table(lines[0], lines[1:], styles or {})


def _with_titles(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the titles, then the rows; an error in the first row is raised before anything is yielded."""
    remaining = iter(rows)
    first = list(islice(remaining, 1))
    yield columns
    yield from first
    yield from remaining


def _write_cells(cells: Sequence[str]) -> None:
    sys.stdout.write("\t".join(map(printable, cells)) + "\n")
    sys.stdout.flush()


def _draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> None:
    from rich.cells import cell_len
    from rich.console import Console

    console = Console(file=sys.stdout)
    escaped = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *escaped, strict=True)]
    if sum(widths) + _COLUMN_GAP * len(widths) <= console.width:
        console.print(_table(columns, escaped, styles))
        return
    above = next(
        (n for n in range(1, _MAX_COLUMNS_ABOVE + 1) if sum(width + 2 for width in widths[n:]) <= console.width), 0
    )
    lines = _two_line_rows(columns, escaped, widths, styles, above) if above else _records(columns, escaped, styles)
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


def _two_line_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], styles: Styles, above: int
) -> Iterator[Text]:
    """Yield the lines of a wide table: the first `above` columns of a row on one line, the others on the next.

    Rows with the same first columns share that line.
    """
    from rich.cells import cell_len
    from rich.text import Text

    def line(cells: Sequence[str], cell_styles: Styles) -> Text:
        parts = list[tuple[str, str]]()
        for cell, width in zip(cells, widths[above:], strict=True):
            parts += [(cell, cell_styles.get(cell, "")), (" " * (width - cell_len(cell) + 2), "")]
        indented = Text.assemble("  ", *parts)
        indented.rstrip()
        return indented

    yield Text("  ".join(columns[:above]), "bold")
    yield line(columns[above:], dict.fromkeys(columns, "bold"))
    previous = None
    for row in rows:
        first = "  ".join(row[:above])
        if first != previous:
            yield Text(first)
        yield line(row[above:], styles)
        previous = first


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> Iterator[Text]:
    """Yield the lines of a table that is too wide for `_two_line_rows`: one line for each cell that is not empty."""
    from rich.text import Text

    for first, *others in rows:
        yield Text(first, "bold")
        for title, cell in zip(columns[1:], others, strict=True):
            if cell:
                yield Text.assemble(f"  {title}: ", (cell, styles.get(cell, "")))
