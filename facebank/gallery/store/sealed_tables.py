"""The gallery's tables as their rows are sealed: what each column holds, and which sums are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from facebank.gallery.store.digests import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE, _REAL, _TEXT, _BYTES = Kind.WHOLE, Kind.REAL, Kind.TEXT, Kind.BYTES


@dataclass(frozen=True, slots=True)
class Part:
    """Some columns of a table whose digests are summed apart, so that they can be checked without reading the others.

    Attributes
    ----------
    columns
        The columns.
    by
        The column by whose values there is a sum each; None for one sum.
    having
        The column without whose value a row does not count; None for all rows.
    index, since
        An index that holds all of the columns, and the version that brought it: it is read in the table's place, and
        not in the order of numbers. The sum tells whether it is whole.
    """

    columns: tuple[str, ...]
    by: str | None = None
    having: str | None = None
    index: str | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are sealed: they have a digest each, in the column ``seal``.

    Attributes
    ----------
    key
        The columns that a row is known by.
    columns
        What the seal is over, and what each column holds: all but those that follow from others.
    later
        The columns that came after the table, and the version that brought each.
    parents
        The tables to whose numbers columns refer: a row is deleted with its parent.
    since
        The version that brought the table.
    by
        As in `Part`, for the sum of the seals.
    is_summed
        Whether a sum is kept at all.
    parts
        Further sums, by name.
    """

    key: tuple[str, ...]
    columns: Mapping[str, Kind]
    later: Mapping[str, int] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    since: int = 1
    by: str | None = None
    is_summed: bool = True
    parts: Mapping[str, Part] = field(default_factory=dict)

    def columns_in(self, version: int) -> tuple[str, ...]:
        """Return the columns that the table has in a version."""
        return tuple(column for column in self.columns if self.later.get(column, 0) <= version)


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "packs": Table(("id",), {"id": _WHOLE, "name": _TEXT, "digest": _TEXT, "dimension": _WHOLE}),
        "gallery": Table(
            ("id",), {"id": _WHOLE, "pack_id": _WHOLE, "revision": _WHOLE, "traces": _WHOLE}, is_summed=False
        ),
        "people": Table(
            ("id",),
            {"id": _WHOLE, "name": _TEXT, "key": _TEXT, "created_at": _TEXT, "born": _TEXT, "note": _TEXT},
            later={"born": 3, "note": 3},
            parts={"names": Part(("id", "name")), "births": Part(("id", "born"), having="born")},
        ),
        "samples": Table(
            ("id",),
            {
                "id": _WHOLE,
                "person_id": _WHOLE,
                "box": _BYTES,
                "landmarks": _BYTES,
                "detection_score": _REAL,
                "quality": _REAL,
                "source": _BYTES,
                "content_hash": _TEXT,
                "quarter_turns": _WHOLE,
                "taken_at": _TEXT,
                "enrolled_at": _TEXT,
                "masked": _WHOLE,
                "camera_dated": _WHOLE,
                "picture_hash": _TEXT,
            },
            later={"masked": 3, "camera_dated": 3, "picture_hash": 4},
            parents={"person_id": "people"},
            parts={
                "owners": Part(("id", "person_id", "quality", "masked"), by="masked", index="samples_by_owner", since=6)
            },
        ),
        "thumbnails": Table(("sample_id",), {"sample_id": _WHOLE, "jpeg": _BYTES}, parents={"sample_id": "samples"}),
        "vectors": Table(
            ("sample_id", "pack_id", "variant"),
            {"sample_id": _WHOLE, "pack_id": _WHOLE, "variant": _TEXT, "revision": _WHOLE, "vector": _BYTES},
            parents={"sample_id": "samples"},
            by="variant",
        ),
        "settings": Table(("key",), {"key": _TEXT, "value": _TEXT}),
        "denials": Table(
            ("id",),
            {
                "id": _WHOLE,
                "person_id": _WHOLE,
                "content_hash": _TEXT,
                "quarter_turns": _WHOLE,
                "box": _BYTES,
                "denied_at": _TEXT,
                "picture_hash": _TEXT,
            },
            later={"picture_hash": 4},
            parents={"person_id": "people"},
            since=2,
        ),
        "strangers": Table(
            ("id",),
            {
                "id": _WHOLE,
                "source": _BYTES,
                "content_hash": _TEXT,
                "quarter_turns": _WHOLE,
                "box": _BYTES,
                "vector": _BYTES,
                "remembered_at": _TEXT,
                "picture_hash": _TEXT,
            },
            later={"picture_hash": 4},
            since=2,
        ),
        "merges": Table(
            ("id",),
            {
                "id": _WHOLE,
                "person_id": _WHOLE,
                "batch": _WHOLE,
                "came_with": _WHOLE,
                "name": _TEXT,
                "created_at": _TEXT,
                "born": _TEXT,
                "note": _TEXT,
                "kept_born": _TEXT,
                "kept_note": _TEXT,
                "merged_at": _TEXT,
            },
            parents={"person_id": "people"},
            since=5,
        ),
        "merged_samples": Table(
            ("merge_id", "sample_id"),
            {"merge_id": _WHOLE, "sample_id": _WHOLE},
            parents={"merge_id": "merges", "sample_id": "samples"},
            since=5,
        ),
        "merged_denials": Table(
            ("merge_id", "denial_id"),
            {"merge_id": _WHOLE, "denial_id": _WHOLE, "is_shared": _WHOLE},
            parents={"merge_id": "merges", "denial_id": "denials"},
            since=5,
        ),
        "sums": Table(("name",), {"name": _TEXT, "row_count": _WHOLE, "total": _WHOLE}, since=4, is_summed=False),
    }
)
"""The tables whose rows decide, and what is sealed of them."""
