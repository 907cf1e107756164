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

MOST_FACES = 10_000
"""Faces that are grouped, evenly spaced over the scan; they take a second or two of one core."""

LEAST_FACES = 2
"""Faces that make a person; a single face may be a passer-by or a false detection."""


def album_people(stored: StoredFaces, thresholds: Thresholds) -> FloatArray:
    """Return the mean embedding of each person in a scan.

    Parameters
    ----------
    stored
        The faces of the scan; those below the minimum quality are left out.
    thresholds
        The pack's.

    Returns
    -------
    FloatArray
        L2-normalized, ``float32`` of shape ``(G, D)``, the people with the most faces first.
    """
    good = np.flatnonzero(stored.qualities >= thresholds.minimum_quality)
    if len(good) > MOST_FACES:
        good = good[np.linspace(0, len(good) - 1, MOST_FACES).astype(np.int64)]
    none = np.empty((0, 2), dtype=np.int64)
    embeddings = stored.embeddings[good]
    labels = cluster(
        FaceTable(embeddings, stored.photos[good], stored.qualities[good], none), clustering_thresholds(thresholds)
    )
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    sums = np.zeros((len(sizes), embeddings.shape[1]))
    np.add.at(sums, labels, embeddings * stored.qualities[good, None])
    several = np.flatnonzero(sizes >= LEAST_FACES)
    several = several[np.argsort(-sizes[several], kind="stable")]
    return normalized(sums[several]).astype(np.float32)
