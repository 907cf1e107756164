"""Samples for building a gallery's index, read from the gallery or from the index file of an earlier revision.

An earlier index file is reused if embeddings were only added since (see `facebank.gallery.additions`): then all other
samples are read from it.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.gallery.additions import Mark
from facebank.gallery.names import NamesInOrder, NameTable
from facebank.gallery.records import PLAIN
from facebank.gallery.samples import Owners
from facebank.index.people_index import by_person
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from facebank.gallery import Gallery, VectorTable
    from facebank.gallery.additions import Additions
    from facebank.index.derived_file import DerivedFile
    from facebank.types import FloatArray

MASK = "augmented:mask"  # variant of a sample's embedding: the face with a drawn mask

# Weight of the masked embedding relative to the plain one; chosen by benchmarks/masks.py on LFW's development people.
MASK_WEIGHT = 0.5
_ROWS_AT_ONCE = 16_384


class Origin(NamedTuple):
    """State of the gallery that an index was built from, to build a later index from it."""

    mark: Mark
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
        return cls(Mark.from_json(content["mark"]), bool(content["is_mixed"]), file.read("sample_ids"))


@dataclass(frozen=True, slots=True, eq=False)
class IndexedSamples:
    """N >= 1 samples without a mask, ordered by person id and sample id."""

    sample_ids: NDArray[np.int64]  # (N,)
    person_ids: NDArray[np.int64]  # (N,)
    qualities: FloatArray  # 0..1, ``float32`` of shape (N,)
    vectors: FloatArray  # ``float32`` of shape (N, D)
    mixed: FloatArray | None  # the vectors, mixed with a drawn mask where there is one, (N, D); None without masks
    names: Mapping[int, str]  # by person id, of these people and perhaps of others
    origin: Origin | None  # None for a gallery of an old version


class EncodedNames(NamesInOrder):
    """Names in memory, by person id.

    Parameters
    ----------
    numbers
        The person ids, rising: ``int64`` of shape ``(P,)``.
    text
        All names in UTF-8, in that order.
    ends
        The first byte of each name, and the end: ``int64`` of shape ``(P + 1,)``.
    """

    def __init__(self, numbers: NDArray[np.int64], text: bytes, ends: NDArray[np.int64]) -> None:
        self.numbers = numbers
        self.text = text
        self.ends = ends

    @classmethod
    def of(cls, names: Mapping[int, str], numbers: NDArray[np.int64]) -> EncodedNames:
        """Return the names of the given person ids, which are rising."""
        if isinstance(names, NameTable):
            names = cls(*names.encode())
        if isinstance(names, EncodedNames):
            if np.array_equal(names.numbers, numbers):
                return names
            texts = names.names()
            wanted = np.isin(names.numbers, numbers).tolist()
            encoded = [text.encode() for text, is_wanted in zip(texts, wanted, strict=True) if is_wanted]
        else:
            encoded = [names[number].encode() for number in numbers.tolist()]
        return cls(numbers, b"".join(encoded), np.cumsum([0, *map(len, encoded)]))

    def __getitem__(self, number: int) -> str:
        place = int(self.numbers.searchsorted(number))
        if place == len(self.numbers) or self.numbers[place] != number:
            raise KeyError(number)
        return self.text[self.ends[place] : self.ends[place + 1]].decode()

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers.tolist())

    def __len__(self) -> int:
        return len(self.numbers)

    def names(self) -> Iterator[str]:
        """Return the names in the order of the person ids."""
        return (self.text[start:end].decode() for start, end in itertools.pairwise(self.ends.tolist()))


def mix_masks(plain: FloatArray, masked: FloatArray) -> FloatArray:
    """Return the weighted means of plain and masked embeddings, L2-normalized; all ``float32`` of shape ``(N, D)``."""
    return normalized((plain + MASK_WEIGHT * masked).astype(np.float64)).astype(np.float32)


def read_samples(gallery: Gallery) -> IndexedSamples | None:
    """Return the samples of a gallery; None if there are none."""
    table, qualities = gallery.rated_vectors()
    if not len(table.sample_ids):
        return None
    numbers, people, matrix = table.sample_ids, table.person_ids, table.matrix
    mixed = _with_masks(table, gallery.vectors(MASK))
    _, _, order = by_person(people)
    if order is not None:
        numbers, people, qualities, matrix = numbers[order], people[order], qualities[order], matrix[order]
        mixed = None if mixed is None else mixed[order]
    mark = gallery.mark((PLAIN, MASK))
    origin = None if mark is None else Origin(mark, mixed is not None, numbers)
    return IndexedSamples(numbers, people, qualities, matrix, mixed, gallery.name_table(), origin)


def _with_masks(plain: VectorTable, masks: VectorTable) -> FloatArray | None:
    """Return the samples' embeddings, mixed with a drawn mask where there is one; None without masks."""
    if not len(masks.sample_ids):
        return None
    mixed = plain.matrix.copy()
    having = np.searchsorted(plain.sample_ids, masks.sample_ids)
    mixed[having] = mix_masks(mixed[having], masks.matrix)
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
    numbers, people, qualities = owners.sample_ids[order], owners.person_ids[order], owners.qualities[order]
    new_ids, new_vectors = added.vectors[PLAIN]
    rows = _places(numbers, np.concatenate([before.sample_ids, new_ids]))
    if rows is None or not len(rows):
        return None
    vectors = _gather(file, "bare.vectors", rows, new_vectors)
    mixed = _mix(file, before, added, rows, numbers)
    names = _names(gallery, file, added, np.unique(people))
    return IndexedSamples(numbers, people, qualities, vectors, mixed, names, Origin(mark, mixed is not None, numbers))


