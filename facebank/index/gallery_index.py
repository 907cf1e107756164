"""The index of a gallery at one revision, cached in a file for a large gallery."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import GalleryError, StorageError
from facebank.gallery.derived import INDEX_FILE_SETTING, index_file, wipe_derived
from facebank.gallery.names import NamesInOrder
from facebank.index.codes import PART_SIZE, CodeScale, encode
from facebank.index.derived_file import IN_PIECES, FileKey, Section, read_derived_file, write_derived_file
from facebank.index.exact import lengths
from facebank.index.people_index import QUALITY_FLOOR, PeopleIndex, by_person
from facebank.index.search import CodedPart, CodedSearch
from facebank.storage.arrays import normalized
from facebank.storage.concurrency import SharedLock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.gallery import Gallery, VectorTable
    from facebank.index.derived_file import DerivedFile
    from facebank.index.search import Search
    from facebank.types import FloatArray

MASK = "augmented:mask"  # variant of a sample's embedding: with a drawn mask

# Of a drawn mask beside the plain embedding; chosen with benchmarks/masks.py on LFW's development people.
MASK_WEIGHT = 0.5
KEPT_FROM = 5_001  # samples from which the index is cached: fewer are read from the gallery in 50 ms
_TOLD_FROM = 200 << 20  # bytes of a gallery; making its index takes more than a second

_OPENING = SharedLock()

MaskedPeople = tuple[PeopleIndex, "FloatArray"]


@dataclass(frozen=True, slots=True, eq=False)
class GalleryIndex:
    """The searchable people of a gallery."""

    revision: int  # the gallery's
    people: PeopleIndex | None = None  # the samples with a bare face; None without any
    names: Mapping[int, str] = field(default_factory=dict)  # the names of these people by number
    # known birth dates by number: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``
    birth_dates: Mapping[int, str] = field(default_factory=dict)
    # the same people in drawn or worn masks, and each one's share of samples with a worn mask, 0..1, ``float32`` of
    # shape ``(P,)``; None without such samples
    masked: MaskedPeople | None = None
    # embeddings of remembered strangers, ``float32`` of shape ``(S, D)``
    strangers: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))


def open_index(gallery: Gallery) -> GalleryIndex:
    """Return the current index of a gallery.

    A large gallery's is read from the cache, which is written if missing or outdated. Methods of the index raise
    `GalleryBusyError` if another process overwrites the file to forget somebody: open it anew then.
    """
    may_keep = not (gallery.read_only or gallery.in_transaction)
    with _OPENING:  # several threads make it once
        with gallery.snapshot():
            revision, token, strangers = gallery.revision, gallery.read_setting(INDEX_FILE_SETTING), gallery.strangers()
            kept = None if token is None else read_derived_file(index_file(gallery.path), gallery.pack, token)
            if kept is not None and kept.key.revision == revision:
                return replace(_stored_index(kept), strangers=strangers.matrix)
            if gallery.path.stat().st_size >= _TOLD_FROM:
                logging.getLogger("facebank").warning("preparing the search of a large gallery, once after each change")
            made = replace(_made_index(gallery, revision), strangers=strangers.matrix)
        if may_keep and made.people is not None and made.people.count >= KEPT_FROM:
            return _kept_index(gallery, made) or made
        return made


def mix_masks(plain: FloatArray, masked: FloatArray) -> FloatArray:
    """Return the mix of plain embeddings and those with a drawn mask, both ``float32`` of shape ``(N, D)``."""
    return normalized((plain + MASK_WEIGHT * masked).astype(np.float64)).astype(np.float32)


def masked_people(
    people: PeopleIndex, mixed: FloatArray | None, worn: tuple[FloatArray, NDArray[np.int64], FloatArray] | None
) -> MaskedPeople | None:
    """Return people as they look in masks, and each one's share of samples with a worn mask.

    Parameters
    ----------
    people
        Their samples with a bare face.
    mixed
        The same samples mixed with a drawn mask, in the index's order, ``(N, D)``; None without any.
    worn
        Embeddings, owners and qualities of samples with a worn mask. Those of people without a bare sample are ignored,
        because strangers in masks are too similar to them.
    """
    if worn is None:
        worn = np.empty((0, people.dimension), np.float32), np.empty(0, np.int64), np.empty(0, np.float32)
    vectors, owners, qualities = worn
    known = np.isin(owners, people.people)
    if mixed is None and not known.any():
        return None
    rows = np.arange(people.count)
    bare = people.vectors() if mixed is None else mixed
    person_ids = np.concatenate([people.people[people.owners(rows)], owners[known]]).astype(np.int64)
    weights = np.concatenate([people.qualities(rows), qualities[known]]).astype(np.float32)
    index = PeopleIndex.of(np.concatenate([bare, vectors[known]]), person_ids, weights)
    _, places = np.unique(person_ids, return_inverse=True)
    counted = np.maximum(weights, QUALITY_FLOOR).astype(np.float64)
    share = np.bincount(places, counted * (np.arange(len(places)) >= people.count)) / np.bincount(places, counted)
    return index, share.astype(np.float32)


def _made_index(gallery: Gallery, revision: int) -> GalleryIndex:
    table, qualities = gallery.rated_vectors()
    if not len(table.sample_ids):
        return GalleryIndex(revision)
    people = PeopleIndex.of(table.matrix, table.person_ids, qualities)
    worn, worn_qualities = gallery.rated_vectors(masked=True)
    mixed = _with_masks(table, gallery.vectors(MASK))
    masked = masked_people(people, mixed, (worn.matrix, worn.person_ids, worn_qualities))
    return GalleryIndex(revision, people, gallery.name_table(), gallery.birth_dates(), masked)


def _with_masks(plain: VectorTable, masks: VectorTable) -> FloatArray | None:
    """Return the samples' embeddings by person, mixed with a drawn mask where there is one."""
    if not len(masks.sample_ids):
        return None
    mixed = plain.matrix.copy()
    having = np.searchsorted(plain.sample_ids, masks.sample_ids)
    mixed[having] = mix_masks(mixed[having], masks.matrix)
    _, _, order = by_person(plain.person_ids)
    return mixed if order is None else mixed[order]


