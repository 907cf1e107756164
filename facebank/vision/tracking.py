"""Faces followed from frame to frame.

In each frame every face goes on a track or begins one: that which makes the sum of all affinities largest (assignment
problem, solved exactly). Affinity is overlap with where the track was last, plus how alike the faces are, which counts
as much as the two faces are good: of a blurred profile the place says more than the embedding does. Tracks end with
their shot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import Face, FloatArray

PATIENCE = 1.5
"""For how many seconds a face may be out of sight and still be followed."""

_ENOUGH = 0.4
_REACH, _REACH_A_SECOND = 1.0, 3.0  # how far a face gets, in sizes of itself
_LARGEST_CHANGE = 2.5
_LEAST_WEIGHT = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A face at a time.

    Attributes
    ----------
    time
        In seconds.
    face
        As it was found.
    """

    time: float
    face: Face


@dataclass(slots=True, eq=False)
class Track:
    """A face, followed.

    Attributes
    ----------
    number
        From 1, in the order in which tracks begin.
    shot
        The shot that it is in.
    sightings
        In order of time, never none; of a track that is asked to forget, the last ones and the best.
    begun
        When it begins, in seconds.
    """

    number: int
    shot: int
    sightings: list[Sighting]
    begun: float = field(init=False)
    _sum: FloatArray = field(init=False)
    _best: Sighting = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.sightings[0].time
        self._sum = _weighted(self.sightings[0].face)
        self._best = max(self.sightings, key=_goodness)

    def add(self, sighting: Sighting) -> None:
        """Go on with another sighting."""
        self.sightings.append(sighting)
        self._sum = self._sum + _weighted(sighting.face)
        if _goodness(sighting) > _goodness(self._best):
            self._best = sighting

    @property
    def mean(self) -> FloatArray:
        """What the face looks like on the average, L2-normalised, ``(D,)``; better sightings weigh more."""
        length = float(np.linalg.norm(self._sum))
        return np.asarray(self._sum / length if length else self._sum, dtype=np.float32)

    @property
    def faces(self) -> list[Face]:
        """The faces of all sightings."""
        return [sighting.face for sighting in self.sightings]

    @property
    def last(self) -> Sighting:
        """Where it was last."""
        return self.sightings[-1]

    @property
    def best(self) -> Sighting:
        """The sighting of the best quality; of equal ones the largest face, then the first."""
        return self._best  # asked for in each frame: not looked for in all sightings

    def forget(self, kept: int) -> None:
        """Keep so many sightings: the later half of them the last ones, the others the best of the rest."""
        if len(self.sightings) <= kept:
            return
        late = self.sightings[-(kept - kept // 2) :]
        rest = self.sightings[: -len(late)]
        good = sorted(rest, key=lambda each: -each.face.quality.score)[: kept // 2]
        self.sightings = sorted(good, key=lambda each: each.time) + late
        self._best = max(self.sightings, key=_goodness)


class Tracker:
    """Follows faces.

    Parameters
    ----------
    verify
        The similarity at which two good faces are taken for one person's, as the pack states it, above 0.
    patience
        For how many seconds a face may be out of sight.

    Raises
    ------
    UsageError
        One of them is not above 0.
    """

    def __init__(self, verify: float, patience: float = PATIENCE) -> None:
        if verify <= 0 or patience <= 0:
            raise UsageError("a tracker needs a similarity and a patience above 0")
        self._verify = verify
        self._patience = patience
        self._live: list[Track] = []
        self._begun = 0
        self._shot: int | None = None

    @property
    def live(self) -> tuple[Track, ...]:
        """The tracks that may go on."""
        return tuple(self._live)

    def follow(self, time: float, shot: int, faces: Sequence[Face]) -> list[Track]:
        """Take the faces of the next frame.

        Parameters
        ----------
        time
            In seconds, after the one before.
        shot
            The number of the shot; in another than before nobody is followed.
        faces
            What was found in the frame.

        Returns
        -------
        list[Track]
            The tracks that have ended, in the order in which they began.
        """
        ended = [track for track in self._live if shot != self._shot or time - track.last.time > self._patience]
        self._live = [track for track in self._live if track not in ended]
        self._shot = shot
        going_on = dict(self._assigned(time, faces))
        for place, face in enumerate(faces):
            sighting = Sighting(time, face)
            if place in going_on:
                going_on[place].add(sighting)
            else:
                self._begun += 1
                self._live.append(Track(self._begun, shot, [sighting]))
        return ended

    def finish(self) -> list[Track]:
        """End all tracks and return them."""
        ended, self._live = self._live, []
        return ended

    def _assigned(self, time: float, faces: Sequence[Face]) -> list[tuple[int, Track]]:
        if not faces or not self._live:
            return []
        from scipy.optimize import linear_sum_assignment

        affinities = np.array([[self._affinity(track, time, face) for track in self._live] for face in faces])
        rows, columns = linear_sum_assignment(np.where(affinities >= _ENOUGH, affinities, 0.0), maximize=True)
        return [
            (int(row), self._live[column])
            for row, column in zip(rows, columns, strict=True)
            if affinities[row, column] >= _ENOUGH
        ]

    def _affinity(self, track: Track, time: float, face: Face) -> float:
        """Return how much speaks for a face to be the track's: about -1..2."""
        before, box = track.last.face.detection.box, face.detection.box
        if not _within_reach(before, box, time - track.last.time):
            return -1.0
        trust = min(face.quality.score, track.best.face.quality.score)
        likeness = float(track.mean @ face.embedding) / self._verify - 0.5
        return overlap(before, box) + trust * float(np.clip(likeness, -1.0, 1.0))


def seen_together(tracks: Sequence[Track]) -> list[list[int]]:
    """Return the places of tracks that are all there at one time, for each time at which there are several.

    Two tracks are there together when one begins before the other's last sighting, and in no other shot.
    """
    groups = []
    for track in tracks:
        there = [
            place
            for place, other in enumerate(tracks)
            if other.shot == track.shot and other.begun <= track.begun <= other.last.time
        ]
        if len(there) > 1 and there not in groups:
            groups.append(there)
    return groups


def overlap(one: FloatArray, other: FloatArray) -> float:
    """Return the area that two boxes share, as a part of what they cover together, 0..1.

    Parameters
    ----------
    one, other
        x1, y1, x2, y2.
    """
    shared = _area(np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])]))
    together = _area(one) + _area(other) - shared
    return shared / together if together > 0 else 0.0


def _area(box: NDArray[np.float32]) -> float:
    return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))


def _within_reach(before: FloatArray, box: FloatArray, seconds: float) -> bool:
    sizes = [float(max(each[2] - each[0], each[3] - each[1], 1.0)) for each in (before, box)]
    way = float(np.hypot(*((before[:2] + before[2:]) / 2 - (box[:2] + box[2:]) / 2)))
    far = way > max(sizes) * (_REACH + _REACH_A_SECOND * seconds)
    return not far and max(sizes) / min(sizes) <= _LARGEST_CHANGE


def _goodness(sighting: Sighting) -> tuple[float, float]:
    return sighting.face.quality.score, sighting.face.detection.size


def _weighted(face: Face) -> FloatArray:
    return np.asarray(face.embedding * max(face.quality.score, _LEAST_WEIGHT), dtype=np.float32)
