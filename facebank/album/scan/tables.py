"""The rows of an open scan file: checked reads, and changes that keep the row counts up to date."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from facebank.album.scan.rows import (
    COLUMNS,
    FaceRow,
    FileRow,
    PhotoRow,
    ShardRow,
    TagRow,
    Totals,
    face_row,
    face_values,
    file_row,
    file_values,
    insert,
    photo_row,
    photo_values,
    select,
    shard_row,
    shard_values,
    tag_row,
    totals_row,
)
from facebank.album.scan.schema import SCAN_FILE, keep_totals
from facebank.album.tags.sidecars import sidecar_of
from facebank.storage.connections import BoundedConnection, UnusableError
from facebank.storage.sqlite import transaction, write_transaction
from facebank.storage.values import InvalidValueError, row_digest

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.storage.connections import ThreadConnections
    from facebank.types import Photo

_Row = TypeVar("_Row")

BUSY_TIMEOUT = 60.0
"""Time to wait for another process, in seconds."""

INSIDE = "(files.path = ? OR (files.path > ? AND files.path < ?))"
"""A condition on ``files`` with the values of `range_of`."""

_DROP_PHOTO = {
    "grouped": "DELETE FROM groups WHERE face IN (SELECT id FROM faces WHERE photo = :photo_id)",
    "apart": "DELETE FROM apart WHERE first IN (SELECT id FROM faces WHERE photo = :photo_id) "
    "OR second IN (SELECT id FROM faces WHERE photo = :photo_id)",
    "faces": "DELETE FROM faces WHERE photo = :photo_id",
    "photos": "DELETE FROM photos WHERE id = :photo_id",
}
_MAX_SHARDS = 20_000
_NEXT_ID = {
    "photos": "SELECT coalesce(max(id), 0) + 1 FROM photos",
    "faces": "SELECT coalesce(max(id), 0) + 1 FROM faces",
}


def range_of(place: str) -> tuple[bytes, bytes, bytes]:
    """Return a path as bytes, and the exclusive bounds of all paths below it.

    Examples
    --------
    >>> range_of("/photos")
    (b'/photos', b'/photos/', b'/photos0')
    """
    path = os.fsencode(place).rstrip(b"/\\") or b"/"
    separator = os.fsencode(os.sep)
    inside = path if path.endswith(separator) else path + separator
    return path, inside, inside[:-1] + bytes([inside[-1] + 1])


class ScanTables:
    """The tables of an open scan file, with a connection for each thread.

    Changes are made inside `changing`; methods add the change of each table's number of rows to its counter.
    """

    def __init__(self, path: Path, connections: ThreadConnections) -> None:
        self.path = path
        self.has_checked_files = False
        self._connections = connections

    @property
    def connection(self) -> BoundedConnection:
        """The connection of this thread; only inside `reading` and `changing`."""
        connection = self._connections.current
        if connection is None:
            raise UnusableError("is used outside of a transaction")
        return connection

    def close(self) -> None:
        """Close the file for all threads."""
        with SCAN_FILE.translate_errors(self.path):
            self._connections.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read in one transaction, so that rows and their totals are consistent."""
        with SCAN_FILE.translate_errors(self.path), self._connections.use() as connection:
            if connection.in_transaction:
                yield
                return
            with transaction(connection, "BEGIN"):
                yield

    @contextmanager
    def changing(self) -> Iterator[Counter[str]]:
        """Write in one transaction, and yield a counter for the change of each table's number of rows."""
        with (
            SCAN_FILE.translate_errors(self.path),
            self._connections.use() as connection,
            write_transaction(connection, self.path, BUSY_TIMEOUT),
        ):
            changed = Counter[str]()
            yield changed
            if any(changed.values()):
                totals = self.totals()
                keep_totals(connection, Totals(*(getattr(totals, name) + changed[name] for name in Totals._fields)))

    def read(self, validate: Callable[..., _Row], *values: Any) -> _Row:
        """Return the result of a validating function; raises `ScanFormatError` for its `InvalidValueError`."""
        try:
            return validate(*values)
        except InvalidValueError as error:
            raise SCAN_FILE.damage_error(self.path, str(error)) from error

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a statement."""
        with SCAN_FILE.translate_errors(self.path), self._connections.use() as connection:
            rows = connection.execute(statement, values).fetchall()
            self._require_unchanged(connection)
        return rows

    def _require_unchanged(self, connection: BoundedConnection) -> None:
        if connection.is_outdated():
            raise SCAN_FILE.busy_error(
                f"{SCAN_FILE.named(self.path)} was changed by another process while it was read: try again."
            )

    def _single(self, validate: Callable[..., _Row], statement: str, *values: object) -> _Row | None:
        rows = self.rows(statement, values)
        if len(rows) > 1:
            raise SCAN_FILE.damage_error(self.path)
        return self.read(validate, rows[0]) if rows else None

    def totals(self) -> Totals:
        """Return the stored numbers of rows of the tables."""
        totals = self._single(totals_row, select(("totals",), "FROM totals"))
        if totals is None:
            raise SCAN_FILE.damage_error(self.path)
        return totals

    def require_total(self, count: int, total: int) -> None:
        """Raise `ScanFormatError` if a table has a wrong number of rows."""
        if count != total:
            raise SCAN_FILE.damage_error(self.path, "some of its rows are lost")

    def whole_table(self, table: str, key: str, validate: Callable[..., _Row], total: str) -> Iterator[_Row]:
        """Yield all rows of a table, inside `reading`; raises `ScanFormatError` if a row is lost or altered."""
        count, last = 0, None
        for row in self.connection.execute(select((table,), f"FROM {table} NOT INDEXED ORDER BY {key}")):
            yield self.read(validate, row)
            if last is not None and not row[0] > last:
                raise SCAN_FILE.damage_error(self.path)
            count, last = count + 1, row[0]
        self._require_unchanged(self.connection)
        self.require_total(count, getattr(self.totals(), total))

    def all_files(self) -> list[FileRow]:
        """Return all files in the order of their paths; raises `ScanFormatError` if one is lost."""
        with self.reading():
            files = list(self.whole_table("files", "path", file_row, "files"))
        self.has_checked_files = True
        return files

    def check_files(self) -> None:
        """Check once that no file is lost; required before a query for some of the files."""
        if not self.has_checked_files:
            self.all_files()

    def file_at(self, path: str) -> FileRow | None:
        """Return the file of a path, or None."""
        return self._single(file_row, select(("files",), "FROM files WHERE path = ?"), os.fsencode(path))

    def files_inside(self, place: str) -> list[FileRow]:
        """Return the files known below a folder, or the single file, in the order of their paths."""
        rows = self.rows(select(("files",), f"FROM files WHERE {INSIDE} ORDER BY path"), range_of(place))
        return [self.read(file_row, row) for row in rows]

    def files_of_photo(self, photo_id: int) -> list[FileRow]:
        """Return the files that hold a photo, in the order of their paths."""
        rows = self.rows(select(("files",), "FROM files WHERE photo = ? ORDER BY path"), (photo_id,))
        return [self.read(file_row, row) for row in rows]

    def photo_of_content(self, content_hash: str) -> PhotoRow | None:
        """Return the photo with a SHA-256, in hex, or None."""
        return self._single(photo_row, select(("photos",), "FROM photos WHERE content_hash = ?"), content_hash)

    def photo_of_face(self, face: FaceRow) -> PhotoRow:
        """Return the photo that a face is in."""
        return self.photo_at(face.photo_id)

    def photo_at(self, photo_id: int) -> PhotoRow:
        """Return the photo with a number; raises `ScanFormatError` if it is lost."""
        photo = self._single(photo_row, select(("photos",), "FROM photos WHERE id = ?"), photo_id)
        if photo is None:
            raise SCAN_FILE.damage_error(self.path)
        return photo

    def face_at(self, face_id: int) -> FaceRow:
        """Return the face with a number; raises `ScanFormatError` if there is none."""
        face = self._single(face_row, select(("faces",), "FROM faces WHERE id = ?"), face_id)
        if face is None:
            raise SCAN_FILE.damage_error(self.path)
        return face

    def face_rows(self, photo: PhotoRow) -> list[FaceRow]:
        """Return the faces of a photo, largest first."""
        rows = self.rows(select(("faces",), "FROM faces WHERE photo = ? ORDER BY id"), (photo.id,))
        faces = [self.read(face_row, row) for row in rows]
        if len(faces) != photo.face_count or any(face.photo_id != photo.id for face in faces):
            raise SCAN_FILE.damage_error(self.path)
        return faces

    def add_photo(self, photo: Photo, changed: Counter[str]) -> None:
        """Store an analyzed photo, unless it is known."""
        if self.photo_of_content(photo.content_hash) is not None:
            return
        row = PhotoRow.of(self._next_id("photos"), photo)
        insert(self.connection, "photos", [photo_values(row)])
        first_id = self._next_id("faces")
        faces = [face_values(face_id, row.id, face) for face_id, face in enumerate(photo.faces, first_id)]
        insert(self.connection, "faces", faces)
        changed.update(photos=1, faces=len(faces))

    def add_edited(self, path: str, edited: Photo, changed: Counter[str]) -> bool:
        """Store a photo that has the pixels of a stored one, with that one's faces; return whether either is stored.

        A photo without another file keeps its number, its faces and their groups.
        """
        if self.photo_of_content(edited.content_hash) is not None:
            return True
        known = self.rows(
            select(("photos",), "FROM photos WHERE picture_hash = ? ORDER BY id LIMIT 1"), (edited.picture_hash,)
        )
        if not known:
            return False
        old = self.read(photo_row, known[0])
        new = old._replace(content_hash=edited.content_hash, taken_at=edited.taken_at, camera_dated=edited.camera_dated)
        if not any(file.path != path and os.path.lexists(file.path) for file in self.files_of_photo(old.id)):
            self.change_photo(new)
            return True
        self.add_copy(new, self.face_rows(old), changed)
        return True

    def set_picture_hash(self, content_hash: str, picture_hash: str) -> None:
        """Store the hash of a photo's pixels, if the photo is known."""
        photo = self.photo_of_content(content_hash)
        if photo is not None:
            self.change_photo(photo._replace(picture_hash=picture_hash))

    def replace_content(self, old: PhotoRow, content_hash: str, changed: Counter[str]) -> None:
        """Change the content hash of a photo, and merge the photo that has that hash, if any, into it."""
        new = self.photo_of_content(content_hash)
        if new is not None:
            for file in self.files_of_photo(new.id):
                self.drop_file(file.path, changed)
                self.put_file(file._replace(photo_id=old.id), changed)
            self.drop_photo(new.id, changed)
        self.change_photo(old._replace(content_hash=content_hash))

    def change_photo(self, photo: PhotoRow) -> None:
        """Replace the row of a photo; its faces stay."""
        values = photo_values(photo)
        columns = (*COLUMNS["photos"], "row_digest")
        changes = ", ".join(f"{column} = ?" for column in columns)
        self.connection.execute(
            f"UPDATE photos SET {changes} WHERE id = ?",  # noqa: S608 - names from our own table
            (*values, row_digest("photos", values), photo.id),
        )

    def add_copy(self, photo: PhotoRow, faces: Sequence[FaceRow], changed: Counter[str]) -> PhotoRow:
        """Store a photo with validated faces under new numbers."""
        copy = photo._replace(id=self._next_id("photos"))
        insert(self.connection, "photos", [photo_values(copy)])
        rows = [(face_id, copy.id, *face[2:]) for face_id, face in enumerate(faces, self._next_id("faces"))]
        insert(self.connection, "faces", rows)
        changed.update(photos=1, faces=len(faces))
        return copy

    def put_file(self, file: FileRow, changed: Counter[str]) -> None:
        """Store a file, replacing the row of its path."""
        self.drop_file(file.path, changed)
        insert(self.connection, "files", [file_values(file)])
        changed["files"] += 1

    def drop_file(self, path: str, changed: Counter[str]) -> None:
        """Remove the row of a path; no-op if absent."""
        changed["files"] -= self.connection.execute("DELETE FROM files WHERE path = ?", (os.fsencode(path),)).rowcount

    def drop_photo(self, photo_id: int, changed: Counter[str]) -> None:
        """Remove a photo and its faces, with their groups and pairs."""
        for total, statement in _DROP_PHOTO.items():
            changed[total] -= self.connection.execute(statement, {"photo_id": photo_id}).rowcount

    def drop_orphans(self, changed: Counter[str]) -> int:
        """Remove photos without a file, and return their number."""
        orphans = "SELECT id FROM photos WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.photo = photos.id)"
        photo_ids = [photo_id for (photo_id,) in self.rows(orphans)]
        for photo_id in photo_ids:
            self.drop_photo(photo_id, changed)
        return len(photo_ids)

    def shards(self) -> list[ShardRow]:
        """Return the scanned folders and shards of folders."""
        total = self.totals().shards
        if total > _MAX_SHARDS:
            raise SCAN_FILE.damage_error(self.path, "it lists more folders than possible")
        rows = self.rows(select(("shards",), "FROM shards ORDER BY place, count, number LIMIT ?"), (total + 1,))
        self.require_total(len(rows), total)
        return [self.read(shard_row, row) for row in rows]

    def put_shards(self, shards: Iterable[ShardRow], changed: Counter[str]) -> None:
        """Replace the scanned folders and shards of folders; only the last 20,000 are kept."""
        last = sorted(shards, key=lambda row: row.scanned_at)[-_MAX_SHARDS:]
        rows = [shard_values(row) for row in sorted(last)]
        changed["shards"] += len(rows) - self.connection.execute("DELETE FROM shards").rowcount
        insert(self.connection, "shards", rows)

    def tags(self) -> list[TagRow]:
        """Return the names that facebank wrote into files."""
        rows = self.rows(select(("tags",), "FROM tags ORDER BY photo, file, person"))
        self.require_total(len(rows), self.totals().tags)
        return [self.read(tag_row, row) for row in rows]

    def put_tags(self, photo_path: str, tags: Collection[TagRow], changed: Counter[str]) -> None:
        """Replace the names recorded for a photo."""
        self.drop_tags([photo_path], changed)
        rows = sorted((os.fsencode(tag.photo_path), os.fsencode(tag.tagged_path), tag.person_id) for tag in tags)
        insert(self.connection, "tags", rows)
        changed["tags"] += len(rows)

    def drop_tags(self, photo_paths: Iterable[str], changed: Counter[str]) -> None:
        """Remove the names recorded for photos."""
        for path in photo_paths:
            deleted = self.connection.execute("DELETE FROM tags WHERE photo = ?", (os.fsencode(path),))
            changed["tags"] -= deleted.rowcount

    def move_tags(self, before: Path, after: Path, changed: Counter[str]) -> None:
        """Store the names of a photo under its new path, and those of its sidecar likewise."""
        statement = select(("tags",), "FROM tags WHERE photo = ?")
        tags = [self.read(tag_row, row) for row in self.rows(statement, (os.fsencode(before),))]
        if tags:
            new_paths = {str(before): str(after), str(sidecar_of(before)): str(sidecar_of(after))}
            moved = {TagRow(str(after), new_paths.get(tag.tagged_path, tag.tagged_path), tag.person_id) for tag in tags}
            self.drop_tags([str(before)], changed)
            self.put_tags(str(after), moved, changed)

    def _next_id(self, table: str) -> int:
        ((number,),) = self.rows(_NEXT_ID[table])
        return int(number)
