"""Galleries of people of one group, strangers of the same group and of others, and how alike people of a group are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.figures import Figure, Kind
from facebank.evaluation.measuring import Condition
from facebank.evaluation.rates import PairWeights
from facebank.evaluation.roles import in_turns, unrelated
from facebank.evaluation.searching import Searches, enroll

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.laboratory import FaceSet
    from facebank.recognition.settings import DecisionSettings

STRANGERS = 100
"""As many strangers of the group, and of others, are searched for in each gallery, one photo of each."""
PROBES = 10
"""At most so many other photos of each person who is enrolled."""

_MOST_PEOPLE = 300
_MOST_PHOTOS = 10
_ENROLL, _STRANGE, _ALIKE = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class PeopleGroup:
    """People of one group.

    Attributes
    ----------
    name
        Ends the names of its figures: lower case, words joined by underscores.
    label
        For people.
    photos
        Places of the group's photos with a face, of people who are named, ``int64``.
    able
        People of whom enough photos are of the group to enroll some and search for another, ``int64``.
    """

    name: str
    label: str
    photos: NDArray[np.int64]
    able: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class GroupTrial:
    """What a group's galleries gave: own people with strangers of the group, and strangers of other groups."""

    group: PeopleGroup
    within: Condition
    across: Searches


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """How alike different people of a group are.

    Attributes
    ----------
    mean
        Mean similarity of two people, each pair counting once.
    upper
        What one in a hundred pairs of photos of different people of the group reaches.
    similarities
        Of the pairs of photos, ``float64``.
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
    """Enroll people of one group several times; search for them, for others of the group, and for people of others.

    Parameters
    ----------
    bench, faces
        Where and on what.
    groups_of_people
        All groups.
    number
        Which of them is tried.
    size
        People enrolled, photos of each, and galleries.
    settings
        How searches are decided.
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
        trial = enroll(bench.laboratory, faces, places, settings)
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
    """Measure how alike different people of a group are; None for fewer than two people."""
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
    weights = PairWeights.of(some // len(people), some % len(people))
    drawn = weights.sums(means) / np.maximum(weights.sums(np.ones(len(some))), 1e-12)
    low, high = np.quantile(drawn, (0.025, 0.975))
    mean = Figure(
        float(means.mean()),
        (float(low), float(high)),
        len(some),
        kind=Kind.NUMBER,
        meaning=f"Mean similarity of two different people, {group.label}: how near to each other people are.",
    )
    return Density(mean, float(np.quantile(similarities, 0.99)), similarities)


def across_figure(faces: FaceSet, trial: GroupTrial) -> dict[str, Figure]:
    """Return how many strangers of other groups are named in the group's galleries."""
    name = f"across_{trial.group.name}"
    condition = Condition(name, f"{trial.group.label}, of other groups", faces, trial.across, draws_people=True)
    return {key: figure for key, figure in condition.figures().items() if key == f"fpir_{name}"}
