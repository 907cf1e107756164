"""Related people: lists of related pairs, families, and pairs of their photos."""

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
from facebank.evaluation.datasets.checking import file_error, read_text, shorten
from facebank.gallery.names import name_key, normalize_name
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.faces import FaceSet

MAX_PAIRS = 10_000
"""Maximum number of related pairs; each pair gets its own galleries."""
MAX_PHOTO_PAIRS = 10_000
"""Maximum number of photo pairs of two people."""
MAX_UNRELATED = 100_000
"""Maximum number of unrelated pairs, of which ten match at an FMR of 0.01 %."""

MAX_FAMILY_PAIRS = 10
"""Maximum number of pairs of one family, since eleven members would already form 55."""
FAMILY = "family"
"""Name of the trait that holds a person's family."""

_HEADERS = frozenset({("person_a", "person_b"), ("person a", "person b"), ("first", "second"), ("name_a", "name_b")})


@dataclass(frozen=True, slots=True)
class RelatedPair:
    """Two people and their relation, "" if unknown."""

    first: str
    second: str
    relation: str = ""


def pair_label(people: Sequence[str], relation: str) -> str:
    """Return related people as text: ``Ada and Byron (siblings)``."""
    return " and ".join(map(printable, people)) + (f" ({printable(relation)})" if relation else "")


def read_relatives(path: Path) -> tuple[RelatedPair, ...]:
    """Return the pairs of a tab- or comma-separated list, optionally with a header line and ``#`` comments.

    Columns after the two names and the relation are ignored, and so are repeated pairs.

    Raises
    ------
    DatasetError
        The file cannot be read, has no pairs or too many, or has a line without two different valid names.
    """
    pairs: dict[frozenset[str], RelatedPair] = {}
    has_content = False
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            parts = [part.strip() for part in next(csv.reader([line], delimiter="\t" if "\t" in line else ","))]
        except csv.Error as error:
            raise file_error(path, f"line {number}: {error}") from error
        is_header = not has_content and tuple(part.casefold() for part in parts[:2]) in _HEADERS
        has_content = True
        if is_header:
            continue
        pair = _parse_pair(path, number, parts)
        pairs.setdefault(frozenset(map(name_key, (pair.first, pair.second))), pair)
        if len(pairs) > MAX_PAIRS:
            raise file_error(path, f"line {number}: more than {MAX_PAIRS:,} pairs of people are listed; list fewer")
    if not pairs:
        raise file_error(path, "the list has no pairs of people")
    return tuple(pairs.values())


def _parse_pair(path: Path, number: int, parts: list[str]) -> RelatedPair:
    if len(parts) < 2 or not all(parts[:2]):
        raise file_error(path, f"line {number}: expected two names, got: {shorten(', '.join(parts))}")
    try:
        first, second = map(normalize_name, parts[:2])
    except InvalidNameError as error:
        raise file_error(path, f"line {number}: {error}") from error
    if name_key(first) == name_key(second):
        raise file_error(path, f"line {number}: both names are {shorten(first)}; correct one")
    return RelatedPair(first, second, printable(parts[2][:80]) if len(parts) > 2 else "")


