"""The rows of a Parquet shard, one per file with the faces of its photo nested in it, validated when they are read.

::

    path             bytes of the absolute path, in the encoding of the file system
    size, modified   of the file: bytes, and nanoseconds since 1970; -1 if the next scan has to read it again
    status           scanned: its faces are in this row; known: its faces are those of a file with the same bytes;
                     edited: its faces are those of a file with the same pixels; unreadable: see error
    content_hash     SHA-256 of the file's bytes, 32 bytes; null if they could not be read
    error, readers   why it cannot be decoded, and the versions of the decoders that failed; else null
    width, height    of the upright photo in pixels; null, as are the columns after it, unless scanned or edited
    quarter_turns    number of quarter turns counter-clockwise that made the photo upright, 0..3
    taken_at         ISO 8601, with the offset from UTC if known; or null
    camera_dated     whether taken_at is a camera's date
    picture_hash     SHA-256 of the encoded pixels without metadata, 32 bytes; or null
    faces            largest first, null unless scanned: box (x1, y1, x2, y2) and landmarks (five x, y) in pixels of the
                     upright photo; detection_score, quality, sharpness, frontality, exposure and occlusion 0..1;
                     stability -1..1; size in pixels; weaknesses in words; embedding, L2-normalized
    file_digest      over the row's position and all columns before faces, 16 bytes
    faces_digest     over the row's position and its faces, 16 bytes
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.album.scan.parquet_pages import MAX_FACES
from facebank.album.scan.rows import (
    FaceRow,
    FileStamp,
    PhotoRow,
    error_or_none,
    numbers_of,
    path_of,
    photo_of_values,
    text_or_none,
    weaknesses_of,
)
from facebank.storage.arrow import pyarrow
from facebank.storage.face_rows import FIELDS, OPTIONAL_FIELDS, face_to_row, row_width
from facebank.storage.text import printable
from facebank.storage.values import DIGEST_SIZE, InvalidValueError, integer, row_digest, text, time_to_text

if TYPE_CHECKING:
    from facebank.album.scan.scan_file import ScannedFile
    from facebank.types import Face, FloatArray, Photo

SCANNED, KNOWN, EDITED, UNREADABLE = "scanned", "known", "edited", "unreadable"

FILE_COLUMNS = (
    *("path", "size", "modified", "status", "content_hash", "error", "readers", "width", "height", "quarter_turns"),
    *("taken_at", "camera_dated", "picture_hash", "face_count"),
)
"""The columns that ``file_digest`` covers, besides the row's position."""

_HASH_SIZE = 32


class FileRecord(NamedTuple):
    """A row without its faces; the fields are columns of the same names."""

    path: str
    state: FileStamp
    status: str  # `SCANNED`, `KNOWN`, `EDITED` or `UNREADABLE`
    content_hash: str | None  # in hex; None if the file could not be read
    error: str | None  # None if the photo could be decoded
    readers: str | None  # None unless decoders failed
    photo: PhotoRow | None  # with the number 0; None unless scanned or edited


