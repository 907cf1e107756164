"""Export and import of a gallery as a folder of plain files: JSON Lines and npz, no pickle.

An export is a folder::

    manifest.json    format, pack, counts, variants; size and SHA-256 of every other file
    people.jsonl     {"name", "created_at", "samples", "born", "note"}, one line for each person
    samples.jsonl    {"sample", "person", "box", "landmarks", ...}, one line for each sample
    vectors.npz      sample_ids (K,) int64, variants (K,) int16, matrix (K, dimension) float32
    thumbnails.npz   sample_ids (T,) int64, ends (T,) int64, data (B,) uint8; only if there are thumbnails

Every file's size and hash are checked before its content is used. Denials, strangers and settings are not exported,
because they refer to the photos of this gallery's owner.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facebank.errors import ExchangeError, InvalidNameError, PackMismatchError, StorageError
from facebank.gallery.enrollment import require_sample
from facebank.gallery.names import name_key, normalize_name
from facebank.gallery.places import PlaceKind
from facebank.gallery.records import NewSample, PackIdentity, PersonFacts, RefusedSample
from facebank.gallery.store.codec import MAX_DIMENSION, birth_date, float_array, note, unit_length, variant_name
from facebank.storage.files import (
    PRIVATE_FILE,
    face_folder_mode,
    new_folder,
    read_reason,
    sha256_of,
    sync_folder,
    write_reason,
)
from facebank.storage.npz import read_arrays, write_arrays
from facebank.storage.paths import file_path, named_path
from facebank.storage.text import printable, shell_command, shell_word
from facebank.storage.values import (
    InvalidValueError,
    finite_number,
    hex_digest,
    integer_between,
    quarter_turns,
    text,
    text_to_time,
    time_to_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from facebank.gallery.gallery import Gallery
    from facebank.types import FloatArray, Person, Sample

    JudgeSamples: TypeAlias = Callable[[str, Sequence[NewSample]], Sequence[RefusedSample | None]]
    Seal: TypeAlias = tuple[int, str]  # size in bytes, SHA-256 in hex

_MANIFEST, _PEOPLE, _SAMPLES = "manifest.json", "people.jsonl", "samples.jsonl"
_VECTORS, _THUMBNAILS = "vectors.npz", "thumbnails.npz"
_FORMAT, _VERSION = "facebank-export", 1
_MAX_MANIFEST_BYTES = 64 * 1024
_MAX_FILE_BYTES = 16 * 1024**3
_MAX_LINE_BYTES = 64 * 1024 + 4096  # a path may take 32 KiB, and its escapes twice that
_MAX_COUNT = 10_000_000  # people, samples or vectors
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The folder of an export, and the numbers of its people and samples."""

    folder: Path
    person_count: int
    sample_count: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Numbers of imported people and samples, and the samples left out."""

    person_count: int  # new people
    sample_count: int  # added samples
    duplicates: int  # number of samples that were skipped because the face is already enrolled
    duplicates_elsewhere: int  # number of these whose face is enrolled under another name
    refused: tuple[RefusedSample, ...] = ()  # samples left out because they look like another person


@dataclass(frozen=True, slots=True)
class _Manifest:
    pack: PackIdentity
    people: int
    samples: int
    vectors: int
    thumbnails: int
    thumbnail_bytes: int
    variants: tuple[str, ...]
    files: Mapping[str, Seal]


def export_gallery(
    gallery: Gallery,
    folder: str | os.PathLike[str],
    people: Sequence[str] | None = None,
    *,
    thumbnails: bool = True,
) -> ExportReport:
    """Write people and all their samples, as of one moment, into a new folder; leaves nothing behind on failure.

    Parameters
    ----------
    gallery
        The gallery.
    folder
        The new folder, or an empty one. Only its owner can read it.
    people
        Names; None for all people.
    thumbnails
        Whether thumbnails are included.

    Raises
    ------
    PersonNotFoundError
        A named person is not enrolled.
    ExchangeError
        The folder exists and is not empty.
    StorageError
        The folder cannot be written.
    """
    target = file_path(folder).absolute()
    try:
        if not target.name or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
            raise ExchangeError(f"{printable(str(target))} already exists: choose a new folder.")
        gallery.note_written(PlaceKind.EXPORT, target)  # first, so that a partial export of a killed process is found
        with new_folder(target, mode=face_folder_mode()) as partial:
            with gallery.snapshot():
                chosen = gallery.people() if people is None else map(gallery.person, people)
                exported = list({person.id: person for person in chosen}.values())
                samples = _write(gallery, partial, exported, thumbnails=thumbnails)
            sync_folder(partial)
            partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {write_reason(error)}.") from error
    return ExportReport(target, len(exported), samples)


def exported_pack(folder: str | os.PathLike[str]) -> PackIdentity:
    """Return the pack that made an export's embeddings; raises `ExchangeError` if the folder is not an export."""
    return _read_manifest(named_path(folder)).pack


