"""The tables of a scan file, as numbered versions, and reading and changing their rows.

::

    scan      one row: the version, and the pack that made the embeddings
    photos    one row for each content, however many files have it
    faces     the faces of a photo, largest first
    files     a path, its size and time, and its photo, or why it cannot be read
    groups    the group of a face and its position in it
    apart     two faces that are not one person
    tags      a file into which facebank wrote a person's name, and the photo's path (since 3)
    shards    a folder, or one shard of it, that was gone through, and when (since 4)
    totals    one row: how many rows the other tables have (since 3)
    videos    a video's path, its size and time, and what its file holds, or why it cannot be read (since 5)
    tracks    a face that is followed through a shot of a video, and when it is seen (since 5)
    track_faces     the best sightings of a track (since 5)
    track_pictures  a small picture of the frame with the best one (since 5)

Since 2, photos say whether a camera dated them. Since 3, every row has a digest, a photo the hash of its pixels and
the number of its faces, and an unreadable file the decoders that failed.
"""

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
from facebank.album.tags.sidecars import sidecar_of
from facebank.errors import PackMismatchError, ScanBusyError, ScanFormatError, ScanNotFoundError
from facebank.storage.connections import BoundedConnection, UnusableError, copied_to_memory, is_writable
from facebank.storage.dates import CLOCK_RESETS
from facebank.storage.sqlite import SqliteKind, choose_journal, is_begun, is_on_network, transaction, writing
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, between, checked_row, register_row_digest, row_digest

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from facebank.gallery import PackIdentity
    from facebank.storage.connections import ThreadConnections
    from facebank.types import Photo

_APPLICATION_ID = 0x46424E53  # FBNS
_FIRST_TABLES = (
    "CREATE TABLE scan (version INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, "
    "dimension INTEGER NOT NULL)",
    "CREATE TABLE photos (id INTEGER PRIMARY KEY, content_hash TEXT NOT NULL UNIQUE, width INTEGER NOT NULL, "
    "height INTEGER NOT NULL, quarter_turns INTEGER NOT NULL, taken_at TEXT)",
    "CREATE TABLE faces (id INTEGER PRIMARY KEY, photo INTEGER NOT NULL REFERENCES photos ON DELETE CASCADE, "
    "numbers BLOB NOT NULL, weaknesses TEXT NOT NULL)",
    "CREATE INDEX faces_of_photo ON faces (photo)",
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, "
    "photo INTEGER REFERENCES photos, error TEXT) WITHOUT ROWID",
    "CREATE INDEX files_of_photo ON files (photo)",
    "CREATE TABLE groups (face INTEGER PRIMARY KEY REFERENCES faces ON DELETE CASCADE, number INTEGER NOT NULL, "
    "position INTEGER NOT NULL)",
    "CREATE TABLE apart (first INTEGER NOT NULL REFERENCES faces ON DELETE CASCADE, "
    "second INTEGER NOT NULL REFERENCES faces ON DELETE CASCADE, PRIMARY KEY (first, second)) WITHOUT ROWID",
)
# A file's modification time was kept in UTC; a date without an offset, or with another one, is a camera's.
_DATED_BY_A_CAMERA = """
    UPDATE photos SET camera_dated = 1
    WHERE taken_at NOT LIKE '%+00:00' AND date(substr(taken_at, 1, 10)) NOT IN (?, ?, ?, ?, ?, ?, ?)
        AND date(substr(taken_at, 1, 10)) BETWEEN '1840-01-01' AND date('now', '+1 day')"""

