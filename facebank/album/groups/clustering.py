"""Clustering of faces by person.

The first groups are the connected components of the exact neighbor graph, with a threshold that hardly any two people
reach. A group with two faces of one photo has two people and is split with a stricter threshold. Then groups whose
means are mutual nearest neighbors above a second threshold are merged; it is lower because means are less noisy than
single faces.
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

_LINKING_FRACTION = 0.7  # of the progress; most of the rest is the first comparison of means
_THRESHOLD_STEP = 0.02
_MAX_THRESHOLD = 0.98
_MAX_ROUNDS = 50
_LINKED_ABOVE_VERIFY, _MERGED_ABOVE_VERIFY = 0.30, 0.22
"""Offsets for packs without measured thresholds, from those of other packs (`benchmarks/clustering.py`)."""


@dataclass(frozen=True, slots=True)
class ClusteringThresholds:
    """The minimum similarities, -1..1, of faces and groups of one person."""

    linked: float  # of two faces
    merged: float  # of the means of two groups


def clustering_thresholds(thresholds: Thresholds) -> ClusteringThresholds:
    """Return the thresholds in a pack's manifest, or conservative ones derived from its `verify` threshold."""
    linked, merged = thresholds.linked, thresholds.merged
    return ClusteringThresholds(
        min(thresholds.verify + _LINKED_ABOVE_VERIFY, 1.0) if linked is None else linked,
        min(thresholds.verify + _MERGED_ABOVE_VERIFY, 1.0) if merged is None else merged,
    )


@dataclass(frozen=True, slots=True, eq=False)
class FaceTable:
    """Faces to group, in any order."""

    embeddings: FloatArray  # L2-normalized ``float32`` of shape ``(N, D)``
    # number of each face's photo, ``int64`` of shape ``(N,)``; faces of one photo are different people
    photo_ids: NDArray[np.int64]
    qualities: FloatArray  # 0..1, ``float32`` of shape ``(N,)``: the weights in the means of groups
    apart: NDArray[np.int64]  # pairs of indices of faces of different people, ``int64`` of shape ``(P, 2)``

    @property
    def count(self) -> int:
        """The number of faces, N."""
        return len(self.embeddings)


def cluster(faces: FaceTable, thresholds: ClusteringThresholds, progress: Progress = SILENT) -> NDArray[np.int64]:
    """Return the group of each face, one person each; the time grows with the square of the number of faces.

    Parameters
    ----------
    faces
        The faces.
    thresholds
        The minimum similarities of faces of one person.
    progress
        Advanced with the completed fraction of the work, 0..1 in total.

    Returns
    -------
    NDArray[np.int64]
        Groups from 0, the largest, of shape ``(N,)``. A face that is similar to no other is a group by itself.

    Examples
    --------
    >>> import numpy as np
    >>> embeddings = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    >>> faces = FaceTable(embeddings, np.arange(3), np.ones(3, dtype=np.float32), np.empty((0, 2), dtype=np.int64))
    >>> cluster(faces, ClusteringThresholds(linked=0.6, merged=0.5))
    array([0, 1, 0])
    """
    if not faces.count:
        return np.zeros(0, dtype=np.int64)
    progress.begin("Grouping", 1.0)
    links = pairs_within(faces.embeddings, thresholds.linked, lambda done: progress.advance(_LINKING_FRACTION * done))
    groups = _join(faces, links, thresholds.linked)
    return _largest_first(_merge_groups(faces, groups, thresholds.merged, progress))


def _join(faces: FaceTable, links: Pairs, threshold: float) -> NDArray[np.int64]:
    """Return the connected component of each face; those with two people are split by stricter thresholds."""
    groups = _components(faces.count, links)
    while threshold < _MAX_THRESHOLD:
        doubtful = np.isin(groups, _find_conflicts(faces, groups))
        if not doubtful.any():
            break
        threshold += _THRESHOLD_STEP
        links = links.where(~doubtful[links.first] | (links.similarities >= threshold))
        groups = _components(faces.count, links)
    return groups


