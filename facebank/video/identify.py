"""Identification of people in videos: faces are detected in sampled frames, tracked, and identified per track."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster, clustering_thresholds
from facebank.album.scan.scanner import map_parallel
from facebank.errors import UnreadableVideoError
from facebank.media import encode_thumbnail
from facebank.media.video import Frame, Video
from facebank.operations.identify import identify_tracks
from facebank.packs import usable_cores
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import Decision, DecodedPhoto
from facebank.vision.tracking import Track, Tracker, group_tracks

if TYPE_CHECKING:
    from facebank.media.video import VideoInfo
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.packs import Thresholds
    from facebank.types import Face, Identity

RATE = 5.0
"""Default number of analyzed frames per second."""

_MIN_SIGHTINGS = 2  # of a track; most false detections are shorter
_BATCH_PIXELS = 4_000_000
_THUMBNAIL_SIDE, _FRAME_SIDE = 256, 320


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """Selection of the analyzed frames of a video.

    Attributes
    ----------
    rate
        Frames per second; the first one of every shot is added.
    start, end
        In seconds from the beginning; None for the end of the video.
    thumbnails
        Whether to store a thumbnail of each track's best face.
    whole_frames
        Whether these thumbnails show the whole frame.
    workers
        Number of frames processed in parallel; None for one per core.
    """

    rate: float = RATE
    start: float = 0.0
    end: float | None = None
    thumbnails: bool = False
    whole_frames: bool = False
    workers: int | None = None

    def seconds(self, info: VideoInfo) -> float | None:
        """Return the length of the part of a video, in seconds; None if unknown."""
        end = info.seconds if self.end is None else min(self.end, info.seconds or self.end)
        return end - self.start if end > self.start else None


@dataclass(frozen=True, slots=True)
class VideoReport:
    """The people in a video.

    Attributes
    ----------
    info
        Properties stated in the file.
    appearances
        The appearances, in the order of their start.
    frames
        Number of analyzed frames.
    shots
        Start of each shot, in seconds.
    short_tracks
        Number of ignored tracks, seen in a single frame.
    position
        Time of the last decoded frame, in seconds.
    ends_early
        Whether the frames end before the stated end.
    """

    info: VideoInfo
    appearances: tuple[Appearance, ...]
    frames: int
    shots: tuple[float, ...]
    short_tracks: int
    position: float
    ends_early: bool


@dataclass(frozen=True, slots=True, eq=False)
class FollowedVideo:
    """The tracked faces of a video; other attributes as in `VideoReport`.

    Attributes
    ----------
    tracks
        The tracks that were not too short, in the order of their start.
    end_times
        End of each track in seconds, by track number.
    pictures
        JPEG thumbnails of the best faces, by track number, if requested by the plan.
    """

    info: VideoInfo
    tracks: tuple[Track, ...]
    end_times: Mapping[int, float]
    pictures: Mapping[int, bytes]
    frames: int
    shots: tuple[float, ...]
    short_tracks: int
    position: float
    ends_early: bool


@dataclass(frozen=True, slots=True, eq=False)
class _AnalyzedFrame:
    frame: Frame
    faces: tuple[Face, ...]


DEFAULT_PLAN = VideoPlan()


def identify_video(
    engine: Engine,
    identification: Callable[[], Identification],
    path: Path,
    plan: VideoPlan = DEFAULT_PLAN,
    progress: Progress = SILENT,
) -> VideoReport:
    """Return the people in a video, with the times of their appearances.

    Parameters
    ----------
    engine
        The engine, with one thread for each network, because frames are processed in parallel.
    identification
        Returns the current identification, such as `facebank.FaceBank.identification`; called at the end.
    path, plan
        The video, and the selection of frames.
    progress
        Advanced by the seconds of each frame.

    Raises
    ------
    VideoError
        The video does not exist, cannot be read, or is too large.
    """
    with Video(path) as video:
        followed = follow_faces(engine, video, plan, progress)
    tracks = followed.tracks
    identities = identify_tracks([track.faces for track in tracks], identification, group_tracks(tracks))
    identified = list(zip(tracks, identities, strict=True))
    return VideoReport(
        followed.info,
        label_tracks(identified, followed.end_times, engine.thresholds, followed.pictures),
        followed.frames,
        followed.shots,
        followed.short_tracks,
        followed.position,
        followed.ends_early,
    )


def follow_faces(engine: Engine, video: Video, plan: VideoPlan, progress: Progress = SILENT) -> FollowedVideo:
    """Return the tracked faces of a video; parameters and errors are those of `identify_video`."""
    collector = _FaceCollector(Tracker(engine.thresholds.verify), plan)
    progress.begin("Looking for faces", plan.seconds(video.info))
    last_time = plan.start
    for analyzed in _analyze_frames(engine, video, plan):
        collector.add(analyzed)
        progress.advance(analyzed.frame.time - last_time)
        last_time = analyzed.frame.time
    if not collector.frames:
        raise UnreadableVideoError(f"{printable(video.info.path)} has no readable frame: use another copy")
    position = video.position if plan.end is None else min(plan.end, video.position)
    collector.close(position)
    return FollowedVideo(
        video.info,
        tuple(collector.tracks),
        collector.end_times,
        collector.pictures,
        collector.frames,
        tuple(collector.shots),
        collector.short_tracks,
        position,
        plan.end is None and video.ends_early,
    )


class _FaceCollector:
    """Tracks faces through the frames of a video."""

    def __init__(self, tracker: Tracker, plan: VideoPlan) -> None:
        self._tracker = tracker
        self._plan = plan
        self._last_time = -1.0
        self._rated_pictures: dict[int, tuple[float, bytes]] = {}  # face quality and picture, by track number
        self.frames = 0
        self.short_tracks = 0
        self.tracks: list[Track] = []
        self.end_times: dict[int, float] = {}
        self.shots: list[float] = []

    @property
    def pictures(self) -> dict[int, bytes]:
        """JPEG thumbnails of the best faces, by track number."""
        return {number: picture for number, (_, picture) in self._rated_pictures.items()}

    def add(self, analyzed: _AnalyzedFrame) -> None:
        """Process the next frame."""
        frame = analyzed.frame
        if frame.shot >= len(self.shots):
            self.shots.append(frame.time)
        self._finish_tracks(self._tracker.follow(frame.time, frame.shot, analyzed.faces), frame.time)
        if self._plan.thumbnails:
            self._update_pictures(frame)
        self.frames += 1
        self._last_time = frame.time

    def close(self, position: float) -> None:
        """Finish all tracks at a time in seconds."""
        self._finish_tracks(self._tracker.finish(), position)
        self.tracks.sort(key=lambda track: (track.begun, track.number))

    def _finish_tracks(self, ended: list[Track], now: float) -> None:
        """Store ended tracks; one seen in the last sample of a shot lasts until the cut."""
        for track in ended:
            if len(track.sightings) < _MIN_SIGHTINGS:
                self.short_tracks += 1
                self._rated_pictures.pop(track.number, None)
                continue
            last = track.last.time
            self.end_times[track.number] = min(now, last + 1 / self._plan.rate) if last == self._last_time else last
            self.tracks.append(track)

    def _update_pictures(self, frame: Frame) -> None:
        """Store a thumbnail of each face that is the best of its track so far."""
        for track in self._tracker.live:
            best = track.best
            if best.time == frame.time and best.face.quality > self._rated_pictures.get(track.number, (-1.0, b""))[0]:
                photo = _as_photo(frame)
                box, side = best.face.box, _THUMBNAIL_SIDE
                if self._plan.whole_frames:
                    box, side = np.array([0, 0, photo.width, photo.height], np.float32), _FRAME_SIDE
                picture = encode_thumbnail(photo, box, side)
                self._rated_pictures[track.number] = best.face.quality, picture


def _analyze_frames(engine: Engine, video: Video, plan: VideoPlan) -> Iterator[_AnalyzedFrame]:
    """Yield the sampled frames with their faces, processed in parallel."""
    analyzer = engine.analyzer

    def analyze_batch(frames: list[Frame]) -> list[_AnalyzedFrame]:
        photos = analyzer.analyze(map(_as_photo, frames))
        return [_AnalyzedFrame(frame, photo.faces) for frame, photo in zip(frames, photos, strict=True)]

    workers = usable_cores() if plan.workers is None else plan.workers
    for batch in map_parallel(analyze_batch, _batches(video.sample(plan.rate, plan.start, plan.end)), workers):
        yield from batch


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Yield batches of small frames, whose faces are embedded together, and large frames one by one."""
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) * frame.pixels.size >= 3 * _BATCH_PIXELS or len(batch) >= 4:
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
        The person's name, else ``stranger`` or ``uncertain`` with a number, equal for equal faces if possible.
    identity
        The identity, from all frames.
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
        """Length in seconds."""
        return self.end - self.start


