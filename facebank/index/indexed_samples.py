"""Samples for building a gallery's index, read from the gallery or from the index file of an earlier revision.

An earlier index file is reused if embeddings were only added since (see `facebank.gallery.additions`): then all other
samples are read from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.gallery.additions import GalleryMark
from facebank.gallery.records import PLAIN
from facebank.gallery.samples import Owners
from facebank.index.encoded_names import EncodedNames
from facebank.index.people_index import group_by_person
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facebank.gallery import Gallery, VectorTable
    from facebank.gallery.additions import Additions
    from facebank.index.derived_file import DerivedFile
    from facebank.types import FloatArray

MASK = "augmented:mask"  # variant of a sample's embedding: the face with a drawn mask

# Weight of the masked embedding relative to the plain one; chosen by benchmarks/masks.py on LFW's development people.
MASK_WEIGHT = 0.5
_ROWS_PER_BLOCK = 16_384


class Origin(NamedTuple):
    """State of the gallery that an index was built from, to build a later index from it."""

    mark: GalleryMark
    is_mixed: bool  # whether any embedding is mixed with a drawn mask
    sample_ids: NDArray[np.int64]

    def to_json(self) -> bytes:
        """Return everything but the sample ids as JSON."""
        return json.dumps({"mark": self.mark.to_json(), "is_mixed": self.is_mixed}).encode()

    @classmethod
    def read(cls, file: DerivedFile) -> Origin | None:
        """Return the origin of the index in a file; None in a file of an earlier version."""
        if "origin" not in file:
            return None
        content = json.loads(file.read("origin").tobytes())
        return cls(GalleryMark.from_json(content["mark"]), bool(content["is_mixed"]), file.read("sample_ids"))


@dataclass(frozen=True, slots=True, eq=False)
class IndexedSamples:
    """N >= 1 samples without a mask, ordered by person id and sample id."""

    sample_ids: NDArray[np.int64]  # (N,)
    person_ids: NDArray[np.int64]  # (N,)
    qualities: FloatArray  # 0..1, ``float32`` of shape (N,)
    embeddings: FloatArray  # ``float32`` of shape (N, D)
    mixed: FloatArray | None  # the embeddings, mixed with a drawn mask where there is one, (N, D); None without masks
    names: Mapping[int, str]  # by person id, of these people and perhaps of others
    origin: Origin | None  # None for a gallery of an old version


def mix_masks(plain: FloatArray, masked: FloatArray) -> FloatArray:
    """Return the weighted means of plain and masked embeddings, L2-normalized; all ``float32`` of shape ``(N, D)``."""
    return normalized((plain + MASK_WEIGHT * masked).astype(np.float64)).astype(np.float32)


def read_samples(gallery: Gallery) -> IndexedSamples | None:
    """Return the samples of a gallery; None if there are none."""
    table, qualities = gallery.rated_vectors()
    if not len(table.sample_ids):
        return None
    sample_ids, person_ids, matrix = table.sample_ids, table.person_ids, table.matrix
    mixed = _with_masks(table, gallery.vectors(MASK))
    _, _, order = group_by_person(person_ids)
    if order is not None:
        sample_ids, person_ids = sample_ids[order], person_ids[order]
        qualities, matrix = qualities[order], matrix[order]
        mixed = None if mixed is None else mixed[order]
    mark = gallery.mark((PLAIN, MASK))
    origin = None if mark is None else Origin(mark, mixed is not None, sample_ids)
    return IndexedSamples(sample_ids, person_ids, qualities, matrix, mixed, gallery.name_table(), origin)


def _with_masks(plain: VectorTable, masks: VectorTable) -> FloatArray | None:
    """Return the samples' embeddings, mixed with a drawn mask where there is one; None without masks."""
    if not len(masks.sample_ids):
        return None
    mixed = plain.matrix.copy()
    rows = np.searchsorted(plain.sample_ids, masks.sample_ids)
    mixed[rows] = mix_masks(mixed[rows], masks.matrix)
    return mixed


def follow_samples(gallery: Gallery, file: DerivedFile) -> IndexedSamples | None:
    """Return the samples of a gallery, most of them from the file of an earlier revision; None if it cannot be reused.

    Raises `facebank.gallery.store.file.ReadAgainError` as `DerivedFile.read` does.
    """
    before = Origin.read(file)
    mark = gallery.mark((PLAIN, MASK))
    added = None if before is None else gallery.added_since(before.mark)
    if before is None or mark is None or added is None:
        return None
    owners = _owners(gallery, file, before, added)
    order = np.lexsort((owners.sample_ids, owners.person_ids))
    sample_ids, person_ids, qualities = owners.sample_ids[order], owners.person_ids[order], owners.qualities[order]
    new_ids, new_embeddings = added.vectors[PLAIN]
    rows = _positions(sample_ids, np.concatenate([before.sample_ids, new_ids]))
    if rows is None or not len(rows):
        return None
    embeddings = _gather(file, "bare.vectors", rows, new_embeddings)
    mixed = _mix(file, before, added, rows, sample_ids)
    names = _names(gallery, file, added, np.unique(person_ids))
    origin = Origin(mark, mixed is not None, sample_ids)
    return IndexedSamples(sample_ids, person_ids, qualities, embeddings, mixed, names, origin)


