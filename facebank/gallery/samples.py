"""Samples (enrolled faces) in the gallery's tables; call inside a transaction. Damage raises `InvalidValueError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.gallery.store.codec import floats_from_bytes, floats_to_bytes, person_name
from facebank.gallery.store.indexes import OWNERS_INDEX, hides_rows
from facebank.gallery.store.rows import (
    all_rows,
    blocks_of,
    damage_of,
    insert,
    read_sum,
    rows_by_id,
    rows_of,
    sum_name,
)
from facebank.gallery.store.schema import PICTURES_SINCE, has_seals, schema_version
from facebank.storage.values import (
    InvalidValueError,
    bytes_to_path,
    flag,
    fraction,
    hex_digest,
    integer,
    path_to_bytes,
    text_to_time,
    time_to_text,
)
from facebank.types import Sample

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from facebank.gallery.records import NewSample
    from facebank.gallery.store.rows import Row
    from facebank.types import FloatArray


class Owners(NamedTuple):
    """The people and qualities of samples, ordered by sample id."""

    sample_ids: NDArray[np.int64]  # ascending, ``(N,)``
    person_ids: NDArray[np.int64]  # ``(N,)``
    qualities: FloatArray  # 0..1, ``float32`` of shape ``(N,)``


def add_sample(connection: sqlite3.Connection, person_id: int, sample: NewSample, now: datetime) -> int:
    """Add a sample without its embeddings, and return its id."""
    (sample_id,) = insert(
        connection,
        "samples",
        [
            {
                "person_id": person_id,
                "box": floats_to_bytes(sample.box),
                "landmarks": floats_to_bytes(sample.landmarks),
                "detection_score": float(sample.detection_score),
                "quality": float(sample.quality),
                "source": path_to_bytes(sample.path),
                "content_hash": sample.content_hash,
                "quarter_turns": sample.quarter_turns,
                "taken_at": None if sample.taken_at is None else time_to_text(sample.taken_at),
                "enrolled_at": time_to_text(sample.enrolled_at or now),
                "masked": int(sample.masked),
                "camera_dated": int(sample.camera_dated),
                "picture_hash": sample.picture_hash,
            }
        ],
    )
    if sample.thumbnail is not None:
        insert(connection, "thumbnails", [{"sample_id": sample_id, "jpeg": sample.thumbnail}])
    return sample_id


def samples_of(connection: sqlite3.Connection, person_id: int) -> list[Sample]:
    """Return a person's samples, by id."""
    rows = rows_of(connection, "samples", "WHERE person_id = ? ORDER BY id", (person_id,))
    if hides_rows(connection, OWNERS_INDEX, person_id):
        raise damage_of(connection, "samples", "its index of samples is incomplete")
    return _samples(connection, rows)


def samples_by_person(connection: sqlite3.Connection) -> dict[int, list[Sample]]:
    """Return all samples by person id, each list by sample id."""
    samples: dict[int, list[Sample]] = {}
    rows = all_rows(connection, "samples")
    for row, sample in zip(rows, _samples(connection, rows), strict=True):
        samples.setdefault(integer(row["person_id"]), []).append(sample)
    return samples


def samples_of_photo(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None = None
) -> list[Sample]:
    """Return the samples from one photo, identified by its bytes or its picture, by id."""
    condition, values = _photo_condition(connection, content_hash, picture_hash)
    return _samples(connection, rows_of(connection, "samples", f"WHERE {condition} ORDER BY id", values))


def samples_by_id(connection: sqlite3.Connection, sample_ids: Iterable[int]) -> list[Sample]:
    """Return the samples with the given ids, in the order of these."""
    ordered = list(sample_ids)
    rows = {row["id"]: row for row in rows_by_id(connection, "samples", "id", ordered)}
    if not rows.keys() >= set(ordered):
        raise damage_of(connection, "samples", "an embedding belongs to no sample")
    return _samples(connection, [rows[sample_id] for sample_id in ordered])


def owners(connection: sqlite3.Connection, *, masked: bool | None = None) -> Owners:
    """Return the owners of samples: masked ones (True), unmasked ones (False) or all (None)."""
    groups = (0, 1) if masked is None else (int(masked),)
    return owners_from_blocks(
        [block for group in groups for block in blocks_of(connection, "samples", "owners", group)]
    )


