"""Tables in CSV files: comma, semicolon or tab, the columns named in the first line."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.datasets.checking import broken, read_text

_SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its line in the file, from 1, and its values by column."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The columns, the rows that have a value for each of them, and those that have not."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]


def read_columns(path: Path, first_line: str) -> tuple[tuple[str, ...], str]:
    """Return the columns that a first line names, in small letters, and what separates them; raises `DatasetError`."""
    separator = max(_SEPARATORS, key=first_line.count)
    try:
        names = next(csv.reader([first_line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise broken(path, f"line 1: {error}") from error
    return tuple(name.strip().casefold() for name in names), separator


def read_table(path: Path, needed: Collection[str]) -> Table:
    """Read a table in UTF-8.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that must be there, in small letters; there may be others.

    Raises
    ------
    DatasetError
        It is too large, no text, no table, or lacks a column.
    """
    text = read_text(path)
    columns, separator = read_columns(path, text.partition("\n")[0].rstrip("\r"))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise broken(path, f"line 1: the column '{missing[0]}' is missing; needed are {', '.join(needed)}")
    if len(set(columns)) != len(columns):
        raise broken(path, "line 1: two columns have the same name")
    rows, left_out = list[Row](), list[LeftOut]()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(reader)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) == len(columns):
                values = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
                rows.append(Row(reader.line_num, values))
            else:
                why = f"it has {len(cells)} values, and there are {len(columns)} columns"
                left_out.append(LeftOut(f"line {reader.line_num}", why))
    except csv.Error as error:
        raise broken(path, f"line {reader.line_num}: {error}") from error
    return Table(columns, tuple(rows), tuple(left_out))
