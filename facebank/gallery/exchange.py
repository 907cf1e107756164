"""Galleries to and from a folder of plain files: JSON Lines and npz, no pickle.

The files are described in `facebank.gallery.exchange_files`. What was said of other faces, who they are not or that
they are nobody's, and the gallery's settings stay behind: they are about the photos of this gallery's owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.errors import ExchangeError, InvalidNameError, PackMismatchError, StorageError
from facebank.gallery import exchange_files as files
from facebank.gallery.enrollment import require_sample
from facebank.gallery.names import name_key, normalize_name
from facebank.gallery.places import PlaceKind
from facebank.gallery.records import NewSample, PackIdentity, PersonFacts, RefusedSample
from facebank.gallery.store.codec import birth_date, float_array, note, unit_length
from facebank.storage.files import face_folder_mode, new_folder, sync_folder
from facebank.storage.npz import read_arrays, write_arrays
from facebank.storage.paths import named_path
from facebank.storage.text import printable, shell_command, shell_word
from facebank.storage.values import (
    InvalidValueError,
    between,
    hex_digest,
    real,
    text,
    text_to_time,
    time_to_text,
    turns,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from facebank.gallery.gallery import Gallery
    from facebank.types import FloatArray, Person, Sample

    JudgeSamples: TypeAlias = Callable[[str, Sequence[NewSample]], Sequence[RefusedSample | None]]

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Exported:
    """How many people and samples were written, and where."""

    folder: Path
    people: int
    samples: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of an export.

    Attributes
    ----------
    people
        How many people were new.
    samples
        How many samples were added.
    duplicates
        How many were skipped because somebody has the face already.
    duplicates_elsewhere
        How many of those belong to somebody of another name.
    refused
        The samples that were left out, because they look like somebody else's.
    """

    people: int
    samples: int
    duplicates: int
    duplicates_elsewhere: int
    refused: tuple[RefusedSample, ...] = ()


def export_gallery(
    gallery: Gallery,
    folder: str | os.PathLike[str],
    people: Sequence[str] | None = None,
    *,
    thumbnails: bool = True,
) -> Exported:
    """Write people and all their samples into a new folder, as they are at one moment.

    Parameters
    ----------
    gallery
        Whose.
    folder
        Where; it must not be there yet, or be empty. Only its owner can read it. It is there wholly or not at all.
    people
        Names; None for everybody.
    thumbnails
        Whether the small pictures go along.

    Returns
    -------
    Exported

    Raises
    ------
    PersonNotFoundError
        If somebody named is not enrolled.
    ExchangeError
        If the folder is there already.
    StorageError
        If it cannot be written.
    """
    target = named_path(folder).absolute()
    if not target.name:
        raise ExchangeError(f"{printable(str(target))} is there already: name a new folder.")
    try:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise ExchangeError(f"{printable(str(target))} is there already: name a new folder.")
        gallery.note_written(PlaceKind.EXPORT, target)  # first, so that what a kill leaves is found
        with new_folder(target, mode=face_folder_mode()) as partial:
            with gallery.snapshot():
                everybody = gallery.people() if people is None else _named(gallery, people)
                samples = _write(gallery, partial, everybody, thumbnails=thumbnails)
            sync_folder(partial)
            partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"{printable(str(target))} cannot be written: {error.strerror}.") from error
    return Exported(target, len(everybody), samples)


def exported_pack(folder: str | os.PathLike[str]) -> PackIdentity:
    """Return the pack that made an export's embeddings; `ExchangeError` if the folder is no export."""
    return files.read_manifest(named_path(folder)).pack


def check_export(folder: str | os.PathLike[str], pack: PackIdentity) -> None:
    """Refuse an export of another pack.

    Parameters
    ----------
    folder
        The export.
    pack
        The pack of the gallery that it is to go into.

    Raises
    ------
    PackMismatchError
        If another pack made its embeddings.
    ExchangeError
        If the folder is no export.
    """
    exported = exported_pack(folder)
    if (exported.digest, exported.dimension) != (pack.digest, pack.dimension):
        made_by = exported.name[:64]
        raise PackMismatchError(
            f"The export {printable(str(folder))} was made with the pack '{printable(made_by)}' "
            f"({printable(exported.digest[:8])}), the gallery with '{printable(pack.name)}' ({pack.digest[:8]}): "
            f"import it into a new gallery with --pack {shell_word(made_by)}, and take that over with "
            f"`{shell_command('--pack', pack.name, 'people', 're-embed')}`."
        )


