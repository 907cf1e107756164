"""Groups of photos by a table or their traits, galleries of people of one group, and the similarity of these people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError, InvalidNameError
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.datasets.checking import broken, read_table, shown
from facebank.evaluation.figures import Figure, pair_mean
from facebank.evaluation.identification import Condition
from facebank.evaluation.searches import Searches, enroll, in_turns, unrelated
from facebank.gallery.names import name_key, normalize_name
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.datasets.checking import CsvTable
    from facebank.evaluation.faces import FaceSet
    from facebank.recognition.settings import DecisionSettings

STRANGERS = 100
"""Strangers of the group, and of others, searched for in each gallery, one photo of each."""
PROBES = 10
"""The most other photos searched for of each enrolled person."""

_MOST_PEOPLE = 300
_MOST_PHOTOS = 10
_ENROLL, _STRANGE, _ALIKE = 1, 2, 3
MOST_GROUPS = 20
LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True, eq=False)
class PeopleGroup:
    """People of one group; `name` is the suffix of the figures' names, `label` is for people.

    `photos` are places of the group's photos with a face of somebody named, and `able` people with enough photos of the
    group to enroll some and search for another, both ``int64``.
    """

    name: str
    label: str
    photos: NDArray[np.int64]
    able: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GroupTrial:
    """Searches in a group's galleries: for its people and strangers of the group, and for strangers of other groups."""

    group: PeopleGroup
    within: Condition
    across: Searches


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """How similar different people of a group are.

    `mean` is the mean similarity of two people, each pair counting once. `similarities` are of pairs of photos,
    ``float64``; one in a hundred pairs reaches `upper`.
    """

    mean: Figure
    upper: float
    similarities: NDArray[np.float64]


def try_group(
    bench: Bench,
    faces: FaceSet,
    groups_of_people: Sequence[PeopleGroup],
    number: int,
    *,
    size: tuple[int, int, int],
    settings: DecisionSettings,
) -> GroupTrial:
    """Enroll people of one group several times, and search for them and for strangers of the group and of others.

    `number` is the group's place among all; `size` is people enrolled, photos of each, and number of galleries.
    """
    people, photos, draws = size
    group, owners = groups_of_people[number], faces.dataset.owners
    elsewhere = np.concatenate([one.photos for place, one in enumerate(groups_of_people) if place != number])
    within, across = list[Searches](), list[Searches]()
    for turn in range(draws):
        random = bench.random(_ENROLL, number, turn)
        known = random.permutation(group.able)[:people]
        enrolled, mated = [], []
        for person in known:
            mixed = random.permutation(group.photos[owners[group.photos] == person])
            enrolled.append(mixed[:photos])
            mated.append(mixed[photos : photos + PROBES])
        places = np.concatenate(enrolled)
        trial = enroll(bench.reader, faces, places, settings)
        strange = bench.random(_STRANGE, number, turn)
        own, other = (_one_each(owners, some, known, strange) for some in (group.photos, elsewhere))
        probes = unrelated(faces, np.concatenate([*mated, own]), places)
        within.append(trial.search(probes))
        across.append(trial.search(unrelated(faces, other, places)))
        bench.progress.advance()
    condition = Condition(group.name, group.label, faces, Searches.joined(within), draws_people=True)
    return GroupTrial(group, condition, Searches.joined(across))


