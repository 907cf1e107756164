"""Test videos made from one real clip by moving, cutting and changing its boxes (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CLIP_FRAMES = 275
CLIP_RATE = 29.97
CUTS = (20, 82, 211)
"""First frames of the second, third and fourth shot of the clip, found by eye."""

_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_UPRIGHT = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_QUARTER = struct.pack(">9I", 0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000)


def clip_path(shared: Path) -> Path:
    """Return the path of the real clip."""
    return shared / "data" / "photos" / "probe" / "short_hamilton_clip.mp4"


def last_shot(shared: Path) -> list[NDArray[np.uint8]]:
    """Return the frames of the clip's last shot, with Barack Obama and strangers: each ``(360, 640, 3)``, BGR."""
    capture, frames = cv2.VideoCapture(str(clip_path(shared))), []
    while (result := capture.read())[0]:
        frames.append(np.asarray(result[1], dtype=np.uint8))
    return frames[CUTS[-1] :]


def parse_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and content of each box, without headers."""
    start = 0
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start + 8 : start + size]
        start += size


def build_box(kind: bytes, content: bytes) -> bytes:
    """Return the bytes of a box."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def change_boxes(data: bytes, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    """Rebuild all boxes with a change applied to each, inner boxes first."""
    parts = []
    for kind, content in parse_boxes(data):
        inner = change_boxes(content, change) if kind in _CONTAINERS else content
        parts.append(build_box(*change(kind, inner)))
    return b"".join(parts)


def move_index_first(data: bytes) -> bytes:
    """Move the index before the frames, as for streaming, so that a truncated file is readable."""
    parts = dict(parse_boxes(data))
    shift = len(parts[b"moov"]) + 8

    def move_frames(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        if kind != b"stco":
            return kind, content
        (count,) = struct.unpack_from(">I", content, 4)
        positions = struct.unpack_from(f">{count}I", content, 8)
        return kind, content[:8] + struct.pack(f">{count}I", *(position + shift for position in positions))

    return (
        build_box(b"ftyp", parts[b"ftyp"])
        + change_boxes(build_box(b"moov", parts[b"moov"]), move_frames)
        + b"".join(build_box(kind, content) for kind, content in parse_boxes(data) if kind not in {b"ftyp", b"moov"})
    )


def cut_to_three_shots(data: bytes) -> bytes:
    """Cut the clip to its first three shots: a singer on a stage, a pianist, the singer alone."""
    whole = move_index_first(data)
    return whole[: len(whole) * 45 // 100]


def rotate(data: bytes) -> bytes:
    """Set the display rotation to a quarter turn clockwise."""
    return change_boxes(
        data, lambda kind, content: (kind, content.replace(_UPRIGHT, _QUARTER) if kind == b"tkhd" else content)
    )


def remove_video_track(data: bytes) -> bytes:
    """Remove the video track, so that only the sound remains."""

    def hide_video(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        return (b"free", content) if kind == b"trak" and b"vmhd" in content else (kind, content)

    return change_boxes(data, hide_video)


def shorten_first_frames(data: bytes, first: int) -> bytes:
    """Halve the duration of the first frames, given by their number."""

    def shorten(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        if kind != b"stts":
            return kind, content
        entries, count, step = struct.unpack_from(">III", content, 4)
        if entries != 1 or count != CLIP_FRAMES:
            return kind, content  # the sound's
        return kind, content[:4] + struct.pack(">IIIII", 2, first, step // 2, count - first, step)

    return change_boxes(data, shorten)
