"""Whom the tracks of a video show: names, and numbers for strangers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster
from facebank.album.groups.grouping import clustering_thresholds
from facebank.types import Decision

if TYPE_CHECKING:
    from facebank.packs import Thresholds
    from facebank.types import Identity
    from facebank.vision.tracking import Track


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Somebody who is seen for a while.

    Attributes
    ----------
    track
        The face, followed.
    label
        The person's name; for others ``stranger`` or ``uncertain`` with a number, the same for the same face as far as
        can be told.
    identity
        Who it is, from all frames.
    start, end
        From when to when, in seconds.
    picture
        A JPEG file of the best face; None where none was asked for.
    """

    track: Track
    label: str
    identity: Identity
    start: float
    end: float
    picture: bytes | None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def labelled(
    told: Sequence[tuple[Track, Identity]],
    until: Mapping[int, float],
    thresholds: Thresholds,
    pictures: Mapping[int, bytes],
) -> tuple[Appearance, ...]:
    """Give every track its label.

    Strangers are one person only where their mean faces are as much alike as two photos have to be, and never if both
    are seen at the same time. Faces that are not good stay alone.

    Parameters
    ----------
    told
        Tracks and who they are, in the order in which they begin.
    until
        When each ends, by its number.
    thresholds
        The pack's.
    pictures
        Of best faces, by the number of the track.
    """
    found = [
        Appearance(track, "", decision, track.begun, until[track.number], pictures.get(track.number))
        for track, decision in told
    ]
    others = [place for place, each in enumerate(found) if each.identity.person is None]
    groups = _groups([found[place] for place in others], thresholds)
    words = dict[int, str]()
    counts = dict.fromkeys(Decision, 0)
    for group in dict.fromkeys(groups):
        said = {found[place].identity.decision for place, each in zip(others, groups, strict=True) if each == group}
        decision = Decision.UNKNOWN if Decision.UNKNOWN in said else Decision.UNCERTAIN
        counts[decision] += 1
        words[group] = f"{'stranger' if decision is Decision.UNKNOWN else 'uncertain'} {counts[decision]}"
    labels = {place: words[group] for place, group in zip(others, groups, strict=True)}
    return tuple(
        replace(each, label=labels[place] if each.identity.person is None else each.identity.person)
        for place, each in enumerate(found)
    )


def _groups(strangers: Sequence[Appearance], thresholds: Thresholds) -> list[int]:
    if not strangers:
        return []
    # blurred faces in the dark are like each other, whoever they are
    least = (1 + thresholds.minimum_quality) / 2
    poor = [each.track.best.face.quality < least for each in strangers]
    pairs = [
        (one, other)
        for one in range(len(strangers))
        for other in range(one + 1, len(strangers))
        if poor[one] or poor[other] or _together(strangers[one], strangers[other])
    ]
    table = FaceTable(
        np.stack([each.track.mean for each in strangers]),
        np.arange(len(strangers)),
        np.array([each.track.best.face.quality for each in strangers], dtype=np.float32),
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )
    linked = clustering_thresholds(
        thresholds
    ).linked  # the mean of a track is no surer than a photo: one light, one pose
    return [int(group) for group in cluster(table, ClusteringThresholds(linked, linked))]


def _together(one: Appearance, other: Appearance) -> bool:
    """Tell whether two tracks are seen at the same time, or one at least in a frame of the other's."""
    if one.track.shot != other.track.shot:
        return False
    return one.start <= other.track.last.time and other.start <= one.track.last.time
