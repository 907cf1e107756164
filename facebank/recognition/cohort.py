"""Correction of scores by the album's other people (the cohort).

Children, relatives and people of one ethnic group look alike to an embedder, so a threshold measured on other people
names strangers. The mean similarity of a face, and of a person, to the *other* people is subtracted from their
similarity, scaled by ``n / (n + shrinkage)`` for n others: a symmetric mean normalization as in speaker recognition;
dividing by the spread did not help (docs/decisions.md). It is linear in the face, with one offset per person, and zero
if no other people are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.index.exact import products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.index.people_index import PeopleIndex
    from facebank.types import FloatArray

SAME_PERSON = 0.5  # similarity from which another person of the album counts as an enrolled one
# similarity from which an unenrolled person does not correct the scores of an enrolled one: perhaps the same person in
# poor photos
MAYBE_SAME_PERSON = 0.35


@dataclass(frozen=True, slots=True)
class Correction:
    """The amount by which the album's similarities are corrected."""

    share: float = 0.0  # fraction of either side's mean similarity to the other people that is subtracted, 0..1
    # fraction of the mean similarity among the album's people that is added back, 0..1. A `share` of ``(1 + level)
    # / 2`` fully removes the similarity common to a group of people, a smaller one less
    level: float = 0.0
    shrinkage: float = 5.0  # number of other people at which half of the correction applies

    def weight(self, others: NDArray[np.int64] | NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the weight of the correction for a number of other people, 0..1."""
        count = np.asarray(others, dtype=np.float64)
        return np.asarray(count / (count + self.shrinkage))


NO_CORRECTION = Correction()  # for calibrations of the first format


class Cohort:
    """The other people of an album, relative to each enrolled person.

    Parameters
    ----------
    people
        The enrolled people.
    unenrolled_prototypes
        One mean embedding for each person who is not enrolled, ``(G, D)``, as `exclude_enrolled` returns them. It does
        not count for an enrolled person whose similarity to it is `MAYBE_SAME_PERSON` or more.
    correction
        The amount of the correction.

    Attributes
    ----------
    unenrolled, other_people
        Number of people who are not enrolled, and of others for each enrolled person.
    common
        The shrunken mean similarity of two people of the album: 0 if no other people are known.
    """

    def __init__(self, people: PeopleIndex, unenrolled_prototypes: FloatArray | None, correction: Correction) -> None:
        if unenrolled_prototypes is None:
            unenrolled_prototypes = np.empty((0, people.dimension), np.float32)
        self.unenrolled = len(unenrolled_prototypes)
        total = len(people.person_ids) + self.unenrolled
        self.other_people = total - 1
        self._people = people
        self._unenrolled_sum = unenrolled_prototypes.sum(axis=0, dtype=np.float64)
        self._sum = people.prototype_sum + self._unenrolled_sum
        density = max(float(self._sum @ self._sum - total) / max(total * self.other_people, 1), 0.0)
        self.common = float(correction.weight(self.other_people)) * density
        self._similar_indices, self._similar_sums, self._similar_counts = _find_similar(people, unenrolled_prototypes)
        self._correction, self._density = correction, density

    @property
    def spread(self) -> float:
        """Largest difference between the corrections of two people's scores."""
        lowest, highest = self._people.products_range
        subtracted, _ = self._fractions(np.array([self.other_people]))
        return float(subtracted[0]) * (highest - lowest + 2.0)

    def queries(self, probes: FloatArray) -> NDArray[np.float64] | None:
        """Return points ``(M, D)`` whose products with the prototypes rank as corrected similarities.

        Exact up to ``1 / other_people``; None if the correction is not the same for all people.
        """
        if len(self._similar_indices):
            return None
        subtracted, _ = self._fractions(np.array([self.other_people]))
        return np.asarray((1.0 + subtracted) * probes.astype(np.float64) - subtracted * self._sum)

    def correct_scores(
        self, scores: FloatArray, similarities: FloatArray, probes: FloatArray, person_indices: NDArray[np.int64]
    ) -> FloatArray:
        """Return corrected scores, ``float32`` of shape ``(M, K)``.

        Parameters
        ----------
        scores, similarities
            Scores of M probes and K people, and cosines with the people's prototypes, ``(M, K)``.
        probes
            L2-normalized embeddings, ``float32`` of shape ``(M, D)``.
        person_indices
            Indices of the people, ``int64`` of shape ``(K,)``.
        """
        if not self._correction.share:
            return scores
        others = np.full(len(person_indices), self.other_people, dtype=np.int64)
        totals = products(self._sum, probes)[:, None] - similarities.astype(np.float64)
        common = self._people.products_with_others(person_indices)
        if self.unenrolled:
            prototypes = self._people.prototypes_of(person_indices)
            common += products(self._unenrolled_sum, prototypes)
            is_similar = np.isin(person_indices, self._similar_indices)
            indices = np.searchsorted(self._similar_indices, person_indices[is_similar])
            sums = self._similar_sums[indices]
            others[is_similar] -= self._similar_counts[indices]
            totals[:, is_similar] -= np.einsum("ad,md->ma", sums, probes.astype(np.float64))
            common[is_similar] -= np.einsum("ad,ad->a", prototypes[is_similar].astype(np.float64), sums)
        subtracted, added = self._fractions(others)
        return np.asarray(scores - subtracted * totals + (added - subtracted * common), dtype=np.float32)

    def _fractions(self, others: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for numbers of other people, the subtracted fraction of each similarity and the added similarity."""
        weights = self._correction.weight(others)
        subtracted = self._correction.share * weights / np.maximum(others, 1)
        return subtracted, self._correction.level * weights * self._density


def _find_similar(
    people: PeopleIndex, unenrolled_prototypes: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the indices of enrolled people who resemble unenrolled ones, and the sums and numbers of these."""
    if not len(unenrolled_prototypes):
        return np.empty(0, np.int64), np.empty((0, people.dimension)), np.empty(0, np.int64)
    is_similar = people.prototypes @ unenrolled_prototypes.T >= MAYBE_SAME_PERSON
    person_indices = np.flatnonzero(is_similar.any(axis=1)).astype(np.int64)
    similar = is_similar[person_indices]
    sums = similar.astype(np.float64) @ unenrolled_prototypes.astype(np.float64)
    return person_indices, sums, similar.sum(axis=1)


def exclude_enrolled(album_people: FloatArray, people: PeopleIndex) -> FloatArray:
    """Return the rows, ``(G, D)``, whose similarity to each enrolled person is below `SAME_PERSON`."""
    near = people.nearest_people.within(album_people.astype(np.float64), SAME_PERSON)
    is_other = [
        not len(person_indices) or people.similarities(probe, person_indices).max() < SAME_PERSON
        for probe, person_indices in zip(album_people, near, strict=True)
    ]
    return album_people[np.array(is_other, dtype=np.bool_)]
