"""Trials with two siblings or one of them enrolled, and the answers to searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.protocols.draws import draw_photos
from facebank.evaluation.relatives import pair_label
from facebank.evaluation.searches import TrialGallery, enroll, exclude_related, first_per_person
from facebank.types import Decision

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import Identity

ONE_ENROLLED = 3
"""Number of enrolled photos if only one sibling is enrolled."""
STRANGERS = 20
"""Number of strangers searched for in each gallery, with one photo each."""
MIN_STRANGER_FAMILIES = 10
"""Smallest number of families that remain strangers if other people are enrolled."""

_DRAW, _OTHERS, _STRANGERS, _ALONE = 1, 2, 3, 4


class Named(IntEnum):
    """The person that an answer names, relative to the person shown."""

    NOBODY = 0
    SHOWN = 1
    """The person shown."""
    SIBLING = 2
    """The sibling of the person shown; for a stranger, an enrolled sibling."""
    ANOTHER = 3


@dataclass(frozen=True, slots=True)
class SiblingPair:
    """Two siblings: names, relation, family number, and number of enrolled photos."""

    people: tuple[str, str]
    relation: str
    family: int
    enrolled: int

    @property
    def label(self) -> str:
        """The pair as text."""
        return pair_label(self.people, self.relation)


@dataclass(frozen=True, slots=True, eq=False)
class SiblingAnswers:
    """Answers to N searches, arrays of shape ``(N,)``.

    Attributes
    ----------
    galleries
        Family number of the gallery's siblings, ``int64``.
    families
        Family number of the person shown, ``int64``; -1 if unlabeled.
    indices
        Index of the photo, ``int64``.
    shown_probability, sibling_probability
        Probabilities of the person shown and of the sibling: 0 if not a candidate, NaN without a calibration. For a
        stranger, `shown_probability` is 0, and `sibling_probability` is the larger one of the two siblings.
    shown_similarity, sibling_similarity
        The same as similarities, -1 if not a candidate.
    named
        Values of `Named`.
    uncertain, acquired
        Whether the answer is ``uncertain``, and whether a face was found.
    reasons
        Reason codes; "" without a face.
    """

    galleries: NDArray[np.int64]
    families: NDArray[np.int64]
    indices: NDArray[np.int64]
    shown_probability: NDArray[np.float64]
    sibling_probability: NDArray[np.float64]
    shown_similarity: NDArray[np.float64]
    sibling_similarity: NDArray[np.float64]
    named: NDArray[np.int64]
    uncertain: NDArray[np.bool_]
    acquired: NDArray[np.bool_]
    reasons: NDArray[np.str_]

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return several results as one."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def select(self, mask: NDArray[np.bool_]) -> SiblingAnswers:
        """Return the answers for which `mask`, of shape ``(N,)``, is true."""
        return SiblingAnswers(*(getattr(self, column.name)[mask] for column in fields(self)))

    def __len__(self) -> int:
        """Return the number of answers."""
        return len(self.indices)


@dataclass(frozen=True, slots=True, eq=False)
class PairSetup:
    """Data and settings that are common to the trials of all pairs.

    `families` is the family number of each person, `others` the number of other people in the second gallery, and
    `counts` the number of photos with a face of each person.
    """

    faces: FaceSet
    families: NDArray[np.int64]
    others: int
    settings: DecisionSettings
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", self.faces.photo_counts)


@dataclass(frozen=True, slots=True, eq=False)
class PairTrial:
    """Answers in the galleries of one pair, without other people (``alone``) and among others (``among``).

    The keys are kinds of probes: ``both`` siblings if both are enrolled; ``strangers``; and if one is enrolled, that
    one (``present``) or the other (``absent``).
    """

    pair: SiblingPair
    alone: dict[str, SiblingAnswers]
    among: dict[str, SiblingAnswers]


def count_other_families(setup: PairSetup, photos: int) -> int:
    """Return the number of other families from which people can be enrolled while enough families remain strangers."""
    enrollable = len(np.unique(setup.families[setup.counts >= photos]))
    everybody = len(np.unique(setup.families[setup.counts > 0]))
    unlabeled = int((setup.faces.dataset.person_indices < 0).sum())
    return max(0, min(enrollable - 1, everybody + unlabeled - 1 - MIN_STRANGER_FAMILIES))


def try_pair(bench: Bench, setup: PairSetup, pair_number: int, pair: SiblingPair, draws: int) -> PairTrial:
    """Return the answers of several draws, with both siblings enrolled and with each of them alone.

    The draws are seeded by `pair_number`. Both people need more photos than are enrolled.
    """
    alone_parts: dict[str, list[SiblingAnswers]] = {}
    among_parts: dict[str, list[SiblingAnswers]] = {}
    for draw_number in range(draws):
        others, families = _draw_others(bench, setup, pair_number, pair, draw_number)
        strangers = _strangers(bench, setup, pair_number, families, draw_number)
        conditions = [(alone_parts, others[:0])] + ([(among_parts, others)] if len(others) else [])
        draw = draw_photos(setup.faces, pair.people, pair.enrolled, bench.random(_DRAW, pair_number, draw_number))
        for answers, enrolled_others in conditions:
            indices = np.concatenate([draw.enrolled, enrolled_others])
            trial = enroll(bench.reader, setup.faces, indices, setup.settings)
            probes = exclude_related(setup.faces, draw.probes, indices)
            answers.setdefault("both", []).append(_answers(setup, trial, pair, probes))
            stranger_probes = exclude_related(setup.faces, strangers, indices)
            answers.setdefault("strangers", []).append(_answers(setup, trial, pair, stranger_probes))
        for enrolled in (0, 1):
            _try_one(bench, setup, (pair_number, draw_number, enrolled), pair, conditions)
    alone, among = (
        {name: SiblingAnswers.concatenate(parts) for name, parts in parts_by_name.items()}
        for parts_by_name in (alone_parts, among_parts)
    )
    return PairTrial(pair, alone, among)


def _try_one(
    bench: Bench,
    setup: PairSetup,
    key: tuple[int, int, int],
    pair: SiblingPair,
    conditions: Sequence[tuple[dict[str, list[SiblingAnswers]], NDArray[np.int64]]],
) -> None:
    """Enroll one of two people and search for both; the answers are added to `conditions`.

    `key` is the number of the pair, the draw, and 0 or 1 for the enrolled one.
    """
    dataset, enrolled = setup.faces.dataset, key[2]
    present, absent = (dataset.people.index(pair.people[side]) for side in (enrolled, 1 - enrolled))
    if setup.counts[present] <= ONE_ENROLLED:
        return
    draw = draw_photos(setup.faces, (pair.people[enrolled],), ONE_ENROLLED, bench.random(_ALONE, *key))
    absent_photos = np.flatnonzero(dataset.person_indices == absent).astype(np.int64)
    for answers, others in conditions:
        indices = np.concatenate([draw.enrolled, others])
        trial = enroll(bench.reader, setup.faces, indices, setup.settings)
        for name, probes in (("present", draw.probes), ("absent", absent_photos)):
            searched = exclude_related(setup.faces, probes, indices)
            answers.setdefault(name, []).append(_answers(setup, trial, pair, searched))


def _draw_others(
    bench: Bench, setup: PairSetup, pair_number: int, pair: SiblingPair, draw_number: int
) -> tuple[NDArray[np.int64], set[int]]:
    """Return drawn photos of other people to enroll, one person per family, and the families in the gallery."""
    random, counts, person_indices = (
        bench.random(_OTHERS, pair_number, draw_number),
        setup.counts,
        setup.faces.dataset.person_indices,
    )
    families, enrolled = {pair.family}, [np.zeros(0, dtype=np.int64)]
    for person in random.permutation(np.flatnonzero(counts >= pair.enrolled)):
        if len(families) > setup.others:
            break
        if int(setup.families[person]) not in families:
            families.add(int(setup.families[person]))
            photos = np.flatnonzero((person_indices == person) & setup.faces.has_face)
            enrolled.append(random.permutation(photos)[: pair.enrolled].astype(np.int64))
    return np.concatenate(enrolled), families


def _strangers(
    bench: Bench, setup: PairSetup, pair_number: int, families: set[int], draw_number: int
) -> NDArray[np.int64]:
    """Return one drawn photo of each person of families that are not enrolled, and unlabeled photos."""
    random, person_indices = bench.random(_STRANGERS, pair_number, draw_number), setup.faces.dataset.person_indices
    mixed = random.permutation(np.flatnonzero(setup.faces.has_face))
    strangers = mixed[(person_indices[mixed] < 0) | ~np.isin(setup.families[person_indices[mixed]], list(families))]
    return random.permutation(first_per_person(person_indices, strangers))[:STRANGERS]


def _answers(setup: PairSetup, trial: TrialGallery, pair: SiblingPair, indices: NDArray[np.int64]) -> SiblingAnswers:
    """Return the answers to searches for photos, with respect to the two siblings."""
    dataset, identities = setup.faces.dataset, trial.decide(indices)
    rows = [
        _row(dataset.photos[int(index)].person, pair.people, identity)
        for index, identity in zip(indices, identities, strict=True)
    ]
    person_indices = dataset.person_indices[indices]
    families = np.where(person_indices >= 0, setup.families[np.maximum(person_indices, 0)], -1)
    numbers = np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 4)
    return SiblingAnswers(
        np.full(len(indices), pair.family, dtype=np.int64),
        families.astype(np.int64),
        indices,
        shown_probability=numbers[:, 0],
        sibling_probability=numbers[:, 1],
        shown_similarity=numbers[:, 2],
        sibling_similarity=numbers[:, 3],
        named=np.array([row[4] for row in rows], dtype=np.int64),
        uncertain=np.array(
            [identity is not None and identity.decision is Decision.UNCERTAIN for identity in identities],
            dtype=np.bool_,
        ),
        acquired=np.array([identity is not None for identity in identities], dtype=np.bool_),
        reasons=np.array([row[5] for row in rows], dtype=np.str_),
    )


def _row(
    shown: str | None, people: tuple[str, str], identity: Identity | None
) -> tuple[float, float, float, float, Named, str]:
    """Return probabilities of the person shown and the sibling, their similarities, the name and the reason."""
    enrolled_name = shown if shown in people else None
    if identity is None:
        return 0.0, 0.0, -1.0, -1.0, Named.NOBODY, ""
    probabilities: tuple[list[float], list[float]] = ([0.0], [0.0])
    similarities: tuple[list[float], list[float]] = ([-1.0], [-1.0])
    for candidate in identity.candidates:
        if candidate.person in people:
            side = 0 if candidate.person == enrolled_name else 1
            probabilities[side].append(np.nan if candidate.probability is None else candidate.probability)
            similarities[side].append(candidate.similarity)
    named = Named.NOBODY
    if identity.person is not None:
        named = Named.SIBLING if identity.person in people else Named.ANOTHER
        named = Named.SHOWN if identity.person == shown else named
    of_shown, of_sibling = (float(np.max(side)) for side in probabilities)
    return of_shown, of_sibling, max(similarities[0]), max(similarities[1]), named, identity.reason.value
