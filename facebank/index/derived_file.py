"""A disposable cache of arrays made from a gallery, in one sealed file that is read in verified blocks.

A file belongs to a gallery by a random token that is stored in the gallery, and holds the arrays of one revision. It is
its owner's alone and appears when it is complete. Nothing of it is used before its seal and the SHA-256 of the block
match. Forgetting somebody overwrites it (`facebank.gallery.derived`), so that later reads fail their digests. It is not
mapped: mapped pages count as memory, and a truncated file would end the process.

Layout: a header of fixed size; the sections' names, types and shapes as JSON; the sections; the digests of their
blocks. The seal in the header is the SHA-256 of header, JSON and digests.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import secrets
import shutil
import stat
import struct
import weakref
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from facebank.gallery.store.file import ReadAgainError
from facebank.storage.concurrency import SharedLock, in_threads
from facebank.storage.files import PRIVATE_FOLDER, new_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from io import RawIOBase
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from facebank.gallery.records import PackIdentity

WHOLE, IN_PIECES = 1 << 20, 1 << 12  # bytes of a block: of sections read whole, and row by row
_MAGIC = b"facebank derived"
_FORMAT = 2
_HEADER = struct.Struct("<16sIIQ32s")  # magic, format, length of the JSON, length of the file, seal
_LONGEST_JSON = 1 << 16
_ALIGNED = 4096
_DIGEST = 32
_PIECES_AT_ONCE = 16
_READ_AT_ONCE = 1 << 30
_SPARE_SPACE = 256 << 20  # bytes that are left free on the disk
_KINDS = frozenset({"<f4", "<f8", "<i8", "|u1"})

_lost: set[str] = set()
"""Tokens of files of which this process has found a damaged or overwritten block."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """The pack's digest (SHA-256 in hex), the gallery's revision, and the token (32 hex digits) of a file."""

    pack: str
    revision: int
    token: str

    @classmethod
    def draw(cls, pack: PackIdentity, revision: int) -> Self:
        """Return a key with a new token."""
        return cls(_digest_of(pack), revision, secrets.token_hex(16))


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """An array to be written: name, NumPy dtype, shape, its rows in parts, and `WHOLE` or `IN_PIECES`."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]
    block: int = WHOLE