def _components(count: int, links: Pairs) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links.first), dtype=np.int8), (links.first, links.second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _find_conflicts(faces: FaceTable, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups that have two faces of one photo, or a pair of `FaceTable.apart`."""
    order = np.lexsort((faces.photo_ids, groups))
    same = (np.diff(groups[order]) == 0) & (np.diff(faces.photo_ids[order]) == 0)
    apart = groups[faces.apart]
    return np.unique(np.concatenate([groups[order][1:][same], apart[apart[:, 0] == apart[:, 1], 0]]))


def _merge_groups(
    faces: FaceTable, groups: NDArray[np.int64], threshold: float, progress: Progress
) -> NDArray[np.int64]:
    """Merge groups whose means are similar mutual nearest neighbors, unless the result would have two people.

    All pairs of similar means are found once; after each round, only the pairs of groups that grew are updated.
    """
    means = _means(faces, groups, np.arange(groups.max() + 1))
    alive = np.ones(len(means), dtype=np.bool_)
    similar = pairs_within(means, threshold, lambda done: progress.advance((1 - _LINKING_FRACTION) * done))
    for _ in range(_MAX_ROUNDS):
        merges = _next_merges(faces, groups, len(means), similar)
        if not len(merges):
            break
        grown, merged = merges.T
        targets = np.arange(len(means))
        targets[merged] = grown
        groups = targets[groups]
        alive[merged] = False
        means[grown] = _means(faces, groups, grown)
        changed = np.zeros(len(means), dtype=np.bool_)
        changed[merges] = True
        similar = similar.where(~changed[similar.first] & ~changed[similar.second])
        similar = Pairs.concatenate([similar, _similar_to(means, grown, alive, threshold)])
    return groups


def _similar_to(means: FloatArray, grown: NDArray[np.int64], alive: NDArray[np.bool_], threshold: float) -> Pairs:
    """Return the pairs of similar means of which at least one is in `grown`, each pair once."""
    groups = np.flatnonzero(alive)
    similar = pairs_between(means[grown], means[groups], threshold)
    first, second = grown[similar.first], groups[similar.second]
    is_new = (first < second) | ~np.isin(second, grown)  # a pair inside `grown` is found twice
    pairs = Pairs(np.minimum(first, second), np.maximum(first, second), similar.similarities)
    return pairs.where(is_new & (first != second))


def _next_merges(faces: FaceTable, groups: NDArray[np.int64], count: int, similar: Pairs) -> NDArray[np.int64]:
    """Return the mutual nearest groups that together have one person, ``int64`` of shape ``(M, 2)``."""
    while len(similar.first):
        nearest = _nearest(count, similar)
        is_mutual = (nearest[similar.first] == similar.second) & (nearest[similar.second] == similar.first)
        pairs = np.stack([similar.first[is_mutual], similar.second[is_mutual]], axis=1)
        targets = np.arange(count)
        targets[pairs[:, 1]] = pairs[:, 0]
        refused = np.isin(pairs[:, 0], _find_conflicts(faces, targets[groups]))
        if not refused.all():
            return pairs[~refused]
        similar = similar.where(~is_mutual)
    return np.zeros((0, 2), dtype=np.int64)


def _nearest(count: int, similar: Pairs) -> NDArray[np.int64]:
    """Return the most similar group of each group, the first of equals; -1 where none is similar."""
    groups = np.concatenate([similar.first, similar.second])
    neighbors = np.concatenate([similar.second, similar.first])
    order = np.lexsort((neighbors, -np.tile(similar.similarities, 2), groups))
    unique, indices = np.unique(groups[order], return_index=True)
    nearest = np.full(count, -1, dtype=np.int64)
    nearest[unique] = neighbors[order[indices]]
    return nearest


def _means(faces: FaceTable, groups: NDArray[np.int64], targets: NDArray[np.int64]) -> FloatArray:
    """Return the mean embeddings of some groups, ``float32`` of shape ``(len(targets), D)``."""
    from scipy.sparse import csr_array

    row_of = np.full(int(groups.max()) + 1, -1, dtype=np.int64)
    row_of[targets] = np.arange(len(targets))
    indices = np.flatnonzero(row_of[groups] >= 0)
    weights = np.maximum(faces.qualities[indices], np.float32(1e-3))
    rows = csr_array((weights, (row_of[groups[indices]], indices)), shape=(len(targets), faces.count))
    return normalized(np.asarray(rows @ faces.embeddings, dtype=np.float32))


def _largest_first(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, members, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(sizes), dtype=np.int64)
    ranks[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return ranks[members]
