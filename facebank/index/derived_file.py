"""Disposable cache of arrays derived from a gallery: one sealed file, read in verified blocks.

A file holds the arrays of one revision; the gallery stores the random token of its current file. Only its owner can
read it, and it appears at its path when it is complete. The seal is verified on opening, and the SHA-256 of each block
on reading. Forgetting a person overwrites the file (`facebank.gallery.derived`), so that later reads fail verification.
The file is not memory-mapped: mapped pages count as the process's memory, and a truncated file would crash it.

Layout: a header of fixed size; metadata as JSON (the sections' names, types and shapes); the sections; the digests of
their blocks. The seal in the header is the SHA-256 of header, JSON and digests.
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
from facebank.storage.concurrency import ForkSafeLock, map_in_threads
from facebank.storage.files import PRIVATE_FOLDER, new_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from io import RawIOBase
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from facebank.gallery.records import PackIdentity

WHOLE, IN_PIECES = 1 << 20, 1 << 12  # bytes of a block, for sections read as a whole and row by row
_MAGIC = b"facebank derived"
_FORMAT = 2
_HEADER = struct.Struct("<16sIIQ32s")  # magic, format, length of the JSON, length of the file, seal
_MAX_JSON = 1 << 16
_ALIGNMENT = 4096
_DIGEST_SIZE = 32
_BLOCKS_PER_TASK = 16
_MAX_READ_BYTES = 1 << 30
_SPARE_SPACE = 256 << 20  # bytes to leave free on the disk
_DTYPES = frozenset({"<f4", "<f8", "<i8", "|u1"})

_damaged_tokens: set[str] = set()
"""Tokens of the files in which this process found a damaged or overwritten block."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """Identity of a file: the pack's digest (SHA-256 in hex), the gallery's revision, and a token of 32 hex digits."""

    pack: str
    revision: int
    token: str

    @classmethod
    def draw(cls, pack: PackIdentity, revision: int) -> Self:
        """Return a key with a new token."""
        return cls(_digest_of(pack), revision, secrets.token_hex(16))


@dataclass(frozen=True, slots=True, eq=False)
class FileSection:
    """An array to write: its name, NumPy dtype, shape, rows in parts, and block size (`WHOLE` or `IN_PIECES`)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]
    block: int = WHOLE


