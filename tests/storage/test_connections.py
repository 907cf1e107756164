"""Read-only files are read with the changes of other processes, and nothing is written beside them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facebank.errors import StorageError
from facebank.gallery import Gallery, PackIdentity
from facebank.storage import connections
from facebank.storage.connections import connect

PACK = PackIdentity("test", "ab" * 32, 8)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    path = tmp_path / "filled.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
    return path


@pytest.fixture
def unwritable_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("facebank.storage.connections.is_writable", lambda _: False)
    monkeypatch.setattr("facebank.gallery.store.file.is_writable", lambda _: False)
    return iter(())


def rows(path: Path) -> list[int]:
    with closing(connect(path, busy_timeout=0.1)) as connection:
        return [number for (number,) in connection.execute("SELECT x FROM t ORDER BY x")]


def killed_writer(path: Path, to: Path) -> None:
    """Copy a file in the state left by a killed writer, with its last change in the log."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{to}{suffix}")


@pytest.mark.usefixtures("unwritable_here")
def test_reading_creates_no_files(filled: Path) -> None:
    assert rows(filled) == [1]
    assert list(filled.parent.iterdir()) == [filled]


@pytest.mark.usefixtures("unwritable_here")
def test_changes_left_by_a_killed_writer_are_read(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    left = tmp_path / "left" / "a.db"
    killed_writer(filled, left)
    before = {path: path.read_bytes() for path in left.parent.iterdir()}
    assert rows(left) == [1, 2]
    assert {path: path.read_bytes() for path in left.parent.iterdir()} == before


@pytest.mark.usefixtures("unwritable_here")
def test_a_log_too_large_to_copy_is_an_error_with_advice(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_writer(filled, tmp_path / "a.db")
    monkeypatch.setattr(connections, "_MAX_COPY", 100)
    with pytest.raises(StorageError, match=r"a\.db-wal.*open it once with write permission"):
        rows(tmp_path / "a.db")


@pytest.mark.usefixtures("unwritable_here")
def test_changes_by_a_running_writer_are_read(filled: Path) -> None:
    with closing(sqlite3.connect(filled, isolation_level=None)) as writer:
        writer.execute("INSERT INTO t VALUES (3)")
        with closing(connect(filled, busy_timeout=0.1)) as reader:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (2,)
            writer.execute("INSERT INTO t VALUES (4)")
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_changes_by_others_in_a_read_only_gallery_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.facebank"
    with Gallery.open(path, PACK, create=True) as writer:
        writer.enroll("Ada", [])
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("facebank.storage.connections.is_writable", lambda _: False)
        elsewhere.setattr("facebank.gallery.store.file.is_writable", lambda _: False)
        reader = Gallery.open(path, PACK)
    with reader:
        assert [person.name for person in reader.people()] == ["Ada"]
        with Gallery.open(path, PACK) as writer:
            writer.enroll("Bob", [])
        assert [person.name for person in reader.people()] == ["Ada", "Bob"]
        with pytest.raises(StorageError, match="write-protected"):
            reader.enroll("Carl", [])
