"""Live frames from a camera, a stream, or a file at its own speed.

A thread reads and keeps only the newest frame, so that a slow caller gets fewer frames, never old ones. A stream that
drops is reopened after a pause, which gets longer each time. Messages never contain the user name, password or query of
an address.
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
from facebank.media.video import CutDetector, Frame, Video, VideoLimits, open_capture, silent
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
_LONGEST_STILL = 60.0  # maximum display time of a file's frame, in seconds
_JOINED_WITHIN = 1.0  # seconds; a reader blocked by a dead server ends with the process


class Kind(StrEnum):
    """The kind of a source of frames."""

    CAMERA = "camera"
    STREAM = "stream"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A source of frames: `target` is passed to the decoder, `shown` is the name in messages, without secrets."""

    kind: Kind
    target: str | int
    shown: str


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts and pauses for a stream, in seconds: first and longest pause before it is reopened, and the timeout.

    Each pause is twice the previous one.
    """

    first: float = 1.0
    longest: float = 30.0
    patience: float = 10.0


class Change(StrEnum):
    """A change of a source's state."""

    LOST = "lost"
    RESUMED = "resumed"


def live_source(text: str) -> LiveSource:
    """Parse a source: the number of a camera, a device, an address or a file.

    Raises `UsageError` (an address with a scheme that is not allowed) or `StreamError` (the file or device does not
    exist).
    """
    if text.isdecimal() and len(text) < 4:
        return LiveSource(Kind.CAMERA, int(text), f"camera {int(text)}")
    if is_bucket_url(text):
        raise UsageError(bucket_file_message(text))
    if "://" in text:
        return _address(text)
    if text.lower().startswith(tuple(f"{scheme}:" for scheme in SCHEMES)):
        raise UsageError("the address lacks two slashes: write it as rtsp://HOST/PATH")
    device = _DEVICE.fullmatch(text)
    if device is not None:
        if not Path(text).exists():
            raise StreamError(f"there is no camera {text}")
        return LiveSource(Kind.CAMERA, int(device[1]), text)
    if not text or not os.path.lexists(text):
        source = printable(text) or "an empty text"
        raise StreamError(f"{source} is not a camera, address or file: use 0 for the first camera, or a path")
    return LiveSource(Kind.FILE, os.path.abspath(text), printable(text))  # noqa: PTH100 - resolve() follows links


class LiveVideo:
    """Frames of a source, read by a background thread. Use ``with`` to open and close it.

    Parameters
    ----------
    source
        From `live_source`.
    on_change
        Called in the reader's thread when a stream is lost (with the seconds of the pause) and when it is back (with
        the seconds of the outage).
    waits
        Timeouts and pauses; None for the defaults.

    Attributes
    ----------
    passed_over
        Number of frames that were never requested.
    cut_off
        The file if its frames ended before the stated end, because it is cut off or damaged; else None.
    """

    def __init__(
        self,
        source: LiveSource,
        on_change: Callable[[Change, float], None] | None = None,
        waits: Timeouts | None = None,
    ) -> None:
        self.source = source
        self.passed_over = 0
        self.cut_off: Video | None = None
        self._on_change = on_change
        self._waits = Timeouts() if waits is None else waits
        self._news = Condition()
        self._stop = Event()
        self._newest: Frame | None = None
        self._opened = False
        self._ended = False
        self._error: Exception | None = None
        self._began = 0.0
        self._cuts = CutDetector()
        self._shot = 0
        self._reader = Thread(target=self._read, name="live", daemon=True)

    def __enter__(self) -> Self:
        with silent():
            pass  # before the reader thread starts
        self._began = time.monotonic()
        self._reader.start()
        with self._news:
            while not (self._opened or self._ended):
                self._news.wait(0.2)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._reader.join(_JOINED_WITHIN)

    @property
    def now(self) -> float:
        """Seconds since the source was opened."""
        return time.monotonic() - self._began

    def newest(self, patience: float = 0.5) -> Frame | None:
        """Wait for a frame that was not returned yet, and return it; None on a timeout.

        Raises the error of the reader thread, such as `VideoTooLargeError`.
        """
        with self._news:
            if self._newest is None and not self._ended:
                self._news.wait(patience)
            frame, self._newest = self._newest, None
            if frame is None and self._error is not None:
                raise self._error
        return frame

    def pause(self, seconds: float) -> None:
        """Wait for a number of seconds, or until the source ends."""
        with self._news:
            if seconds > 0:
                self._news.wait_for(lambda: self._ended, seconds)

    @property
    def ended(self) -> bool:
        """Whether a file has ended without an error."""
        return self._ended and self._newest is None and self._error is None

    def _read(self) -> None:
        try:
            if self.source.kind is Kind.FILE:
                self._play()
            else:
                self._receive()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that requests frames
            self._error = error
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _play(self) -> None:
        """Read a file at its own speed."""
        with Video(str(self.source.target)) as video:
            self._report_open()
            for frame in video.frames():
                if self._stop.wait(min(max(0.0, frame.time - self.now), _LONGEST_STILL)):
                    return
                self._keep(frame.pixels[..., ::-1])
            if video.ends_early:
                self.cut_off = video

    def _receive(self) -> None:
        """Read a camera or stream, and reopen it whenever it drops."""
        capture = self._open()
        if capture is None:
            raise StreamError(_cannot_open(self.source))
        self._report_open()
        while capture is not None:
            self._drain(capture)
            capture.release()
            capture = self._opened_again()

    def _report_open(self) -> None:
        with self._news:
            self._opened = True
            self._news.notify_all()

    def _drain(self, capture: VideoCapture) -> None:
        """Read until there are no more frames."""
        while not self._stop.is_set() and capture.grab():
            intact, pixels = capture.retrieve()
            if not intact:
                continue
            _LIMITS.check_size(pixels.shape[1], pixels.shape[0], self.source.shown)
            self._keep(pixels)  # type: ignore[arg-type]

    def _keep(self, pixels: RGBImage) -> None:
        self._shot += self._cuts.is_cut(pixels)
        frame = Frame(self.now, self._shot, np.ascontiguousarray(pixels[..., ::-1]))
        with self._news:
            self.passed_over += self._newest is not None
            self._newest = frame
            self._news.notify_all()

    def _opened_again(self) -> VideoCapture | None:
        """Retry until the source is back; None if reading was stopped."""
        since, wait = self.now, self._waits.first
        while not self._stop.is_set():
            self._report(Change.LOST, wait)
            if self._stop.wait(wait):
                break
            capture = self._open()
            if capture is not None:
                self._report(Change.RESUMED, self.now - since)
                self._cuts, self._shot = CutDetector(), self._shot + 1
                return capture
            wait = min(2 * wait, self._waits.longest)
        return None

    def _open(self) -> VideoCapture | None:
        """Open the source; None if that fails."""
        capture = open_capture(
            self.source.target, timeout=self._waits.patience if self.source.kind is Kind.STREAM else None
        )
        if capture.isOpened():
            return capture
        capture.release()
        return None

    def _report(self, change: Change, seconds: float) -> None:
        if self._on_change is not None:
            self._on_change(change, seconds)


def _address(text: str) -> LiveSource:
    """Return the source of an address; only its host is shown, because a password may be anywhere else."""
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
    return LiveSource(Kind.STREAM, text, printable(f"{parts.scheme}://{host}"))


def _cannot_open(source: LiveSource) -> str:
    if source.kind is Kind.CAMERA:
        return f"{source.shown} cannot be opened: it does not exist, is used by another program, or needs a permission"
    return f"{source.shown} cannot be opened: no answer, access denied, or not a video"
