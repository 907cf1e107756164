"""Safe reading of video frames, by time.

OpenCV decodes (for the reasons see docs/video.md): frames are upright, with the times stated in the file, which may be
unevenly spaced. The stated size and length are checked before frames are decoded, the actual ones with each frame.

Shots are detected by `facebank.media.cuts`, and the decoder is opened by `facebank.media.capture`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import UnreadableVideoError, UsageError, VideoNotFoundError, VideoTooLargeError
from facebank.media.capture import check_utf8, open_capture
from facebank.media.cuts import CutDetector
from facebank.media.formats import FORMATS, SIGNATURE_BYTES
from facebank.storage.files import read_reason
from facebank.storage.paths import named_path
from facebank.storage.text import printable, shell_word

if TYPE_CHECKING:
    from io import BufferedReader
    from typing import Self

    from cv2 import VideoCapture

    from facebank.types import RGBImage

_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"[playlist]", b"<?xml", b"<MPD")
_SEEK_BEFORE = 2.0  # seconds: in unevenly spaced files OpenCV seeks by frame number and overshoots
_MISSED_SECONDS, _MISSED_FRAMES = 0.25, 3  # an intact video may end this long before its stated end
_TOLERANCE = 1e-6
_MIN_STEP = 1 / 1000
_UNSUPPORTED_CODECS = {b"AV01": "AV1", b"VVC1": "H.266"}
_FIRST_BOXES = (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip", b"pnot")
_MAX_BOXES = 1_000  # intact files have a few; fragmented ones begin with their index


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """Limits on the size of videos; raises `UsageError` if a limit is not above 0."""

    # width times height, checked before frames are decoded. FFmpeg may decode one frame on opening, of at most
    # 268 million pixels.
    max_pixels: int = 40_000_000
    max_seconds: float = 24 * 3600.0  # stated and actual duration
    max_frames: int = 24 * 3600 * 240  # stated and actual number of frames

    def __post_init__(self) -> None:
        if min(self.max_pixels, self.max_seconds, self.max_frames) <= 0:
            raise UsageError("the limits on a video's pixels, seconds and frames must be above 0")

    def check_size(self, width: int, height: int, label: str) -> None:
        """Raise `VideoTooLargeError` if frames have too many pixels."""
        if width * height > self.max_pixels:
            raise VideoTooLargeError(
                f"{printable(label)} has frames of {width:,} x {height:,} pixels, the limit is {self.max_pixels:,}; "
                "use a smaller copy"
            )

    def check_length(self, seconds: float, frames: int, label: str) -> None:
        """Raise `VideoTooLargeError` if a video is too long."""
        if seconds > self.max_seconds or frames > self.max_frames:
            raise VideoTooLargeError(
                f"{printable(label)} is longer than {_format_duration(self.max_seconds)} or {self.max_frames:,} "
                "frames, the limits; cut it into parts"
            )


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video's properties as stated in its file; 0 if not stated."""

    path: str
    width: int  # of the upright frames, in pixels
    height: int  # of the upright frames, in pixels
    seconds: float  # duration
    frames: int  # number of frames
    rate: float  # mean number of frames per second


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One upright frame."""

    time: float  # seconds from the beginning
    shot: int  # number of its shot, from 0; -1 if shots are not detected
    pixels: RGBImage  # ``uint8`` of shape ``(height, width, 3)``


class Video:
    """A video file, closed by ``with``.

    Raises `VideoNotFoundError` (the file does not exist), `UnreadableVideoError` (not a video, or it cannot be decoded)
    or `VideoTooLargeError` (it has more pixels or seconds than the limits allow).

    Parameters
    ----------
    path
        The file.
    limits
        Limits on the size; None for the defaults.
    opened
        The open file, which is decoded even if another file takes its path meanwhile; needs a system with paths of
        open files, such as Linux. None to open the path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        limits: VideoLimits | None = None,
        opened: BufferedReader | None = None,
    ) -> None:
        self._path = named_path(path)
        self._decoded_path = self._path if opened is None else path_of_open_file(opened, self._path)
        self._limits = limits = limits or VideoLimits()
        self._label = printable(str(path))
        _check_file(self._decoded_path, self._label)
        self._capture = self._open_capture()
        self.info = VideoInfo(str(path), *_properties(self._capture))
        limits.check_size(self.info.width, self.info.height, str(path))
        limits.check_length(self.info.seconds, self.info.frames, str(path))
        self._last_time = 0.0
        self._read_count = 0
        self._has_sought = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    @property
    def position(self) -> float:
        """Time of the last decoded frame, in seconds from the beginning."""
        return self._last_time

    @property
    def ends_early(self) -> bool:
        """Whether the frames ended well before the stated end: the file is cut off or damaged there."""
        info = self.info
        if not info.rate or (not self._has_sought and self._read_count >= info.frames):
            return False
        tolerance = max(_MISSED_SECONDS, _MISSED_FRAMES / info.rate)
        return info.seconds - 1 / info.rate - self._last_time > tolerance

    def sample(self, rate: float, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Yield frames at even times and the first frame of every shot, in order.

        Every frame is decoded and compared with the previous one to detect cuts. Raises `UsageError` (the rate
        or the times are invalid, or the video ends before `start`), `UnreadableVideoError` (there are no frames)
        or `VideoTooLargeError` (it is longer than the limits allow).

        Parameters
        ----------
        rate
            Frames per second, limited by the video's own rate.
        start, end
            Seconds from the beginning; None for the end of the file.
        """
        if not 0 < rate <= 1000:
            raise UsageError(
                f"the number of frames per second must be above 0 and at most 1000, such as 5, not {rate:g}"
            )
        cuts, shot, due = CutDetector(), 0, start
        for time, pixels in self._decode(start, end):
            is_cut = cuts.is_cut(pixels)
            shot += is_cut
            if is_cut or time >= due - _TOLERANCE:
                due = time + 1 / rate if is_cut else _next_due(due, time, 1 / rate)
                yield Frame(time, shot, pixels[..., ::-1])

    def frames(self, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Yield every frame without detecting shots; raises the errors of `sample`."""
        for time, pixels in self._decode(start, end):
            yield Frame(time, -1, pixels[..., ::-1])

    def _decode(self, start: float, end: float | None) -> Iterator[tuple[float, RGBImage]]:
        """Yield times and frames in OpenCV's channel order, BGR."""
        if not (math.isfinite(start) and start >= 0 and (end is None or end > start)):
            raise UsageError("the start must be 0 seconds or more, and the end must be after the start")
        if self.info.seconds and start >= self.info.seconds:
            raise UsageError(f"{self._label} is {self.info.seconds:.1f} seconds long: choose a start before {start:g}")
        self._seek(start)
        has_frames = False
        for time in self._grab_frames():
            if time < start - _TOLERANCE:
                continue
            if end is not None and time >= end:
                break
            is_intact, pixels = self._capture.retrieve()
            if is_intact:
                has_frames = True
                # the size may change with each frame
                self._limits.check_size(pixels.shape[1], pixels.shape[0], self.info.path)
                yield time, pixels  # type: ignore[misc]
        if not has_frames:
            problem = f"{self._label} has no readable frame{_start_text(start)}"
            raise UnreadableVideoError(f"{problem}: {_advice(self._capture, self._path)}")

    def _grab_frames(self) -> Iterator[float]:
        """Grab frames and yield their times, corrected to increase if the file's do not."""
        is_first = True
        while self._capture.grab():
            stated = _time_of(self._capture)
            earliest = self._last_time + (0.0 if is_first else _MIN_STEP)
            time = stated if math.isfinite(stated) and stated >= earliest else earliest
            is_first = False
            self._last_time = time
            self._read_count += 1
            try:
                self._limits.check_length(time, self._read_count, self.info.path)
            except VideoTooLargeError:
                self._capture.release()
                raise
            yield time

    def _seek(self, start: float) -> None:
        """Go to a frame before a time by seeking, or to the first frame if seeking fails."""
        import cv2

        if self._read_count or start > _SEEK_BEFORE:
            self._capture.release()
            self._capture = self._open_capture()
        self._last_time, self._read_count, self._has_sought = 0.0, 0, False
        if start <= _SEEK_BEFORE:
            return
        self._capture.set(cv2.CAP_PROP_POS_MSEC, (start - _SEEK_BEFORE) * 1000)
        if self._capture.grab() and 0 < _time_of(self._capture) < start:
            self._last_time, self._has_sought = _time_of(self._capture), True
            return
        self._capture.release()
        self._capture = self._open_capture()

    def _open_capture(self) -> VideoCapture:
        # absolute, because FFmpeg treats a relative name with a colon as an address
        capture = open_capture(os.path.abspath(self._decoded_path))  # noqa: PTH100 - resolve() follows links
        if not capture.isOpened():
            if _lacks_index(self._decoded_path):
                raise UnreadableVideoError(
                    f"{self._label} is cut off before the end of its index, without which an MP4 cannot be read: "
                    "use another copy, or try a program that repairs MP4, such as untrunc"
                )
            raise UnreadableVideoError(
                f"{self._label} is not a readable video: it has no frames, is cut off before the first one, or "
                "has an unknown format; use another copy"
            )
        return capture


def path_of_open_file(opened: BufferedReader, path: Path) -> Path:
    """Return a path that names an open file while it is open; `path` if the system does not support this."""
    path_of_descriptor = Path(f"/proc/self/fd/{opened.fileno()}")
    try:
        is_same = os.path.samestat(path_of_descriptor.stat(), os.fstat(opened.fileno()))
    except OSError:
        return path
    return path_of_descriptor if is_same else path


def _next_due(due: float, time: float, step: float) -> float:
    """Return the first of the evenly spaced times after a frame."""
    return due + step * max(1, math.floor((time - due) / step + 1 + _TOLERANCE))


def _format_duration(seconds: float) -> str:
    return f"{seconds / 3600:g} hours" if seconds >= 3600 else f"{seconds:g} seconds"


def _start_text(start: float) -> str:
    return f" from {start:g} seconds on" if start else ""


def _advice(capture: VideoCapture, path: Path) -> str:
    """Return advice for a video without decodable frames."""
    import cv2

    codec = _UNSUPPORTED_CODECS.get((int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little").upper())
    if codec is None:
        return "use another copy"
    target = path.with_name(f"{path.stem}-h264.mp4")
    command = f"ffmpeg -i {shell_word(str(path))} -c:v libx264 -crf 18 -c:a copy {shell_word(str(target))}"
    return f"its codec is {codec}, which OpenCV does not decode here; convert it: {command}"


def _check_file(path: Path, label: str) -> None:
    """Raise `VideoError` for missing, empty and irregular files, and playlists, which make FFmpeg open other files."""
    try:
        if path.is_dir():
            raise UnreadableVideoError(f"{label} is a folder: name a video in it")
        if not path.exists():
            raise VideoNotFoundError(f"there is no video {label}; check the path")
        if not path.is_file():  # opening a pipe would wait for a writer
            raise UnreadableVideoError(f"{label} is not a file: use 'facebank watch' for cameras and streams")
        check_utf8(str(path), label)
        with path.open("rb") as file:
            head = file.read(SIGNATURE_BYTES)
    except (OSError, ValueError) as error:
        raise UnreadableVideoError(f"{label} cannot be read: {read_reason(error)}") from error
    if not head:
        raise UnreadableVideoError(f"{label} is empty: use another copy")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS):
        raise UnreadableVideoError(f"{label} is a playlist: name the videos themselves")
    for photo_format in FORMATS:
        if photo_format.name != "GIF" and photo_format.signature.match(head):
            raise UnreadableVideoError(f"{label} is a photo ({photo_format.name}): use 'facebank identify'")


def _lacks_index(path: Path) -> bool:
    """Return whether an MP4 or QuickTime file has frames and ends before its index (ISO/IEC 14496-12, 4.2)."""
    has_frames, position = False, 0
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            for _ in range(_MAX_BOXES):
                if position >= length:
                    return has_frames
                file.seek(position)
                head = file.read(16)
                size, kind = int.from_bytes(head[:4]), head[4:8]
                if size == 1:
                    size = int.from_bytes(head[8:]) if len(head) == 16 else length
                elif size == 0:
                    size = length - position
                is_complete = size <= length - position
                if (not position and kind not in _FIRST_BOXES) or size < 8 or (is_complete and kind == b"moov"):
                    return False
                has_frames = has_frames or kind == b"mdat"
                position += size
    except OSError:
        return False  # opening it reports the error
    return False


def _time_of(capture: VideoCapture) -> float:
    """Return the time of the last grabbed frame, in seconds from the beginning; unchecked."""
    import cv2

    return capture.get(cv2.CAP_PROP_POS_MSEC) / 1000


def _properties(capture: VideoCapture) -> tuple[int, int, float, int, float]:
    """Return width and height of the upright frames, seconds, frames and frames per second; 0 if not stated."""
    import cv2

    width, height, frames, rate = (
        max(0.0, value) if math.isfinite(value := capture.get(key)) else 0.0
        for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS)
    )
    return round(width), round(height), round(frames) / rate if rate else 0.0, round(frames), rate
