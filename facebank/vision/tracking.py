"""Tracks faces from frame to frame.

In each frame, every face continues a track or begins one such that the sum of affinities is largest; this assignment
problem is solved exactly. The affinity is the overlap with the track's last box plus the similarity of the faces,
weighted by their quality: for a blurred profile, the position is more reliable than the embedding. Tracks end with
their shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.storage.arrays import normalized, overlaps

if TYPE_CHECKING:
    from facebank.types import Face, FloatArray

MAX_GAP = 1.5
"""Seconds after which a track without a new sighting ends."""

_MIN_AFFINITY = 0.4  # smallest affinity at which a face continues a track
_REACH, _REACH_PER_SECOND = 1.0, 3.0  # largest movement of a face, in multiples of its size
_MAX_SIZE_RATIO = 2.5  # largest ratio of a face's sizes
_MIN_WEIGHT = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A face and its time in the video, in seconds."""

    time: float
    face: Face


@dataclass(slots=True, eq=False)
class Track:
    """One face in successive frames.

    Attributes
    ----------
    number
        Number of the track, from 1 in the order in which tracks begin.
    shot
        Number of its shot.
    sightings
        At least one sighting, in order of time; after `trim`, only the last and the best.
    begun
        Time of the first sighting, in seconds.
    """

    number: int
    shot: int
    sightings: list[Sighting]
    begun: float = field(init=False)
    _sum: FloatArray = field(init=False)
    _best: Sighting = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.sightings[0].time
        self._sum = _weighted_embedding(self.sightings[0].face)
        self._best = max(self.sightings, key=_rank)

    def add(self, sighting: Sighting) -> None:
        """Append a sighting."""
        self.sightings.append(sighting)
        self._sum = self._sum + _weighted_embedding(sighting.face)
        if _rank(sighting) > _rank(self._best):
            self._best = sighting

    @property
    def mean(self) -> FloatArray:
        """The mean embedding, weighted by quality and L2-normalized: ``float32`` of shape ``(dimension,)``."""
        (mean,) = normalized(self._sum[None])
        return np.asarray(mean)

    @property
    def faces(self) -> list[Face]:
        """The faces of all sightings."""
        return [sighting.face for sighting in self.sightings]

    @property
    def last(self) -> Sighting:
        """The last sighting."""
        return self.sightings[-1]

    @property
    def best(self) -> Sighting:
        """The sighting with the best quality, then the largest face, then the earliest time."""
        return self._best  # maintained by `add`, because it is needed in each frame

    def trim(self, limit: int) -> None:
        """Keep at most `limit` sightings: half of them the last ones, half the best of the earlier ones."""
        if len(self.sightings) <= limit:
            return
        last = self.sightings[-(limit - limit // 2) :]
        earlier = self.sightings[: -len(last)]
        best = sorted(earlier, key=lambda sighting: -sighting.face.quality)[: limit // 2]
        self.sightings = sorted(best, key=lambda sighting: sighting.time) + last
        self._best = max(self.sightings, key=_rank)


class Tracker:
    """Tracks faces from frame to frame.

    Parameters
    ----------
    threshold
        The pack's threshold for the similarity of two faces of one person.
    max_gap
        Seconds after which a track without a new sighting ends.

    Raises
    ------
    UsageError
        `threshold` or `max_gap` is not above 0.
    """

    def __init__(self, threshold: float, max_gap: float = MAX_GAP) -> None:
        if threshold <= 0 or max_gap <= 0:
            raise UsageError("threshold and max_gap must be above 0")
        self._threshold = threshold
        self._max_gap = max_gap
        self._live: list[Track] = []
        self._track_count = 0
        self._shot: int | None = None

    @property
    def live(self) -> tuple[Track, ...]:
        """The tracks that may continue."""
        return tuple(self._live)

    def follow(self, time: float, shot: int, faces: Sequence[Face]) -> list[Track]:
        """Add the faces of the next frame; returns the tracks that have ended, in the order in which they began.

        Parameters
        ----------
        time
            Time of the frame in seconds, after the previous one.
        shot
            Number of the shot; tracks do not cross shots.
        faces
            The faces of the frame.
        """
        ended = [track for track in self._live if shot != self._shot or time - track.last.time > self._max_gap]
        self._live = [track for track in self._live if track not in ended]
        self._shot = shot
        continued = dict(self._assign(time, faces))
        for index, face in enumerate(faces):
            sighting = Sighting(time, face)
            if index in continued:
                continued[index].add(sighting)
            else:
                self._track_count += 1
                self._live.append(Track(self._track_count, shot, [sighting]))
        return ended

    def finish(self) -> list[Track]:
        """End all tracks and return them."""
        ended, self._live = self._live, []
        return ended

    def _assign(self, time: float, faces: Sequence[Face]) -> list[tuple[int, Track]]:
        if not faces or not self._live:
            return []
        from scipy.optimize import linear_sum_assignment

        affinities = np.array([[self._affinity(track, time, face) for track in self._live] for face in faces])
        rows, columns = linear_sum_assignment(np.where(affinities >= _MIN_AFFINITY, affinities, 0.0), maximize=True)
        return [
            (int(row), self._live[column])
            for row, column in zip(rows, columns, strict=True)
            if affinities[row, column] >= _MIN_AFFINITY
        ]

    def _affinity(self, track: Track, time: float, face: Face) -> float:
        """Return the evidence that a face continues a track, -1..2."""
        last_box, box = track.last.face.box, face.box
        if not _is_within_reach(last_box, box, time - track.last.time):
            return -1.0
        weight = min(face.quality, track.best.face.quality)
        similarity = float(track.mean @ face.embedding) / self._threshold - 0.5
        return float(overlaps(last_box, box[None])[0]) + weight * float(np.clip(similarity, -1.0, 1.0))


def group_tracks(tracks: Sequence[Track]) -> list[list[int]]:
    """Return groups of tracks that are visible at the same time, as indices; each group has at least two.

    Two tracks are visible at the same time if they are in one shot and each begins before the other's last sighting.
    """
    return group_spans([(track.shot, track.begun, track.last.time) for track in tracks])


def group_spans(spans: Sequence[tuple[int, float, float]]) -> list[list[int]]:
    """Return the groups of `group_tracks` for tracks given as shot, first and last time in seconds."""
    groups = []
    for shot, begun, _ in spans:
        group = [
            index
            for index, (other_shot, first, last) in enumerate(spans)
            if other_shot == shot and first <= begun <= last
        ]
        if len(group) > 1 and group not in groups:
            groups.append(group)
    return groups


def _is_within_reach(last_box: FloatArray, box: FloatArray, seconds: float) -> bool:
    sizes = [float(max(x2 - x1, y2 - y1, 1.0)) for x1, y1, x2, y2 in (last_box, box)]
    distance = float(np.hypot(*((last_box[:2] + last_box[2:]) / 2 - (box[:2] + box[2:]) / 2)))
    reach = max(sizes) * (_REACH + _REACH_PER_SECOND * seconds)
    return distance <= reach and max(sizes) / min(sizes) <= _MAX_SIZE_RATIO


def _rank(sighting: Sighting) -> tuple[float, float]:
    return sighting.face.quality, sighting.face.size


def _weighted_embedding(face: Face) -> FloatArray:
    return np.asarray(face.embedding * max(face.quality, _MIN_WEIGHT), dtype=np.float32)
