"""Pairs of photos to compare: those that a dataset lists, or made of its named photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import DatasetError
from facebank.evaluation.curves import Comparisons
from facebank.evaluation.dataset import Dataset, LeftOut, Pair
from facebank.evaluation.figures import sampling_units
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.packs import Thresholds

MOST_MATED = 50_000
MOST_NON_MATED = 100_000
"""Enough to expect ten false matches at an FMR of 0.01 %."""

_MOST_LISTED = 4_000_000


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs of places in a dataset's photos, a sentence on their origin, and those that compare a photo with itself."""

    pairs: tuple[Pair, ...]
    description: str
    failures: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A dataset's faces, compared in pairs, and the thresholds that the pack ships."""

    faces: FaceSet
    pairing: Pairing
    comparisons: Comparisons
    shipped: Thresholds

    @classmethod
    def of(cls, bench: Bench, dataset: Dataset) -> Self:
        """Read a dataset's faces and compare them; raises `DatasetError` without both kinds of pairs."""
        faces = bench.read(only_compared(dataset))
        pairing = pairs_of(faces, bench.random())
        return cls(faces, pairing, compare_faces(faces, pairing.pairs), bench.reader.engine.thresholds)

    @property
    def threshold(self) -> float:
        """The shipped one of verification."""
        return self.shipped.verify

    @property
    def threshold_note(self) -> str:
        """One sentence: what the shipped threshold is, and on what it was chosen."""
        return (
            f"The shipped threshold is a similarity of {self.threshold:g}. It was chosen before, not by these figures; "
            f"found on: {printable(self.shipped.calibrated_on)}."
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which pairs are decided rightly at the shipped threshold; one that cannot be compared never is."""
        decided = self.comparisons.matched(self.threshold) == self.comparisons.same
        return np.asarray(decided & ~np.isnan(self.comparisons.similarities), dtype=np.bool_)

    @property
    def units(self) -> NDArray[np.int64]:
        """What the bootstrap draws for each photo."""
        return drawn_units(self.faces, self.pairing.pairs)


def only_compared(dataset: Dataset) -> Dataset:
    """Return a dataset without the photos that none of its pairs compares; as it is where it lists no pairs."""
    if not dataset.pairs:
        return dataset
    compared = np.zeros(len(dataset.photos), dtype=np.bool_)
    compared[[place for pair in dataset.pairs for place in (pair.first, pair.second)]] = True
    return dataset.where(bool(keep) for keep in compared)


def pairs_of(faces: FaceSet, random: np.random.Generator) -> Pairing:
    """Return the pairs that a dataset lists, or pairs made of its named photos.

    `random` chooses among more than 50,000 pairs of one person or 100,000 of different people. Raises `DatasetError`
    without pairs of one person, or of different people.
    """
    dataset = faces.dataset
    pairing = _listed(faces) if dataset.pairs else _made(faces, random)
    kinds = {pair.same for pair in pairing.pairs}
    if kinds != {True, False}:
        missing = "of one person" if True not in kinds else "of different people"
        left = dataset.left_out[0] if dataset.pairs and dataset.left_out else None
        why = "" if left is None else f"; left out was, among others, {printable(left.what)}: {printable(left.why)}"
        raise DatasetError(
            f"{printable(dataset.title)}: there are no pairs {missing}, and error rates need both kinds{why}"
        )
    return pairing


def compare_faces(faces: FaceSet, pairs: tuple[Pair, ...]) -> Comparisons:
    """Return the similarities of pairs; NaN without both faces. Raises `UsageError` without both kinds of pairs."""
    first, second = (
        np.array(places, dtype=np.int64) for places in zip(*((p.first, p.second) for p in pairs), strict=True)
    )
    embeddings, found, units = faces.embeddings, faces.found, drawn_units(faces, pairs)
    similarities = np.einsum("nd,nd->n", embeddings[first], embeddings[second], dtype=np.float64)
    similarities[~(found[first] & found[second])] = np.nan
    return Comparisons(
        similarities, np.array([pair.same for pair in pairs], dtype=np.bool_), units[first], units[second]
    )


def drawn_units(faces: FaceSet, pairs: tuple[Pair, ...]) -> NDArray[np.int64]:
    """Return the bootstrap's unit of each photo, ``int64`` of shape ``(N,)``: its person, or its group of few people.

    Photos of nobody named are one person's if they are equal, or if a pair says so.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    owners = faces.dataset.owners
    unnamed = owners < 0
    if unnamed.any():
        joined = [(p.first, p.second) for p in pairs if p.same and unnamed[p.first] and unnamed[p.second]]
        seen: dict[str, int] = {}
        joined += [(place, seen.setdefault(faces.hashes[place], place)) for place in np.flatnonzero(unnamed).tolist()]
        rows, columns = np.array(joined).T
        count = len(owners)
        links = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count, count))
        components = connected_components(links, directed=False)[1]
        owners = np.where(unnamed, components + owners.max() + 1, owners)
    return sampling_units(owners, faces.groups)


