"""Arrays of untrusted npz files, read without unpickling and within size limits.

Headers are read first, to check shapes and sizes before allocation. Small arrays are read at once, large
ones in blocks of rows, and images one at a time on demand.
"""

from __future__ import annotations

import math
import re
import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facebank.errors import PhotoError
from facebank.evaluation.datasets.checking import UnusableEntryError, file_error, shorten
from facebank.storage.files import read_reason
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TOTAL = 2 * 1024**3
"""Largest total of all arrays, in uncompressed bytes."""
MAX_WHOLE = 256 * 1024**2
"""Largest array that is read at once, such as labels, in bytes."""

_MAX_MEMBERS = 100
_MAX_HEADER = 10_000
_BLOCK = 1024**2
_COMPRESSED_BLOCK = 64 * 1024
_RESTART_INTERVAL = 16 * 1024**2
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}
_HEADER = re.compile(
    r"\{'descr': '([|<>=]?[biuUSf][0-9]{1,9})', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\),? ?\}\s*"
)
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    MemoryError,
)


@contextmanager
def npz_errors(path: Path) -> Iterator[None]:
    """Context manager that raises all errors of reading an npz as `DatasetError`."""
    if not path.is_file():
        raise file_error(path, "no such file")
    try:
        yield
    except UnusableEntryError as error:
        raise file_error(path, str(error)) from error
    except OSError as error:
        raise file_error(path, f"cannot be read: {read_reason(error)}") from error
    except (*_ARCHIVE_ERRORS, ValueError, TypeError) as error:
        raise file_error(path, f"not an npz file, or damaged ({shorten(error)}); use another copy") from error


