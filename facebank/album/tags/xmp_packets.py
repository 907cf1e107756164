"""Search and replacement of XMP packets in photos, without changing other bytes (XMP Specification Part 3).

A new packet is spliced between the bytes before and after the old one. Sizes that a format stores, as WebP does, are
updated.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.album.tags.xmp_document import MAX_BYTES
from facebank.errors import XmpError
from facebank.media import webp_canvas
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_JPEG_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXIF_HEADER = b"Exif\0"
_MULTI_PICTURE = b"MPF\0"
_APP0, _APP1, _APP2, _APP11, _START_OF_SCAN = 0xE0, 0xE1, 0xE2, 0xEB, 0xDA
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))
_MAX_SEGMENT_BYTES = 65_533
_MAX_SEGMENTS = 10_000
_PNG_KEYWORD = b"XML:com.adobe.xmp\0"
_WEBP_HAS_XMP, _WEBP_HAS_ALPHA = 0x04, 0x10
_SIDECAR = "write a sidecar instead, without --embed"


@dataclass(frozen=True, slots=True)
class Packet:
    """The XMP of a photo, and its position in the file."""

    data: bytes | None  # the packet's bytes, or None
    extended: bytes | None  # assembled Extended XMP, which did not fit into a JPEG's packet; or None
    start: int  # first byte of the file that a new packet with its framing replaces
    end: int  # byte after the last that it replaces; equal to `start` if there is no packet yet
    problem: str | None = None  # why no packet can be written, or None


def find_packet(data: bytes, format_name: str, label: str) -> Packet | None:
    """Return the XMP of a photo.

    Raises `XmpError` if the file is damaged.

    Parameters
    ----------
    data, format_name
        The whole file, and the name of its format as `facebank.media.PhotoHeader` has it.
    label
        The file's name in messages.

    Returns
    -------
    Packet or None
        None for a format in which XMP is not embedded.
    """
    finder = _FINDERS.get(format_name)
    if finder is None:
        return None
    try:
        return finder(data)
    except (struct.error, IndexError, zlib.error, _BrokenError) as error:
        raise XmpError(
            f"{printable(label)} is a damaged {format_name}, whose XMP cannot be found: use another copy"
        ) from error


def replace_packet(data: bytes, format_name: str, packet: Packet, xmp: bytes, label: str) -> bytes:
    """Return a photo with `xmp` in place of the packet that `find_packet` found, all other bytes unchanged.

    Raises `XmpError` if the packet has a problem, or `xmp` is too large for a JPEG.
    """
    if packet.problem is not None:
        raise XmpError(f"{printable(label)} {packet.problem}: {_SIDECAR}")
    if format_name == "JPEG":
        framed = _JPEG_HEADER + xmp
        if len(framed) > _MAX_SEGMENT_BYTES:
            raise XmpError(f"{printable(label)} would have more XMP than fits into one packet of a JPEG: {_SIDECAR}")
        framed = bytes((0xFF, _APP1)) + struct.pack(">H", len(framed) + 2) + framed
        return data[: packet.start] + framed + data[packet.end :]
    if format_name == "PNG":
        body = b"iTXt" + _PNG_KEYWORD + b"\0\0\0\0" + xmp
        framed = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[: packet.start] + framed + data[packet.end :]
    return _replace_in_webp(data, packet, xmp)


def is_jpeg_head(data: bytes) -> bool:
    """Return whether bytes begin a JPEG and contain all of its metadata, up to the picture.

    Examples
    --------
    >>> is_jpeg_head(b"GIF89a")
    False
    """
    try:
        return data.startswith(b"\xff\xd8\xff") and sum(1 for _ in _jpeg_segments(data)) >= 0
    except (struct.error, IndexError, _BrokenError):
        return False


class _BrokenError(Exception):
    """A file does not follow its format."""


def _find_in_jpeg(data: bytes) -> Packet:
    insertion, packets, has_pictures, problem = 2, list[tuple[int, int]](), False, None
    portions: dict[bytes, dict[int, bytes]] = {}
    for code, start, end in _jpeg_segments(data):
        body = data[start + 4 : end]
        if code == _APP1 and body.startswith(_JPEG_HEADER):
            packets.append((start, end))
            problem = problem or ("has its XMP behind its list of pictures" if has_pictures else None)
        elif code == _APP1 and body.startswith(_JPEG_EXTENSION):
            _add_portion(portions, body[len(_JPEG_EXTENSION) :])
        elif code == _APP0 or (code == _APP1 and body.startswith(_EXIF_HEADER)):
            insertion = end if insertion == start else insertion
        elif code == _APP2 and body.startswith(_MULTI_PICTURE):
            has_pictures = True  # the offsets of further pictures count from here
        elif code == _APP11 and b"c2pa" in body:
            problem = "is signed (Content Credentials), which any change breaks"
    if len(packets) > 1:
        problem = "has more than one packet of XMP"
    start, end = packets[0] if packets else (insertion, insertion)
    packet = data[start + 4 + len(_JPEG_HEADER) : end] if packets else None
    return Packet(packet, _assemble_extended(portions, packet), start, end, problem)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield code, start and end of the segments before the picture."""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        if data[position] != 0xFF:
            raise _BrokenError
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        code = data[position + 1]
        if code == _START_OF_SCAN:
            return
        if code in _WITHOUT_LENGTH:
            position += 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise _BrokenError
        yield code, position, end
        position = end
    raise _BrokenError


