"""Parts of all readers of datasets: files read within limits, CSV tables, names of people, photos within a folder."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facebank.errors import DatasetError, InvalidNameError
from facebank.evaluation.dataset import LeftOut
from facebank.gallery.names import name_key, normalize_name
from facebank.media import find_photos
from facebank.storage.text import printable

LARGEST_TEXT = 64 * 1024**2
"""Bytes of a list of photos, boxes or pairs."""

_LONGEST_SHOWN = 80
_SEPARATORS = ",;\t"
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class UnusableError(Exception):
    """Raised for one unusable entry of a dataset; the readers catch it and go on."""


def broken(path: Path, why: str) -> DatasetError:
    """Return the error for a file or folder."""
    return DatasetError(f"{printable(str(path))}: {why}")


def shown(value: object) -> str:
    """Return a value from outside for a message: escaped, and cut to 80 characters."""
    text = str(value)
    return printable(text[:_LONGEST_SHOWN]) + ("..." if len(text) > _LONGEST_SHOWN else "")


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes; raises `DatasetError` if it is missing, larger or not regular."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise broken(path, "it is no file")
        if status.st_size > most:
            raise broken(path, f"it has {status.st_size:,} bytes, and such a file may have {most:,}")
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise broken(path, f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise broken(path, "that is no path") from error
    if len(data) > most:
        raise broken(path, f"it has more than {most:,} bytes")
    return data


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark; raises `DatasetError`."""
    try:
        return read_bytes(path, LARGEST_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise broken(path, f"it is no UTF-8 text: byte {error.start} cannot be read") from error


def read_json(path: Path) -> object:
    """Read a JSON file within `LARGEST_TEXT`; raises `DatasetError`."""
    text = read_text(path)
    try:
        parsed: object = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise broken(path, f"it is broken JSON: line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise broken(path, f"it is broken JSON: {shown(error)}") from error
    return parsed


def need_photos(path: Path, photos: Sequence[object], left_out: Sequence[LeftOut]) -> None:
    """Raise a `DatasetError` with the first reason if no photos are left."""
    if photos:
        return
    if not left_out:
        raise broken(path, "it names no photos")
    first = left_out[0]
    raise broken(path, f"nothing in it can be used, beginning with {first.what}: {first.why}")


def split_named(text: str) -> str | None:
    """Return ``train``, ``validation`` or ``test`` for the usual names of these parts, None for any other."""
    return _SPLITS.get(text.strip().casefold())


@dataclass(slots=True)
class People:
    """People by name: spellings that differ only in case or spaces are one person."""

    _first: dict[str, str] = field(default_factory=dict)
    _spellings: dict[str, dict[str, None]] = field(default_factory=dict)

    def named(self, text: str) -> str:
        """Return a person's first spelling; raises `UnusableError` for an invalid name."""
        try:
            name = normalize_name(text)
        except InvalidNameError as error:
            raise UnusableError(str(error).removesuffix(".")) from error
        key = name_key(name)
        self._spellings.setdefault(key, {})[text] = None
        return self._first.setdefault(key, name)

    @property
    def joined(self) -> list[LeftOut]:
        """Notes on the people with several spellings."""
        return [
            LeftOut(" and ".join(map(printable, texts)), f"one person by case and spaces: joined as {self._first[key]}")
            for key, texts in self._spellings.items()
            if len(texts) > 1
        ]


@dataclass(slots=True)
class PhotoFolder:
    """The folder that holds the photos of a list: paths that lead out of it are refused."""

    folder: Path
    _root: Path = field(init=False)
    _by_name: dict[str, list[Path]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        try:
            self._root = self.folder.resolve(strict=True)
            is_folder = self._root.is_dir()
        except (OSError, RuntimeError, ValueError):
            is_folder = False
        if not is_folder:
            raise broken(self.folder, "there is no such folder of photos")

    def at(self, named: str) -> Path:
        """Return the photo at a path below the folder, links resolved; raises `UnusableError` if missing or outside."""
        if not named or "\0" in named:
            raise UnusableError("it has no name" if not named else "that is no path")
        try:
            inside = (self._root / named).resolve().relative_to(self._root)
        except ValueError:
            raise UnusableError(f"it is outside the folder {printable(self.folder.name or str(self._root))}") from None
        except (OSError, RuntimeError):
            raise UnusableError("that path leads nowhere") from None
        path = self.folder / inside
        try:
            exists = path.is_file()
        except OSError:
            exists = False
        if not exists:
            raise UnusableError("there is no such photo")
        return path

    def called(self, names: Iterable[str]) -> Path:
        """Return the photo at the first of some paths, else the only one of such a file name below the folder.

        Raises `UnusableError` if there is none or there are several.
        """
        wanted = tuple(dict.fromkeys(names))
        reasons = list[str]()
        for name in wanted:
            try:
                return self.at(name)
            except UnusableError as error:
                reasons.append(str(error))
        for name in wanted:
            found = self._named(name.replace("\\", "/").rpartition("/")[2])
            if len(found) > 1:
                raise UnusableError("there are several photos of this name")
            if found:
                return self.at(found[0].relative_to(self.folder).as_posix())
        raise UnusableError(reasons[0] if reasons else "it has no name")

    def name_of(self, path: Path) -> str:
        """Return a photo's path below the folder, safe to print."""
        return printable(path.relative_to(self.folder).as_posix())

    def _named(self, file_name: str) -> list[Path]:
        if self._by_name is None:
            self._by_name = {}
            for path in find_photos(self.folder):
                self._by_name.setdefault(path.name, []).append(path)
        return self._by_name.get(file_name, [])


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row: its line in the file, from 1, and its values by column."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The columns, the rows with a value for each, and notes on the other rows."""

    columns: tuple[str, ...]
    rows: tuple[CsvRow, ...]
    left_out: tuple[LeftOut, ...]


def read_columns(path: Path, first_line: str) -> tuple[tuple[str, ...], str]:
    """Return the columns of a first line, in lower case, and their separator; raises `DatasetError`."""
    separator = max(_SEPARATORS, key=first_line.count)
    try:
        names = next(csv.reader([first_line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise broken(path, f"line 1: {error}") from error
    return tuple(name.strip().casefold() for name in names), separator


def read_table(path: Path, needed: Collection[str]) -> CsvTable:
    """Read a CSV file in UTF-8, separated by commas, semicolons or tabs, its columns named in the first line.

    `needed` are the columns that must be present, in lower case. Raises `DatasetError`.
    """
    text = read_text(path)
    columns, separator = read_columns(path, text.partition("\n")[0].rstrip("\r"))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise broken(path, f"line 1: the column '{missing[0]}' is missing; needed are {', '.join(needed)}")
    if len(set(columns)) != len(columns):
        raise broken(path, "line 1: two columns have the same name")
    rows, left_out = list[CsvRow](), list[LeftOut]()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        next(reader)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) == len(columns):
                values = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
                rows.append(CsvRow(reader.line_num, values))
            else:
                why = f"it has {len(cells)} values, and there are {len(columns)} columns"
                left_out.append(LeftOut(f"line {reader.line_num}", why))
    except csv.Error as error:
        raise broken(path, f"line {reader.line_num}: {error}") from error
    return CsvTable(columns, tuple(rows), tuple(left_out))


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