def label_tracks(
    identified: Sequence[tuple[Track, Identity]],
    end_times: Mapping[int, float],
    thresholds: Thresholds,
    pictures: Mapping[int, bytes],
) -> tuple[Appearance, ...]:
    """Return the appearances of tracks, with labels.

    Strangers share a label only if their mean faces are as similar as required for two photos, and never if both are
    visible at the same time. Poor faces are never grouped.

    Parameters
    ----------
    identified
        Tracks and their identities, in the order of their start.
    end_times
        End of each track in seconds, by track number.
    thresholds
        The pack's thresholds.
    pictures
        Thumbnails of the best faces, by track number.
    """
    appearances = [
        Appearance(
            track, identity.person or "", identity, track.begun, end_times[track.number], pictures.get(track.number)
        )
        for track, identity in identified
    ]
    strangers = [index for index, appearance in enumerate(appearances) if appearance.identity.person is None]
    members: dict[int, list[int]] = {}
    groups = _group_strangers([appearances[index] for index in strangers], thresholds)
    for index, group in zip(strangers, groups, strict=True):
        members.setdefault(group, []).append(index)
    counts = dict.fromkeys(Decision, 0)
    for indices in members.values():
        decisions = {appearances[index].identity.decision for index in indices}
        decision = Decision.UNKNOWN if Decision.UNKNOWN in decisions else Decision.UNCERTAIN
        counts[decision] += 1
        label = f"{'stranger' if decision is Decision.UNKNOWN else 'uncertain'} {counts[decision]}"
        for index in indices:
            appearances[index] = replace(appearances[index], label=label)
    return tuple(appearances)


def _group_strangers(strangers: Sequence[Appearance], thresholds: Thresholds) -> list[int]:
    if not strangers:
        return []
    # blurred, dark faces resemble each other regardless of the person
    min_quality = (1 + thresholds.minimum_quality) / 2
    qualities = np.array([stranger.track.best.face.quality for stranger in strangers], dtype=np.float32)
    separate = [
        (first, second)
        for first in range(len(strangers))
        for second in range(first + 1, len(strangers))
        if min(qualities[first], qualities[second]) < min_quality or _overlap(strangers[first], strangers[second])
    ]
    table = FaceTable(
        np.stack([stranger.track.mean for stranger in strangers]),
        np.arange(len(strangers)),
        qualities,
        np.array(separate, dtype=np.int64).reshape(-1, 2),
    )
    # the mean of a track is not more reliable than a photo: same light and pose
    linked = clustering_thresholds(thresholds).linked
    return [int(group) for group in cluster(table, ClusteringThresholds(linked, linked))]


def _overlap(first: Appearance, second: Appearance) -> bool:
    """Return whether two tracks overlap in time."""
    if first.track.shot != second.track.shot:
        return False
    return first.start <= second.track.last.time and second.start <= first.track.last.time
