"""Trial galleries of a dataset's people, and searches in them with the decisions of ``facebank identify``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Pick
from facebank.index.gallery_index import index_masked_people
from facebank.index.indexed_samples import mix_masks
from facebank.index.people_index import group_by_person
from facebank.operations.enroll import STABILITY_VARIANTS
from facebank.operations.identify import build_recognizer
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.settings import DecisionSettings
from facebank.recognition.training import build_scorer
from facebank.storage.text import printable
from facebank.types import Decision
from facebank.vision.quality import add_stability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceReader, FaceSet
    from facebank.recognition.recognizer import Recognizer
    from facebank.types import FloatArray, Identity

_ARRAYS = ("indices", "shown", "named", "first", "uncertain", "acquired", "similarities", "probabilities")

NOBODY = -1
"""Number that stands for no person."""
MIN_STRANGERS = 10
"""With fewer people who have too few photos to be enrolled, a third of the others become strangers."""


@dataclass(frozen=True, slots=True, eq=False)
class TrialGallery:
    """A gallery of some people of a dataset; `enrolled` are indices of its photos, ``int64`` of shape ``(N,)``."""

    faces: FaceSet
    enrolled: NDArray[np.int64]
    recognizer: Recognizer
    classifier: str
    _numbers: dict[str, int] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the enrolled people, sorted; the numbers in `Searches` are indices into this tuple."""
        return tuple(self._numbers)

    def search(self, indices: NDArray[np.int64], probes: FaceSet | None = None) -> Searches:
        """Return independent searches for faces, by indices ``(M,)`` into `probes` (None: the gallery's dataset)."""
        probes = self.faces if probes is None else probes
        person_indices = _person_indices(probes, self._numbers)
        return Searches.of(indices, person_indices[indices], self.decide(indices, probes), self._numbers)

    def decide(self, indices: NDArray[np.int64], probes: FaceSet | None = None) -> list[Identity | None]:
        """Return the decision on each face, None without a face; parameters as in `search`."""
        faces = (self.faces if probes is None else probes).faces
        selected = (faces[int(index)] for index in indices)
        return [None if face is None else self.recognizer.identify([face])[0] for face in selected]


