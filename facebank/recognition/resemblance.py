"""Detection of offered faces that do not look like the person they are offered for.

All offered faces are compared at once, together with the person's samples, so the result does not depend on their
order. Similarities are means over single pairs of faces, comparable for one sample and for ten. The limits are
multiples of the pack's verification threshold (a false match rate of one in a thousand), chosen with
``benchmarks/enrollment_guard.py`` on other people than those it reports on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from facebank.index.exact import products
from facebank.index.people_index import PeopleIndex
from facebank.recognition.facts import CHILD_UNTIL
from facebank.storage.dates import earliest_day

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from facebank.types import FloatArray

YEARS_OF_A_CHILD = 1  # years after which photos before the age `CHILD_UNTIL` may differ
YEARS_OF_ANYBODY, YEARS_OF_AN_ADULT = 4, 10  # the same without a birth date, and after that age
_DAYS_OF_A_YEAR = 365.25

LINKED = 0.42  # minimum mean similarity of sets that are joined
UNLIKE, UNLIKE_SLOPE = 0.14, 0.22  # a face below `UNLIKE + UNLIKE_SLOPE * mean pair of the person` is unlike
NEARER, MIN_LIKE_ANOTHER = 0.6, 0.7  # minimum lead of another person, and minimum similarity to that person
ALIKE_FRACTION = 0.4  # fraction of the difference of two people's mean pairs that is corrected
FIRST_LIKE_ANOTHER = 1.8  # minimum similarity of a single face to another person, to count as that person's

# Maximum distance below their mean pairs, and minimum similarity, of two sets of one person.
SET_BELOW_ALIKE, SET_LIKE_ANOTHER = 0.2, 2.25
SET_LOOKS_LIKE_ANOTHER = 1.55  # similarity from which an accepted set is reported to look like another person
APART = 1.0  # minimum distance below their mean pairs for halves of two different people
TYPICAL = 1.9  # prior mean pair
LIKE_NOBODY = 0.17  # mean similarity below which a face is as unlike as a stranger's
_PAIRS_OF_TYPICAL = 2.0
_FURTHER_SAMPLES = 256
_FIRST_SAMPLES = 8  # samples per person in the first comparison
_ROUNDING = 1e-6


class OtherPeople:
    """The other enrolled people, and their samples' mean similarity to a face.

    Parameters
    ----------
    people
        The enrolled people; None if there are none.
    excluded_ids
        Ids of people to exclude.
    extra
        Samples, ``(N, D)``, of additional people by id.
    """

    def __init__(
        self,
        people: PeopleIndex | None,
        excluded_ids: Collection[int] = (),
        extra: Mapping[int, FloatArray] | None = None,
    ) -> None:
        self._people = people
        self._excluded_ids = frozenset(excluded_ids)
        self._extra = {} if extra is None else extra
        self._nearest_cache: dict[bytes, int | None] = {}

    @classmethod
    def from_samples(cls, person_ids: NDArray[np.int64], embeddings: FloatArray) -> Self:
        """Build from samples: person ids ``(N,)`` and embeddings ``(N, D)``."""
        if not len(person_ids):
            return cls(None)
        return cls(PeopleIndex.from_samples(embeddings, person_ids, np.ones(len(person_ids), dtype=np.float32)))

    def nearest(self, embedding: FloatArray) -> int | None:
        """Return the id of the person most similar to a face or a mean of faces, ``(D,)``, or None."""
        key = embedding.tobytes()
        if key not in self._nearest_cache:
            similarities = {person_id: self.similarity(person_id, embedding) for person_id in self._extra}
            if self._people is not None:
                similarities |= self._nearest_of(self._people, embedding)
            self._nearest_cache[key] = min(
                similarities, key=lambda person_id: (-similarities[person_id], person_id), default=None
            )
        return self._nearest_cache[key]

    def similarity(self, person_id: int, embedding: FloatArray) -> float:
        """Return the mean similarity of a face, or of a mean of faces, to a person's samples."""
        return float(products(embedding, self.samples(person_id)).mean())

    def agreement(self, person_id: int, threshold: float) -> float:
        """Return the mean similarity of two of a person's samples; see `mean_pair`."""
        samples = self.samples(person_id)
        return mean_pair(samples.sum(axis=0), len(samples), threshold)

    def samples(self, person_id: int) -> FloatArray:
        """Return a person's samples, ``(N, D)``."""
        if self._people is None or person_id in self._extra:
            return self._extra[person_id]
        return self._people.embeddings(self._people.rows_of(int(self._people.person_ids.searchsorted(person_id))))

    def _nearest_of(self, people: PeopleIndex, embedding: FloatArray) -> dict[int, float]:
        """Return similarities, by person id, of the people who may be nearest: no mean exceeds the best sample's."""
        rows, similarities, complete_above = people.samples_near(embedding)
        order = np.argsort(-similarities, kind="stable")
        near, count = self._similarities(people, rows[order[:_FIRST_SAMPLES]], embedding), _FURTHER_SAMPLES
        others = order[_FIRST_SAMPLES:]
        if near:  # most others cannot be nearer
            others = others[similarities[others] >= max(near.values()) - _ROUNDING]
        near |= self._similarities(people, rows[others], embedding)
        while not near and count < 8 * people.count:
            (rows,) = people.nearest_samples.near(embedding.astype(np.float64)[None], count)
            near, count = self._similarities(people, rows, embedding), 8 * count
        floor = max(near.values(), default=np.inf) - _ROUNDING
        if floor > complete_above:
            return near
        return self._similarities(people, people.samples_within(embedding, floor), embedding)

    def _similarities(self, people: PeopleIndex, rows: NDArray[np.int64], embedding: FloatArray) -> dict[int, float]:
        """Return the mean similarities, by person id, of the people of some samples."""
        person_indices = np.unique(people.person_indices(rows))
        person_indices = person_indices[~np.isin(people.person_ids[person_indices], list(self._excluded_ids))]
        if not len(person_indices):
            return {}
        embeddings, starts, _ = people.samples_of(person_indices)
        means = np.add.reduceat(products(embedding, embeddings), starts) / people.counts[person_indices]
        return dict(zip(people.person_ids[person_indices].tolist(), means.tolist(), strict=True))