def check_export(folder: str | os.PathLike[str], pack: PackIdentity) -> None:
    """Raise `PackMismatchError` if another pack made an export's embeddings, `ExchangeError` if it is not an export."""
    exported = exported_pack(folder)
    if (exported.digest, exported.dimension) != (pack.digest, pack.dimension):
        made_by = exported.name[:64]
        raise PackMismatchError(
            f"The export {printable(str(folder))} was made with the pack '{printable(made_by)}' "
            f"({printable(exported.digest[:8])}), the gallery with '{printable(pack.name)}' ({pack.digest[:8]}): "
            f"import it into a new gallery with --pack {shell_word(made_by)}, then convert that gallery with "
            f"`{shell_command('--pack', pack.name, 'people', 're-embed')}`."
        )


def import_gallery(gallery: Gallery, folder: str | os.PathLike[str], judge: JudgeSamples | None = None) -> ImportReport:
    """Add an export's people and samples to a gallery of the same pack, in one transaction.

    People of the same name get the samples; faces that are already enrolled are skipped. Birth dates that the gallery
    lacks are added, and notes are joined.

    Parameters
    ----------
    gallery
        The gallery.
    folder
        The export.
    judge
        Returns which of a person's samples are refused; None to accept all.

    Raises
    ------
    PackMismatchError
        Another pack made the export's embeddings.
    ExchangeError
        The export is partial, altered or invalid; nothing is imported.
    """
    path = named_path(folder)
    check_export(path, gallery.pack)
    manifest = _read_manifest(path)
    samples, facts = _read(path, manifest)
    samples, refused = (samples, ()) if judge is None else _drop_refused(samples, judge)
    before = {name_key(name) for name in gallery.names().values()}
    results_by_person = gallery.enroll_people(list(samples.items()), facts)
    after = {name_key(name) for name in gallery.names().values()}
    duplicates = [
        (name, result.duplicate_of_person)
        for name, results in zip(samples, results_by_person, strict=True)
        for result in results
        if result.duplicate_of_person is not None
    ]
    return ImportReport(
        person_count=len(({name_key(name) for name in samples} - before) & after),
        sample_count=manifest.samples - len(duplicates) - len(refused),
        duplicates=len(duplicates),
        duplicates_elsewhere=sum(name_key(name) != name_key(owner) for name, owner in duplicates),
        refused=refused,
    )


def _drop_refused(
    samples_by_name: dict[str, list[NewSample]], judge: JudgeSamples
) -> tuple[dict[str, list[NewSample]], tuple[RefusedSample, ...]]:
    """Return the accepted samples by person, without people whose samples are all refused; and the refused ones."""
    accepted: dict[str, list[NewSample]] = {}
    refused: list[RefusedSample] = []
    for name, samples in samples_by_name.items():
        refusals = judge(name, samples) if samples else []
        refused += [refusal for refusal in refusals if refusal is not None]
        remaining = [sample for sample, refusal in zip(samples, refusals, strict=True) if refusal is None]
        if remaining or not samples:
            accepted[name] = remaining
    return accepted, tuple(refused)


