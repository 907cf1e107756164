"""Who is in a video, and when: faces are found in sampled frames, tracked, and identified one track at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster, clustering_thresholds
from facebank.album.scan.scanner import map_parallel
from facebank.errors import UnreadableVideoError
from facebank.media import encode_thumbnail
from facebank.media.video import Frame, Video
from facebank.operations.identify import identified_tracks
from facebank.packs import usable_cores
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import Decision, DecodedPhoto
from facebank.vision.tracking import Track, Tracker, seen_together

if TYPE_CHECKING:
    from facebank.media.video import VideoInfo
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.packs import Thresholds
    from facebank.types import Face, Identity

RATE = 5.0
"""How many frames a second are looked at."""

GLIMPSE = 1
"""A track of so few sightings is no appearance: faces that are none flicker up like this."""

_PIXELS_AT_ONCE = 4_000_000
_THUMBNAIL_SIDE = 256


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """Which frames of a video are analyzed.

    Attributes
    ----------
    rate
        Frames per second; the first one of every shot is added.
    start, end
        In seconds; None for the end of the video.
    thumbnails
        Whether a small picture of each track's best face is kept.
    workers
        How many frames are processed in parallel; None for one per core.
    """

    rate: float = RATE
    start: float = 0.0
    end: float | None = None
    thumbnails: bool = False
    workers: int | None = None

    def seconds(self, info: VideoInfo) -> float | None:
        """Return the length of the part of a video, in seconds; None if unknown."""
        end = info.seconds if self.end is None else min(self.end, info.seconds or self.end)
        return end - self.start if end > self.start else None


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Who is in a video.

    Attributes
    ----------
    info
        What the file states of itself.
    appearances
        In the order in which they begin.
    frames
        How many frames were analyzed.
    shots
        When each shot begins, in seconds.
    glimpses
        How many tracks were too short to count.
    position
        Time of the last decoded frame, in seconds.
    ends_early
        Whether the frames end before the file states.
    """

    info: VideoInfo
    appearances: tuple[Appearance, ...]
    frames: int
    shots: tuple[float, ...]
    glimpses: int
    position: float
    ends_early: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    frame: Frame
    faces: tuple[Face, ...]


DEFAULT_PLAN = VideoPlan()


def identify_video(
    engine: Engine,
    identification: Identification,
    path: Path,
    plan: VideoPlan = DEFAULT_PLAN,
    progress: Progress = SILENT,
) -> VideoReport:
    """Say who is in a video, and when.

    Parameters
    ----------
    engine
        Finds and embeds the faces, with one thread for each network: frames are processed in parallel.
    identification
        The recognizer, as `facebank.FaceBank.identification` returns it.
    path, plan
        The video, and which frames are analyzed.
    progress
        Advanced by the seconds of each frame.

    Raises
    ------
    VideoError
        There is no such video, it cannot be read, or it is too large.
    """
    with Video(path) as video:
        walk = _Walk(Tracker(engine.thresholds.verify), plan)
        progress.begin("Looking for faces", plan.seconds(video.info))
        before = plan.start
        for seen in _looked_at(engine, video, plan):
            walk.take(seen)
            progress.advance(seen.frame.time - before)
            before = seen.frame.time
        if not walk.frames:
            raise UnreadableVideoError(f"{printable(str(path))} has no frame that can be read: use another copy")
        position = video.position if plan.end is None else min(plan.end, video.position)
        walk.close(position)
        decisions = identified_tracks([track.faces for track in walk.kept], identification, seen_together(walk.kept))
        told = list(zip(walk.kept, decisions, strict=True))
        return VideoReport(
            video.info,
            labeled(told, walk.until, engine.thresholds, walk.pictures),
            walk.frames,
            tuple(walk.shots),
            walk.glimpses,
            position,
            plan.end is None and video.ends_early,
        )