def owners_from_blocks(blocks: Sequence[Sequence[NDArray[Any]]]) -> Owners:
    """Return the owners from blocks of table columns."""
    if not blocks:
        return Owners(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    sample_ids, person_ids, stored = (
        np.concatenate(arrays) for arrays in zip(*(block[:3] for block in blocks), strict=True)
    )
    qualities = np.nan_to_num(stored, nan=0.0).clip(0.0, 1.0).astype(np.float32)
    if not (np.diff(sample_ids) > 0).all():
        order = np.argsort(sample_ids, kind="stable")
        sample_ids, person_ids, qualities = sample_ids[order], person_ids[order], qualities[order]
    return Owners(sample_ids, person_ids, qualities)


def _photo_condition(
    connection: sqlite3.Connection, content_hash: str, picture_hash: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the SQL condition, and its values, for the rows of a photo, identified by its bytes or its picture."""
    if picture_hash is None or schema_version(connection) < PICTURES_SINCE:
        return "content_hash = ?", (content_hash,)
    return "(content_hash = ? OR picture_hash = ?)", (content_hash, picture_hash)


def sample_ids(connection: sqlite3.Connection) -> set[int]:
    """Return the ids of all samples."""
    return set(owners(connection).sample_ids.tolist())


def has_sample(connection: sqlite3.Connection, sample_id: int) -> bool:
    """Return whether there is a sample with this id."""
    return connection.execute("SELECT 1 FROM samples WHERE id = ?", (sample_id,)).fetchone() is not None


def thumbnail(connection: sqlite3.Connection, sample_id: int) -> bytes | None:
    """Return a sample's thumbnail, a JPEG."""
    rows = rows_of(connection, "thumbnails", "WHERE sample_id = ?", (sample_id,))
    if not rows:
        _check_thumbnails_have_samples(connection)
        return None
    if not isinstance(rows[0]["jpeg"], bytes):
        raise InvalidValueError("it contains an invalid thumbnail")
    jpeg: bytes = rows[0]["jpeg"]
    return jpeg


def _check_thumbnails_have_samples(connection: sqlite3.Connection) -> None:
    """Raise for lost thumbnails, and for those without a sample: a damaged id looks like a missing thumbnail."""
    if not has_seals(connection):
        return
    owner_ids = [sample_id for (sample_id,) in connection.execute("SELECT sample_id FROM thumbnails NOT INDEXED")]
    known_ids = {sample_id for (sample_id,) in connection.execute("SELECT id FROM samples NOT INDEXED")}
    expected = read_sum(connection, sum_name("thumbnails")).row_count
    if len(owner_ids) != expected or len(set(owner_ids)) != expected or not known_ids.issuperset(owner_ids):
        raise damage_of(connection, "thumbnails", "a thumbnail belongs to no sample")


def _samples(connection: sqlite3.Connection, rows: list[Row]) -> list[Sample]:
    if not rows:
        return []
    person_ids = {integer(row["person_id"]) for row in rows}
    names = {row["id"]: person_name(row["name"]) for row in rows_by_id(connection, "people", "id", person_ids)}
    with_thumbnail = _samples_with_thumbnail(connection, [integer(row["id"]) for row in rows])
    if person_ids - names.keys():
        raise InvalidValueError("a sample belongs to no person")
    return [
        Sample(
            id=integer(row["id"]),
            person=names[row["person_id"]],
            box=floats_from_bytes(row["box"], (4,)),
            landmarks=floats_from_bytes(row["landmarks"], (5, 2)),
            detection_score=fraction(row["detection_score"]),
            quality=fraction(row["quality"]),
            path=bytes_to_path(row["source"]),
            content_hash=hex_digest(row["content_hash"]),
            quarter_turns=integer(row["quarter_turns"]),
            taken_at=None if row["taken_at"] is None else text_to_time(row["taken_at"]),
            enrolled_at=text_to_time(row["enrolled_at"]),
            has_thumbnail=row["id"] in with_thumbnail,
            masked=flag(row["masked"]),
            camera_dated=flag(row["camera_dated"]),
            picture_hash=None if row["picture_hash"] is None else hex_digest(row["picture_hash"]),
        )
        for row in rows
    ]


def _samples_with_thumbnail(connection: sqlite3.Connection, sample_ids: list[int]) -> set[int]:
    rows = (
        connection.execute("SELECT 1 FROM thumbnails WHERE sample_id = ?", (sample_id,)).fetchone()
        for sample_id in sample_ids
    )
    return {sample_id for sample_id, row in zip(sample_ids, rows, strict=True) if row is not None}