def _owners(gallery: Gallery, file: DerivedFile, before: Origin, added: Additions) -> Owners:
    if added.owners is None:  # samples have changed hands, for example by merging people
        return gallery.owners()
    people = np.repeat(file.read("people"), np.diff(file.read("bare.starts")))
    return Owners(
        np.concatenate([before.sample_ids, added.owners.sample_ids]),
        np.concatenate([people, added.owners.person_ids]),
        np.concatenate([file.read("bare.qualities"), added.owners.qualities]),
    )


def _places(wanted: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the positions of wanted numbers among unordered ones; None if one is missing."""
    order = np.argsort(numbers, kind="stable")
    places = order[np.searchsorted(numbers, wanted, sorter=order).clip(max=len(numbers) - 1)]
    return places if np.array_equal(numbers[places], wanted) else None


def _gather(file: DerivedFile, name: str, rows: NDArray[np.int64], further: FloatArray) -> FloatArray:
    """Return the given rows of a section with further rows appended."""
    count, dimension = file.shape(name)
    gathered = np.empty((len(rows), dimension), np.float32)
    is_kept = rows < count
    goals = np.full(count, -1)
    goals[rows[is_kept]] = np.flatnonzero(is_kept)
    for start in range(0, count, _ROWS_AT_ONCE):
        theirs = goals[start : start + _ROWS_AT_ONCE]
        if theirs[0] >= 0 and (np.diff(theirs) == 1).all():  # contiguous: no copy
            file.read_into(name, start, gathered[theirs[0] : theirs[-1] + 1])
        else:
            block = file.read(name, start, start + len(theirs))
            gathered[theirs[theirs >= 0]] = block[theirs >= 0]
    gathered[~is_kept] = further[rows[~is_kept] - count]
    return gathered


def _mix(
    file: DerivedFile, before: Origin, added: Additions, rows: NDArray[np.int64], numbers: NDArray[np.int64]
) -> FloatArray | None:
    """Return the samples mixed with a drawn mask, by sample ids and by rows as in `_gather`; None without masks."""
    masked_ids, masks = added.vectors[MASK]
    is_wanted = np.isin(masked_ids, numbers)
    masked_ids, masks = masked_ids[is_wanted], masks[is_wanted]
    if not (before.is_mixed or len(masked_ids)):
        return None
    _, plain = added.vectors[PLAIN]
    known = len(before.sample_ids)
    if before.is_mixed:
        bare, masked = file.read("bare.starts"), file.read("masked.starts")
        shift = np.repeat(masked[:-1] - bare[:-1], np.diff(bare))  # worn masks follow a person's bare samples
        rows = np.concatenate([np.arange(known) + shift, masked[-1] + np.arange(len(plain))])[rows]
    mixed = _gather(file, "masked.vectors" if before.is_mixed else "bare.vectors", rows, plain)
    places = _places(masked_ids, numbers)
    assert places is not None  # noqa: S101 - they are a subset of `numbers`
    mixed[places] = mix_masks(mixed[places], masks)
    return mixed


def _names(gallery: Gallery, file: DerivedFile, added: Additions, people: NDArray[np.int64]) -> Mapping[int, str]:
    """Return the names of people, from the file and from what was added."""
    known = file.read("people")
    is_known = np.isin(people, known)
    if added.names is None or not added.names.keys() >= set(people[~is_known].tolist()):
        return gallery.name_table()
    stored = EncodedNames(known, file.read("names").tobytes(), file.read("name_ends"))
    kept = EncodedNames.of(stored, people[is_known])
    if is_known.all():
        return kept
    if (np.diff(is_known.astype(np.int8)) > 0).any():
        return gallery.name_table()
    further = EncodedNames.of(added.names, people[~is_known])
    ends = np.concatenate([kept.ends, kept.ends[-1] + further.ends[1:]])
    return EncodedNames(people, kept.text + further.text, ends)
