"""Galleries with two siblings, or with one of them, and what the searches in them gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.protocols.draws import draw_photos
from facebank.evaluation.searches import TrialGallery, enroll, unrelated
from facebank.storage.text import printable
from facebank.types import Decision

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.recognition.settings import DecisionSettings
    from facebank.types import Identity

ONE_ENROLLED = 3
"""Photos of the one who is enrolled where the brother or sister is not."""
STRANGERS = 20
"""As many strangers, one photo of each, are searched for in each gallery."""
LEAST_STRANGE_FAMILIES = 10
"""So many families stay strangers where others are enrolled beside the two."""

_DRAW, _OTHERS, _STRANGERS, _ALONE = 1, 2, 3, 4


class Named(IntEnum):
    """Whose name an answer gives."""

    NOBODY = 0
    SHOWN = 1
    """The person shown."""
    SIBLING = 2
    """The brother or sister of the person shown; for a stranger, one of the two siblings enrolled."""
    ANOTHER = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """Two siblings: their names, how they are related, their family's number, and how many photos are enrolled."""

    people: tuple[str, str]
    relation: str
    family: int
    enrolled: int

    @property
    def label(self) -> str:
        """For people."""
        names = " and ".join(map(printable, self.people))
        return names + (f" ({self.relation})" if self.relation else "")


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What searches gave, an entry for each, arrays of shape ``(N,)``.

    Attributes
    ----------
    galleries
        The family of the two siblings whose gallery it is, ``int64``.
    shown
        The family of the person shown, ``int64``; -1 for somebody nobody named.
    places
        The photo, ``int64``.
    own, other
        Probabilities of the person shown and of the brother or sister: 0 for no candidate, NaN where nothing is
        calibrated. Of a stranger, ``own`` is 0 and ``other`` is the larger of the two siblings'.
    own_similarity, other_similarity
        The like in similarities, -1 for no candidate.
    named
        Of `Named`.
    uncertain, acquired
        Whether the answer is ``uncertain``, and whether a face was found.
    reasons
        Texts; "" where no face was found.
    """

    galleries: NDArray[np.int64]
    shown: NDArray[np.int64]
    places: NDArray[np.int64]
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    own_similarity: NDArray[np.float64]
    other_similarity: NDArray[np.float64]
    named: NDArray[np.int64]
    uncertain: NDArray[np.bool_]
    acquired: NDArray[np.bool_]
    reasons: NDArray[np.str_]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put several together, one after another."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    def where(self, chosen: NDArray[np.bool_]) -> Answers:
        """Return some of the answers."""
        return Answers(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.places)


@dataclass(frozen=True, slots=True, eq=False)
class Circumstances:
    """What all pairs' trials share.

    Attributes
    ----------
    faces
        Of a dataset.
    families
        Of its people, numbered.
    others
        How many other people are enrolled beside the two, where others are.
    settings
        How searches are decided.
    counts
        Photos with a face of each person.
    """

    faces: FaceSet
    families: NDArray[np.int64]
    others: int
    settings: DecisionSettings
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        owners = self.faces.dataset.owners
        known = owners[self.faces.found & (owners >= 0)]
        object.__setattr__(self, "counts", np.bincount(known, minlength=len(self.families)).astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class PairTrial:
    """What the galleries of one pair gave, with nobody else enrolled (``alone``) and among others (``among``).

    Each holds answers by what was searched for: ``both``, the two where both are enrolled; ``strangers``; ``present``
    and ``absent``, the one who is enrolled and the one who is not.
    """

    pair: Pair
    alone: dict[str, Answers]
    among: dict[str, Answers]


def able_others(around: Circumstances, photos: int) -> int:
    """Return how many families, beside one pair's, have somebody who can be enrolled while enough stay strangers."""
    able = len(np.unique(around.families[around.counts >= photos]))
    everybody = len(np.unique(around.families[around.counts > 0]))
    nameless = int((around.faces.dataset.owners < 0).sum())
    return max(0, min(able - 1, everybody + nameless - 1 - LEAST_STRANGE_FAMILIES))


def try_pair(bench: Bench, around: Circumstances, number: int, pair: Pair, draws: int) -> PairTrial:
    """Draw, enroll and search: both siblings, and each of them without the other.

    Parameters
    ----------
    bench, around
        Where and on what.
    number
        The pair's, which its draws depend on.
    pair
        Both have more photos than are enrolled.
    draws
        How often.
    """
    found: tuple[dict[str, list[Answers]], dict[str, list[Answers]]] = ({}, {})
    for turn in range(draws):
        others, families = _others(bench, around, number, pair, turn)
        strangers = _strangers(bench, around, number, families, turn)
        conditions = [(found[0], others[:0])] + ([(found[1], others)] if len(others) else [])
        draw = draw_photos(around.faces, pair.people, pair.enrolled, bench.random(_DRAW, number, turn))
        for kept, beside in conditions:
            places = np.concatenate([draw.enrolled, beside])
            trial = enroll(bench.reader, around.faces, places, around.settings)
            probes = unrelated(around.faces, draw.probes, places)
            kept.setdefault("both", []).append(_answers(around, trial, pair, probes))
            strange = unrelated(around.faces, strangers, places)
            kept.setdefault("strangers", []).append(_answers(around, trial, pair, strange))
        for enrolled in (0, 1):
            _try_one(bench, around, (number, turn, enrolled), pair, conditions)
    alone, among = ({name: Answers.joined(parts) for name, parts in each.items()} for each in found)
    return PairTrial(pair, alone, among)


