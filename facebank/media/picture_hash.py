"""Hash of a photo's picture only, which does not change when its title, rating, date or XMP is edited.

A closed list of parts that no decoder turns into pixels is omitted: a JPEG's application segments and comments, a PNG's
text, time, EXIF and profiles, a WebP's EXIF, XMP and profile, and everything after the picture. All other bytes count,
and two files with the same hash have the same pixels. For other formats, and for files that cannot be parsed, all
bytes count. Nothing is decoded, and memory is bounded for every input.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from facebank.media.structure import JPEG_MARKER

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 1024 * 1024
_MAX_PARTS = 100_000  # segments or chunks; an animation has one or two for each frame
_MAX_MARKERS = 1_000  # within and between a JPEG's scans, at most 50
_PREFIX = b"facebank picture 1 "
_JPEG_COMMENT, _JPEG_APP0, _JPEG_APP14, _JPEG_APP15 = 0xFE, 0xE0, 0xEE, 0xEF
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_OMITTED = frozenset(
    (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"pHYs", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"caBX", b"dSIG")
)
_WEBP_OMITTED = frozenset((b"EXIF", b"XMP ", b"ICCP", b"C2PA"))
_WEBP_ANIMATED, _WEBP_ALPHA = 0x02, 0x10


class _UnparsableError(Exception):
    """The file does not have the structure of its format."""


def picture_hash(data: bytes, orientation: int = 1) -> str:
    """Return the SHA-256 of a photo's picture in hex; of all bytes if the picture cannot be separated.

    `data` is the whole file; `orientation` is the applied EXIF orientation, 1..8, which changes the hash.
    """
    return orient_hash(picture_hash_of_file(BytesIO(data)), orientation)


def orient_hash(stored: str, orientation: int) -> str:
    """Return the hash of an upright picture, from its hash as stored and its EXIF orientation, 1..8."""
    return stored if orientation == 1 else hashlib.sha256(f"{stored} turned {orientation}".encode()).hexdigest()


def picture_hash_of_file(file: BinaryIO) -> str:
    """Return the picture hash of a seekable open file, as stored, reading it in blocks."""
    file.seek(0)
    head = file.read(12)
    hash_of = _hasher(head)
    if hash_of is not None:
        try:
            return hash_of(file)
        except _UnparsableError:
            pass
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _hasher(head: bytes) -> Callable[[BinaryIO], str] | None:
    if head.startswith(b"\xff\xd8\xff"):
        return _hash_jpeg
    if head.startswith(_PNG_SIGNATURE):
        return _hash_png
    return _hash_webp if head[:4] == b"RIFF" and head[8:] == b"WEBP" else None


def _hash_jpeg(file: BinaryIO) -> str:
    """Hash the tables and frames before the first scan, the color transform and all scans."""
    digest = hashlib.sha256(_PREFIX + b"JPEG")
    position, components, has_jfif, transform = 2, b"", False, b""
    for _ in range(_MAX_PARTS):
        code, position = _jpeg_marker(file, position)
        if code in (_JPEG_SCAN, _JPEG_END):
            break
        if code in _JPEG_WITHOUT_LENGTH:
            continue
        length = int.from_bytes(_read_exactly(file, 2))
        if length < 2:
            raise _UnparsableError
        if _JPEG_APP0 <= code <= _JPEG_APP15 or code == _JPEG_COMMENT:
            beginning = file.read(min(12, length - 2)) if code in (_JPEG_APP0, _JPEG_APP14) else b""
            has_jfif = has_jfif or (code == _JPEG_APP0 and length >= 16 and beginning.startswith(b"JFIF\0"))
            if code == _JPEG_APP14 and len(beginning) == 12 and beginning.startswith(b"Adobe"):
                transform = beginning[11:]
        else:
            body = _read_exactly(file, length - 2)
            digest.update(bytes((code,)) + length.to_bytes(2) + body)
            components = body[6::3] if code in _JPEG_FRAMES else components
        position += length
    else:
        raise _UnparsableError
    if code != _JPEG_SCAN:
        raise _UnparsableError
    digest.update(_jpeg_colors(components, transform, has_jfif=has_jfif))
    _add(digest, file, position - 2, _jpeg_end(file, position))
    return digest.hexdigest()


def _jpeg_marker(file: BinaryIO, position: int) -> tuple[int, int]:
    """Return the code of the marker at a position, and its end."""
    file.seek(position)
    if _read_exactly(file, 1) != b"\xff":
        raise _UnparsableError
    for fill_bytes in range(_MAX_PARTS):
        (code,) = _read_exactly(file, 1)
        if code not in (0x00, 0xFF):
            return code, position + 2 + fill_bytes
        if code == 0x00:
            break
    raise _UnparsableError


def _jpeg_colors(components: bytes, transform: bytes, *, has_jfif: bool) -> bytes:
    """Return the data that determines the colors besides the frame, by libjpeg's rules; empty for most JPEGs.

    With three components JFIF means YCbCr; otherwise Adobe's segment decides, then the component names.
    """
    if len(components) == 3:
        is_usual = has_jfif or transform not in (b"", b"\x00") or (not transform and components != b"RGB")
        return b"" if is_usual else b"colors not transformed"
    return transform if len(components) == 4 else b""


def _jpeg_end(file: BinaryIO, position: int) -> int:
    """Return the end of a JPEG's picture; the end of the file if it is truncated."""
    block_start, block = position, b""
    for _ in range(_MAX_MARKERS):
        marker = JPEG_MARKER.search(block, position - block_start) if position < block_start + len(block) else None
        while marker is None:
            position = max(position, block_start + len(block) - 1)  # a marker may span two blocks
            block_start, block = position, _block_at(file, position)
            marker = JPEG_MARKER.search(block)
            if marker is None and len(block) < _BLOCK:
                return block_start + len(block)
        position = block_start + marker.end()
        code = marker[1][0]
        if code == _JPEG_END:
            return position
        if code not in _JPEG_WITHOUT_LENGTH:
            position += int.from_bytes(_block_at(file, position, 2))
    raise _UnparsableError