def _owners(gallery: Gallery, file: DerivedFile, before: Origin, added: Additions) -> Owners:
    if added.owners is None:  # samples belong to other people now, for example after a merge
        return gallery.owners()
    person_ids = np.repeat(file.read("people"), np.diff(file.read("bare.starts")))
    return Owners(
        np.concatenate([before.sample_ids, added.owners.sample_ids]),
        np.concatenate([person_ids, added.owners.person_ids]),
        np.concatenate([file.read("bare.qualities"), added.owners.qualities]),
    )


def _positions(ids: NDArray[np.int64], unordered_ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the positions of ids among unordered ones; None if one is missing."""
    order = np.argsort(unordered_ids, kind="stable")
    positions = order[np.searchsorted(unordered_ids, ids, sorter=order).clip(max=len(unordered_ids) - 1)]
    return positions if np.array_equal(unordered_ids[positions], ids) else None


def _gather(file: DerivedFile, name: str, rows: NDArray[np.int64], new_rows: FloatArray) -> FloatArray:
    """Return the given rows of a section to which new rows are appended."""
    count, dimension = file.shape(name)
    gathered = np.empty((len(rows), dimension), np.float32)
    is_kept = rows < count
    targets = np.full(count, -1)
    targets[rows[is_kept]] = np.flatnonzero(is_kept)
    for start in range(0, count, _ROWS_PER_BLOCK):
        block_targets = targets[start : start + _ROWS_PER_BLOCK]
        if block_targets[0] >= 0 and (np.diff(block_targets) == 1).all():  # contiguous: no copy
            file.read_into(name, start, gathered[block_targets[0] : block_targets[-1] + 1])
        else:
            block = file.read(name, start, start + len(block_targets))
            gathered[block_targets[block_targets >= 0]] = block[block_targets >= 0]
    gathered[~is_kept] = new_rows[rows[~is_kept] - count]
    return gathered


def _mix(
    file: DerivedFile, before: Origin, added: Additions, rows: NDArray[np.int64], sample_ids: NDArray[np.int64]
) -> FloatArray | None:
    """Return the samples mixed with a drawn mask, by sample ids and by rows as in `_gather`; None without masks."""
    masked_ids, masks = added.vectors[MASK]
    is_wanted = np.isin(masked_ids, sample_ids)
    masked_ids, masks = masked_ids[is_wanted], masks[is_wanted]
    if not (before.is_mixed or len(masked_ids)):
        return None
    _, plain = added.vectors[PLAIN]
    count = len(before.sample_ids)
    if before.is_mixed:
        starts, masked_starts = file.read("bare.starts"), file.read("masked.starts")
        shift = np.repeat(masked_starts[:-1] - starts[:-1], np.diff(starts))  # worn masks follow bare faces
        rows = np.concatenate([np.arange(count) + shift, masked_starts[-1] + np.arange(len(plain))])[rows]
    mixed = _gather(file, "masked.vectors" if before.is_mixed else "bare.vectors", rows, plain)
    positions = _positions(masked_ids, sample_ids)
    assert positions is not None  # noqa: S101 - they are a subset of `sample_ids`
    mixed[positions] = mix_masks(mixed[positions], masks)
    return mixed


def _names(gallery: Gallery, file: DerivedFile, added: Additions, person_ids: NDArray[np.int64]) -> Mapping[int, str]:
    """Return the names of people, from the file and from what was added."""
    stored_ids = file.read("people")
    is_stored = np.isin(person_ids, stored_ids)
    if added.names is None or not added.names.keys() >= set(person_ids[~is_stored].tolist()):
        return gallery.name_table()
    stored = EncodedNames(stored_ids, file.read("names").tobytes(), file.read("name_ends"))
    stored_names = EncodedNames.of(stored, person_ids[is_stored])
    if is_stored.all():
        return stored_names
    if (np.diff(is_stored.astype(np.int8)) > 0).any():
        return gallery.name_table()
    new_names = EncodedNames.of(added.names, person_ids[~is_stored])
    ends = np.concatenate([stored_names.ends, stored_names.ends[-1] + new_names.ends[1:]])
    return EncodedNames(person_ids, stored_names.text + new_names.text, ends)