@dataclass(frozen=True, slots=True, eq=False)
class Searches:
    """Results of M searches; a mated probe without a face counts as missed.

    People are numbers: indices into `TrialGallery.names`, or `NOBODY`.

    Attributes
    ----------
    indices
        Indices of the probes' photos, ``int64`` of shape ``(M,)``.
    shown
        The person shown; `NOBODY` for a stranger, whose search is non-mated.
    named
        The person named by the decision; `NOBODY` unless it is ``known``.
    first
        The best candidate.
    uncertain
        Whether the decision is ``uncertain``.
    acquired
        Whether a face was found.
    similarities, probabilities
        Of the best candidate, ``float64``; NaN without a candidate or without a calibration.
    ranks
        Rank of the person shown among the candidates, 1 for the best, 0 if absent; None if not recorded.
    """

    indices: NDArray[np.int64]
    shown: NDArray[np.int64]
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
        indices: NDArray[np.int64],
        shown: NDArray[np.int64],
        decisions: Sequence[Identity | None],
        numbers: dict[str, int],
    ) -> Searches:
        """Return decisions as arrays; `shown` is as in `Searches`, and `numbers` maps names to numbers."""

        def value(number: float | None) -> float:
            return np.nan if number is None else number

        answers = [
            (None, None) if identity is None else (identity, identity.candidates[0] if identity.candidates else None)
            for identity in decisions
        ]
        return cls(
            indices=indices,
            shown=shown,
            named=np.array(
                [
                    NOBODY if identity is None or identity.person is None else numbers[identity.person]
                    for identity in decisions
                ],
                dtype=np.int64,
            ),
            first=np.array([NOBODY if best is None else numbers[best.person] for _, best in answers], dtype=np.int64),
            uncertain=np.array(
                [identity is not None and identity.decision is Decision.UNCERTAIN for identity in decisions], dtype=bool
            ),
            acquired=np.array([identity is not None for identity in decisions], dtype=bool),
            similarities=np.array(
                [value(None if best is None else best.similarity) for _, best in answers], dtype=float
            ),
            probabilities=np.array(
                [value(None if best is None else best.probability) for _, best in answers], dtype=float
            ),
            ranks=np.array(
                [_rank(identity, number, numbers) for identity, number in zip(decisions, shown.tolist(), strict=True)],
                dtype=np.int64,
            ),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Searches]) -> Searches:
        """Return several results as one, without ranks unless all have them."""
        ranks = [part.ranks for part in parts if part.ranks is not None]
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS)
        return replace(cls(*arrays), ranks=np.concatenate(ranks) if len(ranks) == len(parts) else None)

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Whether the person of each probe is enrolled: ``bool`` of shape ``(M,)``."""
        return np.asarray(self.shown != NOBODY, dtype=np.bool_)

    @property
    def missed(self) -> NDArray[np.bool_]:
        """Whether each probe is mated and was not given its name, ``bool`` ``(M,)``; true also without a face."""
        return np.asarray(self.mated & (self.named != self.shown), dtype=np.bool_)

    @property
    def misnamed(self) -> NDArray[np.bool_]:
        """Whether each probe was given a wrong name, including any name for a stranger: ``bool`` ``(M,)``."""
        return np.asarray((self.named != NOBODY) & (self.named != self.shown), dtype=np.bool_)

    @property
    def not_first(self) -> NDArray[np.bool_]:
        """Whether each probe is mated and its person is not the best candidate: ``bool`` of shape ``(M,)``."""
        return np.asarray(self.mated & (self.first != self.shown), dtype=np.bool_)

    def select(self, mask: NDArray[np.bool_]) -> Searches:
        """Return the searches for which `mask`, of shape ``(M,)``, is true."""
        ranks = None if self.ranks is None else self.ranks[mask]
        return replace(Searches(*(getattr(self, name)[mask] for name in _ARRAYS)), ranks=ranks)


def _rank(decision: Identity | None, shown: int, numbers: dict[str, int]) -> int:
    candidates = () if decision is None else decision.candidates
    return next((rank for rank, candidate in enumerate(candidates, start=1) if numbers[candidate.person] == shown), 0)


def enroll(
    reader: FaceReader, faces: FaceSet, indices: NDArray[np.int64], settings: DecisionSettings | None = None
) -> TrialGallery:
    """Return a gallery of some photos of a dataset, as ``facebank enroll`` would build it.

    `indices` are those of the photos, ``(N,)``; photos without a face or a name are skipped. Raises `DatasetError` if
    none is left, `UsageError` if the gallery is too large for the classifier.
    """
    settings = DecisionSettings() if settings is None else settings
    people = faces.dataset.person_indices
    used = np.array(
        [index for index in indices if faces.faces[index] is not None and people[index] >= 0], dtype=np.int64
    )
    if not len(used):
        raise DatasetError("none of the photos to enroll shows a face of a labeled person; add photos")
    matrix = np.stack([face.embedding for index in used if (face := faces.faces[index]) is not None])
    names = {int(number): faces.dataset.people[number] for number in np.unique(people[used])}
    masked, moved = None, list["FloatArray"]()
    if faces.dataset.pick is not Pick.EMBEDDED:  # variants need pixels
        photos = [int(index) for index in used]
        moved = [reader.embed_variant(faces, photos, name) for name in STABILITY_VARIANTS]
        masked = mix_masks(matrix, reader.embed_variant(faces, photos, "mask"))
        _, _, order_by_person = group_by_person(people[used])
        masked = masked if order_by_person is None else masked[order_by_person]
    enrolled = EnrolledSamples(matrix, people[used], _qualities(faces, used, moved))
    engine, classifier = reader.engine, settings.classifier
    recognizer = build_recognizer(
        enrolled.index,
        names,
        build_scorer(classifier, enrolled, engine.pack_calibration.background),
        classifier=classifier,
        pack_calibration=engine.pack_calibration,
        thresholds=engine.thresholds,
        settings=settings,
        masked=None if masked is None else index_masked_people(enrolled.index, masked, None),
    )
    numbers = {name: number for number, name in enumerate(sorted(names.values()))}
    return TrialGallery(faces, used, recognizer, classifier, numbers)


def _qualities(faces: FaceSet, indices: NDArray[np.int64], moved: list[FloatArray]) -> FloatArray:
    """Return the qualities of samples, which include the stability of the embedding under shifts.

    `moved` are the embeddings of each shift, ``(N, D)``; without any, the faces' own qualities are returned.
    """
    qualities = [
        (add_stability(face.assessment, face.embedding, np.stack(variants)) if variants else face.assessment).score
        for index, *variants in zip(indices, *moved, strict=True)
        if (face := faces.faces[index]) is not None
    ]
    return np.array(qualities, dtype=np.float32)


def _person_indices(probes: FaceSet, numbers: dict[str, int]) -> NDArray[np.int64]:
    return np.array(
        [NOBODY if photo.person is None else numbers.get(photo.person, NOBODY) for photo in probes.dataset.photos],
        dtype=np.int64,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Roles:
    """Indices of enrolled photos, mated probes and strangers' photos, ``int64`` of shape ``(N,)`` each."""

    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    strangers: NDArray[np.int64]

    @property
    def probes(self) -> NDArray[np.int64]:
        """All probes, ``int64`` of shape ``(N,)``: mated ones, then strangers."""
        return np.concatenate([self.mated, self.strangers])


