"""Grouping faces by person, without names.

First, faces are linked that are so similar that hardly two people are: the connected components of the exact neighbor
graph. A group with two faces of one photo holds two people, and is split with a stricter threshold. Then groups are
merged whose means are each other's nearest and similar: means are less noisy than photos, so that this threshold can be
lower.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.storage.arrays import normalized
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Thresholds
    from facebank.types import FloatArray

_NUMBERS_AT_ONCE = 32_000_000  # similarities held in memory at a time: 128 MB
_STRICTER = 0.02
_STRICTEST = 0.98
_MOST_ROUNDS = 50
_LINKED_ABOVE_VERIFY, _MERGED_ABOVE_VERIFY = 0.30, 0.22
"""Measured for other packs (`benchmarks/clustering.py`): for packs whose thresholds were not measured."""


@dataclass(frozen=True, slots=True)
class ClusteringThresholds:
    """When faces are one person's."""

    linked: float  # the similarity from which two faces are linked, -1..1
    merged: float  # the similarity of their means from which two groups are merged, -1..1


def clustering_thresholds(thresholds: Thresholds) -> ClusteringThresholds:
    """Return the thresholds of a pack: its manifest's, else derived conservatively from its `verify` threshold."""
    linked, merged = thresholds.linked, thresholds.merged
    return ClusteringThresholds(
        min(thresholds.verify + _LINKED_ABOVE_VERIFY, 1.0) if linked is None else linked,
        min(thresholds.verify + _MERGED_ABOVE_VERIFY, 1.0) if merged is None else merged,
    )


@dataclass(frozen=True, slots=True, eq=False)
class FaceTable:
    """Faces to group, in any order."""

    embeddings: FloatArray  # L2-normalized ``float32`` of shape ``(N, D)``
    # which photo each is in: ``int64`` of shape ``(N,)``. Two faces of one photo are two people.
    photos: NDArray[np.int64]
    qualities: FloatArray  # 0..1, ``float32`` of shape ``(N,)``: the weight of each in its group's mean
    apart: NDArray[np.int64]  # pairs of indices of faces that are not one person, ``int64`` of shape ``(P, 2)``

    @property
    def count(self) -> int:
        """How many faces there are."""
        return len(self.embeddings)


def cluster(faces: FaceTable, thresholds: ClusteringThresholds, progress: Progress = SILENT) -> NDArray[np.int64]:
    """Group faces by person.

    Parameters
    ----------
    faces
        The faces.
    thresholds
        When they are one person's.
    progress
        Advanced with the fraction of the comparisons that are made; they take nearly all of the time, which grows with
        the square of the number of faces.

    Returns
    -------
    NDArray[np.int64]
        The group of each face, of shape ``(N,)``: 0 is the largest; every face is in one, alone where it is like no
        other.
    """
    if not faces.count:
        return np.zeros(0, dtype=np.int64)
    links = _links(faces.embeddings, thresholds.linked, progress)
    groups = _joined(faces, links, thresholds.linked)
    for _ in range(_MOST_ROUNDS):
        merged = _merged(faces, groups, thresholds.merged)
        if merged is None:
            break
        groups = merged
    return _largest_first(groups)


