"""Who takes part where few photos are enrolled, which photos are enrolled, and which are searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import LeftOut
from facebank.evaluation.leakage import find_leakage, leaks_as_failures
from facebank.evaluation.roles import in_turns, unrelated
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.dataset import Dataset
    from facebank.evaluation.laboratory import FaceSet

_MOST_PEOPLE_NEEDED = 10
_MOST_LISTED = 10
_MOST_STRANGERS = 300
_PURPOSE = 6


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Who takes part, with how many photos.

    Attributes
    ----------
    people
        Their numbers, ``int64`` of shape ``(P,)``; everybody else is a stranger.
    shots
        How many photos of each are enrolled, fewest first.
    may_enroll, may_search
        Of shape ``(N,)``: which photos may be enrolled and searched for.
    parts
        Whether the dataset's parts say so.
    left_out
        Numbers of photos that too few people have, and people who have too few.
    """

    people: NDArray[np.int64]
    shots: tuple[int, ...]
    may_enroll: NDArray[np.bool_]
    may_search: NDArray[np.bool_]
    parts: bool
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Which photos of each person are enrolled, and which are searched for.

    Attributes
    ----------
    orders
        Places of each person's photos to enroll: with fewer enrolled it is the first of them.
    probes
        Places of the photos to search for, ``int64``; strangers' too.
    """

    orders: tuple[NDArray[np.int64], ...]
    probes: NDArray[np.int64]

    def enrolled(self, photos: int) -> NDArray[np.int64]:
        """Return what is enrolled with so many photos of each person."""
        return np.concatenate([order[:photos] for order in self.orders])


def plan_shots(faces: FaceSet, shots: Sequence[int]) -> Plan:
    """Choose the numbers of photos that enough people have, and the people who have enough for all of them.

    Parameters
    ----------
    faces
        What was read of the dataset; its parts, where it has them, say which photos may be enrolled and searched for.
    shots
        Numbers of photos of each person, 1 or more, in any order.

    Raises
    ------
    DatasetError
        There are no two people who have enough for the smallest number.
    """
    may_enroll, may_search, parts = _parts(faces.dataset)
    may_enroll &= faces.found
    may_search &= np.array([bool(digest) for digest in faces.hashes], dtype=np.bool_)
    room = _count(faces, may_enroll)
    room = np.where(_count(faces, may_search & faces.found) > 0, room, 0) if parts else np.maximum(room - 1, 0)
    wanted = sorted(set(shots))
    able = {photos: int((room >= photos).sum()) for photos in wanted}
    if able[wanted[0]] < 2:
        raise DatasetError(
            f"{printable(faces.dataset.title)}: {able[wanted[0]]} people have photos with a face for {wanted[0]} to be "
            "enrolled and another to be searched for, and two are needed"
        )
    needed = min(_MOST_PEOPLE_NEEDED, able[wanted[0]])
    used = tuple(photos for photos in wanted if able[photos] >= needed)
    dropped = tuple(
        LeftOut(
            f"{photos} photos enrolled", f"only {able[photos]} of the people have enough photos; {needed} are needed"
        )
        for photos in wanted
        if photos not in used
    )
    left_out = (*dropped, *_too_few(faces, room, used[-1]))
    return Plan(np.flatnonzero(room >= used[-1]).astype(np.int64), used, may_enroll, may_search, parts, left_out)


def _parts(dataset: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_], bool]:
    """Tell which photos may be enrolled, which may be searched for, and whether the dataset's parts say so."""
    splits = np.array([photo.split or "" for photo in dataset.photos])
    train, validation, test = (splits == name for name in ("train", "validation", "test"))
    if not test.any():
        validation, test = test, validation
    train = train | validation
    if train.any() and test.any():
        return train, test, True
    return np.ones(len(splits), dtype=np.bool_), np.ones(len(splits), dtype=np.bool_), False


