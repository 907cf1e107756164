r"""Arrow tables of an album's faces and of found photos, for pandas, Polars, DuckDB and other programs.

Faces, one row each:

================  ==============================  ======================================================================
path              string                          the photo's file; bytes that are not UTF-8 as ``\xe9``
content_hash      fixed_size_binary[32]           SHA-256 of the photo's bytes
width, height     int32                           of the upright photo, in pixels
taken_at          timestamp[us, tz=UTC]           when the photo was taken; a camera's time without a zone counts as
                                                  UTC; null if unknown
camera_dated      bool                            whether taken_at is a camera's date; else it is the file's time
face_number       int32                           from 1, the largest face of the photo
box               fixed_size_list<float>[4]       x1, y1, x2, y2 in pixels of the upright photo
landmarks         fixed_size_list<float>[10]      x, y of both eyes, the nose tip and both mouth corners, in pixels
detection_score   float                           0..1
quality           float                           0..1
decision, reason  string                          as for `facebank.Face`; null if the face was not identified
person            string                          the name; null unless the decision is ``known``
probability       double                          calibrated probability of the most similar person, 0..1; or null
similarity        double                          cosine with the most similar person, -1..1; or null
group             int64                           the number of the face's group; null if it has none
embedding         fixed_size_list<float>[D]       L2-normalized, comparable within one pack
================  ==============================  ======================================================================

Found photos, one row each: path, content_hash, taken_at and camera_dated as above, and ``people``, a list of everybody
identified in the photo: person, probability, and the box of people in the query.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.storage.arrow import pyarrow
from facebank.storage.files import face_file_mode, new_file, translate_write_errors

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.album.finding import FoundPhoto
    from facebank.types import Face, Photo

_BATCH_FACES = 4_096


def faces_table(photos: Iterable[tuple[Sequence[int], Photo]], groups: Mapping[int, int], dimension: int) -> Any:
    """Return the faces of photos as a ``pyarrow.Table`` with chunks of about 4,000 rows.

    Raises `MissingDependencyError` if the extra `cluster` is not installed.

    Parameters
    ----------
    photos
        The photos, each with the numbers of its faces in the scan; consumed a few at a time.
    groups
        The group of each grouped face, by the face's number in the scan.
    dimension
        Length of an embedding.
    """
    pa = pyarrow()
    schema = faces_schema(dimension)
    batches = (_faces_batch(rows, schema) for rows in _batch_faces(photos, groups))
    return pa.Table.from_batches(list(batches), schema=schema)


def faces_schema(dimension: int) -> Any:
    """Return the ``pyarrow.Schema`` of `faces_table`, for embeddings of a length."""
    pa = pyarrow()
    single = pa.float32()
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("content_hash", pa.binary(32), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("taken_at", pa.timestamp("us", tz="UTC")),
            pa.field("camera_dated", pa.bool_(), nullable=False),
            pa.field("face_number", pa.int32(), nullable=False),
            pa.field("box", pa.list_(single, 4), nullable=False),
            pa.field("landmarks", pa.list_(single, 10), nullable=False),
            pa.field("detection_score", single, nullable=False),
            pa.field("quality", single, nullable=False),
            *(pa.field(name, pa.string()) for name in ("decision", "reason", "person")),
            *(pa.field(name, pa.float64()) for name in ("probability", "similarity")),
            pa.field("group", pa.int64()),
            pa.field("embedding", pa.list_(single, dimension), nullable=False),
        ]
    )


def write_found(found: Sequence[FoundPhoto], path: Path) -> None:
    """Write found photos to a Parquet file atomically, replacing an existing one.

    Raises `StorageError` (it cannot be written) or `MissingDependencyError` (the extra `cluster` is not installed).
    """
    pa = pyarrow()
    person = pa.struct(
        [
            pa.field("person", pa.string(), nullable=False),
            pa.field("probability", pa.float64()),
            pa.field("box", pa.list_(pa.float32(), 4)),
        ]
    )
    schema = pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("content_hash", pa.binary(32), nullable=False),
            pa.field("taken_at", pa.timestamp("us", tz="UTC")),
            pa.field("camera_dated", pa.bool_(), nullable=False),
            pa.field("people", pa.list_(person), nullable=False),
        ]
    )
    rows = {
        "path": [escape_path(photo.path) for photo in found],
        "content_hash": [bytes.fromhex(photo.content_hash) for photo in found],
        "taken_at": [_to_utc(photo.taken_at) for photo in found],
        "camera_dated": [photo.camera_dated for photo in found],
        "people": [
            [{"person": person.name, "probability": person.probability, "box": person.box} for person in photo.people]
            for photo in found
        ],
    }
    with translate_write_errors(path, "name another file, or make room"), new_file(path, mode=face_file_mode()) as part:
        pa.parquet.write_table(pa.Table.from_pydict(rows, schema=schema), part.stream, write_page_checksum=True)


def escape_path(path: str) -> str:
    r"""Return a path in valid UTF-8, with other bytes as escapes such as ``\xe9``.

    Examples
    --------
    >>> escape_path("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _batch_faces(
    photos: Iterable[tuple[Sequence[int], Photo]], groups: Mapping[int, int]
) -> Iterator[list[tuple[Photo, Face, int | None]]]:
    rows = list[tuple["Photo", "Face", "int | None"]]()
    for face_ids, photo in photos:
        rows += [(photo, face, groups.get(face_id)) for face_id, face in zip(face_ids, photo.faces, strict=True)]
        if len(rows) >= _BATCH_FACES:
            yield rows
            rows = []
    if rows:
        yield rows


def _faces_batch(rows: Sequence[tuple[Photo, Face, int | None]], schema: Any) -> Any:
    pa = pyarrow()
    photos, faces, groups = zip(*rows, strict=True)

    def vectors(name: str, values: Sequence[Any]) -> Any:
        flat = np.concatenate([value.ravel() for value in values]).astype(np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=schema.field(name).type)

    columns = {
        "path": [escape_path(photo.path) for photo in photos],
        "content_hash": [bytes.fromhex(photo.content_hash) for photo in photos],
        "width": [photo.width for photo in photos],
        "height": [photo.height for photo in photos],
        "taken_at": [_to_utc(photo.taken_at) for photo in photos],
        "camera_dated": [photo.camera_dated for photo in photos],
        "face_number": [face.face_number for face in faces],
        "detection_score": [face.detection_score for face in faces],
        "quality": [face.quality for face in faces],
        "decision": [None if face.decision is None else str(face.decision) for face in faces],
        "reason": [None if face.reason is None else str(face.reason) for face in faces],
        "person": [face.person for face in faces],
        "probability": [face.probability for face in faces],
        "similarity": [face.similarity for face in faces],
        "group": groups,
        "box": vectors("box", [face.box for face in faces]),
        "landmarks": vectors("landmarks", [face.landmarks for face in faces]),
        "embedding": vectors("embedding", [face.embedding for face in faces]),
    }
    arrays = (columns[field.name] for field in schema)
    typed = [
        array if isinstance(array, pa.Array) else pa.array(array, field.type)
        for array, field in zip(arrays, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(typed, schema=schema)


def _to_utc(taken_at: datetime | None) -> datetime | None:
    """Return a time in UTC; one without a time zone counts as UTC."""
    if taken_at is None:
        return None
    return taken_at.astimezone(UTC) if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)
