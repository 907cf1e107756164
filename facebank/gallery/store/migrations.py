"""The gallery's tables as numbered migrations.

Applied migrations are recorded in the table ``migrations``. Never change a released migration; add another one.

::

    gallery     one row: the pack of its embeddings, the revision
    packs       name, digest and dimension of a pack
    people      name, and the name's key, which is unique
    samples     one enrolled face of a person, its location and its photo
    thumbnails  a small JPEG of a sample
    vectors     an embedding, by sample, pack and variant
    settings    small JSON values by key
    denials     a face that, according to a user, is not a person's (since 2)
    strangers   a face of "nobody I know", with its embedding (since 2)
    sums        how many rows a table has, and the sum of their seals (since 4)
    merges      a person merged into another, with the facts at that time (since 5), and
    merged_samples, merged_denials
                the moved samples and denials

Since 3, people have a birth date and a note; samples record whether they are masked and dated by a camera. Since 4,
every row is sealed with a digest (`facebank.gallery.store.digests`), and samples, denials and strangers may have the
hash of their photo's picture.

To add a column, write a migration and add the column to `facebank.gallery.store.schema.TABLES`, with the migration's
number in ``later``. If it is NULL in all existing rows, their seals stay valid; otherwise end the migration with
``seal_table(connection, "people")``. To add a table, give it a column ``seal INTEGER NOT NULL DEFAULT 0``, add it to
`TABLES` with the number in ``since``, and let the migration call `seal_table`. Rows are written only by `insert`,
`update` and `delete` of `facebank.gallery.store.rows`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from facebank.gallery.store.rows import seal_table
from facebank.gallery.store.schema import APPLICATION_ID, schema_version
from facebank.storage.dates import CLOCK_RESETS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from typing import TypeAlias

    Migration: TypeAlias = Callable[[sqlite3.Connection], None]


def _first_tables(connection: sqlite3.Connection) -> None:
    for statement in _FIRST_TABLES:
        connection.execute(statement)


def _feedback(connection: sqlite3.Connection) -> None:
    for statement in _FEEDBACK_TABLES:
        connection.execute(statement)


def _facts(connection: sqlite3.Connection) -> None:
    for statement in _FACT_COLUMNS:
        connection.execute(statement)
    connection.execute(_MARK_CAMERA_DATES, CLOCK_RESETS)


def _seals(connection: sqlite3.Connection) -> None:
    for statement in _SEAL_COLUMNS:
        connection.execute(statement)
    for table in _SEALED_IN_4:
        seal_table(connection, table)


def _merges(connection: sqlite3.Connection) -> None:
    for statement in _MERGE_TABLES:
        connection.execute(statement)
    for table in ("merges", "merged_samples", "merged_denials"):
        seal_table(connection, table)


def _owners(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE INDEX samples_by_owner ON samples (masked, person_id, quality)")


MIGRATIONS: tuple[Migration, ...] = (_first_tables, _feedback, _facts, _seals, _merges, _owners)
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...] | None = None) -> None:
    """Apply the migrations that a file lacks, from those given or `MIGRATIONS`; call inside a write transaction."""
    applied = schema_version(connection)
    if applied == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(_MIGRATIONS_TABLE)
    pending = (MIGRATIONS if migrations is None else migrations)[applied:]
    for number, migration in enumerate(pending, start=applied + 1):
        migration(connection)
        connection.execute(
            "INSERT INTO migrations (number, name, applied_at) VALUES (?, ?, ?)",
            (number, migration.__name__.strip("_"), datetime.now(UTC).isoformat()),
        )


_MIGRATIONS_TABLE = """
    CREATE TABLE migrations (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        applied_at TEXT NOT NULL
    )"""

# AUTOINCREMENT: a cached index that still contains a forgotten number must not name another person. "first" and
# "second" are an embedding's first two components, for lookups; "traces" is the revision of a removal: see `state`.
_FIRST_TABLES = (
    """
    CREATE TABLE packs (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        dimension INTEGER NOT NULL CHECK (dimension BETWEEN 1 AND 16384)
    )""",
    """
    CREATE TABLE gallery (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        pack_id INTEGER NOT NULL REFERENCES packs (id),
        revision INTEGER NOT NULL CHECK (revision >= 0),
        traces INTEGER NOT NULL CHECK (traces >= 0)
    )""",
    """
    CREATE TABLE people (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    )""",
    """
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        box BLOB NOT NULL CHECK (length(box) = 16),
        landmarks BLOB NOT NULL CHECK (length(landmarks) = 40),
        detection_score REAL NOT NULL,
        quality REAL NOT NULL,
        source BLOB NOT NULL,
        content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
        quarter_turns INTEGER NOT NULL CHECK (quarter_turns BETWEEN 0 AND 3),
        taken_at TEXT,
        enrolled_at TEXT NOT NULL
    )""",
    "CREATE INDEX samples_by_person ON samples (person_id)",
    "CREATE INDEX samples_by_content ON samples (content_hash)",
    """
    CREATE TABLE thumbnails (
        sample_id INTEGER PRIMARY KEY REFERENCES samples (id) ON DELETE CASCADE,
        jpeg BLOB NOT NULL CHECK (length(jpeg) <= 262144)
    )""",
    """
    CREATE TABLE vectors (
        sample_id INTEGER NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
        pack_id INTEGER NOT NULL REFERENCES packs (id),
        variant TEXT NOT NULL,
        first REAL NOT NULL,
        second REAL NOT NULL,
        revision INTEGER NOT NULL,
        vector BLOB NOT NULL CHECK (length(vector) <= 65536),
        PRIMARY KEY (sample_id, pack_id, variant)
    )""",
    "CREATE INDEX vectors_by_components ON vectors (pack_id, variant, first, second)",
    """
    CREATE TABLE settings (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL CHECK (length(value) <= 65536)
    )""",
)

# Strangers are always embedded with the gallery's current pack.
_FEEDBACK_TABLES = (
    """
    CREATE TABLE denials (
        id INTEGER PRIMARY KEY,
        person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
        quarter_turns INTEGER NOT NULL CHECK (quarter_turns BETWEEN 0 AND 3),
        box BLOB NOT NULL CHECK (length(box) = 16),
        denied_at TEXT NOT NULL
    )""",
    "CREATE INDEX denials_by_person ON denials (person_id)",
    "CREATE INDEX denials_by_content ON denials (content_hash)",
    """
    CREATE TABLE strangers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source BLOB NOT NULL,
        content_hash TEXT NOT NULL CHECK (length(content_hash) = 64),
        quarter_turns INTEGER NOT NULL CHECK (quarter_turns BETWEEN 0 AND 3),
        box BLOB NOT NULL CHECK (length(box) = 16),
        vector BLOB NOT NULL CHECK (length(vector) <= 65536),
        remembered_at TEXT NOT NULL
    )""",
    "CREATE INDEX strangers_by_content ON strangers (content_hash)",
)

_FACT_COLUMNS = (
    "ALTER TABLE people ADD COLUMN born TEXT",
    "ALTER TABLE people ADD COLUMN note TEXT CHECK (length(note) <= 2000)",
    "ALTER TABLE samples ADD COLUMN masked INTEGER NOT NULL DEFAULT 0 CHECK (masked IN (0, 1))",
    "ALTER TABLE samples ADD COLUMN camera_dated INTEGER NOT NULL DEFAULT 0 CHECK (camera_dated IN (0, 1))",
)

# File modification times were kept in UTC; a date without an offset, or with another one, is from a camera.
_MARK_CAMERA_DATES = """
    UPDATE samples SET camera_dated = 1
    WHERE taken_at NOT LIKE '%+00:00' AND date(substr(taken_at, 1, 10)) NOT IN (?, ?, ?, ?, ?, ?, ?)
        AND date(substr(taken_at, 1, 10)) BETWEEN '1840-01-01' AND date('now', '+1 day')"""

_SEALED_IN_4 = ("packs", "gallery", "people", "samples", "thumbnails", "vectors", "settings", "denials", "strangers")

# "row_count" counts the rows, and "total" is the sum of their seals in 64 bits.
_SEAL_COLUMNS = (
    *(f"ALTER TABLE {table} ADD COLUMN seal INTEGER NOT NULL DEFAULT 0" for table in _SEALED_IN_4),
    *(
        f"ALTER TABLE {table} ADD COLUMN picture_hash TEXT CHECK (length(picture_hash) = 64)"
        for table in ("samples", "denials", "strangers")
    ),
    *(f"CREATE INDEX {table}_by_picture ON {table} (picture_hash)" for table in ("samples", "denials", "strangers")),
    """
    CREATE TABLE sums (
        name TEXT PRIMARY KEY,
        row_count INTEGER NOT NULL CHECK (row_count >= 0),
        total INTEGER NOT NULL,
        seal INTEGER NOT NULL
    )""",
)

# "batch" is the first merge of the same call. "came_with" is the merge by which an earlier merge came to the person.
# "kept_born" and "kept_note" are the facts of the remaining person before the merge.
_MERGE_TABLES = (
    """
    CREATE TABLE merges (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        person_id INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        batch INTEGER NOT NULL,
        came_with INTEGER,
        name TEXT NOT NULL,
        created_at TEXT NOT NULL,
        born TEXT,
        note TEXT CHECK (length(note) <= 2000),
        kept_born TEXT,
        kept_note TEXT CHECK (length(kept_note) <= 2000),
        merged_at TEXT NOT NULL,
        seal INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX merges_by_person ON merges (person_id)",
    """
    CREATE TABLE merged_samples (
        merge_id INTEGER NOT NULL REFERENCES merges (id) ON DELETE CASCADE,
        sample_id INTEGER NOT NULL REFERENCES samples (id) ON DELETE CASCADE,
        seal INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (merge_id, sample_id)
    )""",
    "CREATE INDEX merged_samples_by_sample ON merged_samples (sample_id)",
    """
    CREATE TABLE merged_denials (
        merge_id INTEGER NOT NULL REFERENCES merges (id) ON DELETE CASCADE,
        denial_id INTEGER NOT NULL REFERENCES denials (id) ON DELETE CASCADE,
        is_shared INTEGER NOT NULL CHECK (is_shared IN (0, 1)),
        seal INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (merge_id, denial_id)
    )""",
    "CREATE INDEX merged_denials_by_denial ON merged_denials (denial_id)",
)
