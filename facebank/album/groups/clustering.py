"""Grouping faces by person, without names.

First, faces are linked that are so similar that hardly two people are: the connected components of the exact neighbor
graph. A group with two faces of one photo holds two people, and is split with a stricter threshold. Then groups are
merged whose means are each other's nearest and similar: means are less noisy than photos, so that this threshold can be
lower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.index.pairs import Pairs, pairs_between, pairs_within
from facebank.storage.arrays import normalized
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Thresholds
    from facebank.types import FloatArray

_LINKING_SHARE = 0.7  # of the time, for the progress; most of the rest goes into the first comparison of means
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
        Advanced with the share of the work that is done, whose time grows with the square of the number of faces.

    Returns
    -------
    NDArray[np.int64]
        The group of each face, of shape ``(N,)``: 0 is the largest; every face is in one, alone where it is like no
        other.
    """
    if not faces.count:
        return np.zeros(0, dtype=np.int64)
    progress.begin("Grouping", 1.0)
    links = pairs_within(faces.embeddings, thresholds.linked, lambda share: progress.advance(_LINKING_SHARE * share))
    groups = _joined(faces, links, thresholds.linked)
    return _largest_first(_merged(faces, groups, thresholds.merged, progress))


def _joined(faces: FaceTable, links: Pairs, threshold: float) -> NDArray[np.int64]:
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


def _parts(count: int, links: Pairs) -> NDArray[np.int64]:
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


def _merged(faces: FaceTable, groups: NDArray[np.int64], threshold: float, progress: Progress) -> NDArray[np.int64]:
    """Merge groups whose means are each other's nearest and similar, unless they hold two people then, until none is.

    Pairs of similar means are found once; then only those of groups that grew are found anew.
    """
    means = _means(faces, groups, np.arange(groups.max() + 1))
    alive = np.ones(len(means), dtype=np.bool_)
    similar = pairs_within(means, threshold, lambda share: progress.advance((1 - _LINKING_SHARE) * share))
    for _ in range(_MOST_ROUNDS):
        merges = _next_merges(faces, groups, len(means), similar)
        if not len(merges):
            break
        kept, gone = merges.T
        wanted = np.arange(len(means))
        wanted[gone] = kept
        groups = wanted[groups]
        alive[gone] = False
        means[kept] = _means(faces, groups, kept)
        changed = np.zeros(len(means), dtype=np.bool_)
        changed[merges] = True
        similar = similar.where(~changed[similar.first] & ~changed[similar.second])
        similar = Pairs.joined([similar, _similar_to(means, kept, alive, threshold)])
    return groups


def _similar_to(means: FloatArray, kept: NDArray[np.int64], alive: NDArray[np.bool_], threshold: float) -> Pairs:
    """Return the pairs of similar means that have one or two of some groups, each once."""
    numbers = np.flatnonzero(alive)
    found = pairs_between(means[kept], means[numbers], threshold)
    one, other = kept[found.first], numbers[found.second]
    told_once = (one < other) | ~np.isin(other, kept)
    pairs = Pairs(np.minimum(one, other), np.maximum(one, other), found.similarities)
    return pairs.where(told_once & (one != other))


def _next_merges(faces: FaceTable, groups: NDArray[np.int64], count: int, similar: Pairs) -> NDArray[np.int64]:
    """Return pairs of groups, ``int64`` of shape ``(M, 2)``, that are each other's nearest and hold one person."""
    while len(similar.first):
        nearest = _nearest(count, similar)
        is_mutual = (nearest[similar.first] == similar.second) & (nearest[similar.second] == similar.first)
        pairs = np.stack([similar.first[is_mutual], similar.second[is_mutual]], axis=1)
        wanted = np.arange(count)
        wanted[pairs[:, 1]] = pairs[:, 0]
        refused = np.isin(pairs[:, 0], _conflicting(faces, wanted[groups]))
        if not refused.all():
            return pairs[~refused]
        similar = similar.where(~is_mutual)
    return np.zeros((0, 2), dtype=np.int64)


def _nearest(count: int, similar: Pairs) -> NDArray[np.int64]:
    """Return for each group the most similar one, of several the first; -1 where none is similar."""
    ones = np.concatenate([similar.first, similar.second])
    others = np.concatenate([similar.second, similar.first])
    order = np.lexsort((others, -np.tile(similar.similarities, 2), ones))
    found, places = np.unique(ones[order], return_index=True)
    nearest = np.full(count, -1, dtype=np.int64)
    nearest[found] = others[order[places]]
    return nearest


def _means(faces: FaceTable, groups: NDArray[np.int64], wanted: NDArray[np.int64]) -> FloatArray:
    """Return the mean embeddings of some groups, ``float32`` of shape ``(len(wanted), D)``."""
    from scipy.sparse import csr_array

    row_of = np.full(int(groups.max()) + 1, -1, dtype=np.int64)
    row_of[wanted] = np.arange(len(wanted))
    places = np.flatnonzero(row_of[groups] >= 0)
    weights = np.maximum(faces.qualities[places], np.float32(1e-3))
    rows = csr_array((weights, (row_of[groups[places]], places)), shape=(len(wanted), faces.count))
    return normalized(np.asarray(rows @ faces.embeddings, dtype=np.float32))


def _largest_first(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, members, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(sizes), dtype=np.int64)
    ranks[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return ranks[members]
