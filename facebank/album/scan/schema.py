"""The scan file's tables, as numbered versions, and what makes an SQLite file a scan.

::

    scan      one row: the version, and the pack that made the embeddings
    photos    one row for each content, however many files have it
    faces     the faces of a photo, largest first
    files     a path, its size and time, and its photo, or why it cannot be read
    groups    the group of a face and its place in it, as grouped last
    apart     two faces that are not one person, as somebody said
    tags      a file in which the name of a person stands that facebank wrote, and the photo's path (since 3)
    totals    one row: how many rows the other tables have (since 3)

Since 2, photos say whether a camera dated them. Since 3, every row has a digest, a photo the hash of its picture and
the number of its faces, and a file that cannot be read the readers that failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.album.scan.rows import COLUMNS, Totals, insert
from facebank.errors import PackMismatchError, ScanBusyError, ScanFormatError, ScanNotFoundError
from facebank.storage.connections import BoundedConnection, copied_to_memory, is_writable
from facebank.storage.dates import CLOCK_RESETS
from facebank.storage.sqlite import SqliteKind, choose_journal, is_begun, is_on_network, transaction
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, teach_row_digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from facebank.gallery import PackIdentity

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

_DIGESTED = tuple(table for table in COLUMNS if table != "totals")
# A photo knows how many faces it has, and the scan how many rows its tables have: so a lost row is noticed.
_DIGEST_COLUMNS = (
    "CREATE TABLE tags (photo BLOB NOT NULL, file BLOB NOT NULL, person INTEGER NOT NULL, "
    "PRIMARY KEY (photo, file, person)) WITHOUT ROWID",
    "ALTER TABLE photos ADD COLUMN picture_hash TEXT",
    "ALTER TABLE photos ADD COLUMN face_count INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE files ADD COLUMN readers TEXT",
    *(f"ALTER TABLE {table} ADD COLUMN row_digest BLOB NOT NULL DEFAULT x''" for table in _DIGESTED),
    f"CREATE TABLE totals ({', '.join(f'{name} INTEGER NOT NULL' for name in Totals._fields)}, "
    "row_digest BLOB NOT NULL)",
    "CREATE INDEX photos_by_picture ON photos (picture_hash)",
    "CREATE INDEX apart_by_second ON apart (second)",
    "UPDATE photos SET face_count = (SELECT count(*) FROM faces WHERE photo = photos.id)",
)
_TOTALS = """
    SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM photos), (SELECT count(*) FROM faces),
        (SELECT count(*) FROM groups), (SELECT count(*) FROM apart), (SELECT count(*) FROM tags)
    """


def _first(connection: sqlite3.Connection) -> None:
    for statement in _FIRST_TABLES:
        connection.execute(statement)


def _camera_dates(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE photos ADD COLUMN camera_dated INTEGER NOT NULL DEFAULT 0")
    connection.execute(_DATED_BY_A_CAMERA, CLOCK_RESETS)


def _digests(connection: sqlite3.Connection) -> None:
    for statement in _DIGEST_COLUMNS:
        connection.execute(statement)
    teach_row_digest(connection)
    for table in _DIGESTED:
        columns = ", ".join(COLUMNS[table])
        connection.execute(f"UPDATE {table} SET row_digest = row_digest('{table}', {columns})")  # noqa: S608 - ours
    keep_totals(connection, Totals(*connection.execute(_TOTALS).fetchone()))


_VERSIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _camera_dates, _digests)


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


def prepare(connection: BoundedConnection, path: Path, pack: PackIdentity) -> BoundedConnection:
    """Make the tables of an empty file; else make sure that it is a scan of the pack, and bring it up to date.

    Returns
    -------
    BoundedConnection
        To use from now on: the same, or where an older file may not be written, one to an up-to-date copy in memory.
    """
    if not is_begun(connection):
        _begin(connection, pack)
        choose_journal(connection, log=not is_on_network(path))  # only now is the mark in the file's first page
    version = SCAN_FILE.check_tables(connection, path)
    _check_pack(connection, path, pack)
    if version < SCAN_FILE.newest:
        if not is_writable(path):
            connection = copied_to_memory(connection)
            _bring_up_to_date(connection, path)
            connection.execute("PRAGMA query_only = ON")
        else:
            _bring_up_to_date(connection, path)
    return connection


def keep_totals(connection: sqlite3.Connection, totals: Totals) -> None:
    """Remember how many rows the tables have, in the place of what was remembered."""
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
        raise PackMismatchError(
            f"The scan {printable(str(path))} was made with the pack {printable(made_by[:60])!r}, not "
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
