"""People who are related or look alike: lists of pairs, families, and their photos in pairs."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError, InvalidNameError
from facebank.evaluation.curves import Comparisons
from facebank.evaluation.datasets.checking import broken, read_text, shown
from facebank.gallery.names import name_key, normalize_name
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet

MOST_PAIRS = 10_000
"""The longest list: each pair has galleries of its own."""
MOST_OF_TWO = 10_000
"""The most pairs of photos of two people."""
MOST_UNRELATED = 100_000
"""Enough to expect ten false matches at an FMR of 0.01 %."""

_TITLES = frozenset({("person_a", "person_b"), ("person a", "person b"), ("first", "second"), ("name_a", "name_b")})
MOST_OF_A_FAMILY = 10
"""The most pairs of one family: a family of eleven would outweigh all others with its 55."""
FAMILY = "family"
"""The trait of photos that says which family a person belongs to."""


@dataclass(frozen=True, slots=True)
class Relatives:
    """Two people and how they are related; "" where the list does not say."""

    first: str
    second: str
    relation: str = ""


def label_of(people: Sequence[str], relation: str) -> str:
    """Return people who are related for a report: ``Ada and Byron (siblings)``."""
    return " and ".join(map(printable, people)) + (f" ({printable(relation)})" if relation else "")


def read_relatives(path: Path) -> tuple[Relatives, ...]:
    """Read a list of pairs of people: tab- or comma-separated, with or without a line of titles, ``#`` for remarks.

    Columns after the two names and the relation are ignored, and so is a pair that is listed again.

    Raises
    ------
    DatasetError
        It cannot be read, a line names fewer than two different people, none names any, or there are too many.
    """
    found: dict[frozenset[str], Relatives] = {}
    begun = False
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            parts = [part.strip() for part in next(csv.reader([line], delimiter="\t" if "\t" in line else ","))]
        except csv.Error as error:
            raise broken(path, f"line {number}: {error}") from error
        titles = not begun and tuple(part.casefold() for part in parts[:2]) in _TITLES
        begun = True
        if titles:
            continue
        pair = _pair(path, number, parts)
        found.setdefault(frozenset(map(name_key, (pair.first, pair.second))), pair)
        if len(found) > MOST_PAIRS:
            raise broken(path, f"line {number}: it names more than {MOST_PAIRS:,} pairs of people")
    if not found:
        raise broken(path, "it names no two people")
    return tuple(found.values())


def _pair(path: Path, number: int, parts: list[str]) -> Relatives:
    if len(parts) < 2 or not all(parts[:2]):
        raise broken(path, f"line {number} does not name two people: {shown(', '.join(parts))}")
    try:
        first, second = map(normalize_name, parts[:2])
    except InvalidNameError as error:
        raise broken(path, f"line {number}: {error}") from error
    if name_key(first) == name_key(second):
        raise broken(path, f"line {number} names one person twice: {shown(first)}")
    return Relatives(first, second, printable(parts[2][:80]) if len(parts) > 2 else "")


def pairs_between(
    faces: FaceSet, people: Sequence[str], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of both photos of pairs of different people, ``int64`` of shape ``(N,)`` each.

    At most 10,000 pairs of each two people, chosen by `random`; never a file with itself.
    """
    owners, hashes = faces.dataset.owners, np.array(faces.hashes)
    of = {name: np.flatnonzero(faces.found & (owners == faces.dataset.people.index(name))) for name in people}
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for one, other in combinations(people, 2):
        total = len(of[one]) * len(of[other])
        chosen = np.arange(total) if total <= MOST_OF_TWO else random.choice(total, MOST_OF_TWO, replace=False)
        first, second = of[one][chosen // len(of[other])], of[other][chosen % len(of[other])]
        tagged = np.array([faces.dataset.photos[place].region is not None for place in first], dtype=np.bool_)
        keep = (hashes[first] != hashes[second]) | tagged
        firsts.append(first[keep])
        seconds.append(second[keep])
    return np.concatenate(firsts), np.concatenate(seconds)


def unrelated_similarities(faces: FaceSet, alike: Collection[str], random: np.random.Generator) -> NDArray[np.float64]:
    """Return the similarities of up to 100,000 pairs of photos of different people, without those in `alike`."""
    owners, hashes = faces.dataset.owners, np.array(faces.hashes)
    left_out = [number for number, name in enumerate(faces.dataset.people) if name in alike]
    others = np.flatnonzero(faces.found & (owners >= 0) & ~np.isin(owners, left_out))
    if not len(others):
        return np.zeros(0)
    drawn = np.sort(random.integers(len(others), size=(3 * MOST_UNRELATED, 2)), axis=1)
    first, second = others[random.permutation(np.unique(drawn, axis=0))].T
    keep = np.flatnonzero((owners[first] != owners[second]) & (hashes[first] != hashes[second]))[:MOST_UNRELATED]
    embeddings = faces.embeddings
    similarities: NDArray[np.float64] = np.einsum(
        "nd,nd->n", embeddings[first[keep]], embeddings[second[keep]], dtype=np.float64
    )
    return similarities


def threshold_of_strangers(similarities: NDArray[np.float64], fmr: float) -> float:
    """Return the lowest threshold at which at most this fraction of pairs of different people match."""
    same = np.append(np.zeros(len(similarities), dtype=np.bool_), True)  # an error curve needs both kinds of pairs
    nobody = np.zeros(len(same), dtype=np.int64)
    return Comparisons(np.append(similarities, 1.0), same, nobody, nobody).threshold_at(fmr)


def relatives_in(dataset: Dataset, random: np.random.Generator) -> tuple[Relatives, ...]:
    """Return pairs of people whose photos have the same trait ``family``; ten at random of a larger family.

    Raises
    ------
    DatasetError
        The data name no families, no family has two people, or there are too many pairs.
    """
    members: dict[str, dict[str, None]] = {}
    for photo in dataset.photos:
        family = photo.traits.get(FAMILY, "")
        if family and photo.person is not None:
            members.setdefault(family, {})[photo.person] = None
    found = list[Relatives]()
    for people in members.values():
        pairs = [Relatives(*pair) for pair in islice(combinations(people, 2), MOST_PAIRS)]
        chosen = random.permutation(len(pairs))[:MOST_OF_A_FAMILY]
        found += [pairs[place] for place in sorted(chosen)]
    if not found:
        raise DatasetError(
            f"{printable(dataset.title)}: say who is related: with --relatives and a list of pairs of people (an npz "
            f"of embeddings may have an array '{FAMILY}')"
        )
    if len(found) > MOST_PAIRS:
        raise DatasetError(f"{printable(dataset.title)}: its families have more than {MOST_PAIRS:,} pairs of people")
    return tuple(found)


def families_of(dataset: Dataset, relatives: Sequence[Relatives]) -> NDArray[np.int64]:
    """Return the number of each person's family, ``int64`` of shape ``(P,)``; without relatives, a family of one.

    People are of one family if a list relates them, directly or over others, or the data name one family.
    """
    places = {person: place for place, person in enumerate(dataset.people)}
    parents = list(range(len(places)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[str, int] = {}
    for photo in dataset.photos:
        family = photo.traits.get(FAMILY, "")
        if family and photo.person is not None:
            mine = places[photo.person]
            parents[root(mine)] = root(first.setdefault(family, mine))
    for pair in relatives:
        if pair.first in places and pair.second in places:
            parents[root(places[pair.first])] = root(places[pair.second])
    return np.array([root(place) for place in range(len(parents))], dtype=np.int64)
