"""Atomic writing of videos: MPEG-4 without sound."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import StorageError, UsageError, VideoError
from facebank.media.capture import is_utf8, silenced
from facebank.media.video import Video
from facebank.storage.files import face_file_mode, new_file, write_reason
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from cv2 import VideoWriter as Writer

    from facebank.types import RGBImage

SUFFIXES = (".mp4", ".mkv")
_CODEC = "mp4v"  # OpenCV's FFmpeg writes it fast, without a non-free library
_MIN_RATE, _MAX_RATE, _DEFAULT_RATE = 1.0, 120.0, 25.0


def check_target(target: Path, source: Path) -> None:
    """Check in advance that `target` can be written while `source` is read.

    Raises `UsageError` (the suffix is not one of `SUFFIXES`, both are the same file, or the target exists) or
    `StorageError` (its folder does not exist).
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{printable(str(target))} cannot be written: name an annotated video .mp4 or .mkv")
    if not target.parent.is_dir():
        raise StorageError(
            f"{printable(str(target))} cannot be written: there is no folder {printable(str(target.parent))}; create it"
        )
    if not is_utf8(str(target.absolute())):
        raise StorageError(f"{printable(str(target))} cannot be written: its path is not UTF-8; rename it")
    if target.is_dir():
        raise StorageError(f"{printable(str(target))} cannot be written: it is a folder; name a file in it")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{printable(str(target))} is the video itself: choose another file")
    _check_absent(target)


class VideoFile:
    """A video being written atomically: it appears when the ``with`` block ends, or not at all on an error.

    Frames have `width` by `height` pixels; `rate` is in frames per second, 0 for 25. Raises `UsageError` if the target
    exists, and `StorageError` if it cannot be written.
    """

    def __init__(self, target: Path, width: int, height: int, rate: float) -> None:
        import cv2

        _check_absent(target)
        self._target = target
        self._size = (width, height)
        self.rate = min(max(rate, _MIN_RATE), _MAX_RATE) if rate else _DEFAULT_RATE
        self._written = 0
        self._last: RGBImage | None = None
        with ExitStack() as stack:
            try:
                suffix = target.suffix.lower()
                part = stack.enter_context(new_file(target, mode=face_file_mode(), replace=False, suffix=suffix))
            except OSError as error:
                raise _write_error(target, error) from error
            self._part = part.path
            with silenced():
                self._writer: Writer = cv2.VideoWriter(
                    str(self._part.absolute()), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*_CODEC), self.rate, self._size
                )
            if not self._writer.isOpened():
                raise StorageError(
                    f"{printable(str(target))} cannot be written: check the permissions of its folder, the free space "
                    "and the size of the frames"
                )
            self._file = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None = None, *_: object) -> None:
        try:
            with self._file:
                self._repeat_last()
                self._writer.release()
                if error is not None:
                    raise error
                self._check()
        except FileExistsError as failure:
            raise _exists_error(self._target) from failure
        except OSError as failure:
            if failure is error:
                raise
            raise _write_error(self._target, failure) from failure

    def write(self, time: float, pixels: RGBImage) -> None:
        """Add an RGB ``uint8`` picture shown from `time` on, in seconds from the beginning; times must not decrease.

        Frames are evenly spaced in the file: the previous picture is repeated until then.
        """
        while self._last is not None and self._written / self.rate < time - 0.5 / self.rate:
            self._repeat_last()
        self._last = pixels

    def _repeat_last(self) -> None:
        import cv2

        if self._last is None:
            return
        picture = np.ascontiguousarray(self._last[..., ::-1])
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        self._writer.write(picture)
        self._written += 1

    def _check(self) -> None:
        """Read the file back, because the encoder does not report a full disk."""
        problem = f"{printable(str(self._target))} cannot be written: no space left; make room"
        try:
            with Video(self._part) as video:
                if self._target.suffix.lower() == ".mp4" and video.info.frames < self._written:
                    raise StorageError(problem)
        except VideoError as error:
            raise StorageError(problem) from error


def _check_absent(target: Path) -> None:
    if os.path.lexists(target):
        raise _exists_error(target)


def _exists_error(target: Path) -> UsageError:
    return UsageError(f"{printable(str(target))} already exists: choose another name, or remove it first")


def _write_error(target: Path, error: OSError) -> StorageError:
    return StorageError(f"{printable(str(target))} cannot be written: {write_reason(error)}")