@dataclass(frozen=True, slots=True)
class _Placement:
    """Position of a section in the file, and of its first digest among all digests."""

    dtype: str
    shape: tuple[int, ...]
    block: int
    start: int
    first_digest: int

    @property
    def per_row(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def width(self) -> int:
        return np.dtype(self.dtype).itemsize * self.per_row

    @property
    def size(self) -> int:
        return self.width * self.shape[0]

    @property
    def blocks(self) -> int:
        return -(-self.size // self.block)


class DerivedFile:
    """An open file; its blocks are verified on each read. Created by `read_derived_file`."""

    def __init__(self, stream: RawIOBase, key: FileKey, placements: dict[str, _Placement], digests: bytes) -> None:
        self.key = key
        self.is_lost = False  # whether a read found a damaged or overwritten block
        self._stream = stream
        weakref.finalize(self, stream.close)
        self._placements = placements
        self._digests = digests
        self._reading_lock = ForkSafeLock()

    def __contains__(self, name: str) -> bool:
        return name in self._placements

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a section."""
        return self._placements[name].shape

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the rows ``start:stop`` of a section, with its dtype and trailing shape.

        Raises `ReadAgainError` if the file is damaged or was overwritten since it was opened; then it `is_lost`, and
        `read_derived_file` does not return it again.
        """
        placement = self._placements[name]
        stop = placement.shape[0] if stop is None else stop
        first, last = start * placement.width // placement.block, -(-stop * placement.width // placement.block)
        data, offset = self._blocks(placement, first, last), start * placement.width - first * placement.block
        rows = np.frombuffer(data, placement.dtype, count=(stop - start) * placement.per_row, offset=offset)
        return rows.reshape(stop - start, *placement.shape[1:])

    def read_into(self, name: str, start: int, rows: NDArray[Any]) -> None:
        """Read ``len(rows)`` rows of a section, from row `start` on, into a contiguous array of the section's dtype.

        Row `start` must be the first of a block. Raises as `read` does.
        """
        placement = self._placements[name]
        offset, length = start * placement.width, rows.nbytes
        full = length if offset + length == placement.size else length - length % placement.block
        self._read_verified(placement, offset // placement.block, rows.reshape(-1).view(np.uint8).data[:full])
        rows_done = full // placement.width
        if full < length:
            rows[rows_done:] = self.read(name, start + rows_done, start + len(rows))

    def take(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the given rows of a section; raises as `read` does."""
        placement = self._placements[name]
        if not len(rows):
            return np.empty((0, *placement.shape[1:]), dtype=placement.dtype)
        starts = rows * placement.width
        first, last = starts // placement.block, (starts + placement.width - 1) // placement.block
        spans = range(int((last - first).max()) + 1)
        blocks = np.unique(np.concatenate([np.minimum(first + shift, last) for shift in spans]))
        run_starts = np.flatnonzero(np.concatenate([[True], np.diff(blocks) > 1]))  # runs of adjacent blocks
        ends = np.append(blocks[run_starts[1:] - 1], blocks[-1]) + 1
        data = b"".join(
            self._blocks(placement, begin, end)
            for begin, end in zip(blocks[run_starts].tolist(), ends.tolist(), strict=True)
        )
        offsets = np.searchsorted(blocks, first) * placement.block + starts - first * placement.block
        selected: NDArray[Any] = sliding_window_view(np.frombuffer(data, dtype=np.uint8), placement.width)[offsets]
        return selected.view(placement.dtype).reshape(len(rows), *placement.shape[1:])

    def _blocks(self, placement: _Placement, first: int, last: int) -> bytearray:
        """Return the blocks ``first:last`` of a section."""
        data = bytearray(min(last * placement.block, placement.size) - first * placement.block)
        self._read_verified(placement, first, memoryview(data))
        return data

    def _read_verified(self, placement: _Placement, first: int, view: memoryview) -> None:
        """Fill a view with a section's blocks from block `first` on; raises `ReadAgainError` if a digest differs."""
        self._read_bytes(view, placement.start + first * placement.block)
        last = first - -len(view) // placement.block
        start, end = placement.first_digest + first, placement.first_digest + last
        expected = self._digests[_DIGEST_SIZE * start : _DIGEST_SIZE * end]
        if last - first == 1:
            actual = hashlib.sha256(view).digest()
        else:
            size = placement.block
            blocks = [view[offset : offset + size] for offset in range(0, len(view), size)]
            actual = b"".join(_block_digests(blocks))
        if actual != expected:
            self.is_lost = True
            _damaged_tokens.add(self.key.token)
            raise ReadAgainError(
                "another process has just rewritten the search index of this gallery, for example to forget a person: "
                "try again"
            )

    def _read_bytes(self, view: memoryview, start: int) -> None:
        """Fill a view with the bytes at an offset, without moving the position, which forked processes share."""
        filled = 0
        while filled < len(view):
            part = view[filled : filled + _MAX_READ_BYTES]
            try:
                count = self._read_some(part, start + filled)
            except OSError:  # the disk failed, or a network share is gone
                count = 0
            if not count:
                return  # the file is truncated: verification will fail
            filled += count

    def _read_some(self, view: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._stream.fileno(), [view], start)
        with self._reading_lock:
            self._stream.seek(start)
            return self._stream.readinto(view) or 0


def write_derived_file(
    path: Path, key: FileKey, sections: Sequence[FileSection], during_rename: AbstractContextManager[object]
) -> bool:
    """Write a file; returns False and changes nothing if there is no space or permission.

    `during_rename` is entered when the file is complete, and exited when it is at its path. If it raises, no file is
    left; errors other than `OSError` propagate.
    """
    descriptions = [[section.name, section.dtype, list(section.shape), section.block] for section in sections]
    metadata = json.dumps(
        {"pack": key.pack, "revision": key.revision, "token": key.token, "sections": descriptions}
    ).encode()
    placements, end = _placements(descriptions, _HEADER.size + len(metadata))
    length = end + _DIGEST_SIZE * sum(placement.blocks for placement in placements.values())
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < length + _SPARE_SPACE:
            return False
        with new_file(path, suffix=f".{path.stem}", sync=False, during_rename=during_rename) as part:
            digests = bytearray()
            part.stream.write(bytes(_HEADER.size + len(metadata)))  # not sparse: a full disk could not overwrite a hole
            for section in sections:
                part.stream.seek(placements[section.name].start)
                for block in _write_blocks(part.stream, section):
                    digests += block
            part.stream.seek(end)
            part.stream.write(digests)
            part.stream.seek(0)
            part.stream.write(_header(metadata, length, bytes(digests)) + metadata)
    except OSError:
        return False
    return True


def read_derived_file(path: Path, pack: PackIdentity, token: object) -> DerivedFile | None:
    """Return a file; None if it is missing, damaged, overwritten, or has another pack or token."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            return None
        stream = path.open("rb", buffering=0)
    except OSError:
        return None
    try:
        return _open_verified(stream, _digest_of(pack), token)
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        stream.close()
        return None


def _open_verified(stream: RawIOBase, pack: str, token: object) -> DerivedFile:
    header = stream.read(_HEADER.size)
    magic, version, metadata_length, length, _ = _HEADER.unpack(header)
    if (magic, version) != (_MAGIC, _FORMAT) or metadata_length > _MAX_JSON:
        raise ValueError("not a derived file of this format")
    metadata = stream.read(metadata_length)
    content = json.loads(metadata)
    key = FileKey(str(content["pack"]), int(content["revision"]), str(content["token"]))
    if (key.pack, key.token) != (pack, token) or token in _damaged_tokens:
        raise ValueError("another pack's file, or an overwritten one")
    placements, end = _placements(content["sections"], _HEADER.size + metadata_length)
    digests_length = _DIGEST_SIZE * sum(placement.blocks for placement in placements.values())
    if not os.fstat(stream.fileno()).st_size == length == end + digests_length:
        raise ValueError("truncated")
    stream.seek(end)
    digests = stream.read(digests_length)
    if _header(metadata, length, digests) != header:
        raise ValueError("damaged")
    return DerivedFile(stream, key, placements, digests)


def _digest_of(pack: PackIdentity) -> str:
    return hashlib.sha256(pack.digest.encode()).hexdigest()


def _header(metadata: bytes, length: int, digests: bytes) -> bytes:
    fields = (_MAGIC, _FORMAT, len(metadata), length)
    seal = hashlib.sha256(_HEADER.pack(*fields, bytes(_DIGEST_SIZE)) + metadata + digests).digest()
    return _HEADER.pack(*fields, seal)


def _placements(descriptions: Sequence[Sequence[Any]], start: int) -> tuple[dict[str, _Placement], int]:
    """Return the sections' positions from byte `start` on, and their end; raises `ValueError` if one is invalid."""
    placements: dict[str, _Placement] = {}
    digests = 0
    for name, dtype, shape, block in descriptions:
        is_valid = dtype in _DTYPES and block in {WHOLE, IN_PIECES} and name not in placements
        if (
            not is_valid
            or not all(type(size) is int and 0 <= size < 1 << 40 for size in shape)
            or not 1 <= len(shape) <= 3
        ):
            raise ValueError("invalid section")
        start += -start % _ALIGNMENT
        placement = _Placement(dtype, tuple(shape), block, start, digests)
        start, digests = start + placement.size, digests + placement.blocks
        placements[name] = placement
    return placements, start


def _write_blocks(stream: IO[bytes], section: FileSection) -> Iterator[bytes]:
    """Write a section and yield the digests of its blocks; raises `ValueError` if the rows do not have its shape."""
    pending = bytearray()
    size = 0
    for part in section.parts:
        data = np.ascontiguousarray(part, dtype=section.dtype).reshape(-1).view(np.uint8).data
        stream.write(data)
        size += len(data)
        completing = min(-len(pending) % section.block, len(data)) if pending else 0  # bytes up to the block's end
        pending += data[:completing]
        if len(pending) == section.block:
            yield hashlib.sha256(pending).digest()
            pending.clear()
        if not pending:
            full = len(data) - (len(data) - completing) % section.block
            starts = range(completing, full, section.block)
            yield from _block_digests([data[start : start + section.block] for start in starts])
            pending += data[full:]
    if size != np.dtype(section.dtype).itemsize * math.prod(section.shape):
        raise ValueError(f"section {section.name} has {size} bytes")
    if pending:
        yield hashlib.sha256(pending).digest()


def _block_digests(pieces: Sequence[memoryview]) -> Iterator[bytes]:
    """Yield the digests of blocks, computed in parallel if they are large."""
    groups = [pieces[offset : offset + _BLOCKS_PER_TASK] for offset in range(0, len(pieces), _BLOCKS_PER_TASK)]
    is_large = sum(map(len, pieces)) >= 8 * WHOLE
    yield from itertools.chain.from_iterable((map_in_threads if is_large else map)(_digests, groups))


def _digests(pieces: Sequence[memoryview]) -> list[bytes]:
    return [hashlib.sha256(piece).digest() for piece in pieces]
