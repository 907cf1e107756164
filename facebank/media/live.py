"""Live frames from a camera, a stream, or a file at its own speed.

A thread reads and keeps only the newest frame: a slow caller gets fewer frames, never old ones. A stream that drops is
reopened after a pause, which gets longer each time. Messages never contain the user name, password or query of an
address.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from facebank.errors import StreamError, UsageError
from facebank.media.capture import open_capture, silenced
from facebank.media.cuts import CutDetector
from facebank.media.video import Frame, Video, VideoLimits
from facebank.storage.bucket_urls import bucket_file_message, is_bucket_url
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from cv2 import VideoCapture

    from facebank.types import RGBImage

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp")
"""Allowed schemes of addresses; others, such as FFmpeg's for joining files, are rejected."""

_LIMITS = VideoLimits()
_DEVICE = re.compile(r"/dev/video(\d+)")
_MAX_STILL = 60.0  # maximum display time of a file's frame, in seconds
_JOIN_TIMEOUT = 1.0  # seconds; a reader blocked by a dead server ends with the process


class SourceKind(StrEnum):
    """The kind of a source of frames."""

    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A source of frames."""

    kind: SourceKind
    target: str | int  # passed to the decoder
    label: str  # name in messages, without secrets


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeout and pauses of a connection, in seconds, above 0; each pause is twice the previous one."""

    first_pause: float = 1.0  # before the first attempt to reconnect
    longest_pause: float = 30.0
    timeout: float = 10.0  # for connecting, and for each answer or frame


class StreamChange(StrEnum):
    """A change of a source's state."""

    LOST = "lost"
    RESUMED = "resumed"


def live_source(text: str) -> LiveSource:
    """Return the source for a camera's number, a device, an address or a file.

    Raises `UsageError` (an invalid address, or a scheme that is not allowed) or `StreamError` (the file or device does
    not exist).
    """
    if text.isdecimal() and len(text) < 4:
        return LiveSource(SourceKind.CAMERA, int(text), f"camera {int(text)}")
    if is_bucket_url(text):
        raise UsageError(bucket_file_message(text))
    if "://" in text:
        return _parse_address(text)
    if text.lower().startswith(tuple(f"{scheme}:" for scheme in SCHEMES)):
        raise UsageError("the address lacks two slashes: write it as rtsp://HOST/PATH")
    device = _DEVICE.fullmatch(text)
    if device is not None:
        if not Path(text).exists():
            raise StreamError(f"there is no camera {text}: check that it is connected")
        return LiveSource(SourceKind.CAMERA, int(device[1]), text)
    if not text or not os.path.lexists(text):
        label = printable(text) or "an empty text"
        raise StreamError(f"{label} is not a camera, address or file: use 0 for the first camera, or a path")
    return LiveSource(SourceKind.FILE, os.path.abspath(text), printable(text))  # noqa: PTH100 - resolve() follows links


