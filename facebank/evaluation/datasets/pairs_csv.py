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
    UnusableEntryError,
    check_photos,
    file_error,
    read_table,
    shorten,
)
from facebank.evaluation.datasets.folders import dataset_title

PAIR_COLUMNS = ("first", "second", "same")

_SAME = {
    **dict.fromkeys(("1", "true", "yes", "same"), True),
    **dict.fromkeys(("0", "false", "no", "different"), False),
}


def read_pairs_csv(path: Path, photos: Path | None = None) -> Dataset:
    """Return the dataset of a table of pairs; unusable rows are listed in `skipped`.

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
        raise file_error(
            path, "line 1: one of the columns first_person and second_person is missing; add it, or remove the other"
        )
    if not table.rows and not table.skipped:
        raise file_error(path, "the list of pairs is empty")
    reader = _PairReader(PhotoFolder(photos or path.parent), has_people)
    skipped = [*table.skipped, *_add_all(reader, table)]
    check_photos(path, reader.pairs, skipped)
    if not has_people:
        skipped += reader.name_by_folders()
    return Dataset(
        dataset_title(path), tuple(reader.photos), tuple(reader.pairs), skipped=(*skipped, *reader.people.notes)
    )


def _add_all(reader: _PairReader, table: CsvTable) -> list[SkippedEntry]:
    skipped = list[SkippedEntry]()
    for row in table.rows:
        try:
            reader.add(row)
        except UnusableEntryError as error:
            skipped.append(SkippedEntry(f"line {row.line}", str(error)))
    return skipped


@dataclass(slots=True)
class _PairReader:
    """The pairs read so far."""

    folder: PhotoFolder
    has_people: bool
    photos: list[DatasetPhoto] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    people: People = field(default_factory=People)
    _indices: dict[Path, int] = field(default_factory=dict)
    _lines: dict[frozenset[Path], int] = field(default_factory=dict)

    def add(self, row: CsvRow) -> None:
        """Add a pair; raises `UnusableEntryError` before anything is changed."""
        paths = [self._find(row.values[column]) for column in ("first", "second")]
        if paths[0] == paths[1]:
            raise UnusableEntryError(f"{self.folder.label(paths[0])} is paired with itself")
        same, fold = _parse_same(row.values["same"]), _parse_fold(row.values.get("fold", ""))
        earlier_line = self._lines.get(frozenset(paths))
        if earlier_line is not None:
            raise UnusableEntryError(f"same pair as in line {earlier_line}")
        people = [self._person(row, column, path) for column, path in zip(("first", "second"), paths, strict=True)]
        if None not in people and (people[0] == people[1]) != same:
            raise UnusableEntryError("same is yes for two people" if same else "same is no for one person")
        first, second = (self._index(path, person) for path, person in zip(paths, people, strict=True))
        self._lines[frozenset(paths)] = row.line
        self.pairs.append(Pair(first, second, same, fold))

    def name_by_folders(self) -> list[SkippedEntry]:
        """Label the photos by their folders, unless a pair contradicts that; return the entries to report."""
        names = [self._folder_name(photo) for photo in self.photos]
        for pair in self.pairs:
            first, second = names[pair.first], names[pair.second]
            if first is not None and second is not None and (first == second) != pair.same:
                reason = f"the pair {self.photos[pair.first].name} and {self.photos[pair.second].name} contradicts them"
                return [SkippedEntry("names of people", f"folders are not used as names: {reason}")]
        self.photos = [replace(photo, person=name) for photo, name in zip(self.photos, names, strict=True)]
        return []

    def _find(self, path_text: str) -> Path:
        try:
            return self.folder.find(path_text)
        except UnusableEntryError as error:
            hint = "; use / in paths, not \\" if self._exists_with_slashes(path_text) else ""
            raise UnusableEntryError(f"{shorten(path_text) or 'a photo'}: {error}{hint}") from error

    def _exists_with_slashes(self, path_text: str) -> bool:
        try:
            return "\\" in path_text and self.folder.find(path_text.replace("\\", "/")).exists()
        except UnusableEntryError:
            return False

    def _person(self, row: CsvRow, column: str, path: Path) -> str | None:
        text = row.values[f"{column}_person"] if self.has_people else ""
        person = self.people.add(text) if text else None
        index = self._indices.get(path)
        if index is None or person is None:
            return person if index is None else self.photos[index].person
        earlier_person = self.photos[index].person
        if earlier_person not in (None, person):
            raise UnusableEntryError(
                f"{self.photos[index].name} is labeled {person}, but {earlier_person} in an earlier line"
            )
        return person

    def _index(self, path: Path, person: str | None) -> int:
        index = self._indices.setdefault(path, len(self.photos))
        if index == len(self.photos):
            self.photos.append(DatasetPhoto(self.folder.label(path), person, path))
        elif person is not None:
            self.photos[index] = replace(self.photos[index], person=person)
        return index

    def _folder_name(self, photo: DatasetPhoto) -> str | None:
        parts = photo.content.relative_to(self.folder.folder).parts if isinstance(photo.content, Path) else ()
        try:
            return self.people.add(parts[-2]) if len(parts) > 1 else None
        except UnusableEntryError:
            return None


def _parse_same(text: str) -> bool:
    try:
        return _SAME[text.casefold()]
    except KeyError:
        raise UnusableEntryError(f"same is '{shorten(text)}'; expected 1 or 0") from None


def _parse_fold(text: str) -> int:
    if not re.fullmatch("[0-9]{0,4}", text):
        raise UnusableEntryError(f"fold is '{shorten(text)}'; expected an integer from 0")
    return int(text or 0)
