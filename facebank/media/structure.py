"""Checks of a file's structure before decoding, because Pillow would detect these faults too late.

Each ``*_fault`` function takes a whole file that starts like its format, and returns a fault that would block the
decoder or exhaust the memory, or None. A file without such a fault may still be damaged.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SCANS = 50  # encoders write about ten; even an empty scan passes over the whole picture
MAX_SEGMENTS = 10_000
MAX_JUNK_BYTES = 65_536
MAX_HEADER_BYTES = 16 * 1024 * 1024  # Pillow joins a JPEG's EXIF segments one by one, and walks some in Python
MAX_PNG_CHUNKS = 65_536  # twice the chunks of the largest file at libpng's 8 KB each
MAX_PNG_OTHER_CHUNKS = 1_000
MAX_GIF_BLOCKS = 10_000
MAX_WEBP_CHUNKS = 10_000  # an animation has one for every frame
MAX_PPM_HEADER = 4_096
MAX_TIFF_ENTRIES = 4_096
MAX_TIFF_NUMBERS = 131_072  # per directory; Pillow creates a Python object for each. A photo has two for every strip
# A small picture may be stored in one tile of a common size, up to 2048; larger ones pad the last row and column.
_FREE_TIFF_PIXELS = 2_048 * 2_048

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_PNG_DATA_CHUNKS = (b"IDAT", b"fdAT", b"fcTL")
_GIF_EXTENSION, _GIF_PICTURE, _GIF_END = 0x21, 0x2C, 0x3B
# Width, height and, except in bitmaps, the maximum value; comments only between them.
_PPM_BLANK = rb"(?:\s|#[^\r\n]*+[\r\n])++"
_PPM_HEADER = re.compile(rb"P(4(%b\d+){2}|[56](%b\d+){3})\s" % (_PPM_BLANK, _PPM_BLANK))
# All markers except those without a length: stuffed zeros, TEM, restart markers, fill bytes.
JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])", re.DOTALL)

# Bytes of one value of each field type (TIFF 6.0, section 2; BigTIFF: 16 to 18).
_TYPE_SIZES = dict(zip((*range(1, 14), 16, 17, 18), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 8, 8, 8), strict=True))
_BYTE_TYPES = (1, 2, 7)
_INTEGER_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_WIDTH, _HEIGHT, _SAMPLES, _ROWS_PER_STRIP, _PLANES = 256, 257, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXIF = 322, 323, 34_665
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_MEASURES = (_WIDTH, _HEIGHT, _SAMPLES, _ROWS_PER_STRIP, _PLANES, _TILE_WIDTH, _TILE_HEIGHT, _EXIF)
_SEPARATE_PLANES = 2


class _Entry(NamedTuple):
    """An entry of a TIFF directory."""

    tag: int
    field_type: int
    length: int  # number of values
    position: int  # of its values in the file, in bytes


class _FaultError(Exception):
    """A fault of a TIFF; the message describes it."""


def jpeg_fault(data: bytes) -> str | None:
    """Return a fault of a JPEG's first picture.

    Every scan of a progressive JPEG passes over the whole picture and may be a few bytes long, so a small file may take
    long to decode. Pillow walks segments, and junk between them, byte by byte in Python.
    """
    position, header_end = 2, MAX_JUNK_BYTES
    scans = segments = 0
    while marker := JPEG_MARKER.search(data, position, len(data) if scans else header_end):
        segments += 1
        code = marker[1][0]
        if code == _END_OF_IMAGE:
            return None
        scans += code == _START_OF_SCAN
        if scans > MAX_SCANS:
            return f"more than {MAX_SCANS} scans"
        if segments > MAX_SEGMENTS:
            return f"more than {MAX_SEGMENTS:,} segments"
        length = int.from_bytes(data[marker.end() : marker.end() + 2])
        position, header_end = marker.end() + length, header_end + 2 + length
        if not scans and position > MAX_HEADER_BYTES:
            return f"more than {MAX_HEADER_BYTES:,} bytes before its picture"
    return None if scans else "no picture data"


def png_fault(data: bytes) -> str | None:
    """Return a fault of a PNG: floods of chunks, which Pillow walks in Python."""
    position, chunks, others = 8, 0, 0
    while position + 8 <= len(data):
        name = data[position + 4 : position + 8]
        if name == b"IEND":
            break
        chunks += 1
        others += name not in _PNG_DATA_CHUNKS
        if chunks > MAX_PNG_CHUNKS:
            return f"more than {MAX_PNG_CHUNKS:,} chunks"
        if others > MAX_PNG_OTHER_CHUNKS:
            return f"more than {MAX_PNG_OTHER_CHUNKS:,} chunks that are not pixels"
        position += 12 + int.from_bytes(data[position : position + 4])
    return None


def gif_fault(data: bytes) -> str | None:
    """Return a fault of a GIF: floods of extensions before its first picture, which Pillow walks in Python."""
    flags = data[10] if len(data) > 10 else 0
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    in_extension = False
    for _ in range(MAX_GIF_BLOCKS):
        if position >= len(data):
            return None
        code = data[position]
        if in_extension:
            position, in_extension = position + 1 + code, code != 0
        elif code in (_GIF_PICTURE, _GIF_END):
            return None
        elif code == _GIF_EXTENSION:
            position, in_extension = position + 2, True
        else:
            position += 1
    return f"more than {MAX_GIF_BLOCKS:,} blocks before its picture"


def ppm_fault(data: bytes) -> str | None:
    """Return a fault of a PPM: a flood of comments and blanks in its header, which Pillow reads in Python."""
    return None if _PPM_HEADER.match(data[:MAX_PPM_HEADER]) else "its header is truncated or too long"


def webp_fault(data: bytes) -> str | None:
    """Return a fault of a WebP: a flood of chunks, for each of which libwebp allocates memory."""
    position = 12
    for _ in range(MAX_WEBP_CHUNKS):
        if position >= len(data):
            return None
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return f"more than {MAX_WEBP_CHUNKS:,} chunks"


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP's canvas, for which Pillow allocates memory on opening.

    None if the header lacks them; see RFC 9649, sections 2.5 to 2.7.
    """
    chunk, header = data[12:16], data[20:30]
    if chunk == b"VP8X":
        return int.from_bytes(header[4:7], "little") + 1, int.from_bytes(header[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(header[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return int.from_bytes(header[6:8], "little") & 0x3FFF, int.from_bytes(header[8:10], "little") & 0x3FFF
    return None


def tiff_fault(data: bytes) -> str | None:
    """Return a fault of a TIFF's or BigTIFF's first directory or its EXIF: floods of numbers, or oversized tiles.

    A whole tile is allocated and decoded, however small the picture is.
    """
    order = "<" if data.startswith(b"II") else ">"
    is_big = b"+" in data[2:4]
    try:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
        entries = _directory(data, start, order, is_big=is_big)
        measures = _measures(data, entries, order)
        if _EXIF in measures:
            _directory(data, measures[_EXIF], order, is_big=is_big)
        _check_parts(measures, entries)
    except _FaultError as fault:
        return str(fault)
    except (struct.error, OverflowError):
        return "its directory is beyond the end of the file"
    return None


def _directory(data: bytes, start: int, order: str, *, is_big: bool) -> list[_Entry]:
    offset_format, count_format, entry_format = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    inline_bytes = struct.calcsize(offset_format)
    entry_bytes = struct.calcsize("=" + entry_format)
    (entry_count,) = struct.unpack_from(order + count_format, data, start)
    if entry_count > MAX_TIFF_ENTRIES:
        raise _FaultError(f"a directory of {entry_count:,} entries")
    entries, numbers = list[_Entry](), 0
    for number in range(entry_count):
        entry_start = start + struct.calcsize(count_format) + number * entry_bytes
        tag, field_type, count, offset = struct.unpack_from(order + entry_format, data, entry_start)
        size = count * _TYPE_SIZES.get(field_type, 0)
        if size > inline_bytes and offset + size > len(data):
            raise _FaultError(f"tag {tag} is beyond the end of the file")
        numbers += 0 if field_type in _BYTE_TYPES else count
        if numbers > MAX_TIFF_NUMBERS:
            raise _FaultError(f"a directory of more than {MAX_TIFF_NUMBERS:,} numbers")
        inline_start = entry_start + entry_bytes - inline_bytes
        entries.append(_Entry(tag, field_type, count, offset if size > inline_bytes else inline_start))
    return entries


def _measures(data: bytes, entries: Sequence[_Entry], order: str) -> dict[int, int]:
    measures: dict[int, int] = {}
    for entry in entries:
        if entry.tag not in _MEASURES:
            continue
        if entry.tag in measures:
            raise _FaultError(f"tag {entry.tag} occurs twice")
        if entry.field_type not in _INTEGER_FORMATS:
            raise _FaultError(f"tag {entry.tag} is not an integer")
        (measures[entry.tag],) = struct.unpack_from(order + _INTEGER_FORMATS[entry.field_type], data, entry.position)
    return measures


def _check_parts(measures: dict[int, int], entries: Sequence[_Entry]) -> None:
    """Raise `_FaultError` for tiles or strips with far more pixels than their picture."""
    width, height = measures.get(_WIDTH, 0), measures.get(_HEIGHT, 0)
    planes = max(1, measures.get(_SAMPLES, 1)) if measures.get(_PLANES) == _SEPARATE_PLANES else 1
    if _TILE_WIDTH in measures or _TILE_HEIGHT in measures:
        part_width, part_height = max(1, measures.get(_TILE_WIDTH, width)), max(1, measures.get(_TILE_HEIGHT, height))
    else:
        part_width, part_height = max(1, width), max(1, min(height, measures.get(_ROWS_PER_STRIP, height)))
    stated = max((entry.length for entry in entries if entry.tag in (_STRIP_OFFSETS, _TILE_OFFSETS)), default=0)
    parts = max(stated, planes * -(-width // part_width) * -(-height // part_height))
    if parts * part_width * part_height > planes * (width * height * 5 // 4 + _FREE_TIFF_PIXELS):
        raise _FaultError(
            f"{parts:,} x {part_width:,} x {part_height:,} pixels for a picture of {width:,} x {height:,}"
        )