@dataclass(frozen=True, slots=True)
class Member:
    """An array of an npz with its validated header; the values begin `start` bytes into the member."""

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran_order: bool
    start: int

    @property
    def size(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, archive: zipfile.ZipFile, max_bytes: int | None = None) -> NDArray[Any]:
        """Return all values; raises `UnusableEntryError` if they exceed `max_bytes` (default `MAX_WHOLE`)."""
        limit = MAX_WHOLE if max_bytes is None else max_bytes
        if self.size > limit:
            raise UnusableEntryError(
                f"the array {self.name} has {self.size:,} uncompressed bytes; the limit is {limit:,}"
            )
        with archive.open(self.info) as stream:
            stream.read(self.start)
            data = stream.read(self.size)
            if len(data) != self.size or stream.read(1):
                raise UnusableEntryError(f"the array {self.name} is truncated")
        array: NDArray[Any] = np.frombuffer(data, dtype=self.dtype)
        return array.reshape(self.shape, order="F" if self.is_fortran_order else "C")

    def blocks(self, archive: zipfile.ZipFile) -> Iterator[NDArray[Any]]:
        """Yield the values in blocks of rows, of about a megabyte each."""
        if self.is_fortran_order:
            yield self.read(archive)
            return
        row = max(1, self.size // max(1, self.shape[0]))
        with archive.open(self.info) as stream:
            stream.read(self.start)
            remaining = self.shape[0]
            while remaining:
                rows = min(remaining, max(1, _BLOCK // row))
                data = stream.read(rows * row)
                if len(data) != rows * row:
                    raise UnusableEntryError(f"the array {self.name} is truncated")
                yield np.frombuffer(data, dtype=self.dtype).reshape(rows, *self.shape[1:])
                remaining -= rows
            if stream.read(1):
                raise UnusableEntryError(f"the array {self.name} is truncated")


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the arrays of an npz."""
    return [member.filename.removesuffix(".npy") for member in archive.infolist()]


def find_members(archive: zipfile.ZipFile, names: Collection[str]) -> dict[str, Member]:
    """Return arrays by name, with validated headers and sizes; raises `UnusableEntryError`."""
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS:
        raise UnusableEntryError(f"{len(members):,} files exceed the limit of {_MAX_MEMBERS}")
    selected = [member for member in members if member.filename.removesuffix(".npy") in names]
    if len({member.filename.removesuffix(".npy") for member in selected}) != len(selected):
        raise UnusableEntryError("an array occurs twice")
    total = sum(member.file_size for member in selected)
    if total > MAX_TOTAL:
        raise UnusableEntryError(f"the arrays have {total:,} uncompressed bytes; the limit is {MAX_TOTAL:,}")
    arrays = {}
    for info in selected:
        name = info.filename.removesuffix(".npy")
        with archive.open(info) as stream:
            shape, is_fortran_order, dtype, start = _read_header(stream, name)
        member = Member(name, info, shape, dtype, is_fortran_order, start)
        if member.size + start != info.file_size:
            raise UnusableEntryError(f"the size of the array {name} does not match its header")
        arrays[name] = member
    return arrays


def _read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    start = stream.read(len(_MAGIC) + 2)
    width = _LENGTH_BYTES.get(start[-2:])
    if not start.startswith(_MAGIC) or width is None:
        raise UnusableEntryError(f"the array {name} is not a NumPy array of a supported version")
    length = min(_MAX_HEADER, int.from_bytes(stream.read(width), "little"))
    header = stream.read(length)
    # Matched by a regular expression, since parsing the header as Python is unsafe.
    match = _HEADER.fullmatch(header.decode("latin-1"))
    if match is None:
        raise UnusableEntryError(f"the array {name} has Python objects or an unsupported dtype")
    shape = tuple(int(length.strip().rstrip("L")) for length in match[3].split(",") if length.strip())
    return shape, match[2] == "True", np.dtype(match[1]), len(start) + width + length


class ImageArray:
    """Images of an npz, ``uint8`` of shape ``(N, H, W, 3)``, read one at a time from the open file.

    The array is decompressed once to verify it, saving the decompressor's state every 16 MB as a restart point. Raises
    `UnusableEntryError` if the array is truncated or damaged.
    """

    def __init__(self, path: Path, member: Member) -> None:
        self.member = member
        self._path = path
        self._stream = path.open("rb")
        weakref.finalize(self, self._stream.close)
        self._lock = threading.Lock()
        self._values_offset = self._find_values()
        self._restart_points: list[tuple[int, int, Any]] = []  # position, offset in the file, and decompressor
        self._position = 0
        self._decompressor: Any = None
        self._check()

    @staticmethod
    def can_read(member: Member) -> bool:
        """Return whether single images of an array can be read: C order, stored or deflated, not encrypted."""
        is_supported = member.info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        return is_supported and not member.is_fortran_order and not member.info.flag_bits & 1

    def __len__(self) -> int:
        return self.member.shape[0]

    def image(self, number: int) -> NDArray[np.uint8]:
        """Return an image, ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError` if the file has changed."""
        shape = self.member.shape[1:]
        size = math.prod(shape)
        try:
            with self._lock:
                data = self._read_at(self.member.start + number * size, size)
        except (OSError, zlib.error) as error:
            raise PhotoError(f"image {number + 1} of {printable(str(self._path))} cannot be read: {error}") from error
        if len(data) != size:
            raise PhotoError(
                f"image {number + 1} of {printable(str(self._path))} cannot be read: the file has changed; run again"
            )
        return np.frombuffer(data, dtype=np.uint8).reshape(shape)

    def _find_values(self) -> int:
        """Return the offset in the file of the compressed bytes, after the local header."""
        self._stream.seek(self.member.info.header_offset)
        start = self._stream.read(_LOCAL_HEADER.size)
        if len(start) != _LOCAL_HEADER.size or not start.startswith(b"PK\x03\x04"):
            raise UnusableEntryError(f"the array {self.member.name} is truncated")
        _, name, extra = _LOCAL_HEADER.unpack(start)
        return int(self.member.info.header_offset + _LOCAL_HEADER.size + name + extra)

    @property
    def _is_stored(self) -> bool:
        return self.member.info.compress_type == zipfile.ZIP_STORED

    def _check(self) -> None:
        """Decompress the array once, verify it, and save restart points."""
        info, total, checksum, last_point = self.member.info, 0, 0, 0
        self._restart(0)
        while total < info.file_size:
            data = self._read_next(min(_BLOCK, info.file_size - total))
            if not data:
                raise UnusableEntryError(f"the array {self.member.name} is truncated")
            checksum = zlib.crc32(data, checksum)
            total += len(data)
            if not self._is_stored and total - last_point >= _RESTART_INTERVAL:
                self._restart_points.append((total, self._stream.tell(), self._decompressor.copy()))
                last_point = total
        if self._read_next(1) and not self._is_stored:
            raise UnusableEntryError(f"the array {self.member.name} is truncated")
        if checksum != info.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file '{info.filename}'")
        self._position = info.file_size

    def _read_at(self, start: int, size: int) -> bytes:
        """Return decompressed bytes, fewer at the end of the file."""
        nearest = max((position for position, *_ in self._restart_points if position <= start), default=0)
        if self._is_stored or start < self._position or nearest > self._position:
            self._restart(start)
        while self._position < start:
            skipped = len(self._read_next(min(_BLOCK, start - self._position)))
            if not skipped:
                return b""
            self._position += skipped
        parts = list[bytes]()
        while size:
            part = self._read_next(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self._position += len(part)
        return b"".join(parts)

    def _restart(self, start: int) -> None:
        """Seek to an offset of a stored array, or to the last restart point before it in a compressed one."""
        if self._is_stored:
            self._stream.seek(self._values_offset + start)
            self._position = start
            return
        points = [point for point in self._restart_points if point[0] <= start]
        point = max(points, default=None, key=lambda point: point[0])
        if point is None:
            self._position, self._decompressor = 0, zlib.decompressobj(-zlib.MAX_WBITS)
            self._stream.seek(self._values_offset)
        else:
            self._position, offset, decompressor = point
            self._decompressor = decompressor.copy()
            self._stream.seek(offset)

    def _read_next(self, max_bytes: int) -> bytes:
        if self._is_stored:
            return self._stream.read(max_bytes)
        while not self._decompressor.eof:
            compressed = self._decompressor.unconsumed_tail or self._stream.read(_COMPRESSED_BLOCK)
            data: bytes = self._decompressor.decompress(compressed, max_bytes)
            if data:
                return data
            if not compressed:
                break
        return b""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of an npz, read on demand; a `PixelSource`."""

    array: ImageArray
    number: int

    def pixels(self) -> NDArray[np.uint8]:
        """Return the image, RGB ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError` if the file has changed."""
        return self.array.image(self.number)
