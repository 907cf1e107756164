"""Trial galleries of a dataset's people, and searches in them, decided exactly as ``facebank identify`` decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Pick
from facebank.index.gallery_index import masked_people, mix_masks
from facebank.index.people_index import by_person
from facebank.operations.enroll import STEADYING
from facebank.operations.identify import build_recognizer
from facebank.recognition.enrolled import Enrolled
from facebank.recognition.settings import DecisionSettings
from facebank.recognition.training import build_scorer
from facebank.storage.text import printable
from facebank.types import Decision
from facebank.vision.quality import with_stability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceReader, FaceSet
    from facebank.recognition.recognizer import Recognizer
    from facebank.types import FloatArray, Identity

_ARRAYS = ("places", "own", "named", "first", "uncertain", "acquired", "similarities", "probabilities")

NOBODY = -1
"""The number of no person."""
LEAST_STRANGERS = 10
"""With fewer people who cannot be enrolled, a third of the others are strangers."""


@dataclass(frozen=True, slots=True, eq=False)
class TrialGallery:
    """A gallery of some people of a dataset; `enrolled` are places of its photos, ``int64`` of shape ``(N,)``."""

    faces: FaceSet
    enrolled: NDArray[np.int64]
    recognizer: Recognizer
    classifier: str
    _numbers: dict[str, int] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The enrolled people's names, sorted; numbers of people in `Searches` are places here."""
        return tuple(self._numbers)

    def search(self, places: NDArray[np.int64], probes: FaceSet | None = None) -> Searches:
        """Search for each face alone, at M `places` in `probes`; None for the gallery's own dataset."""
        probes = self.faces if probes is None else probes
        owners = _owners(probes, self._numbers)
        return Searches.of(places, owners[places], self.decide(places, probes), self._numbers)

    def decide(self, places: NDArray[np.int64], probes: FaceSet | None = None) -> list[Identity | None]:
        """Return the decision on each photo alone; None without a face. Parameters as in `search`."""
        faces = (self.faces if probes is None else probes).faces
        shown = (faces[int(place)] for place in places)
        return [None if face is None else self.recognizer.identify([face])[0] for face in shown]


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """Results of M searches; a probe without a face is not acquired and is a miss.

    People are numbers: places among the enrolled people's sorted names, or `NOBODY`.

    Attributes
    ----------
    places
        Photos of the probes, ``int64`` of shape ``(M,)``.
    own
        The person shown; `NOBODY` for a stranger, whose search is non-mated.
    named
        The person decided; `NOBODY` unless the decision is ``known``.
    first
        The best candidate.
    uncertain
        Whether the decision is ``uncertain``.
    acquired
        Whether a face was found.
    similarities, probabilities
        Of the best candidate, ``float64``; NaN without one, or without a calibration.
    ranks
        Rank of the person shown among the candidates, 1 for the best, 0 if absent; None if not recorded.
    """

    places: NDArray[np.int64]
    own: NDArray[np.int64]
    named: NDArray[np.int64]
    first: NDArray[np.int64]
    uncertain: NDArray[np.bool_]
    acquired: NDArray[np.bool_]
    similarities: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    ranks: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        places: NDArray[np.int64],
        own: NDArray[np.int64],
        decisions: Sequence[Identity | None],
        numbers: dict[str, int],
    ) -> Searches:
        """Return decisions as arrays."""

        def value(number: float | None) -> float:
            return np.nan if number is None else number

        made = [
            (None, None) if one is None else (one, one.candidates[0] if one.candidates else None) for one in decisions
        ]
        return cls(
            places=places,
            own=own,
            named=np.array(
                [NOBODY if one is None or one.person is None else numbers[one.person] for one in decisions],
                dtype=np.int64,
            ),
            first=np.array([NOBODY if best is None else numbers[best.person] for _, best in made], dtype=np.int64),
            uncertain=np.array(
                [one is not None and one.decision is Decision.UNCERTAIN for one in decisions], dtype=bool
            ),
            acquired=np.array([one is not None for one in decisions], dtype=bool),
            similarities=np.array([value(None if best is None else best.similarity) for _, best in made], dtype=float),
            probabilities=np.array(
                [value(None if best is None else best.probability) for _, best in made], dtype=float
            ),
            ranks=np.array(
                [_rank(one, number, numbers) for one, number in zip(decisions, own.tolist(), strict=True)],
                dtype=np.int64,
            ),
        )

    @classmethod
    def joined(cls, parts: Sequence[Searches]) -> Searches:
        """Return several parts as one."""
        ranks = [part.ranks for part in parts if part.ranks is not None]
        joined = (np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS)
        return replace(cls(*joined), ranks=np.concatenate(ranks) if len(ranks) == len(parts) else None)

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Which probes show somebody enrolled."""
        return np.asarray(self.own != NOBODY, dtype=np.bool_)

    @property
    def missed(self) -> NDArray[np.bool_]:
        """Which mated probes were not given their name: unknown, uncertain, another's name, or no face."""
        return np.asarray(self.mated & (self.named != self.own), dtype=np.bool_)

    @property
    def misnamed(self) -> NDArray[np.bool_]:
        """Which probes were given a name that is not theirs, strangers included."""
        return np.asarray((self.named != NOBODY) & (self.named != self.own), dtype=np.bool_)

    @property
    def not_first(self) -> NDArray[np.bool_]:
        """Which mated probes have another best candidate, or none."""
        return np.asarray(self.mated & (self.first != self.own), dtype=np.bool_)

    def where(self, chosen: NDArray[np.bool_]) -> Searches:
        """Return some of the searches."""
        ranks = None if self.ranks is None else self.ranks[chosen]
        return replace(Searches(*(getattr(self, name)[chosen] for name in _ARRAYS)), ranks=ranks)


