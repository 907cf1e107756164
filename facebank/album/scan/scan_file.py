"""The scan file: photos by content, and the faces found in them; `facebank.album.scan.videos` has the videos.

It is one SQLite file with the faces of everybody in the photos, so only its owner can read it, and deleted data is
overwritten. Every row is validated when it is read, and lost rows are detected: damage raises `ScanFormatError` and
never changes a result.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.album.scan.merge_sources import ScanSource
from facebank.album.scan.merging import MergeReport, is_inside, join_shards, merge_tables
from facebank.album.scan.rows import (
    FaceRow,
    FileRow,
    FileStamp,
    PhotoRow,
    ShardRow,
    TagRow,
    apart_row,
    column_count,
    face_row,
    faces_of,
    file_row,
    group_row,
    insert,
    numbers_of,
    photo_row,
    select,
)
from facebank.album.scan.schema import SCAN_FILE, prepare
from facebank.album.scan.tables import BUSY_TIMEOUT, INSIDE, ScanTables, range_of
from facebank.album.scan.videos import ScanVideos
from facebank.storage.connections import ThreadConnections, connect
from facebank.storage.face_rows import embeddings_of, qualities_of
from facebank.storage.progress import SILENT, Progress
from facebank.storage.text import printable
from facebank.types import Photo

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from facebank.album.scan.merge_sources import MergeSource
    from facebank.gallery import PackIdentity
    from facebank.storage.connections import BoundedConnection
    from facebank.types import FloatArray

UNSETTLED = FileStamp(-1, -1)
"""The state of a file that the next scan has to read again."""

_EVERYWHERE = (b"", b"\x00", b"\xff" * 8)
_PHOTOS = "FROM files LEFT JOIN photos ON photos.id = files.photo WHERE files.photo IS NOT NULL AND"
_ONE_PHOTO = select(("files", "photos"), f"{_PHOTOS} files.path = ?")
_PAGE_OF_PHOTOS = select(
    ("files", "photos"), f"{_PHOTOS} files.path > ? AND files.path < ? ORDER BY files.path LIMIT 200"
)


@dataclass(frozen=True, slots=True, eq=False)
class ScannedFile:
    """The result of scanning a file."""

    path: str  # absolute
    state: FileStamp  # as it was before the file was read
    content_hash: str | None  # SHA-256 of its bytes, in hex; None if it cannot be read
    error: str | None  # why it cannot be decoded, or None
    photo: Photo | None  # with its faces; None for known content or on an error
    readers: str | None = None  # `facebank.media.decoder_versions` that failed to decode it; None to retry in any case
    edited: Photo | None = None  # without its faces, if the pixels are known under other bytes; else None


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of files, photos and faces in a scan."""

    files: int  # readable files
    photos: int  # distinct by content
    faces: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredFaces:
    """Faces of a scan as arrays."""

    face_ids: NDArray[np.int64]  # numbers of the faces, ascending, ``int64`` of shape ``(N,)``
    photo_ids: NDArray[np.int64]  # numbers of their photos, ``int64`` of shape ``(N,)``
    embeddings: FloatArray  # L2-normalized ``float32`` of shape ``(N, D)``
    qualities: FloatArray  # 0..1, ``float32`` of shape ``(N,)``


