"""Joint assignment of people to simultaneous faces, each person at most once.

Each face has a probability for each of its candidates and for a stranger. If no two faces show the same person, the
probability of an assignment is proportional to the product of its faces' probabilities. A face's marginal for a person
is the sum over all assignments that give it this person, exact for up to `MOST_EXACT` competing faces. For more, only
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
MOST_EXACT = 8  # maximum number of competing faces with exact probabilities
_IMPOSSIBLE = -1e9
_LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """The assignment of people to M faces."""

    columns: NDArray[np.int64]  # each face's candidate columns, the likeliest first, the others in order
    # in the given order of columns, a stranger's last, ``(M, K + 1)``; None for an uncalibrated pack
    probabilities: NDArray[np.float64] | None
    clear: NDArray[np.int64]  # the place of the person clearly assigned to this face; -1 for none


def competing(
    places: NDArray[np.int64], plausible: NDArray[np.bool_], near: NDArray[np.bool_], rows: Sequence[int]
) -> list[list[int]]:
    """Return the groups of faces that compete for people, directly or transitively.

    Parameters
    ----------
    places
        Each face's candidates, ``(N, K)``.
    plausible
        Plausible candidates of each face, boolean ``(N, K)``.
    near
        Candidates similar enough for a name, boolean ``(N, K)``; others cause no competition.
    rows
        The simultaneous faces.
    """
    chosen = list(rows)
    claimed = places[chosen][plausible[chosen]].tolist()
    if len(set(claimed)) == len(claimed):
        return []  # the usual case
    of_person: dict[int, list[int]] = {}
    wanted = set[int]()
    for row in rows:
        for column in np.flatnonzero(plausible[row]):
            person = int(places[row, column])
            of_person.setdefault(person, []).append(row)
            if near[row, column]:
                wanted.add(person)
    group = {row: row for row in rows}
    for person in wanted:
        first, *others = (group[row] for row in of_person[person])
        if others:
            merged = {first, *others}
            group = {row: min(merged) if root in merged else root for row, root in group.items()}
    groups: dict[int, list[int]] = {}
    for row, root in group.items():
        groups.setdefault(root, []).append(row)
    return [members for members in groups.values() if len(members) > 1]


def share_probabilities(places: NDArray[np.int64], probabilities: NDArray[np.float64], least_odds: float) -> Shares:
    """Assign people by probabilities.

    Parameters
    ----------
    places
        Each competing face's candidates, ``(M, K)``.
    probabilities
        Independent probabilities of the candidates and, last, of a stranger, ``(M, K + 1)``.
    least_odds
        Minimum ratio of a person's marginals for one face and any other, for a clear assignment.
    """
    people, columns = np.unique(places, return_inverse=True)
    columns = columns.reshape(places.shape)
    owned = np.zeros((len(places), len(people)))
    np.put_along_axis(owned, columns, probabilities[:, :-1], axis=1)
    nobody = np.maximum(probabilities[:, -1], _LEAST)
    if len(places) <= MOST_EXACT:
        shared, alone = _marginals(owned, nobody)
    else:
        totals = _best_totals(np.log(np.maximum(owned, _LEAST**2)) - np.log(nobody)[:, None])
        raised = np.exp(totals - totals.max(axis=1, keepdims=True))
        raised /= raised.sum(axis=1, keepdims=True)
        shared, alone = np.where(owned > 0, raised[:, :-1], 0.0), raised[:, -1]
    marginals = np.concatenate([np.take_along_axis(shared, columns, axis=1), alone[:, None]], axis=1)
    first = marginals[:, :-1].argmax(axis=1)
    best = columns[np.arange(len(places)), first]
    clear = np.full(len(places), -1, dtype=np.int64)
    for row, person in enumerate(best):
        own, others = shared[row, person], np.delete(shared[:, person], row)
        if own > 0 and own >= least_odds * others.max():
            clear[row] = people[person]
    return Shares(_with_first(first, places.shape[1]), marginals, clear)


def share_similarities(
    places: NDArray[np.int64], similarities: FloatArray, near: NDArray[np.bool_], least: float, margin: float
) -> Shares:
    """Assign people by similarities, for an uncalibrated pack.

    Parameters
    ----------
    places, similarities
        Each competing face's candidates, ``(M, K)``.
    near
        Candidates similar enough for a name, boolean ``(M, K)``.
    least
        The similarity that equals a stranger's.
    margin
        Minimum lead of the total similarity over any other assignment of the face or the person.
    """
    people, columns = np.unique(places, return_inverse=True)
    columns = columns.reshape(places.shape)
    values = np.full((len(places), len(people)), _IMPOSSIBLE)
    np.put_along_axis(values, columns, np.where(near, np.maximum(similarities - least, 0.0), _IMPOSSIBLE), axis=1)
    totals, assigned = _best_totals(values), _assign(values)
    first = np.zeros(len(places), dtype=np.int64)
    clear = np.full(len(places), -1, dtype=np.int64)
    for row, person in assigned.items():
        other_face = np.delete(totals[:, person], row).max()
        other_person = np.delete(totals[row, :-1], person).max(initial=_IMPOSSIBLE)
        gap = totals[row, person] - max(other_face, other_person)
        first[row] = np.flatnonzero(columns[row] == person)[0]
        if gap > 0 and gap >= margin:
            clear[row] = people[person]
    return Shares(_with_first(first, places.shape[1]), None, clear)


def _with_first(first: NDArray[np.int64], candidates: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.argsort(np.arange(candidates) != first[:, None], axis=1, kind="stable")
    return order


def _marginals(
    owned: NDArray[np.float64], nobody: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each face's marginals of each person, and of a stranger, over all assignments without repeated people.

    Dynamic programming over the people, forwards and backwards; a state is the set of faces that have a person.
    """
    faces, people = owned.shape
    states = np.arange(1 << faces)
    free = [states[(states >> face) & 1 == 0] for face in range(faces)]
    forward = np.zeros((people + 1, len(states)))
    backward = np.zeros((people + 1, len(states)))
    forward[0, 0] = 1.0
    backward[people] = [np.prod(nobody[(state >> np.arange(faces)) & 1 == 0]) for state in states]
    for person in range(people):
        forward[person + 1] = forward[person]
        for face in np.flatnonzero(owned[:, person]):
            forward[person + 1, free[face] | 1 << face] += forward[person, free[face]] * owned[face, person]
    for person in reversed(range(people)):
        backward[person] = backward[person + 1]
        for face in np.flatnonzero(owned[:, person]):
            backward[person, free[face]] += backward[person + 1, free[face] | 1 << face] * owned[face, person]
    shared = np.zeros_like(owned)
    for face, person in zip(*np.nonzero(owned), strict=True):
        ways = forward[person, free[face]] @ backward[person + 1, free[face] | 1 << face]
        shared[face, person] = owned[face, person] * ways
    alone = np.array([forward[people, free[face]] @ backward[people, free[face]] for face in range(faces)])
    whole = alone + shared.sum(axis=1)
    return shared / whole[:, None], alone / whole


def _best_totals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest sum of values with each face fixed to each person, and to a stranger, ``(M, P + 1)``."""
    faces, people = values.shape
    totals = np.full((faces, people + 1), _IMPOSSIBLE)
    for face in range(faces):
        rest = np.delete(values, face, axis=0)
        totals[face, -1] = _total(rest)
        for person in np.flatnonzero(values[face] > _IMPOSSIBLE):
            totals[face, person] = values[face, person] + _total(np.delete(rest, person, axis=1))
    return totals


def _total(values: NDArray[np.float64]) -> float:
    return float(sum(values[face, person] for face, person in _assign(values).items()))


def _assign(values: NDArray[np.float64]) -> dict[int, int]:
    """Return the people of the faces with the largest sum of values; a stranger counts 0."""
    from scipy.optimize import linear_sum_assignment

    faces, people = values.shape
    rows, columns = linear_sum_assignment(np.hstack([values, np.zeros((faces, faces))]), maximize=True)
    return {int(face): int(person) for face, person in zip(rows, columns, strict=True) if person < people}
