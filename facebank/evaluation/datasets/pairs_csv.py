"""CSV tables of pairs: ``first,second,same``, and optionally ``fold``, ``first_person``, ``second_person``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pair, SkippedEntry
from facebank.evaluation.datasets.checking import (
    CsvRow,
    CsvTable,
    People,
    PhotoFolder,
    UnusableError,
    broken,
    need_photos,
    read_table,
    shown,
)
from facebank.evaluation.datasets.folders import title_of

PAIR_COLUMNS = ("first", "second", "same")

_SAME = {
    **dict.fromkeys(("1", "true", "yes", "same"), True),
    **dict.fromkeys(("0", "false", "no", "different"), False),
}


def read_pairs_csv(path: Path, photos: Path | None = None) -> Dataset:
    """Read a table of pairs; unusable rows are listed in `skipped`.

    The columns ``first`` and ``second`` are paths of photos; ``same`` is 1, true, yes or same, or 0, false, no or
    different; ``fold`` is an integer from 0. ``first_person`` and ``second_person`` are names or empty. Without these
    columns, photos are labeled by their folders, unless a pair contradicts that: then all are unlabeled.

    Parameters
    ----------
    path
        The table.
    photos
        The folder that the paths are relative to and must not leave; None for the table's own.

    Raises
    ------
    DatasetError
        The file is not a table of pairs, or none of its rows is usable.
    """
    table = read_table(path, PAIR_COLUMNS)
    has_people = "first_person" in table.columns
    if has_people != ("second_person" in table.columns):
        raise broken(path, "line 1: one of the columns first_person and second_person is missing")
    if not table.rows and not table.skipped:
        raise broken(path, "the list of pairs is empty")
    read = _Read(PhotoFolder(photos or path.parent), has_people)
    skipped = [*table.skipped, *_add_all(read, table)]
    need_photos(path, read.pairs, skipped)
    if not has_people:
        skipped += read.name_by_folders()
    return Dataset(title_of(path), tuple(read.photos), tuple(read.pairs), skipped=(*skipped, *read.people.joined))


def _add_all(read: _Read, table: CsvTable) -> list[SkippedEntry]:
    skipped = list[SkippedEntry]()
    for row in table.rows:
        try:
            read.add(row)
        except UnusableError as error:
            skipped.append(SkippedEntry(f"line {row.line}", str(error)))
    return skipped


@dataclass(slots=True)
class _Read:
    """The pairs read so far."""

    folder: PhotoFolder
    has_people: bool
    photos: list[DatasetPhoto] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    people: People = field(default_factory=People)
    _indices: dict[Path, int] = field(default_factory=dict)
    _lines: dict[frozenset[Path], int] = field(default_factory=dict)

    def add(self, row: CsvRow) -> None:
        """Add a pair; raises `UnusableError` before anything is changed."""
        paths = [self._find(row.values[column]) for column in ("first", "second")]
        if paths[0] == paths[1]:
            raise UnusableError(f"{self.folder.name_of(paths[0])} is paired with itself")
        same, fold = _same(row.values["same"]), _fold(row.values.get("fold", ""))
        known = self._lines.get(frozenset(paths))
        if known is not None:
            raise UnusableError(f"same pair as in line {known}")
        people = [self._person(row, column, path) for column, path in zip(("first", "second"), paths, strict=True)]
        if None not in people and (people[0] == people[1]) != same:
            raise UnusableError("same is yes for two people" if same else "same is no for one person")
        first, second = (self._index(path, person) for path, person in zip(paths, people, strict=True))
        self._lines[frozenset(paths)] = row.line
        self.pairs.append(Pair(first, second, same, fold))

    def name_by_folders(self) -> list[SkippedEntry]:
        """Label the photos by their folders, unless a pair contradicts that; return the entries to report."""
        owners = [self._owner(photo) for photo in self.photos]
        for pair in self.pairs:
            first, second = owners[pair.first], owners[pair.second]
            if first is not None and second is not None and (first == second) != pair.same:
                why = f"the pair {self.photos[pair.first].name} and {self.photos[pair.second].name} contradicts them"
                return [SkippedEntry("names of people", f"folders are not used as names: {why}")]
        self.photos = [replace(photo, person=owner) for photo, owner in zip(self.photos, owners, strict=True)]
        return []

    def _find(self, named: str) -> Path:
        try:
            return self.folder.at(named)
        except UnusableError as error:
            hint = "; use / in paths, not \\" if self._is_with_slashes(named) else ""
            raise UnusableError(f"{shown(named) or 'a photo'}: {error}{hint}") from error

    def _is_with_slashes(self, named: str) -> bool:
        try:
            return "\\" in named and self.folder.at(named.replace("\\", "/")).exists()
        except UnusableError:
            return False

    def _person(self, row: CsvRow, column: str, path: Path) -> str | None:
        text = row.values[f"{column}_person"] if self.has_people else ""
        person = self.people.named(text) if text else None
        index = self._indices.get(path)
        if index is None or person is None:
            return person if index is None else self.photos[index].person
        before = self.photos[index].person
        if before not in (None, person):
            raise UnusableError(f"{self.photos[index].name} is labeled {person}, but {before} in an earlier line")
        return person

    def _index(self, path: Path, person: str | None) -> int:
        index = self._indices.setdefault(path, len(self.photos))
        if index == len(self.photos):
            self.photos.append(DatasetPhoto(self.folder.name_of(path), person, path))
        elif person is not None:
            self.photos[index] = replace(self.photos[index], person=person)
        return index

    def _owner(self, photo: DatasetPhoto) -> str | None:
        parts = photo.content.relative_to(self.folder.folder).parts if isinstance(photo.content, Path) else ()
        try:
            return self.people.named(parts[-2]) if len(parts) > 1 else None
        except UnusableError:
            return None


def _same(text: str) -> bool:
    try:
        return _SAME[text.casefold()]
    except KeyError:
        raise UnusableError(f"same is '{shown(text)}'; expected 1 or 0") from None


def _fold(text: str) -> int:
    if not re.fullmatch("[0-9]{0,4}", text):
        raise UnusableError(f"fold is '{shown(text)}'; expected an integer from 0")
    return int(text or 0)
