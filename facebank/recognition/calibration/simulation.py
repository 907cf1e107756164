"""Simulation of galleries: random people are enrolled and searched for, with all others as strangers.

The meaning of a similarity depends on the number of enrolled people, their samples and the album's other people. With
known families, a gallery can be one or two members of one family among other people: strangers are then other
families, and the members who are not enrolled are marked as relatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.cohort import NO_CORRECTION, Cohort, Correction
from facebank.recognition.enrolled import EnrolledSamples, check_embeddings
from facebank.recognition.scoring import top_indices
from facebank.recognition.training import build_scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.types import FloatArray

MAX_PROBES = 5  # maximum number of searched photos of an enrolled person
MAX_SCORES = 10  # number of best scores kept for a probe; the rest are negligible


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """Faces of known people.

    Raises
    ------
    UsageError
        The shapes do not match.
    """

    embeddings: FloatArray  # L2-normalized, ``float32`` of shape ``(N, D)``
    person_ids: NDArray[np.int64]  # ``int64`` of shape ``(N,)``: contiguous, from 0
    qualities: FloatArray  # ``float32`` of shape ``(N,)``, 0..1
    # the family of each person, ``int64`` of shape ``(P,)``; None if nobody is related
    families: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        check_embeddings(self.embeddings, "embeddings")
        if self.person_ids.shape != (len(self.embeddings),) or self.qualities.shape != (len(self.embeddings),):
            raise UsageError("Expected a person and a quality for each embedding.")
        used = np.unique(self.person_ids)
        if not np.array_equal(used, np.arange(len(used))):
            raise UsageError("Expected contiguous person ids from 0.")
        if self.families is not None and self.families.shape != used.shape:
            raise UsageError(f"Expected a family for each of {len(used)} people.")

    @property
    def photos(self) -> NDArray[np.int64]:
        """Number of photos of each person, ``int64`` of shape ``(P,)``."""
        return np.bincount(self.person_ids).astype(np.int64)

    def select(self, people: NDArray[np.int64]) -> Identities:
        """Return some of the people, renumbered in ascending order."""
        is_selected = np.isin(self.person_ids, people)
        old_ids, person_ids = np.unique(self.person_ids[is_selected], return_inverse=True)
        families = None if self.families is None else self.families[old_ids]
        return Identities(
            self.embeddings[is_selected], person_ids.astype(np.int64), self.qualities[is_selected], families
        )


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSearches:
    """The results of M probes in a simulated gallery: the K best scores of each, best first."""

    # ``float32`` of shape ``(M, K)``; minus infinity for an enrolled relative of a mated probe's person
    scores: FloatArray
    sample_counts: NDArray[np.int64]  # numbers of samples of those people, ``int64`` of shape ``(M, K)``
    # column of the probe's own person, ``int64`` of shape ``(M,)``; K if not among them, -1 for a stranger
    own_columns: NDArray[np.int64]
    # ``float64`` of shape ``(M,)``: each enrolled person's probes sum to one, a stranger's is one
    weights: NDArray[np.float64]
    enrolled: NDArray[np.int64]  # numbers of samples of all enrolled people, ``int64`` of shape ``(P,)``
    unenrolled: int  # number of unenrolled people in the album
    relatives: NDArray[np.bool_]  # strangers of an enrolled person's family, ``(M,)``

    @property
    def size(self) -> int:
        """Number of enrolled people."""
        return len(self.enrolled)

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Probes of enrolled people, ``(M,)``."""
        mated: NDArray[np.bool_] = self.own_columns >= 0
        return mated

    @property
    def strangers(self) -> NDArray[np.bool_]:
        """Probes of people who are neither enrolled nor related to an enrolled person, ``(M,)``."""
        return ~self.mated & ~self.relatives

    @property
    def right(self) -> NDArray[np.bool_]:
        """Probes whose own person has the best score, ``(M,)``."""
        right: NDArray[np.bool_] = self.own_columns == 0
        return right


@dataclass(frozen=True, slots=True)
class GalleryPlan:
    """The kind of galleries to simulate."""

    size: int  # number of enrolled people
    samples_each: int  # samples of each, leaving at least one photo to search
    strangers: int = 2000  # maximum number of searched strangers
    unenrolled: int = 0  # number of other people in the album, who are not searched; at most half of the remaining ones


