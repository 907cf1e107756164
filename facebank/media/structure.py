"""What is checked in a file's bytes before Pillow may have it, because Pillow would find out too late."""

from __future__ import annotations

import re
import struct

# libtiff's own limit for JPEG inside TIFF; encoders write about ten.
MAX_SCANS = 100
MAX_SEGMENTS = 10_000
MAX_JUNK_BYTES = 65_536
MAX_TIFF_ENTRIES = 4_096

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
# Bytes of one value of each TIFF field type (TIFF 6.0, section 2; BigTIFF: 16 to 18).
_TIFF_TYPE_SIZES = {
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
# Not: stuffed zeros, TEM, restart markers, fill bytes; they stand alone, within or between the others.
_JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])", re.DOTALL)


def jpeg_fault(data: bytes) -> str | None:
    """Find what would keep a JPEG decoder busy for hours.

    Every scan of a progressive JPEG passes over the whole picture and may be 30 bytes long: a file of 1 MB can ask
    for an hour's work. Pillow walks segments, and junk between them, byte by byte in Python.

    Parameters
    ----------
    data
        A file that starts like a JPEG; only its first picture is looked at.

    Returns
    -------
    str or None
        What is wrong, or None. A JPEG without fault may still be a broken one.
    """
    position, header_ends = 2, MAX_JUNK_BYTES
    scans = segments = 0
    while marker := _JPEG_MARKER.search(data, position, len(data) if scans else header_ends):
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
        position, header_ends = marker.end() + length, header_ends + 2 + length
    return None if scans else "no picture after its start"


def tiff_fault(data: bytes) -> str | None:
    """Find what would make libtiff write pages of complaints to standard error.

    Parameters
    ----------
    data
        A file that starts like a TIFF or a BigTIFF; only its first directory is looked at.

    Returns
    -------
    str or None
        What is wrong, or None. A TIFF without fault may still be a broken one.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = b"+" in data[2:4]
    offset_at, offset_format, count_format, entry_format = (8, "Q", "Q", "HHQQ") if big else (4, "I", "H", "HHII")
    inline_bytes = struct.calcsize(offset_format)
    try:
        (start,) = struct.unpack_from(order + offset_format, data, offset_at)
        (count,) = struct.unpack_from(order + count_format, data, start)
        if count > MAX_TIFF_ENTRIES:
            return f"a directory of {count:,} entries"
        for number in range(count):
            at = start + struct.calcsize(count_format) + number * struct.calcsize("=" + entry_format)
            tag, kind, length, offset = struct.unpack_from(order + entry_format, data, at)
            size = length * _TIFF_TYPE_SIZES.get(kind, 0)
            if size > inline_bytes and offset + size > len(data):
                return f"tag {tag} lies behind the end of the file"
    except (struct.error, OverflowError):
        return "the directory lies behind the end of the file"
    return None


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Read the size of a WebP's canvas, for which Pillow allocates memory as soon as it opens the file.

    Parameters
    ----------
    data
        A file that starts like a WebP.

    Returns
    -------
    tuple of int or None
        Width and height in pixels; None where the header does not say. See RFC 9649, sections 2.5 to 2.7.
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