def _one_each(
    owners: NDArray[np.int64], places: NDArray[np.int64], known: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Draw one photo each of people who are not enrolled."""
    others = random.permutation(places[~np.isin(owners[places], known)])
    first = np.unique(owners[others], return_index=True)[1]
    return in_turns([random.permutation(others[first])[:STRANGERS]], STRANGERS)


def density(bench: Bench, faces: FaceSet, group: PeopleGroup, number: int) -> Density | None:
    """Return how similar different people of a group are; None for fewer than two people."""
    owners, random = faces.dataset.owners[group.photos], bench.random(_ALIKE, number)
    people = random.permutation(np.unique(owners))[:_MOST_PEOPLE]
    if len(people) < 2:
        return None
    chosen = [random.permutation(group.photos[owners == person])[:_MOST_PHOTOS] for person in people]
    vectors = faces.embeddings[np.concatenate(chosen)].astype(np.float64)
    whose = np.repeat(np.arange(len(people)), [len(each) for each in chosen])
    first, second = np.triu_indices(len(whose), 1)
    differ = whose[first] != whose[second]
    similarities: NDArray[np.float64] = (vectors @ vectors.T)[first[differ], second[differ]]
    pairs = whose[first[differ]] * len(people) + whose[second[differ]]
    sums = np.bincount(pairs, weights=similarities, minlength=len(people) ** 2)
    counts = np.bincount(pairs, minlength=len(people) ** 2)
    some = np.flatnonzero(counts)
    means = sums[some] / counts[some]
    meaning = f"Mean similarity of two different people, {group.label}: how near to each other people are."
    mean = replace(pair_mean(means, some // len(people), some % len(people)), meaning=meaning)
    return Density(mean, float(np.quantile(similarities, 0.99)), similarities)


def across_figure(faces: FaceSet, trial: GroupTrial) -> dict[str, Figure]:
    """Return how often strangers of other groups are named in the group's galleries."""
    name = f"across_{trial.group.name}"
    condition = Condition(name, f"{trial.group.label}, of other groups", faces, trial.across, draws_people=True)
    return {key: figure for key, figure in condition.figures().items() if key == f"fpir_{name}"}


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The group of each photo of a dataset, as a place in `names` (sorted), ``int64`` of shape ``(N,)``; -1 for none.

    `column` is the meaning of the groups, such as ``age``; `left_out` has the rows that could not be used.
    """

    column: str
    names: tuple[str, ...]
    of_photo: NDArray[np.int64]
    left_out: tuple[LeftOut, ...] = ()


def grouped_by(dataset: Dataset, column: str, by: Path | None = None) -> Grouping:
    """Return the groups of a dataset's photos by a column of the table `by`, or by a trait of the photos if None.

    The table (CSV) has that column and ``person`` or ``photo``, the name in reports. Raises `DatasetError` if there is
    no such column, fewer than two groups or more than 20, or the table is broken.
    """
    if by is None:
        values, left_out = _traits(dataset, column), list[LeftOut]()
    else:
        values, left_out = _listed(dataset, column, by)
    names = tuple(sorted({value for value in values if value}))
    where = printable(str(by)) if by is not None else printable(dataset.title)
    if not 2 <= len(names) <= MOST_GROUPS:
        found = f"{len(names)} groups" if len(names) != 1 else "one group"
        why = " (put numbers into ranges)" if len(names) > MOST_GROUPS else ""
        raise DatasetError(
            f"{where}: the column {shown(column)} has {found} of people who are in the data, and 2 to {MOST_GROUPS} "
            f"can be compared{why}"
        )
    places = {name: place for place, name in enumerate(names)}
    of_photo = np.array([places.get(value, -1) for value in values], dtype=np.int64)
    return Grouping(printable(column), names, of_photo, tuple(left_out))


def _traits(dataset: Dataset, column: str) -> list[str]:
    there = sorted({name for photo in dataset.photos for name in photo.traits})
    if column not in there:
        has = f"; they have {', '.join(map(printable, there))}" if there else ""
        raise DatasetError(
            f"{printable(dataset.title)}: the data have no column {shown(column)}{has}: name a table with --by"
        )
    return [photo.traits.get(column, "")[:LONGEST_VALUE] for photo in dataset.photos]


def _listed(dataset: Dataset, column: str, by: Path) -> tuple[list[str], list[LeftOut]]:
    table = read_table(by, (column.strip().casefold(),))
    key = next((name for name in ("photo", "person") if name in table.columns), None)
    if key is None or key == column.strip().casefold():
        raise broken(by, "line 1: a column 'person' or 'photo' is needed beside the one of the groups")
    said, left_out = _values(by, table, key, column.strip().casefold())
    if key == "photo":
        keys = [photo.name for photo in dataset.photos]
    else:
        keys = ["" if photo.person is None else name_key(photo.person) for photo in dataset.photos]
    missing = [name for name in said if name not in set(keys)]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        left_out.append(LeftOut(by.name, f"it lists {shown(missing[0])}{more}, of whom the data have nothing"))
    return [said.get(name, "") for name in keys], left_out


def _values(by: Path, table: CsvTable, key: str, column: str) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the group of each photo by name, or of each person by the name's key."""
    said, left_out = dict[str, str](), list(table.left_out)
    for row in table.rows:
        name, value = row.values[key], printable(row.values[column][:LONGEST_VALUE])
        if key == "person":
            try:
                name = name_key(normalize_name(name))
            except InvalidNameError as error:
                left_out.append(LeftOut(f"line {row.line}", str(error).removesuffix(".")))
                continue
        if said.setdefault(name, value) != value:
            raise broken(by, f"line {row.line}: {shown(row.values[key])} is in two groups")
    return said, left_out
