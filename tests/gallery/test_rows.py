"""Checksums of rows and tables stay valid after every operation."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from facebank.errors import GalleryFormatError
from facebank.gallery import FaceKey, Gallery
from facebank.gallery.store.file import GALLERY_FILE
from facebank.gallery.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate
from facebank.gallery.store.rows import is_sum_of, seal_of, seal_table
from facebank.gallery.store.schema import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gallery.conftest import FaceFactory


def read_checksums(path: Path) -> dict[str, object]:
    """Return all checksums stored in a gallery."""
    with closing(sqlite3.connect(path)) as connection:
        return fetch_checksums(connection)


def fetch_checksums(connection: sqlite3.Connection) -> dict[str, object]:
    checksums: dict[str, object] = {
        table: connection.execute(f"SELECT {', '.join(definition.key)}, seal FROM {table} ORDER BY 1, 2").fetchall()
        for table, definition in TABLES.items()
        if table != "sums"
    }
    checksums["sums"] = connection.execute("SELECT * FROM sums WHERE row_count OR total ORDER BY name").fetchall()
    return checksums


def compute_checksums(path: Path) -> dict[str, object]:
    """Return all checksums recomputed from the rows."""
    with closing(sqlite3.connect(path)) as connection:
        for table in TABLES:
            if table not in {"sums", "gallery"}:
                seal_table(connection, table)
        return fetch_checksums(connection)


def test_rows_are_sealed_and_summed_after_all_changes(gallery: Gallery, faces: FaceFactory) -> None:
    masked, face = faces.sample(masked=True), faces.sample()
    changes = (
        lambda: gallery.enroll("Ada", [*faces.samples(3), masked]),
        lambda: gallery.enroll("Bob", faces.samples(2)),
        lambda: gallery.enroll("Carl", []),
        lambda: gallery.describe("Ada", born="1985", note="daughter of Grace"),
        lambda: gallery.describe("Bob", born="1990-05"),
        lambda: gallery.deny("Carl", FaceKey.from_sample(face)),
        lambda: gallery.deny("Bob", FaceKey.from_sample(faces.sample())),
        lambda: gallery.remember_stranger(faces.sample()),
        lambda: gallery.remember_stranger(face),
        lambda: gallery.write_setting("fpir", 0.01),
        lambda: gallery.write_setting("fpir", 0.02),
        lambda: gallery.write_setting("margin", 1),
        lambda: gallery.write_setting("margin", None),
        lambda: gallery.rename("Bob", "Robert"),
        lambda: gallery.merge(["Robert"], "Carl"),
        lambda: gallery.enroll("Dora", [face]),
        lambda: gallery.remove_sample(1),
        lambda: gallery.forget_stranger(1),
        lambda: gallery.forget("Dora"),
        lambda: gallery.describe("Ada", born=None),
        lambda: gallery.rebind(
            faces.other_pack,
            {number: {"plain": faces.vector(24)} for number in (2, 3, 4)},
            dropped=[5, 6],
        ),
    )
    for change in changes:
        change()
        assert read_checksums(gallery.path) == compute_checksums(gallery.path)


def test_new_and_upgraded_galleries_have_equal_seals(path: Path, faces: FaceFactory) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:3])
        connection.execute("INSERT INTO packs VALUES (1, 'opencv', ?, 16)", (faces.pack.digest,))
        connection.execute("INSERT INTO gallery VALUES (1, 1, 7, 0)")
        connection.execute("INSERT INTO people VALUES (1, 'Ada', 'ada', '2020-01-01T00:00:00', '1985', NULL)")
        connection.execute("INSERT INTO settings VALUES ('fpir', '0.02')")
    path.chmod(0o600)
    with Gallery.open(path) as gallery:
        gallery.enroll("Bob", faces.samples(1))
    assert read_checksums(path) == compute_checksums(path)
    with closing(sqlite3.connect(path)) as connection:
        sums = dict(connection.execute("SELECT name, row_count FROM sums"))
    assert {name: sums[name] for name in ("people", "people.names", "people.births")} == {
        "people": 2,
        "people.names": 2,
        "people.births": 1,
    }


def test_all_columns_except_derived_ones_are_sealed() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        assert GALLERY_FILE.has_tables(connection, SCHEMA_VERSION)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns = {
            name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            for name in names
            if name not in {"migrations", "sqlite_sequence"}
        }
    unsealed = {name: {"seal"} for name in TABLES} | {"vectors": {"seal", "first", "second"}}
    assert columns == {name: set(definition.columns) | unsealed[name] for name, definition in TABLES.items()}
    for name, definition in TABLES.items():
        assert definition.columns_in(SCHEMA_VERSION) == tuple(definition.columns), name


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE people SET created_at = '2020-01-01T00:00:00' WHERE id = 1",
        "UPDATE people SET seal = seal + 1 WHERE id = 1",
        "UPDATE sums SET row_count = 9 WHERE name = 'people'",
    ],
)
def test_damaged_rows_are_not_resealed(gallery: Gallery, faces: FaceFactory, statement: str) -> None:
    gallery.enroll("Ada", faces.samples(2))
    gallery.close()
    with closing(sqlite3.connect(gallery.path)) as connection, connection:
        connection.execute(statement)
    before = read_checksums(gallery.path)
    with Gallery.open(gallery.path) as reopened, pytest.raises(GalleryFormatError, match="does not match its digest"):
        reopened.forget(next(iter(reopened.names().values())))
    assert read_checksums(gallery.path) == before


def test_forgetting_ignores_damaged_indexes(gallery: Gallery, faces: FaceFactory) -> None:
    gallery.enroll("Ada", faces.samples(3))
    gallery.enroll("Bob", faces.samples(1))
    gallery.close()
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        saved = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'samples_by_person'").fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'samples_by_person'")
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute("CREATE INDEX samples_by_person ON samples (person_id) WHERE person_id > 1")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'samples_by_person'", saved)
    before = read_checksums(gallery.path)
    with Gallery.open(gallery.path) as reopened, pytest.raises(GalleryFormatError, match="damaged"):
        reopened.forget("Ada")
    assert read_checksums(gallery.path) == before


def test_sums_depend_on_the_table() -> None:
    assert is_sum_of("people", "people")
    assert is_sum_of("people.names", "people")
    assert is_sum_of("vectors plain", "vectors")
    assert not is_sum_of("peoples", "people")
    assert seal_of("settings", {"key": "a", "value": "b"}) != seal_of("settings", {"key": "b", "value": "a"})


def replace_index(path: Path, name: str, partial: str) -> None:
    """Replace the pages of an index by those of a partial index, which lacks rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"CREATE INDEX partial ON {partial}")
        connection.execute("PRAGMA writable_schema = ON")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'partial'").fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'partial'")
        connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (page, name))


