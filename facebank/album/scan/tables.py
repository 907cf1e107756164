"""What is asked of a scan file's tables: rows in transactions, checked, and none of them lost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from facebank.album.scan.rows import (
    COLUMNS,
    FaceRow,
    FileRow,
    PhotoRow,
    Totals,
    face_row,
    face_values,
    file_row,
    file_values,
    insert,
    photo_row,
    photo_values,
    select,
    totals_row,
)
from facebank.album.scan.schema import SCAN_FILE, keep_totals
from facebank.storage.connections import UnusableError
from facebank.storage.sqlite import transaction, writing
from facebank.storage.values import InvalidValueError, row_digest

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.storage.connections import BoundedConnection, ThreadConnections
    from facebank.types import Photo

_Row = TypeVar("_Row")

PATIENCE = 60.0
"""How long another process is waited for, in seconds."""

_DROP_PHOTO = {
    "grouped": "DELETE FROM groups WHERE face IN (SELECT id FROM faces WHERE photo = :photo)",
    "apart": "DELETE FROM apart WHERE first IN (SELECT id FROM faces WHERE photo = :photo) "
    "OR second IN (SELECT id FROM faces WHERE photo = :photo)",
    "faces": "DELETE FROM faces WHERE photo = :photo",
    "photos": "DELETE FROM photos WHERE id = :photo",
}
_NEXT = {
    "photos": "SELECT coalesce(max(id), 0) + 1 FROM photos",
    "faces": "SELECT coalesce(max(id), 0) + 1 FROM faces",
}


class ScanTables:
    """The tables of an open scan file.

    Changes are made inside `changing`, whose counter they are given: it says how many rows a table has more.

    Parameters
    ----------
    path
        The file, for messages.
    connections
        To it, one a thread.
    """

    def __init__(self, path: Path, connections: ThreadConnections) -> None:
        self.path = path
        self.files_are_whole = False
        self._connections = connections

    @property
    def connection(self) -> BoundedConnection:
        """The connection of this thread, inside of `reading` and `changing`."""
        connection = self._connections.current
        if connection is None:
            raise UnusableError("is used outside of a transaction")
        return connection

    def close(self) -> None:
        """Close the file for all threads."""
        with SCAN_FILE.said_plainly(self.path):
            self._connections.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read in one transaction: rows and their totals are seen as they were at one moment."""
        with SCAN_FILE.said_plainly(self.path), self._connections.use() as connection:
            if connection.in_transaction:
                yield
                return
            with transaction(connection, "BEGIN"):
                yield

    @contextmanager
    def changing(self) -> Iterator[Counter[str]]:
        """Write in one transaction, and count by table how many rows there are more."""
        with (
            SCAN_FILE.said_plainly(self.path),
            self._connections.use() as connection,
            writing(connection, self.path, PATIENCE),
        ):
            changed = Counter[str]()
            yield changed
            if any(changed.values()):
                totals = self.totals()
                keep_totals(connection, Totals(*(getattr(totals, name) + changed[name] for name in Totals._fields)))

    def read(self, checked: Callable[..., _Row], *values: Any) -> _Row:
        """Return what a checking function makes of values; what cannot be is a `ScanFormatError`."""
        try:
            return checked(*values)
        except InvalidValueError as error:
            raise SCAN_FILE.damage_error(self.path, str(error)) from error

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a statement."""
        with SCAN_FILE.said_plainly(self.path), self._connections.use() as connection:
            rows = connection.execute(statement, values).fetchall()
            self._require_unchanged(connection)
        return rows

    def _require_unchanged(self, connection: BoundedConnection) -> None:
        if connection.is_outdated():
            raise SCAN_FILE.busy_error(
                f"{SCAN_FILE.named(self.path)} was changed by another process while it was read: try again."
            )

    def _one(self, checked: Callable[..., _Row], statement: str, *values: object) -> _Row | None:
        rows = self.rows(statement, values)
        if len(rows) > 1:
            raise SCAN_FILE.damage_error(self.path)
        return self.read(checked, rows[0]) if rows else None

    def totals(self) -> Totals:
        """Return how many rows the tables should have."""
        totals = self._one(totals_row, select(("totals",), "FROM totals"))
        if totals is None:
            raise SCAN_FILE.damage_error(self.path)
        return totals

    def require_total(self, count: int, total: int) -> None:
        """Raise `ScanFormatError` where a table has not as many rows as it should."""
        if count != total:
            raise SCAN_FILE.damage_error(self.path, "some of its rows are lost")

    def whole_table(self, table: str, key: str, checked: Callable[..., _Row], total: str) -> Iterator[_Row]:
        """Yield all rows of a table; raises `ScanFormatError` where one is lost, altered or out of its place.

        The caller is inside of `reading`, to the end.
        """
        count, last = 0, None
        for row in self.connection.execute(select((table,), f"FROM {table} NOT INDEXED ORDER BY {key}")):
            yield self.read(checked, row)
            if last is not None and not row[0] > last:
                raise SCAN_FILE.damage_error(self.path)
            count, last = count + 1, row[0]
        self._require_unchanged(self.connection)
        self.require_total(count, getattr(self.totals(), total))

    def all_files(self) -> list[FileRow]:
        """Return all files in the order of their paths, having made sure that none is lost."""
        with self.reading():
            files = list(self.whole_table("files", "path", file_row, "files"))
        self.files_are_whole = True
        return files

    def check_files(self) -> None:
        """Make sure, once, that no file is lost where some are asked for."""
        if not self.files_are_whole:
            self.all_files()

    def file_at(self, path: str) -> FileRow | None:
        """Return the file of a path, if it is known."""
        return self._one(file_row, select(("files",), "FROM files WHERE path = ?"), os.fsencode(path))

    def files_of_photo(self, photo: int) -> list[FileRow]:
        """Return the files that hold a photo, in the order of their paths."""
        rows = self.rows(select(("files",), "FROM files WHERE photo = ? ORDER BY path"), (photo,))
        return [self.read(file_row, row) for row in rows]

    def photo_of_content(self, content_hash: str) -> PhotoRow | None:
        """Return the photo of a SHA-256, in hex, if it is there."""
        return self._one(photo_row, select(("photos",), "FROM photos WHERE content_hash = ?"), content_hash)

    def photo_of_face(self, face: FaceRow) -> PhotoRow:
        """Return the photo that a face is in."""
        photo = self._one(photo_row, select(("photos",), "FROM photos WHERE id = ?"), face.photo)
        if photo is None:
            raise SCAN_FILE.damage_error(self.path)
        return photo

    def face(self, number: int) -> FaceRow:
        """Return the face of a number."""
        found = self._one(face_row, select(("faces",), "FROM faces WHERE id = ?"), number)
        if found is None:
            raise SCAN_FILE.damage_error(self.path)
        return found

    def face_rows(self, photo: PhotoRow) -> list[FaceRow]:
        """Return the faces of a photo, largest first."""
        rows = self.rows(select(("faces",), "FROM faces WHERE photo = ? ORDER BY id"), (photo.id,))
        faces = [self.read(face_row, row) for row in rows]
        if len(faces) != photo.face_count or any(face.photo != photo.id for face in faces):
            raise SCAN_FILE.damage_error(self.path)
        return faces

    def add_photo(self, found: Photo, changed: Counter[str]) -> None:
        """Write down what was found in a photo, unless that is known."""
        if self.photo_of_content(found.content_hash) is not None:
            return
        photo = PhotoRow.of(self._next("photos"), found)
        insert(self.connection, "photos", [photo_values(photo)])
        first = self._next("faces")
        faces = [face_values(number, photo.id, face) for number, face in enumerate(found.faces, first)]
        insert(self.connection, "faces", faces)
        changed.update(photos=1, faces=len(faces))

    def add_edited(self, path: str, edited: Photo, changed: Counter[str]) -> bool:
        """Write down a photo whose picture is known under other bytes; return False where it is known no more.

        A photo that no other file holds keeps its number, its faces and their groups.

        Parameters
        ----------
        path
            The file.
        edited
            The photo as it is now, without its faces.
        changed
            Counts rows.
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
            self._change_photo(new)
            return True
        faces = self.face_rows(old)
        copy = new._replace(id=self._next("photos"))
        insert(self.connection, "photos", [photo_values(copy)])
        rows = [(number, copy.id, *face[2:]) for number, face in enumerate(faces, self._next("faces"))]
        insert(self.connection, "faces", rows)
        changed.update(photos=1, faces=len(faces))
        return True

    def set_picture(self, content_hash: str, picture_hash: str) -> None:
        """Note the hash of a photo's picture, if the photo is known."""
        photo = self.photo_of_content(content_hash)
        if photo is not None:
            self._change_photo(photo._replace(picture_hash=picture_hash))

    def take_place(self, old: PhotoRow, content_hash: str, changed: Counter[str]) -> None:
        """Give a photo another content, and the files of the photo that had it."""
        new = self.photo_of_content(content_hash)
        if new is not None:
            for file in self.files_of_photo(new.id):
                self.drop_file(file.path, changed)
                self.put_file(file._replace(photo=old.id), changed)
            self.drop_photo(new.id, changed)
        self._change_photo(old._replace(content_hash=content_hash))

    def _change_photo(self, photo: PhotoRow) -> None:
        """Write what is known of a photo anew, in the same row."""
        values = photo_values(photo)
        columns = (*COLUMNS["photos"], "row_digest")
        changes = ", ".join(f"{column} = ?" for column in columns)
        self.connection.execute(
            f"UPDATE photos SET {changes} WHERE id = ?",  # noqa: S608 - names from our own table
            (*values, row_digest("photos", values), photo.id),
        )

    def put_file(self, file: FileRow, changed: Counter[str]) -> None:
        """Write a file down, in the place of what was known of its path."""
        self.drop_file(file.path, changed)
        insert(self.connection, "files", [file_values(file)])
        changed["files"] += 1

    def drop_file(self, path: str, changed: Counter[str]) -> None:
        """Forget a path, if it is known."""
        changed["files"] -= self.connection.execute("DELETE FROM files WHERE path = ?", (os.fsencode(path),)).rowcount

    def drop_photo(self, number: int, changed: Counter[str]) -> None:
        """Forget a photo, its faces, and where these were grouped or told apart."""
        for total, statement in _DROP_PHOTO.items():
            changed[total] -= self.connection.execute(statement, {"photo": number}).rowcount

    def _next(self, table: str) -> int:
        ((number,),) = self.rows(_NEXT[table])
        return int(number)
