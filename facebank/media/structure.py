"""What is checked in a file's bytes before Pillow may have it, because Pillow would find out too late."""

from __future__ import annotations

import re

# libtiff's own limit for JPEG inside TIFF; encoders write about ten.
MAX_SCANS = 100
MAX_SEGMENTS = 10_000
MAX_JUNK_BYTES = 65_536

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
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
    position = 2
    scans = segments = junk = 0
    while marker := _JPEG_MARKER.search(data, position):
        segments += 1
        if scans == 0:
            junk += marker.start() - position
        code = marker[1][0]
        if code == _END_OF_IMAGE:
            return None
        scans += code == _START_OF_SCAN
        if scans > MAX_SCANS:
            return f"more than {MAX_SCANS} scans"
        if segments > MAX_SEGMENTS:
            return f"more than {MAX_SEGMENTS:,} segments"
        if junk > MAX_JUNK_BYTES:
            return "no picture after its start"
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    if scans == 0:
        return "no picture after its start"
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