class DoubtKind(Enum):
    """The kind of doubt about a face."""

    UNLIKE = auto()
    """Unlike the person's other faces."""
    OUTVOTED = auto()
    """Unlike the person's samples, but like most of the offered faces."""
    UNDECIDED = auto()
    """Unlike other offered faces, without evidence which of them are the person's."""
    ANOTHER = auto()
    """Nearer to another person, or clearly that person's."""


class Doubt(NamedTuple):
    """A face that may not be the person's."""

    kind: DoubtKind
    own_similarity: float | None  # mean similarity to the person's other faces; None without any
    # mean similarity to the samples of the most similar other person; None if there is none
    other_similarity: float | None
    person: int | None  # id of that other person; None if there is none


@dataclass(frozen=True, slots=True, eq=False)
class FaceSetComparison:
    """The comparison of N offered faces with M samples of one person."""

    doubts: tuple[Doubt | None, ...]  # one for each offered face; None for an accepted face
    # which of the offered faces, then samples, count as the person's, ``(N + M,)``
    is_main: NDArray[np.bool_]
    sets: NDArray[np.int64]  # the cluster of each face, ``(N + M,)``
    # another person whom the faces resemble as much as each other, and the mean similarity; or None
    similar_other: tuple[int, float] | None = None
    # whether the accepted faces form equally large clusters of low similarity, such as of a child and of the adult
    is_split: bool = False