def import_gallery(gallery: Gallery, folder: str | os.PathLike[str], judge: JudgeSamples | None = None) -> Imported:
    """Add an export's people and samples to a gallery of the same pack, in one transaction.

    Somebody of the same name gets the samples; faces that anybody has already are skipped. A birth date is taken over
    where the gallery has none, and notes are joined.

    Parameters
    ----------
    gallery
        Where to.
    folder
        The export.
    judge
        Says of a person's samples which are refused; None to take all.

    Returns
    -------
    Imported

    Raises
    ------
    PackMismatchError
        If another pack made the export's embeddings.
    ExchangeError
        If the export is partial, altered, or holds what cannot be; nothing is imported then.
    """
    place = named_path(folder)
    check_export(place, gallery.pack)
    manifest = files.read_manifest(place)
    groups, facts = _read(place, manifest)
    groups, refused = (groups, ()) if judge is None else _without_refused(groups, judge)
    before = {name_key(name) for name in gallery.names().values()}
    outcomes = gallery.enroll_people(list(groups.items()), facts)
    after = {name_key(name) for name in gallery.names().values()}
    duplicates = [
        (name, outcome.duplicate_of_person)
        for name, outcomes_of_one in zip(groups, outcomes, strict=True)
        for outcome in outcomes_of_one
        if outcome.duplicate_of_person is not None
    ]
    return Imported(
        people=len(({name_key(name) for name in groups} - before) & after),
        samples=manifest.samples - len(duplicates) - len(refused),
        duplicates=len(duplicates),
        duplicates_elsewhere=sum(name_key(name) != name_key(owner) for name, owner in duplicates),
        refused=refused,
    )


def _without_refused(
    groups: dict[str, list[NewSample]], judge: JudgeSamples
) -> tuple[dict[str, list[NewSample]], tuple[RefusedSample, ...]]:
    """Leave out the samples that are refused, and whoever has no other."""
    kept: dict[str, list[NewSample]] = {}
    refused: list[RefusedSample] = []
    for name, samples in groups.items():
        verdicts = judge(name, samples) if samples else []
        refused += [verdict for verdict in verdicts if verdict is not None]
        taken = [sample for sample, verdict in zip(samples, verdicts, strict=True) if verdict is None]
        if taken or not samples:
            kept[name] = taken
    return kept, tuple(refused)


# Writing --------------------------------------------------------------------------------------------------------


def _named(gallery: Gallery, names: Sequence[str]) -> list[Person]:
    people = {person.id: person for person in map(gallery.person, names)}
    return list(people.values())


def _write(gallery: Gallery, folder: Path, people: Sequence[Person], *, thumbnails: bool) -> int:
    samples = [sample for person in people for sample in gallery.samples(person.name)]
    files.write_lines(folder / files.PEOPLE, map(_person_record, people))
    files.write_lines(folder / files.SAMPLES, map(_sample_record, samples))
    variants = gallery.variants()
    vectors = _write_vectors(gallery, folder / files.VECTORS, variants, [sample.id for sample in samples])
    pictured = [sample.id for sample in samples if sample.has_thumbnail] if thumbnails else []
    pictures = [gallery.thumbnail(number) or b"" for number in pictured]
    if pictures:
        arrays = {
            "sample_ids": np.array(pictured, dtype="<i8"),
            "ends": np.cumsum([len(picture) for picture in pictures]).astype("<i8"),
            "data": np.frombuffer(b"".join(pictures), dtype="|u1"),
        }
        with files.private_file(folder / files.THUMBNAILS) as stream:
            write_arrays(stream, arrays)
    counts = {
        "people": len(people),
        "samples": len(samples),
        "vectors": vectors,
        "thumbnails": len(pictures),
        "thumbnail_bytes": sum(map(len, pictures)),
    }
    files.write_manifest(folder, gallery.pack, counts, variants)
    return len(samples)


def _write_vectors(gallery: Gallery, path: Path, variants: Sequence[str], sample_ids: Sequence[int]) -> int:
    tables = [gallery.vectors(variant, masked=None) for variant in variants]
    chosen = [np.isin(table.sample_ids, sample_ids) for table in tables]
    numbers = [np.full(int(rows.sum()), number, dtype="<i2") for number, rows in enumerate(chosen)]
    empty = np.empty((0, gallery.pack.dimension), dtype="<f4")
    arrays = {
        "sample_ids": np.concatenate([empty[:, 0].astype("<i8"), *_rows(chosen, [t.sample_ids for t in tables])]),
        "variants": np.concatenate([empty[:, 0].astype("<i2"), *numbers]),
        "matrix": np.concatenate([empty, *_rows(chosen, [t.matrix for t in tables])]),
    }
    with files.private_file(path) as stream:
        write_arrays(stream, arrays)
    return len(arrays["sample_ids"])


