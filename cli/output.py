"""What commands print: results on standard output; messages and progress on standard error.

Everything from outside is escaped here. Rich is loaded only where a terminal shows what it draws.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from facebank.text import printable

Advance: TypeAlias = Callable[[], None]
Styles: TypeAlias = Mapping[str, str]


def write_json(record: Mapping[str, object]) -> None:
    """Write one JSON object on one line of standard output, in ASCII: safe to show whatever it holds."""
    sys.stdout.write(json.dumps(record, allow_nan=False) + "\n")
    sys.stdout.flush()


def write_line(text: str) -> None:
    """Write one line for people on standard output."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """Write one message on standard error."""
    sys.stderr.write(f"facebank: {printable(message)}\n")
    sys.stderr.flush()


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles | None = None) -> None:
    """Write a table: drawn, with colours, on a terminal; elsewhere tab-separated lines, the first with the columns.

    Parameters
    ----------
    columns
        Their titles.
    rows
        Their cells, raw.
    styles
        Rich styles of cells that hold exactly a given text.
    """
    if sys.stdout.isatty():
        _draw_table(columns, rows, styles or {})
    else:
        for row in [columns, *rows]:
            sys.stdout.write("\t".join(map(printable, row)) + "\n")
        sys.stdout.flush()


def _draw_table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*map(Text, columns), box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(printable(cell), styles.get(cell, "")) for cell in row))
    Console(file=sys.stdout).print(table)


@contextmanager
def progress(what: str, total: int, *, writes_json: bool = False) -> Iterator[Advance]:
    """Show a bar with the time left on standard error, if that is a terminal and there is more than one step.

    Parameters
    ----------
    what
        What is done, such as ``Reading photos``.
    total
        How many steps there are.
    writes_json
        Whether JSON is written meanwhile; the bar stays away where both would go to the terminal.

    Yields
    ------
    Advance
        To be called after each step.
    """
    crossing = writes_json and sys.stdout.isatty()
    if total < 2 or crossing or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
