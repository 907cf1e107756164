"""The rows of a scan file, validated when they are read: their digests, and the range of each value."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.errors import UsageError
from facebank.media.shards import MAX_SHARDS, Shard
from facebank.storage.bucket_urls import BucketURL, is_bucket_url
from facebank.storage.face_rows import check_face_rows, face_from_row, face_to_row, row_width
from facebank.storage.text import printable
from facebank.storage.values import (
    InvalidValueError,
    flag,
    hex_digest,
    integer,
    integer_between,
    quarter_turns,
    row_digest,
    text,
    text_to_time,
    time_to_text,
    verify_row,
)
from facebank.types import Photo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from facebank.types import Face, FloatArray

COLUMNS = {
    "photos": (
        *("id", "content_hash", "width", "height", "quarter_turns", "taken_at", "camera_dated"),
        *("picture_hash", "face_count"),
    ),
    "faces": ("id", "photo", "numbers", "weaknesses"),
    "files": ("path", "size", "modified", "photo", "error", "readers"),
    "groups": ("face", "number", "position"),
    "apart": ("first", "second"),
    "tags": ("photo", "file", "person"),
    "shards": ("place", "number", "count", "looked_through"),
    "videos": ("id", "path", "size", "modified", "content_hash", "seconds", "error", "readers", "track_count"),
    "tracks": ("id", "video", "shot", "begun", "seen", "ended", "face_count"),
    "track_faces": ("id", "track", "numbers", "weaknesses"),
    "track_pictures": ("track", "picture"),
    "totals": ("files", "photos", "faces", "grouped", "apart", "tags", "shards", "videos"),
}
"""The columns of each table that its digest covers; the digest is the last column."""

_MAX_SIDE = 2**31
_MAX_FACES = 1_000_000
_MAX_ERROR_LENGTH = 20_000
_MAX_WEAKNESSES, _MAX_WEAKNESS_LENGTH, _MAX_WEAKNESSES_LENGTH = 20, 100, 4_000


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Size and modification time of a file, to detect changes.

    For an object of a bucket they are those of `facebank.media.ObjectState`.
    """

    size: int  # bytes
    modified: int  # nanoseconds since 1970, UTC


class FileRow(NamedTuple):
    """A file of a scan."""

    path: str  # absolute
    state: FileStamp
    photo_id: int | None  # number of the photo; None if the file cannot be read
    error: str | None  # why it cannot be read, or None
    readers: str | None  # versions of the decoders that failed; None to retry in any case


class PhotoRow(NamedTuple):
    """A photo, without its faces."""

    id: int
    content_hash: str  # SHA-256 of the bytes, in hex
    width: int  # of the upright photo, in pixels
    height: int  # of the upright photo, in pixels
    quarter_turns: int  # counter-clockwise, that made it upright, 0..3
    taken_at: datetime | None  # None if unknown
    camera_dated: bool  # whether `taken_at` is a camera's date
    picture_hash: str | None  # SHA-256 of the pixels, in hex; None if unknown
    face_count: int

    @classmethod
    def of(cls, number: int, photo: Photo) -> PhotoRow:
        """Return the row of an analyzed photo."""
        return cls(
            number,
            photo.content_hash,
            photo.width,
            photo.height,
            photo.quarter_turns,
            photo.taken_at,
            photo.camera_dated,
            photo.picture_hash,
            len(photo.faces),
        )

    def with_faces(self, path: str, faces: tuple[Face, ...]) -> Photo:
        """Return the photo with its faces and the path of a file."""
        return Photo(
            path,
            faces,
            width=self.width,
            height=self.height,
            quarter_turns=self.quarter_turns,
            content_hash=self.content_hash,
            taken_at=self.taken_at,
            camera_dated=self.camera_dated,
            picture_hash=self.picture_hash,
        )


class FaceRow(NamedTuple):
    """A face."""

    id: int
    photo_id: int  # number of the photo, or of the track of a video
    numbers: bytes  # box, landmarks, scores and embedding, as in `facebank.storage.face_rows`
    weaknesses: str  # JSON list of words


class TagRow(NamedTuple):
    """A name that facebank wrote for a photo."""

    photo_path: str
    tagged_path: str  # of the photo or sidecar with the name
    person_id: int


class ShardRow(NamedTuple):
    """A scanned folder, or a scanned shard of one."""

    place: str  # absolute path of the folder
    shard: Shard  # ``Shard(1, 1)`` for the whole folder
    scanned_at: datetime  # when the last scan of it began


