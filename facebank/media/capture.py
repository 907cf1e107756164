"""Opening of OpenCV's video decoder without its messages.

FFmpeg and OpenCV write errors to standard error, including passwords of addresses. `open_capture` is the only function
that opens their decoder; it suppresses that output.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from facebank.errors import UnreadableVideoError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from cv2 import VideoCapture

_LOG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
_SILENT = "-8"
_NEVER_LOG = 0


def open_capture(source: str | int, *, timeout: float | None = None) -> VideoCapture:
    """Return a capture of an absolute path, an address or a camera number; check ``isOpened()``.

    `timeout` is the timeout in seconds for opening an address, and later for each frame. Raises
    `UnreadableVideoError` if the path is not UTF-8, which crashes OpenCV.
    """
    import cv2

    if isinstance(source, str):
        check_utf8(source, source)
    options: list[int] = []
    if timeout is not None:
        milliseconds = max(1, round(timeout * 1000))
        options = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    with silenced():
        if isinstance(source, int):
            return cv2.VideoCapture(source)
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)


def check_utf8(path: str, label: str) -> None:
    """Raise `UnreadableVideoError` for a path that is not UTF-8; `label` is its name in messages."""
    if not is_utf8(path):
        raise UnreadableVideoError(
            f"{printable(label)} has a name that is not UTF-8, which the decoder needs: rename it"
        )


def is_utf8(path: str) -> bool:
    """Return whether a path can be passed to OpenCV, which needs UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Silencer:
    """Suppresses the messages of FFmpeg and OpenCV in the whole process, for any number of threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._level = _NEVER_LOG
        self._has_silenced_ffmpeg = False

    def enter(self) -> None:
        """Silence OpenCV until all threads that entered have left."""
        import cv2

        with self._lock:
            if not self._users:
                self._level = cv2.utils.logging.setLogLevel(_NEVER_LOG)
            self._users += 1

    def leave(self) -> None:
        """Restore OpenCV's log level once all threads that entered have left."""
        import cv2

        with self._lock:
            self._users -= 1
            if not self._users:
                cv2.utils.logging.setLogLevel(self._level)

    def silence_ffmpeg(self) -> None:
        """Make FFmpeg read its log level from the environment, which it does only on first use."""
        import cv2

        with self._lock:
            if self._has_silenced_ffmpeg:
                return
            level = os.environ.get(_LOG_LEVEL)
            os.environ[_LOG_LEVEL] = _SILENT
            try:
                cv2.VideoCapture(os.devnull, cv2.CAP_FFMPEG, []).release()
            finally:
                if level is None:
                    del os.environ[_LOG_LEVEL]
                else:
                    os.environ[_LOG_LEVEL] = level
            self._has_silenced_ffmpeg = True


_SILENCER = _Silencer()


@contextmanager
def silenced() -> Iterator[None]:
    """Silence FFmpeg and OpenCV, in any number of threads.

    The first call in a process changes the environment briefly; other threads must not read it in C meanwhile, so call
    this once before threads open videos. If other code has used FFmpeg before, FFmpeg keeps its log level.
    """
    _SILENCER.enter()
    try:
        _SILENCER.silence_ffmpeg()
        yield
    finally:
        _SILENCER.leave()