def _add_portion(portions: dict[bytes, dict[int, bytes]], body: bytes) -> None:
    (offset,) = struct.unpack_from(">I", body, 36)
    portions.setdefault(body[:32], {})[offset] = body[40:]


def _assemble_extended(portions: dict[bytes, dict[int, bytes]], packet: bytes | None) -> bytes | None:
    """Return the Extended XMP that a packet names, if it is complete: its name is its MD5."""
    for guid, parts in portions.items():
        if packet is None or guid not in packet:
            continue
        extended = b"".join(part for _, part in sorted(parts.items()))
        if hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode() == guid.upper():
            return extended
    return None


def _find_in_png(data: bytes) -> Packet:
    position, insertion, packets = 8, None, list[tuple[int, int]]()
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunk, end = data[position + 4 : position + 8], position + 12 + length
        if end > len(data):
            raise _BrokenError
        if chunk == b"iTXt" and data.startswith(_PNG_KEYWORD, position + 8):
            packets.append((position, end))
        if chunk == b"IDAT" and insertion is None:
            insertion = position
        if chunk == b"caBX":
            return Packet(None, None, 0, 0, "is signed (Content Credentials), which any change breaks")
        position = end
        if chunk == b"IEND":
            break
    if insertion is None:
        raise _BrokenError
    start, end = packets[0] if packets else (insertion, insertion)
    packet = _png_text(data[start + 8 + len(_PNG_KEYWORD) : end - 4]) if packets else None
    return Packet(packet, None, start, end, "has more than one packet of XMP" if len(packets) > 1 else None)


def _png_text(body: bytes) -> bytes:
    is_compressed = body[0]
    text = body[2:].partition(b"\0")[2].partition(b"\0")[2]  # after the language and the translated keyword
    return zlib.decompressobj().decompress(text, MAX_BYTES + 1) if is_compressed else text


def _find_in_webp(data: bytes) -> Packet:
    end_of_file = 8 + struct.unpack_from("<I", data, 4)[0]
    if end_of_file > len(data) or webp_canvas(data) is None:
        raise _BrokenError
    packets, position, problem = list[tuple[int, int]](), 12, None
    while position + 8 <= end_of_file:
        (length,) = struct.unpack_from("<I", data, position + 4)
        end = position + 8 + length + length % 2
        if data[position : position + 4] == b"XMP ":
            packets.append((position, end))
        if data[position : position + 4] == b"C2PA":
            problem = "is signed (Content Credentials), which any change breaks"
        position = end
    if position != end_of_file:
        raise _BrokenError
    start, end = packets[0] if packets else (end_of_file, end_of_file)
    packet = data[start + 8 : start + 8 + struct.unpack_from("<I", data, start + 4)[0]] if packets else None
    problem = problem or ("has more than one packet of XMP" if len(packets) > 1 else None)
    return Packet(packet, None, start, end, problem)


def _replace_in_webp(data: bytes, packet: Packet, xmp: bytes) -> bytes:
    """Return a WebP with a packet; a simple file gets the VP8X header that announces XMP (RFC 9649, 2.7)."""
    framed = b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2)
    before, after = data[12 : packet.start], data[packet.end :]
    end_of_file = 8 + struct.unpack_from("<I", data, 4)[0]
    inside, tail = after[: end_of_file - packet.end], after[end_of_file - packet.end :]
    if before.startswith(b"VP8X"):
        before = before[:8] + bytes((before[8] | _WEBP_HAS_XMP,)) + before[9:]
    else:
        width, height = webp_canvas(data) or (0, 0)
        has_alpha = before.startswith(b"VP8L") and before[12] & _WEBP_HAS_ALPHA
        flags = _WEBP_HAS_XMP | (_WEBP_HAS_ALPHA if has_alpha else 0)
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        before = b"VP8X" + struct.pack("<II", 10, flags) + sides + before
    chunks = b"WEBP" + before + framed + inside
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks + tail


_FINDERS: dict[str, Callable[[bytes], Packet]] = {"JPEG": _find_in_jpeg, "PNG": _find_in_png, "WebP": _find_in_webp}
EMBEDS = frozenset(_FINDERS)
"""Formats in which XMP is embedded."""