class Totals(NamedTuple):
    """Numbers of rows of the tables, to detect lost rows."""

    files: int
    photos: int
    faces: int
    grouped: int
    apart: int
    tags: int
    shards: int
    videos: int


@cache
def select(tables: tuple[str, ...], clauses: str) -> str:
    """Return a SELECT statement for all columns of tables, with their digests; `clauses` begins with FROM."""
    columns = (f"{table}.{column}" for table in tables for column in (*COLUMNS[table], "row_digest"))
    return f"SELECT {', '.join(columns)} {clauses}"


def column_count(table: str) -> int:
    """Return the number of a table's columns in `select`."""
    return len(COLUMNS[table]) + 1


def insert(connection: sqlite3.Connection, table: str, rows: Iterable[Sequence[object]]) -> None:
    """Write rows with their digests."""
    names = ", ".join((*COLUMNS[table], "row_digest"))
    marks = ", ".join("?" * column_count(table))
    connection.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - names from the table above
        ((*row, row_digest(table, row)) for row in rows),
    )


def file_row(row: Sequence[object]) -> FileRow:
    """Return a row of ``files``; raises `InvalidValueError` if it is invalid."""
    path, size, modified, photo_id, error, readers = verify_row("files", row)
    return FileRow(
        path_of(path),
        FileStamp(integer(size), integer(modified)),
        None if photo_id is None else integer(photo_id),
        error_or_none(error),
        text_or_none(readers),
    )


def file_values(file: FileRow) -> tuple[object, ...]:
    """Return the values of a file's row, without the digest."""
    return (os.fsencode(file.path), file.state.size, file.state.modified, file.photo_id, file.error, file.readers)


def photo_row(row: Sequence[object]) -> PhotoRow:
    """Return a row of ``photos``; raises `InvalidValueError` if it is invalid."""
    return photo_of_values(verify_row("photos", row))


def photo_of_values(values: Sequence[object]) -> PhotoRow:
    """Return the photo of a row's values without the digest; raises `InvalidValueError` if they are invalid."""
    number, content_hash, width, height, turns, taken_at, camera_dated, picture_hash, face_count = values
    return PhotoRow(
        integer(number),
        hex_digest(content_hash),
        integer_between(width, 1, _MAX_SIDE),
        integer_between(height, 1, _MAX_SIDE),
        quarter_turns(turns),
        None if taken_at is None else _parse_time(taken_at),
        flag(camera_dated),
        None if picture_hash is None else hex_digest(picture_hash),
        integer_between(face_count, 0, _MAX_FACES),
    )


def photo_values(photo: PhotoRow) -> tuple[object, ...]:
    """Return the values of a photo's row, without the digest."""
    taken_at = None if photo.taken_at is None else time_to_text(photo.taken_at)
    return (*photo[:5], taken_at, int(photo.camera_dated), *photo[7:])


def face_row(row: Sequence[object], table: str = "faces") -> FaceRow:
    """Return a row of ``faces`` or ``track_faces``; its numbers are validated by `faces_of` and `numbers_of`."""
    face_id, photo_id, numbers, weaknesses = verify_row(table, row)
    if not isinstance(numbers, bytes) or not isinstance(weaknesses, str):
        raise InvalidValueError("it holds an invalid face")
    return FaceRow(integer(face_id), integer(photo_id), numbers, weaknesses)


def face_values(face_id: int, photo_id: int, face: Face) -> tuple[object, ...]:
    """Return the values of a face's row, without the digest."""
    return (face_id, photo_id, face_to_row(face).tobytes(), json.dumps(face.assessment.weaknesses))


def numbers_of(rows: Sequence[FaceRow], dimension: int) -> FloatArray:
    """Return the numbers of faces, ``float32`` of shape ``(N, W)``; raises `InvalidValueError` if they are invalid."""
    width = row_width(dimension)
    if any(len(row.numbers) != 4 * width for row in rows):
        raise InvalidValueError(f"it holds a face whose embedding does not have {dimension} numbers")
    numbers = np.frombuffer(b"".join(row.numbers for row in rows), dtype="<f4").reshape(-1, width)
    return check_face_rows(numbers)


def faces_of(photos: Sequence[Sequence[FaceRow]], dimension: int) -> list[tuple[Face, ...]]:
    """Return the faces of each photo; raises `InvalidValueError` if one is invalid. Fastest for many photos at once."""
    numbers = iter(numbers_of([row for rows in photos for row in rows], dimension))
    return [tuple(face_from_row(next(numbers), weaknesses_of(row.weaknesses)) for row in rows) for rows in photos]