@dataclass(frozen=True, slots=True, eq=False)
class _GalleryPeople:
    """The people of a gallery by role."""

    enrolled: NDArray[np.int64]
    searched: NDArray[np.bool_]  # which of the enrolled people have photos that are searched
    strangers: NDArray[np.int64]
    unenrolled: NDArray[np.int64]  # people of the album who are neither enrolled nor searched


def simulate(
    identities: Identities,
    plan: GalleryPlan,
    classifier: str,
    background: Background | None,
    random: np.random.Generator,
    *,
    correction: Correction = NO_CORRECTION,
    unrelated: Identities | None = None,
) -> SimulatedSearches:
    """Return the searches for random enrolled people and for strangers; raises `UsageError` for too few people.

    Parameters
    ----------
    identities
        The people to enroll and the strangers.
    plan
        The kind of gallery. People with enough photos are preferred while there are twice as many as needed.
    classifier
        One of `facebank.recognition.scoring.CLASSIFIERS`.
    background
        The pack's, for classifiers that need one.
    random
        Random generator for the choice of people and photos.
    correction
        The correction of scores by the album's other people.
    unrelated
        If given, a gallery is one or two members of one family of the identities among these people, who are never
        searched.
    """
    all_people = identities if unrelated is None else _join(identities, unrelated)
    if unrelated is None:
        roles = _random_gallery(identities, plan, random)
    else:
        roles = _family_gallery(identities, all_people, plan, random)
    photos = all_people.photos
    shuffled = _shuffled_photos(all_people, random)
    samples = [shuffled[person][: max(1, min(plan.samples_each, photos[person] - 1))] for person in roles.enrolled]
    probe_rows = [
        shuffled[person][len(rows) : len(rows) + MAX_PROBES] if searched else shuffled[person][:0]
        for person, rows, searched in zip(roles.enrolled, samples, roles.searched, strict=True)
    ]
    sample_rows = np.concatenate(samples)
    counts = np.array([len(rows) for rows in samples])
    enrolled = EnrolledSamples(
        all_people.embeddings[sample_rows], np.repeat(np.arange(plan.size), counts), all_people.qualities[sample_rows]
    )
    scorer = build_scorer(classifier, enrolled, background)
    probed = np.array([len(probes) for probes in probe_rows])
    strangers = np.array([shuffled[person][0] for person in roles.strangers], dtype=np.int64)
    own = np.concatenate([np.repeat(np.arange(plan.size), probed), np.full(len(strangers), -1)])
    weights = np.concatenate([np.repeat(1 / np.maximum(probed, 1), probed), np.ones(len(strangers))])
    probes = all_people.embeddings[np.concatenate([*probe_rows, strangers]).astype(np.int64)]
    scores = scorer.scores(probes)
    if correction.share:
        unenrolled_prototypes = _means(all_people, roles.unenrolled, shuffled, plan.samples_each)
        cohort, person_indices = Cohort(enrolled.index, unenrolled_prototypes, correction), np.arange(plan.size)
        scores = cohort.correct_scores(scores, probes @ enrolled.index.prototypes.T, probes, person_indices)
    scores, relatives = _exclude_relatives(scores, own, all_people.families, roles)
    order, columns = _best_columns(scores, own)
    return SimulatedSearches(
        scores=np.take_along_axis(scores, order, axis=1),
        sample_counts=counts[order].astype(np.int64),
        own_columns=columns,
        weights=weights,
        enrolled=counts.astype(np.int64),
        unenrolled=len(roles.unenrolled),
        relatives=relatives,
    )


