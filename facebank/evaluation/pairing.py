"""Pairs of photos to compare: listed by the dataset, or formed from its labeled photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.curves import Comparisons
from facebank.evaluation.dataset import Dataset, Pair, SkippedEntry
from facebank.evaluation.figures import sampling_units
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.packs import Thresholds

MAX_MATED = 50_000
MAX_NON_MATED = 100_000
"""Largest number of non-mated pairs, of which ten match at an FMR of 0.01 %."""

_MAX_LISTED = 4_000_000


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs of a dataset, a sentence that describes them, and the pairs that compare a photo with itself."""

    pairs: tuple[Pair, ...]
    description: str
    failures: tuple[SkippedEntry, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPairs:
    """The faces of a dataset, their pairs and similarities, and the shipped thresholds of the pack."""

    faces: FaceSet
    pairing: Pairing
    comparisons: Comparisons
    shipped: Thresholds

    @classmethod
    def of(cls, bench: Bench, dataset: Dataset) -> Self:
        """Return the comparisons of a dataset's faces; raises `DatasetError` without mated or non-mated pairs."""
        faces = bench.read(select_compared(dataset))
        pairing = pairs_of(faces, bench.random())
        return cls(faces, pairing, compare_faces(faces, pairing.pairs), bench.reader.engine.thresholds)

    @property
    def threshold(self) -> float:
        """The shipped verification threshold."""
        return self.shipped.verify

    @property
    def threshold_note(self) -> str:
        """A sentence with the shipped threshold and the data it was calibrated on."""
        return (
            f"The shipped threshold is a similarity of {self.threshold:g}, fixed before this run. "
            f"Calibrated on: {printable(self.shipped.calibrated_on)}."
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each pair is decided correctly at the shipped threshold, ``bool`` of shape ``(N,)``.

        False if a pair could not be compared.
        """
        is_right = self.comparisons.matches(self.threshold) == self.comparisons.same
        return np.asarray(is_right & ~np.isnan(self.comparisons.similarities), dtype=np.bool_)

    @property
    def units(self) -> NDArray[np.int64]:
        """The bootstrap unit of each photo, ``int64`` of shape ``(N,)``."""
        return bootstrap_units(self.faces, self.pairing.pairs)


def select_compared(dataset: Dataset) -> Dataset:
    """Return the dataset without photos that are in none of its pairs; unchanged if it lists no pairs."""
    if not dataset.pairs:
        return dataset
    compared = np.zeros(len(dataset.photos), dtype=np.bool_)
    compared[[index for pair in dataset.pairs for index in (pair.first, pair.second)]] = True
    return dataset.select(compared.tolist())


def pairs_of(faces: FaceSet, random: np.random.Generator) -> Pairing:
    """Return the pairs that a dataset lists, or pairs formed from its labeled photos.

    At most 50,000 mated and 100,000 non-mated pairs are formed, sampled by `random` if there are more. Raises
    `DatasetError` without mated or without non-mated pairs.
    """
    dataset = faces.dataset
    pairing = _listed_pairs(faces) if dataset.pairs else _formed_pairs(faces, random)
    labels = {pair.same for pair in pairing.pairs}
    if labels != {True, False}:
        missing = "of one person" if True not in labels else "of different people"
        skipped = dataset.skipped[0] if dataset.pairs and dataset.skipped else None
        hint = f"; skipped entries include {printable(skipped.entry)}: {printable(skipped.reason)}" if skipped else ""
        raise DatasetError(
            f"{printable(dataset.title)}: there are no pairs {missing}, and error rates need both kinds: add photos, "
            f"or pairs to the list{hint}"
        )
    return pairing


def compare_faces(faces: FaceSet, pairs: tuple[Pair, ...]) -> Comparisons:
    """Return the similarities of pairs, NaN if a face is missing; raises `UsageError` as `Comparisons` does."""
    first, second = (
        np.array(indices, dtype=np.int64) for indices in zip(*((p.first, p.second) for p in pairs), strict=True)
    )
    embeddings, has_face, units = faces.embeddings, faces.has_face, bootstrap_units(faces, pairs)
    similarities = np.einsum("nd,nd->n", embeddings[first], embeddings[second], dtype=np.float64)
    similarities[~(has_face[first] & has_face[second])] = np.nan
    return Comparisons(
        similarities, np.array([pair.same for pair in pairs], dtype=np.bool_), units[first], units[second]
    )


def bootstrap_units(faces: FaceSet, pairs: tuple[Pair, ...]) -> NDArray[np.int64]:
    """Return the bootstrap unit of each photo, ``int64`` of shape ``(N,)``: its person, or its group if people are few.

    Unlabeled photos count as one person if their contents are equal, or if a pair labels them so.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    person_indices = faces.dataset.person_indices
    unnamed = person_indices < 0
    if unnamed.any():
        links = [(p.first, p.second) for p in pairs if p.same and unnamed[p.first] and unnamed[p.second]]
        first_indices: dict[str, int] = {}
        links += [
            (index, first_indices.setdefault(faces.hashes[index], index)) for index in np.flatnonzero(unnamed).tolist()
        ]
        rows, columns = np.array(links).T
        count = len(person_indices)
        graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count, count))
        components = connected_components(graph, directed=False)[1]
        person_indices = np.where(unnamed, components + person_indices.max() + 1, person_indices)
    return sampling_units(person_indices, faces.groups)