@lru_cache(maxsize=1000)
def weaknesses_of(text: str) -> tuple[str, ...]:
    """Return a face's weaknesses from a JSON list of words; raises `InvalidValueError` for anything else.

    Examples
    --------
    >>> weaknesses_of('["blurred"]')
    ('blurred',)
    """
    try:
        words = json.loads(text) if len(text) <= _MAX_WEAKNESSES_LENGTH else None
    except (ValueError, RecursionError) as error:
        raise InvalidValueError("it holds invalid weaknesses of a face") from error
    if not isinstance(words, list) or len(words) > _MAX_WEAKNESSES or not all(map(_is_word, words)):
        raise InvalidValueError("it holds invalid weaknesses of a face")
    return tuple(words)


def group_row(row: Sequence[object]) -> tuple[int, int]:
    """Return the numbers of the group and the face of a row of ``groups``; raises `InvalidValueError` if invalid."""
    face_id, number, position = verify_row("groups", row)
    integer_between(position, 0, 2**62)
    return integer_between(number, 1, 2**62), integer(face_id)


def apart_row(row: Sequence[object]) -> tuple[int, int]:
    """Return the numbers of the two faces of a row of ``apart``; raises `InvalidValueError` if it is invalid."""
    first, second = map(integer, verify_row("apart", row))
    return first, second


def tag_row(row: Sequence[object]) -> TagRow:
    """Return a row of ``tags``; raises `InvalidValueError` if it is invalid."""
    photo_path, tagged_path, person_id = verify_row("tags", row)
    return TagRow(path_of(photo_path), path_of(tagged_path), integer(person_id))


def shard_row(row: Sequence[object]) -> ShardRow:
    """Return a row of ``shards``; raises `InvalidValueError` if it is invalid."""
    return shard_of_values(verify_row("shards", row))


def shard_of_values(values: Sequence[object]) -> ShardRow:
    """Return the shard of a row's values without the digest; raises `InvalidValueError` if they are invalid."""
    place, number, count, time = values
    shards = integer_between(count, 1, MAX_SHARDS)
    scanned_at = _parse_time(time)
    if scanned_at.tzinfo is None:
        raise InvalidValueError("it holds a time without a time zone")
    return ShardRow(path_of(place), Shard(integer_between(number, 1, shards), shards), scanned_at)


def shard_values(row: ShardRow) -> tuple[object, ...]:
    """Return the values of a shard's row, without the digest."""
    return (os.fsencode(row.place), row.shard.number, row.shard.count, time_to_text(row.scanned_at))


def totals_row(row: Sequence[object]) -> Totals:
    """Return the one row of ``totals``; raises `InvalidValueError` if it is invalid."""
    return Totals(*(integer_between(value, 0, 2**62) for value in verify_row("totals", row)))


def path_of(data: object) -> str:
    """Return a path from its bytes; raises `InvalidValueError` unless it is absolute and normalized.

    The address of a bucket or object is returned too, in its shortest form; it is never opened as a file.
    """
    if not isinstance(data, bytes) or b"\0" in data:
        raise InvalidValueError("it holds an invalid path")
    path = os.fsdecode(data)
    if is_bucket_url(path):
        return _address(path)
    if not os.path.isabs(path) or os.path.normpath(path) != path:  # noqa: PTH117 - fast enough for a million paths
        raise InvalidValueError("it holds an invalid path")
    return path


def _address(url: str) -> str:
    try:
        if str(BucketURL.parse(url)) == url:
            return url
    except UsageError as error:
        raise InvalidValueError("it holds an invalid address") from error
    raise InvalidValueError("it holds an invalid address")


def error_or_none(value: object) -> str | None:
    """Return a file's error, which must be one printable line, or None."""
    error = text_or_none(value)
    if error is not None and (len(error) > _MAX_ERROR_LENGTH or printable(error) != error):
        raise InvalidValueError("it holds an invalid error message")
    return error


def text_or_none(value: object) -> str | None:
    """Return a text or None."""
    return None if value is None else text(value)


def _parse_time(value: object) -> datetime:
    time = text_to_time(value)
    if time.tzinfo is not None:
        try:
            time.astimezone(UTC)
        except OverflowError as error:  # before the year 1, or after 9999
            raise InvalidValueError("it holds an invalid time") from error
    return time


def _is_word(word: Any) -> bool:
    return isinstance(word, str) and 0 < len(word) <= _MAX_WEAKNESS_LENGTH and word.isprintable()
