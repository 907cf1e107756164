"""Encoded pictures and their parts, for tests of damaged and hostile files."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image


def encode(image: Image.Image, file_type: str, **options: Any) -> bytes:
    """Return a picture in a format of Pillow."""
    file = BytesIO()
    image.save(file, file_type, **options)
    return file.getvalue()


def png_chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_header(width: int, height: int, bits: int = 8, color_type: int = 2) -> bytes:
    """Return the signature and header chunk of a PNG; color type 0 is gray, 2 is RGB."""
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0))


def jpeg_segment(code: int, content: bytes) -> bytes:
    return bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content


def insert_exif(jpeg: bytes, exif: Image.Exif) -> bytes:
    """Return a JPEG with EXIF data in a new first segment."""
    return jpeg[:2] + jpeg_segment(0xE1, b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")) + jpeg[2:]


def make_tiff(entries: dict[int, tuple[int, int, int]], tail: bytes = b"", order: str = "<") -> bytes:
    """Return a TIFF with directory entries given as type, count and value; `tail` starts at offset 200.

    `order` is ``<`` for little-endian or ``>`` for big-endian.
    """
    data = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    for tag, (value_type, count, value) in sorted(entries.items()):
        is_short = value_type == 3 and count == 1
        data += struct.pack(order + ("HHIHxx" if is_short else "HHII"), tag, value_type, count, value)
    return (data + bytes(4)).ljust(200, b"\0") + tail