def _count(faces: FaceSet, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    owners = faces.dataset.owners
    return np.bincount(owners[chosen & (owners >= 0)], minlength=len(faces.dataset.people)).astype(np.int64)


def _too_few(faces: FaceSet, room: NDArray[np.int64], photos: int) -> tuple[LeftOut, ...]:
    """Tell who has too few photos, one by one where they are few."""
    people, single = faces.dataset.people, _count(faces, faces.found) <= 1
    kinds = (
        (single, "a single photo with a face, or none: nothing is left to search for when it is enrolled"),
        (~single & (room < photos), f"too few photos with a face to enroll {photos} and search for another"),
    )
    left_out: list[LeftOut] = []
    for few, why in kinds:
        names = [people[person] for person in np.flatnonzero(few)]
        if len(names) > _MOST_LISTED:
            left_out.append(LeftOut(f"{len(names):,} people", why))
        else:
            left_out += [LeftOut(name, why) for name in names]
    return tuple(left_out)


def draw_all(
    bench: Bench, faces: FaceSet, plan: Plan, draws: int, probes_each: int
) -> tuple[tuple[Draw, ...], tuple[LeftOut, ...]]:
    """Draw photos several times; copies of enrolled photos are not searched for, and told.

    Parameters
    ----------
    bench, faces
        Where it runs, and what was read of the dataset.
    plan
        As `plan_shots` gives it.
    draws
        How many draws.
    probes_each
        At most so many other photos of each person are searched for in a draw, and one photo of each stranger.

    Raises
    ------
    DatasetError
        Nothing is left to search for.
    """
    drawn, leaks = list[Draw](), dict[str, LeftOut]()
    bench.progress.begin("draws of photos", draws)
    for turn in range(draws):
        draw = _draw(faces, plan, bench.random(_PURPOSE, turn), probes_each)
        enrolled = draw.enrolled(plan.shots[-1])
        copies = find_leakage(bench.laboratory, faces, enrolled, draw.probes)
        leaks |= {one.what: one for one in leaks_as_failures(faces, copies)}
        probes = unrelated(faces, draw.probes, enrolled)
        drawn.append(replace(draw, probes=probes[~np.isin(probes, [leak.probe for leak in copies])]))
        bench.progress.advance()
    owners = faces.dataset.owners
    if not all(np.isin(owners[draw.probes], plan.people).any() for draw in drawn):
        raise DatasetError(
            f"{printable(faces.dataset.title)}: every photo that could be searched for shares its source with an "
            "enrolled one, or is a copy of it"
        )
    return tuple(drawn), tuple(leaks.values())


def _draw(faces: FaceSet, plan: Plan, random: np.random.Generator, probes_each: int) -> Draw:
    """Draw photos source by source, so that sources are left to search for."""
    owners, groups = faces.dataset.owners, faces.groups
    turn = random.permutation(int(groups.max()) + 1)
    orders: list[NDArray[np.int64]] = []
    probes: list[NDArray[np.int64]] = []
    for person in plan.people:
        mixed = random.permutation(np.flatnonzero(owners == person)).astype(np.int64)
        mixed = mixed[np.argsort(turn[groups[mixed]], kind="stable")]
        order = mixed[plan.may_enroll[mixed]][: plan.shots[-1]]
        others = mixed[plan.may_search[mixed] & ~np.isin(groups[mixed], groups[order])]
        orders.append(order)
        probes.append(random.permutation(others)[:probes_each])
    return Draw(tuple(orders), np.concatenate([*probes, _strangers(faces, plan, random)]))


def _strangers(faces: FaceSet, plan: Plan, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw photos of people who are not enrolled, one of each in turn, and nameless ones."""
    owners = faces.dataset.owners
    may = plan.may_search & faces.found & ~np.isin(owners, plan.people)
    people = random.permutation(np.unique(owners[may & (owners >= 0)]))
    photos = [random.permutation(np.flatnonzero(may & (owners == person)))[:1] for person in people]
    photos += [np.array([place]) for place in random.permutation(np.flatnonzero(may & (owners < 0)))]
    return in_turns(photos, _MOST_STRANGERS)
