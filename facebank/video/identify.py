"""Who is in a video, and when: faces are found in sampled frames, followed, and decided a track at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.scan.side_by_side import side_by_side
from facebank.errors import UnreadableVideoError
from facebank.media import encode_thumbnail
from facebank.media.video import Frame, Video
from facebank.operations.identify import identified_tracks
from facebank.packs import usable_cores
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import DecodedPhoto
from facebank.video.people import Appearance, labelled
from facebank.vision.tracking import Track, Tracker, seen_together

if TYPE_CHECKING:
    from facebank.media.video import VideoInfo
    from facebank.operations.engine import Engine
    from facebank.operations.identify import Identification
    from facebank.types import Face

RATE = 5.0
"""How many frames a second are looked at."""

GLIMPSE = 1
"""A track of so few sightings is no appearance: faces that are none flicker up like this."""

_PIXELS_AT_ONCE = 4_000_000
_THUMBNAIL_SIDE = 256


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What is to be looked at.

    Attributes
    ----------
    rate
        How many frames a second; the first one of every shot comes on top.
    start, end
        From when to when, in seconds; None for the end of the video.
    thumbnails
        Whether to keep a small picture of each track's best face.
    workers
        How many frames are looked at at the same time; None for one a processor core.
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
        What the file says of itself.
    appearances
        In the order in which they begin.
    frames
        In how many frames faces were looked for.
    shots
        When each shot begins, in seconds.
    glimpses
        How many tracks were too short to count.
    position
        When the last frame is shown that was decoded, in seconds.
    ends_early
        Whether the frames come to an end before the file says so.
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
    """A frame and the faces in it."""

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
        Finds and embeds the faces. Use one thread a network: frames are processed in parallel.
    identification
        The recognizer, as `facebank.FaceBank.identification` returns it.
    path
        The video.
    plan
        What of it is looked at, and how often.
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
            labelled(told, walk.until, engine.thresholds, walk.pictures),
            walk.frames,
            tuple(walk.shots),
            walk.glimpses,
            position,
            plan.end is None and video.ends_early,
        )


class _Walk:
    """Follows the faces through the frames, and keeps what is told at the end."""

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
        """JPEG files of the best faces, by the number of the track."""
        return {number: picture for number, (_, picture) in self._portraits.items()}

    def take(self, seen: _Seen) -> None:
        """Go on by a frame."""
        frame = seen.frame
        if frame.shot >= len(self.shots):
            self.shots.append(frame.time)
        self._settle(self._tracker.follow(frame.time, frame.shot, seen.faces), frame.time)
        if self._plan.thumbnails:
            self._portray(frame)
        self.frames += 1
        self._last = frame.time

    def close(self, position: float) -> None:
        """Come to the end, which is at a time."""
        self._settle(self._tracker.finish(), position)
        self.kept.sort(key=lambda track: (track.begun, track.number))

    def _settle(self, ended: list[Track], now: float) -> None:
        """Keep tracks that have ended; one that was there in a shot's last sample was there until the cut."""
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
    """Find the faces of the sampled frames, several frames at the same time."""
    analyzer = engine.analyzer

    def look(frames: list[Frame]) -> list[_Seen]:
        analyzed = analyzer.analyze(map(_as_photo, frames))
        return [_Seen(frame, found.faces) for frame, found in zip(frames, analyzed, strict=True)]

    workers = usable_cores() if plan.workers is None else plan.workers
    for batch in side_by_side(look, _batches(video.sampled(plan.rate, plan.start, plan.end)), workers):
        yield from batch


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Put a few frames together, whose faces are embedded at once; large ones stay alone."""
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) * frame.pixels.size >= 3 * _PIXELS_AT_ONCE or len(batch) >= 4:
            yield batch
            batch = []
    if batch:
        yield batch


def _as_photo(frame: Frame) -> DecodedPhoto:
    """Return a frame as a photo that is upright for sure."""
    return DecodedPhoto(f"{frame.time:.3f}", np.ascontiguousarray(frame.pixels), "", True, None)
