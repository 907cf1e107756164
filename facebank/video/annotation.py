"""Annotated videos, and pictures of the best faces of tracks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.sort.entries import folder_name
from facebank.errors import StorageError
from facebank.media import LabelPainter, Mark, draw_marks
from facebank.media.video import Video
from facebank.media.video_writing import VideoFile
from facebank.operations.annotate import make_folder
from facebank.storage.files import face_file_mode, write_file, write_reason
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import DecodedPhoto

if TYPE_CHECKING:
    from facebank.types import FloatArray
    from facebank.video.identify import Appearance, VideoPlan

_TEXT_LINES = 30  # frame height in text lines
_MIN_TEXT_SIZE = 11  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class _Trajectory:
    """The boxes of an appearance at the times of its sightings."""

    appearance: Appearance
    times: FloatArray  # seconds, ``float32`` of shape ``(N,)``
    boxes: FloatArray  # x1, y1, x2, y2 in pixels, ``float32`` of shape ``(N, 4)``

    def mark(self, time: float) -> Mark:
        """Return the mark at a time; the box is interpolated between analyzed frames."""
        box = np.array([np.interp(time, self.times, side) for side in self.boxes.T], dtype=np.float32)
        return Mark(box, None, self.appearance.label, self.appearance.identity.decision)


def annotate_video(
    source: Path,
    appearances: Sequence[Appearance],
    target: Path,
    plan: VideoPlan,
    progress: Progress = SILENT,
) -> None:
    """Write a copy of a video with faces framed and named, without sound.

    Parameters
    ----------
    source, appearances
        The video, which is read again, and its appearances.
    target
        The file to write; see `facebank.media.video_writing.check_target`.
    plan
        The start and end of the part to write.
    progress
        Advanced by the seconds of each frame.

    Raises
    ------
    UsageError
        The target exists; it is not replaced.
    VideoError
        The video cannot be read.
    StorageError
        The target cannot be written.
    """
    trajectories = [_trajectory(appearance) for appearance in appearances]
    with Video(source) as video:
        info = video.info
        painter = LabelPainter(max(_MIN_TEXT_SIZE, min(info.width, info.height) // _TEXT_LINES))
        with VideoFile(target, info.width, info.height, info.rate) as file:
            progress.begin("Drawing", plan.seconds(info))
            first_time, last_time = None, plan.start
            for frame in video.frames(plan.start, plan.end):
                first_time = frame.time if first_time is None else first_time
                marks = [
                    trajectory.mark(frame.time)
                    for trajectory in trajectories
                    if trajectory.appearance.start <= frame.time <= trajectory.appearance.end
                ]
                photo = DecodedPhoto("", np.ascontiguousarray(frame.pixels), "", True, None)
                file.write(frame.time - first_time, draw_marks(photo, marks, painter))
                progress.advance(frame.time - last_time)
                last_time = frame.time


def check_folder(folder: Path) -> None:
    """Raise `StorageError` if a folder cannot be created because it, or a parent, is a file."""
    existing = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    if existing is not None and not existing.is_dir():
        raise StorageError(f"{printable(str(existing))} is a file, not a folder: choose another name")


def write_pictures(appearances: Iterable[Appearance], folder: Path) -> dict[int, Path]:
    """Write each track's best face as a JPEG, named by label and start, and return the paths by track number.

    The folder is created if missing, and no file in it is replaced.

    Raises
    ------
    StorageError
        A picture cannot be written.
    """
    make_folder(folder)
    paths = {}
    for appearance in appearances:
        if appearance.picture is None:
            continue
        start = int(appearance.start)
        stem = f"{folder_name(appearance.label)} {start // 60:02d}m{start % 60:02d}"
        paths[appearance.track.number] = _write_picture(folder, stem, appearance.picture)
    return paths


def _write_picture(folder: Path, stem: str, picture: bytes) -> Path:
    for number in itertools.count(1):
        target = folder / (f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg")
        try:
            write_file(target, picture, mode=face_file_mode(), replace=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError(f"{printable(str(target))} cannot be written: {write_reason(error)}") from error
        break
    return target


def _trajectory(appearance: Appearance) -> _Trajectory:
    sightings = appearance.track.sightings
    times = np.array([sighting.time for sighting in sightings], dtype=np.float32)
    return _Trajectory(appearance, times, np.stack([sighting.face.box for sighting in sightings]))
