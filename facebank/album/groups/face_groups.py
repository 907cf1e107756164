"""Groups of the unnamed faces of a scan, one person each, stored in the scan."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import FaceTable, cluster, clustering_thresholds
from facebank.errors import GroupNotFoundError, UsageError
from facebank.storage.progress import SILENT, Progress

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from facebank.album.scan.scan_file import ScanFile, StoredFaces
    from facebank.packs import Thresholds

_MAX_APART = 20  # most typical faces of a group that are recorded as different from the faces taken out


@dataclass(frozen=True, slots=True)
class Group:
    """Unnamed faces of one person."""

    number: int  # from 1, the largest; stable until faces are grouped again
    faces: tuple[int, ...]  # numbers of the faces in the scan, the most typical first
    photos: int  # number of their photos
    first_taken: datetime | None  # date of the first photo, by cameras' dates if there are any; None if unknown
    last_taken: datetime | None  # date of the last photo, as for `first_taken`
    camera_dated: bool = False  # whether the dates are cameras'

    @property
    def key(self) -> str:
        """16 hexadecimal digits that identify the set of faces, unlike the number, which is reused."""
        return group_key(self.faces)


@dataclass(frozen=True, slots=True)
class GroupingReport:
    """The groups of a scan, and the numbers of faces outside of them."""

    groups: tuple[Group, ...]  # largest first
    named: int  # faces omitted because they were identified
    poor: int  # faces omitted because of their quality
    alone: int  # faces in groups that are too small

    def select(self, min_faces: int) -> GroupingReport:
        """Return the report with only the groups of at least `min_faces` faces; faces of other groups count as alone.

        Examples
        --------
        >>> group = Group(1, (7, 3), photos=2, first_taken=None, last_taken=None)
        >>> GroupingReport((group,), named=0, poor=0, alone=1).select(3).alone
        3
        """
        large = tuple(group for group in self.groups if len(group.faces) >= min_faces)
        faces_before, faces_after = (sum(len(group.faces) for group in groups) for groups in (self.groups, large))
        return replace(self, groups=large, alone=self.alone + faces_before - faces_after)


def group_faces(
    scan_file: ScanFile,
    thresholds: Thresholds,
    known_ids: Collection[int],
    *,
    min_faces: int,
    progress: Progress = SILENT,
) -> GroupingReport:
    """Group the faces of a scan, and store the groups in it.

    Parameters
    ----------
    scan_file, thresholds
        The scan, and its pack's thresholds.
    known_ids
        Ids in the scan of the faces whose person is known, which are omitted.
    min_faces
        Minimum number of faces in a group.
    progress
        As for `facebank.album.groups.clustering.cluster`.
    """
    stored = scan_file.face_table()
    named = np.isin(stored.face_ids, np.fromiter(known_ids, dtype=np.int64))
    poor = ~named & (stored.qualities < thresholds.minimum_quality)
    indices = np.flatnonzero(~named & ~poor)
    table = _table(stored, indices, scan_file.told_apart())
    labels = cluster(table, clustering_thresholds(thresholds), progress)
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    large = np.flatnonzero(sizes >= min_faces)
    groups = {
        number: [int(stored.face_ids[index]) for index in _typical_first(stored, indices[labels == label])]
        for number, label in enumerate(large.tolist(), 1)
    }
    scan_file.keep_groups(groups)
    alone = len(indices) - int(sizes[large].sum())
    return GroupingReport(tuple(groups_of(scan_file)), int(named.sum()), int(poor.sum()), alone)


def groups_of(scan_file: ScanFile) -> list[Group]:
    """Return the stored groups, largest first."""
    groups = list[Group]()
    for number, face_ids in scan_file.groups().items():
        photo_dates = scan_file.dates_of(face_ids)
        camera_dates = [taken_at for taken_at, camera_dated in photo_dates if camera_dated and taken_at is not None]
        dates = camera_dates or [taken_at for taken_at, _ in photo_dates if taken_at is not None]
        first, last = min(dates, default=None), max(dates, default=None)
        groups.append(Group(number, tuple(face_ids), len(photo_dates), first, last, camera_dated=bool(camera_dates)))
    return groups


def group_key(face_ids: Sequence[int]) -> str:
    """Return the `Group.key` of faces, given by their ids in the scan, in any order.

    Examples
    --------
    >>> group_key([7, 3]) == group_key([3, 7])
    True
    """
    return hashlib.sha256(",".join(map(str, sorted(face_ids))).encode()).hexdigest()[:16]


def faces_of(scan_file: ScanFile, group_number: int, key: str | None = None) -> list[int]:
    """Return the numbers in the scan of the faces of a group, the most typical first.

    Raises `GroupNotFoundError` if the group does not exist, or its `Group.key` is not `key`.
    """
    face_ids = _faces_in(scan_file.groups(), group_number)
    if key is not None and key != group_key(face_ids):
        raise GroupNotFoundError(
            f"group {group_number} has changed because faces were grouped again: list the groups again"
        )
    return face_ids


def _faces_in(groups: Mapping[int, list[int]], group_number: int) -> list[int]:
    if group_number not in groups:
        raise GroupNotFoundError(f"there is no group {group_number}: 'facebank cluster' lists the groups")
    return groups[group_number]


def no_face_left_error(group_number: int) -> UsageError:
    """Return the error for leaving out all faces of a group."""
    return UsageError(f"no face of group {group_number} would remain: leave out fewer faces")


def _table(stored: StoredFaces, indices: NDArray[np.int64], told_apart: list[tuple[int, int]]) -> FaceTable:
    row_of = {int(face_id): row for row, face_id in enumerate(stored.face_ids[indices])}
    pairs = [(row_of[first], row_of[second]) for first, second in told_apart if {first, second} <= row_of.keys()]
    return FaceTable(
        stored.embeddings[indices],
        stored.photo_ids[indices],
        stored.qualities[indices],
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )


def _typical_first(stored: StoredFaces, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort faces by similarity to the mean of all, weighted by quality."""
    weights = stored.qualities[members][:, None]
    mean = (stored.embeddings[members] * weights).sum(axis=0)
    typical = stored.embeddings[members] @ mean * stored.qualities[members]
    return np.asarray(members[np.argsort(-typical, kind="stable")])