def schema_of(dimension: int) -> Any:
    """Return the ``pyarrow.Schema`` of a shard whose embeddings have a dimension."""
    pa = pyarrow()

    def vector(size: int) -> Any:
        return pa.list_(pa.field("element", pa.float32(), nullable=False), size)

    shapes = {"box": vector(4), "landmarks": vector(10), "embedding": vector(dimension)}
    words = pa.list_(pa.field("element", pa.string(), nullable=False))
    faces = [
        pa.field(name, shapes.get(name, pa.float32()), nullable=name in OPTIONAL_FIELDS)
        for name in FIELDS
        if name != "embedding"
    ]
    faces += [
        pa.field("weaknesses", words, nullable=False),
        pa.field("embedding", shapes["embedding"], nullable=False),
    ]
    digest = pa.binary(DIGEST_SIZE)
    return pa.schema(
        [
            pa.field("path", pa.binary(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("modified", pa.int64(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("content_hash", pa.binary(_HASH_SIZE)),
            pa.field("error", pa.string()),
            pa.field("readers", pa.string()),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("quarter_turns", pa.int8()),
            pa.field("taken_at", pa.string()),
            pa.field("camera_dated", pa.bool_()),
            pa.field("picture_hash", pa.binary(_HASH_SIZE)),
            pa.field("face_count", pa.int32()),
            pa.field("faces", pa.list_(pa.field("element", pa.struct(faces), nullable=False))),
            pa.field("file_digest", digest, nullable=False),
            pa.field("faces_digest", digest, nullable=False),
        ]
    )


def record_of(file: ScannedFile) -> FileRecord:
    """Return the row of a scanned file; raises `InvalidValueError` if it is invalid."""
    photo = file.photo or file.edited
    error = None if file.error is None else printable(file.error)
    status = UNREADABLE if error is not None else SCANNED if file.photo else EDITED if file.edited else KNOWN
    row = None if photo is None else PhotoRow.of(0, photo)
    record = FileRecord(file.path, file.state, status, file.content_hash, error, file.readers, row)
    return _check_values(_values(record))


def _values(record: FileRecord) -> tuple[object, ...]:
    """Return the values of `FILE_COLUMNS`."""
    photo = record.photo
    photo_values: tuple[object, ...] = (None,) * 7
    if photo is not None:
        taken_at = None if photo.taken_at is None else time_to_text(photo.taken_at)
        picture_hash = _from_hex(photo.picture_hash)
        photo_values = (*photo[2:5], taken_at, photo.camera_dated, picture_hash, photo.face_count)
    return (
        os.fsencode(record.path),
        *(record.state.size, record.state.modified, record.status, _from_hex(record.content_hash)),
        *(record.error, record.readers),
        *photo_values,
    )


def _check_values(values: Sequence[Any]) -> FileRecord:
    """Return the record of the values of `FILE_COLUMNS`; raises `InvalidValueError` if they are invalid."""
    path, size, modified, status, content_hash, error, readers, *photo_values = values
    file_hash, photo = _to_hex(content_hash), None
    if status in (SCANNED, EDITED):
        if file_hash is None:
            raise InvalidValueError("it holds a photo without content hash")
        width, height, turns, taken_at, camera_dated, picture_hash, count = photo_values
        row = (0, file_hash, width, height, turns, taken_at, camera_dated, _to_hex(picture_hash), count)
        photo = photo_of_values(row)
        if count > (MAX_FACES if status == SCANNED else 0):
            raise InvalidValueError("it holds a photo with too many faces")
    elif any(value is not None for value in photo_values):
        raise InvalidValueError("it holds a photo in a row for another status")
    is_valid = {UNREADABLE: error is not None, KNOWN: file_hash is not None and error is None}
    if not is_valid.get(status, error is None and photo is not None):
        raise InvalidValueError("it holds an invalid file")
    return FileRecord(
        path_of(path),
        FileStamp(integer(size), integer(modified)),
        text(status),
        file_hash,
        error_or_none(error),
        text_or_none(readers),
        photo,
    )


def columns_of(records: Sequence[FileRecord], photos: Sequence[Photo | None], first: int, dimension: int) -> Any:
    """Return a ``pyarrow.Table`` of rows; raises `InvalidValueError` if a face is invalid.

    Parameters
    ----------
    records
        The files.
    photos
        The photo of each file with its faces; None unless the status is scanned.
    first
        Position of the first row in the shard.
    dimension
        Length of an embedding.
    """
    pa = pyarrow()
    schema = schema_of(dimension)
    rows = [_values(record) for record in records]
    photo_faces = [() if photo is None else photo.faces for photo in photos]
    faces = [_face_row(face) for each_faces in photo_faces for face in each_faces]
    numbers = numbers_of(faces, dimension)
    counts = list(map(len, photo_faces))
    for face in faces:
        weaknesses_of(face.weaknesses)
    ends = np.cumsum(counts).tolist()
    grouped = [faces[end - count : end] for end, count in zip(ends, counts, strict=True)]
    starts = [None if photo is None else end - count for photo, end, count in zip(photos, ends, counts, strict=True)]
    face_lists = pa.ListArray.from_arrays(
        pa.array([*starts, len(faces)], type=pa.int32()),
        _faces_array(numbers, faces, schema),
        type=schema.field("faces").type,
    )
    values = [*zip(*rows, strict=True)]
    file_digests = [_file_digest(position, row) for position, row in enumerate(rows, first)]
    faces_digests = [_faces_digest(position, group) for position, group in enumerate(grouped, first)]
    plain = [pa.array(column, type=schema.field(index).type) for index, column in enumerate(values)]
    digests = [pa.array(column, type=schema.field("file_digest").type) for column in (file_digests, faces_digests)]
    return pa.Table.from_arrays([*plain, face_lists, *digests], schema=schema)


def _face_row(face: Face) -> FaceRow:
    return FaceRow(0, 0, face_to_row(face).tobytes(), json.dumps(face.assessment.weaknesses))


def _faces_array(numbers: FloatArray, faces: Sequence[FaceRow], schema: Any) -> Any:
    pa = pyarrow()
    fields = list(schema.field("faces").type.value_type)
    arrays = []
    for field in fields:
        if field.name == "weaknesses":
            arrays.append(pa.array([weaknesses_of(face.weaknesses) for face in faces], type=field.type))
            continue
        values = np.ascontiguousarray(numbers[:, FIELDS[field.name]]).ravel()
        flat = pa.array(values, type=pa.float32(), from_pandas=field.nullable)  # NaN becomes null
        is_vector = pa.types.is_fixed_size_list(field.type)
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type) if is_vector else flat)
    return pa.StructArray.from_arrays(arrays, fields=fields)


def records_in(table: Any, first: int) -> list[FileRecord]:
    """Return the files in the rows of a table, which need not have faces; raises `InvalidValueError` for a bad row.

    `first` is the position of the first row in the shard.
    """
    rows = zip(*(table.column(name).to_pylist() for name in (*FILE_COLUMNS, "file_digest")), strict=True)
    records = []
    for position, (*values, digest) in enumerate(rows, first):
        if digest != _file_digest(position, values):
            raise InvalidValueError("a row was altered")
        records.append(_check_values(values))
    return records


def faces_in(table: Any, records: Sequence[FileRecord], first: int, dimension: int) -> Iterator[list[FaceRow]]:
    """Yield the faces of each row of a table; raises `InvalidValueError` before the first if any is invalid.

    `first` is the position of the first row in the shard.
    """
    lists = table.column("faces").combine_chunks()
    if isinstance(lists, pyarrow().ChunkedArray):
        lists = lists.chunk(0) if lists.num_chunks else pyarrow().array([], type=lists.type)
    flat = lists.flatten()
    counts = [0 if record.photo is None else record.photo.face_count for record in records]
    lengths = [length or 0 for length in lists.value_lengths().to_pylist()]
    is_null = [record.status != SCANNED for record in records]
    if counts != lengths or lists.is_null().to_pylist() != is_null:
        raise InvalidValueError("it holds a photo that has lost faces")
    numbers = _numbers_in(flat, dimension)
    weaknesses = [json.dumps(words) for words in flat.field("weaknesses").to_pylist()]
    faces = [FaceRow(0, 0, row.tobytes(), words) for row, words in zip(numbers, weaknesses, strict=True)]
    numbers_of(faces, dimension)
    for words in set(weaknesses):
        weaknesses_of(words)
    digests = table.column("faces_digest").to_pylist()
    grouped, end = list[list[FaceRow]](), 0
    for position, (count, digest) in enumerate(zip(counts, digests, strict=True), first):
        group = faces[end : end + count]
        end += count
        if digest != _faces_digest(position, group):
            raise InvalidValueError("a face was altered")
        grouped.append(group)
    yield from grouped


def _numbers_in(faces: Any, dimension: int) -> FloatArray:
    """Return the numbers of faces, ``float32`` of shape ``(N, W)``, as laid out in `facebank.storage.face_rows`."""
    pa = pyarrow()
    numbers = np.empty((len(faces), row_width(dimension)), dtype="<f4")
    for name, columns in FIELDS.items():
        values = faces.field(name)
        is_vector = pa.types.is_fixed_size_list(values.type)
        flat = values.flatten() if is_vector else values
        if flat.null_count and name not in OPTIONAL_FIELDS:
            raise InvalidValueError("it holds a face without some of its numbers")
        column = flat.to_numpy(zero_copy_only=False).reshape(numbers[:, columns].shape)
        numbers[:, columns] = (
            np.where(np.isnan(column), np.float32(np.nan), column) if name in OPTIONAL_FIELDS else column
        )
    return numbers


def _file_digest(position: int, values: Sequence[object]) -> bytes:
    plain = (int(value) if isinstance(value, bool) else value for value in values)
    return row_digest("shard files", (position, *plain))


def _faces_digest(position: int, faces: Sequence[FaceRow]) -> bytes:
    return row_digest("shard faces", (position, *(value for face in faces for value in face[2:])))


def _to_hex(digest: Any) -> str | None:
    return None if digest is None else digest.hex()


def _from_hex(digest: str | None) -> bytes | None:
    return None if digest is None else bytes.fromhex(digest)