def _rows(chosen: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
    return [array[rows] for rows, array in zip(chosen, arrays, strict=True)]


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


# Reading --------------------------------------------------------------------------------------------------------


def _read(folder: Path, manifest: files.Manifest) -> tuple[dict[str, list[NewSample]], dict[str, PersonFacts]]:
    vectors = _read_vectors(folder, manifest)
    thumbnails = _read_thumbnails(folder, manifest) if manifest.thumbnails else {}
    groups: dict[str, list[NewSample]] = {}
    facts: dict[str, PersonFacts] = {}
    with files.checked(folder, files.PEOPLE, manifest) as stream:
        for record in files.read_lines(stream, manifest.people):
            groups[_name(record["name"])] = []
            known = _facts(record)
            if known != PersonFacts():
                facts[_name(record["name"])] = known
        if len({name_key(name) for name in groups}) != manifest.people:
            raise InvalidValueError("it holds a person twice")
    with files.checked(folder, files.SAMPLES, manifest) as stream:
        for record in files.read_lines(stream, manifest.samples):
            number = between(record["sample"], 0, 2**63 - 1)
            sample = _sample(record, vectors.pop(number, {}), thumbnails.pop(number, None))
            require_sample(sample, manifest.pack.dimension)
            groups[text(record["person"])].append(sample)
    if vectors or thumbnails:
        raise ExchangeError(f"{printable(str(folder))} cannot be imported: it holds embeddings of unknown samples.")
    return groups, facts


def _read_vectors(folder: Path, manifest: files.Manifest) -> dict[int, dict[str, FloatArray]]:
    count = manifest.vectors
    expected = {
        "sample_ids": ("<i8", (count,)),
        "variants": ("<i2", (count,)),
        "matrix": ("<f4", (count, manifest.pack.dimension)),
    }
    vectors: dict[int, dict[str, FloatArray]] = {}
    with files.checked(folder, files.VECTORS, manifest) as stream:
        arrays = read_arrays(stream, expected)
        matrix = unit_length(arrays["matrix"].astype(np.float32, copy=False))
        for number, variant, vector in zip(arrays["sample_ids"], arrays["variants"], matrix, strict=True):
            if not 0 <= variant < len(manifest.variants):
                raise InvalidValueError("it holds an embedding of an unknown variant")
            of_sample = vectors.setdefault(int(number), {})
            if manifest.variants[variant] in of_sample:
                raise InvalidValueError("it holds an embedding twice")
            of_sample[manifest.variants[variant]] = vector
    return vectors


def _read_thumbnails(folder: Path, manifest: files.Manifest) -> dict[int, bytes]:
    count = manifest.thumbnails
    expected = {
        "sample_ids": ("<i8", (count,)),
        "ends": ("<i8", (count,)),
        "data": ("|u1", (manifest.thumbnail_bytes,)),
    }
    with files.checked(folder, files.THUMBNAILS, manifest) as stream:
        arrays = read_arrays(stream, expected)
        ends = arrays["ends"]
        starts = np.concatenate([[0], ends[:-1]])
        if (ends < starts).any() or ends[-1] != manifest.thumbnail_bytes:
            raise InvalidValueError("its thumbnails overlap or are partial")
        pictures = {
            int(number): arrays["data"][start:end].tobytes()
            for number, start, end in zip(arrays["sample_ids"], starts, ends, strict=True)
        }
        if len(pictures) != count or not all(picture.startswith(_JPEG) for picture in pictures.values()):
            raise InvalidValueError("it holds a thumbnail twice, or one that is no JPEG")
    return pictures


def _sample(record: dict[str, Any], vectors: dict[str, FloatArray], thumbnail: bytes | None) -> NewSample:
    return NewSample(
        box=float_array(record["box"], (4,)),
        landmarks=float_array(record["landmarks"], (5, 2)),
        detection_score=real(record["detection_score"]),
        quality=real(record["quality"]),
        path=text(record["source"]),
        content_hash=hex_digest(record["content_hash"]),
        quarter_turns=turns(record["quarter_turns"]),
        taken_at=None if record["taken_at"] is None else text_to_time(record["taken_at"]),
        thumbnail=thumbnail,
        vectors=vectors,
        enrolled_at=text_to_time(record["enrolled_at"]),
        masked=files.yes_or_no(record.get("masked", False)),
        camera_dated=files.yes_or_no(record.get("camera_dated", False)),
        picture_hash=None if record.get("picture_hash") is None else hex_digest(record["picture_hash"]),
    )


def _facts(record: dict[str, Any]) -> PersonFacts:
    """Return what an export says about a person; exports of before version 3 of a gallery say nothing."""
    born, text = record.get("born"), record.get("note")
    return PersonFacts(None if born is None else birth_date(born), None if text is None else note(text))


def _name(value: object) -> str:
    try:
        name = normalize_name(text(value))
    except InvalidNameError as error:
        raise InvalidValueError(str(error)) from error
    if name != value:
        raise InvalidValueError(f"it holds a name that is not normalised: '{printable(name)}'")
    return name
