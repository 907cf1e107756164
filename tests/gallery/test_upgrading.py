"""Two processes upgrading a gallery concurrently; the backup has the old version."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facebank.gallery import Gallery
from facebank.gallery.store.file import GalleryFile
from facebank.gallery.store.migrations import SCHEMA_VERSION, migrate
from facebank.gallery.store.schema import schema_version
from facebank.storage import sqlite
from facebank.storage.sqlite import transaction

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def older(path: Path) -> Path:
    """A gallery of the second version with a log."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("schema_2.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA application_id = {0x46424E4B}")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    return path


def after_another(first: Callable[..., object], original: Callable[..., object]) -> Callable[..., object]:
    """Return a wrapper of a function that calls another function before its first call."""
    done: list[bool] = []

    def called(*arguments: object) -> object:
        if not done:
            done.append(True)
            first()
        return original(*arguments)

    return called


def test_concurrent_upgrades_keep_the_original_backup(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def somebody_else_is_faster() -> None:
        Gallery.open(older).close()

    monkeypatch.setattr(GalleryFile, "_upgrade", after_another(somebody_else_is_faster, GalleryFile._upgrade))
    with Gallery.open(older) as gallery:
        (copy,) = gallery.automatic_backups()
    with closing(sqlite3.connect(copy)) as connection:
        assert schema_version(connection) == 2


def test_opening_during_an_upgrade(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sqlite._objects
    looked: list[object] = []

    def objects(connection: sqlite3.Connection) -> object:
        found = original(connection)
        (file,) = (row[2] for row in connection.execute("PRAGMA database_list"))
        if file and not looked:
            looked.append(found)
            with closing(sqlite3.connect(older, isolation_level=None)) as other, transaction(other):
                migrate(other)
        return found

    monkeypatch.setattr(sqlite, "_objects", objects)
    with Gallery.open(older) as gallery:
        assert [person.name for person in gallery.people()] == ["Ada", "Bob"]
    assert looked
    with closing(sqlite3.connect(older)) as connection:
        assert schema_version(connection) == SCHEMA_VERSION


def test_the_backup_is_beside_the_target_of_a_link(older: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "link"
    link.symlink_to(older)
    with Gallery.open(link) as gallery:
        (copy,) = gallery.automatic_backups()
    assert copy.parent == older.parent
    with Gallery.open(older) as gallery:
        gallery.forget("Ada")
    assert not copy.exists()
