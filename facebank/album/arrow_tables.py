r"""An album's faces, and photos that were found, as Arrow tables: for pandas, Polars, DuckDB and other programs.

Faces, a row each:

================  ==============================  ======================================================================
path              string                          the photo's file; bytes that are no UTF-8 as ``\xe9``
content_hash      fixed_size_binary[32]           SHA-256 of the photo's bytes
width, height     int32                           of the upright photo, in pixels
taken_at          timestamp[us, tz=UTC]           when the photo was taken; a camera's time without a zone as if of UTC;
                                                  null if it is not known
camera_dated      bool                            whether a camera says so; else it is the file's time
face_number       int32                           the face's place in the photo, from 1, the largest
box               fixed_size_list<float>[4]       x1, y1, x2, y2 in pixels of the upright photo
landmarks         fixed_size_list<float>[10]      x, y of both eyes, the nose tip and both mouth corners, in pixels
detection_score   float                           0..1
quality           float                           0..1
decision, reason  string                          as of `facebank.Face`; null if nobody was asked
person            string                          the name; null unless the decision is ``known``
probability       double                          calibrated probability of the most similar person, 0..1; or null
similarity        double                          cosine with the most similar person, -1..1; or null
group             int64                           the number of the face's group; null if it is in none
embedding         fixed_size_list<float>[D]       of length 1, comparable within one pack
================  ==============================  ======================================================================

Photos that were found, a row each: path, content_hash, taken_at and camera_dated as above, and ``people``, a list of
everybody who is known there: person, probability, and the box of those who were looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from facebank.storage.arrow import pyarrow
from facebank.storage.files import face_file_mode, new_file, writing

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.album.finding import FoundPhoto
    from facebank.types import Face, Photo

_FACES_AT_ONCE = 4_096


def faces_table(photos: Iterable[tuple[Sequence[int], Photo]], groups: Mapping[int, int], dimension: int) -> Any:
    """Return the faces of photos as a ``pyarrow.Table`` in chunks, taken from the photos a few at a time.

    Raises `MissingDependencyError`: the extra `cluster` is not installed.

    Parameters
    ----------
    photos
        Each with its faces' numbers in the scan.
    groups
        The group of each face that is in one, by number.
    dimension
        Length of an embedding.
    """
    pa = pyarrow()
    schema = faces_schema(dimension)
    batches = (_faces_batch(rows, schema) for rows in _grouped(photos, groups))
    return pa.Table.from_batches(list(batches), schema=schema)


def faces_schema(dimension: int) -> Any:
    """Return the ``pyarrow.Schema`` of `faces_table`."""
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
    """Write photos that were found to a Parquet file, which appears whole or not at all; an existing one is replaced.

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
        "path": [shown_path(photo.path) for photo in found],
        "content_hash": [bytes.fromhex(photo.content_hash) for photo in found],
        "taken_at": [_moment(photo.taken_at) for photo in found],
        "camera_dated": [photo.camera_dated for photo in found],
        "people": [
            [{"person": one.name, "probability": one.probability, "box": one.box} for one in photo.people]
            for photo in found
        ],
    }
    with writing(path, "name another file, or make room"), new_file(path, mode=face_file_mode()) as part:
        pa.parquet.write_table(pa.Table.from_pydict(rows, schema=schema), part.stream, write_page_checksum=True)


def shown_path(path: str) -> str:
    r"""Return a path as UTF-8 can have it: bytes that are none as ``\xe9``, for example."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _grouped(
    photos: Iterable[tuple[Sequence[int], Photo]], groups: Mapping[int, int]
) -> Iterator[list[tuple[Photo, Face, int | None]]]:
    rows = list[tuple["Photo", "Face", "int | None"]]()
    for numbers, photo in photos:
        rows += [(photo, face, groups.get(number)) for number, face in zip(numbers, photo.faces, strict=True)]
        if len(rows) >= _FACES_AT_ONCE:
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
        "path": [shown_path(photo.path) for photo in photos],
        "content_hash": [bytes.fromhex(photo.content_hash) for photo in photos],
        "width": [photo.width for photo in photos],
        "height": [photo.height for photo in photos],
        "taken_at": [_moment(photo.taken_at) for photo in photos],
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


def _moment(taken_at: datetime | None) -> datetime | None:
    """Return a time in UTC, in which a camera's without a zone is taken to be."""
    if taken_at is None:
        return None
    return taken_at.astimezone(UTC) if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)
