"""Test videos made from one real clip by moving, cutting and changing its boxes (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

CLIP_FRAMES = 275
CLIP_RATE = 29.97
CUTS = (20, 82, 211)
"""First frames of the second, third and fourth shot of the clip, found by eye."""

_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_UPRIGHT = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_QUARTER = struct.pack(">9I", 0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000)


def clip_of(shared: Path) -> Path:
    """Return the path of the clip."""
    return shared / "data" / "photos" / "probe" / "short_hamilton_clip.mp4"


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and content of each box, without headers."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def box(kind: bytes, content: bytes) -> bytes:
    """Return the bytes of a box."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def changed(data: bytes, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    """Rebuild all boxes with a change applied to each, inner boxes first."""
    parts = []
    for kind, content in boxes(data):
        inner = changed(content, change) if kind in _CONTAINERS else content
        parts.append(box(*change(kind, inner)))
    return b"".join(parts)


def streamable(data: bytes) -> bytes:
    """Move the index before the frames, as for streaming, so that a truncated file is readable."""
    parts = dict(boxes(data))
    shift = len(parts[b"moov"]) + 8

    def moved(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        if kind != b"stco":
            return kind, content
        (count,) = struct.unpack_from(">I", content, 4)
        places = struct.unpack_from(f">{count}I", content, 8)
        return kind, content[:8] + struct.pack(f">{count}I", *(place + shift for place in places))

    return (
        box(b"ftyp", parts[b"ftyp"])
        + changed(box(b"moov", parts[b"moov"]), moved)
        + b"".join(box(kind, content) for kind, content in boxes(data) if kind not in {b"ftyp", b"moov"})
    )


def beginning(data: bytes) -> bytes:
    """Cut the clip to its first three shots: a singer on a stage, a pianist, the singer alone."""
    whole = streamable(data)
    return whole[: len(whole) * 45 // 100]


def turned(data: bytes) -> bytes:
    """Set the display rotation to a quarter turn clockwise."""
    return changed(
        data, lambda kind, content: (kind, content.replace(_UPRIGHT, _QUARTER) if kind == b"tkhd" else content)
    )


def without_pictures(data: bytes) -> bytes:
    """Remove the video track, so that only the sound remains."""

    def hidden(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        return (b"free", content) if kind == b"trak" and b"vmhd" in content else (kind, content)

    return changed(data, hidden)


def unevenly(data: bytes, first: int) -> bytes:
    """Halve the duration of the first frames."""

    def stretched(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
        if kind != b"stts":
            return kind, content
        entries, count, step = struct.unpack_from(">III", content, 4)
        if entries != 1 or count != CLIP_FRAMES:
            return kind, content  # the sound's
        return kind, content[:4] + struct.pack(">IIIII", 2, first, step // 2, count - first, step)

    return changed(data, stretched)