def _try_one(
    bench: Bench,
    around: Circumstances,
    place: tuple[int, int, int],
    pair: Pair,
    conditions: Sequence[tuple[dict[str, list[Answers]], NDArray[np.int64]]],
) -> None:
    """Enroll one of two people without the other, and search for both; ``place`` is pair, turn and who is enrolled."""
    dataset, enrolled = around.faces.dataset, place[2]
    one, absent = (dataset.people.index(pair.people[who]) for who in (enrolled, 1 - enrolled))
    if around.counts[one] <= ONE_ENROLLED:
        return
    draw = draw_photos(around.faces, (pair.people[enrolled],), ONE_ENROLLED, bench.random(_ALONE, *place))
    theirs = np.flatnonzero(dataset.owners == absent).astype(np.int64)
    for kept, beside in conditions:
        places = np.concatenate([draw.enrolled, beside])
        trial = enroll(bench.reader, around.faces, places, around.settings)
        for name, probes in (("present", draw.probes), ("absent", theirs)):
            shown = unrelated(around.faces, probes, places)
            kept.setdefault(name, []).append(_answers(around, trial, pair, shown))


def _others(
    bench: Bench, around: Circumstances, number: int, pair: Pair, turn: int
) -> tuple[NDArray[np.int64], set[int]]:
    """Draw photos of others to enroll, one person of a family, and name the families that are in the gallery."""
    random, counts, owners = bench.random(_OTHERS, number, turn), around.counts, around.faces.dataset.owners
    families, enrolled = {pair.family}, [np.zeros(0, dtype=np.int64)]
    for person in random.permutation(np.flatnonzero(counts >= pair.enrolled)):
        if len(families) > around.others:
            break
        if int(around.families[person]) not in families:
            families.add(int(around.families[person]))
            photos = np.flatnonzero((owners == person) & around.faces.found)
            enrolled.append(random.permutation(photos)[: pair.enrolled].astype(np.int64))
    return np.concatenate(enrolled), families


def _strangers(bench: Bench, around: Circumstances, number: int, families: set[int], turn: int) -> NDArray[np.int64]:
    """Draw one photo each of people of other families than are enrolled, and photos of nobody named."""
    random, owners = bench.random(_STRANGERS, number, turn), around.faces.dataset.owners
    mixed = random.permutation(np.flatnonzero(around.faces.found))
    named = mixed[owners[mixed] >= 0]
    named = named[~np.isin(around.families[owners[named]], list(families))]
    first = np.unique(owners[named], return_index=True)[1]
    return random.permutation(np.concatenate([named[first], mixed[owners[mixed] < 0]]))[:STRANGERS].astype(np.int64)


def _answers(around: Circumstances, trial: TrialGallery, pair: Pair, places: NDArray[np.int64]) -> Answers:
    """Search for photos, and keep what the answers say of the two siblings."""
    dataset, decisions = around.faces.dataset, trial.decide(places)
    rows = [
        _row(dataset.photos[int(place)].person, pair.people, decision)
        for place, decision in zip(places, decisions, strict=True)
    ]
    owners = dataset.owners[places]
    shown = np.where(owners >= 0, around.families[np.maximum(owners, 0)], -1)
    numbers = np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 4)
    return Answers(
        np.full(len(places), pair.family, dtype=np.int64),
        shown.astype(np.int64),
        places,
        own=numbers[:, 0],
        other=numbers[:, 1],
        own_similarity=numbers[:, 2],
        other_similarity=numbers[:, 3],
        named=np.array([row[4] for row in rows], dtype=np.int64),
        uncertain=np.array(
            [one is not None and one.decision is Decision.UNCERTAIN for one in decisions], dtype=np.bool_
        ),
        acquired=np.array([one is not None for one in decisions], dtype=np.bool_),
        reasons=np.array([row[5] for row in rows], dtype=np.str_),
    )


def _row(
    shown: str | None, people: tuple[str, str], decision: Identity | None
) -> tuple[float, float, float, float, Named, str]:
    """Return what an answer says: probabilities and similarities of the one shown and the other, name and reason."""
    own = {shown} & set(people)
    if decision is None:
        return 0.0, 0.0, -1.0, -1.0, Named.NOBODY, ""
    told: tuple[list[float], list[float]] = ([0.0], [0.0])
    alike: tuple[list[float], list[float]] = ([-1.0], [-1.0])
    for candidate in decision.candidates:
        if candidate.person in people:
            side = 0 if candidate.person in own else 1
            told[side].append(np.nan if candidate.probability is None else candidate.probability)
            alike[side].append(candidate.similarity)
    named = Named.NOBODY
    if decision.person is not None:
        named = Named.SIBLING if decision.person in people else Named.ANOTHER
        named = Named.SHOWN if decision.person == shown else named
    own_told, other_told = (float(np.max(side)) for side in told)
    return own_told, other_told, max(alike[0]), max(alike[1]), named, decision.reason.value