def compare(offered: FloatArray, samples: FloatArray, others: OtherPeople, threshold: float) -> FaceSetComparison:
    """Return a comparison of the faces offered for one person with the person's samples and with other people.

    Parameters
    ----------
    offered
        Embeddings of distinct faces, ``(N, D)`` with N at least 1.
    samples
        The person's samples, ``(M, D)``; M may be 0.
    others
        The other enrolled people.
    threshold
        The pack's verification threshold.
    """
    count = len(offered)
    faces = np.concatenate([offered, samples])
    sets = linked_sets(faces @ faces.T, LINKED * threshold)
    foreign = _sets_of_others(offered, sets[:count], set(sets[count:].tolist()), others, threshold)
    main, tied = _main_set(sets, count, foreign)
    own, is_unlike = _measure(faces, main, count, threshold)
    nearer = _sets_nearer_to_others(offered, sets[:count], tied, own, others, threshold=threshold)
    if nearer:
        foreign.update(nearer)
        main, tied = _main_set(sets, count, foreign)
        own, is_unlike = _measure(faces, main, count, threshold)
    is_split = bool(tied) and _may_be_one_person(faces, sets, tied, threshold)
    if is_split:
        tied = set()
    for drop_unlike in (False, True):  # measure again without doubtful faces, first those nearer to another person
        dropped = is_unlike if drop_unlike else _nearer_to_others(faces, main, own, others, threshold)
        remaining = main & ~np.pad(dropped, (0, len(samples)))
        if remaining.any() and (remaining != main).any():
            main = remaining
            own, is_unlike = _measure(faces, main, count, threshold)
    if not len(samples) and count > 1 and is_unlike.all():
        tied = set(sets.tolist())  # unlike each other, with no evidence which are the person's
    is_bigger = np.bincount(sets)[sets] > main.sum()
    own_alike = _agreement(faces, main, threshold)
    doubts: list[Doubt | None] = []
    for index, set_number in enumerate(sets[:count].tolist()):
        own_similarity = None if np.isnan(own[index]) else float(own[index])
        other_person = foreign.get(set_number, others.nearest(offered[index]))
        other = None if other_person is None else others.similarity(other_person, offered[index])
        more_alike = 0.0 if other_person is None else own_alike - others.agreement(other_person, threshold)
        is_new = set_number not in sets[count:]
        kind = None
        if set_number in foreign or (
            other is not None and is_nearer_to_another(own_similarity, other, more_alike, threshold)
        ):
            kind = DoubtKind.ANOTHER
        elif set_number in tied:
            kind = DoubtKind.UNDECIDED
        elif is_unlike[index]:
            kind = DoubtKind.OUTVOTED if len(samples) and is_new and is_bigger[index] else DoubtKind.UNLIKE
        doubts.append(None if kind is None else Doubt(kind, own_similarity, other, other_person))
    similar = _similar_other(faces, main, others, threshold)
    return FaceSetComparison(tuple(doubts), main, sets, similar, is_split)


def is_nearer_to_another(own: float | None, other: float, more_alike: float, threshold: float) -> bool:
    """Return whether a face is more likely another person's.

    Parameters
    ----------
    own
        Mean similarity to the person's faces, or None.
    other
        Mean similarity to the other person's samples.
    more_alike
        Mean pair of the person minus that of the other: faces of children and poor photos resemble all faces less.
    threshold
        The pack's verification threshold.
    """
    if own is None:
        return other >= FIRST_LIKE_ANOTHER * threshold
    nearer = other - own + ALIKE_FRACTION * more_alike
    return other >= MIN_LIKE_ANOTHER * threshold and nearer >= NEARER * threshold


def is_one_person(first: FloatArray, second: FloatArray, threshold: float) -> bool:
    """Return whether two non-empty sets of faces, ``(N, D)`` and ``(M, D)``, are as similar as the faces within each.

    Each set must be mostly of one person. Rates: ``python -m benchmarks.folders_of_one_person``.
    """
    similarity = float(first.mean(axis=0) @ second.mean(axis=0))
    agreements = [mean_pair(faces.sum(axis=0), len(faces), threshold) for faces in (first, second)]
    return similarity >= max(threshold, sum(agreements) / 2 - SET_BELOW_ALIKE * threshold)


