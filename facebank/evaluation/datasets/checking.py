"""Shared parts of dataset readers: size-limited files, CSV tables, names of people, and photos below a folder."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facebank.errors import DatasetError, InvalidNameError
from facebank.evaluation.dataset import SkippedEntry
from facebank.gallery.names import name_key, normalize_name
from facebank.media import find_photos
from facebank.storage.files import read_reason
from facebank.storage.text import printable

MAX_TEXT = 64 * 1024**2
"""Largest list of photos, boxes or pairs, in bytes."""

_MAX_SHOWN = 80
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


class UnusableEntryError(Exception):
    """An unusable entry of a dataset, which the reader skips."""


def file_error(path: Path, reason: str) -> DatasetError:
    """Return the error for an unusable file or folder."""
    return DatasetError(f"{printable(str(path))}: {reason}")


def shorten(value: object) -> str:
    """Return an untrusted value for a message: escaped, and cut to 80 characters."""
    text = str(value)
    return printable(text[:_MAX_SHOWN]) + ("..." if len(text) > _MAX_SHOWN else "")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return a file of at most `max_bytes` bytes; raises `DatasetError` if it is missing, larger or not regular."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise file_error(path, "not a regular file")
        if status.st_size > max_bytes:
            raise file_error(path, f"{status.st_size:,} bytes exceed the limit of {max_bytes:,}")
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise file_error(path, f"cannot be read: {read_reason(error)}") from error
    except ValueError as error:
        raise file_error(path, "not a valid path") from error
    if len(data) > max_bytes:
        raise file_error(path, f"exceeds the limit of {max_bytes:,} bytes")
    return data


def read_text(path: Path) -> str:
    """Return a text file in UTF-8, without its byte order mark; raises `DatasetError` if it cannot be read."""
    try:
        return read_bytes(path, MAX_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise file_error(path, f"not UTF-8 text: invalid byte at {error.start}") from error


def read_json(path: Path) -> object:
    """Return the content of a JSON file of at most `MAX_TEXT` bytes; raises `DatasetError` if it is invalid."""
    text = read_text(path)
    try:
        parsed: object = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise file_error(path, f"invalid JSON: line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise file_error(path, f"invalid JSON: {shorten(error)}") from error
    return parsed


def check_photos(path: Path, photos: Sequence[object], skipped: Sequence[SkippedEntry]) -> None:
    """Raise `DatasetError` with the first reason if there are no photos."""
    if photos:
        return
    if not skipped:
        raise file_error(path, "no photos are listed")
    first = skipped[0]
    raise file_error(path, f"no entry can be used; the first, {first.entry}: {first.reason}")


def parse_split(text: str) -> str | None:
    """Return ``train``, ``validation`` or ``test`` for common names of these splits, None for any other name."""
    return _SPLITS.get(text.strip().casefold())


@dataclass(slots=True)
class People:
    """People by name; spellings that differ only in case or spaces are one person."""

    _first: dict[str, str] = field(default_factory=dict)
    _spellings: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, text: str) -> str:
        """Record a spelling of a name and return the first one; raises `UnusableEntryError` for an invalid name."""
        try:
            name = normalize_name(text)
        except InvalidNameError as error:
            raise UnusableEntryError(str(error).removesuffix(".")) from error
        key = name_key(name)
        self._spellings.setdefault(key, {})[text] = None
        return self._first.setdefault(key, name)

    @property
    def notes(self) -> list[SkippedEntry]:
        """Entries for the people with several spellings."""
        return [
            SkippedEntry(
                " and ".join(map(printable, texts)), f"differ only in case or spaces: joined as {self._first[key]}"
            )
            for key, texts in self._spellings.items()
            if len(texts) > 1
        ]


@dataclass(slots=True)
class PhotoFolder:
    """The folder of the photos of a list; paths that lead out of it are rejected."""

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
            raise file_error(self.folder, "no such folder of photos")

    def find(self, name: str) -> Path:
        """Return the photo at a path in the folder, links resolved; raises `UnusableEntryError` unless it is inside."""
        if not name or "\0" in name:
            raise UnusableEntryError("the path is empty" if not name else "not a valid path")
        try:
            relative = (self._root / name).resolve().relative_to(self._root)
        except ValueError:
            raise UnusableEntryError(f"outside the folder {printable(self.folder.name or str(self._root))}") from None
        except (OSError, RuntimeError):
            raise UnusableEntryError("the path cannot be resolved") from None
        path = self.folder / relative
        try:
            exists = path.is_file()
        except OSError:
            exists = False
        if not exists:
            raise UnusableEntryError("no such photo")
        return path

    def find_any(self, names: Iterable[str]) -> Path:
        """Return the photo at the first existing path, else the only photo below the folder with that file name.

        Raises `UnusableEntryError` if there is none, or several have the name.
        """
        candidates = tuple(dict.fromkeys(names))
        reasons = list[str]()
        for name in candidates:
            try:
                return self.find(name)
            except UnusableEntryError as error:
                reasons.append(str(error))
        for name in candidates:
            paths = self._paths_named(name.replace("\\", "/").rpartition("/")[2])
            if len(paths) > 1:
                raise UnusableEntryError("several photos have this name")
            if paths:
                return self.find(paths[0].relative_to(self.folder).as_posix())
        raise UnusableEntryError(reasons[0] if reasons else "the path is empty")

    def label(self, path: Path) -> str:
        """Return a photo's printable path relative to the folder."""
        return printable(path.relative_to(self.folder).as_posix())

    def _paths_named(self, file_name: str) -> list[Path]:
        if self._by_name is None:
            self._by_name = {}
            for path in find_photos(self.folder):
                self._by_name.setdefault(path.name, []).append(path)
        return self._by_name.get(file_name, [])


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row of a CSV table: its line in the file, from 1, and its values by column."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A CSV table: its columns, the complete rows, and entries for the other rows."""

    columns: tuple[str, ...]
    rows: tuple[CsvRow, ...]
    skipped: tuple[SkippedEntry, ...]


def read_columns(path: Path, first_line: str) -> tuple[tuple[str, ...], str]:
    """Return the columns of a header line, in lower case, and their separator; raises `DatasetError`."""
    separator = max(_SEPARATORS, key=first_line.count)
    try:
        names = next(csv.reader([first_line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise file_error(path, f"line 1: {error}") from error
    return tuple(name.strip().casefold() for name in names), separator


def read_table(path: Path, required: Collection[str]) -> CsvTable:
    """Return a UTF-8 CSV table with a header line, separated by commas, semicolons or tabs.

    Raises `DatasetError` if it is invalid, or lacks one of the columns `required`, which are in lower case.
    """
    text = read_text(path)
    columns, separator = read_columns(path, text.partition("\n")[0].rstrip("\r"))
    missing = [name for name in required if name not in columns]
    if missing:
        raise file_error(path, f"line 1: the column '{missing[0]}' is missing; required are {', '.join(required)}")
    if len(set(columns)) != len(columns):
        raise file_error(path, "line 1: two columns have the same name; rename one")
    rows, skipped = list[CsvRow](), list[SkippedEntry]()
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
                reason = f"{len(cells)} values for {len(columns)} columns"
                skipped.append(SkippedEntry(f"line {reader.line_num}", reason))
    except csv.Error as error:
        raise file_error(path, f"line {reader.line_num}: {error}") from error
    return CsvTable(columns, tuple(rows), tuple(skipped))


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")
