"""Simulated galleries: known people enrolled at random and searched for, with everybody else as strangers.

What a similarity is worth depends on how many people are enrolled and on how many samples each has. It is found out by
doing it: some of many known people are enrolled, their other photos and one photo of each of the others are searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.enrolled import Enrolled, check_embeddings
from facebank.recognition.scoring import build_scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.recognition.background import Background

PROBES_EACH = 5
"""How many photos of an enrolled person are searched at most."""

KEPT = 10
"""How many of a probe's best scores are kept; the rest are as good as impossible."""


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """Faces of known people, to enrol and search.

    Attributes
    ----------
    embeddings
        L2-normalised, ``float32`` of shape ``(N, D)``.
    people
        Whose they are, ``int64`` of shape ``(N,)``: numbers from 0, each of them used.
    qualities
        ``float32`` of shape ``(N,)``, 0..1.

    Raises
    ------
    UsageError
        If the shapes do not fit together.
    """

    embeddings: FloatArray
    people: NDArray[np.int64]
    qualities: FloatArray

    def __post_init__(self) -> None:
        check_embeddings(self.embeddings, "embeddings")
        if self.people.shape != (len(self.embeddings),) or self.qualities.shape != (len(self.embeddings),):
            raise UsageError("Expected a person and a quality for each embedding.")
        used = np.unique(self.people)
        if not np.array_equal(used, np.arange(len(used))):
            raise UsageError("Expected people's numbers from 0, each of them used.")

    @property
    def photos(self) -> NDArray[np.int64]:
        """How many photos each person has, ``int64`` of shape ``(P,)``."""
        return np.bincount(self.people).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """What searching a simulated gallery gave: for each probe the best scores, best first.

    Attributes
    ----------
    scores
        ``float32`` of shape ``(M, K)``: of the K best people.
    samples
        How many samples those people have, ``int64`` of shape ``(M, K)``.
    own
        Which of the K the probe's own person is, ``int64`` of shape ``(M,)``; K for a mated probe whose person is not
        among them, -1 for a stranger.
    weights
        ``float64`` of shape ``(M,)``: each enrolled person's probes sum to one, a stranger's is one.
    enrolled
        How many samples everybody has who is enrolled, ``int64`` of shape ``(P,)``.
    """

    scores: FloatArray
    samples: NDArray[np.int64]
    own: NDArray[np.int64]
    weights: NDArray[np.float64]
    enrolled: NDArray[np.int64]

    @property
    def size(self) -> int:
        """How many people are enrolled."""
        return len(self.enrolled)

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Which probes are of enrolled people, of shape ``(M,)``."""
        mated: NDArray[np.bool_] = self.own >= 0
        return mated

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which probes have their own person as the best, of shape ``(M,)``."""
        right: NDArray[np.bool_] = self.own == 0
        return right


@dataclass(frozen=True, slots=True)
class GalleryPlan:
    """What kind of galleries are simulated.

    Attributes
    ----------
    size
        How many people are enrolled.
    samples_each
        How many samples each has, where there are so many photos and one more to search; else as many as there are.
    strangers
        How many strangers are searched at most.
    """

    size: int
    samples_each: int
    strangers: int = 2000


def simulate(
    identities: Identities,
    plan: GalleryPlan,
    classifier: str,
    background: Background | None,
    random: np.random.Generator,
) -> Searches:
    """Enrol random people and search for them and for strangers.

    Parameters
    ----------
    identities
        Of whom people are enrolled and strangers taken.
    plan
        How many people and samples. People with photos enough are preferred while there are twice as many of them as
        are needed; otherwise all are taken as they come.
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    background
        The pack's, for classifiers that need one.
    random
        Chooses people and photos.

    Raises
    ------
    UsageError
        If there are not more people than are to be enrolled.
    """
    photos = identities.photos
    if len(photos) <= plan.size:
        raise UsageError(f"{len(photos)} people are too few to enrol {plan.size} of them and search for strangers.")
    enough = np.flatnonzero(photos > plan.samples_each)
    choice = enough if len(enough) >= 2 * plan.size else np.arange(len(photos))
    enrolled = random.permutation(choice)[: plan.size]
    shuffled = _shuffled_photos(identities, random)
    samples = [shuffled[person][: max(1, min(plan.samples_each, photos[person] - 1))] for person in enrolled]
    rest = [
        shuffled[person][len(taken) : len(taken) + PROBES_EACH] for person, taken in zip(enrolled, samples, strict=True)
    ]
    others = random.permutation(np.setdiff1d(np.arange(len(photos)), enrolled))[: plan.strangers]
    strangers = np.array([shuffled[person][0] for person in others], dtype=np.int64)
    places = np.concatenate(samples)
    counts = np.array([len(taken) for taken in samples])
    scorer = build_scorer(
        classifier,
        Enrolled(
            identities.embeddings[places],
            np.repeat(np.arange(plan.size), counts),
            identities.qualities[places],
        ),
        background,
    )
    probed = np.array([len(probes) for probes in rest])
    own = np.concatenate([np.repeat(np.arange(plan.size), probed), np.full(len(strangers), -1)])
    weights = np.concatenate([np.repeat(1 / np.maximum(probed, 1), probed), np.ones(len(strangers))])
    scores = scorer.scores(identities.embeddings[np.concatenate([*rest, strangers]).astype(np.int64)])
    return _best(scores, counts, own, weights)


def _shuffled_photos(identities: Identities, random: np.random.Generator) -> list[NDArray[np.int64]]:
    mixed = random.permutation(len(identities.people))
    together = mixed[np.argsort(identities.people[mixed], kind="stable")]
    return np.split(together, np.cumsum(identities.photos)[:-1])


def _best(
    scores: FloatArray, counts: NDArray[np.int64], own: NDArray[np.int64], weights: NDArray[np.float64]
) -> Searches:
    kept = min(KEPT, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :kept]
    is_own = order == own[:, None]
    place = np.where(is_own.any(axis=1), is_own.argmax(axis=1), kept)
    return Searches(
        scores=np.take_along_axis(scores, order, axis=1),
        samples=counts[order].astype(np.int64),
        own=np.where(own < 0, -1, place).astype(np.int64),
        weights=weights,
        enrolled=counts.astype(np.int64),
    )