_DIGESTED = ("photos", "faces", "files", "groups", "apart", "tags")
_COUNTED = ("files", "photos", "faces", "grouped", "apart", "tags")
# A photo knows how many faces it has, and the scan how many rows its tables have: so a lost row is noticed.
_DIGEST_COLUMNS = (
    "CREATE TABLE tags (photo BLOB NOT NULL, file BLOB NOT NULL, person INTEGER NOT NULL, "
    "PRIMARY KEY (photo, file, person)) WITHOUT ROWID",
    "ALTER TABLE photos ADD COLUMN picture_hash TEXT",
    "ALTER TABLE photos ADD COLUMN face_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE files ADD COLUMN readers TEXT",
    *(f"ALTER TABLE {table} ADD COLUMN row_digest BLOB NOT NULL DEFAULT x''" for table in _DIGESTED),
    f"CREATE TABLE totals ({', '.join(f'{name} INTEGER NOT NULL' for name in _COUNTED)}, row_digest BLOB NOT NULL)",
    "CREATE INDEX photos_by_picture ON photos (picture_hash)",
    "CREATE INDEX apart_by_second ON apart (second)",
    "UPDATE photos SET face_count = (SELECT count(*) FROM faces WHERE photo = photos.id)",
)
_TOTALS = """
    SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM photos), (SELECT count(*) FROM faces),
        (SELECT count(*) FROM groups), (SELECT count(*) FROM apart), (SELECT count(*) FROM tags)
    """

_VIDEO_TABLES = (
    "CREATE TABLE videos (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, "
    "modified INTEGER NOT NULL, content_hash TEXT, seconds REAL, error TEXT, readers TEXT, "
    "track_count INTEGER NOT NULL, row_digest BLOB NOT NULL)",
    "CREATE INDEX videos_by_content ON videos (content_hash)",
    "CREATE TABLE tracks (id INTEGER PRIMARY KEY, video INTEGER NOT NULL REFERENCES videos ON DELETE CASCADE, "
    "shot INTEGER NOT NULL, begun REAL NOT NULL, seen REAL NOT NULL, ended REAL NOT NULL, "
    "face_count INTEGER NOT NULL, row_digest BLOB NOT NULL)",
    "CREATE INDEX tracks_of_video ON tracks (video)",
    "CREATE TABLE track_faces (id INTEGER PRIMARY KEY, track INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, "
    "numbers BLOB NOT NULL, weaknesses TEXT NOT NULL, row_digest BLOB NOT NULL)",
    "CREATE INDEX faces_of_track ON track_faces (track)",
    "CREATE TABLE track_pictures (track INTEGER PRIMARY KEY REFERENCES tracks ON DELETE CASCADE, "
    "picture BLOB NOT NULL, row_digest BLOB NOT NULL)",
)


def _first(connection: sqlite3.Connection) -> None:
    for statement in _FIRST_TABLES:
        connection.execute(statement)


def _camera_dates(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE photos ADD COLUMN camera_dated INTEGER NOT NULL DEFAULT 0")
    connection.execute(_DATED_BY_A_CAMERA, CLOCK_RESETS)


def _digests(connection: sqlite3.Connection) -> None:
    for statement in _DIGEST_COLUMNS:
        connection.execute(statement)
    register_row_digest(connection)
    for table in _DIGESTED:
        columns = ", ".join(COLUMNS[table])
        connection.execute(f"UPDATE {table} SET row_digest = row_digest('{table}', {columns})")  # noqa: S608 - ours
    totals = connection.execute(_TOTALS).fetchone()
    connection.execute("INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?)", (*totals, row_digest("totals", totals)))


def _shards(connection: sqlite3.Connection) -> None:
    _count_also(connection, "shards", _COUNTED)
    connection.execute(
        "CREATE TABLE shards (place BLOB NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL, "
        "looked_through TEXT NOT NULL, row_digest BLOB NOT NULL, PRIMARY KEY (place, number, count)) WITHOUT ROWID"
    )


def _videos(connection: sqlite3.Connection) -> None:
    _count_also(connection, "videos", (*_COUNTED, "shards"))
    for statement in _VIDEO_TABLES:
        connection.execute(statement)


def _count_also(connection: sqlite3.Connection, table: str, counted: Sequence[str]) -> None:
    """Count the rows of a new table too, besides those of the tables that are counted."""
    rows = connection.execute(f"SELECT {', '.join(counted)}, row_digest FROM totals").fetchall()  # noqa: S608 - ours
    if len(rows) != 1:
        raise InvalidValueError("it does not say how many rows it has")
    counts = [between(count, 0, 2**62) for count in checked_row("totals", rows[0])]
    connection.execute(f"ALTER TABLE totals ADD COLUMN {table} INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE totals SET row_digest = ?", (row_digest("totals", (*counts, 0)),))


_VERSIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _camera_dates, _digests, _shards, _videos)


