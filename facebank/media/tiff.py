"""What is checked in a TIFF's directories before Pillow and libtiff may have them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ENTRIES = 4_096
# Of all numbers in a directory: Pillow makes a Python object of each. A photo has two for every strip.
MAX_NUMBERS = 131_072
# A small picture may lie in one tile of the usual sizes, 2048 at most; in others the last row and column are padded.
_FREE_PIXELS = 2_048 * 2_048

# Bytes of one value of each field type (TIFF 6.0, section 2; BigTIFF: 16 to 18).
_TYPE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_TYPES_OF_BYTES = (1, 2, 7)
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_WIDTH, _HEIGHT, _SAMPLES, _ROWS_PER_STRIP, _PLANES = 256, 257, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXIF = 322, 323, 34_665
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_MEASURES = (_WIDTH, _HEIGHT, _SAMPLES, _ROWS_PER_STRIP, _PLANES, _TILE_WIDTH, _TILE_HEIGHT, _EXIF)
_SEPARATE_PLANES = 2


class _Entry(NamedTuple):
    tag: int
    kind: int
    length: int
    position: int


class _FaultError(Exception):
    """What is wrong with a TIFF."""


def tiff_fault(data: bytes) -> str | None:
    """Find what would keep libtiff or Pillow busy, fill the memory, or have pages of complaints written.

    Memory for a whole tile is taken, and all of it is decoded, however small the picture is that it belongs to.

    Parameters
    ----------
    data
        A file that starts like a TIFF or a BigTIFF; only its first directory is looked at, and its EXIF.

    Returns
    -------
    str or None
        What is wrong, or None. A TIFF without fault may still be a broken one.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = b"+" in data[2:4]
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        entries = _directory(data, start, order, big=big)
        measures = _measures(data, entries, order)
        if _EXIF in measures:
            _directory(data, measures[_EXIF], order, big=big)
        _check_parts(measures, entries)
    except _FaultError as fault:
        return str(fault)
    except (struct.error, OverflowError):
        return "the directory lies behind the end of the file"
    return None


def _directory(data: bytes, start: int, order: str, *, big: bool) -> list[_Entry]:
    offset_format, count_format, entry_format = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    inline_bytes = struct.calcsize(offset_format)
    entry_bytes = struct.calcsize("=" + entry_format)
    (entry_count,) = struct.unpack_from(order + count_format, data, start)
    if entry_count > MAX_ENTRIES:
        raise _FaultError(f"a directory of {entry_count:,} entries")
    entries, numbers = list[_Entry](), 0
    for number in range(entry_count):
        at = start + struct.calcsize(count_format) + number * entry_bytes
        tag, kind, count, offset = struct.unpack_from(order + entry_format, data, at)
        size = count * _TYPE_SIZES.get(kind, 0)
        if size > inline_bytes and offset + size > len(data):
            raise _FaultError(f"tag {tag} lies behind the end of the file")
        numbers += 0 if kind in _TYPES_OF_BYTES else count
        if numbers > MAX_NUMBERS:
            raise _FaultError(f"a directory of more than {MAX_NUMBERS:,} numbers")
        entries.append(_Entry(tag, kind, count, offset if size > inline_bytes else at + entry_bytes - inline_bytes))
    return entries


def _measures(data: bytes, entries: Sequence[_Entry], order: str) -> dict[int, int]:
    measures: dict[int, int] = {}
    for entry in entries:
        if entry.tag not in _MEASURES:
            continue
        if entry.tag in measures:
            raise _FaultError(f"tag {entry.tag} is there twice")
        if entry.kind not in _WHOLE_NUMBERS:
            raise _FaultError(f"tag {entry.tag} is no whole number")
        (measures[entry.tag],) = struct.unpack_from(order + _WHOLE_NUMBERS[entry.kind], data, entry.position)
    return measures


def _check_parts(measures: dict[int, int], entries: Sequence[_Entry]) -> None:
    """Refuse tiles or strips that hold far more pixels than the picture that they make up."""
    width, height = measures.get(_WIDTH, 0), measures.get(_HEIGHT, 0)
    planes = max(1, measures.get(_SAMPLES, 1)) if measures.get(_PLANES) == _SEPARATE_PLANES else 1
    if _TILE_WIDTH in measures or _TILE_HEIGHT in measures:
        across, down = max(1, measures.get(_TILE_WIDTH, width)), max(1, measures.get(_TILE_HEIGHT, height))
    else:
        across, down = max(1, width), max(1, min(height, measures.get(_ROWS_PER_STRIP, height)))
    stated = max((entry.length for entry in entries if entry.tag in (_STRIP_OFFSETS, _TILE_OFFSETS)), default=0)
    parts = max(stated, planes * -(-width // across) * -(-height // down))
    if parts * across * down > planes * (width * height * 5 // 4 + _FREE_PIXELS):
        raise _FaultError(f"{parts:,} x {across:,} x {down:,} pixels for a picture of {width:,} x {height:,}")
