"""The vectors of a large gallery in one file that is made from it, mapped rather than read: a disposable cache.

It belongs to a gallery by a token that is drawn when it is written and kept in the gallery: whoever holds the token
comes, by whatever changes, from the gallery as it was then. What is in it is the gallery's at one revision. It is its
owner's alone, appears under its name when it is whole, and is not used before its length, its header and the SHA-256
of every piece agree. Whoever forgets somebody overwrites it (`facebank.gallery.derived`), from its beginning on: who
has it mapped finds its header gone after reading, and does not use what was read.

The layout, little-endian: a header; the listing (`vector_tables.listing`); the parts' scales and centres; their bounds;
the codes; the vectors; the digests.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
import shutil
import stat
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facebank.errors import GalleryBusyError
from facebank.gallery.store.codec import LARGEST_DIMENSION
from facebank.index.codes import PART_SIZE, CodedPart, CodeScale
from facebank.storage.files import PRIVATE_FOLDER, new_file
from facebank.storage.leftovers import wipe_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from numpy.typing import NDArray

    from facebank.gallery.records import PackIdentity
    from facebank.types import FloatArray

_MAGIC = b"facebank vectors"
_FORMAT = 1
_HEADER = struct.Struct("<16sIIQIIq32s16s32s")
_HEADER_SIZE = 4096
_PIECE = 4 << 20  # bytes that one digest is of
_SPARE_SPACE = 256 << 20  # bytes that are left free on the disk
_MOST_VECTORS = 1 << 32
_BITS = 8


@dataclass(frozen=True, slots=True)
class IndexKey:
    """What a file belongs to.

    Attributes
    ----------
    pack
        SHA-256 in hex of the digest of the pack that made the vectors.
    dimension
        Length of a vector.
    revision
        The gallery's.
    token
        32 hex digits.
    """

    pack: str
    dimension: int
    revision: int
    token: str

    @classmethod
    def draw(cls, pack: PackIdentity, revision: int) -> Self:
        """Return a key with a new token."""
        return cls(_digest_of(pack), pack.dimension, revision, secrets.token_hex(16))


class MappedRows:
    """The vectors of a file, read when they are needed.

    Parameters
    ----------
    stream
        The file; it may be closed afterwards.
    header
        The bytes that it begins with while it counts.
    ids
        The vectors' numbers, rising.
    layout
        Where they are.
    """

    def __init__(self, stream: IO[bytes], header: bytes, ids: NDArray[np.int64], layout: _Layout) -> None:
        self.ids = ids
        self._header = header
        self._map: mmap.mmap | None = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(self._map, "madvise"):  # not everywhere
            self._map.madvise(mmap.MADV_RANDOM)
        numbers = np.frombuffer(self._map, "<f4", count=layout.count * layout.dimension, offset=layout.vectors)
        self._rows: FloatArray | None = numbers.reshape(layout.count, layout.dimension)

    @property
    def is_intact(self) -> bool:
        """Whether the file is as it was opened: nobody overwrote it."""
        return self._map is not None and self._map[: len(self._header)] == self._header

    def rows(self, places: NDArray[np.int64]) -> FloatArray:
        """Return vectors ``(N, dimension)``; `GalleryBusyError` if the file was overwritten."""
        rows = None if self._rows is None else self._rows[places]
        if rows is None or not self.is_intact:
            raise GalleryBusyError(
                "Another process has just rewritten what this gallery is searched with, to forget somebody, say: "
                "search again."
            )
        return rows.astype(np.float32, copy=False)

    def close(self) -> None:
        """Let go of the file."""
        self._rows = self._map = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredIndex:
    """What a file holds.

    Attributes
    ----------
    key
        What it belongs to.
    listing
        As `vector_tables.listing`, ``(N, 3)``.
    parts
        The vectors' codes.
    rows
        The vectors.
    """

    key: IndexKey
    listing: NDArray[np.int64]
    parts: list[CodedPart]
    rows: MappedRows


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything is in a file of so many vectors."""

    count: int
    dimension: int

    @property
    def parts(self) -> int:
        return -(-self.count // PART_SIZE)

    @property
    def scales(self) -> int:
        return _HEADER_SIZE + 24 * self.count

    @property
    def bounds(self) -> int:
        return self.scales + 8 * self.dimension * self.parts

    @property
    def codes(self) -> int:
        return self.bounds + 24 * self.parts

    @property
    def vectors(self) -> int:
        end = self.codes + self.count * self.dimension
        return end + -end % _HEADER_SIZE

    @property
    def digests(self) -> int:
        return self.vectors + 4 * self.count * self.dimension

    @property
    def pieces(self) -> int:
        return -(-(self.digests - _HEADER_SIZE) // _PIECE)

    @property
    def size(self) -> int:
        return self.digests + 32 * self.pieces


def write_index_file(
    path: Path,
    key: IndexKey,
    count: int,
    blocks: Iterable[tuple[NDArray[np.int64], FloatArray]],
) -> StoredIndex | None:
    """Write a file and return what it holds.

    Parameters
    ----------
    path
        Where.
    key
        What it belongs to.
    count
        How many vectors there are.
    blocks
        Their listing and they themselves, `PART_SIZE` at a time and the rest in the end, in the order of their numbers.

    Returns
    -------
    StoredIndex | None
        None if it cannot be written, for want of room or permission, say: then all is as if nothing had been tried.
    """
    layout = _Layout(count, key.dimension)
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < layout.size + _SPARE_SPACE:
            return None
        with new_file(path, suffix=f".{path.stem}", sync=False) as part:
            listing, parts = _write_vectors(part.stream, layout, blocks)
            _write_rest(part.stream, listing, parts)
            header = _finish(part.stream, layout, key)
            wipe_file(path)
            rows = MappedRows(part.stream, header, listing[:, 0].copy(), layout)
        return StoredIndex(key, listing, parts, rows)
    except OSError:
        return None


def read_index_file(path: Path, pack: PackIdentity, token: object) -> StoredIndex | None:
    """Return what a file holds; None if there is none, or it is damaged or belongs to something else."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
            return None
        with path.open("rb") as stream:
            header = stream.read(_HEADER.size)
            key, layout = _read_header(header)
            if (key.pack, key.dimension, key.token) != (_digest_of(pack), pack.dimension, token):
                return None
            if os.fstat(stream.fileno()).st_size != layout.size or _sealed(stream, layout, key) != header:
                return None
            return _read_rest(stream, layout, key, header)
    except (OSError, ValueError, struct.error):
        return None


def names_token(path: Path, token: str) -> bool:
    """Return whether a file says that it is of a token; it is not looked at any further."""
    try:
        with path.open("rb") as stream:
            return _read_header(stream.read(_HEADER.size))[0].token == token
    except (OSError, ValueError, struct.error):
        return False


def _digest_of(pack: PackIdentity) -> str:
    return hashlib.sha256(pack.digest.encode()).hexdigest()


def _write_vectors(
    stream: IO[bytes], layout: _Layout, blocks: Iterable[tuple[NDArray[np.int64], FloatArray]]
) -> tuple[NDArray[np.int64], list[CodedPart]]:
    listings, parts = [np.empty((0, 3), dtype=np.int64)], []
    stream.seek(layout.vectors)
    for listing, rows in blocks:
        stream.write(np.ascontiguousarray(rows, dtype="<f4").data)
        parts.append(CodedPart.of(listing[:, 0].copy(), rows, _BITS))
        listings.append(listing)
    return np.concatenate(listings), parts


def _write_rest(stream: IO[bytes], listing: NDArray[np.int64], parts: list[CodedPart]) -> None:
    scales = [part.scale for part in parts]
    stream.seek(_HEADER_SIZE)
    stream.write(listing.astype("<i8").tobytes())
    stream.write(np.array([[scale.scale, scale.centre] for scale in scales], dtype="<f4").tobytes())
    stream.write(np.array([[scale.residual, scale.reach, scale.length] for scale in scales], dtype="<f8").tobytes())
    for part in parts:
        stream.write(part.codes.data)
    stream.flush()


def _finish(stream: IO[bytes], layout: _Layout, key: IndexKey) -> bytes:
    """Write the digests, and last of all the header."""
    digests = b"".join(_digests(stream, layout))
    stream.seek(layout.digests)
    stream.write(digests)
    header = _header(layout, key, digests)
    stream.seek(0)
    stream.write(header)
    stream.flush()
    return header


def _sealed(stream: IO[bytes], layout: _Layout, key: IndexKey) -> bytes:
    """Return the header that fits what the file holds; nothing where a piece does not fit its digest."""
    stream.seek(layout.digests)
    digests = stream.read(32 * layout.pieces)
    return _header(layout, key, digests) if b"".join(_digests(stream, layout)) == digests else b""


def _header(layout: _Layout, key: IndexKey, digests: bytes) -> bytes:
    pack, token = bytes.fromhex(key.pack), bytes.fromhex(key.token)
    fields = (_MAGIC, _FORMAT, PART_SIZE, layout.count, layout.dimension, _BITS, key.revision, pack, token)
    seal = hashlib.sha256(_HEADER.pack(*fields, bytes(32)) + digests).digest()
    return _HEADER.pack(*fields, seal)


def _read_header(header: bytes) -> tuple[IndexKey, _Layout]:
    magic, version, part_size, count, dimension, bits, revision, pack, token, _ = _HEADER.unpack(header)
    if (magic, version, part_size, bits) != (_MAGIC, _FORMAT, PART_SIZE, _BITS):
        raise ValueError("it is another kind of file")
    if not (0 < count <= _MOST_VECTORS and 0 < dimension <= LARGEST_DIMENSION and revision >= 0):
        raise ValueError("there can be no such file")
    return IndexKey(pack.hex(), dimension, revision, token.hex()), _Layout(count, dimension)


def _digests(stream: IO[bytes], layout: _Layout) -> Iterator[bytes]:
    """Yield the SHA-256 of every piece, from the listing to the vectors' end."""
    workers = max(1, os.cpu_count() or 1)
    stream.seek(_HEADER_SIZE)
    left = layout.digests - _HEADER_SIZE
    with ThreadPoolExecutor(workers) as pool:
        while left:
            sizes = [min(_PIECE, left - start) for start in range(0, min(left, 2 * workers * _PIECE), _PIECE)]
            pieces = [stream.read(size) for size in sizes]
            yield from pool.map(lambda piece: hashlib.sha256(piece).digest(), pieces)
            left -= sum(sizes)


def _read_rest(stream: IO[bytes], layout: _Layout, key: IndexKey, header: bytes) -> StoredIndex | None:
    stream.seek(_HEADER_SIZE)
    listing = _array(stream, "<i8", (layout.count, 3)).astype(np.int64)
    scales = _array(stream, "<f4", (layout.parts, 2, layout.dimension)).astype(np.float32)
    bounds = _array(stream, "<f8", (layout.parts, 3))
    if (np.diff(listing[:, 0]) <= 0).any() or not (np.isfinite(scales).all() and np.isfinite(bounds).all()):
        return None
    ids, parts = listing[:, 0].copy(), []
    for place, ((scale, centre), numbers) in enumerate(zip(scales, bounds.tolist(), strict=True)):
        of_part = ids[place * PART_SIZE : (place + 1) * PART_SIZE]
        codes = _array(stream, "|u1", (len(of_part), layout.dimension))
        parts.append(CodedPart(of_part, CodeScale(_BITS, scale, centre, *numbers), codes))
    return StoredIndex(key, listing, parts, MappedRows(stream, header, ids, layout))


def _array(stream: IO[bytes], kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = np.dtype(kind)
    data = stream.read(dtype.itemsize * int(np.prod(shape)))
    return np.frombuffer(data, dtype=dtype).reshape(shape)