def _listed_pairs(faces: FaceSet) -> Pairing:
    dataset = faces.dataset
    mated = sum(pair.same for pair in dataset.pairs)
    description = (
        f"{len(dataset.pairs):,} listed pairs were compared: {mated:,} of one person and "
        f"{len(dataset.pairs) - mated:,} of different people."
    )
    identical = tuple(
        SkippedEntry(
            f"{dataset.photos[pair.first].name} and {dataset.photos[pair.second].name}",
            "both are the same photo; compared anyway, since the pair is listed",
        )
        for pair in dataset.pairs
        if faces.hashes[pair.first] == faces.hashes[pair.second] != ""
        and dataset.photos[pair.first].region == dataset.photos[pair.second].region
    )
    return Pairing(dataset.pairs, description, identical)


def _formed_pairs(faces: FaceSet, random: np.random.Generator) -> Pairing:
    named = np.flatnonzero(faces.dataset.person_indices >= 0)
    person_indices = faces.dataset.person_indices[named]
    mated, all_mated = _mated_pairs(person_indices, random)
    non_mated, all_non_mated = _non_mated_pairs(person_indices, random), len(named) * (len(named) - 1) // 2 - all_mated
    hashes = np.array(faces.hashes)[named]
    pairs = tuple(
        Pair(int(named[first]), int(named[second]), same)
        for indices, same in ((mated, True), (non_mated, False))
        for first, second in zip(*indices, strict=True)
        if hashes[first] != hashes[second]
    )
    description = f"The dataset lists no pairs: {_count_text(len(mated[0]), all_mated)} of one person and "
    description += f"{_count_text(len(non_mated[0]), all_non_mated)} of different people were compared."
    is_sampled = len(mated[0]) < all_mated or len(non_mated[0]) < all_non_mated
    return Pairing(
        pairs, description + (" They were sampled at random with the seed of this run." if is_sampled else "")
    )


def _count_text(used: int, possible: int) -> str:
    return f"all {possible:,} pairs" if used == possible else f"{used:,} of all {possible:,} pairs"


def _mated_pairs(
    person_indices: NDArray[np.int64], random: np.random.Generator
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], int]:
    """Return a sample of the pairs of one person, and the number of such pairs."""
    order = np.argsort(person_indices, kind="stable")
    photos = np.bincount(person_indices, minlength=1)
    starts = np.concatenate([[0], np.cumsum(photos)[:-1]])
    ends = np.cumsum(photos * (photos - 1) // 2)
    total = int(ends[-1])
    selected = np.arange(total) if total <= MAX_MATED else np.sort(random.choice(total, MAX_MATED, replace=False))
    person = np.searchsorted(ends, selected, side="right")
    first, second = _pair_from_rank(selected - np.concatenate([[0], ends[:-1]])[person])
    return (order[starts[person] + first], order[starts[person] + second]), total


def _non_mated_pairs(
    person_indices: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a sample of the pairs of different people."""
    total = len(person_indices) * (len(person_indices) - 1) // 2
    if total <= _MAX_LISTED:
        ranks = np.arange(total)
    else:
        # oversampled, since some of the pairs show one person
        ranks = random.permutation(np.unique(random.integers(total, size=2 * MAX_NON_MATED)))
    first, second = _pair_from_rank(ranks)
    indices = np.flatnonzero(person_indices[first] != person_indices[second])
    if len(indices) > MAX_NON_MATED:
        indices = np.sort(random.choice(indices, MAX_NON_MATED, replace=False))
    return first[indices], second[indices]


def _pair_from_rank(ranks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs by their rank in the sequence (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    second = np.floor((1 + np.sqrt(1 + 8 * ranks.astype(np.float64))) / 2).astype(np.int64)
    second -= ranks < second * (second - 1) // 2
    second += ranks >= second * (second + 1) // 2
    return ranks - second * (second - 1) // 2, second