def _block_at(file: BinaryIO, position: int, size: int = _BLOCK) -> bytes:
    file.seek(position)
    return file.read(size)


def _hash_png(file: BinaryIO) -> str:
    digest = hashlib.sha256(_PREFIX + b"PNG")
    position, has_data = len(_PNG_SIGNATURE), False
    for _ in range(_MAX_PARTS):
        file.seek(position)
        header = _read_exactly(file, 8)
        length, name = int.from_bytes(header[:4]), header[4:]
        if name not in _PNG_OMITTED:
            digest.update(header)
            _add(digest, file, position + 8, position + 8 + length, whole=True)
        has_data = has_data or name == b"IDAT"
        if name == b"IEND":
            break
        position += 12 + length
    else:
        raise _UnparsableError
    if not has_data:
        raise _UnparsableError
    return digest.hexdigest()


def _hash_webp(file: BinaryIO) -> str:
    """Hash a WebP's pictures, the same with and without the header that announces metadata (RFC 9649)."""
    digest = hashlib.sha256(_PREFIX + b"WebP")
    file.seek(4)
    end = 8 + int.from_bytes(_read_exactly(file, 4), "little")
    flags, canvas, chunks = None, b"", list[tuple[bytes, int, int]]()
    position = 12
    while position + 8 <= end:
        file.seek(position)
        header = _read_exactly(file, 8)
        name, length = header[:4], int.from_bytes(header[4:], "little")
        body = position + 8
        if name == b"VP8X" and flags is None:
            fields = _read_exactly(file, 10)
            flags, canvas = fields[0], fields[4:]
        elif name not in _WEBP_OMITTED:
            chunks.append((name, body, body + length))
        position = body + length + length % 2
        if position > end or len(chunks) > _MAX_PARTS:
            raise _UnparsableError
    if not chunks:
        raise _UnparsableError
    if flags is None:
        flags, canvas = _webp_header(file, *chunks[0][:2])
    digest.update(bytes((flags & (_WEBP_ANIMATED | _WEBP_ALPHA),)) + canvas)
    for name, start, stop in chunks:
        digest.update(name + (stop - start).to_bytes(4, "little"))
        _add(digest, file, start, stop, whole=True)
    return digest.hexdigest()


def _webp_header(file: BinaryIO, name: bytes, body: int) -> tuple[int, bytes]:
    """Return the flags and canvas of the header that a WebP of one picture would have."""
    file.seek(body)
    picture = _read_exactly(file, 10)
    if name == b"VP8L":
        bits = int.from_bytes(picture[1:5], "little")
        sides, flags = (bits & 0x3FFF, bits >> 14 & 0x3FFF), _WEBP_ALPHA if bits >> 28 & 1 else 0
    elif name == b"VP8 ":
        width, height = (int.from_bytes(picture[start : start + 2], "little") & 0x3FFF for start in (6, 8))
        sides, flags = (max(width, 1) - 1, max(height, 1) - 1), 0
    else:
        raise _UnparsableError
    return flags, b"".join(side.to_bytes(3, "little") for side in sides)


def _add(digest: hashlib._Hash, file: BinaryIO, start: int, end: int, *, whole: bool = False) -> None:
    """Add bytes of a file to a hash; with `whole`, raises `_UnparsableError` if they are truncated."""
    file.seek(start)
    remaining = end - start
    while remaining > 0 and (block := file.read(min(remaining, _BLOCK))):
        digest.update(block)
        remaining -= len(block)
    if whole and remaining > 0:
        raise _UnparsableError


def _read_exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise _UnparsableError
    return data