def _rank(decision: Identity | None, own: int, numbers: dict[str, int]) -> int:
    candidates = () if decision is None else decision.candidates
    return next((place for place, one in enumerate(candidates, start=1) if numbers[one.person] == own), 0)


def enroll(
    reader: FaceReader, faces: FaceSet, places: NDArray[np.int64], settings: DecisionSettings | None = None
) -> TrialGallery:
    """Return a gallery of some photos of a dataset, as ``facebank enroll`` would make it.

    Photos without a face are skipped. Raises `DatasetError` if no photo has a face of somebody named, `UsageError` if
    the gallery is too large for the classifier.
    """
    settings = DecisionSettings() if settings is None else settings
    people = faces.dataset.owners
    used = np.array(
        [place for place in places if faces.faces[place] is not None and people[place] >= 0], dtype=np.int64
    )
    if not len(used):
        raise DatasetError("none of the photos to enroll shows a face of somebody named")
    matrix = np.stack([face.embedding for place in used if (face := faces.faces[place]) is not None])
    names = {int(number): faces.dataset.people[number] for number in np.unique(people[used])}
    masked, moved = None, list["FloatArray"]()
    if faces.dataset.pick is not Pick.EMBEDDED:  # without pictures there are no variants
        chosen = [int(place) for place in used]
        moved = [reader.embed_variant(faces, chosen, name) for name in STEADYING]
        masked = mix_masks(matrix, reader.embed_variant(faces, chosen, "mask"))
        _, _, order_by_person = by_person(people[used])
        masked = masked if order_by_person is None else masked[order_by_person]
    enrolled = Enrolled(matrix, people[used], _qualities(faces, used, moved))
    engine, classifier = reader.engine, settings.classifier
    recognizer = build_recognizer(
        enrolled.index,
        names,
        build_scorer(classifier, enrolled, engine.knowledge.background),
        classifier=classifier,
        knowledge=engine.knowledge,
        thresholds=engine.thresholds,
        settings=settings,
        masked=None if masked is None else masked_people(enrolled.index, masked, None),
    )
    order = {name: number for number, name in enumerate(sorted(names.values()))}
    return TrialGallery(faces, used, recognizer, classifier, order)