def _write(gallery: Gallery, folder: Path, people: Sequence[Person], *, thumbnails: bool) -> int:
    """Write all files of an export, and return the number of samples."""
    samples = [sample for person in people for sample in gallery.samples(person.name)]
    _write_lines(folder / _PEOPLE, map(_person_record, people))
    _write_lines(folder / _SAMPLES, map(_sample_record, samples))
    variants = gallery.variants()
    vectors = _vectors(gallery, variants, [sample.id for sample in samples])
    _write_arrays(folder / _VECTORS, vectors)
    thumbnail_ids = [sample.id for sample in samples if sample.has_thumbnail] if thumbnails else []
    jpegs = [gallery.thumbnail(sample_id) or b"" for sample_id in thumbnail_ids]
    if jpegs:
        ends = np.cumsum([len(jpeg) for jpeg in jpegs]).astype("<i8")
        data = np.frombuffer(b"".join(jpegs), dtype="|u1")
        sample_ids = np.array(thumbnail_ids, dtype="<i8")
        _write_arrays(folder / _THUMBNAILS, {"sample_ids": sample_ids, "ends": ends, "data": data})
    manifest = {
        "format": _FORMAT,
        "version": _VERSION,
        "pack": {"name": gallery.pack.name, "digest": gallery.pack.digest, "dimension": gallery.pack.dimension},
        "counts": {
            "people": len(people),
            "samples": len(samples),
            "vectors": len(vectors["sample_ids"]),
            "thumbnails": len(jpegs),
            "thumbnail_bytes": sum(map(len, jpegs)),
        },
        "variants": variants,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())
        },
    }
    with _create_private(folder / _MANIFEST) as stream:
        stream.write(json.dumps(manifest, indent=2).encode("ascii") + b"\n")
    return len(samples)


def _vectors(gallery: Gallery, variants: Sequence[str], sample_ids: Sequence[int]) -> dict[str, NDArray[Any]]:
    sample_id_blocks = [np.empty(0, "<i8")]
    variant_blocks = [np.empty(0, "<i2")]
    matrix_blocks = [np.empty((0, gallery.pack.dimension), "<f4")]
    for variant_number, variant in enumerate(variants):
        table = gallery.vectors(variant, masked=None)
        rows = np.isin(table.sample_ids, sample_ids)
        sample_id_blocks.append(table.sample_ids[rows])
        variant_blocks.append(np.full(len(sample_id_blocks[-1]), variant_number, dtype="<i2"))
        matrix_blocks.append(table.matrix[rows])
    return {
        "sample_ids": np.concatenate(sample_id_blocks),
        "variants": np.concatenate(variant_blocks),
        "matrix": np.concatenate(matrix_blocks),
    }


def _write_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    with _create_private(path) as stream:
        for record in records:
            stream.write(json.dumps(record, allow_nan=False).encode("ascii") + b"\n")


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with _create_private(path) as stream:
        write_arrays(stream, arrays)