class LiveVideo:
    """Frames of a source, read by a background thread. Use ``with`` to open and close it.

    Parameters
    ----------
    source
        From `live_source`.
    on_change
        Called in the reader's thread when a stream is lost (with the seconds of the pause) and when it is back (with
        the seconds of the outage).
    timeouts
        Timeouts and pauses; None for the defaults.

    Attributes
    ----------
    skipped_frames
        Number of frames that were never requested.
    truncated_video
        The file if its frames ended before the stated end, because it is cut off or damaged; else None.
    """

    def __init__(
        self,
        source: LiveSource,
        on_change: Callable[[StreamChange, float], None] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.source = source
        self.skipped_frames = 0
        self.truncated_video: Video | None = None
        self._on_change = on_change
        self._timeouts = Timeouts() if timeouts is None else timeouts
        self._changed = Condition()  # guards the newest frame and the end
        self._stop = Event()
        self._newest: Frame | None = None
        self._is_open = False
        self._has_ended = False
        self._error: Exception | None = None
        self._began = 0.0
        self._cuts = CutDetector()
        self._shot = 0
        self._reader = Thread(target=self._read, name="live", daemon=True)

    def __enter__(self) -> Self:
        with silenced():
            pass  # before the reader thread starts
        self._began = time.monotonic()
        self._reader.start()
        with self._changed:
            while not (self._is_open or self._has_ended):
                self._changed.wait(0.2)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._reader.join(_JOIN_TIMEOUT)

    @property
    def now(self) -> float:
        """Seconds since the source was opened."""
        return time.monotonic() - self._began

    def newest(self, timeout: float = 0.5) -> Frame | None:
        """Wait up to `timeout` seconds for a frame that was not returned yet, and return it; None on a timeout.

        Raises the error of the reader thread, such as `VideoTooLargeError`.
        """
        with self._changed:
            if self._newest is None and not self._has_ended:
                self._changed.wait(timeout)
            frame, self._newest = self._newest, None
            if frame is None and self._error is not None:
                raise self._error
        return frame

    def pause(self, seconds: float) -> None:
        """Wait for a number of seconds, or until the source ends."""
        with self._changed:
            if seconds > 0:
                self._changed.wait_for(lambda: self._has_ended, seconds)

    @property
    def has_ended(self) -> bool:
        """Whether a file has ended without an error."""
        return self._has_ended and self._newest is None and self._error is None

    def _read(self) -> None:
        try:
            if self.source.kind is SourceKind.FILE:
                self._play()
            else:
                self._receive()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that requests frames
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _play(self) -> None:
        """Read a file at its own speed."""
        with Video(str(self.source.target)) as video:
            self._report_open()
            for frame in video.frames():
                if self._stop.wait(min(max(0.0, frame.time - self.now), _MAX_STILL)):
                    return
                self._publish(frame.pixels[..., ::-1])
            if video.ends_early:
                self.truncated_video = video

    def _receive(self) -> None:
        """Read a camera or stream, and reopen it whenever it drops."""
        capture = self._open()
        if capture is None:
            raise StreamError(_open_error_message(self.source))
        self._report_open()
        while capture is not None:
            self._drain(capture)
            capture.release()
            capture = self._reopen()

    def _report_open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def _drain(self, capture: VideoCapture) -> None:
        """Read until there are no more frames."""
        while not self._stop.is_set() and capture.grab():
            is_intact, pixels = capture.retrieve()
            if not is_intact:
                continue
            _LIMITS.check_size(pixels.shape[1], pixels.shape[0], self.source.label)
            self._publish(pixels)  # type: ignore[arg-type]

    def _publish(self, pixels: RGBImage) -> None:
        self._shot += self._cuts.is_cut(pixels)
        frame = Frame(self.now, self._shot, np.ascontiguousarray(pixels[..., ::-1]))
        with self._changed:
            self.skipped_frames += self._newest is not None
            self._newest = frame
            self._changed.notify_all()

    def _reopen(self) -> VideoCapture | None:
        """Retry until the source is back; None if reading was stopped."""
        lost_at, pause = self.now, self._timeouts.first_pause
        while not self._stop.is_set():
            self._report(StreamChange.LOST, pause)
            if self._stop.wait(pause):
                break
            capture = self._open()
            if capture is not None:
                self._report(StreamChange.RESUMED, self.now - lost_at)
                self._cuts, self._shot = CutDetector(), self._shot + 1
                return capture
            pause = min(2 * pause, self._timeouts.longest_pause)
        return None

    def _open(self) -> VideoCapture | None:
        """Open the source; None if that fails."""
        capture = open_capture(
            self.source.target, timeout=self._timeouts.timeout if self.source.kind is SourceKind.STREAM else None
        )
        if capture.isOpened():
            return capture
        capture.release()
        return None

    def _report(self, change: StreamChange, seconds: float) -> None:
        if self._on_change is not None:
            self._on_change(change, seconds)


def _parse_address(text: str) -> LiveSource:
    """Return the source for an address; its label is only the host, because a password may be anywhere else."""
    try:
        text.encode()  # OpenCV crashes on text that is not UTF-8
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise UsageError("the address is invalid: write it as rtsp://HOST/PATH") from error
    if parts.scheme.lower() not in SCHEMES or not host:
        raise UsageError(
            f"addresses with {printable(parts.scheme)}:// are not supported: use one of {', '.join(SCHEMES)}"
        )
    if "@" in text.partition(parts.netloc)[2]:
        raise UsageError("the address has an @ after its host: in names and passwords write %40 for @ and %2F for /")
    return LiveSource(SourceKind.STREAM, text, printable(f"{parts.scheme}://{host}"))


def _open_error_message(source: LiveSource) -> str:
    if source.kind is SourceKind.CAMERA:
        return (
            f"{source.label} cannot be opened: check that it is connected, that no other program uses it, and that you "
            "may access it"
        )
    return f"{source.label} cannot be opened: no answer, access denied, or not a video; check the address"
