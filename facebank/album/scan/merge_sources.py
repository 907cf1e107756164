"""Sources of a merge: their protocol, and its implementation for scan files; `parquet_source` has Parquet shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from facebank.album.scan.rows import FaceRow, FileRow, PhotoRow, ShardRow, numbers_of, photo_row, weaknesses_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from facebank.album.scan.tables import ScanTables

SourcePhoto: TypeAlias = "tuple[PhotoRow, list[FaceRow] | None] | None"
"""A photo and its faces, which are None for an edited copy of another photo; None if the source lacks the photo."""


class MergeSource(Protocol):
    """A scan to merge into another. All members but `path` and `file_count` are used inside `reading`."""

    @property
    def path(self) -> Path:
        """The scan file, or the Parquet shard."""
        ...

    @property
    def file_count(self) -> int:
        """The number of files in the scan."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Keep the scan open, and its content consistent, for several reads."""
        ...

    def shards(self) -> list[ShardRow]:
        """Return the scanned folders and shards of folders."""
        ...

    def contents(self) -> dict[int, str]:
        """Return the SHA-256 of the photos, in hex, by the photos' numbers."""
        ...

    def files(self) -> list[FileRow]:
        """Return all files."""
        ...

    def photos_at(self, photo_ids: Sequence[int]) -> list[SourcePhoto]:
        """Return the photos with some numbers; fastest in the order of the files."""
        ...


class ScanSource:
    """A scan file as a `MergeSource`."""

    def __init__(self, tables: ScanTables, dimension: int) -> None:
        self._tables = tables
        self._dimension = dimension

    @property
    def path(self) -> Path:
        """As for `MergeSource`."""
        return self._tables.path

    @property
    def file_count(self) -> int:
        """As for `MergeSource`."""
        return self._tables.totals().files

    def reading(self) -> AbstractContextManager[None]:
        """As for `MergeSource`."""
        return self._tables.reading()

    def shards(self) -> list[ShardRow]:
        """As for `MergeSource`."""
        return self._tables.shards()

    def contents(self) -> dict[int, str]:
        """As for `MergeSource`."""
        photos = self._tables.whole_table("photos", "id", photo_row, "photos")
        return {photo.id: photo.content_hash for photo in photos}

    def files(self) -> list[FileRow]:
        """As for `MergeSource`, in the order of their paths."""
        return self._tables.all_files()

    def photos_at(self, photo_ids: Sequence[int]) -> list[SourcePhoto]:
        """As for `MergeSource`."""
        photos = [self._tables.photo_at(photo_id) for photo_id in photo_ids]
        faces = [self._tables.face_rows(photo) for photo in photos]
        self._tables.read(_check_faces, [face for photo_faces in faces for face in photo_faces], self._dimension)
        return list(zip(photos, faces, strict=True))


def _check_faces(rows: Sequence[FaceRow], dimension: int) -> None:
    """Raise `InvalidValueError` if a row is not a valid face."""
    if rows:
        numbers_of(rows, dimension)
    for row in rows:
        weaknesses_of(row.weaknesses)
