"""Frames of video files, by time, safely.

OpenCV decodes (docs/video.md says why): frames come upright, with the times that the file gives them, which need not be
evenly spaced. What a file says of itself is checked before frames are decoded; what it turns out to be, as they are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import UnreadableVideoError, UsageError, VideoNotFoundError, VideoTooLargeError
from facebank.media.capture import VideoLimits, length_of, open_capture, size_of, time_of
from facebank.media.formats import FORMATS, SIGNATURE_BYTES
from facebank.media.shots import CutDetector
from facebank.storage.paths import named_path
from facebank.storage.text import printable, shell_word

if TYPE_CHECKING:
    from typing import Self

    from cv2 import VideoCapture

    from facebank.types import RGBImage

_DEFAULT_LIMITS = VideoLimits()
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"[playlist]", b"<?xml", b"<MPD")
_SEEK_BEFORE = 2.0  # seconds: files that are not evenly spaced are sought by the frame, and missed
_MISSED_SECONDS, _MISSED_FRAMES = 0.25, 3  # how early a whole video may end, by what it says
_ALMOST = 1e-6
_SOONEST = 1 / 1000
_UNDECODED = {b"AV01": "AV1", b"VVC1": "H.266"}
_FIRST_BOXES = (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip", b"pnot")
_MOST_BOXES = 1_000  # whole files have a handful; those in fragments begin with their index


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a file says of itself.

    Attributes
    ----------
    source
        The path as the user gave it.
    width, height
        Of the upright frames in pixels.
    seconds
        How long it is; 0 where it does not say.
    frames
        How many there are, or about so many; 0 where it does not say.
    rate
        Frames a second on the average; 0 where it does not say.
    """

    source: str
    width: int
    height: int
    seconds: float
    frames: int
    rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame.

    Attributes
    ----------
    time
        When it is shown, in seconds from the beginning.
    shot
        The number of the shot it is in, from 0; -1 where shots are not looked for.
    pixels
        RGB ``uint8`` of shape ``(height, width, 3)``, upright.
    """

    time: float
    shot: int
    pixels: RGBImage


class Video:
    """A video file. Use ``with`` to close it.

    Parameters
    ----------
    path
        The file.
    limits
        The largest one that is read.

    Raises
    ------
    VideoNotFoundError
        There is no such file.
    UnreadableVideoError
        It is no video, or it cannot be decoded.
    VideoTooLargeError
        It has more pixels or seconds than the limits allow.
    """

    def __init__(self, path: str | os.PathLike[str], limits: VideoLimits = _DEFAULT_LIMITS) -> None:
        self._path = named_path(path)
        self._limits = limits
        self._name = printable(str(path))
        _check_file(self._path, self._name)
        self._capture = self._opened()
        width, height = size_of(self._capture)
        self.info = VideoInfo(str(path), width, height, *length_of(self._capture))
        limits.check_size(width, height, str(path))
        limits.check_length(self.info.seconds, self.info.frames, str(path))
        self._last_time = 0.0
        self._read = 0
        self._sought = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    @property
    def position(self) -> float:
        """When the frame that was decoded last is shown, in seconds from the beginning."""
        return self._last_time

    @property
    def ends_early(self) -> bool:
        """Whether the frames came to an end well before the file says: it is cut off or damaged there."""
        info = self.info
        if not info.rate or (not self._sought and self._read >= info.frames):
            return False
        spare = max(_MISSED_SECONDS, _MISSED_FRAMES / info.rate)
        return info.seconds - 1 / info.rate - self._last_time > spare

    def sampled(self, rate: float, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Return frames at even times, and the first one of every shot.

        Parameters
        ----------
        rate
            How many a second, at most as many as there are.
        start, end
            From when to when, in seconds; None for the end of the file.

        Yields
        ------
        Frame
            In order. Every frame is decoded and compared with the one before, so that no cut is missed.

        Raises
        ------
        UsageError
            The rate or the times make no sense, or the video ends before `start`.
        UnreadableVideoError
            There is no frame at all.
        VideoTooLargeError
            It turns out to be longer than the limits allow.
        """
        if not 0 < rate <= 1000:
            raise UsageError(f"so many frames a second cannot be looked at: {rate:g}; try 5")
        cuts, shot, due = CutDetector(), 0, start
        for time, pixels in self._decoded(start, end):
            cut = cuts.is_cut(pixels)
            shot += cut
            if cut or time >= due - _ALMOST:
                due = time + 1 / rate if cut else _next_due(due, time, 1 / rate)
                yield Frame(time, shot, pixels[..., ::-1])

    def frames(self, start: float = 0.0, end: float | None = None) -> Iterator[Frame]:
        """Return every frame; shots are not looked for.

        Parameters and errors are those of `sampled`.
        """
        for time, pixels in self._decoded(start, end):
            yield Frame(time, -1, pixels[..., ::-1])

    def _decoded(self, start: float, end: float | None) -> Iterator[tuple[float, RGBImage]]:
        """Decode all frames of a time, as OpenCV has them: blue, green, red."""
        if not (math.isfinite(start) and start >= 0 and (end is None or end > start)):
            raise UsageError("the times have to be 0 or more, and the end after the start")
        if self.info.seconds and start >= self.info.seconds:
            raise UsageError(
                f"{self._name} is {self.info.seconds:.1f} seconds long: there is nothing from {start:g} on"
            )
        self._rewind(start)
        found = False
        for time in self._grabbed():
            if time < start - _ALMOST:
                continue
            if end is not None and time >= end:
                break
            intact, pixels = self._capture.retrieve()
            if intact:
                found = True
                # each frame may say another size
                self._limits.check_size(pixels.shape[1], pixels.shape[0], self.info.source)
                yield time, pixels  # type: ignore[misc]
        if not found:
            what = f"{self._name} has no frame that can be read{_from(start)}"
            raise UnreadableVideoError(f"{what}: {_advice(self._capture, self._path)}")

    def _grabbed(self) -> Iterator[float]:
        """Decode frame after frame; return their times, which rise whatever the file says."""
        first = True
        while self._capture.grab():
            told = time_of(self._capture)
            soonest = self._last_time + (0.0 if first else _SOONEST)
            time = told if math.isfinite(told) and told >= soonest else soonest
            first = False
            self._last_time = time
            self._read += 1
            try:
                self._limits.check_length(time, self._read, self.info.source)
            except VideoTooLargeError:
                self._capture.release()
                raise
            yield time

    def _rewind(self, start: float) -> None:
        """Go to a frame that is not after a time: by seeking where that is right, else to the very first."""
        import cv2

        if self._read or start > _SEEK_BEFORE:
            self._capture.release()
            self._capture = self._opened()
        self._last_time, self._read, self._sought = 0.0, 0, False
        if start <= _SEEK_BEFORE:
            return
        self._capture.set(cv2.CAP_PROP_POS_MSEC, (start - _SEEK_BEFORE) * 1000)
        if self._capture.grab() and 0 < time_of(self._capture) < start:
            self._last_time, self._sought = time_of(self._capture), True
            return
        self._capture.release()
        self._capture = self._opened()

    def _opened(self) -> VideoCapture:
        # absolute: FFmpeg would take what has a colon for an address
        capture = open_capture(os.path.abspath(self._path))  # noqa: PTH100 - resolve() follows links
        if not capture.isOpened():
            if _lacks_index(self._path):
                raise UnreadableVideoError(
                    f"{self._name} is cut off before the end of its index, which an MP4 needs, so that nothing of it "
                    "can be read: use another copy, or try a program that repairs MP4, such as untrunc"
                )
            raise UnreadableVideoError(
                f"{self._name} is no video that can be read: it has no pictures, is cut off before they begin, or is "
                "of an unknown kind"
            )
        return capture