def _random_gallery(identities: Identities, plan: GalleryPlan, random: np.random.Generator) -> _GalleryPeople:
    photos = identities.photos
    if len(photos) <= plan.size:
        raise UsageError(f"{len(photos)} people are too few to enroll {plan.size} of them and search for strangers.")
    enough = np.flatnonzero(photos > plan.samples_each)
    candidates = enough if len(enough) >= 2 * plan.size else np.arange(len(photos))
    enrolled = random.permutation(candidates)[: plan.size]
    remaining = random.permutation(np.setdiff1d(np.arange(len(photos)), enrolled))
    unenrolled = min(plan.unenrolled, len(remaining) // 2)
    strangers = remaining[unenrolled : unenrolled + plan.strangers]
    return _GalleryPeople(enrolled, np.ones(plan.size, dtype=bool), strangers, remaining[:unenrolled])


def _family_gallery(
    identities: Identities, all_people: Identities, plan: GalleryPlan, random: np.random.Generator
) -> _GalleryPeople:
    families = identities.families
    if families is None:
        raise UsageError("Galleries of one family need identities with families.")
    count = len(identities.photos)
    repeated = np.flatnonzero(identities.photos > 1)
    first = int(random.choice(repeated))
    second = random.permutation(repeated[(families[repeated] == families[first]) & (repeated != first)])
    members = np.array([first, *second[: min(int(random.integers(2)), plan.size - 1)]])
    unrelated = np.arange(count, len(all_people.photos))
    enough = unrelated[all_people.photos[unrelated] > plan.samples_each]
    missing = plan.size - len(members)
    chosen = random.permutation(enough if len(enough) >= 2 * missing else unrelated)[:missing]
    if len(chosen) < missing:
        raise UsageError(f"{len(unrelated)} people are too few to fill a gallery of {plan.size}.")
    remaining = random.permutation(np.setdiff1d(unrelated, chosen))
    strangers = random.permutation(np.setdiff1d(np.arange(count), members))[: plan.strangers]
    searched = np.arange(plan.size) < len(members)
    return _GalleryPeople(
        np.concatenate([members, chosen]), searched, strangers, remaining[: min(plan.unenrolled, len(remaining) // 2)]
    )


def _join(first: Identities, second: Identities) -> Identities:
    """Return the people of both; those of the second are renumbered and have no relatives."""
    families = first.families
    if families is not None:
        alone = np.arange(len(second.photos)) + families.max() + 1
        families = np.concatenate([families, alone])
    return Identities(
        np.concatenate([first.embeddings, second.embeddings]),
        np.concatenate([first.person_ids, second.person_ids + len(first.photos)]),
        np.concatenate([first.qualities, second.qualities]),
        families,
    )


def _means(
    all_people: Identities, people: NDArray[np.int64], shuffled: list[NDArray[np.int64]], samples_each: int
) -> FloatArray | None:
    """Return the mean of some photos of each person, ``(G, D)``; None without people."""
    if not len(people):
        return None
    samples = [shuffled[person][:samples_each] for person in people]
    rows = np.concatenate(samples)
    person_ids = np.repeat(np.arange(len(people)), [len(person_rows) for person_rows in samples])
    return EnrolledSamples(all_people.embeddings[rows], person_ids, all_people.qualities[rows]).index.prototypes


def _exclude_relatives(
    scores: FloatArray, own: NDArray[np.int64], families: NDArray[np.int64] | None, roles: _GalleryPeople
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return scores without enrolled relatives of mated probes, and the strangers related to the enrolled."""
    relatives = np.zeros(len(scores), dtype=bool)
    if families is None:
        return scores, relatives
    enrolled = families[roles.enrolled]
    mated = own >= 0
    is_relative = enrolled[own[mated], None] == enrolled[None]
    is_relative[np.arange(len(is_relative)), own[mated]] = False
    scores = scores.copy()
    scores[mated] = np.where(is_relative, -np.inf, scores[mated])
    relatives[~mated] = np.isin(families[roles.strangers], enrolled)
    return scores, relatives


def _shuffled_photos(identities: Identities, random: np.random.Generator) -> list[NDArray[np.int64]]:
    mixed = random.permutation(len(identities.person_ids))
    together = mixed[np.argsort(identities.person_ids[mixed], kind="stable")]
    return np.split(together, np.cumsum(identities.photos)[:-1])


def _best_columns(scores: FloatArray, own: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns of each row's best scores, and `SimulatedSearches.own_columns`."""
    width = min(MAX_SCORES, scores.shape[1])
    order = top_indices(scores, width)
    is_own = order == own[:, None]
    columns = np.where(is_own.any(axis=1), is_own.argmax(axis=1), width)
    return order, np.where(own < 0, -1, columns).astype(np.int64)
