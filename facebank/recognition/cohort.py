"""Scores corrected by what the album's other people look like.

Children, one family or one ethnic group look alike to an embedder: all their similarities are higher, and a threshold
that was measured on other people names strangers. How much higher shows in the album itself. The mean similarity of a
face, and of a person, to the album's *other* people (the cohort) is taken off their similarity, the more the more
people there are: ``n / (n + shrinkage)`` of it, where n is their number. In the literature on speaker recognition
this is a symmetric normalization by the mean of a cohort; the division by its spread, as in the t-norm and the
s-norm, did not help (docs/decisions.md).

The correction is linear in the face and one offset a person. With nobody else known it is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

SAME_PERSON = 0.5
"""The similarity from which a further person of the album may be an enrolled one, and does not count."""

MAY_BE_THE_SAME = 0.35
"""The similarity from which a further person does not count for an enrolled one: perhaps poor photos of that one."""

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Correction:
    """How much of the album's similarities is taken off.

    Attributes
    ----------
    share
        Which share of either side's mean similarity to the other people is taken off, 0..1.
    level
        Which share of the mean similarity of the album's people to one another is added again, 0..1. A share of
        ``(1 + level) / 2`` takes off all of what strangers of a group are alike, a smaller one less.
    shrinkage
        For how many other people half of that is done.
    """

    share: float = 0.0
    level: float = 0.0
    shrinkage: float = 5.0

    def weight(self, others: NDArray[np.int64] | NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return how much of the correction is made where so many other people are known, 0..1."""
        count = np.asarray(others, dtype=np.float64)
        return np.asarray(count / (count + self.shrinkage))


NO_CORRECTION = Correction()
"""Scores stay what they are: for calibrations of before."""


class Cohort:
    """The other people of an album, seen from each enrolled person.

    Parameters
    ----------
    prototypes
        Of the enrolled people, ``float32`` of shape ``(P, D)``.
    further
        Of people of the album who are not enrolled, one mean each, of shape ``(G, D)``, as `not_enrolled` leaves them;
        None for none.
    correction
        What is done with them. A further person who is `MAY_BE_THE_SAME` as an enrolled one does not count for that
        one.

    Attributes
    ----------
    further, others
        How many people of the album are not enrolled, and how many others there are for each of the enrolled.
    common
        The mean similarity of two people of the album, as far as it is believed: 0 with nobody else known.
    """

    def __init__(self, prototypes: FloatArray, further: FloatArray | None, correction: Correction) -> None:
        people, dimension = prototypes.shape
        groups = np.empty((0, dimension), np.float32) if further is None else further
        self.further = len(groups)
        total = people + self.further
        self.others = total - 1
        self._sum = prototypes.sum(axis=0, dtype=np.float64) + groups.sum(axis=0, dtype=np.float64)
        density = max(float(self._sum @ self._sum - total) / max(total * self.others, 1), 0.0)
        self.common = float(correction.weight(self.others)) * density
        elsewhere = np.empty(people)
        for start in range(0, people, _ROWS_AT_ONCE):
            rows = prototypes[start : start + _ROWS_AT_ONCE].astype(np.float64)
            elsewhere[start : start + _ROWS_AT_ONCE] = rows @ self._sum - np.einsum("ij,ij->i", rows, rows)
        others = np.full(people, self.others, dtype=np.int64)
        self._alike, self._alike_sums, counts = _alike(prototypes, groups)
        others[self._alike] -= counts
        elsewhere[self._alike] -= (prototypes[self._alike] * self._alike_sums).sum(axis=1)
        weights = correction.weight(others)
        self._share = correction.share * weights / np.maximum(others, 1)
        self._offsets = correction.level * weights * density - self._share * elsewhere

    def corrected(self, scores: FloatArray, similarities: FloatArray, probes: FloatArray) -> FloatArray:
        """Return scores with what the album's other people explain taken off.

        Parameters
        ----------
        scores
            Of probes and people, ``float32`` of shape ``(M, P)``.
        similarities
            Cosines with the people's prototypes, of shape ``(M, P)``.
        probes
            L2-normalized embeddings, ``float32`` of shape ``(M, D)``.
        """
        if not self._share.any():
            return scores
        exact = probes.astype(np.float64)
        elsewhere = (exact @ self._sum)[:, None] - similarities
        if len(self._alike):
            elsewhere[:, self._alike] -= exact @ self._alike_sums.T
        return np.asarray(scores - self._share * elsewhere + self._offsets, dtype=np.float32)


def _alike(
    prototypes: FloatArray, groups: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return the enrolled people who are like further ones: places, the sums of those, and how many they are."""
    if not len(groups):
        return np.empty(0, np.int64), np.empty((0, prototypes.shape[1])), np.empty(0, np.int64)
    alike = prototypes @ groups.T >= MAY_BE_THE_SAME
    places = np.flatnonzero(alike.any(axis=1)).astype(np.int64)
    return places, alike[places].astype(np.float64) @ groups.astype(np.float64), alike[places].sum(axis=1)


def not_enrolled(people: FloatArray, prototypes: FloatArray) -> FloatArray:
    """Return those of an album's people who are none of the enrolled ones, as far as can be told.

    Parameters
    ----------
    people
        One mean embedding each, ``(G, D)``.
    prototypes
        Of the enrolled people, ``(P, D)``.
    """
    enrolled = np.zeros(len(people), dtype=bool)
    for start in range(0, len(prototypes), _ROWS_AT_ONCE):
        enrolled |= (people @ prototypes[start : start + _ROWS_AT_ONCE].T >= SAME_PERSON).any(axis=1)
    return people[~enrolled]
