"""The index of a gallery at one revision, cached in a file for a large gallery."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from facebank.errors import GalleryError, StorageError
from facebank.gallery.derived import INDEX_FILE_SETTING, index_file
from facebank.gallery.name_table import NamesInOrder
from facebank.gallery.store.file import ReadAgainError
from facebank.index.codes import PART_SIZE, CodeScale, encode
from facebank.index.derived_file import IN_PIECES, FileKey, FileSection, read_derived_file, write_derived_file
from facebank.index.encoded_names import EncodedNames
from facebank.index.exact import lengths
from facebank.index.indexed_samples import Origin, follow_samples, read_samples
from facebank.index.people_index import QUALITY_FLOOR, PeopleIndex
from facebank.index.search import CodedPart, CodedSearch
from facebank.storage.concurrency import ForkSafeLock, map_in_threads
from facebank.storage.files import part_path
from facebank.storage.leftovers import wipe_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.index.derived_file import DerivedFile
    from facebank.index.search import Search
    from facebank.types import FloatArray

MIN_CACHED_SAMPLES = 5_001  # fewer are read from the gallery fast enough
_MIN_LOGGED_BYTES = 200 << 20  # bytes of a gallery whose index takes noticeably long to build

_ATTEMPTS = 10
_ROWS_PER_BLOCK = 4096

_opening_lock = ForkSafeLock()

Value = TypeVar("Value")

MaskedPeople = tuple[PeopleIndex, "FloatArray"]


@dataclass(frozen=True, slots=True, eq=False)
class GalleryIndex:
    """The searchable people of a gallery."""

    revision: int  # the gallery's
    people: PeopleIndex | None = None  # people with a sample without a mask; None if there are none
    names: Mapping[int, str] = field(default_factory=dict)  # their names by person id
    # known birth dates by person id: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``
    birth_dates: Mapping[int, str] = field(default_factory=dict)
    # the same people in drawn or worn masks, with the weights of `index_masked_people`; None without such samples
    masked: MaskedPeople | None = None
    # embeddings of remembered strangers, ``float32`` of shape ``(S, D)``
    strangers: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    origin: Origin | None = None  # of an index in memory, if a later index can be built from it
    file: DerivedFile | None = None  # holds the vectors; None for an index in memory
    is_outdated: Callable[[], bool] | None = None  # whether the vector store has changed since; None without a store

    @property
    def is_lost(self) -> bool:
        """Whether its file or vector store was damaged or changed, so that the index must be opened again."""
        if self.is_outdated is not None and self.is_outdated():
            return True
        return self.file is not None and self.file.is_lost

    def sample_ids(self) -> NDArray[np.int64] | None:
        """Return the sample ids, ``int64`` of shape ``(N,)``, in the index's order; None in files of old versions."""
        origin = self.origin
        if origin is None and self.file is not None:
            origin = Origin.read(self.file)
        return None if origin is None else origin.sample_ids


def open_index(gallery: Gallery) -> GalleryIndex:
    """Return the current index of a gallery, which searches its vector store if the gallery was opened with one.

    Raises as `open_local_index` does, and `ServiceError`: see `facebank.index.mirror.GalleryMirror.open_index`.
    """
    local = open_local_index(gallery)
    if gallery.mirror is None:
        return local
    index: GalleryIndex = gallery.mirror.open_index(gallery, local)
    return index


def open_local_index(gallery: Gallery) -> GalleryIndex:
    """Return the current index of a gallery, which searches on this machine.

    The index of a large gallery is read from the cache, which is written if it is missing or outdated. Methods of the
    index raise `ReadAgainError`, a `GalleryBusyError`, if another process overwrites the file to forget a person: see
    `read_with_retry`.
    """
    may_write_cache = not (gallery.read_only or gallery.in_transaction)
    with _opening_lock:  # only one thread builds it
        with gallery.snapshot():
            revision, token, strangers = gallery.revision, gallery.read_setting(INDEX_FILE_SETTING), gallery.strangers()
            file = _stored_file(gallery, token)
            stored = _stored_index(file, revision)
            if stored is not None:
                return replace(stored, strangers=strangers.matrix)
            if _size_of(gallery.path) >= _MIN_LOGGED_BYTES:
                logging.getLogger("facebank").warning(
                    "building the search index of a large gallery; done once after each change"
                )
            index = replace(_build_index(gallery, revision, file), strangers=strangers.matrix)
        if may_write_cache and index.people is not None and index.people.count >= MIN_CACHED_SAMPLES:
            stored = _stored_index(_stored_file(gallery, _write_to_cache(gallery, index, token)), revision)
            return index if stored is None else replace(stored, strangers=index.strangers)
        return index


