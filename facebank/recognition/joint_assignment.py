"""Joint assignment of people to simultaneous faces, each person at most once.

Each face has a probability for each of its candidates and for a stranger. If no two faces show the same person, the
probability of an assignment is proportional to the product of its faces' probabilities. A face's marginal for a person
is the sum over all assignments that give it this person, exact for up to `MAX_EXACT` competing faces. For more, only
the best such assignment counts (`scipy.optimize.linear_sum_assignment` on the log odds against a stranger), which is
the same for two faces and one person. Without a calibration, similarities above the threshold replace log odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.types import FloatArray

COMPETING = 0.05  # probability from which a face competes for a person
MAX_EXACT = 8  # maximum number of competing faces with exact probabilities
_IMPOSSIBLE = -1e9
_MIN_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The joint assignment of people to M faces with K candidates each."""

    columns: NDArray[np.int64]  # each face's candidate columns, the likeliest first, the others in order, ``(M, K)``
    # in the given order of columns, a stranger's last, ``(M, K + 1)``; None for an uncalibrated pack
    probabilities: NDArray[np.float64] | None
    clear: NDArray[np.int64]  # the index of the person clearly assigned to each face, ``(M,)``; -1 for none


def competing_groups(
    person_indices: NDArray[np.int64], plausible: NDArray[np.bool_], near: NDArray[np.bool_], rows: Sequence[int]
) -> list[list[int]]:
    """Return the groups of faces that compete for people, directly or transitively.

    Parameters
    ----------
    person_indices
        Each face's candidates, ``(N, K)``.
    plausible
        Plausible candidates of each face, boolean ``(N, K)``.
    near
        Candidates similar enough for a name, boolean ``(N, K)``; others cause no competition.
    rows
        The simultaneous faces.
    """
    chosen = list(rows)
    claims = person_indices[chosen][plausible[chosen]].tolist()
    if len(set(claims)) == len(claims):
        return []  # the usual case
    faces_of: dict[int, list[int]] = {}
    contested = set[int]()
    for row in rows:
        for column in np.flatnonzero(plausible[row]):
            person = int(person_indices[row, column])
            faces_of.setdefault(person, []).append(row)
            if near[row, column]:
                contested.add(person)
    group = {row: row for row in rows}
    for person in contested:
        first, *others = (group[row] for row in faces_of[person])
        if others:
            merged = {first, *others}
            group = {row: min(merged) if root in merged else root for row, root in group.items()}
    groups: dict[int, list[int]] = {}
    for row, root in group.items():
        groups.setdefault(root, []).append(row)
    return [members for members in groups.values() if len(members) > 1]