@dataclass(frozen=True, slots=True, eq=False)
class _Links:
    """Pairs of similar faces: their indices and similarities."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarities: FloatArray

    def where(self, chosen: NDArray[np.bool_]) -> _Links:
        return _Links(self.first[chosen], self.second[chosen], self.similarities[chosen])


def _links(embeddings: FloatArray, threshold: float, progress: Progress) -> _Links:
    """Compare all faces with all others, a block at a time; each pair is told once."""
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    similarities: list[FloatArray] = []
    progress.begin("Grouping", 1.0)
    for start, block in _blocks(len(embeddings)):
        alike = embeddings[block] @ embeddings[start:].T
        rows, columns = np.nonzero(np.triu(alike >= threshold, 1))
        first.append(rows + start)
        second.append(columns + start)
        similarities.append(alike[rows, columns])
        left, before = (1 - end / len(embeddings) for end in (block.stop, block.start))
        progress.advance(before * before - left * left)
    return _Links(np.concatenate(first), np.concatenate(second), np.concatenate(similarities))


def _blocks(count: int) -> Iterator[tuple[int, slice]]:
    start = 0
    while start < count:
        rows = max(1, _NUMBERS_AT_ONCE // (count - start))
        yield start, slice(start, min(start + rows, count))
        start += rows


def _joined(faces: FaceTable, links: _Links, threshold: float) -> NDArray[np.int64]:
    """Return the connected components; those that hold two people are linked again more strictly, until none does."""
    groups = _parts(faces.count, links)
    while threshold < _STRICTEST:
        doubtful = np.isin(groups, _conflicting(faces, groups))
        if not doubtful.any():
            break
        threshold += _STRICTER
        links = links.where(~doubtful[links.first] | (links.similarities >= threshold))
        groups = _parts(faces.count, links)
    return groups


def _parts(count: int, links: _Links) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links.first), dtype=np.int8), (links.first, links.second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _conflicting(faces: FaceTable, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups that have two faces of one photo, or two that were told apart."""
    order = np.lexsort((faces.photos, groups))
    same = (np.diff(groups[order]) == 0) & (np.diff(faces.photos[order]) == 0)
    told = groups[faces.apart]
    return np.unique(np.concatenate([groups[order][1:][same], told[told[:, 0] == told[:, 1], 0]]))


def _merged(faces: FaceTable, groups: NDArray[np.int64], threshold: float) -> NDArray[np.int64] | None:
    """Merge groups whose means are each other's nearest and similar, unless they hold two people then; else None."""
    _, groups = np.unique(groups, return_inverse=True)
    means = _means(faces, groups)
    numbers = np.arange(len(means))
    never = np.zeros((0, 2), dtype=np.int64)
    while True:
        nearest, similarities = _nearest(means, never)
        mutual = (nearest[nearest] == numbers) & (numbers < nearest) & (similarities >= threshold)
        pairs = np.stack([numbers[mutual], nearest[mutual]], axis=1)
        if not len(pairs):
            return None
        wanted = numbers.copy()
        wanted[pairs[:, 1]] = pairs[:, 0]
        refused = np.isin(pairs[:, 0], _conflicting(faces, wanted[groups]))
        if not refused.all():
            wanted[pairs[refused, 1]] = pairs[refused, 1]
            return wanted[groups]
        never = np.concatenate([never, pairs])


def _means(faces: FaceTable, groups: NDArray[np.int64]) -> FloatArray:
    from scipy.sparse import csr_array

    weights = np.maximum(faces.qualities, np.float32(1e-3))
    places = np.arange(len(groups))
    rows = csr_array((weights, (groups, places)), shape=(int(groups.max()) + 1, len(groups)))
    return normalized(np.asarray(rows @ faces.embeddings, dtype=np.float32))


def _nearest(means: FloatArray, never: NDArray[np.int64]) -> tuple[NDArray[np.int64], FloatArray]:
    """Return for each mean which other is nearest, pairs that may not be joined left out, and how alike they are."""
    nearest, similarities = np.zeros(len(means), dtype=np.int64), np.full(len(means), -1, dtype=np.float32)
    if len(means) < 2:
        return nearest, similarities
    rows = max(1, _NUMBERS_AT_ONCE // len(means))
    for start in range(0, len(means), rows):
        alike = means[start : start + rows] @ means.T
        own = np.arange(len(alike))
        alike[own, own + start] = -2
        for one, other in (*never, *never[:, ::-1]):
            if start <= one < start + len(alike):
                alike[one - start, other] = -2
        nearest[start : start + rows] = alike.argmax(axis=1)
        similarities[start : start + rows] = alike[own, nearest[start : start + rows]]
    return nearest, similarities


def _largest_first(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, members, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(sizes), dtype=np.int64)
    ranks[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return ranks[members]