@contextmanager
def _create_private(path: Path) -> Iterator[IO[bytes]]:
    """Write a new file that only its owner can read; synced to the disk when the ``with`` block ends."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_FILE), "w+b") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def _person_record(person: Person) -> dict[str, object]:
    return {
        "name": person.name,
        "created_at": time_to_text(person.created_at),
        "samples": person.sample_count,
        "born": person.born,
        "note": person.note,
    }


def _sample_record(sample: Sample) -> dict[str, object]:
    return {
        "sample": sample.id,
        "person": sample.person,
        "box": sample.box.tolist(),
        "landmarks": sample.landmarks.tolist(),
        "detection_score": sample.detection_score,
        "quality": sample.quality,
        "source": sample.path,
        "content_hash": sample.content_hash,
        "quarter_turns": sample.quarter_turns,
        "taken_at": None if sample.taken_at is None else time_to_text(sample.taken_at),
        "enrolled_at": time_to_text(sample.enrolled_at),
        "masked": sample.masked,
        "camera_dated": sample.camera_dated,
        "picture_hash": sample.picture_hash,
    }


def _read_manifest(folder: Path) -> _Manifest:
    with _translated_errors(folder, _MANIFEST), _open_regular(folder / _MANIFEST) as stream:
        data = stream.read(_MAX_MANIFEST_BYTES + 1)
        if len(data) > _MAX_MANIFEST_BYTES:
            raise InvalidValueError("it is too large")
        record = _parse_record(data)
        if record["format"] != _FORMAT:
            raise InvalidValueError("it is not an export of facebank")
        if record["version"] != _VERSION:
            raise InvalidValueError(f"its version is {record['version']!r}, and this facebank reads {_VERSION}")
        counts, pack = record["counts"], record["pack"]
        dimension = integer_between(pack["dimension"], 0, MAX_DIMENSION)
        files = {
            name: (integer_between(seal["bytes"], 0, _MAX_FILE_BYTES), hex_digest(seal["sha256"]))
            for name, seal in record["files"].items()
        }
        people, samples, vectors, thumbnails = (
            integer_between(counts[name], 0, _MAX_COUNT) for name in ("people", "samples", "vectors", "thumbnails")
        )
        if set(files) != {_PEOPLE, _SAMPLES, _VECTORS} | ({_THUMBNAILS} if thumbnails else set()):
            raise InvalidValueError("it does not list exactly the files of an export")
        return _Manifest(
            pack=PackIdentity(text(pack["name"]), text(pack["digest"]), dimension),
            people=people,
            samples=samples,
            vectors=vectors,
            thumbnails=thumbnails,
            thumbnail_bytes=integer_between(counts["thumbnail_bytes"], 0, _MAX_FILE_BYTES),
            variants=tuple(variant_name(name) for name in record["variants"]),
            files=files,
        )


def _read(folder: Path, manifest: _Manifest) -> tuple[dict[str, list[NewSample]], dict[str, PersonFacts]]:
    """Return the samples and the facts of an export, by person's name."""
    vectors = _read_vectors(folder, manifest)
    thumbnails = _read_thumbnails(folder, manifest) if manifest.thumbnails else {}
    samples: dict[str, list[NewSample]] = {}
    facts: dict[str, PersonFacts] = {}
    with _open_checked(folder, _PEOPLE, manifest) as stream:
        for record in _read_lines(stream, manifest.people):
            name, person_facts = _parse_name(record["name"]), _parse_facts(record)
            samples[name] = []
            if person_facts != PersonFacts():
                facts[name] = person_facts
        if len({name_key(name) for name in samples}) != manifest.people:
            raise InvalidValueError("it contains a person twice")
    with _open_checked(folder, _SAMPLES, manifest) as stream:
        for record in _read_lines(stream, manifest.samples):
            sample_id = integer_between(record["sample"], 0, 2**63 - 1)
            sample = _parse_sample(record, vectors.pop(sample_id, {}), thumbnails.pop(sample_id, None))
            require_sample(sample, manifest.pack.dimension)
            samples[text(record["person"])].append(sample)
    if vectors or thumbnails:
        raise ExchangeError(
            f"{printable(str(folder))} cannot be imported: it contains embeddings of unknown samples; copy it again."
        )
    return samples, facts


def _read_vectors(folder: Path, manifest: _Manifest) -> dict[int, dict[str, FloatArray]]:
    count = manifest.vectors
    expected = {
        "sample_ids": ("<i8", (count,)),
        "variants": ("<i2", (count,)),
        "matrix": ("<f4", (count, manifest.pack.dimension)),
    }
    vectors: dict[int, dict[str, FloatArray]] = {}
    with _open_checked(folder, _VECTORS, manifest) as stream:
        arrays = read_arrays(stream, expected)
        matrix = unit_length(arrays["matrix"].astype(np.float32, copy=False))
        for sample_id, variant, vector in zip(arrays["sample_ids"], arrays["variants"], matrix, strict=True):
            if not 0 <= variant < len(manifest.variants):
                raise InvalidValueError("it contains an embedding of an unknown variant")
            sample_vectors = vectors.setdefault(int(sample_id), {})
            if manifest.variants[variant] in sample_vectors:
                raise InvalidValueError("it contains an embedding twice")
            sample_vectors[manifest.variants[variant]] = vector
    return vectors


def _read_thumbnails(folder: Path, manifest: _Manifest) -> dict[int, bytes]:
    count = manifest.thumbnails
    expected = {
        "sample_ids": ("<i8", (count,)),
        "ends": ("<i8", (count,)),
        "data": ("|u1", (manifest.thumbnail_bytes,)),
    }
    with _open_checked(folder, _THUMBNAILS, manifest) as stream:
        arrays = read_arrays(stream, expected)
        ends = arrays["ends"]
        starts = np.concatenate([[0], ends[:-1]])
        if (ends < starts).any() or ends[-1] != manifest.thumbnail_bytes:
            raise InvalidValueError("its thumbnails overlap or are partial")
        jpegs = {
            int(sample_id): arrays["data"][start:end].tobytes()
            for sample_id, start, end in zip(arrays["sample_ids"], starts, ends, strict=True)
        }
        if len(jpegs) != count or not all(jpeg.startswith(_JPEG) for jpeg in jpegs.values()):
            raise InvalidValueError("it contains a thumbnail twice, or one that is not a JPEG")
    return jpegs