def assign_by_probabilities(
    person_indices: NDArray[np.int64], probabilities: NDArray[np.float64], min_odds: float
) -> Assignment:
    """Return the assignment of people by probabilities.

    Parameters
    ----------
    person_indices
        Each competing face's candidates, ``(M, K)``.
    probabilities
        Independent probabilities of the candidates and, last, of a stranger, ``(M, K + 1)``.
    min_odds
        Minimum ratio of a person's marginals for one face and any other, for a clear assignment.
    """
    people, columns = np.unique(person_indices, return_inverse=True)
    columns = columns.reshape(person_indices.shape)
    by_person = np.zeros((len(person_indices), len(people)))
    np.put_along_axis(by_person, columns, probabilities[:, :-1], axis=1)
    stranger = np.maximum(probabilities[:, -1], _MIN_PROBABILITY)
    if len(person_indices) <= MAX_EXACT:
        shared, alone = _marginals(by_person, stranger)
    else:
        totals = _best_totals(np.log(np.maximum(by_person, _MIN_PROBABILITY**2)) - np.log(stranger)[:, None])
        weights = np.exp(totals - totals.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        shared, alone = np.where(by_person > 0, weights[:, :-1], 0.0), weights[:, -1]
    marginals = np.concatenate([np.take_along_axis(shared, columns, axis=1), alone[:, None]], axis=1)
    first = marginals[:, :-1].argmax(axis=1)
    best = columns[np.arange(len(person_indices)), first]
    clear = np.full(len(person_indices), -1, dtype=np.int64)
    for row, person in enumerate(best):
        own, others = shared[row, person], np.delete(shared[:, person], row)
        if own > 0 and own >= min_odds * others.max():
            clear[row] = people[person]
    return Assignment(_move_to_front(first, person_indices.shape[1]), marginals, clear)


def assign_by_similarities(
    person_indices: NDArray[np.int64],
    similarities: FloatArray,
    near: NDArray[np.bool_],
    threshold: float,
    margin: float,
) -> Assignment:
    """Return the assignment of people by similarities, for an uncalibrated pack.

    Parameters
    ----------
    person_indices, similarities
        Each competing face's candidates, ``(M, K)``.
    near
        Candidates similar enough for a name, boolean ``(M, K)``.
    threshold
        The similarity that equals a stranger's.
    margin
        Minimum lead of the total similarity over any other assignment of the face or the person.
    """
    people, columns = np.unique(person_indices, return_inverse=True)
    columns = columns.reshape(person_indices.shape)
    values = np.full((len(person_indices), len(people)), _IMPOSSIBLE)
    np.put_along_axis(values, columns, np.where(near, np.maximum(similarities - threshold, 0.0), _IMPOSSIBLE), axis=1)
    totals, assigned = _best_totals(values), _assign(values)
    first = np.zeros(len(person_indices), dtype=np.int64)
    clear = np.full(len(person_indices), -1, dtype=np.int64)
    for row, person in assigned.items():
        other_face = np.delete(totals[:, person], row).max()
        other_person = np.delete(totals[row, :-1], person).max(initial=_IMPOSSIBLE)
        gap = totals[row, person] - max(other_face, other_person)
        first[row] = np.flatnonzero(columns[row] == person)[0]
        if gap > 0 and gap >= margin:
            clear[row] = people[person]
    return Assignment(_move_to_front(first, person_indices.shape[1]), None, clear)


def _move_to_front(first: NDArray[np.int64], candidates: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.argsort(np.arange(candidates) != first[:, None], axis=1, kind="stable")
    return order


def _marginals(
    by_person: NDArray[np.float64], stranger: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each face's marginals of each person, and of a stranger, over all assignments without repeated people.

    Dynamic programming over the people, forwards and backwards; a state is the set of faces that have a person.
    """
    face_count, person_count = by_person.shape
    states = np.arange(1 << face_count)
    free = [states[(states >> row) & 1 == 0] for row in range(face_count)]
    forward = np.zeros((person_count + 1, len(states)))
    backward = np.zeros((person_count + 1, len(states)))
    forward[0, 0] = 1.0
    backward[person_count] = [np.prod(stranger[(state >> np.arange(face_count)) & 1 == 0]) for state in states]
    for person in range(person_count):
        forward[person + 1] = forward[person]
        for row in np.flatnonzero(by_person[:, person]):
            forward[person + 1, free[row] | 1 << row] += forward[person, free[row]] * by_person[row, person]
    for person in reversed(range(person_count)):
        backward[person] = backward[person + 1]
        for row in np.flatnonzero(by_person[:, person]):
            backward[person, free[row]] += backward[person + 1, free[row] | 1 << row] * by_person[row, person]
    shared = np.zeros_like(by_person)
    for row, person in zip(*np.nonzero(by_person), strict=True):
        total_of_others = forward[person, free[row]] @ backward[person + 1, free[row] | 1 << row]
        shared[row, person] = by_person[row, person] * total_of_others
    alone = np.array(
        [forward[person_count, free[row]] @ backward[person_count, free[row]] for row in range(face_count)]
    )
    total = alone + shared.sum(axis=1)
    return shared / total[:, None], alone / total


def _best_totals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest sum of values with each face fixed to each person, and to a stranger, ``(M, P + 1)``."""
    face_count, person_count = values.shape
    totals = np.full((face_count, person_count + 1), _IMPOSSIBLE)
    for row in range(face_count):
        others = np.delete(values, row, axis=0)
        totals[row, -1] = _total(others)
        for person in np.flatnonzero(values[row] > _IMPOSSIBLE):
            totals[row, person] = values[row, person] + _total(np.delete(others, person, axis=1))
    return totals


def _total(values: NDArray[np.float64]) -> float:
    return float(sum(values[row, person] for row, person in _assign(values).items()))


def _assign(values: NDArray[np.float64]) -> dict[int, int]:
    """Return the people of the faces with the largest sum of values; a stranger counts 0."""
    from scipy.optimize import linear_sum_assignment

    face_count, person_count = values.shape
    rows, columns = linear_sum_assignment(np.hstack([values, np.zeros((face_count, face_count))]), maximize=True)
    return {int(row): int(person) for row, person in zip(rows, columns, strict=True) if person < person_count}
