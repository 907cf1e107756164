"""Who nobody has named yet: the unnamed faces of a scan, in groups of one person each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from facebank.album.scan.scan_file import ScanFile, StoredFaces
    from facebank.packs import Thresholds

_LINKED_ABOVE_VERIFY, _MERGED_ABOVE_VERIFY = 0.30, 0.22
"""What packs whose thresholds were measured need (`benchmarks/clustering.py`): for those whose were not."""


@dataclass(frozen=True, slots=True)
class Group:
    """Faces of one person whom nobody has named.

    Attributes
    ----------
    number
        1 is the largest; it stays until faces are grouped again.
    faces
        Numbers of the faces in the scan, the most typical first.
    photos
        In how many photos they are.
    first_taken, last_taken
        When the first and the last of these was taken; None where nothing says. Of the photos that have a camera's
        date, where there are any; else by the files' dates.
    camera_dated
        Whether these are cameras' dates.
    """

    number: int
    faces: tuple[int, ...]
    photos: int
    first_taken: datetime | None
    last_taken: datetime | None
    camera_dated: bool = False


@dataclass(frozen=True, slots=True)
class Grouped:
    """What became of the faces of a scan.

    Attributes
    ----------
    groups
        Largest first.
    named
        How many faces were left out because they are known to the gallery.
    poor
        How many because they are too poor to be compared.
    alone
        How many are in no group, or in one that is too small.
    """

    groups: tuple[Group, ...]
    named: int
    poor: int
    alone: int


def clustering_thresholds(thresholds: Thresholds) -> ClusteringThresholds:
    """Return when a pack's faces are one person's: as its manifest says, else carefully derived."""
    linked, merged = thresholds.linked, thresholds.merged
    return ClusteringThresholds(
        min(thresholds.verify + _LINKED_ABOVE_VERIFY, 1.0) if linked is None else linked,
        min(thresholds.verify + _MERGED_ABOVE_VERIFY, 1.0) if merged is None else merged,
    )


def group_faces(
    scan_file: ScanFile,
    thresholds: Thresholds,
    known: Collection[int],
    *,
    least: int,
    progress: Progress = SILENT,
) -> Grouped:
    """Group the faces of a scan, and remember the groups in it.

    Parameters
    ----------
    scan_file
        Holds the faces.
    thresholds
        The pack's.
    known
        Numbers of the faces whose person is known.
    least
        How many faces make a group.
    progress
        As for `facebank.album.groups.clustering.cluster`.
    """
    stored = scan_file.face_table()
    named = np.isin(stored.ids, np.fromiter(known, dtype=np.int64))
    poor = ~named & (stored.qualities < thresholds.minimum_quality)
    places = np.flatnonzero(~named & ~poor)
    table = _table(stored, places, scan_file.told_apart())
    labels = cluster(table, clustering_thresholds(thresholds), progress)
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    large = np.flatnonzero(sizes >= least)
    numbers = {
        number: [int(stored.ids[place]) for place in _typical_first(stored, places[labels == label])]
        for number, label in enumerate(large.tolist(), 1)
    }
    scan_file.keep_groups(numbers)
    alone = len(places) - int(sizes[large].sum())
    return Grouped(tuple(groups_of(scan_file)), int(named.sum()), int(poor.sum()), alone)


def groups_of(scan_file: ScanFile) -> list[Group]:
    """Return the groups as they were remembered, largest first."""
    groups = list[Group]()
    for number, faces in scan_file.groups().items():
        photos = scan_file.dates_of(faces)
        noted = [when for when, camera_dated in photos if camera_dated and when is not None]
        dates = noted or [when for when, _ in photos if when is not None]
        first, last = min(dates, default=None), max(dates, default=None)
        groups.append(Group(number, tuple(faces), len(photos), first, last, camera_dated=bool(noted)))
    return groups


def _table(stored: StoredFaces, places: NDArray[np.int64], told_apart: list[tuple[int, int]]) -> FaceTable:
    where = {int(face): place for place, face in enumerate(stored.ids[places])}
    pairs = [(where[one], where[other]) for one, other in told_apart if one in where and other in where]
    return FaceTable(
        stored.embeddings[places],
        stored.photos[places],
        stored.qualities[places],
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )


def _typical_first(stored: StoredFaces, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort faces by how near they are to the mean of all, poor ones counting less."""
    weights = stored.qualities[members][:, None]
    mean = (stored.embeddings[members] * weights).sum(axis=0)
    typical = stored.embeddings[members] @ mean * stored.qualities[members]
    return np.asarray(members[np.argsort(-typical, kind="stable")])