def split_into_halves(faces: FloatArray, threshold: float) -> tuple[NDArray[np.bool_], float] | None:
    """Return the smaller of two halves of a person's faces that look like two people.

    For the rates see `facebank.recognition.halves.find_halves`.

    Parameters
    ----------
    faces
        The person's samples, ``(N, D)``.
    threshold
        The pack's verification threshold.

    Returns
    -------
    tuple[NDArray[np.bool_], float] | None
        Which faces are in the smaller half, ``(N,)``, and the mean similarity across the halves; None without two
        halves of at least two faces.
    """
    similarities = faces @ faces.T
    if len(faces) < 4 or similarities.min() >= LINKED * threshold:
        return None
    sets = linked_sets(similarities, LINKED * threshold)
    sizes = np.bincount(sets)
    if np.sort(sizes)[-2:].min() < 2 or len(sizes) < 2:
        return None
    larger, smaller = np.argsort(-sizes, kind="stable")[:2]
    is_smaller = sets == smaller
    for index in np.flatnonzero((sets != larger) & ~is_smaller):
        is_smaller[index] = similarities[index][sets == smaller].mean() > similarities[index][sets == larger].mean()
    a, b = faces[is_smaller], faces[~is_smaller]
    similarity = float(a.mean(axis=0) @ b.mean(axis=0))
    agreement = sum(mean_pair(half.sum(axis=0), len(half), threshold) for half in (a, b)) / 2
    if agreement - similarity < APART * threshold:
        return None
    return (is_smaller if 2 * is_smaller.sum() <= len(faces) else ~is_smaller), similarity


def mean_pair(total: FloatArray, count: int, threshold: float) -> float:
    """Return the mean similarity of two of `count` faces with the sum `total`, ``(D,)``, shrunken towards `TYPICAL`."""
    similar = (float(total @ total) - count) / 2
    weight = count * (count - 1) / 2
    return (similar + TYPICAL * threshold * _PAIRS_OF_TYPICAL) / (weight + _PAIRS_OF_TYPICAL)


def linked_sets(similarities: FloatArray, threshold: float) -> NDArray[np.int64]:
    """Return the clusters of faces by average linkage, without importing SciPy.

    Parameters
    ----------
    similarities
        Of each face with each, ``(N, N)``.
    threshold
        The mean similarity from which two clusters are joined, the most similar first.

    Returns
    -------
    NDArray[np.int64]
        The number of each face's cluster, ``(N,)``.
    """
    linkage = similarities.astype(np.float64)
    np.fill_diagonal(linkage, -np.inf)
    sets, sizes = np.arange(len(linkage)), np.ones(len(linkage))
    nearest = np.argmax(linkage, axis=1)
    nearness = linkage[sets, nearest]
    while nearness.max(initial=-np.inf) >= threshold:
        first = int(np.argmax(nearness))
        second = int(nearest[first])
        merged = (sizes[first] * linkage[first] + sizes[second] * linkage[second]) / (sizes[first] + sizes[second])
        linkage[first] = linkage[:, first] = merged
        linkage[second] = linkage[:, second] = -np.inf
        linkage[first, first] = -np.inf
        sizes[first] += sizes[second]
        sets[sets == sets[second]] = sets[first]
        changed = np.flatnonzero((nearest == first) | (nearest == second))  # other nearest clusters stay valid
        changed = np.union1d(changed, [first, second])
        nearest[changed] = np.argmax(linkage[changed], axis=1)
        nearness[changed] = linkage[changed, nearest[changed]]
    return np.asarray(np.unique(sets, return_inverse=True)[1], dtype=np.int64)


def _sets_of_others(
    offered: FloatArray, sets: NDArray[np.int64], sampled: set[int], others: OtherPeople, threshold: float
) -> dict[int, int]:
    """Return the sets without a sample that are clearly another person's, with that person."""
    foreign: dict[int, int] = {}
    for set_number in set(sets.tolist()) - sampled:
        own_faces = offered[sets == set_number]
        total, count = own_faces.sum(axis=0), len(own_faces)
        best = others.nearest(total / count)
        if best is None:
            break
        minimum = FIRST_LIKE_ANOTHER * threshold
        if count > 1:
            agreement = (mean_pair(total, count, threshold) + others.agreement(best, threshold)) / 2
            minimum = max(agreement - SET_BELOW_ALIKE * threshold, SET_LIKE_ANOTHER * threshold)
        if others.similarity(best, total / count) >= minimum:
            foreign[set_number] = best
    return foreign


def _nearer_to_others(
    faces: FloatArray, main: NDArray[np.bool_], own: FloatArray, others: OtherPeople, threshold: float
) -> NDArray[np.bool_]:
    nearer = np.zeros(len(own), dtype=np.bool_)
    agreement = _agreement(faces, main, threshold)
    for index, face in enumerate(faces[: len(own)]):
        other_person = None if np.isnan(own[index]) else others.nearest(face)
        if other_person is not None:
            other = others.similarity(other_person, face)
            more_alike = agreement - others.agreement(other_person, threshold)
            nearer[index] = is_nearer_to_another(float(own[index]), other, more_alike, threshold)
    return nearer