# The file in the cache --------------------------------------------------------------------------------------------


def _kept_index(gallery: Gallery, made: GalleryIndex) -> GalleryIndex | None:
    """Write an index to the cache and return it from there; None if it cannot be cached."""
    path, key = index_file(gallery.path), FileKey.draw(gallery.pack, made.revision)
    if not write_derived_file(path, key, list(_sections(made))):
        return None
    try:
        gallery.note_place()
        kept = gallery.write_setting_at(made.revision, INDEX_FILE_SETTING, key.token)
    except (GalleryError, StorageError):
        kept = False
    stored = read_derived_file(path, gallery.pack, key.token) if kept else None
    if stored is None:  # somebody may have been forgotten while it was written
        with suppress(StorageError):
            wipe_derived(gallery.path)
        return None
    return replace(_stored_index(stored), strangers=made.strangers)


def _sections(made: GalleryIndex) -> Iterator[Section]:
    people = made.people
    assert people is not None  # noqa: S101 - who has samples has people
    with_samples = set(people.people.tolist())
    names = [name.encode() for number, name in made.names.items() if number in with_samples]
    ends = np.cumsum([0, *map(len, names)])
    blob = np.frombuffer(b"".join(names), np.uint8)
    born = json.dumps({str(number): date for number, date in made.birth_dates.items()}).encode()
    yield _section("people", "<i8", people.people)
    yield _section("names", "|u1", blob, IN_PIECES)
    yield _section("name_ends", "<i8", ends, IN_PIECES)
    yield _section("birth_dates", "|u1", np.frombuffer(born, np.uint8))
    yield from _people_sections("bare", people)
    if made.masked is not None:
        index, share = made.masked
        yield _section("worn_share", "<f4", share)
        yield from _people_sections("masked", index)


def _people_sections(group: str, index: PeopleIndex) -> Iterator[Section]:
    shape = (index.count, index.dimension)
    rows = [np.arange(start, min(start + PART_SIZE, index.count)) for start in range(0, index.count, PART_SIZE)]
    several = len(index.people) < index.count
    summary = np.concatenate([index.total, index.commonness])
    yield _section(f"{group}.starts", "<i8", index.starts)
    yield _section(f"{group}.summary", "<f8", summary)
    yield _section(f"{group}.qualities", "<f4", index.qualities(np.arange(index.count)), IN_PIECES)
    yield Section(f"{group}.vectors", "<f4", shape, (index.vectors(some) for some in rows), IN_PIECES)
    yield from _code_sections(f"{group}.samples", index, rows, prototypes=False)
    if several:
        places = np.arange(len(index.people))
        parts = [places[start : start + PART_SIZE] for start in range(0, len(places), PART_SIZE)]
        yield from _code_sections(f"{group}.prototypes", index, parts, prototypes=True)