def _parse_sample(record: dict[str, Any], vectors: dict[str, FloatArray], thumbnail: bytes | None) -> NewSample:
    return NewSample(
        box=float_array(record["box"], (4,)),
        landmarks=float_array(record["landmarks"], (5, 2)),
        detection_score=finite_number(record["detection_score"]),
        quality=finite_number(record["quality"]),
        path=text(record["source"]),
        content_hash=hex_digest(record["content_hash"]),
        quarter_turns=quarter_turns(record["quarter_turns"]),
        taken_at=None if record["taken_at"] is None else text_to_time(record["taken_at"]),
        thumbnail=thumbnail,
        vectors=vectors,
        enrolled_at=text_to_time(record["enrolled_at"]),
        masked=_parse_boolean(record.get("masked", False)),
        camera_dated=_parse_boolean(record.get("camera_dated", False)),
        picture_hash=None if record.get("picture_hash") is None else hex_digest(record["picture_hash"]),
    )


def _parse_facts(record: dict[str, Any]) -> PersonFacts:
    """Return a person's facts; exports of galleries before version 3 have none."""
    born, stored_note = record.get("born"), record.get("note")
    return PersonFacts(None if born is None else birth_date(born), None if stored_note is None else note(stored_note))


def _parse_name(value: object) -> str:
    try:
        name = normalize_name(text(value))
    except InvalidNameError as error:
        raise InvalidValueError(str(error)) from error
    if name != value:
        raise InvalidValueError(f"it contains a name that is not normalized: '{printable(name)}'")
    return name


def _parse_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError(f"it contains {str(value)[:40]!r} where true or false is expected")
    return value


@contextmanager
def _open_checked(folder: Path, name: str, manifest: _Manifest) -> Iterator[IO[bytes]]:
    """Open a file of an export after checking its size and hash; raises `ExchangeError`, also from the block."""
    with _translated_errors(folder, name), _open_regular(folder / name) as stream:
        size, sha256 = manifest.files[name]
        if os.fstat(stream.fileno()).st_size != size or sha256_of(stream) != sha256:
            raise InvalidValueError("it is partial or was altered; copy it again")
        stream.seek(0)
        yield stream


def _read_lines(stream: IO[bytes], count: int) -> Iterator[dict[str, Any]]:
    """Yield the `count` records of a file of JSON Lines; raises `InvalidValueError` if it has more or fewer."""
    for _ in range(count):
        line = stream.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise InvalidValueError("it has fewer lines than stated, or a line that is too long")
        yield _parse_record(line)
    if stream.read(1):
        raise InvalidValueError("it has more lines than stated")


@contextmanager
def _translated_errors(folder: Path, name: str) -> Iterator[None]:
    """Translate errors of reading a file of an export to `ExchangeError` or `StorageError`."""
    file = printable(str(folder / name))
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ExchangeError(
            f"{printable(str(folder))} is not a complete export: {name} is missing; copy it again."
        ) from None
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {read_reason(error)}.") from error
    except KeyError as error:
        raise ExchangeError(f"{file} cannot be imported: {printable(str(error))} is missing.") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ExchangeError(f"{file} cannot be imported: {printable(str(error)).removesuffix('.')}.") from error


@contextmanager
def _open_regular(path: Path) -> Iterator[IO[bytes]]:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise InvalidValueError("it is not a regular file")
    with path.open("rb") as stream:
        yield stream


def _parse_record(data: bytes) -> dict[str, Any]:
    record = json.loads(data, parse_constant=_refuse_constant)
    if not isinstance(record, dict):
        raise InvalidValueError("it contains a line that is not a JSON object")
    return record


def _refuse_constant(constant: str) -> None:
    raise InvalidValueError(f"it contains {constant}, which is not a finite number")
