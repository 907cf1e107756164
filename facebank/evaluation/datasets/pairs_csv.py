"""A CSV table of pairs: ``first,second,same``, and optionally ``fold``, ``first_person``, ``second_person``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from facebank.evaluation.dataset import Dataset, DatasetPhoto, LeftOut, Pair
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
    """Read a table of pairs; rows that cannot be used are listed in `left_out`.

    The columns ``first`` and ``second`` are paths of photos, ``same`` is 1, true, yes or same, or 0, false, no or
    different; ``fold`` is a whole number. ``first_person`` and ``second_person`` are names, and may be empty; without
    these columns a photo's folder is its person, unless a pair contradicts that: then nobody has a name.

    Parameters
    ----------
    photos
        The folder that the paths are relative to, and must not leave; None for the table's own.

    Raises
    ------
    DatasetError
        The file is no such table, or none of its rows can be used.
    """
    table = read_table(path, PAIR_COLUMNS)
    has_people = "first_person" in table.columns
    if has_people != ("second_person" in table.columns):
        raise broken(path, "line 1: of the columns first_person and second_person one is missing")
    if not table.rows and not table.left_out:
        raise broken(path, "the list of pairs is empty")
    read = _Read(PhotoFolder(photos or path.parent), has_people)
    left_out = [*table.left_out, *_add_all(read, table)]
    need_photos(path, read.pairs, left_out)
    if not has_people:
        left_out += read.name_by_folders()
    return Dataset(title_of(path), tuple(read.photos), tuple(read.pairs), left_out=(*left_out, *read.people.joined))


def _add_all(read: _Read, table: CsvTable) -> list[LeftOut]:
    left_out = list[LeftOut]()
    for row in table.rows:
        try:
            read.add(row)
        except UnusableError as error:
            left_out.append(LeftOut(f"line {row.line}", str(error)))
    return left_out


@dataclass(slots=True)
class _Read:
    """The pairs read so far."""

    folder: PhotoFolder
    has_people: bool
    photos: list[DatasetPhoto] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    people: People = field(default_factory=People)
    _places: dict[Path, int] = field(default_factory=dict)
    _lines: dict[frozenset[Path], int] = field(default_factory=dict)

    def add(self, row: CsvRow) -> None:
        """Add a pair; raises `UnusableError` before anything is changed."""
        paths = [self._find(row.values[column]) for column in ("first", "second")]
        if paths[0] == paths[1]:
            raise UnusableError(f"it compares {self.folder.name_of(paths[0])} with itself")
        same, fold = _same(row.values["same"]), _fold(row.values.get("fold", ""))
        known = self._lines.get(frozenset(paths))
        if known is not None:
            raise UnusableError(f"line {known} has the same pair")
        people = [self._person(row, column, path) for column, path in zip(("first", "second"), paths, strict=True)]
        if None not in people and (people[0] == people[1]) != same:
            said = "of two people that they are one" if same else "of one person that it is two"
            raise UnusableError(f"it says {said}")
        first, second = (self._place(path, person) for path, person in zip(paths, people, strict=True))
        self._lines[frozenset(paths)] = row.line
        self.pairs.append(Pair(first, second, same, fold))

    def name_by_folders(self) -> list[LeftOut]:
        """Name the people after the photos' folders, unless the pairs contradict that; return notes."""
        owners = [self._owner(photo) for photo in self.photos]
        for pair in self.pairs:
            first, second = owners[pair.first], owners[pair.second]
            if first is not None and second is not None and (first == second) != pair.same:
                why = f"{self.photos[pair.first].name} and {self.photos[pair.second].name} contradict their folders"
                return [LeftOut("the names of the people", f"the folders are no people: {why}")]
        self.photos = [replace(photo, person=owner) for photo, owner in zip(self.photos, owners, strict=True)]
        return []

    def _find(self, named: str) -> Path:
        try:
            return self.folder.at(named)
        except UnusableError as error:
            hint = "; folders are separated by / there, not by \\" if self._is_with_slashes(named) else ""
            raise UnusableError(f"{shown(named) or 'a photo'}: {error}{hint}") from error

    def _is_with_slashes(self, named: str) -> bool:
        try:
            return "\\" in named and self.folder.at(named.replace("\\", "/")).exists()
        except UnusableError:
            return False

    def _person(self, row: CsvRow, column: str, path: Path) -> str | None:
        text = row.values[f"{column}_person"] if self.has_people else ""
        person = self.people.named(text) if text else None
        place = self._places.get(path)
        if place is None or person is None:
            return person if place is None else self.photos[place].person
        before = self.photos[place].person
        if before not in (None, person):
            raise UnusableError(f"{self.photos[place].name} is {before} in an earlier line, and {person} here")
        return person

    def _place(self, path: Path, person: str | None) -> int:
        place = self._places.setdefault(path, len(self.photos))
        if place == len(self.photos):
            self.photos.append(DatasetPhoto(self.folder.name_of(path), person, path))
        elif person is not None:
            self.photos[place] = replace(self.photos[place], person=person)
        return place

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
        raise UnusableError(f"same is '{shown(text)}', and should be 1 or 0") from None


def _fold(text: str) -> int:
    if not re.fullmatch("[0-9]{0,4}", text):
        raise UnusableError(f"fold is '{shown(text)}', and should be a whole number from 0")
    return int(text or 0)
