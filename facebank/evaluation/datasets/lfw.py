"""Labeled Faces in the Wild: folders, lists of pairs and people, and documented label errors.

Source: Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild", University of Massachusetts, Amherst,
Technical Report 07-49, 2007, and the README of the data set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facebank.evaluation.dataset import Dataset, Pair, Pick, SkippedEntry
from facebank.evaluation.datasets.checking import file_error, read_text, shorten
from facebank.evaluation.datasets.folders import read_folders
from facebank.storage.text import pluralize, printable

MAX_NUMBER = 9999
"""Largest number of a photo; file names have four digits."""


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A pair of photos, such as ``("Abel_Pacheco", 4)`` for ``Abel_Pacheco_0004.jpg``; fold from 0, line from 1."""

    first: tuple[str, int]
    second: tuple[str, int]
    same: bool
    fold: int
    line: int


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A line of a list of people: name, number of photos, and number of the set (`fold`), from 0."""

    name: str
    photos: int
    fold: int


@dataclass(frozen=True, slots=True)
class Errata:
    """Documented label errors of LFW.

    `photos` are mislabeled photos, such as ``Janica_Kostelic_0001``; `pairs` are wrongly listed as matched;
    `same_people` are two names of one person. The members of a pair are sorted by name.
    """

    photos: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    same_people: frozenset[tuple[str, str]]


def read_lfw(photos: Path, pairs: Path | None = None) -> Dataset:
    """Return LFW: all photos of a folder with ``NAME/NAME_0001.jpg``, and the pairs of a list whose photos exist.

    `pairs` defaults to the result of `find_pairs`. Pairs with a missing photo are listed in `skipped`.

    Raises
    ------
    DatasetError
        There are no photos, or the list is invalid, empty or without any pair of existing photos.
    """
    return add_pairs(read_folders(photos), photos, pairs)


def add_pairs(folders: Dataset, photos: Path, pairs: Path | None = None) -> Dataset:
    """Return LFW with its pairs, given the result of `read_folders`; other parameters and errors as in `read_lfw`."""
    dataset = replace(folders, pick=Pick.CENTRAL)
    source = pairs or find_pairs(photos)
    if source is None:
        return dataset
    used, skipped = _match_pairs(dataset, read_pairs(source))
    if not used:
        raise file_error(source, f"{printable(str(photos))} lacks photos of every pair; the first: {skipped[0].reason}")
    name = printable("/".join(source.absolute().parts[-2:]))
    return replace(dataset, pairs=tuple(used), skipped=dataset.skipped + tuple(skipped), pairs_file=name)


def is_lfw(folders: Dataset) -> bool:
    """Return whether at least 90 % of the photos are named after their folder, as in LFW."""
    paths = [photo.content for photo in folders.photos if photo.split is None]
    count = sum(isinstance(path, Path) and _photo_number(path.parent.name, path) is not None for path in paths)
    return count >= 0.9 * len(folders.photos)


def find_pairs(photos: Path) -> Path | None:
    """Return ``pairs.txt`` in the folder of photos, in its parent, or in ``lfw-meta`` there; None if absent."""
    parents = dict.fromkeys((photos.absolute().parent, photos.resolve().parent))
    folders = [photos, *(folder for parent in parents for folder in (parent, parent / "lfw-meta"))]
    return next((folder / "pairs.txt" for folder in folders if (folder / "pairs.txt").is_file()), None)


def read_pairs(path: Path) -> tuple[NamedPair, ...]:
    """Return a list of pairs: ``pairs.txt``, ``pairsDevTrain.txt`` or ``pairsDevTest.txt``; raises `DatasetError`.

    The first line has the number of folds and the number of matched pairs per fold, which equals that of mismatched
    ones; with a single number there is one fold.
    """
    lines = _read_lines(path)
    if not lines:
        raise file_error(path, "the list of pairs is empty")
    numbers = [number for number in map(_parse_number, lines[0][1]) if number is not None]
    if len(numbers) != len(lines[0][1]) or len(numbers) not in (1, 2):
        raise file_error(path, "line 1: expected the numbers of folds and pairs, such as '10 300'")
    folds, pairs_per_fold = (1, *numbers) if len(numbers) == 1 else numbers
    if len(lines) == 1 or folds * pairs_per_fold == 0:
        raise file_error(path, "the list of pairs is empty")
    pairs = tuple(
        _parse_pair(path, line, parts, index // (2 * pairs_per_fold)) for index, (line, parts) in enumerate(lines[1:])
    )
    if len(pairs) != 2 * folds * pairs_per_fold:
        raise file_error(path, f"line 1 states {2 * folds * pairs_per_fold:,} pairs, but {len(pairs):,} are listed")
    return pairs


def read_people(path: Path) -> tuple[ListedPerson, ...]:
    """Return a list of people, such as ``people.txt`` or ``peopleDevTrain.txt``; raises `DatasetError`."""
    lines = _read_lines(path)
    counts = [(index, _parse_count(path, *line)) for index, line in enumerate(lines) if len(line[1]) == 1]
    people: list[ListedPerson] = []
    if not counts or counts[0][0] != 0:
        raise file_error(path, "line 1: expected the number of people or of sets of people")
    if len(counts) > 1:
        sets = counts.pop(0)[1]
        if sets != len(counts):
            raise file_error(path, f"line 1 states {sets} sets of people, but {len(counts)} are listed")
    for fold, (index, count) in enumerate(counts):
        end = counts[fold + 1][0] if fold + 1 < len(counts) else len(lines)
        if count != end - index - 1:
            line = lines[index][0]
            raise file_error(
                path, f"line {line} states {pluralize(count, 'person', 'people')}, but {end - index - 1} follow"
            )
        people += [_parse_person(path, line, parts, fold) for line, parts in lines[index + 1 : end]]
    if not people:
        raise file_error(path, "the list of people is empty")
    return tuple(people)


def read_errata(path: Path) -> Errata:
    """Return the label errors of ``errata.txt`` that are not commented out; raises `DatasetError`."""
    text = re.sub(r"<!--.*?-->|<[^<>]{0,20}>|&nbsp;", " ", read_text(path), flags=re.DOTALL)
    duplicates = re.findall(r"^[ \t]+([A-Z][\w .'-]*), (\d+).*\n[ \t]+([A-Z][\w .'-]*), (\d+)", text, re.MULTILINE)
    pairs = {
        _sorted_pair(_photo_name(first, int(first_number)), _photo_name(second, int(second_number)))
        for first, first_number, second, second_number in duplicates
    }
    flat = " ".join(text.split())
    photos = set[str]()
    for name, number, more in re.findall(r"\b([A-Z][\w'-]*)_(\d{4})((?:, \d{4})*) (?:is|are) ", flat):
        photos |= {f"{name}_{digits}" for digits in (number, *re.findall(r"\d{4}", more))}
    same = {_sorted_pair(*names) for names in re.findall(r"([\w'-]+) and ([\w'-]+) are the same person", flat)}
    if not photos:
        raise file_error(path, "no mislabeled photos are listed; expected the errata.txt of LFW")
    return Errata(frozenset(photos), frozenset(pairs), frozenset(same))


def find_wrong_pairs(dataset: Dataset, errata: Errata) -> tuple[int, ...]:
    """Return the indices of the dataset's pairs that are documented as wrongly listed as matched."""
    stems = [photo.content.stem if isinstance(photo.content, Path) else "" for photo in dataset.photos]
    return tuple(
        index
        for index, pair in enumerate(dataset.pairs)
        if pair.same and _sorted_pair(stems[pair.first], stems[pair.second]) in errata.pairs
    )


