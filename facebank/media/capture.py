"""The one door to OpenCV's video decoder: quiet, with limits on what comes through.

FFmpeg and OpenCV write to standard error what goes wrong, the passwords of addresses included; whoever opens a capture
here hears nothing of it and gets an error instead.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from facebank.errors import UnreadableVideoError, UsageError, VideoTooLargeError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from cv2 import VideoCapture

_LOG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_SILENT = "-8"
_NEVER_LOG = 0


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest video that is read.

    Attributes
    ----------
    max_pixels
        Width times height, checked before frames are decoded. To open a file FFmpeg may decode a frame by itself; it
        takes none of more than 268 million pixels.
    max_seconds
        How long it may say that it is, and how long it may turn out to be.
    max_frames
        How many frames it may have.

    Raises
    ------
    UsageError
        If a limit is not above 0.
    """

    max_pixels: int = 40_000_000
    max_seconds: float = 24 * 3600.0
    max_frames: int = 24 * 3600 * 240

    def __post_init__(self) -> None:
        if min(self.max_pixels, self.max_seconds, self.max_frames) <= 0:
            raise UsageError("the limits on a video's pixels, seconds and frames have to be above 0")

    def check_size(self, width: int, height: int, source: str) -> None:
        """Raise `VideoTooLargeError` if frames have too many pixels."""
        if width * height > self.max_pixels:
            raise VideoTooLargeError(
                f"{printable(source)} has frames of {width:,} x {height:,} pixels, the limit is {self.max_pixels:,}; "
                "use a smaller copy"
            )

    def check_length(self, seconds: float, frames: int, source: str) -> None:
        """Raise `VideoTooLargeError` if a video is too long."""
        if seconds > self.max_seconds or frames > self.max_frames:
            raise VideoTooLargeError(
                f"{printable(source)} is longer than {self.max_seconds / 3600:.0f} hours or {self.max_frames:,} "
                "frames, the limits; cut it into parts"
            )


def open_capture(source: str | int, *, timeout: float | None = None) -> VideoCapture:
    """Open a file, an address or a camera; ask ``isOpened()`` of what comes back.

    Parameters
    ----------
    source
        An absolute path, an address, or the number of a camera.
    timeout
        How many seconds to wait for an address, and later for each of its frames.

    Raises
    ------
    UnreadableVideoError
        The path is no text: OpenCV crashes on it.
    """
    import cv2

    if isinstance(source, str) and not is_text(source):
        raise UnreadableVideoError(f"{printable(source)} has a name that is no text (UTF-8): rename it")

    options: list[int] = []
    if timeout is not None:
        milliseconds = max(1, round(timeout * 1000))
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    with silent():
        if isinstance(source, int):
            return cv2.VideoCapture(source)
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)


def is_text(path: str) -> bool:
    """Return whether a path can be given to OpenCV, which wants UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def time_of(capture: VideoCapture) -> float:
    """Return when the frame that was grabbed last is shown, in seconds from the beginning; may be anything."""
    import cv2

    return capture.get(cv2.CAP_PROP_POS_MSEC) / 1000


def size_of(capture: VideoCapture) -> tuple[int, int]:
    """Return width and height of the frames as they are shown, in pixels; 0 where they are not known."""
    import cv2

    return tuple(_whole(capture.get(which)) for which in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))  # type: ignore[return-value]


def length_of(capture: VideoCapture) -> tuple[float, int, float]:
    """Return seconds, frames and frames a second as the file states them; 0 where it does not."""
    import cv2

    rate, frames = capture.get(cv2.CAP_PROP_FPS), _whole(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if not math.isfinite(rate) or rate <= 0:
        return 0.0, frames, 0.0
    return frames / rate, frames, rate


def _whole(number: float) -> int:
    return max(0, round(number)) if math.isfinite(number) else 0


class _Quiet:
    """What keeps FFmpeg and OpenCV quiet; it is the process's, so that all threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._level = _NEVER_LOG
        self._told = False

    def enter(self) -> None:
        """Let OpenCV write nothing until everybody who enters has left."""
        import cv2

        with self._lock:
            if not self._inside:
                self._level = cv2.utils.logging.setLogLevel(_NEVER_LOG)
            self._inside += 1

    def leave(self) -> None:
        """Let OpenCV write as before, if nobody else is inside."""
        import cv2

        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._level)

    def tell_ffmpeg(self) -> None:
        """Have FFmpeg ask the environment, which it does once, when it is first used."""
        import cv2

        with self._lock:
            if self._told:
                return
            before = os.environ.get(_LOG_LEVEL)
            os.environ[_LOG_LEVEL] = _SILENT
            try:
                cv2.VideoCapture(os.devnull, cv2.CAP_FFMPEG, []).release()
            finally:
                if before is None:
                    del os.environ[_LOG_LEVEL]
                else:
                    os.environ[_LOG_LEVEL] = before
            self._told = True


_QUIET = _Quiet()


@contextmanager
def silent() -> Iterator[None]:
    """Let neither FFmpeg nor OpenCV write anything; in any number of threads.

    The first time in a process the environment is changed for a moment, which other threads must not read meanwhile in
    C: who will open videos in threads calls this once before they begin. Where FFmpeg was used before, not by facebank,
    it goes on as it was told then.
    """
    _QUIET.enter()
    try:
        _QUIET.tell_ffmpeg()
        yield
    finally:
        _QUIET.leave()
