"""What is checked in a file's bytes before Pillow may have it, because Pillow would find out too late."""

from __future__ import annotations

import re

# Encoders write about ten. Even an empty one takes 60 ms for 80 megapixels.
MAX_SCANS = 50
MAX_SEGMENTS = 10_000
MAX_JUNK_BYTES = 65_536
# Pillow glues a JPEG's EXIF together piece by piece, and walks Photoshop's segments in Python.
MAX_HEADER_BYTES = 16 * 1024 * 1024
# At 8 KB a chunk, as libpng writes them, twice what the largest file may have.
MAX_PNG_CHUNKS = 65_536
MAX_PNG_OTHER_CHUNKS = 1_000
MAX_GIF_BLOCKS = 10_000
# An animation has one for every frame.
MAX_WEBP_CHUNKS = 10_000
MAX_PPM_HEADER = 4_096

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_PNG_DATA_CHUNKS = (b"IDAT", b"fdAT", b"fcTL")
_GIF_EXTENSION, _GIF_PICTURE, _GIF_END = 0x21, 0x2C, 0x3B
# Width, height and, but for bitmaps, the largest value; comments only between them.
_PPM_BLANK = rb"(?:\s|#[^\r\n]*+[\r\n])++"
_PPM_HEADER = re.compile(rb"P(4(%b\d+){2}|[56](%b\d+){3})\s" % (_PPM_BLANK, _PPM_BLANK))
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
        if not scans and position > MAX_HEADER_BYTES:
            return f"more than {MAX_HEADER_BYTES:,} bytes before its picture"
    return None if scans else "no picture after its start"


def png_fault(data: bytes) -> str | None:
    """Find floods of chunks, which Pillow walks in Python.

    Parameters
    ----------
    data
        A file that starts like a PNG.

    Returns
    -------
    str or None
        What is wrong, or None. A PNG without fault may still be a broken one.
    """
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
    """Find floods of comments and other extensions before a GIF's first picture, which Pillow walks in Python.

    Parameters
    ----------
    data
        A file that starts like a GIF.

    Returns
    -------
    str or None
        What is wrong, or None. A GIF without fault may still be a broken one.
    """
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
    """Find floods of comments and blanks in a PPM's header, which Pillow reads byte by byte in Python.

    Parameters
    ----------
    data
        A file that starts like a PPM.

    Returns
    -------
    str or None
        What is wrong, or None. A PPM without fault may still be a broken one.
    """
    return None if _PPM_HEADER.match(data[:MAX_PPM_HEADER]) else "its header is cut short or has no end"


def webp_fault(data: bytes) -> str | None:
    """Find floods of chunks, for each of which libwebp takes memory.

    Parameters
    ----------
    data
        A file that starts like a WebP.

    Returns
    -------
    str or None
        What is wrong, or None. A WebP without fault may still be a broken one.
    """
    position = 12
    for _ in range(MAX_WEBP_CHUNKS):
        if position >= len(data):
            return None
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return f"more than {MAX_WEBP_CHUNKS:,} chunks"


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