@pytest.mark.parametrize("earlier_calls", [0, 20])
def test_a_damaged_index_of_names_is_detected(gallery: Gallery, faces: FaceFactory, earlier_calls: int) -> None:
    for name in ("Ada", "Bob"):
        gallery.enroll(name, faces.samples(1))
    gallery.close()
    replace_index(gallery.path, "sqlite_autoindex_people_1", "people (key) WHERE key > 'b'")
    with Gallery.open(gallery.path) as reopened:
        with suppress(GalleryFormatError):
            for number in range(earlier_calls):
                reopened.enroll(f"Nobody {number}", [])
        with pytest.raises(GalleryFormatError, match="index of names"):
            reopened.enroll("Ada", [])
    with closing(sqlite3.connect(gallery.path)) as connection:
        assert connection.execute("SELECT count(*) FROM people NOT INDEXED WHERE key = 'ada'").fetchone() == (1,)


@pytest.mark.parametrize("earlier_calls", [0, 20])
def test_a_damaged_index_of_samples_is_detected(gallery: Gallery, faces: FaceFactory, earlier_calls: int) -> None:
    gallery.enroll("Ada", faces.samples(3))
    for number in range(earlier_calls):
        gallery.enroll(f"Person {number}", faces.samples(1))
    gallery.close()
    replace_index(gallery.path, "samples_by_person", "samples (person_id) WHERE id != 2")
    with Gallery.open(gallery.path) as reopened:
        with suppress(GalleryFormatError):
            for number in range(earlier_calls):
                reopened.samples(f"Person {number}")
        with pytest.raises(GalleryFormatError, match="index of samples"):
            reopened.samples("Ada")
