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
    """Yield the type and content of each box, without headers."""
    start = 0
    while start + 8 <= len(data):
        size, box_type = struct.unpack_from(">I4s", data, start)
        yield box_type, data[start + 8 : start + size]
        start += size


def build_box(box_type: bytes, content: bytes) -> bytes:
    """Return the bytes of a box."""
    return struct.pack(">I4s", len(content) + 8, box_type) + content


def change_boxes(data: bytes, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    """Rebuild all boxes with a change applied to each, inner boxes first."""
    boxes = []
    for box_type, content in parse_boxes(data):
        inner = change_boxes(content, change) if box_type in _CONTAINERS else content
        boxes.append(build_box(*change(box_type, inner)))
    return b"".join(boxes)


def move_index_first(data: bytes) -> bytes:
    """Move the index before the frames, as for streaming, so that a truncated file is readable."""
    boxes = dict(parse_boxes(data))
    shift = len(boxes[b"moov"]) + 8

    def move_frames(box_type: bytes, content: bytes) -> tuple[bytes, bytes]:
        if box_type != b"stco":
            return box_type, content
        (count,) = struct.unpack_from(">I", content, 4)
        positions = struct.unpack_from(f">{count}I", content, 8)
        return box_type, content[:8] + struct.pack(f">{count}I", *(position + shift for position in positions))

    others = [build_box(*box) for box in parse_boxes(data) if box[0] not in {b"ftyp", b"moov"}]
    moved_index = change_boxes(build_box(b"moov", boxes[b"moov"]), move_frames)
    return build_box(b"ftyp", boxes[b"ftyp"]) + moved_index + b"".join(others)


def cut_to_three_shots(data: bytes) -> bytes:
    """Cut the clip to its first three shots: a singer on a stage, a pianist, the singer alone."""
    whole = move_index_first(data)
    return whole[: len(whole) * 45 // 100]


def rotate(data: bytes) -> bytes:
    """Set the display rotation to a quarter turn clockwise."""
    return change_boxes(
        data,
        lambda box_type, content: (
            box_type,
            content.replace(_UPRIGHT, _QUARTER) if box_type == b"tkhd" else content,
        ),
    )


def remove_video_track(data: bytes) -> bytes:
    """Remove the video track, so that only the sound remains."""

    def hide_video(box_type: bytes, content: bytes) -> tuple[bytes, bytes]:
        return (b"free", content) if box_type == b"trak" and b"vmhd" in content else (box_type, content)

    return change_boxes(data, hide_video)


def shorten_first_frames(data: bytes, frame_count: int) -> bytes:
    """Halve the duration of the first `frame_count` frames."""

    def shorten(box_type: bytes, content: bytes) -> tuple[bytes, bytes]:
        if box_type != b"stts":
            return box_type, content
        entries, count, duration = struct.unpack_from(">III", content, 4)
        if entries != 1 or count != CLIP_FRAMES:
            return box_type, content  # of the sound track
        runs = (frame_count, duration // 2, count - frame_count, duration)
        return box_type, content[:4] + struct.pack(">IIIII", 2, *runs)

    return change_boxes(data, shorten)