def _next_due(due: float, time: float, step: float) -> float:
    """Return the next of the even times after a frame."""
    return due + step * max(1, math.floor((time - due) / step + 1 + _ALMOST))


def _from(start: float) -> str:
    return f" from {start:g} seconds on" if start else ""


def _advice(capture: VideoCapture, path: Path) -> str:
    """Say what helps with a video of which no frame can be decoded."""
    import cv2

    codec = _UNDECODED.get((int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF).to_bytes(4, "little").upper())
    if codec is None:
        return "use another copy"
    target = path.with_name(f"{path.stem}-h264.mp4")
    line = f"ffmpeg -i {shell_word(str(path))} -c:v libx264 -crf 18 -c:a copy {shell_word(str(target))}"
    return f"its codec is {codec}, which OpenCV does not decode here; convert it: {line}"


def _check_file(path: Path, name: str) -> None:
    """Refuse what is no file, what is empty, and what would make FFmpeg open other files or addresses."""
    try:
        if path.is_dir():
            raise UnreadableVideoError(f"{name} is a folder: name a video in it")
        if not path.exists():
            raise VideoNotFoundError(f"there is no video {name}; check the path")
        if not path.is_file():  # to open a pipe would wait for somebody to write into it
            raise UnreadableVideoError(f"{name} is no file: 'facebank watch' is for cameras and streams")
        str(path).encode("utf-8")
        with path.open("rb") as file:
            head = file.read(SIGNATURE_BYTES)
    except UnicodeEncodeError as error:
        raise UnreadableVideoError(
            f"{name} has a name that is not UTF-8, which the decoder needs: rename it"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableVideoError(f"{name} cannot be read: {reason}") from error
    if not head:
        raise UnreadableVideoError(f"{name} is empty: 0 bytes")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS):
        raise UnreadableVideoError(f"{name} is a list of other videos: name these themselves")
    photo = next((each.name for each in FORMATS if each.name != "GIF" and each.signature.match(head)), None)
    if photo is not None:
        raise UnreadableVideoError(f"{name} is a photo ({photo}): use 'facebank identify'")


def _lacks_index(path: Path) -> bool:
    """Tell whether an MP4 or QuickTime file has pictures and ends before its index does (ISO/IEC 14496-12, 4.2)."""
    pictures, place = False, 0
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            for _ in range(_MOST_BOXES):
                if place >= length:
                    return pictures
                file.seek(place)
                head = file.read(16)
                size, kind = int.from_bytes(head[:4]), head[4:8]
                if size == 1:
                    size = int.from_bytes(head[8:]) if len(head) == 16 else length
                elif size == 0:
                    size = length - place
                whole = size <= length - place
                if (not place and kind not in _FIRST_BOXES) or size < 8 or (whole and kind == b"moov"):
                    return False
                pictures = pictures or kind == b"mdat"
                place += size
    except OSError:
        return False  # it is told as what cannot be opened
    return False
