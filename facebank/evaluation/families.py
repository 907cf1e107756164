"""Families: who belongs together, from a list of relatives or from what the data say of each photo."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.relatives import MOST_PAIRS, Relatives
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.dataset import Dataset

MOST_OF_A_FAMILY = 10
"""As many pairs of one family: a family of eleven would outweigh all others with its 55."""

FAMILY = "family"
"""The trait of photos that says which family a person belongs to."""


def relatives_in(dataset: Dataset, random: np.random.Generator) -> tuple[Relatives, ...]:
    """Return pairs of people of one family, as the trait ``family`` of their photos says.

    Parameters
    ----------
    dataset
        Whose photos.
    random
        Draws ten pairs of a family that has more.

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
    """Return the number of each person's family, of shape ``(P,)``; who has no relatives is a family of one.

    People are of one family where a list says that they are related, over others too, or the data name one family.
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
