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
