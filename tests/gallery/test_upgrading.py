"""Upgrades while other connections use the gallery, and the backups written before them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from facebank.gallery import Gallery
from facebank.gallery.store.file import GalleryFile
from facebank.gallery.store.migrations import SCHEMA_VERSION, migrate
from facebank.gallery.store.schema import schema_version
from facebank.storage import sqlite
from facebank.storage.sqlite import transaction

from .databases import restore_gallery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def older_gallery(path: Path) -> Path:
    """Path of a gallery of version 2 with a write-ahead log."""
    with closing(sqlite3.connect(restore_gallery(2, path))) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    return path


def call_first(first: Callable[..., object], original: Callable[..., object]) -> Callable[..., object]:
    """Return a wrapper of a function that calls another function before its first call."""
    calls: list[bool] = []

    def wrapper(*arguments: object) -> object:
        if not calls:
            calls.append(True)
            first()
        return original(*arguments)

    return wrapper


def test_concurrent_upgrades_keep_the_original_backup(older_gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade_in_another_process() -> None:
        Gallery.open(older_gallery).close()

    monkeypatch.setattr(GalleryFile, "_upgrade", call_first(upgrade_in_another_process, GalleryFile._upgrade))
    with Gallery.open(older_gallery) as gallery:
        (backup,) = gallery.automatic_backups()
    with closing(sqlite3.connect(backup)) as connection:
        assert schema_version(connection) == 2


def test_a_gallery_opens_during_an_upgrade(older_gallery: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = sqlite._objects
    results: list[object] = []

    def objects(connection: sqlite3.Connection) -> object:
        result = original(connection)
        (file,) = (row[2] for row in connection.execute("PRAGMA database_list"))
        if file and not results:
            results.append(result)
            with closing(sqlite3.connect(older_gallery, isolation_level=None)) as other, transaction(other):
                migrate(other)
        return result

    monkeypatch.setattr(sqlite, "_objects", objects)
    with Gallery.open(older_gallery) as gallery:
        assert [person.name for person in gallery.people()] == ["Ada", "Bob"]
    assert results
    with closing(sqlite3.connect(older_gallery)) as connection:
        assert schema_version(connection) == SCHEMA_VERSION


def test_the_backup_is_beside_the_target_of_a_link(older_gallery: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "link"
    link.symlink_to(older_gallery)
    with Gallery.open(link) as gallery:
        (backup,) = gallery.automatic_backups()
    assert backup.parent == older_gallery.parent
    with Gallery.open(older_gallery) as gallery:
        gallery.forget("Ada")
    assert not backup.exists()