def _code_sections(
    name: str, index: PeopleIndex, parts: list[NDArray[np.int64]], *, prototypes: bool
) -> Iterator[Section]:
    scales: list[CodeScale] = []

    def codes() -> Iterator[NDArray[np.uint8]]:
        for part in parts:
            rows = index.prototypes_of(part) if prototypes else index.vectors(part)
            scale, coded = encode(rows)
            if not prototypes and len(index.people) == index.count:  # these codes are the prototypes', too
                scale = _covering(scale, float(lengths(index.prototypes_of(part) - rows).max()))
            scales.append(scale)
            yield coded

    def linear() -> Iterator[NDArray[np.float32]]:
        yield np.array([[scale.scale, scale.center] for scale in scales], dtype=np.float32)

    def bounds() -> Iterator[NDArray[np.float64]]:
        yield np.array([[scale.residual, scale.reach, scale.length] for scale in scales])

    count, dimension = sum(map(len, parts)), index.dimension
    yield Section(f"{name}.codes", "|u1", (count, dimension), codes())
    yield Section(f"{name}.scales", "<f4", (len(parts), 2, dimension), linear())
    yield Section(f"{name}.bounds", "<f8", (len(parts), 3), bounds())


def _covering(scale: CodeScale, further: float) -> CodeScale:
    """Return a scale with bounds that hold for vectors up to `further` away from the encoded ones."""
    more = further * (1.0 + 1e-6)
    return CodeScale(scale.scale, scale.center, scale.residual + more, scale.reach, scale.length + more)


def _section(name: str, kind: str, array: NDArray[Any], block: int | None = None) -> Section:
    rows = np.atleast_1d(array)
    return Section(name, kind, rows.shape, [rows]) if block is None else Section(name, kind, rows.shape, [rows], block)


def _stored_index(file: DerivedFile) -> GalleryIndex:
    people = file.read("people")
    born = json.loads(file.read("birth_dates").tobytes())
    masked = None
    if "worn_share" in file:
        masked = _stored_people(file, "masked", people), file.read("worn_share")
    return GalleryIndex(
        file.key.revision,
        _stored_people(file, "bare", people),
        _StoredNames(file, people),
        {int(number): str(date) for number, date in born.items()},
        masked,
    )


def _stored_people(file: DerivedFile, group: str, people: NDArray[np.int64]) -> PeopleIndex:
    return PeopleIndex(people, file.read(f"{group}.starts"), _StoredSamples(file, group), _StoredSearches(file, group))


class _StoredNames(NamesInOrder):
    def __init__(self, file: DerivedFile, people: NDArray[np.int64]) -> None:
        self._file = file
        self._people = people

    def __getitem__(self, number: int) -> str:
        place = int(self._people.searchsorted(number))
        if place == len(self._people) or self._people[place] != number:
            raise KeyError(number)
        start, end = self._file.take("name_ends", np.array([place, place + 1])).tolist()
        return self._file.take("names", np.arange(start, end)).tobytes().decode()

    def __iter__(self) -> Iterator[int]:
        return iter(self._people.tolist())

    def __len__(self) -> int:
        return len(self._people)

    def names(self) -> Iterator[str]:
        text, ends = self._file.read("names").tobytes(), self._file.read("name_ends").tolist()
        return (text[start:end].decode() for start, end in itertools.pairwise(ends))


class _StoredSamples:
    in_memory = False

    def __init__(self, file: DerivedFile, group: str) -> None:
        self.shape = file.shape(f"{group}.vectors")
        self._file = file
        self._group = group

    def vectors(self, rows: NDArray[np.int64] | None) -> FloatArray:
        name = f"{self._group}.vectors"
        return self._file.read(name) if rows is None else self._file.take(name, rows)

    def qualities(self, rows: NDArray[np.int64]) -> FloatArray:
        return self._file.take(f"{self._group}.qualities", rows)


class _StoredSearches:
    def __init__(self, file: DerivedFile, group: str) -> None:
        summary = file.read(f"{group}.summary")
        self.total = summary[:-2]
        self.commonness = float(summary[-2]), float(summary[-1])
        self._file = file
        self._group = group

    def nearest_samples(self) -> Search:
        return self._search("samples")

    def nearest_people(self) -> Search:
        several = f"{self._group}.prototypes.codes" in self._file
        return self._search("prototypes" if several else "samples")

    def _search(self, what: str) -> Search:
        name, file = f"{self._group}.{what}", self._file
        scales, bounds = file.read(f"{name}.scales"), file.read(f"{name}.bounds")
        count, parts = file.shape(f"{name}.codes")[0], []
        for number, ((scale, center), numbers) in enumerate(zip(scales, bounds.tolist(), strict=True)):
            start = number * PART_SIZE
            codes = file.read(f"{name}.codes", start, min(start + PART_SIZE, count))
            parts.append(CodedPart(CodeScale(scale, center, *numbers), codes))
        return CodedSearch(parts)