def choose_roles(faces: FaceSet, *, photos: int, mated: int, strangers: int, random: np.random.Generator) -> Roles:
    """Return randomly drawn photos to enroll and to search for.

    People with more than `photos` photos with a face may be enrolled; the others are strangers. At most `mated` and
    `strangers` photos are searched for, taken from people in turns; at most ``mated // 2`` people are enrolled, to
    leave two probes for each. Raises `DatasetError` if nobody has enough photos.
    """
    people = faces.dataset.person_indices
    counts = faces.photo_counts
    eligible = random.permutation(np.flatnonzero(counts > photos))
    ineligible = np.flatnonzero((counts > 0) & (counts <= photos))
    if not len(eligible):
        raise DatasetError(
            f"{printable(faces.dataset.title)}: nobody has {photos + 1} photos with a face, of which {photos} "
            "could be enrolled and one searched for; add photos, or enroll fewer with --enrolled"
        )
    if len(ineligible) < MIN_STRANGERS and len(eligible) > 2:
        held_out = max(1, len(eligible) // 3)
        ineligible, eligible = np.concatenate([ineligible, eligible[:held_out]]), eligible[held_out:]
    eligible = eligible[: max(1, mated // 2)]
    orders = {
        int(person): random.permutation(np.flatnonzero((people == person) & faces.has_face)) for person in eligible
    }
    enrolled = np.concatenate([indices[:photos] for indices in orders.values()])
    probes = [exclude_related(faces, indices[photos:], enrolled) for indices in orders.values()]
    unknown = [random.permutation(np.flatnonzero((people == person) & faces.has_face)) for person in ineligible]
    return Roles(
        enrolled.astype(np.int64),
        round_robin(probes, mated),
        round_robin([unknown[index] for index in random.permutation(len(unknown))], strangers),
    )


def exclude_related(faces: FaceSet, indices: NDArray[np.int64], enrolled: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices ``(N,)`` without photos that share a source or the content with an enrolled one."""
    groups, hashes = faces.groups, np.array(faces.hashes)
    is_related = np.isin(groups[indices], groups[enrolled]) | (
        np.isin(hashes[indices], hashes[enrolled])
        & np.array([faces.dataset.photos[index].region is None for index in indices], dtype=np.bool_)
    )
    return np.asarray(indices[~is_related], dtype=np.int64)


def first_per_person(person_indices: NDArray[np.int64], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first index ``(N,)`` of each person, ordered by person, then all those of unlabeled photos."""
    named = indices[person_indices[indices] >= 0]
    first = np.unique(person_indices[named], return_index=True)[1]
    return np.concatenate([named[first], indices[person_indices[indices] < 0]]).astype(np.int64)


def round_robin(indices: list[NDArray[np.int64]], limit: int) -> NDArray[np.int64]:
    """Return arrays interleaved: all first elements, then all second ones, and so on, at most `limit` in all."""
    if not indices or not sum(map(len, indices)):
        return np.zeros(0, dtype=np.int64)
    turns = np.concatenate([np.arange(len(array)) for array in indices])
    return np.asarray(np.concatenate(indices)[np.argsort(turns, kind="stable")][:limit], dtype=np.int64)
