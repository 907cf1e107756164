"""Read-only files are read with the changes of other processes, and nothing is written beside them."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from facebank.errors import StorageError
from facebank.gallery import Gallery, PackIdentity
from facebank.storage import connections
from facebank.storage.connections import connect

PACK = PackIdentity("test", "ab" * 32, 8)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "filled.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
    return path


def make_files_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebank.storage.connections.is_writable", lambda _: False)
    monkeypatch.setattr("facebank.gallery.store.file.is_writable", lambda _: False)


@pytest.fixture
def read_only_files(monkeypatch: pytest.MonkeyPatch) -> None:
    make_files_read_only(monkeypatch)


def read_rows(path: Path) -> list[int]:
    with closing(connect(path, busy_timeout=0.1)) as connection:
        return [number for (number,) in connection.execute("SELECT x FROM t ORDER BY x")]


def copy_from_killed_writer(path: Path, target: Path) -> None:
    """Copy a file in the state left by a killed writer, with its last change in the log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{target}{suffix}")


@pytest.mark.usefixtures("read_only_files")
def test_reading_creates_no_files(database: Path) -> None:
    assert read_rows(database) == [1]
    assert list(database.parent.iterdir()) == [database]


@pytest.mark.usefixtures("read_only_files")
def test_changes_left_by_a_killed_writer_are_read(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    copy_from_killed_writer(database, folder / "a.db")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert read_rows(folder / "a.db") == [1, 2]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.usefixtures("read_only_files")
def test_a_log_too_large_to_copy_is_an_error_with_advice(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_from_killed_writer(database, tmp_path / "a.db")
    monkeypatch.setattr(connections, "_MAX_COPY", 100)
    with pytest.raises(StorageError, match=r"a\.db-wal.*open it once with write permission"):
        read_rows(tmp_path / "a.db")


@pytest.mark.usefixtures("read_only_files")
def test_changes_by_a_running_writer_are_read(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("INSERT INTO t VALUES (3)")
        with closing(connect(database, busy_timeout=0.1)) as reader:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (2,)
            writer.execute("INSERT INTO t VALUES (4)")
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_changes_by_other_processes_in_a_read_only_gallery_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.facebank"
    with Gallery.open(path, PACK, create=True) as writer:
        writer.enroll("Ada", [])
    with monkeypatch.context() as patch:
        make_files_read_only(patch)
        reader = Gallery.open(path, PACK)
    with reader:
        assert [person.name for person in reader.people()] == ["Ada"]
        with Gallery.open(path, PACK) as writer:
            writer.enroll("Bob", [])
        assert [person.name for person in reader.people()] == ["Ada", "Bob"]
        with pytest.raises(StorageError, match="write-protected"):
            reader.enroll("Carl", [])
