"""Labeled Faces in the Wild: its folders, its lists of pairs and people, and its documented label errors.

Source: Huang, Ramesh, Berg and Learned-Miller, "Labeled Faces in the Wild", University of Massachusetts, Amherst,
Technical Report 07-49, 2007, and the README of the data set.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facebank.evaluation.dataset import Dataset, LeftOut, Pair, Pick
from facebank.evaluation.datasets.checking import broken, read_text, shown
from facebank.evaluation.datasets.folders import read_folders
from facebank.storage.text import printable

LARGEST_NUMBER = 9999
"""Largest number of a photo: their names have four digits."""


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A pair of photos, such as ``("Abel_Pacheco", 4)`` for ``Abel_Pacheco_0004.jpg``; its fold from 0, line from 1."""

    first: tuple[str, int]
    second: tuple[str, int]
    same: bool
    fold: int
    line: int


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A line of a list of people: the name, the number of photos, and the set, from 0."""

    name: str
    photos: int
    fold: int


@dataclass(frozen=True, slots=True)
class Errata:
    """The documented label errors.

    `photos` show somebody else than their name says, such as ``Janica_Kostelic_0001``; `pairs` are listed as matched by
    mistake; `same_people` are two names of one person. Pairs are sorted by name.
    """

    photos: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    same_people: frozenset[tuple[str, str]]


def read_lfw(photos: Path, pairs: Path | None = None) -> Dataset:
    """Read LFW: all photos of a folder with ``NAME/NAME_0001.jpg``, and the pairs of a list whose photos are there.

    Without `pairs` the list is the one that `find_pairs` finds, if any. Pairs without their photos are in `left_out`.

    Raises
    ------
    DatasetError
        There are no photos, the list is broken or empty, or none of its pairs has its photos.
    """
    return add_pairs(read_folders(photos), photos, pairs)


def add_pairs(folders: Dataset, photos: Path, pairs: Path | None = None) -> Dataset:
    """Return LFW with its pairs, from its folders read before; parameters and errors are as in `read_lfw`."""
    dataset = replace(folders, pick=Pick.CENTRAL)
    source = pairs or find_pairs(photos)
    if source is None:
        return dataset
    used, left_out = _paired(dataset, read_pairs(source))
    if not used:
        raise broken(source, f"{printable(str(photos))} has the photos of none of its pairs: {left_out[0].why}")
    name = printable("/".join(source.absolute().parts[-2:]))
    return replace(dataset, pairs=tuple(used), left_out=dataset.left_out + tuple(left_out), pairs_file=name)


def is_lfw(folders: Dataset) -> bool:
    """Return whether people's folders are laid out as LFW: nearly all photos are named after their folder."""
    paths = [photo.content for photo in folders.photos if photo.split is None]
    named = sum(isinstance(path, Path) and _number_of(path.parent.name, path) is not None for path in paths)
    return named >= 0.9 * len(folders.photos)


def find_pairs(photos: Path) -> Path | None:
    """Return ``pairs.txt`` in the folder of the photos, beside it, or in ``lfw-meta`` beside it; None if absent."""
    beside = dict.fromkeys((photos.absolute().parent, photos.resolve().parent))
    places = [photos, *(place for parent in beside for place in (parent, parent / "lfw-meta"))]
    return next((place / "pairs.txt" for place in places if (place / "pairs.txt").is_file()), None)