@dataclass(frozen=True, slots=True)
class _Placed:
    """A section's position in the file, and its first digest."""

    kind: str
    shape: tuple[int, ...]
    block: int
    start: int
    first_digest: int

    @property
    def per_row(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def width(self) -> int:
        return np.dtype(self.kind).itemsize * self.per_row

    @property
    def size(self) -> int:
        return self.width * self.shape[0]

    @property
    def blocks(self) -> int:
        return -(-self.size // self.block)


class DerivedFile:
    """An open file with its key; contents are verified on each read. Use `read_derived_file` to get one."""

    def __init__(self, stream: RawIOBase, key: FileKey, places: dict[str, _Placed], digests: bytes) -> None:
        self.key = key
        self.is_lost = False  # whether a block was damaged or overwritten
        self._stream = stream
        weakref.finalize(self, stream.close)
        self._places = places
        self._digests = digests
        self._reading = SharedLock()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a section."""
        return self._places[name].shape

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the rows ``start:stop`` of a section.

        Raises `ReadAgainError` if the file is damaged or was overwritten meanwhile; it `is_lost` then, and
        `read_derived_file` does not return it again.
        """
        place = self._places[name]
        stop = place.shape[0] if stop is None else stop
        first, last = start * place.width // place.block, -(-stop * place.width // place.block)
        data, offset = self._blocks(place, first, last), start * place.width - first * place.block
        rows = np.frombuffer(data, place.kind, count=(stop - start) * place.per_row, offset=offset)
        return rows.reshape(stop - start, *place.shape[1:])

    def read_into(self, name: str, start: int, rows: NDArray[Any]) -> None:
        """Read the rows of a section from `start` on into an array, contiguous and of the section's type; as `read`.

        `start` must be where a block begins.
        """
        place = self._places[name]
        at, length = start * place.width, rows.nbytes
        full = length if at + length == place.size else length - length % place.block
        self._verified(place, at // place.block, rows.reshape(-1).view(np.uint8).data[:full])
        done = full // place.width
        if full < length:
            rows[done:] = self.read(name, start + done, start + len(rows))

    def take(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return some rows of a section; raises as `read`."""
        place = self._places[name]
        if not len(rows):
            return np.empty((0, *place.shape[1:]), dtype=place.kind)
        starts = rows * place.width
        first, last = starts // place.block, (starts + place.width - 1) // place.block
        spans = range(int((last - first).max()) + 1)
        blocks = np.unique(np.concatenate([np.minimum(first + further, last) for further in spans]))
        runs = np.flatnonzero(np.concatenate([[True], np.diff(blocks) > 1]))  # of adjacent blocks
        ends = np.append(blocks[runs[1:] - 1], blocks[-1]) + 1
        data = b"".join(
            self._blocks(place, begin, end) for begin, end in zip(blocks[runs].tolist(), ends.tolist(), strict=True)
        )
        places = np.searchsorted(blocks, first) * place.block + starts - first * place.block
        found: NDArray[Any] = sliding_window_view(np.frombuffer(data, dtype=np.uint8), place.width)[places]
        return found.view(place.kind).reshape(len(rows), *place.shape[1:])

    def _blocks(self, place: _Placed, first: int, last: int) -> bytearray:
        """Return some blocks of a section."""
        data = bytearray(min(last * place.block, place.size) - first * place.block)
        self._verified(place, first, memoryview(data))
        return data

    def _verified(self, place: _Placed, first: int, view: memoryview) -> None:
        """Read blocks of a section from one on, and compare them with their digests."""
        self._read_bytes(view, place.start + first * place.block)
        last = first - -len(view) // place.block
        wanted = self._digests[_DIGEST * (place.first_digest + first) : _DIGEST * (place.first_digest + last)]
        if last - first == 1:
            found = hashlib.sha256(view).digest()
        else:
            found = b"".join(_hashed([view[at : at + place.block] for at in range(0, len(view), place.block)]))
        if found != wanted:
            self.is_lost = True
            _lost.add(self.key.token)
            raise ReadAgainError(
                "Another process has just rewritten what this gallery is searched with, to forget somebody, say: try "
                "again."
            )

    def _read_bytes(self, view: memoryview, start: int) -> None:
        """Read bytes from a place on; by the place, because a forked process has the same position in the file."""
        done = 0
        while done < len(view):
            part = view[done : done + _READ_AT_ONCE]
            try:
                count = self._read_some(part, start + done)
            except OSError:  # the disk fails, or a share has lost the file
                count = 0
            if not count:
                return  # the file was cut off: the digests will not fit
            done += count

    def _read_some(self, view: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._stream.fileno(), [view], start)
        with self._reading:
            self._stream.seek(start)
            return self._stream.readinto(view) or 0


def write_derived_file(
    path: Path, key: FileKey, sections: Sequence[Section], appearing: AbstractContextManager[object]
) -> bool:
    """Write a file; return False, without a change, if there is no space or permission.

    `appearing` is entered when the file is complete, and left when it is at its path. An error of it other than an
    `OSError` is raised, and there is no file either.
    """
    described = [[each.name, each.kind, list(each.shape), each.block] for each in sections]
    told = json.dumps({"pack": key.pack, "revision": key.revision, "token": key.token, "sections": described}).encode()
    places, end = _placed(described, _HEADER.size + len(told))
    length = end + _DIGEST * sum(place.blocks for place in places.values())
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < length + _SPARE_SPACE:
            return False
        with new_file(path, suffix=f".{path.stem}", sync=False, appearing=appearing) as part:
            digests = bytearray()
            part.stream.write(bytes(_HEADER.size + len(told)))  # a hole could not be overwritten on a full disk
            for each in sections:
                part.stream.seek(places[each.name].start)
                for block in _written(part.stream, each):
                    digests += block
            part.stream.seek(end)
            part.stream.write(digests)
            part.stream.seek(0)
            part.stream.write(_header(told, length, bytes(digests)) + told)
    except OSError:
        return False
    return True


def read_derived_file(path: Path, pack: PackIdentity, token: object) -> DerivedFile | None:
    """Return a file; None if it is missing, damaged, known to be lost, or belongs to something else."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
            return None
        stream = path.open("rb", buffering=0)
    except OSError:
        return None
    try:
        return _opened(stream, _digest_of(pack), token)
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        stream.close()
        return None


def _opened(stream: RawIOBase, pack: str, token: object) -> DerivedFile:
    header = stream.read(_HEADER.size)
    magic, version, told_length, length, _ = _HEADER.unpack(header)
    if (magic, version) != (_MAGIC, _FORMAT) or told_length > _LONGEST_JSON:
        raise ValueError("it is another kind of file")
    told = stream.read(told_length)
    content = json.loads(told)
    key = FileKey(str(content["pack"]), int(content["revision"]), str(content["token"]))
    if (key.pack, key.token) != (pack, token) or token in _lost:
        raise ValueError("it belongs to something else")
    places, end = _placed(content["sections"], _HEADER.size + told_length)
    digests_length = _DIGEST * sum(place.blocks for place in places.values())
    if not os.fstat(stream.fileno()).st_size == length == end + digests_length:
        raise ValueError("it is cut off")
    stream.seek(end)
    digests = stream.read(digests_length)
    if _header(told, length, digests) != header:
        raise ValueError("it is damaged")
    return DerivedFile(stream, key, places, digests)


def _digest_of(pack: PackIdentity) -> str:
    return hashlib.sha256(pack.digest.encode()).hexdigest()


def _header(told: bytes, length: int, digests: bytes) -> bytes:
    fields = (_MAGIC, _FORMAT, len(told), length)
    seal = hashlib.sha256(_HEADER.pack(*fields, bytes(_DIGEST)) + told + digests).digest()
    return _HEADER.pack(*fields, seal)


def _placed(described: Sequence[Sequence[Any]], start: int) -> tuple[dict[str, _Placed], int]:
    """Return the sections' positions after `start` bytes, and their end; raises `ValueError` for an invalid section."""
    places: dict[str, _Placed] = {}
    digests = 0
    for name, kind, shape, block in described:
        is_known = kind in _KINDS and block in {WHOLE, IN_PIECES} and name not in places
        if (
            not is_known
            or not all(type(each) is int and 0 <= each < 1 << 40 for each in shape)
            or not 1 <= len(shape) <= 3
        ):
            raise ValueError("there can be no such section")
        start += -start % _ALIGNED
        place = _Placed(kind, tuple(shape), block, start, digests)
        start, digests = start + place.size, digests + place.blocks
        places[name] = place
    return places, start


def _written(stream: IO[bytes], section: Section) -> Iterator[bytes]:
    """Write a section and yield the digests of its blocks."""
    left = bytearray()
    size = 0
    for part in section.parts:
        data = np.ascontiguousarray(part, dtype=section.kind).reshape(-1).view(np.uint8).data
        stream.write(data)
        size += len(data)
        begun = min(-len(left) % section.block, len(data)) if left else 0  # what completes the block before
        left += data[:begun]
        if len(left) == section.block:
            yield hashlib.sha256(left).digest()
            left.clear()
        if not left:
            full = len(data) - (len(data) - begun) % section.block
            yield from _hashed([data[at : at + section.block] for at in range(begun, full, section.block)])
            left += data[full:]
    if size != np.dtype(section.kind).itemsize * math.prod(section.shape):
        raise ValueError(f"section {section.name} has {size} bytes")
    if left:
        yield hashlib.sha256(left).digest()


def _hashed(pieces: Sequence[memoryview]) -> Iterator[bytes]:
    """Yield the digests of pieces, in parallel for large ones."""
    groups = [pieces[at : at + _PIECES_AT_ONCE] for at in range(0, len(pieces), _PIECES_AT_ONCE)]
    is_large = sum(map(len, pieces)) >= 8 * WHOLE
    yield from itertools.chain.from_iterable((in_threads if is_large else map)(_digests, groups))


def _digests(pieces: Sequence[memoryview]) -> list[bytes]:
    return [hashlib.sha256(piece).digest() for piece in pieces]