class _Walk:
    """Tracks the faces through the frames."""

    def __init__(self, tracker: Tracker, plan: VideoPlan) -> None:
        self._tracker = tracker
        self._plan = plan
        self._last = -1.0
        self._portraits: dict[int, tuple[float, bytes]] = {}
        self.frames = 0
        self.glimpses = 0
        self.kept: list[Track] = []
        self.until: dict[int, float] = {}
        self.shots: list[float] = []

    @property
    def pictures(self) -> dict[int, bytes]:
        """JPEG files of the best faces, by the track's number."""
        return {number: picture for number, (_, picture) in self._portraits.items()}

    def take(self, seen: _Seen) -> None:
        """Continue with the next frame."""
        frame = seen.frame
        if frame.shot >= len(self.shots):
            self.shots.append(frame.time)
        self._settle(self._tracker.follow(frame.time, frame.shot, seen.faces), frame.time)
        if self._plan.thumbnails:
            self._portray(frame)
        self.frames += 1
        self._last = frame.time

    def close(self, position: float) -> None:
        """Finish at a time in seconds."""
        self._settle(self._tracker.finish(), position)
        self.kept.sort(key=lambda track: (track.begun, track.number))

    def _settle(self, ended: list[Track], now: float) -> None:
        """Keep ended tracks; one that was in a shot's last sample lasted until the cut."""
        for track in ended:
            if len(track.sightings) <= GLIMPSE:
                self.glimpses += 1
                self._portraits.pop(track.number, None)
                continue
            last = track.last.time
            self.until[track.number] = min(now, last + 1 / self._plan.rate) if last == self._last else last
            self.kept.append(track)

    def _portray(self, frame: Frame) -> None:
        """Keep a picture of each face that is the best of its track so far."""
        for track in self._tracker.live:
            best = track.best
            if best.time == frame.time and best.face.quality > self._portraits.get(track.number, (-1.0, b""))[0]:
                picture = encode_thumbnail(_as_photo(frame), best.face.box, _THUMBNAIL_SIDE)
                self._portraits[track.number] = best.face.quality, picture


def _looked_at(engine: Engine, video: Video, plan: VideoPlan) -> Iterator[_Seen]:
    """Yield the sampled frames with their faces, processed in parallel."""
    analyzer = engine.analyzer

    def look(frames: list[Frame]) -> list[_Seen]:
        analyzed = analyzer.analyze(map(_as_photo, frames))
        return [_Seen(frame, found.faces) for frame, found in zip(frames, analyzed, strict=True)]

    workers = usable_cores() if plan.workers is None else plan.workers
    for batch in map_parallel(look, _batches(video.sampled(plan.rate, plan.start, plan.end)), workers):
        yield from batch


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Batch a few small frames, whose faces are embedded together; large ones stay alone."""
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) * frame.pixels.size >= 3 * _PIXELS_AT_ONCE or len(batch) >= 4:
            yield batch
            batch = []
    if batch:
        yield batch


def _as_photo(frame: Frame) -> DecodedPhoto:
    """Return a frame as an upright photo."""
    return DecodedPhoto(f"{frame.time:.3f}", np.ascontiguousarray(frame.pixels), "", True, None)


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """A person's track in a video.

    Attributes
    ----------
    track
        The tracked face.
    label
        The person's name; else ``stranger`` or ``uncertain`` with a number, the same for the same face where possible.
    identity
        Who it is, from all frames.
    start, end
        In seconds.
    picture
        A JPEG file of the best face, or None.
    """

    track: Track
    label: str
    identity: Identity
    start: float
    end: float
    picture: bytes | None

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def labeled(
    told: Sequence[tuple[Track, Identity]],
    until: Mapping[int, float],
    thresholds: Thresholds,
    pictures: Mapping[int, bytes],
) -> tuple[Appearance, ...]:
    """Return tracks as labeled appearances.

    Strangers get one label only if their mean faces are as similar as two photos have to be, and never if both are seen
    at the same time. Poor faces stay alone.

    Parameters
    ----------
    told
        Tracks and who they are, in the order in which they begin.
    until
        When each ends in seconds, by its number.
    thresholds
        The pack's.
    pictures
        Of best faces, by the track's number.
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
    """Return whether two tracks are seen at the same time, or one in a frame of the other's."""
    if one.track.shot != other.track.shot:
        return False
    return one.start <= other.track.last.time and other.start <= one.track.last.time