def _listed(faces: FaceSet) -> Pairing:
    dataset = faces.dataset
    mated = sum(pair.same for pair in dataset.pairs)
    description = (
        f"{len(dataset.pairs):,} listed pairs were compared: {mated:,} of one person and "
        f"{len(dataset.pairs) - mated:,} of different people."
    )
    alike = tuple(
        LeftOut(
            f"{dataset.photos[pair.first].name} and {dataset.photos[pair.second].name}",
            "both are one and the same photo; the pair was compared nevertheless, as it is listed",
        )
        for pair in dataset.pairs
        if faces.hashes[pair.first] == faces.hashes[pair.second] != ""
        and dataset.photos[pair.first].region == dataset.photos[pair.second].region
    )
    return Pairing(dataset.pairs, description, alike)


def _made(faces: FaceSet, random: np.random.Generator) -> Pairing:
    named = np.flatnonzero(faces.dataset.owners >= 0)
    owners = faces.dataset.owners[named]
    mated, all_mated = _mated(owners, random)
    non_mated, all_non_mated = _non_mated(owners, len(named) * (len(named) - 1) // 2 - all_mated, random)
    different = np.array(faces.hashes)[named]
    pairs = tuple(
        Pair(int(named[a]), int(named[b]), same)
        for places, same in ((mated, True), (non_mated, False))
        for a, b in zip(*places, strict=True)
        if different[a] != different[b]
    )
    description = f"The dataset lists no pairs: {_of(len(mated[0]), all_mated)} of one person and "
    description += f"{_of(len(non_mated[0]), all_non_mated)} of different people were compared."
    chosen = len(mated[0]) < all_mated or len(non_mated[0]) < all_non_mated
    return Pairing(pairs, description + (" They were chosen at random, by the seed." if chosen else ""))


def _of(used: int, possible: int) -> str:
    return f"all {possible:,} pairs" if used == possible else f"{used:,} of all {possible:,} pairs"


def _mated(
    owners: NDArray[np.int64], random: np.random.Generator
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], int]:
    """Return chosen pairs of one person, and how many there are."""
    order = np.argsort(owners, kind="stable")
    photos = np.bincount(owners, minlength=1)
    starts = np.concatenate([[0], np.cumsum(photos)[:-1]])
    ends = np.cumsum(photos * (photos - 1) // 2)
    total = int(ends[-1])
    chosen = np.arange(total) if total <= MOST_MATED else np.sort(random.choice(total, MOST_MATED, replace=False))
    person = np.searchsorted(ends, chosen, side="right")
    first, second = _unranked(chosen - np.concatenate([[0], ends[:-1]])[person])
    return (order[starts[person] + first], order[starts[person] + second]), total


def _non_mated(
    owners: NDArray[np.int64], possible: int, random: np.random.Generator
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], int]:
    total = len(owners) * (len(owners) - 1) // 2
    if total <= _MOST_LISTED:
        numbers = np.arange(total)
    else:
        # Twice as many as are wanted: some of them are of one person
        numbers = random.permutation(np.unique(random.integers(total, size=2 * MOST_NON_MATED)))
    first, second = _unranked(numbers)
    places = np.flatnonzero(owners[first] != owners[second])
    if len(places) > MOST_NON_MATED:
        places = np.sort(random.choice(places, MOST_NON_MATED, replace=False))
    return (first[places], second[places]), possible


def _unranked(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs with these numbers, of (0, 1), (0, 2), (1, 2), (0, 3) ... numbered from 0."""
    second = np.floor((1 + np.sqrt(1 + 8 * numbers.astype(np.float64))) / 2).astype(np.int64)
    second -= numbers < second * (second - 1) // 2
    second += numbers >= second * (second + 1) // 2
    return numbers - second * (second - 1) // 2, second