class ScanFile:
    """Photos by content, with their faces. Use `open`, and ``with`` to close it; several threads may use it.

    Examples
    --------
    >>> report = bank.album().scan("party.jpg")
    >>> with ScanFile.open(bank.album().path, bank.engine.identity) as scan_file:
    ...     [len(photo.faces) for photo in scan_file.photos()]
    [2]
    """

    def __init__(self, path: Path, connections: ThreadConnections, dimension: int) -> None:
        self.path = path
        self._dimension = dimension
        self._tables = ScanTables(path, connections)
        self.videos = ScanVideos(self._tables, dimension)
        """The videos, with the faces in them."""

    @classmethod
    def open(cls, path: Path, pack: PackIdentity, *, create: bool = False, read_only: bool = False) -> Self:
        """Open the scan file of a pack's embeddings; `create` allows a new file, `read_only` leaves it unchanged.

        Raises `ScanNotFoundError` (the file is missing), `ScanFormatError` (it is not a scan file, damaged, or from a
        newer facebank), `PackMismatchError` (another pack made its embeddings) or `StorageError` (it cannot be created
        or opened).
        """
        if create:
            SCAN_FILE.make_empty_file(path)
        SCAN_FILE.check_header(path, may_be_empty=create)
        with SCAN_FILE.translate_errors(path):
            connection = _open(path, pack, read_only=read_only)
        connections = ThreadConnections(connection, partial(_open, path, pack, read_only=read_only))
        return cls(path, connections, pack.dimension)

    def close(self) -> None:
        """Close the file for all threads; running calls of other threads raise `ClosedError`."""
        self._tables.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def known_files(self, place: str) -> list[FileRow]:
        """Return the files known below a folder, or the single file, in the order of their paths."""
        if self._tables.has_checked_files:
            return self._tables.files_inside(place)
        exact, below, above = range_of(place)
        files = ((file, os.fsencode(file.path)) for file in self._tables.all_files())
        return [file for file, path in files if path == exact or below < path < above]

    def files(self, place: str) -> dict[str, FileStamp]:
        """Return the states of the files known below a folder, or of the single file, by path."""
        return {file.path: file.state for file in self.known_files(place)}

    def unreadable(self, place: str) -> dict[str, str]:
        """Return the errors of unreadable files below a folder, by path."""
        self._tables.check_files()
        statement = select(("files",), f"FROM files WHERE error IS NOT NULL AND {INSIDE} ORDER BY path")
        files = (self._tables.read(file_row, row) for row in self._tables.rows(statement, range_of(place)))
        return {file.path: str(file.error) for file in files}

    def count_in(self, place: str) -> int:
        """Return the number of readable files below a folder, or 0 or 1 for a single file."""
        self._tables.check_files()
        ((count,),) = self._tables.rows(
            f"SELECT count(*) FROM files WHERE photo IS NOT NULL AND {INSIDE}",  # noqa: S608 - a constant
            range_of(place),
        )
        return int(count)

    def count(self) -> Counts:
        """Return the numbers of files, photos and faces."""
        with self._tables.reading():
            self._tables.check_files()
            ((readable,),) = self._tables.rows("SELECT count(*) FROM files WHERE photo IS NOT NULL")
            totals = self._tables.totals()
        return Counts(readable, totals.photos, totals.faces)

    def version(self) -> str:
        """Return a digest that changes whenever a photo is added, changed, moved or forgotten."""
        digest = hashlib.sha256()
        statement = (
            "SELECT files.path, photos.content_hash FROM files JOIN photos ON photos.id = files.photo "
            "ORDER BY files.path"
        )
        with self._tables.reading():
            for path, content_hash in self._tables.rows(statement):
                digest.update(b"%s\0%s\0" % (path, content_hash.encode()))
        return digest.hexdigest()

    def known_photos(self) -> set[bytes]:
        """Return the SHA-256 of all photos, 32 bytes each."""
        with self._tables.reading():
            rows = self._tables.whole_table("photos", "id", photo_row, "photos")
            return {bytes.fromhex(photo.content_hash) for photo in rows}

    def known_pictures(self) -> set[bytes]:
        """Return the SHA-256 of all photos' pixels, 32 bytes each."""
        with self._tables.reading():
            rows = self._tables.whole_table("photos", "id", photo_row, "photos")
            return {bytes.fromhex(photo.picture_hash) for photo in rows if photo.picture_hash is not None}

    def tags(self) -> list[TagRow]:
        """Return the names that facebank wrote into files."""
        with self._tables.reading():
            return self._tables.tags()

    def shards(self) -> list[ShardRow]:
        """Return the scanned folders and shards of folders, and when they were scanned."""
        with self._tables.reading():
            return self._tables.shards()

    def keep(self, files: Sequence[ScannedFile]) -> None:
        """Store the results of files atomically; raises `StorageError` if the scan file cannot be written."""
        with self._tables.changing() as changed:
            for file in files:
                if file.photo is not None:
                    self._tables.add_photo(file.photo, changed)
                state = file.state
                if file.edited is not None and not self._tables.add_edited(file.path, file.edited, changed):
                    state = UNSETTLED
                error = None if file.error is None else printable(file.error)
                photo = None if file.content_hash is None else self._tables.photo_of_content(file.content_hash)
                self._tables.put_file(
                    FileRow(file.path, state, None if photo is None else photo.id, error, file.readers), changed
                )

    def keep_written(self, old_hash: str, file: ScannedFile) -> None:
        """Record that a file has other bytes and the same pixels, so that its faces keep their numbers and groups.

        `old_hash` is the SHA-256 of the bytes before, in hex.
        """
        with self._tables.changing() as changed:
            old = self._tables.photo_of_content(old_hash)
            if old is not None and file.content_hash is not None and old_hash != file.content_hash:
                files = self._tables.files_of_photo(old.id)
                if len(files) == 1:  # otherwise the copies keep the old photo
                    self._tables.replace_content(old, file.content_hash, changed)
        self.keep([file])

    def forget(self, paths: Iterable[str]) -> int:
        """Remove files and photos without a remaining file from the scan, and return the number of those photos."""
        with self._tables.changing() as changed:
            removed = list(paths)
            for path in removed:
                self._tables.drop_file(path, changed)
            self._tables.drop_tags(removed, changed)
            return self._tables.drop_orphans(changed)

    def record_shards(self, rows: Iterable[ShardRow]) -> None:
        """Record that folders, or shards of them, were scanned."""
        with self._tables.changing() as changed:
            self._tables.put_shards(join_shards(self._tables.shards(), rows), changed)

    def forget_shards(self, place: str) -> None:
        """Remove the record that a folder and the folders inside it were scanned."""
        with self._tables.changing() as changed:
            kept = [row for row in self._tables.shards() if not is_inside(row.place, place)]
            self._tables.put_shards(kept, changed)

    def merge(
        self,
        scans: Sequence[ScanFile | MergeSource],
        *,
        moved: tuple[str, str] | None = None,
        progress: Progress = SILENT,
    ) -> MergeReport:
        """Merge other scans of the same pack into this one: see `facebank.album.scan.merging.merge_tables`."""
        sources = [ScanSource(scan._tables, self._dimension) if isinstance(scan, ScanFile) else scan for scan in scans]
        return merge_tables(self._tables, sources, moved=moved, progress=progress)

    def move(self, paths: Iterable[tuple[str, str]]) -> None:
        """Store files under other paths; unknown paths are skipped."""
        with self._tables.changing() as changed:
            for before, after in paths:
                file = self._tables.file_at(before)
                if file is not None and before != after:
                    self._tables.drop_file(before, changed)
                    self._tables.put_file(file._replace(path=after), changed)
                    self._tables.move_tags(Path(before), Path(after), changed)

    def add_picture_hash(self, content_hash: str, picture_hash: str) -> None:
        """Record the SHA-256 of a photo's pixels, given both hashes in hex; no-op if the photo is unknown."""
        with self._tables.changing():
            self._tables.set_picture_hash(content_hash, picture_hash)

    def keep_tags(self, photo_path: str, tags: Collection[TagRow]) -> None:
        """Replace the recorded names that facebank wrote for a photo."""
        with self._tables.changing() as changed:
            self._tables.put_tags(photo_path, tags, changed)

    def keep_groups(self, groups: Mapping[int, Sequence[int]]) -> None:
        """Replace the groups: the ids of their faces, the most typical first, by group number."""
        rows = [
            (face_id, number, position)
            for number, face_ids in groups.items()
            for position, face_id in enumerate(face_ids)
        ]
        with self._tables.changing() as changed:
            changed["grouped"] -= self._tables.connection.execute("DELETE FROM groups").rowcount
            insert(self._tables.connection, "groups", rows)
            changed["grouped"] += len(rows)

    def tell_apart(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Record pairs of faces of different people, by their ids, and return the new pairs.

        Each pair is returned with the smaller number first.
        """
        new = []
        with self._tables.changing() as changed:
            for pair in {(min(pair), max(pair)) for pair in pairs}:
                if not self._tables.rows("SELECT 1 FROM apart WHERE first = ? AND second = ?", pair):
                    insert(self._tables.connection, "apart", [pair])
                    changed["apart"] += 1
                    new.append(pair)
        return new

    def withdraw_apart(self, pairs: Iterable[tuple[int, int]]) -> int:
        """Remove pairs as `tell_apart` returns them, and return the number of those that were recorded."""
        count = 0
        with self._tables.changing() as changed:
            for pair in pairs:
                removed = self._tables.connection.execute("DELETE FROM apart WHERE first = ? AND second = ?", pair)
                count += removed.rowcount
            changed["apart"] -= count
        return count

    def photos(self, places: Sequence[str] = ()) -> Iterator[Photo]:
        """Yield the photos of places, or all photos without places, with their faces, in the order of their paths.

        A photo with several files is yielded for each file.
        """
        for _, photo in self._photos(places):
            yield photo

    def each_photo(self, places: Sequence[str] = ()) -> Iterator[tuple[list[int], Photo]]:
        """Yield each photo once, even if it has several files, with the numbers of its faces in the scan."""
        seen = set[int]()
        for faces, photo in self._photos(places, seen):
            yield [face.id for face in faces], photo

    def face_table(self) -> StoredFaces:
        """Return all faces, for grouping."""
        with self._tables.reading():
            rows = list(self._tables.whole_table("faces", "id", face_row, "faces"))
            values = self._tables.read(numbers_of, rows, self._dimension)
        return StoredFaces(
            face_ids=np.array([row.id for row in rows], dtype=np.int64),
            photo_ids=np.array([row.photo_id for row in rows], dtype=np.int64),
            embeddings=np.ascontiguousarray(embeddings_of(values)),
            qualities=qualities_of(values),
        )

    def people_table(self) -> StoredFaces:
        """Return the faces from which the album's people are derived; of a very large scan, those of some photos."""
        return self.face_table()

    def groups(self) -> dict[int, list[int]]:
        """Return the ids of the faces of each stored group, the most typical first, by group number."""
        groups: dict[int, list[int]] = {}
        with self._tables.reading():
            rows = self._tables.rows(select(("groups",), "FROM groups ORDER BY number, position"))
            self._tables.require_total(len(rows), self._tables.totals().grouped)
        for number, face_id in (self._tables.read(group_row, row) for row in rows):
            groups.setdefault(number, []).append(face_id)
        return groups

    def dates_of(self, face_ids: Iterable[int]) -> list[tuple[datetime | None, bool]]:
        """Return the date of each photo that has one of the faces, and whether it is a camera's date.

        The date is None if unknown; times without a time zone count as UTC. Raises `ScanFormatError` if a face does not
        exist.
        """
        photos: dict[int, tuple[datetime | None, bool]] = {}
        with self._tables.reading():
            for face_id in face_ids:
                photo = self._tables.photo_of_face(self._tables.face_at(face_id))
                taken_at = photo.taken_at
                if taken_at is not None and taken_at.tzinfo is None:
                    taken_at = taken_at.replace(tzinfo=UTC)
                photos[photo.id] = taken_at, photo.camera_dated
        return list(photos.values())

    def told_apart(self) -> list[tuple[int, int]]:
        """Return the recorded pairs of faces of different people, by number."""
        with self._tables.reading():
            rows = self._tables.rows(select(("apart",), "FROM apart ORDER BY first, second"))
            self._tables.require_total(len(rows), self._tables.totals().apart)
        return [self._tables.read(apart_row, row) for row in rows]

    def locate_face(self, face_id: int) -> tuple[Photo, int]:
        """Return the photo of a face and the face's index in it, from 0; of several files, the first by path.

        Raises `ScanFormatError` if there is no such face.
        """
        with self._tables.reading():
            photo = self._tables.photo_of_face(self._tables.face_at(face_id))
            files, rows = self._tables.files_of_photo(photo.id), self._tables.face_rows(photo)
        face_ids = [row.id for row in rows]
        if not files or face_id not in face_ids:
            raise SCAN_FILE.damage_error(self.path)
        (faces,) = self._tables.read(faces_of, [rows], self._dimension)
        return photo.with_faces(files[0].path, faces), face_ids.index(face_id)

    def _photos(self, places: Sequence[str], seen: set[int] | None = None) -> Iterator[tuple[list[FaceRow], Photo]]:
        """Yield photos by their files, each only once if `seen` is given."""
        self._tables.check_files()
        for exact, below, above in [range_of(place) for place in places] or [_EVERYWHERE]:
            yield from self._page(_ONE_PHOTO, (exact,), seen)[1]
            last = below
            while last:
                last, page = self._page(_PAGE_OF_PHOTOS, (last, above), seen)
                yield from page

    def _page(
        self, statement: str, values: Sequence[bytes], seen: set[int] | None
    ) -> tuple[bytes, list[tuple[list[FaceRow], Photo]]]:
        """Return the path of a page's last photo (empty if it has none), and its photos.

        Each page is read in one transaction, which ends before the next page; any thread may read the next one.
        """
        with self._tables.reading():
            files = [self._file_and_photo(row) for row in self._tables.rows(statement, values)]
            last = os.fsencode(files[-1][0]) if files else b""
            if seen is not None:
                files = [(path, photo) for path, photo in files if _add_if_new(photo.id, seen)]
            rows = [self._tables.face_rows(photo) for _, photo in files]
        faces = self._tables.read(faces_of, rows, self._dimension)
        return last, [
            (photo_rows, photo.with_faces(path, photo_faces))
            for (path, photo), photo_rows, photo_faces in zip(files, rows, faces, strict=True)
        ]

    def _file_and_photo(self, row: Sequence[object]) -> tuple[str, PhotoRow]:
        file = self._tables.read(file_row, row[: column_count("files")])
        photo = self._tables.read(photo_row, row[column_count("files") :])
        if photo.id != file.photo_id:
            raise SCAN_FILE.damage_error(self.path)
        return file.path, photo


def _add_if_new(photo_id: int, seen: set[int]) -> bool:
    if photo_id in seen:
        return False
    seen.add(photo_id)
    return True


def _open(path: Path, pack: PackIdentity, *, read_only: bool) -> BoundedConnection:
    connection = connect(path, busy_timeout=BUSY_TIMEOUT)
    try:
        return prepare(connection, path, pack, read_only=read_only)
    except BaseException:
        connection.close()
        raise
