"""Galleries of older versions are read, upgraded once and backed up."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from facebank.errors import GalleryVersionError
from facebank.gallery import FaceKey, Gallery, Upgrade, export_gallery, inspect_gallery
from facebank.gallery.store import migrations
from facebank.gallery.store.file import GALLERY_FILE
from facebank.gallery.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate
from facebank.gallery.store.schema import APPLICATION_ID, schema_version

from .databases import restore_gallery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gallery.conftest import FaceFactory


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Connection to an empty database in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        yield opened


def next_migration(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE people ADD COLUMN title TEXT")


def test_migrations_are_applied_once_and_recorded(connection: sqlite3.Connection) -> None:
    assert schema_version(connection) == 0
    migrate(connection)
    migrate(connection)
    assert schema_version(connection) == SCHEMA_VERSION == len(MIGRATIONS)
    assert GALLERY_FILE.has_tables(connection, SCHEMA_VERSION)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    rows = connection.execute("SELECT number, name FROM migrations").fetchall()
    assert rows == [(number, migration.__name__.strip("_")) for number, migration in enumerate(MIGRATIONS, start=1)]


def test_new_migrations_are_applied_to_existing_data(connection: sqlite3.Connection) -> None:
    migrate(connection)
    connection.execute("INSERT INTO people (name, key, created_at) VALUES ('Ada', 'ada', 'then')")
    migrate(connection, (*MIGRATIONS, next_migration))
    assert schema_version(connection) == SCHEMA_VERSION + 1
    assert not GALLERY_FILE.has_tables(connection, SCHEMA_VERSION)
    assert connection.execute("SELECT name, title FROM people").fetchall() == [("Ada", None)]


@pytest.fixture
def outdated_gallery(gallery: Gallery, faces: FaceFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a gallery with two samples of Ada, one migration older than the program."""
    gallery.enroll("Ada", faces.samples(2))
    gallery.close()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, next_migration))
    monkeypatch.setattr("facebank.gallery.store.file.GALLERY_FILE", replace(GALLERY_FILE, newest=SCHEMA_VERSION + 1))
    monkeypatch.setattr("facebank.gallery.store.file.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    return gallery.path


def test_older_galleries_are_read_without_an_upgrade_and_upgraded_on_opening(
    outdated_gallery: Path, faces: FaceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(outdated_gallery, faces.pack, read_only=True) as older:
        assert older.person("Ada").sample_count == 2
    with Gallery.open(outdated_gallery, faces.pack) as newer:
        assert newer.person("Ada").sample_count == 2
    monkeypatch.undo()
    with pytest.raises(GalleryVersionError, match="newer"):
        Gallery.open(outdated_gallery, faces.pack)


def test_galleries_that_are_too_old_are_not_read_without_an_upgrade(
    outdated_gallery: Path, faces: FaceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facebank.gallery.store.file.OLDEST_READABLE", SCHEMA_VERSION + 1)
    with pytest.raises(GalleryVersionError, match="older"):
        Gallery.open(outdated_gallery, faces.pack, read_only=True)
    with Gallery.open(outdated_gallery, faces.pack) as upgraded:
        assert upgraded.person("Ada").sample_count == 2


@pytest.fixture
def version_1(path: Path) -> Path:
    """Path of a gallery of version 1 with two samples of Ada, one of Bob and a setting."""
    return restore_gallery(1, path)


@pytest.fixture
def version_2(path: Path) -> Path:
    """Path of the same gallery in version 2, with a denial of Bob."""
    return restore_gallery(2, path)


def test_version_1_is_read_without_an_upgrade(version_1: Path, faces: FaceFactory) -> None:
    before = version_1.read_bytes()
    with Gallery.open(version_1, read_only=True) as gallery:
        assert {person.name: person.sample_count for person in gallery.people()} == {"Ada": 2, "Bob": 1}
        assert gallery.read_setting("fpir") == 0.02
        assert len(gallery.vectors().sample_ids) == 3
        assert gallery.denials_of(FaceKey("ab" * 32, 0, faces.sample().box)) == set()
        assert gallery.strangers().matrix.shape == (0, 4)
        assert gallery.stranger_faces() == []
    health = inspect_gallery(version_1)
    assert (health.schema_version, health.person_count, health.problems) == (1, 2, ())
    assert version_1.read_bytes() == before


def test_version_1_is_upgraded(version_1: Path) -> None:
    with Gallery.open(version_1) as gallery:
        embeddings = gallery.vectors().matrix
        face = FaceKey("ab" * 32, 0, gallery.samples("Ada")[0].box)
        assert gallery.deny("Bob", face)
        assert gallery.denials_of(face) == {gallery.person("Bob").id}
    health = inspect_gallery(version_1)
    assert (health.schema_version, health.person_count, health.sample_count, health.problems) == (
        SCHEMA_VERSION,
        2,
        3,
        (),
    )
    with Gallery.open(version_1) as gallery:
        np.testing.assert_array_equal(gallery.vectors().matrix, embeddings)
        assert gallery.thumbnail(1) == b"\xff\xd8\xffpicture"


def test_version_2_is_read_without_an_upgrade(version_2: Path) -> None:
    before = version_2.read_bytes()
    with Gallery.open(version_2, read_only=True) as gallery:
        assert {(person.name, person.sample_count) for person in gallery.people()} == {("Ada", 2), ("Bob", 1)}
        assert {(person.born, person.note) for person in gallery.people()} == {(None, None)}
        assert not any(sample.masked or sample.camera_dated for sample in gallery.samples("Ada"))
        assert gallery.birth_dates() == {}
        face = FaceKey("ab" * 32, 0, gallery.samples("Ada")[0].box)
        assert gallery.denials_of(face) == {gallery.person("Bob").id}
    health = inspect_gallery(version_2)
    assert (health.schema_version, health.person_count, health.problems) == (2, 2, ())
    assert version_2.read_bytes() == before


def test_version_2_is_upgraded_with_birth_dates(version_2: Path, tmp_path: Path) -> None:
    with Gallery.open(version_2) as gallery:
        embeddings = gallery.vectors().matrix
        assert gallery.describe("Ada", born="1985-06").born == "1985-06"
        assert all(sample.camera_dated and not sample.masked for sample in gallery.samples("Ada"))
    health = inspect_gallery(version_2)
    assert (health.schema_version, health.sample_count, health.problems) == (SCHEMA_VERSION, 3, ())
    with Gallery.open(version_2) as gallery:
        np.testing.assert_array_equal(gallery.vectors().matrix, embeddings)
        assert export_gallery(gallery, tmp_path / "export").person_count == 2


@pytest.mark.parametrize("version", [1, 2])
def test_an_upgrade_is_reported_once(version: int, path: Path) -> None:
    restore_gallery(version, path)
    upgrades: list[Upgrade] = []
    Gallery.open(path, read_only=True, on_upgrade=upgrades.append).close()
    assert upgrades == []
    for _ in range(2):
        Gallery.open(path, on_upgrade=upgrades.append).close()
    (upgrade,) = upgrades
    assert (upgrade.path, upgrade.before, upgrade.after) == (path, version, SCHEMA_VERSION)


@pytest.mark.parametrize("before", range(1, SCHEMA_VERSION))
def test_all_skipped_versions_are_reported(before: int, version_1: Path) -> None:
    with closing(sqlite3.connect(version_1, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:before])
    upgrades: list[Upgrade] = []
    Gallery.open(version_1, on_upgrade=upgrades.append).close()
    (upgrade,) = upgrades
    assert len(upgrade.changes) == SCHEMA_VERSION - before
    assert upgrade.may_change_decisions == (before < 3)
    with closing(sqlite3.connect(upgrade.backup)) as connection:
        assert schema_version(connection) == before


def test_an_existing_backup_is_kept(version_2: Path) -> None:
    with Gallery.open(version_2) as gallery:
        gallery._file._upgrade()
        (backup,) = gallery.automatic_backups()
    with closing(sqlite3.connect(backup)) as connection:
        assert schema_version(connection) == 2


@pytest.mark.parametrize(
    ("taken_at", "is_dated"),
    [
        ("2021-05-06T07:08:09", True),
        ("2021-05-06T07:08:09.125000-05:00", True),
        ("2021-05-06T07:08:09+00:00", False),
        ("1970-01-01T00:00:00", False),
        ("2999-01-01T00:00:00", False),
        ("0001-01-01T00:00:00", False),
        ("yesterday", False),
        (None, False),
    ],
)
def test_older_samples_with_camera_dates_are_recognized(
    connection: sqlite3.Connection, taken_at: str | None, is_dated: bool
) -> None:
    migrate(connection, MIGRATIONS[:2])
    connection.execute("INSERT INTO people (name, key, created_at) VALUES ('Ada', 'ada', 'then')")
    connection.execute(
        "INSERT INTO samples (person_id, box, landmarks, detection_score, quality, source, content_hash, "
        "quarter_turns, taken_at, enrolled_at) VALUES (1, zeroblob(16), zeroblob(40), 1, 1, x'00', ?, 0, ?, 'then')",
        ("ab" * 32, taken_at),
    )
    migrate(connection)
    assert connection.execute("SELECT camera_dated, masked FROM samples").fetchall() == [(is_dated, False)]


def test_new_galleries_report_no_upgrade(path: Path, faces: FaceFactory) -> None:
    upgrades: list[Upgrade] = []
    for _ in range(2):
        Gallery.open(path, faces.pack, create=True, on_upgrade=upgrades.append).close()
    assert upgrades == []


def test_the_pragmas_are_set_on_every_connection(gallery: Gallery) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
        "trusted_schema": 0,
    }

    def read_pragmas(opened: Gallery) -> dict[str, object]:
        with opened._file.reading() as connection:
            return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in expected}

    with ThreadPoolExecutor(1) as pool, Gallery.open(gallery.path, read_only=True) as reader:
        assert read_pragmas(gallery) == expected
        assert pool.submit(read_pragmas, gallery).result() == expected  # each thread has a connection
        assert read_pragmas(reader) == expected
