"""Grouping of photos by a table or trait, trials within groups, and the similarity of a group's people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.errors import DatasetError, InvalidNameError
from facebank.evaluation.dataset import SkippedEntry
from facebank.evaluation.datasets.checking import file_error, read_table, shorten
from facebank.evaluation.figures import Figure, pair_mean
from facebank.evaluation.identification import Condition
from facebank.evaluation.searches import Searches, enroll, exclude_related, round_robin
from facebank.gallery.names import name_key, normalize_name
from facebank.storage.text import pluralize, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.datasets.checking import CsvTable
    from facebank.evaluation.faces import FaceSet
    from facebank.recognition.settings import DecisionSettings

STRANGERS = 100
"""Maximum numbers of strangers of the group and of other groups in each gallery, with one photo each."""
PROBES = 10
"""Maximum number of probes of each enrolled person."""

MAX_GROUPS = 20
MAX_VALUE = 60
"""Largest number of characters of a group's name; longer ones are cut."""

_MAX_PEOPLE = 300
_MAX_PHOTOS = 10
_ENROLL, _STRANGERS, _SIMILARITY = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class PeopleGroup:
    """People of one group; `name` is the suffix of figure names, `label` its name in text.

    `photos` are the indices of the group's labeled photos with a face, and `eligible` those of the people with enough
    photos to enroll some and search for another, both ``int64``.
    """

    name: str
    label: str
    photos: NDArray[np.int64]
    eligible: NDArray[np.int64]


class GallerySize(NamedTuple):
    """Numbers of enrolled people, of enrolled photos of each, and of galleries of each group."""

    people: int
    photos: int
    draws: int


@dataclass(frozen=True, slots=True, eq=False)
class GroupTrial:
    """Searches in the galleries of a group: `within` the group, and `across` for strangers of other groups."""

    group: PeopleGroup
    within: Condition
    across: Searches


@dataclass(frozen=True, slots=True, eq=False)
class GroupSimilarity:
    """Similarity of different people of a group.

    `mean` is the mean similarity of two people, with equal weight for each pair of people. `similarities` are those of
    pairs of photos, ``float64``, and `upper` is their 99th percentile.
    """

    mean: Figure
    upper: float
    similarities: NDArray[np.float64]


def try_group(
    bench: Bench,
    faces: FaceSet,
    groups_of_people: Sequence[PeopleGroup],
    group_number: int,
    *,
    size: GallerySize,
    settings: DecisionSettings,
) -> GroupTrial:
    """Return the searches for people and strangers in several galleries of one group.

    `group_number` is the index of the group, by which the draws are seeded.
    """
    group, person_indices = groups_of_people[group_number], faces.dataset.person_indices
    other_photos = np.concatenate(
        [other.photos for index, other in enumerate(groups_of_people) if index != group_number]
    )
    within, across = list[Searches](), list[Searches]()
    for draw_number in range(size.draws):
        random = bench.random(_ENROLL, group_number, draw_number)
        enrolled_people = random.permutation(group.eligible)[: size.people]
        enrolled, mated = [], []
        for person in enrolled_people:
            mixed = random.permutation(group.photos[person_indices[group.photos] == person])
            enrolled.append(mixed[: size.photos])
            mated.append(mixed[size.photos : size.photos + PROBES])
        indices = np.concatenate(enrolled)
        trial = enroll(bench.reader, faces, indices, settings)
        stranger_random = bench.random(_STRANGERS, group_number, draw_number)
        strangers, strangers_of_others = (
            _draw_strangers(person_indices, photos_of_group, enrolled_people, stranger_random)
            for photos_of_group in (group.photos, other_photos)
        )
        probes = exclude_related(faces, np.concatenate([*mated, strangers]), indices)
        within.append(trial.search(probes))
        across.append(trial.search(exclude_related(faces, strangers_of_others, indices)))
        bench.progress.advance()
    condition = Condition(group.name, group.label, faces, Searches.concatenate(within), resamples_people=True)
    return GroupTrial(group, condition, Searches.concatenate(across))


