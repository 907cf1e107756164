"""Schema of the gallery's tables by version: columns, seals and sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from facebank.gallery.store.digests import ColumnKind
from facebank.storage.sqlite import has_any_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

APPLICATION_ID = 0x46424E4B
"""``FBNK``: marks an SQLite file as a gallery, in bytes 68..71 of its header."""

OLDEST_READABLE = 1
"""The oldest version that can be read without an upgrade, in a file that cannot be written."""

FEEDBACK_SINCE = 2
"""The first version with the tables ``denials`` and ``strangers``."""

FACTS_SINCE = 3
"""The first version whose people have ``born`` and ``note``, and whose samples ``masked`` and ``camera_dated``."""

SEALS_SINCE = 4
"""The first version whose rows are sealed."""

MERGES_SINCE = 5
"""The first version with the table ``merges`` and those that belong to it."""

OWNERS_SINCE = 6
"""The first version with the index ``samples_by_owner``, which covers the owners of samples."""

PICTURES_SINCE = 4
"""The first version whose samples, denials and strangers have ``picture_hash``."""

RULES_SINCE = 3
"""The first version written under the current decision rules."""

_CHANGES = {
    FEEDBACK_SINCE: "it stores denied names and strangers",
    FACTS_SINCE: "it stores birth dates, whether a face wears a mask, and whether a date is from the camera",
    SEALS_SINCE: "its rows have digests that detect damage",
    MERGES_SINCE: "merges can be undone",
    OWNERS_SINCE: "it is read faster",
}


def upgrade_changes(before: int) -> tuple[str, ...]:
    """Return one clause for each version after `before`, about what is new in it."""
    return tuple(change for version, change in _CHANGES.items() if version > before)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the number of migrations applied to a file; 0 for an empty one."""
    if not has_any_table(connection):
        return 0
    (number,) = connection.execute("SELECT max(number) FROM migrations").fetchone()
    return number if isinstance(number, int) else 0


def has_seals(connection: sqlite3.Connection) -> bool:
    """Return whether the file is of a version whose rows are sealed."""
    return schema_version(connection) >= SEALS_SINCE


@dataclass(frozen=True, slots=True)
class TablePart:
    """Columns of a table whose digests are summed separately, to be checked without reading the others."""

    columns: tuple[str, ...]
    by: str | None = None  # a column: there is one sum for each of its values; None for one sum
    having: str | None = None  # a column: rows without a value in it do not count; None for all rows
    # an index that covers the columns, read instead of the table, in its own order; the sum shows whether it is
    # complete. None to read the table.
    index: str | None = None
    since: int = 0  # the version that introduced the index


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table whose rows are sealed: each has a digest in its column ``seal``."""

    key: tuple[str, ...]  # the columns that identify a row
    columns: Mapping[str, ColumnKind]  # the sealed columns and their types: all but derived ones
    # the columns newer than the table, with the version that introduced each
    later: Mapping[str, int] = field(default_factory=dict)
    # the parent tables of foreign keys: a row is deleted with its parent
    parents: Mapping[str, str] = field(default_factory=dict)
    since: int = 1  # the version that introduced the table
    by: str | None = None  # as in `TablePart`, for the sum of the seals
    is_summed: bool = True  # whether a sum is stored at all
    parts: Mapping[str, TablePart] = field(default_factory=dict)  # further sums, by name

    def columns_in(self, version: int) -> tuple[str, ...]:
        """Return the columns that the table has in a version."""
        return tuple(column for column in self.columns if self.later.get(column, 0) <= version)


def _columns(*, integer: str = "", real: str = "", text: str = "", blob: str = "") -> dict[str, ColumnKind]:
    kinds = {ColumnKind.INTEGER: integer, ColumnKind.REAL: real, ColumnKind.TEXT: text, ColumnKind.BLOB: blob}
    return {name: kind for kind, names in kinds.items() for name in names.split()}


TABLES: Mapping[str, TableSchema] = MappingProxyType(
    {
        "packs": TableSchema(("id",), _columns(integer="id dimension", text="name digest")),
        "gallery": TableSchema(("id",), _columns(integer="id pack_id revision traces"), is_summed=False),
        "people": TableSchema(
            ("id",),
            _columns(integer="id", text="name key created_at born note"),
            later={"born": FACTS_SINCE, "note": FACTS_SINCE},
            parts={"names": TablePart(("id", "name")), "births": TablePart(("id", "born"), having="born")},
        ),
        "samples": TableSchema(
            ("id",),
            _columns(
                integer="id person_id quarter_turns masked camera_dated",
                real="detection_score quality",
                text="content_hash taken_at enrolled_at picture_hash",
                blob="box landmarks source",
            ),
            later={"masked": FACTS_SINCE, "camera_dated": FACTS_SINCE, "picture_hash": PICTURES_SINCE},
            parents={"person_id": "people"},
            parts={
                "owners": TablePart(
                    ("id", "person_id", "quality", "masked"), by="masked", index="samples_by_owner", since=OWNERS_SINCE
                )
            },
        ),
        "thumbnails": TableSchema(
            ("sample_id",), _columns(integer="sample_id", blob="jpeg"), parents={"sample_id": "samples"}
        ),
        "vectors": TableSchema(
            ("sample_id", "pack_id", "variant"),
            _columns(integer="sample_id pack_id revision", text="variant", blob="vector"),
            parents={"sample_id": "samples"},
            by="variant",
        ),
        "settings": TableSchema(("key",), _columns(text="key value")),
        "denials": TableSchema(
            ("id",),
            _columns(integer="id person_id quarter_turns", text="content_hash denied_at picture_hash", blob="box"),
            later={"picture_hash": PICTURES_SINCE},
            parents={"person_id": "people"},
            since=FEEDBACK_SINCE,
        ),
        "strangers": TableSchema(
            ("id",),
            _columns(
                integer="id quarter_turns", text="content_hash remembered_at picture_hash", blob="source box vector"
            ),
            later={"picture_hash": PICTURES_SINCE},
            since=FEEDBACK_SINCE,
        ),
        "merges": TableSchema(
            ("id",),
            _columns(
                integer="id person_id batch came_with", text="name created_at born note kept_born kept_note merged_at"
            ),
            parents={"person_id": "people"},
            since=MERGES_SINCE,
        ),
        "merged_samples": TableSchema(
            ("merge_id", "sample_id"),
            _columns(integer="merge_id sample_id"),
            parents={"merge_id": "merges", "sample_id": "samples"},
            since=MERGES_SINCE,
        ),
        "merged_denials": TableSchema(
            ("merge_id", "denial_id"),
            _columns(integer="merge_id denial_id is_shared"),
            parents={"merge_id": "merges", "denial_id": "denials"},
            since=MERGES_SINCE,
        ),
        "sums": TableSchema(
            ("name",), _columns(integer="row_count total", text="name"), since=SEALS_SINCE, is_summed=False
        ),
    }
)
"""All tables but ``migrations``."""
