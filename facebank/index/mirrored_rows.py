"""Rows of a gallery's mirror, by key and digest: those that a vector store holds, and those that it should hold.

A person's only sample also serves as the prototype if their distance is less than `MAX_DEVIATION`; otherwise both are
mirrored.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.errors import GalleryError, StorageError
from facebank.gallery.derived import index_file
from facebank.gallery.store.file import ReadAgainError
from facebank.index.derived_file import FileKey, FileSection, read_derived_file, write_derived_file
from facebank.index.exact import lengths
from facebank.index.gallery_index import MIN_CACHED_SAMPLES
from facebank.index.vector_store import KeyPlaces, VectorGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.gallery.mirrors import MirrorRecord
    from facebank.index.gallery_index import GalleryIndex
    from facebank.index.people_index import PeopleIndex
    from facebank.index.vector_store import VectorStore
    from facebank.types import FloatArray

MAX_DEVIATION = 2e-6  # Euclidean distance of a sample to the prototype that it serves as
_MAX_NORM_ERROR = 1e-6  # deviation from length 1; rounding a prototype to float32 moves it by less than 1e-7
_ROWS_SETTING = "mirror_rows"
_ROWS_PER_BLOCK = 8192
_DIGEST_SIZE = 8  # bytes


class StoredRows(NamedTuple):
    """Keys in ascending order and the digests of their vectors, both ``int64`` of shape ``(N,)``."""

    keys: NDArray[np.int64]
    digests: NDArray[np.int64]

    @classmethod
    def empty(cls) -> StoredRows:
        """Return an instance without rows."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    def compare(self, target: StoredRows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return masks of the rows to delete, and of the `target` rows to add."""
        is_mirrored = np.isin(self.keys, target.keys, assume_unique=True)
        is_known = np.isin(target.keys, self.keys, assume_unique=True)
        is_same = self.digests[is_mirrored] == target.digests[is_known]
        removed, added = ~is_mirrored, ~is_known
        removed[np.flatnonzero(is_mirrored)[~is_same]] = True
        added[np.flatnonzero(is_known)[~is_same]] = True
        return removed, added

    def locate(
        self,
        groups: Sequence[VectorGroup],
        find_positions: Callable[[VectorGroup, NDArray[np.int64]], NDArray[np.int64]],
    ) -> KeyPlaces:
        """Return the keys of some groups with their positions, as `find_positions` returns for a group's ids."""
        keys = self.keys[np.isin(self.keys % len(VectorGroup), groups)]
        positions = np.empty(len(keys), np.int64)
        for group in groups:
            in_group = keys % len(VectorGroup) == group
            positions[in_group] = find_positions(group, keys[in_group] // len(VectorGroup))
        return KeyPlaces(keys, positions)


@dataclass(frozen=True, slots=True, eq=False)
class MirroredRows:
    """Rows that a store should hold, by ascending key, with their positions in the index: each ``int64``, ``(N,)``."""

    keys: NDArray[np.int64]
    digests: NDArray[np.int64]
    positions: NDArray[np.int64]
    index: GalleryIndex

    def as_stored(self) -> StoredRows:
        """Return the keys and digests."""
        return StoredRows(self.keys, self.digests)

    def add_to(self, store: VectorStore, mask: NDArray[np.bool_]) -> None:
        """Add the rows chosen by a mask ``(N,)`` to a store, in blocks."""
        for group in VectorGroup:
            rows = np.flatnonzero(mask & (self.keys % len(VectorGroup) == group))
            rows = rows[np.argsort(self.positions[rows], kind="stable")]  # reads the index file sequentially
            for start in range(0, len(rows), _ROWS_PER_BLOCK):
                batch = rows[start : start + _ROWS_PER_BLOCK]
                vectors = _vectors_of(self.index, group)(self.positions[batch])
                store.add(group, self.keys[batch], self.digests[batch], vectors)


def rows_to_mirror(sample_ids: NDArray[np.int64], index: GalleryIndex) -> MirroredRows:
    """Return the rows that a store should hold of an index with people; sample ids are in the index's order."""
    people = index.people
    assert people is not None  # noqa: S101 - checked by the caller
    is_single = people.counts == 1
    digests = np.empty(people.count, np.int64)
    for rows in _blocks(people.count):
        vectors = people.embeddings(rows)
        digests[rows] = _digests(vectors)
        is_unnormalized = np.abs(lengths(vectors) - 1.0) > _MAX_NORM_ERROR
        is_single[people.person_indices(rows[is_unnormalized])] = False
    person_indices = people.person_indices(np.arange(people.count))
    groups = np.where(is_single[person_indices], VectorGroup.SINGLE, VectorGroup.SEVERAL)
    several = np.flatnonzero(~is_single)
    parts = [
        (sample_ids * len(VectorGroup) + groups, digests, np.arange(people.count)),
        (
            people.person_ids[several] * len(VectorGroup) + VectorGroup.PROTOTYPE,
            _prototype_digests(people, several),
            several,
        ),
    ]
    if index.masked is not None:
        masked = index.masked[0]
        positions = np.arange(len(masked.person_ids))
        parts.append(
            (
                masked.person_ids * len(VectorGroup) + VectorGroup.MASKED,
                _prototype_digests(masked, positions),
                positions,
            )
        )
    keys, digests, positions = (np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable")
    return MirroredRows(keys[order], digests[order], positions[order], index)


def _vectors_of(index: GalleryIndex, group: VectorGroup) -> Callable[[NDArray[np.int64]], FloatArray]:
    assert index.people is not None  # noqa: S101 - there are rows
    if group is VectorGroup.MASKED:
        assert index.masked is not None  # noqa: S101 - likewise
        return index.masked[0].prototypes_of
    return index.people.prototypes_of if group is VectorGroup.PROTOTYPE else index.people.embeddings


def _prototype_digests(people: PeopleIndex, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    digests = [_digests(people.prototypes_of(positions[rows])) for rows in _blocks(len(positions))]
    return np.concatenate([np.empty(0, np.int64), *digests])


def _digests(vectors: FloatArray) -> NDArray[np.int64]:
    width, data = vectors.shape[1] * 4, np.ascontiguousarray(vectors, "<f4").tobytes()
    digests = b"".join(
        hashlib.blake2b(data[start : start + width], digest_size=_DIGEST_SIZE).digest()
        for start in range(0, len(data), width)
    )
    return np.frombuffer(digests, "<i8").astype(np.int64)


def _blocks(count: int) -> Iterator[NDArray[np.int64]]:
    return (np.arange(start, min(start + _ROWS_PER_BLOCK, count)) for start in range(0, count, _ROWS_PER_BLOCK))


def read_cached_rows(gallery: Gallery, record: MirrorRecord) -> StoredRows | None:
    """Return the cached rows of a mirror as of its record; None if they are not cached."""
    file = None if record.token is None else read_derived_file(_file(gallery, record), gallery.pack, _token(record))
    if file is None or file.key.revision != record.revision:
        return None
    try:
        return StoredRows(file.read("keys").astype(np.int64), file.read("digests").astype(np.int64))
    except ReadAgainError:
        return None


def cache_rows(gallery: Gallery, record: MirrorRecord, rows: StoredRows) -> None:
    """Cache the rows of a large mirror; no-op if they cannot be written."""
    if len(rows.keys) < MIN_CACHED_SAMPLES or record.token is None:
        return
    key = FileKey(FileKey.draw(gallery.pack, record.revision).pack, record.revision, _token(record))
    sections = [
        FileSection("keys", "<i8", rows.keys.shape, [rows.keys]),
        FileSection("digests", "<i8", rows.keys.shape, [rows.digests]),
    ]
    try:
        gallery.note_place()  # first, so that the file can be found and wiped
        write_derived_file(_file(gallery, record), key, sections, _publish(gallery, record))
    except (GalleryError, StorageError):
        return


@contextmanager
def _publish(gallery: Gallery, record: MirrorRecord) -> Iterator[None]:
    """Lock the gallery while a file is moved into place, so that nobody is removed meanwhile.

    Raises `ReadAgainError` if the gallery has changed.
    """
    before = gallery.read_setting(_ROWS_SETTING)
    with gallery.replacing_setting(_ROWS_SETTING, before, _token(record), record.revision) as is_unchanged:
        if not is_unchanged:
            raise ReadAgainError
        yield


def _file(gallery: Gallery, record: MirrorRecord) -> Path:
    path, address_hash = index_file(gallery.path), hashlib.sha256(record.address.encode()).hexdigest()
    return path.with_name(f"{path.name}-{address_hash[:16]}")  # wiped with the index file


def _token(record: MirrorRecord) -> str:
    return f"{record.token or 0:032x}"
