"""Who is enrolled, who is searched for, and who is a stranger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.laboratory import FaceSet

LEAST_STRANGERS = 10
"""With fewer people who have too few photos to be enrolled, a third of the others are strangers instead."""


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """Places of photos of a dataset, each ``int64`` of shape ``(N,)``.

    Attributes
    ----------
    enrolled
        In the gallery.
    mated
        Other photos of the people in the gallery.
    strangers
        Photos of people who are not in the gallery.
    """

    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    strangers: NDArray[np.int64]

    @property
    def probes(self) -> NDArray[np.int64]:
        """All that is searched for, strangers last."""
        return np.concatenate([self.mated, self.strangers])


def choose_roles(faces: FaceSet, *, photos: int, mated: int, strangers: int, random: np.random.Generator) -> Roles:
    """Draw who is enrolled and who is searched for.

    Everybody with more than ``photos`` photos with a face may be enrolled; everybody with fewer is a stranger.

    Parameters
    ----------
    faces
        Of a dataset.
    photos
        How many of each person are enrolled.
    mated, strangers
        At most so many photos are searched for; people get their turns one after another. So many people are enrolled
        that each has at least two of these turns.
    random
        What draws.

    Raises
    ------
    DatasetError
        Nobody has enough photos.
    """
    people = faces.dataset.owners
    counts = np.bincount(people[faces.found & (people >= 0)], minlength=len(faces.dataset.people))
    able = random.permutation(np.flatnonzero(counts > photos))
    unable = np.flatnonzero((counts > 0) & (counts <= photos))
    if not len(able):
        raise DatasetError(
            f"{printable(faces.dataset.title)}: nobody has more than {photos} photos with a face, so that {photos} "
            f"could be enrolled and another searched for"
        )
    if len(unable) < LEAST_STRANGERS and len(able) > 2:
        held_out = max(1, len(able) // 3)
        unable, able = np.concatenate([unable, able[:held_out]]), able[held_out:]
    able = able[: max(1, mated // 2)]
    orders = {int(person): random.permutation(np.flatnonzero((people == person) & faces.found)) for person in able}
    enrolled = np.concatenate([places[:photos] for places in orders.values()])
    theirs = [unrelated(faces, places[photos:], enrolled) for places in orders.values()]
    others = [random.permutation(np.flatnonzero((people == person) & faces.found)) for person in unable]
    return Roles(
        enrolled.astype(np.int64),
        in_turns(theirs, mated),
        in_turns([others[place] for place in random.permutation(len(others))], strangers),
    )


def unrelated(faces: FaceSet, places: NDArray[np.int64], enrolled: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out photos that share a source with an enrolled one, or are the same file."""
    groups, hashes = faces.groups, np.array(faces.hashes)
    same = np.isin(groups[places], groups[enrolled]) | (
        np.isin(hashes[places], hashes[enrolled])
        & np.array([faces.dataset.photos[place].region is None for place in places], dtype=np.bool_)
    )
    return np.asarray(places[~same], dtype=np.int64)


def in_turns(places: list[NDArray[np.int64]], most: int) -> NDArray[np.int64]:
    """Take the first of everybody, then the second of everybody, and so on."""
    if not places or not sum(map(len, places)):
        return np.zeros(0, dtype=np.int64)
    turns = np.concatenate([np.arange(len(each)) for each in places])
    return np.asarray(np.concatenate(places)[np.argsort(turns, kind="stable")][:most], dtype=np.int64)