def pairs_between(
    faces: FaceSet, people: Sequence[str], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the photo indices of pairs of different people, two ``int64`` arrays of shape ``(N,)``.

    At most 10,000 pairs of any two people, sampled by `random`; a file is never paired with itself.
    """
    person_indices, hashes = faces.dataset.person_indices, np.array(faces.hashes)
    photos = {
        name: np.flatnonzero(faces.has_face & (person_indices == faces.dataset.people.index(name))) for name in people
    }
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for name, other in combinations(people, 2):
        total = len(photos[name]) * len(photos[other])
        numbers = np.arange(total) if total <= MAX_PHOTO_PAIRS else random.choice(total, MAX_PHOTO_PAIRS, replace=False)
        first, second = photos[name][numbers // len(photos[other])], photos[other][numbers % len(photos[other])]
        is_tagged = np.array([faces.dataset.photos[index].region is not None for index in first], dtype=np.bool_)
        keep = (hashes[first] != hashes[second]) | is_tagged
        firsts.append(first[keep])
        seconds.append(second[keep])
    return np.concatenate(firsts), np.concatenate(seconds)


def unrelated_similarities(
    faces: FaceSet, excluded: Collection[str], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return the similarities of up to 100,000 pairs of photos of different people, ``float64`` ``(N,)``.

    People in `excluded` are left out.
    """
    person_indices, hashes = faces.dataset.person_indices, np.array(faces.hashes)
    skipped = [number for number, name in enumerate(faces.dataset.people) if name in excluded]
    others = np.flatnonzero(faces.has_face & (person_indices >= 0) & ~np.isin(person_indices, skipped))
    if not len(others):
        return np.zeros(0)
    drawn = np.sort(random.integers(len(others), size=(3 * MAX_UNRELATED, 2)), axis=1)
    first, second = others[random.permutation(np.unique(drawn, axis=0))].T
    keep = np.flatnonzero((person_indices[first] != person_indices[second]) & (hashes[first] != hashes[second]))[
        :MAX_UNRELATED
    ]
    embeddings = faces.embeddings
    similarities: NDArray[np.float64] = np.einsum(
        "nd,nd->n", embeddings[first[keep]], embeddings[second[keep]], dtype=np.float64
    )
    return similarities


def threshold_at_fmr(similarities: NDArray[np.float64], fmr: float) -> float:
    """Return the lowest threshold at which at most the fraction `fmr` of non-mated similarities ``(N,)`` match."""
    same = np.append(np.zeros(len(similarities), dtype=np.bool_), True)  # Comparisons requires a mated pair
    people = np.zeros(len(same), dtype=np.int64)  # do not affect the threshold
    return Comparisons(np.append(similarities, 1.0), same, people, people).threshold_at(fmr)


def relatives_in(dataset: Dataset, random: np.random.Generator) -> tuple[RelatedPair, ...]:
    """Return the pairs of people with the same trait ``family``, at most ten at random of each family.

    Raises
    ------
    DatasetError
        No family has two people, or there are too many pairs.
    """
    members: dict[str, dict[str, None]] = {}
    for photo in dataset.photos:
        family = photo.traits.get(FAMILY, "")
        if family and photo.person is not None:
            members.setdefault(family, {})[photo.person] = None
    relatives = list[RelatedPair]()
    for people in members.values():
        pairs = [RelatedPair(*pair) for pair in islice(combinations(people, 2), MAX_PAIRS)]
        chosen = random.permutation(len(pairs))[:MAX_FAMILY_PAIRS]
        relatives += [pairs[index] for index in sorted(chosen)]
    if not relatives:
        raise DatasetError(
            f"{printable(dataset.title)}: no related people are given; pass a list of pairs with --relatives (an npz "
            f"of embeddings may have an array '{FAMILY}' instead)"
        )
    if len(relatives) > MAX_PAIRS:
        raise DatasetError(
            f"{printable(dataset.title)}: the families form more than {MAX_PAIRS:,} pairs; list fewer with --relatives"
        )
    return tuple(relatives)


def families_of(dataset: Dataset, relatives: Sequence[RelatedPair]) -> NDArray[np.int64]:
    """Return the family number of each person, ``int64`` of shape ``(P,)``; people without relatives have their own.

    Families are the connected components of the listed pairs and the trait ``family``.
    """
    indices = {person: index for index, person in enumerate(dataset.people)}
    parents = list(range(len(indices)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[str, int] = {}
    for photo in dataset.photos:
        family = photo.traits.get(FAMILY, "")
        if family and photo.person is not None:
            member = indices[photo.person]
            parents[root(member)] = root(first.setdefault(family, member))
    for pair in relatives:
        if pair.first in indices and pair.second in indices:
            parents[root(indices[pair.first])] = root(indices[pair.second])
    return np.array([root(index) for index in range(len(parents))], dtype=np.int64)