def _match_pairs(dataset: Dataset, named_pairs: Sequence[NamedPair]) -> tuple[list[Pair], list[SkippedEntry]]:
    indices: dict[tuple[str, int], int] = {}
    for index, path in enumerate(photo.content for photo in dataset.photos):
        number = _photo_number(path.parent.name, path) if isinstance(path, Path) else None
        if isinstance(path, Path) and number is not None:
            indices.setdefault((path.parent.name, number), index)
    people = {name for name, _ in indices}
    pairs, skipped = list[Pair](), list[SkippedEntry]()
    for pair in named_pairs:
        missing = next((photo for photo in (pair.first, pair.second) if photo not in indices), None)
        if missing is None:
            pairs.append(Pair(indices[pair.first], indices[pair.second], pair.same, pair.fold))
            continue
        reason = (
            f"the photo {shorten(_photo_name(*missing))} is missing"
            if missing[0] in people
            else f"no person is called {shorten(missing[0])}"
        )
        skipped.append(SkippedEntry(f"pair of line {pair.line}", reason))
    return pairs, skipped


def _read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the non-empty lines with their numbers, split at tabs, or at spaces if there are no tabs."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    rows = ((number, line.split("\t") if "\t" in line else line.split()) for number, line in lines if line.strip())
    return [(number, [part.strip() for part in parts]) for number, parts in rows]


def _parse_pair(path: Path, line: int, parts: list[str], fold: int) -> NamedPair:
    numbers = [_parse_number(text) for text in (parts[1:3] if len(parts) == 3 else parts[1::2])]
    if len(parts) not in (3, 4) or not all(number and number <= MAX_NUMBER for number in numbers):
        raise file_error(path, f"line {line}: expected a pair such as 'NAME 1 2' or 'NAME 1 OTHER 2'")
    first, second = (number or 0 for number in numbers)
    other = parts[0] if len(parts) == 3 else parts[2]
    if (parts[0], first) == (other, second):
        raise file_error(path, f"line {line}: a photo is paired with itself; remove the line")
    return NamedPair((parts[0], first), (other, second), parts[0] == other, fold, line)


def _parse_person(path: Path, line: int, parts: list[str], fold: int) -> ListedPerson:
    count = _parse_number(parts[1]) if len(parts) == 2 else None
    if count is None:
        raise file_error(path, f"line {line}: expected a name and a number, such as 'NAME 12'")
    return ListedPerson(parts[0], count, fold)


def _parse_count(path: Path, line: int, parts: list[str]) -> int:
    count = _parse_number(parts[0])
    if count is None:
        raise file_error(path, f"line {line}: expected a name and a number, such as 'NAME 12'")
    return count


def _parse_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else None


def _photo_number(person: str, path: Path) -> int | None:
    """Return the number in the name of a photo that is named after its folder, else None."""
    digits = path.stem.removeprefix(f"{person}_") if path.stem.startswith(f"{person}_") else ""
    return int(digits) if re.fullmatch(r"[0-9]{4}", digits) else None


def _photo_name(person: str, number: int) -> str:
    return f"{person.replace(' ', '_')}_{number:04d}"


def _sorted_pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first <= second else (second, first)