def read_with_retry(read: Callable[[], Value]) -> Value:
    """Return the result of a function that opens and reads an index; calls it again if the index was overwritten.

    Raises `ReadAgainError` after some attempts.
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(ReadAgainError):
            return read()
    return read()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the open gallery was moved
        return 0


def index_masked_people(
    people: PeopleIndex, mixed: FloatArray | None, worn: tuple[FloatArray, NDArray[np.int64], FloatArray] | None
) -> MaskedPeople | None:
    """Return an index of people in masks, and the weight of worn masks in each one's samples; None without masks.

    The weights are fractions, 0..1: ``float32`` of shape ``(P,)``.

    Parameters
    ----------
    people
        Their samples without a mask.
    mixed
        The same samples mixed with a drawn mask, ``float32`` of shape ``(N, D)`` in the index's order, or None.
    worn
        Embeddings, person ids and qualities of samples with a worn mask. People without any other sample are ignored,
        because strangers in masks are too similar to them.
    """
    if worn is None:
        worn = np.empty((0, people.dimension), np.float32), np.empty(0, np.int64), np.empty(0, np.float32)
    worn_embeddings, worn_ids, worn_qualities = worn
    is_enrolled = np.isin(worn_ids, people.person_ids)
    if mixed is None and not is_enrolled.any():
        return None
    rows = np.arange(people.count)
    unmasked = people.embeddings() if mixed is None else mixed
    person_ids = np.concatenate([people.person_ids[people.person_indices(rows)], worn_ids[is_enrolled]]).astype(
        np.int64
    )
    qualities = np.concatenate([people.qualities(rows), worn_qualities[is_enrolled]]).astype(np.float32)
    index = PeopleIndex.from_samples(np.concatenate([unmasked, worn_embeddings[is_enrolled]]), person_ids, qualities)
    _, positions = np.unique(person_ids, return_inverse=True)
    weights = np.maximum(qualities, QUALITY_FLOOR).astype(np.float64)
    is_worn = np.arange(len(positions)) >= people.count
    fractions = np.bincount(positions, weights * is_worn) / np.bincount(positions, weights)
    return index, fractions.astype(np.float32)


def _build_index(gallery: Gallery, revision: int, before: DerivedFile | None = None) -> GalleryIndex:
    """Return an index in memory, built from the file of an earlier revision where possible."""
    samples = None
    if before is not None:
        with suppress(ReadAgainError):
            samples = follow_samples(gallery, before)
    if samples is None:
        samples = read_samples(gallery)
    if samples is None:
        return GalleryIndex(revision)
    people = PeopleIndex.from_samples(samples.embeddings, samples.person_ids, samples.qualities)
    worn, worn_qualities = gallery.rated_vectors(masked=True)
    masked = index_masked_people(people, samples.mixed, (worn.matrix, worn.person_ids, worn_qualities))
    return GalleryIndex(revision, people, samples.names, gallery.birth_dates(), masked, origin=samples.origin)


def _write_to_cache(gallery: Gallery, index: GalleryIndex, before: object) -> object:
    """Write an index to the cache unless another process has; returns the token of the file in the cache.

    `before` is the token of the file to replace.
    """
    path, key = index_file(gallery.path), FileKey.draw(gallery.pack, index.revision)
    try:
        gallery.note_place()  # first, so that the file can be found and wiped
        written = write_derived_file(path, key, list(_sections(index)), _publish(gallery, path, key, before))
    except (GalleryError, StorageError):
        return gallery.read_setting(INDEX_FILE_SETTING)
    return key.token if written else None


@contextmanager
def _publish(gallery: Gallery, path: Path, key: FileKey, before: object) -> Iterator[None]:
    """Lock the gallery while a file gets its name, so that no person is forgotten meanwhile; wipes the replaced file.

    Raises `ReadAgainError` if the gallery has changed, or has another file already.
    """
    replaced = part_path(path, f".{path.stem}")
    try:
        with gallery.replacing_setting(INDEX_FILE_SETTING, before, key.token, key.revision) as is_unchanged:
            if not is_unchanged:
                raise ReadAgainError
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(path)
            with suppress(FileNotFoundError):
                path.rename(replaced)
            yield
    finally:
        with suppress(OSError):
            wipe_file(replaced)


def _sections(index: GalleryIndex) -> Iterator[FileSection]:
    people = index.people
    assert people is not None  # noqa: S101 - an index with samples has people
    names = EncodedNames.of(index.names, people.person_ids)
    birth_dates = json.dumps({str(person_id): date for person_id, date in index.birth_dates.items()}).encode()
    yield _section("people", "<i8", people.person_ids)
    yield _section("names", "|u1", np.frombuffer(names.text, np.uint8), IN_PIECES)
    yield _section("name_ends", "<i8", names.ends, IN_PIECES)
    yield _section("birth_dates", "|u1", np.frombuffer(birth_dates, np.uint8))
    yield from _people_sections("bare", people)
    if index.origin is not None:
        yield _section("origin", "|u1", np.frombuffer(index.origin.to_json(), np.uint8))
        yield _section("sample_ids", "<i8", index.origin.sample_ids)
    if index.masked is not None:
        masked, worn_fractions = index.masked
        yield _section("worn_share", "<f4", worn_fractions)
        yield from _people_sections("masked", masked)


def _people_sections(group: str, index: PeopleIndex) -> Iterator[FileSection]:
    shape = (index.count, index.dimension)
    rows = [np.arange(start, min(start + PART_SIZE, index.count)) for start in range(0, index.count, PART_SIZE)]
    has_prototypes = len(index.person_ids) < index.count
    summary = np.concatenate([index.prototype_sum, index.products_range])
    yield _section(f"{group}.starts", "<i8", index.starts)
    yield _section(f"{group}.summary", "<f8", summary)
    yield _section(f"{group}.qualities", "<f4", index.qualities(np.arange(index.count)), IN_PIECES)
    yield FileSection(f"{group}.vectors", "<f4", shape, (index.embeddings(block) for block in rows), IN_PIECES)
    yield from _code_sections(f"{group}.samples", index, rows, prototypes=False)
    if has_prototypes:
        positions = np.arange(len(index.person_ids))
        parts = [positions[start : start + PART_SIZE] for start in range(0, len(positions), PART_SIZE)]
        yield from _code_sections(f"{group}.prototypes", index, parts, prototypes=True)


def _code_sections(
    name: str, index: PeopleIndex, parts: list[NDArray[np.int64]], *, prototypes: bool
) -> Iterator[FileSection]:
    scales: list[CodeScale] = []

    def encode_part(part: NDArray[np.int64]) -> tuple[CodeScale, NDArray[np.uint8]]:
        rows = index.prototypes_of(part) if prototypes else index.embeddings(part)
        scale, codes = encode(rows)
        if not prototypes and len(index.person_ids) == index.count:  # the codes of samples serve for prototypes too
            starts = range(0, len(part), _ROWS_PER_BLOCK)
            blocks = [slice(start, start + _ROWS_PER_BLOCK) for start in starts]
            distances = [lengths(index.prototypes_of(part[block]) - rows[block]).max() for block in blocks]
            scale = _widen_bounds(scale, float(max(distances)))
        return scale, codes

    def all_codes() -> Iterator[NDArray[np.uint8]]:
        for scale, codes in map_in_threads(encode_part, parts):
            scales.append(scale)
            yield codes

    def scale_arrays() -> Iterator[NDArray[np.float32]]:
        yield np.array([[scale.scale, scale.center] for scale in scales], dtype=np.float32)

    def bound_arrays() -> Iterator[NDArray[np.float64]]:
        yield np.array([[scale.residual, scale.reach, scale.length] for scale in scales])

    count, dimension = sum(map(len, parts)), index.dimension
    yield FileSection(f"{name}.codes", "|u1", (count, dimension), all_codes())
    yield FileSection(f"{name}.scales", "<f4", (len(parts), 2, dimension), scale_arrays())
    yield FileSection(f"{name}.bounds", "<f8", (len(parts), 3), bound_arrays())


def _widen_bounds(scale: CodeScale, distance: float) -> CodeScale:
    """Return a scale with bounds that hold for vectors up to `distance` away from the encoded ones."""
    margin = distance * (1.0 + 1e-6)
    return CodeScale(scale.scale, scale.center, scale.residual + margin, scale.reach, scale.length + margin)


def _section(name: str, dtype: str, array: NDArray[Any], block: int | None = None) -> FileSection:
    rows = np.atleast_1d(array)
    return (
        FileSection(name, dtype, rows.shape, [rows])
        if block is None
        else FileSection(name, dtype, rows.shape, [rows], block)
    )


def _stored_file(gallery: Gallery, token: object) -> DerivedFile | None:
    """Return the cached file with a token, of any revision; None if it is missing or unusable."""
    return None if token is None else read_derived_file(index_file(gallery.path), gallery.pack, token)


def _stored_index(file: DerivedFile | None, revision: int) -> GalleryIndex | None:
    """Return the index in a file; None if it is unusable, or of another revision."""
    if file is None or file.key.revision != revision:
        return None
    with suppress(ReadAgainError):
        return _read_index(file)
    return None


def _read_index(file: DerivedFile) -> GalleryIndex:
    person_ids = file.read("people")
    birth_dates = json.loads(file.read("birth_dates").tobytes())
    masked = None
    if "worn_share" in file:
        masked = _stored_people(file, "masked", person_ids), file.read("worn_share")
    return GalleryIndex(
        file.key.revision,
        _stored_people(file, "bare", person_ids),
        _StoredNames(file, person_ids),
        {int(person_id): str(date) for person_id, date in birth_dates.items()},
        masked,
        file=file,
    )


def _stored_people(file: DerivedFile, group: str, person_ids: NDArray[np.int64]) -> PeopleIndex:
    samples, searches = _StoredSamples(file, group), _StoredSearches(file, group)
    return PeopleIndex(person_ids, file.read(f"{group}.starts"), samples, searches)


class _StoredNames(NamesInOrder):
    def __init__(self, file: DerivedFile, person_ids: NDArray[np.int64]) -> None:
        self._file = file
        self._person_ids = person_ids

    def __getitem__(self, person_id: int) -> str:
        position = int(self._person_ids.searchsorted(person_id))
        if position == len(self._person_ids) or self._person_ids[position] != person_id:
            raise KeyError(person_id)
        start, end = self._file.take("name_ends", np.array([position, position + 1])).tolist()
        return self._file.take("names", np.arange(start, end)).tobytes().decode()

    def __iter__(self) -> Iterator[int]:
        return iter(self._person_ids.tolist())

    def __len__(self) -> int:
        return len(self._person_ids)

    def names(self) -> Iterator[str]:
        text, ends = self._file.read("names").tobytes(), self._file.read("name_ends").tolist()
        return (text[start:end].decode() for start, end in itertools.pairwise(ends))


class _StoredSamples:
    in_memory = False

    def __init__(self, file: DerivedFile, group: str) -> None:
        self.shape = file.shape(f"{group}.vectors")
        self._file = file
        self._group = group

    def embeddings(self, rows: NDArray[np.int64] | None) -> FloatArray:
        name = f"{self._group}.vectors"
        return self._file.read(name) if rows is None else self._file.take(name, rows)

    def qualities(self, rows: NDArray[np.int64]) -> FloatArray:
        return self._file.take(f"{self._group}.qualities", rows)


class _StoredSearches:
    def __init__(self, file: DerivedFile, group: str) -> None:
        summary = file.read(f"{group}.summary")
        self.prototype_sum = summary[:-2]
        self.products_range = float(summary[-2]), float(summary[-1])
        self._file = file
        self._group = group

    def nearest_samples(self) -> Search:
        return self._search("samples")

    def nearest_people(self) -> Search:
        has_prototypes = f"{self._group}.prototypes.codes" in self._file
        return self._search("prototypes" if has_prototypes else "samples")

    def _search(self, codes_name: str) -> Search:
        name, file = f"{self._group}.{codes_name}", self._file
        scales, bounds = file.read(f"{name}.scales"), file.read(f"{name}.bounds")
        count, parts = file.shape(f"{name}.codes")[0], []
        for number, ((scale, center), part_bounds) in enumerate(zip(scales, bounds.tolist(), strict=True)):
            start = number * PART_SIZE
            codes = file.read(f"{name}.codes", start, min(start + PART_SIZE, count))
            parts.append(CodedPart(CodeScale(scale, center, *part_bounds), codes))
        return CodedSearch(parts)