def _build(connection: sqlite3.Connection, version: int) -> None:
    for change in _VERSIONS[:version]:
        change(connection)


def _version(connection: sqlite3.Connection) -> object:
    return connection.execute("SELECT max(version) FROM scan").fetchone()[0]


SCAN_FILE = SqliteKind(
    noun="scan",
    application_id=_APPLICATION_ID,
    newest=len(_VERSIONS),
    build=_build,
    version=_version,
    version_table="scan",
    missing_error=ScanNotFoundError,
    format_error=ScanFormatError,
    version_error=ScanFormatError,
    busy_error=ScanBusyError,
    missing="'facebank scan DIR' makes it",
    empty="'facebank scan DIR' fills it",
    another="name another file",
    repair="remove it and scan again",
)


def prepare(
    connection: BoundedConnection, path: Path, pack: PackIdentity, *, read_only: bool = False
) -> BoundedConnection:
    """Create the tables of an empty file, or check that it is the pack's scan and bring it up to date.

    With `read_only` nothing is changed in the file.

    Returns
    -------
    BoundedConnection
        To use from now on: the same, or for an older file that is read-only, one to an up-to-date copy in memory.
    """
    if not is_begun(connection):
        if read_only:
            raise SCAN_FILE.empty_file_error(path)
        _begin(connection, pack)
        choose_journal(connection, log=not is_on_network(path))  # only now is the mark in the file's first page
    version = SCAN_FILE.check_tables(connection, path)
    _check_pack(connection, path, pack)
    if version < SCAN_FILE.newest:
        read_only = read_only or not is_writable(path)
        if read_only:
            connection = copied_to_memory(connection)
        _bring_up_to_date(connection, path)
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def keep_totals(connection: sqlite3.Connection, totals: Totals) -> None:
    """Replace the numbers of rows."""
    connection.execute("DELETE FROM totals")
    insert(connection, "totals", [totals])


def _begin(connection: sqlite3.Connection, pack: PackIdentity) -> None:
    with transaction(connection):
        if is_begun(connection):  # another process was faster
            return
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        _build(connection, SCAN_FILE.newest)
        row = (SCAN_FILE.newest, pack.name, pack.digest, pack.dimension)
        connection.execute("INSERT INTO scan VALUES (?, ?, ?, ?)", row)


def _check_pack(connection: sqlite3.Connection, path: Path, pack: PackIdentity) -> None:
    rows = connection.execute("SELECT name, digest, dimension FROM scan LIMIT 2").fetchall()
    if len(rows) != 1 or not all(isinstance(text, str) for text in rows[0][:2]):
        raise InvalidValueError("it names no pack")
    made_by, digest, dimension = rows[0]
    if (digest, dimension) != (pack.digest, pack.dimension):
        version = " of another version" if made_by == pack.name else ""
        raise PackMismatchError(
            f"The scan {printable(str(path))} was made with the pack {printable(made_by[:60])!r}{version}, not "
            f"{printable(pack.name)!r}: use that pack, or remove the file and scan again."
        )


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection):
        version = SCAN_FILE.check_tables(connection, path)
        if version == SCAN_FILE.newest:  # another process was faster
            return
        for change in _VERSIONS[version:]:
            change(connection)
        connection.execute("UPDATE scan SET version = ?", (SCAN_FILE.newest,))


_Row = TypeVar("_Row")

PATIENCE = 60.0
"""How long another process is waited for, in seconds."""