@dataclass(frozen=True, slots=True)
class GroupSplit:
    """The division of a group with faces of several people; faces are their ids in the scan."""

    before: tuple[int, ...]  # all faces of the group, the most typical first
    kept: tuple[int, ...]  # the faces that stayed
    taken: tuple[int, ...]  # the faces taken out, which became a new group
    told_apart: tuple[tuple[int, int], ...]  # newly recorded pairs of faces of different people


def split_group(scan_file: ScanFile, group_number: int, taken_ids: Collection[int]) -> GroupSplit:
    """Move faces of a group, given by their ids, to a new group, and record that they are another person's.

    Raises `GroupNotFoundError` (the group does not exist) or `UsageError` (all of its faces would be taken out).
    """
    groups = scan_file.groups()
    face_ids = _faces_in(groups, group_number)
    kept = tuple(face_id for face_id in face_ids if face_id not in taken_ids)
    taken = tuple(face_id for face_id in face_ids if face_id in taken_ids)
    if not kept:
        raise no_face_left_error(group_number)
    new_pairs = scan_file.tell_apart(product(kept[:_MAX_APART], taken))
    if taken:
        scan_file.keep_groups({**groups, group_number: kept, max(groups) + 1: taken})
    return GroupSplit(tuple(face_ids), kept, taken, tuple(new_pairs))


def rejoin_group(scan_file: ScanFile, split: GroupSplit) -> bool:
    """Undo `split_group`, and return whether anything changed; the groups stay if faces were grouped again since."""
    is_changed = scan_file.withdraw_apart(split.told_apart) > 0
    groups = scan_file.groups()
    group, other = (
        next((number for number, face_ids in groups.items() if set(face_ids) == set(part)), None)
        for part in (split.kept, split.taken)
    )
    if group is None or other is None:
        return is_changed
    del groups[other]
    scan_file.keep_groups({**groups, group: split.before})
    return True


def parse_face(text: str, groups: Mapping[int, Sequence[int]]) -> int:
    """Return the number in the scan of a face as the contact sheet names it: ``3.2``, or ``3`` for ``3.1``.

    Raises `UsageError` if there is no such face.

    Examples
    --------
    >>> parse_face("3.2", {3: [41, 17]})
    17
    """
    number, _, position = text.partition(".")
    position = position or "1"
    if number.isdecimal() and position.isdecimal():
        face_ids = groups.get(int(number), ())
        if 1 <= int(position) <= len(face_ids):
            return face_ids[int(position) - 1]
    raise UsageError(
        f"there is no face {text!r}: name faces as the contact sheet does, such as 3.2 for the second of group 3"
    )
