"""Clustering of faces by person.

The first groups are the connected components of the exact neighbor graph, with a threshold that hardly any two people
reach. A group with two faces of one photo holds two people and is split with a stricter threshold. Then groups are
merged whose means are mutual nearest neighbors above a second threshold, which is lower because means are less noisy
than single faces.
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

_LINKING_SHARE = 0.7  # of the progress; most of the rest is the first comparison of means
_STRICTER = 0.02
_STRICTEST = 0.98
_MOST_ROUNDS = 50
_LINKED_ABOVE_VERIFY, _MERGED_ABOVE_VERIFY = 0.30, 0.22
"""Offsets for packs without measured thresholds, from those of other packs (`benchmarks/clustering.py`)."""


@dataclass(frozen=True, slots=True)
class ClusteringThresholds:
    """The similarities from which faces count as one person's."""

    linked: float  # of two faces that are linked, -1..1
    merged: float  # of the means of two groups that are merged, -1..1


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
    photos: NDArray[np.int64]
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
        The similarities from which faces are one person's.
    progress
        Advanced with the fraction of the work that is done, 0..1 in total.

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
    links = pairs_within(faces.embeddings, thresholds.linked, lambda share: progress.advance(_LINKING_SHARE * share))
    groups = _join(faces, links, thresholds.linked)
    return _largest_first(_merge_groups(faces, groups, thresholds.merged, progress))


def _join(faces: FaceTable, links: Pairs, threshold: float) -> NDArray[np.int64]:
    """Return the connected components; those that hold two people are split by stricter thresholds."""
    groups = _components(faces.count, links)
    while threshold < _STRICTEST:
        doubtful = np.isin(groups, _conflicting(faces, groups))
        if not doubtful.any():
            break
        threshold += _STRICTER
        links = links.where(~doubtful[links.first] | (links.similarities >= threshold))
        groups = _components(faces.count, links)
    return groups


def _components(count: int, links: Pairs) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links.first), dtype=np.int8), (links.first, links.second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _conflicting(faces: FaceTable, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups that have two faces of one photo, or a pair of `FaceTable.apart`."""
    order = np.lexsort((faces.photos, groups))
    same = (np.diff(groups[order]) == 0) & (np.diff(faces.photos[order]) == 0)
    apart = groups[faces.apart]
    return np.unique(np.concatenate([groups[order][1:][same], apart[apart[:, 0] == apart[:, 1], 0]]))


def _merge_groups(
    faces: FaceTable, groups: NDArray[np.int64], threshold: float, progress: Progress
) -> NDArray[np.int64]:
    """Merge groups whose means are similar mutual nearest neighbors, unless the result would hold two people.

    All pairs of similar means are found once; after each round, only the pairs of groups that grew are updated.
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
    """Return the pairs of similar means of which at least one is in `kept`, each pair once."""
    numbers = np.flatnonzero(alive)
    found = pairs_between(means[kept], means[numbers], threshold)
    one, other = kept[found.first], numbers[found.second]
    is_first = (one < other) | ~np.isin(other, kept)  # a pair inside `kept` is found twice
    pairs = Pairs(np.minimum(one, other), np.maximum(one, other), found.similarities)
    return pairs.where(is_first & (one != other))


def _next_merges(faces: FaceTable, groups: NDArray[np.int64], count: int, similar: Pairs) -> NDArray[np.int64]:
    """Return the mutual nearest groups that hold one person together, ``int64`` of shape ``(M, 2)``."""
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
    """Return the most similar group of each group, the first of equals; -1 where none is similar."""
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
