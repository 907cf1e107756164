"""The schema of a scan file: its tables, and the migrations between numbered versions.

::

    scan      one row: the version, and the pack that made the embeddings
    photos    one row for each content, regardless of the number of files with it
    faces     the faces of a photo, largest first
    files     a path, its size and time, and its photo, or why it cannot be read
    groups    the group of a face and its position in it
    apart     two faces of different people
    tags      a file into which facebank wrote a person's name, and the photo's path (since 3)
    shards    a folder, or one shard of it, and when its last scan began (since 4)
    totals    one row: the numbers of rows of the other tables (since 3)
    videos    a video's path, its size and time, and its content, or why it cannot be read (since 5)
    tracks    a face that is followed through a shot of a video, and when it is visible (since 5)
    track_faces     the best sightings of a track (since 5)
    track_pictures  a thumbnail of the frame with the best sighting (since 5)

Since version 2, photos have a flag for dates from a camera. Since 3, every row has a digest, a photo the hash of its
pixels and the number of its faces, and an unreadable file the versions of the decoders that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from facebank.album.scan.rows import COLUMNS, Totals, insert
from facebank.errors import PackMismatchError, ScanBusyError, ScanFormatError, ScanNotFoundError
from facebank.storage.connections import BoundedConnection, copy_to_memory, is_writable
from facebank.storage.dates import CLOCK_RESETS
from facebank.storage.file_systems import is_on_network
from facebank.storage.sqlite import SqliteKind, choose_journal, has_any_table, transaction
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, integer_between, register_row_digest, row_digest, verify_row

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from facebank.gallery import PackIdentity

_APPLICATION_ID = 0x46424E53  # FBNS
_MAX_PACK_NAME = 60  # characters in messages
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
# Modification times of files were stored in UTC, so a date without that offset is a camera's.
_DATED_BY_A_CAMERA = """
    UPDATE photos SET camera_dated = 1
    WHERE taken_at NOT LIKE '%+00:00' AND date(substr(taken_at, 1, 10)) NOT IN (?, ?, ?, ?, ?, ?, ?)
        AND date(substr(taken_at, 1, 10)) BETWEEN '1840-01-01' AND date('now', '+1 day')"""

_DIGESTED = ("photos", "faces", "files", "groups", "apart", "tags")
_COUNTED = ("files", "photos", "faces", "grouped", "apart", "tags")
# The numbers of a photo's faces and of each table's rows detect lost rows.
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


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _FIRST_TABLES:
        connection.execute(statement)


def _add_camera_dates(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE photos ADD COLUMN camera_dated INTEGER NOT NULL DEFAULT 0")
    connection.execute(_DATED_BY_A_CAMERA, CLOCK_RESETS)


def _add_digests(connection: sqlite3.Connection) -> None:
    for statement in _DIGEST_COLUMNS:
        connection.execute(statement)
    register_row_digest(connection)
    for table in _DIGESTED:
        columns = ", ".join(COLUMNS[table])
        connection.execute(f"UPDATE {table} SET row_digest = row_digest('{table}', {columns})")  # noqa: S608 - ours
    totals = connection.execute(_TOTALS).fetchone()
    connection.execute("INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?)", (*totals, row_digest("totals", totals)))


def _add_shards(connection: sqlite3.Connection) -> None:
    _add_total(connection, "shards", _COUNTED)
    connection.execute(
        "CREATE TABLE shards (place BLOB NOT NULL, number INTEGER NOT NULL, count INTEGER NOT NULL, "
        "looked_through TEXT NOT NULL, row_digest BLOB NOT NULL, PRIMARY KEY (place, number, count)) WITHOUT ROWID"
    )


def _add_videos(connection: sqlite3.Connection) -> None:
    _add_total(connection, "videos", (*_COUNTED, "shards"))
    for statement in _VIDEO_TABLES:
        connection.execute(statement)


def _add_total(connection: sqlite3.Connection, table: str, counted: Sequence[str]) -> None:
    """Add a column for a new, empty table to ``totals``, whose columns are `counted`."""
    rows = connection.execute(f"SELECT {', '.join(counted)}, row_digest FROM totals").fetchall()  # noqa: S608 - ours
    if len(rows) != 1:
        raise InvalidValueError("its row counts are missing")
    counts = [integer_between(count, 0, 2**62) for count in verify_row("totals", rows[0])]
    connection.execute(f"ALTER TABLE totals ADD COLUMN {table} INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE totals SET row_digest = ?", (row_digest("totals", (*counts, 0)),))


_VERSIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create_tables,
    _add_camera_dates,
    _add_digests,
    _add_shards,
    _add_videos,
)


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
    missing_advice="create it with 'facebank scan DIR'",
    empty_advice="scan photos into it with 'facebank scan DIR'",
    other_file_advice="name another file",
    repair_advice="remove it and scan again",
)


def prepare(
    connection: BoundedConnection, path: Path, pack: PackIdentity, *, read_only: bool = False
) -> BoundedConnection:
    """Create the tables of an empty file, or check an existing scan of the pack and migrate it.

    With `read_only` the file is not changed.

    Returns
    -------
    BoundedConnection
        The given connection; for an older read-only file, a connection to a migrated copy in memory.
    """
    if not has_any_table(connection):
        if read_only:
            raise SCAN_FILE.empty_file_error(path)
        _initialize(connection, pack)
        choose_journal(connection, log=not is_on_network(path))  # needs the application id in the file's first page
    version = SCAN_FILE.check_tables(connection, path)
    _check_pack(connection, path, pack)
    if version < SCAN_FILE.newest:
        read_only = read_only or not is_writable(path)
        if read_only:
            connection = copy_to_memory(connection)
        _migrate(connection, path)
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def keep_totals(connection: sqlite3.Connection, totals: Totals) -> None:
    """Replace the stored numbers of rows."""
    connection.execute("DELETE FROM totals")
    insert(connection, "totals", [totals])


def _initialize(connection: sqlite3.Connection, pack: PackIdentity) -> None:
    with transaction(connection):
        if has_any_table(connection):  # another process was faster
            return
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        _build(connection, SCAN_FILE.newest)
        row = (SCAN_FILE.newest, pack.name, pack.digest, pack.dimension)
        connection.execute("INSERT INTO scan VALUES (?, ?, ?, ?)", row)


def _check_pack(connection: sqlite3.Connection, path: Path, pack: PackIdentity) -> None:
    rows = connection.execute("SELECT name, digest, dimension FROM scan LIMIT 2").fetchall()
    if len(rows) != 1 or not all(isinstance(text, str) for text in rows[0][:2]):
        raise InvalidValueError("its pack is not recorded")
    pack_name, digest, dimension = rows[0]
    if (digest, dimension) != (pack.digest, pack.dimension):
        raise pack_mismatch_error(f"The scan {printable(str(path))}", pack_name, pack, "remove the file and scan again")


def pack_mismatch_error(label: str, pack_name: str, pack: PackIdentity, advice: str) -> PackMismatchError:
    """Return the error for a scan, named in messages by `label`, that was made with another pack than `pack`."""
    version = " of another version" if pack_name == pack.name else ""
    return PackMismatchError(
        f"{label} was made with the pack {printable(pack_name[:_MAX_PACK_NAME])!r}{version}, not "
        f"{printable(pack.name)!r}: use that pack, or {advice}."
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection):
        version = SCAN_FILE.check_tables(connection, path)
        if version == SCAN_FILE.newest:  # another process was faster
            return
        for change in _VERSIONS[version:]:
            change(connection)
        connection.execute("UPDATE scan SET version = ?", (SCAN_FILE.newest,))