def _draw_strangers(
    person_indices: NDArray[np.int64],
    indices: NDArray[np.int64],
    enrolled_people: NDArray[np.int64],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw one photo of each person who is not enrolled."""
    strangers = random.permutation(indices[~np.isin(person_indices[indices], enrolled_people)])
    first = np.unique(person_indices[strangers], return_index=True)[1]
    return round_robin([random.permutation(strangers[first])[:STRANGERS]], STRANGERS)


def measure_similarity(bench: Bench, faces: FaceSet, group: PeopleGroup, group_number: int) -> GroupSimilarity | None:
    """Return the similarity of different people of a group, None for fewer than two people."""
    person_indices, random = faces.dataset.person_indices[group.photos], bench.random(_SIMILARITY, group_number)
    people = random.permutation(np.unique(person_indices))[:_MAX_PEOPLE]
    if len(people) < 2:
        return None
    photos = [random.permutation(group.photos[person_indices == person])[:_MAX_PHOTOS] for person in people]
    embeddings = faces.embeddings[np.concatenate(photos)].astype(np.float64)
    person_of_row = np.repeat(np.arange(len(people)), [len(indices) for indices in photos])
    first, second = np.triu_indices(len(person_of_row), 1)
    differ = person_of_row[first] != person_of_row[second]
    similarities: NDArray[np.float64] = (embeddings @ embeddings.T)[first[differ], second[differ]]
    pairs = person_of_row[first[differ]] * len(people) + person_of_row[second[differ]]
    sums = np.bincount(pairs, weights=similarities, minlength=len(people) ** 2)
    counts = np.bincount(pairs, minlength=len(people) ** 2)
    indices = np.flatnonzero(counts)
    means = sums[indices] / counts[indices]
    meaning = f"Mean similarity of two different people, {group.label}."
    mean = replace(pair_mean(means, indices // len(people), indices % len(people)), meaning=meaning)
    return GroupSimilarity(mean, float(np.quantile(similarities, 0.99)), similarities)


def across_figure(faces: FaceSet, trial: GroupTrial) -> dict[str, Figure]:
    """Return the FPIR of strangers of other groups in the group's galleries."""
    name = f"across_{trial.group.name}"
    condition = Condition(name, f"{trial.group.label}, of other groups", faces, trial.across, resamples_people=True)
    return {key: figure for key, figure in condition.figures().items() if key == f"fpir_{name}"}


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The groups of a dataset's photos.

    `of_photo` is the index into `names` (sorted) of each photo, ``int64`` of shape ``(N,)``, -1 for none. `column` is
    the name of the grouping, such as ``age``; `skipped` lists the unusable rows.
    """

    column: str
    names: tuple[str, ...]
    of_photo: NDArray[np.int64]
    skipped: tuple[SkippedEntry, ...] = ()


def group_photos(dataset: Dataset, column: str, by: Path | None = None) -> Grouping:
    """Return a dataset's photos grouped by a column of the CSV table `by`, or by a trait of the photos if None.

    Besides that column, the table needs ``person`` or ``photo`` (names as in reports). Raises `DatasetError` if the
    column is missing, there are fewer than 2 or more than 20 groups, or the table is invalid.
    """
    if by is None:
        values, skipped = _traits(dataset, column), list[SkippedEntry]()
    else:
        values, skipped = _read_groups(dataset, column, by)
    names = tuple(sorted({value for value in values if value}))
    source = printable(str(by)) if by is not None else printable(dataset.title)
    if not 2 <= len(names) <= MAX_GROUPS:
        hint = "combine numbers into ranges" if len(names) > MAX_GROUPS else "choose another with --column"
        raise DatasetError(
            f"{source}: the column {shorten(column)} has {pluralize(len(names), 'group')} of people in "
            f"the data; 2 to {MAX_GROUPS} can be compared; {hint}"
        )
    indices = {name: index for index, name in enumerate(names)}
    of_photo = np.array([indices.get(value, -1) for value in values], dtype=np.int64)
    return Grouping(printable(column), names, of_photo, tuple(skipped))


def _traits(dataset: Dataset, column: str) -> list[str]:
    available = sorted({name for photo in dataset.photos for name in photo.traits})
    if column not in available:
        hint = f"; available are {', '.join(map(printable, available))}" if available else ""
        raise DatasetError(
            f"{printable(dataset.title)}: the data has no column {shorten(column)}{hint}; pass a table with --by"
        )
    return [photo.traits.get(column, "")[:MAX_VALUE] for photo in dataset.photos]


def _read_groups(dataset: Dataset, column: str, by: Path) -> tuple[list[str], list[SkippedEntry]]:
    table = read_table(by, (column.strip().casefold(),))
    key = next((name for name in ("photo", "person") if name in table.columns), None)
    if key is None or key == column.strip().casefold():
        raise file_error(by, "line 1: a column 'person' or 'photo' is needed besides that of the groups")
    group_of, skipped = _values(by, table, key, column.strip().casefold())
    if key == "photo":
        keys = [photo.name for photo in dataset.photos]
    else:
        keys = ["" if photo.person is None else name_key(photo.person) for photo in dataset.photos]
    missing = [name for name in group_of if name not in set(keys)]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        skipped.append(SkippedEntry(by.name, f"listed, but not in the data: {shorten(missing[0])}{more}"))
    return [group_of.get(name, "") for name in keys], skipped


def _values(by: Path, table: CsvTable, key: str, column: str) -> tuple[dict[str, str], list[SkippedEntry]]:
    """Return the groups by photo name, or by `name_key` of the person."""
    group_of, skipped = dict[str, str](), list(table.skipped)
    for row in table.rows:
        name, value = row.values[key], printable(row.values[column][:MAX_VALUE])
        if key == "person":
            try:
                name = name_key(normalize_name(name))
            except InvalidNameError as error:
                skipped.append(SkippedEntry(f"line {row.line}", str(error).removesuffix(".")))
                continue
        if group_of.setdefault(name, value) != value:
            raise file_error(by, f"line {row.line}: {shorten(row.values[key])} has two groups; remove a row")
    return group_of, skipped