def _qualities(faces: FaceSet, places: NDArray[np.int64], others: list[FloatArray]) -> FloatArray:
    """Return the qualities that samples get when they are enrolled, which include the stability of the embedding.

    Without other embeddings of the same faces, they are the faces' own.
    """
    found = zip(places, *others, strict=True)
    qualities = [
        (with_stability(face.assessment, face.embedding, np.stack(moved)) if moved else face.assessment).score
        for place, *moved in found
        if (face := faces.faces[place]) is not None
    ]
    return np.array(qualities, dtype=np.float32)


def _owners(probes: FaceSet, numbers: dict[str, int]) -> NDArray[np.int64]:
    return np.array(
        [NOBODY if photo.person is None else numbers.get(photo.person, NOBODY) for photo in probes.dataset.photos],
        dtype=np.int64,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """Places of photos of a dataset, ``int64`` of shape ``(N,)`` each: enrolled, mated probes, and strangers."""

    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    strangers: NDArray[np.int64]

    @property
    def probes(self) -> NDArray[np.int64]:
        """All probes, strangers last."""
        return np.concatenate([self.mated, self.strangers])


def choose_roles(faces: FaceSet, *, photos: int, mated: int, strangers: int, random: np.random.Generator) -> Roles:
    """Draw who is enrolled and who is searched for.

    People with more than `photos` photos with a face may be enrolled; the others are strangers. At most `mated` and
    `strangers` photos are searched for, taken from people in turn; so many people are enrolled that each has two turns.
    Raises `DatasetError` if nobody has enough photos.
    """
    people = faces.dataset.owners
    counts = np.bincount(people[faces.found & (people >= 0)], minlength=len(faces.dataset.people))
    able = random.permutation(np.flatnonzero(counts > photos))
    unable = np.flatnonzero((counts > 0) & (counts <= photos))
    if not len(able):
        raise DatasetError(
            f"{printable(faces.dataset.title)}: nobody has more than {photos} photos with a face, so that {photos} "
            f"could be enrolled and another searched for"
        )
    if len(unable) < LEAST_STRANGERS and len(able) > 2:
        held_out = max(1, len(able) // 3)
        unable, able = np.concatenate([unable, able[:held_out]]), able[held_out:]
    able = able[: max(1, mated // 2)]
    orders = {int(person): random.permutation(np.flatnonzero((people == person) & faces.found)) for person in able}
    enrolled = np.concatenate([places[:photos] for places in orders.values()])
    theirs = [unrelated(faces, places[photos:], enrolled) for places in orders.values()]
    others = [random.permutation(np.flatnonzero((people == person) & faces.found)) for person in unable]
    return Roles(
        enrolled.astype(np.int64),
        in_turns(theirs, mated),
        in_turns([others[place] for place in random.permutation(len(others))], strangers),
    )


def unrelated(faces: FaceSet, places: NDArray[np.int64], enrolled: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places without photos that share a source with an enrolled one, or are the same file."""
    groups, hashes = faces.groups, np.array(faces.hashes)
    same = np.isin(groups[places], groups[enrolled]) | (
        np.isin(hashes[places], hashes[enrolled])
        & np.array([faces.dataset.photos[place].region is None for place in places], dtype=np.bool_)
    )
    return np.asarray(places[~same], dtype=np.int64)


def one_each(owners: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first place of each person, by person, and then all places of nobody named."""
    named = places[owners[places] >= 0]
    first = np.unique(owners[named], return_index=True)[1]
    return np.concatenate([named[first], places[owners[places] < 0]]).astype(np.int64)


def in_turns(places: list[NDArray[np.int64]], most: int) -> NDArray[np.int64]:
    """Return the first of everybody, then the second of everybody, and so on."""
    if not places or not sum(map(len, places)):
        return np.zeros(0, dtype=np.int64)
    turns = np.concatenate([np.arange(len(each)) for each in places])
    return np.asarray(np.concatenate(places)[np.argsort(turns, kind="stable")][:most], dtype=np.int64)
