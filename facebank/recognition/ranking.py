"""Rankings of people for each probe, and the identities derived from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.types import Candidate, Decision, Identity, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

_LOST_TO_OTHERS = (Reason.RUNNER_UP_TOO_NEAR, Reason.CONFUSABLE, Reason.IMPROBABLE)


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The likeliest people of each of M probes, best first."""

    person_indices: NDArray[np.int64]  # indices into the enrolled people, ``(M, K)``
    scores: FloatArray  # ``float32`` of shape ``(M, K)``; minus infinity for a denied person
    similarities: FloatArray  # cosines with the people's prototypes, ``float32`` of shape ``(M, K)``
    # of these people and, last, of a stranger, ``(M, K + 1)``; None for an uncalibrated pack
    probabilities: NDArray[np.float64] | None

    def select(self, rows: Sequence[int]) -> Ranking:
        """Return the ranking of some probes."""
        chosen = list(rows)
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Ranking(self.person_indices[chosen], self.scores[chosen], self.similarities[chosen], probabilities)

    def reorder(self, columns: NDArray[np.int64]) -> Ranking:
        """Return the ranking with each probe's people reordered by `columns`, ``(M, K)``."""
        probabilities = self.probabilities
        if probabilities is not None:
            predicted = np.take_along_axis(probabilities[:, :-1], columns, axis=1)
            probabilities = np.concatenate([predicted, probabilities[:, -1:]], axis=1)
        return Ranking(
            np.take_along_axis(self.person_indices, columns, axis=1),
            np.take_along_axis(self.scores, columns, axis=1),
            np.take_along_axis(self.similarities, columns, axis=1),
            probabilities,
        )


def stack(rankings: Sequence[Ranking]) -> Ranking:
    """Return the rankings of several probes as one."""
    predicted = [ranking.probabilities for ranking in rankings if ranking.probabilities is not None]
    return Ranking(
        np.concatenate([ranking.person_indices for ranking in rankings]),
        np.concatenate([ranking.scores for ranking in rankings]),
        np.concatenate([ranking.similarities for ranking in rankings]),
        np.concatenate(predicted) if predicted else None,
    )


def average(rows: FloatArray, weights: NDArray[np.float64]) -> FloatArray:
    """Return the weighted average of rows as a single one, ``(1, ...)``."""
    return np.asarray(weights[None] @ rows.astype(np.float64), dtype=np.float32)


def _stranger_probability(candidates: Sequence[Candidate]) -> float | None:
    """Return the probability of none of the candidates; None for an uncalibrated pack."""
    predicted = [candidate.probability for candidate in candidates if candidate.probability is not None]
    return max(0.0, 1.0 - math.fsum(predicted)) if predicted else None


def build_identity(decision: Decision, reason: Reason, candidates: tuple[Candidate, ...]) -> Identity:
    """Return the identity of a face with at least one candidate."""
    best = candidates[0]
    return Identity(
        decision=decision,
        reason=reason,
        person=best.person if decision is Decision.KNOWN else None,
        similarity=best.similarity,
        probability=best.probability,
        candidates=candidates,
        stranger_probability=_stranger_probability(candidates),
    )


def withhold_name(alone: Identity, names: AbstractSet[str]) -> tuple[Decision, Reason]:
    """Return the decision and reason of a face that loses its name to other faces of the photo."""
    is_lost = alone.reason in _LOST_TO_OTHERS and alone.candidates[0].person in names
    if alone.decision is Decision.KNOWN or is_lost:
        return Decision.UNCERTAIN, Reason.SAME_PERSON_TWICE
    return alone.decision, alone.reason


def least_certain(identities: Sequence[Identity]) -> Identity:
    """Return the least certain of several identities of one face."""
    unnamed = [identity for identity in identities if identity.person is None]
    if unnamed:
        return unnamed[0]
    weakest = min(identities, key=lambda identity: identity.probability or 0.0)
    if all(identity.person == weakest.person for identity in identities):
        return weakest
    return replace(weakest, decision=Decision.UNCERTAIN, reason=Reason.SAME_PERSON_TWICE, person=None)


def flag_people_seen_twice(identities: Sequence[Identity], together: Sequence[Sequence[int]]) -> list[Identity]:
    """Return identities with `Reason.SAME_PERSON_TWICE` for the less similar of two simultaneous faces of a person.

    `together` holds groups of indices of faces that are seen at the same time.
    """
    flagged = list(identities)
    for rows in together:
        seen = set[str]()
        for row in sorted(rows, key=lambda row: -(identities[row].similarity or 0.0)):
            person = identities[row].person
            if person is not None and person in seen:
                flagged[row] = replace(identities[row], reason=Reason.SAME_PERSON_TWICE)
            elif person is not None:
                seen.add(person)
    return flagged