def _sets_nearer_to_others(
    offered: FloatArray,
    sets: NDArray[np.int64],
    tied: Container[int],
    own: FloatArray,
    others: OtherPeople,
    *,
    threshold: float,
) -> dict[int, int]:
    """Return the tied sets that are nearer to another person, with that person."""
    nearer: dict[int, int] = {}
    for set_number in np.unique(sets).tolist():
        if set_number not in tied:
            continue
        in_set = sets == set_number
        mean = offered[in_set].mean(axis=0)
        best = others.nearest(mean)
        if best is None:
            break
        if is_nearer_to_another(float(own[in_set].mean()), others.similarity(best, mean), 0.0, threshold):
            nearer[set_number] = best
    return nearer


def _may_be_one_person(faces: FloatArray, sets: NDArray[np.int64], tied: set[int], threshold: float) -> bool:
    """Return whether tied sets of several faces each are more similar than strangers."""
    means = [faces[sets == set_number].mean(axis=0) for set_number in tied]
    similarities = [float(a @ b) for index, a in enumerate(means) for b in means[:index]]
    return (sets == min(tied)).sum() > 1 and min(similarities) >= LIKE_NOBODY * threshold


def _main_set(sets: NDArray[np.int64], count: int, foreign: Container[int]) -> tuple[NDArray[np.bool_], set[int]]:
    """Return which faces are the person's, the first `count` being the offered ones, and the tied sets."""
    sizes, sampled = np.bincount(sets), np.bincount(sets[count:], minlength=int(sets.max()) + 1)
    candidates = [set_number for set_number in np.unique(sets).tolist() if set_number not in foreign]
    if sampled.any():
        best = max(candidates, key=lambda set_number: (sampled[set_number] > 0, sizes[set_number], sampled[set_number]))
        return sets == best, set()
    largest = max((sizes[set_number] for set_number in candidates), default=0)
    leading = {set_number for set_number in candidates if sizes[set_number] == largest}
    return np.isin(sets, list(leading)), leading if len(leading) > 1 else set()


def _measure(
    faces: FloatArray, main: NDArray[np.bool_], count: int, threshold: float
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the first `count` faces' mean similarity to the person's others (NaN if none), and which are low."""
    others = int(main.sum()) - main.astype(np.int64)
    sums = faces @ faces[main].sum(axis=0) - main
    own = np.where(others > 0, sums / np.maximum(others, 1), np.nan).astype(np.float32)[:count]
    return own, own < UNLIKE * threshold + UNLIKE_SLOPE * _agreement(faces, main, threshold)


def _agreement(faces: FloatArray, main: NDArray[np.bool_], threshold: float) -> float:
    return mean_pair(faces[main].sum(axis=0), int(main.sum()), threshold)


def _similar_other(
    faces: FloatArray, main: NDArray[np.bool_], others: OtherPeople, threshold: float
) -> tuple[int, float] | None:
    if main.sum() < 2:
        return None
    mean = faces[main].mean(axis=0)
    best = others.nearest(mean)
    if best is None:
        return None
    similarity = others.similarity(best, mean)
    agreement = (_agreement(faces, main, threshold) + others.agreement(best, threshold)) / 2
    if similarity < max(SET_LOOKS_LIKE_ANOTHER * threshold, agreement - SET_BELOW_ALIKE * threshold):
        return None
    return best, similarity


def may_look_different(first: datetime, second: datetime, born: str | None) -> bool:
    """Return whether a person may look different in photos of two dates.

    `born` is a possibly partial birth date, as in `facebank.types.Person`, or None.
    """
    years = abs((first - second).total_seconds()) / (_DAYS_OF_A_YEAR * 86400)
    if born is None:
        return years > YEARS_OF_ANYBODY
    age = (min(first, second).date() - earliest_day(born)).days / _DAYS_OF_A_YEAR
    return years > (YEARS_OF_A_CHILD if age < CHILD_UNTIL else YEARS_OF_AN_ADULT)
