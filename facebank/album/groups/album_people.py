"""Mean embeddings of the people in a scan, whether they have a name or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import FaceTable, cluster, clustering_thresholds
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from facebank.album.scan.scan_file import StoredFaces
    from facebank.packs import Thresholds
    from facebank.types import FloatArray

MAX_FACES = 10_000
"""Maximum number of faces that are grouped, evenly spaced over the scan, because time grows with their square."""

MIN_FACES = 2
"""Minimum number of a person's faces; a single face may be a passer-by or a false detection."""


def album_people(stored: StoredFaces, thresholds: Thresholds) -> FloatArray:
    """Return the mean embedding of each person in a scan.

    Parameters
    ----------
    stored
        The faces of the scan; those below the minimum quality are omitted.
    thresholds
        The pack's thresholds.

    Returns
    -------
    FloatArray
        L2-normalized, ``float32`` of shape ``(G, D)``, the people with the most faces first.
    """
    good = np.flatnonzero(stored.qualities >= thresholds.minimum_quality)
    if len(good) > MAX_FACES:
        good = good[np.linspace(0, len(good) - 1, MAX_FACES).astype(np.int64)]
    no_pairs = np.empty((0, 2), dtype=np.int64)
    embeddings = stored.embeddings[good]
    labels = cluster(
        FaceTable(embeddings, stored.photo_ids[good], stored.qualities[good], no_pairs),
        clustering_thresholds(thresholds),
    )
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    sums = np.zeros((len(sizes), embeddings.shape[1]))
    np.add.at(sums, labels, embeddings * stored.qualities[good, None])
    large = np.flatnonzero(sizes >= MIN_FACES)
    large = large[np.argsort(-sizes[large], kind="stable")]
    return normalized(sums[large]).astype(np.float32)
