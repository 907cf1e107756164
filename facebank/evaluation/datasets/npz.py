"""Arrays of any npz file from outside, read without unpickling and within limits.

Headers are read first, so that shapes and sizes are checked before anything is allocated. Small arrays are read whole,
long ones row by row, and pictures one at a time on demand.
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
from facebank.evaluation.datasets.checking import UnusableError, broken, shown
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 2 * 1024**3
"""Bytes of all arrays together, unpacked."""
LARGEST_WHOLE = 256 * 1024**2
"""Bytes of an array that is read whole, such as labels."""

_MOST_MEMBERS = 100
_LARGEST_HEADER = 10_000
_BLOCK = 1024**2
_PACKED_AT_ONCE = 64 * 1024
_BETWEEN_POINTS = 16 * 1024**2
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}
_HEADER = re.compile(
    r"\{'descr': '([|<>=]?[biuUSf][0-9]{1,9})', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\),? ?\}\s*"
)
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError, RuntimeError, MemoryError)


@contextmanager
def npz_errors(path: Path) -> Iterator[None]:
    """Turn all errors of reading an npz into `DatasetError`."""
    if not path.is_file():
        raise broken(path, "there is no such file")
    try:
        yield
    except UnusableError as error:
        raise broken(path, str(error)) from error
    except OSError as error:
        raise broken(path, f"it cannot be read: {error.strerror or shown(error)}") from error
    except (*_BROKEN, ValueError, TypeError) as error:
        raise broken(path, f"it is no npz, or a damaged one ({shown(error)})") from error


@dataclass(frozen=True, slots=True)
class Member:
    """An array of an npz, of which only the header was read; its size is checked against that. `start` is in bytes."""

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    in_columns: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, archive: zipfile.ZipFile, largest: int | None = None) -> NDArray[Any]:
        """Return all values; raises `UnusableError` beyond `LARGEST_WHOLE`, or `largest` bytes."""
        most = LARGEST_WHOLE if largest is None else largest
        if self.size > most:
            raise UnusableError(f"the array {self.name} has {self.size:,} bytes unpacked, and may have {most:,}")
        with archive.open(self.info) as stream:
            stream.read(self.start)
            data = stream.read(self.size)
            if len(data) != self.size or stream.read(1):
                raise UnusableError(f"the array {self.name} is partial")
        array: NDArray[Any] = np.frombuffer(data, dtype=self.dtype)
        return array.reshape(self.shape, order="F" if self.in_columns else "C")

    def blocks(self, archive: zipfile.ZipFile) -> Iterator[NDArray[Any]]:
        """Yield the values some rows at a time, about a megabyte each."""
        if self.in_columns:
            yield self.read(archive)
            return
        row = max(1, self.size // max(1, self.shape[0]))
        with archive.open(self.info) as stream:
            stream.read(self.start)
            left = self.shape[0]
            while left:
                rows = min(left, max(1, _BLOCK // row))
                data = stream.read(rows * row)
                if len(data) != rows * row:
                    raise UnusableError(f"the array {self.name} is partial")
                yield np.frombuffer(data, dtype=self.dtype).reshape(rows, *self.shape[1:])
                left -= rows
            if stream.read(1):
                raise UnusableError(f"the array {self.name} is partial")


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """List the arrays of an npz by name."""
    return [member.filename.removesuffix(".npy") for member in archive.infolist()]


def find_members(archive: zipfile.ZipFile, names: Collection[str]) -> dict[str, Member]:
    """Return the arrays of some names, their headers read and sizes checked; raises `UnusableError`."""
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise UnusableError(f"it holds {len(members):,} files, and {_MOST_MEMBERS} are enough")
    known = [member for member in members if member.filename.removesuffix(".npy") in names]
    if len({member.filename.removesuffix(".npy") for member in known}) != len(known):
        raise UnusableError("it holds an array twice")
    total = sum(member.file_size for member in known)
    if total > LARGEST:
        raise UnusableError(f"its arrays have {total:,} bytes unpacked, and may have {LARGEST:,}")
    found = {}
    for info in known:
        name = info.filename.removesuffix(".npy")
        with archive.open(info) as stream:
            shape, in_columns, dtype, start = _header(stream, name)
        member = Member(name, info, shape, dtype, in_columns, start)
        if member.size + start != info.file_size:
            raise UnusableError(f"the array {name} claims another size than it has")
        found[name] = member
    return found


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    start = stream.read(len(_MAGIC) + 2)
    width = _LENGTH_BYTES.get(start[-2:])
    if not start.startswith(_MAGIC) or width is None:
        raise UnusableError(f"the array {name} is no array of NumPy, or of a version that is not read")
    length = min(_LARGEST_HEADER, int.from_bytes(stream.read(width), "little"))
    header = stream.read(length)
    # NumPy's own form is known, so nothing from outside is parsed as Python
    stated = _HEADER.fullmatch(header.decode("latin-1"))
    if stated is None:
        raise UnusableError(f"the array {name} holds Python objects or others that are not read")
    shape = tuple(int(length.strip().rstrip("L")) for length in stated[3].split(",") if length.strip())
    return shape, stated[2] == "True", np.dtype(stated[1]), len(start) + width + length


class PictureArray:
    """Pictures of an npz, ``uint8`` ``(N, H, W, 3)``, read one at a time from the file, which stays open.

    The array is unpacked once to check it; every 16 MB the state of the decompressor is kept, to restart from there.
    Raises `UnusableError` if it is partial or damaged.
    """

    def __init__(self, path: Path, member: Member) -> None:
        self.member = member
        self._path = path
        self._stream = path.open("rb")
        weakref.finalize(self, self._stream.close)
        self._lock = threading.Lock()
        self._begin = self._values_begin()
        self._points: list[tuple[int, int, Any]] = []
        self._place = 0
        self._unpacking: Any = None
        self._check()

    @staticmethod
    def can_read(member: Member) -> bool:
        """Return whether single pictures of an array can be read: in row order, stored or deflated, not encrypted."""
        packed = member.info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        return packed and not member.in_columns and not member.info.flag_bits & 1

    def __len__(self) -> int:
        return self.member.shape[0]

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Return a picture, ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError` if the file has changed."""
        shape = self.member.shape[1:]
        size = math.prod(shape)
        try:
            with self._lock:
                data = self._bytes(self.member.start + number * size, size)
        except (OSError, zlib.error) as error:
            raise PhotoError(f"image {number + 1} of {printable(str(self._path))} cannot be read: {error}") from error
        if len(data) != size:
            raise PhotoError(f"image {number + 1} of {printable(str(self._path))} cannot be read: the file has changed")
        return np.frombuffer(data, dtype=np.uint8).reshape(shape)

    def _values_begin(self) -> int:
        """Return the place of the packed bytes, behind their local header."""
        self._stream.seek(self.member.info.header_offset)
        start = self._stream.read(_LOCAL_HEADER.size)
        if len(start) != _LOCAL_HEADER.size or not start.startswith(b"PK\x03\x04"):
            raise UnusableError(f"the array {self.member.name} is partial")
        _, name, extra = _LOCAL_HEADER.unpack(start)
        return int(self.member.info.header_offset + _LOCAL_HEADER.size + name + extra)

    @property
    def _stored(self) -> bool:
        return self.member.info.compress_type == zipfile.ZIP_STORED

    def _check(self) -> None:
        """Unpack all of it once, and keep points to restart from."""
        info, total, checksum, noted = self.member.info, 0, 0, 0
        self._restart(0)
        while total < info.file_size:
            data = self._next(min(_BLOCK, info.file_size - total))
            if not data:
                raise UnusableError(f"the array {self.member.name} is partial")
            checksum = zlib.crc32(data, checksum)
            total += len(data)
            if not self._stored and total - noted >= _BETWEEN_POINTS:
                self._points.append((total, self._stream.tell(), self._unpacking.copy()))
                noted = total
        if self._next(1) and not self._stored:
            raise UnusableError(f"the array {self.member.name} is partial")
        if checksum != info.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file '{info.filename}'")
        self._place = info.file_size

    def _bytes(self, start: int, size: int) -> bytes:
        """Return unpacked bytes; fewer where the file ends."""
        nearest = max((point[0] for point in self._points if point[0] <= start), default=0)
        if self._stored or start < self._place or nearest > self._place:
            self._restart(start)
        while self._place < start:
            skipped = len(self._next(min(_BLOCK, start - self._place)))
            if not skipped:
                return b""
            self._place += skipped
        parts = list[bytes]()
        while size:
            part = self._next(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self._place += len(part)
        return b"".join(parts)

    def _restart(self, start: int) -> None:
        """Go to a place if nothing is packed, else to the last kept point before it."""
        if self._stored:
            self._stream.seek(self._begin + start)
            self._place = start
            return
        point = max((point for point in self._points if point[0] <= start), default=None, key=lambda point: point[0])
        if point is None:
            self._place, self._unpacking = 0, zlib.decompressobj(-zlib.MAX_WBITS)
            self._stream.seek(self._begin)
        else:
            self._place, place, unpacking = point
            self._unpacking = unpacking.copy()
            self._stream.seek(place)

    def _next(self, most: int) -> bytes:
        if self._stored:
            return self._stream.read(most)
        while not self._unpacking.eof:
            packed = self._unpacking.unconsumed_tail or self._stream.read(_PACKED_AT_ONCE)
            data: bytes = self._unpacking.decompress(packed, most)
            if data:
                return data
            if not packed:
                break
        return b""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture of an npz, read on demand."""

    array: PictureArray
    number: int

    def pixels(self) -> NDArray[np.uint8]:
        """Return ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError`."""
        return self.array.picture(self.number)
