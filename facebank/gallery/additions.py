"""Rows added to a gallery since a mark, with proof that nothing else changed; call inside a transaction.

A `GalleryMark` holds the checksums and highest row numbers of one moment; row numbers are never reused. If the marked
checksum plus the digests of the newer rows equals the current checksum, the older rows are unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from facebank.gallery.samples import owners_from_blocks
from facebank.gallery.store.codec import person_names
from facebank.gallery.store.rows import Sum, added_blocks, read_sum, sum_name
from facebank.gallery.store.schema import has_seals
from facebank.gallery.vectors import added_vectors
from facebank.storage.values import integer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from facebank.gallery.samples import Owners
    from facebank.gallery.store.state import Binding
    from facebank.types import FloatArray

_OWNERS, _NAMES = sum_name("samples", "owners", 0), sum_name("people", "names")
_TABLES = ("people", "samples", "vectors")
_LAST_ROWS = f"SELECT {', '.join(f'(SELECT coalesce(max(rowid), 0) FROM {table})' for table in _TABLES)}"  # noqa: S608


class GalleryMark(NamedTuple):
    """The state of a gallery at one moment: its checksums by name, and the highest row number of each table."""

    sums: Mapping[str, Sum]
    last: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the mark as JSON data, for `from_json`."""
        return {"sums": {name: list(checksum) for name, checksum in self.sums.items()}, "last": dict(self.last)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return a mark from the output of `to_json`."""
        return cls({name: Sum(*checksum) for name, checksum in data["sums"].items()}, data["last"])


class Additions(NamedTuple):
    """The rows added to a gallery since a mark."""

    vectors: Mapping[str, tuple[NDArray[np.int64], FloatArray]]  # sample ids and embeddings by variant
    owners: Owners | None  # owners of the unmasked samples; None if other samples changed too
    names: Mapping[int, str] | None  # names by person id; None if other people changed too


def mark(connection: sqlite3.Connection, variants: Iterable[str]) -> GalleryMark | None:
    """Return the current mark for some variants; None for a file without seals, from before they were introduced."""
    if not has_seals(connection):
        return None
    names = [sum_name("vectors", group=variant) for variant in variants]
    (*last_rows,) = connection.execute(_LAST_ROWS).fetchone()
    return GalleryMark(
        {name: read_sum(connection, name) for name in (*names, _OWNERS, _NAMES)},
        dict(zip(_TABLES, map(integer, last_rows), strict=True)),
    )


def added_since(connection: sqlite3.Connection, bound: Binding, before: GalleryMark) -> Additions | None:
    """Return what was added since a mark; None if existing embeddings changed."""
    vectors = {}
    for name, checksum in before.sums.items():
        table, _, variant = name.partition(" ")
        if table == "vectors":
            added = added_vectors(connection, bound, variant, before.last[table], checksum)
            if added is None:
                return None
            vectors[variant] = added
    last, sums = before.last, before.sums
    owners = added_blocks(connection, "samples", "owners", 0, after=last["samples"], before=sums[_OWNERS])
    names = added_blocks(connection, "people", "names", after=last["people"], before=sums[_NAMES])
    return Additions(
        vectors,
        None if owners is None else owners_from_blocks(owners),
        None
        if names is None
        else {
            person_id: name
            for person_ids, texts in names
            for person_id, name in zip(person_ids.tolist(), person_names(texts), strict=True)
        },
    )