INSIDE = "(files.path = ? OR (files.path > ? AND files.path < ?))"
"""A condition on ``files`` with the values of `range_of`."""

_DROP_PHOTO = {
    "grouped": "DELETE FROM groups WHERE face IN (SELECT id FROM faces WHERE photo = :photo)",
    "apart": "DELETE FROM apart WHERE first IN (SELECT id FROM faces WHERE photo = :photo) "
    "OR second IN (SELECT id FROM faces WHERE photo = :photo)",
    "faces": "DELETE FROM faces WHERE photo = :photo",
    "photos": "DELETE FROM photos WHERE id = :photo",
}
_MOST_SHARDS = 20_000
_NEXT = {
    "photos": "SELECT coalesce(max(id), 0) + 1 FROM photos",
    "faces": "SELECT coalesce(max(id), 0) + 1 FROM faces",
}


def range_of(place: str) -> tuple[bytes, bytes, bytes]:
    """Return a path, and the two between which all paths below it lie."""
    path = os.fsencode(place).rstrip(b"/\\") or b"/"
    separator = os.fsencode(os.sep)
    inside = path if path.endswith(separator) else path + separator
    return path, inside, inside[:-1] + bytes([inside[-1] + 1])


class ScanTables:
    """The tables of an open scan file, connected once per thread.

    Changes are made inside `changing`; methods add to its counter how many rows a table has more.
    """

    def __init__(self, path: Path, connections: ThreadConnections) -> None:
        self.path = path
        self.files_are_whole = False
        self._connections = connections

    @property
    def connection(self) -> BoundedConnection:
        """The connection of this thread, inside `reading` and `changing`."""
        connection = self._connections.current
        if connection is None:
            raise UnusableError("is used outside of a transaction")
        return connection

    def close(self) -> None:
        """Close the file for all threads."""
        with SCAN_FILE.translated_errors(self.path):
            self._connections.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read in one transaction: rows and their totals are seen as they were at one moment."""
        with SCAN_FILE.translated_errors(self.path), self._connections.use() as connection:
            if connection.in_transaction:
                yield
                return
            with transaction(connection, "BEGIN"):
                yield

    @contextmanager
    def changing(self) -> Iterator[Counter[str]]:
        """Write in one transaction; yields a counter of how many rows each table has more."""
        with (
            SCAN_FILE.translated_errors(self.path),
            self._connections.use() as connection,
            writing(connection, self.path, PATIENCE),
        ):
            changed = Counter[str]()
            yield changed
            if any(changed.values()):
                totals = self.totals()
                keep_totals(connection, Totals(*(getattr(totals, name) + changed[name] for name in Totals._fields)))

    def read(self, checked: Callable[..., _Row], *values: Any) -> _Row:
        """Return what a checking function makes of values; raises `ScanFormatError` for impossible ones."""
        try:
            return checked(*values)
        except InvalidValueError as error:
            raise SCAN_FILE.damage_error(self.path, str(error)) from error

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a statement."""
        with SCAN_FILE.translated_errors(self.path), self._connections.use() as connection:
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
        """Raise `ScanFormatError` if a table has not as many rows as it should."""
        if count != total:
            raise SCAN_FILE.damage_error(self.path, "some of its rows are lost")

    def whole_table(self, table: str, key: str, checked: Callable[..., _Row], total: str) -> Iterator[_Row]:
        """Yield all rows of a table, inside `reading`; raises `ScanFormatError` if one is lost or altered."""
        count, last = 0, None
        for row in self.connection.execute(select((table,), f"FROM {table} NOT INDEXED ORDER BY {key}")):
            yield self.read(checked, row)
            if last is not None and not row[0] > last:
                raise SCAN_FILE.damage_error(self.path)
            count, last = count + 1, row[0]
        self._require_unchanged(self.connection)
        self.require_total(count, getattr(self.totals(), total))

    def all_files(self) -> list[FileRow]:
        """Return all files in the order of their paths, checked to be complete."""
        with self.reading():
            files = list(self.whole_table("files", "path", file_row, "files"))
        self.files_are_whole = True
        return files

    def check_files(self) -> None:
        """Check once that no file is lost, before some are asked for."""
        if not self.files_are_whole:
            self.all_files()

    def file_at(self, path: str) -> FileRow | None:
        """Return the file of a path, if it is known."""
        return self._one(file_row, select(("files",), "FROM files WHERE path = ?"), os.fsencode(path))

    def files_inside(self, place: str) -> list[FileRow]:
        """Return the files known below a folder, or the single file, in the order of their paths."""
        rows = self.rows(select(("files",), f"FROM files WHERE {INSIDE} ORDER BY path"), range_of(place))
        return [self.read(file_row, row) for row in rows]

    def files_of_photo(self, photo: int) -> list[FileRow]:
        """Return the files that hold a photo, in the order of their paths."""
        rows = self.rows(select(("files",), "FROM files WHERE photo = ? ORDER BY path"), (photo,))
        return [self.read(file_row, row) for row in rows]

    def photo_of_content(self, content_hash: str) -> PhotoRow | None:
        """Return the photo of a SHA-256, in hex, if it is known."""
        return self._one(photo_row, select(("photos",), "FROM photos WHERE content_hash = ?"), content_hash)

    def photo_of_face(self, face: FaceRow) -> PhotoRow:
        """Return the photo that a face is in."""
        return self.photo_at(face.photo)

    def photo_at(self, number: int) -> PhotoRow:
        """Return the photo of a number."""
        photo = self._one(photo_row, select(("photos",), "FROM photos WHERE id = ?"), number)
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
        """Store an analyzed photo, unless it is known."""
        if self.photo_of_content(found.content_hash) is not None:
            return
        photo = PhotoRow.of(self._next("photos"), found)
        insert(self.connection, "photos", [photo_values(photo)])
        first = self._next("faces")
        faces = [face_values(number, photo.id, face) for number, face in enumerate(found.faces, first)]
        insert(self.connection, "faces", faces)
        changed.update(photos=1, faces=len(faces))

    def add_edited(self, path: str, edited: Photo, changed: Counter[str]) -> bool:
        """Store a photo without faces whose pixels are known under other bytes; return False if they are known no more.

        A photo that no other file holds keeps its number, its faces and their groups.
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

    def set_picture(self, content_hash: str, picture_hash: str) -> None:
        """Store the hash of a photo's pixels, if the photo is known."""
        photo = self.photo_of_content(content_hash)
        if photo is not None:
            self.change_photo(photo._replace(picture_hash=picture_hash))

    def take_place(self, old: PhotoRow, content_hash: str, changed: Counter[str]) -> None:
        """Give a photo another content, and the files of the photo that had it."""
        new = self.photo_of_content(content_hash)
        if new is not None:
            for file in self.files_of_photo(new.id):
                self.drop_file(file.path, changed)
                self.put_file(file._replace(photo=old.id), changed)
            self.drop_photo(new.id, changed)
        self.change_photo(old._replace(content_hash=content_hash))

    def change_photo(self, photo: PhotoRow) -> None:
        """Replace what is known of a photo, but for its faces."""
        values = photo_values(photo)
        columns = (*COLUMNS["photos"], "row_digest")
        changes = ", ".join(f"{column} = ?" for column in columns)
        self.connection.execute(
            f"UPDATE photos SET {changes} WHERE id = ?",  # noqa: S608 - names from our own table
            (*values, row_digest("photos", values), photo.id),
        )

    def add_copy(self, photo: PhotoRow, faces: Sequence[FaceRow], changed: Counter[str]) -> PhotoRow:
        """Store a photo with faces that were checked, under new numbers."""
        copy = photo._replace(id=self._next("photos"))
        insert(self.connection, "photos", [photo_values(copy)])
        rows = [(number, copy.id, *face[2:]) for number, face in enumerate(faces, self._next("faces"))]
        insert(self.connection, "faces", rows)
        changed.update(photos=1, faces=len(faces))
        return copy

    def put_file(self, file: FileRow, changed: Counter[str]) -> None:
        """Store a file, replacing what was known of its path."""
        self.drop_file(file.path, changed)
        insert(self.connection, "files", [file_values(file)])
        changed["files"] += 1

    def drop_file(self, path: str, changed: Counter[str]) -> None:
        """Forget a path, if it is known."""
        changed["files"] -= self.connection.execute("DELETE FROM files WHERE path = ?", (os.fsencode(path),)).rowcount

    def drop_photo(self, number: int, changed: Counter[str]) -> None:
        """Forget a photo, its faces, and their groups and pairs."""
        for total, statement in _DROP_PHOTO.items():
            changed[total] -= self.connection.execute(statement, {"photo": number}).rowcount

    def drop_orphans(self, changed: Counter[str]) -> int:
        """Forget the photos that no file has any more; return how many those were."""
        orphans = "SELECT id FROM photos WHERE NOT EXISTS (SELECT 1 FROM files WHERE files.photo = photos.id)"
        numbers = [number for (number,) in self.rows(orphans)]
        for number in numbers:
            self.drop_photo(number, changed)
        return len(numbers)

    def shards(self) -> list[ShardRow]:
        """Return the folders and shards of folders that were gone through."""
        total = self.totals().shards
        if total > _MOST_SHARDS:
            raise SCAN_FILE.damage_error(self.path, "it went through more folders than there can be")
        rows = self.rows(select(("shards",), "FROM shards ORDER BY place, count, number LIMIT ?"), (total + 1,))
        self.require_total(len(rows), total)
        return [self.read(shard_row, row) for row in rows]

    def put_shards(self, shards: Iterable[ShardRow], changed: Counter[str]) -> None:
        """Replace the folders and shards of folders that were gone through; of very many the last are kept."""
        last = sorted(shards, key=lambda row: row.looked_through)[-_MOST_SHARDS:]
        rows = [shard_values(row) for row in sorted(last)]
        changed["shards"] += len(rows) - self.connection.execute("DELETE FROM shards").rowcount
        insert(self.connection, "shards", rows)

    def tags(self) -> list[TagRow]:
        """Return the names that facebank wrote into files."""
        rows = self.rows(select(("tags",), "FROM tags ORDER BY photo, file, person"))
        self.require_total(len(rows), self.totals().tags)
        return [self.read(tag_row, row) for row in rows]

    def put_tags(self, photo: str, tags: Collection[TagRow], changed: Counter[str]) -> None:
        """Replace the names that are known of a photo."""
        self.drop_tags([photo], changed)
        rows = sorted((os.fsencode(tag.photo), os.fsencode(tag.file), tag.person) for tag in tags)
        insert(self.connection, "tags", rows)
        changed["tags"] += len(rows)

    def drop_tags(self, photos: Iterable[str], changed: Counter[str]) -> None:
        """Forget the names that are known of photos."""
        for photo in photos:
            gone = self.connection.execute("DELETE FROM tags WHERE photo = ?", (os.fsencode(photo),))
            changed["tags"] -= gone.rowcount

    def move_tags(self, before: Path, after: Path, changed: Counter[str]) -> None:
        """Store the names of a photo under its new path; its sidecar went with it."""
        statement = select(("tags",), "FROM tags WHERE photo = ?")
        tags = [self.read(tag_row, row) for row in self.rows(statement, (os.fsencode(before),))]
        if tags:
            files = {str(before): str(after), str(sidecar_of(before)): str(sidecar_of(after))}
            moved = {TagRow(str(after), files.get(tag.file, tag.file), tag.person) for tag in tags}
            self.drop_tags([str(before)], changed)
            self.put_tags(str(after), moved, changed)

    def _next(self, table: str) -> int:
        ((number,),) = self.rows(_NEXT[table])
        return int(number)