def read_pairs(path: Path) -> tuple[NamedPair, ...]:
    """Read a list of pairs: ``pairs.txt``, ``pairsDevTrain.txt`` or ``pairsDevTest.txt``; raises `DatasetError`.

    The first line has the number of folds, and of matched pairs in each, which is that of mismatched ones as well; a
    single number stands for one fold.
    """
    lines = _lines(path)
    if not lines:
        raise broken(path, "the list of pairs is empty")
    numbers = [number for number in map(_whole, lines[0][1]) if number is not None]
    if len(numbers) != len(lines[0][1]) or len(numbers) not in (1, 2):
        raise broken(path, "line 1 should say how many folds and pairs there are, such as '10 300'")
    folds, each = (1, *numbers) if len(numbers) == 1 else numbers
    if len(lines) == 1 or folds * each == 0:
        raise broken(path, "the list of pairs is empty")
    pairs = tuple(_pair(path, line, parts, place // (2 * each)) for place, (line, parts) in enumerate(lines[1:]))
    if len(pairs) != 2 * folds * each:
        raise broken(path, f"line 1 announces {2 * folds * each:,} pairs, and there are {len(pairs):,}")
    return pairs


def read_people(path: Path) -> tuple[ListedPerson, ...]:
    """Read a list of people: ``people.txt``, ``peopleDevTrain.txt`` or ``peopleDevTest.txt``; raises `DatasetError`."""
    lines = _lines(path)
    counts = [(place, _count(path, *line)) for place, line in enumerate(lines) if len(line[1]) == 1]
    people: list[ListedPerson] = []
    if not counts or counts[0][0] != 0:
        raise broken(path, "line 1 should say how many people or sets of people there are")
    if len(counts) > 1:
        sets = counts.pop(0)[1]
        if sets != len(counts):
            raise broken(path, f"line 1 announces {sets} sets of people, and there are {len(counts)}")
    for fold, (place, count) in enumerate(counts):
        end = counts[fold + 1][0] if fold + 1 < len(counts) else len(lines)
        if count != end - place - 1:
            line = lines[place][0]
            raise broken(path, f"line {line} announces {count} people, and {end - place - 1} follow")
        people += [_person(path, line, parts, fold) for line, parts in lines[place + 1 : end]]
    if not people:
        raise broken(path, "the list of people is empty")
    return tuple(people)


def read_errata(path: Path) -> Errata:
    """Read the list of label errors, ``errata.txt``, without those it has commented out; raises `DatasetError`."""
    text = re.sub(r"<!--.*?-->|<[^<>]{0,20}>|&nbsp;", " ", read_text(path), flags=re.DOTALL)
    shown_twice = re.findall(r"^[ \t]+([A-Z][\w .'-]*), (\d+).*\n[ \t]+([A-Z][\w .'-]*), (\d+)", text, re.MULTILINE)
    pairs = {_sorted_pair(_photo_name(a, int(m)), _photo_name(b, int(n))) for a, m, b, n in shown_twice}
    flat = " ".join(text.split())
    photos = set[str]()
    for name, number, more in re.findall(r"\b([A-Z][\w'-]*)_(\d{4})((?:, \d{4})*) (?:is|are) ", flat):
        photos |= {f"{name}_{digits}" for digits in (number, *re.findall(r"\d{4}", more))}
    same = {_sorted_pair(a, b) for a, b in re.findall(r"([\w'-]+) and ([\w'-]+) are the same person", flat)}
    if not photos:
        raise broken(path, "it lists no wrong photos: it is no errata.txt of LFW")
    return Errata(frozenset(photos), frozenset(pairs), frozenset(same))


def wrong_pairs(dataset: Dataset, errata: Errata) -> tuple[int, ...]:
    """Return the places of the dataset's pairs that are documented as wrongly listed as matched."""
    stems = [photo.content.stem if isinstance(photo.content, Path) else "" for photo in dataset.photos]
    return tuple(
        place
        for place, pair in enumerate(dataset.pairs)
        if pair.same and _sorted_pair(stems[pair.first], stems[pair.second]) in errata.pairs
    )


def _paired(dataset: Dataset, named: Sequence[NamedPair]) -> tuple[list[Pair], list[LeftOut]]:
    places: dict[tuple[str, int], int] = {}
    for place, path in enumerate(photo.content for photo in dataset.photos):
        number = _number_of(path.parent.name, path) if isinstance(path, Path) else None
        if isinstance(path, Path) and number is not None:
            places.setdefault((path.parent.name, number), place)
    people = {name for name, _ in places}
    pairs, left_out = list[Pair](), list[LeftOut]()
    for pair in named:
        missing = next((photo for photo in (pair.first, pair.second) if photo not in places), None)
        if missing is None:
            pairs.append(Pair(places[pair.first], places[pair.second], pair.same, pair.fold))
            continue
        why = (
            f"the photo {shown(_photo_name(*missing))} is missing"
            if missing[0] in people
            else f"nobody is called {shown(missing[0])}"
        )
        left_out.append(LeftOut(f"pair of line {pair.line}", why))
    return pairs, left_out


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that are not empty, with their numbers, cut at tabs or else at spaces."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    cut = ((number, line.split("\t") if "\t" in line else line.split()) for number, line in lines if line.strip())
    return [(number, [part.strip() for part in parts]) for number, parts in cut]


def _pair(path: Path, line: int, parts: list[str], fold: int) -> NamedPair:
    numbers = [_whole(text) for text in (parts[1:3] if len(parts) == 3 else parts[1::2])]
    if len(parts) not in (3, 4) or not all(number and number <= LARGEST_NUMBER for number in numbers):
        raise broken(path, f"line {line} is no pair: 'NAME 1 2' or 'NAME 1 OTHER 2' belongs there")
    first, second = (number or 0 for number in numbers)
    other = parts[0] if len(parts) == 3 else parts[2]
    if (parts[0], first) == (other, second):
        raise broken(path, f"line {line} compares a photo with itself")
    return NamedPair((parts[0], first), (other, second), parts[0] == other, fold, line)


def _person(path: Path, line: int, parts: list[str], fold: int) -> ListedPerson:
    count = _whole(parts[1]) if len(parts) == 2 else None
    if count is None:
        raise broken(path, f"line {line} is no person: 'NAME 12' belongs there")
    return ListedPerson(parts[0], count, fold)


def _count(path: Path, line: int, parts: list[str]) -> int:
    count = _whole(parts[0])
    if count is None:
        raise broken(path, f"line {line} is no person: 'NAME 12' belongs there")
    return count


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,7}", text) else None


def _number_of(person: str, path: Path) -> int | None:
    """Return the number in the name of a photo that is named after its folder; None for any other."""
    digits = path.stem.removeprefix(f"{person}_") if path.stem.startswith(f"{person}_") else ""
    return int(digits) if re.fullmatch(r"[0-9]{4}", digits) else None


def _photo_name(person: str, number: int) -> str:
    return f"{person.replace(' ', '_')}_{number:04d}"


def _sorted_pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first <= second else (second, first)
