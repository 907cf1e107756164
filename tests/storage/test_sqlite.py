"""Untrusted SQLite files: foreign schemas are rejected before use, and every statement terminates."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from facebank.album.scan.rows import insert
from facebank.album.scan.scan_file import ScanFile
from facebank.album.scan.schema import SCAN_FILE
from facebank.errors import FacebankError, ScanFormatError, ScanNotFoundError
from facebank.evaluation.face_cache import FaceCache
from facebank.gallery import Gallery, PackIdentity
from facebank.storage.connections import connect

PACK = PackIdentity("test", "ab" * 32, 8)
ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


def new_scan(path: Path) -> None:
    ScanFile.open(path, PACK, create=True).close()


def new_gallery(path: Path) -> None:
    Gallery.open(path, PACK, create=True).close()


def open_scan(path: Path) -> None:
    with ScanFile.open(path, PACK) as scan_file:
        list(scan_file.photos())


def open_gallery(path: Path) -> None:
    with Gallery.open(path, PACK) as gallery:
        gallery.people()


formats = pytest.mark.parametrize(
    ("make", "use", "some_table"),
    [(new_scan, open_scan, "files"), (new_gallery, open_gallery, "people")],
    ids=["scan", "gallery"],
)

HOSTILE_SCHEMAS = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
    "recursive trigger": "CREATE TRIGGER t AFTER INSERT ON {table} BEGIN INSERT INTO {table} SELECT * FROM {table};END",
    "view": "CREATE VIEW v AS SELECT 1",
    "endless view in a table's place": "ALTER TABLE {table} RENAME TO was; CREATE VIEW {table} AS " + ENDLESS,
    "endless view as the version": "DROP TABLE {version}; CREATE VIEW {version} (version, number) AS "
    "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, x FROM n",
    "version of large generated columns": "DROP TABLE {version}; CREATE TABLE {version} (name, digest, dimension, "
    "version AS (hex(zeroblob(100000000))), number AS (hex(zeroblob(100000000))));"
    "INSERT INTO {version} VALUES (1, 1, 1)",
    "generated column": "ALTER TABLE {table} ADD COLUMN more AS (hex(zeroblob(100000000)))",
    "virtual table": "CREATE VIRTUAL TABLE f USING fts5 (x)",
    "surplus index": "CREATE INDEX i ON {table} (1)",
    "index by an expression": "CREATE INDEX i ON {table} (hex(zeroblob(1000000)))",
    "statistics": "ANALYZE; CREATE TABLE x (y); INSERT INTO x VALUES (1); ANALYZE",
    "many tables": ";".join(f"CREATE TABLE t{number} (x)" for number in range(300)),
    "another default": "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') "
    "WHERE name = '{table}'",
    "schema of no text": "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = x'ff00ff' WHERE name = '{table}'",
    "deep expression": "CREATE TABLE deep (x CHECK (" + "(" * 90 + "x" + ")" * 90 + "))",
}


@formats
@pytest.mark.parametrize("schema", HOSTILE_SCHEMAS)
def test_foreign_schemas_are_rejected_before_use(
    tmp_path: Path,
    make: Callable[[Path], None],
    use: Callable[[Path], None],
    some_table: str,
    schema: str,
) -> None:
    path = tmp_path / "hostile"
    make(path)
    script = HOSTILE_SCHEMAS[schema].format(table=some_table, version="scan" if use is open_scan else "migrations")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        connection.commit()
    with pytest.raises(FacebankError, match="is damaged") as caught:
        use(path)
    assert len(str(caught.value)) < 500 + len(str(path))
    assert str(caught.value).isprintable()


def write_circular_pages(path: Path) -> None:
    """Write a scan whose pages of faces reference each other: 100 KB that seem to have 10^20 rows."""
    new_scan(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(
            "INSERT INTO photos (id, content_hash, width, height, quarter_turns) VALUES (1, 'x', 1, 1, 0)"
        )
        insert(connection, "faces", [(1, 1, bytes(120), "[]")])
        connection.commit()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'faces'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    leaf = content[(root - 1) * size : root * size]
    levels, first_new = 10, len(content) // size + 1
    pages = [root, *range(first_new, first_new + levels)]
    content.extend(bytes(levels * size))
    content[(pages[-1] - 1) * size :] = leaf
    for page, child in pairwise(pages):
        cells = 500
        start = (page - 1) * size
        page_content = bytearray(size)
        page_content[:12] = struct.pack(">BHHHBI", 5, 0, cells, size - 5 * cells, 0, child)
        for number in range(cells):
            cell = size - 5 * (number + 1)
            page_content[cell : cell + 5] = struct.pack(">IB", child, 1)
            page_content[12 + 2 * number : 14 + 2 * number] = struct.pack(">H", cell)
        content[start : start + size] = page_content
    content[28:32] = struct.pack(">I", len(content) // size)
    path.write_bytes(content)


def test_circular_pages_terminate(tmp_path: Path) -> None:
    path = tmp_path / "loop.scan"
    write_circular_pages(path)
    with ScanFile.open(path, PACK) as scan_file, pytest.raises(ScanFormatError, match="is damaged"):
        scan_file.face_table()
    with closing(connect(path, busy_timeout=1)) as connection, pytest.raises(sqlite3.OperationalError, match="interr"):
        connection.execute("SELECT count(*) FROM faces NOT INDEXED WHERE photo < 0").fetchone()


def test_the_step_limit_allows_large_files(tmp_path: Path) -> None:
    """The limit grows with the size of the file."""
    path = tmp_path / "large.db"
    path.touch()
    with closing(connect(path, busy_timeout=1)) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(200_000)))
        assert connection.execute("SELECT sum(a.x > 0) FROM t AS a ORDER BY random()").fetchone() == (199_999,)
        connection.execute("UPDATE t SET x = x + 1")
        connection.execute("COMMIT")
        connection.execute("VACUUM")


def test_endless_statements_are_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "small.db"
    path.touch()
    with closing(connect(path, busy_timeout=1)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"SELECT count(*) FROM ({ENDLESS})").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            list(connection.execute(f"SELECT x FROM ({ENDLESS}) WHERE x < 0"))
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_missing_and_foreign_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ScanNotFoundError, match=r"no scan .* yet"):
        SCAN_FILE.check_header(tmp_path / "none.scan")
    new_gallery(tmp_path / "a.facebank")
    with pytest.raises(ScanFormatError, match="is not a scan"):
        open_scan(tmp_path / "a.facebank")


def test_a_cache_with_a_foreign_schema_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    FaceCache(path, 8).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE crops; CREATE VIEW crops AS " + ENDLESS)
    with FaceCache(path, 8) as cache:
        assert cache.embedding("a") is None
