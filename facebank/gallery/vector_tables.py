"""What is asked of the embeddings' table; as `facebank.gallery.tables`, inside a transaction.

With the plus signs (``+pack_id``) SQLite reads in the order of samples; without them it takes the index of components
and has to sort afterwards, which takes five times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.gallery.codec import floats_from_bytes, floats_to_bytes, only, person_name, unit_rows, whole, wholes
from facebank.gallery.records import PLAIN, VectorTable
from facebank.gallery.schema import FACTS_SINCE, schema_version
from facebank.gallery.sealing import insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from facebank.faces import FloatArray
    from facebank.gallery.digests import Value
    from facebank.gallery.tables import Binding


_ROWS_AT_ONCE = 2_000
_OF_VARIANT = """
    SELECT {columns} FROM vectors JOIN samples ON samples.id = sample_id
    WHERE +pack_id = ? AND +variant = ?{who} ORDER BY sample_id
    """


class Known(NamedTuple):
    """A sample that is already there, as far as recognising it again needs."""

    sample_id: int
    person: str


def add_vectors(
    connection: sqlite3.Connection, sample_id: int, pack_id: int, vectors: Mapping[str, FloatArray], revision: int
) -> None:
    """Write a sample's embeddings down, by variant; `revision` is the gallery's from now on."""
    rows: list[dict[str, Value]] = []
    for variant, vector in vectors.items():
        first, second = _first_two(vector)
        rows.append(
            {
                "sample_id": sample_id,
                "pack_id": pack_id,
                "variant": variant,
                "first": first,
                "second": second,
                "revision": revision,
                "vector": floats_to_bytes(vector),
            }
        )
    insert(connection, "vectors", rows)


def variants(connection: sqlite3.Connection, pack_id: int) -> list[str]:
    """Return the variants that any sample has."""
    rows = connection.execute("SELECT DISTINCT variant FROM vectors WHERE pack_id = ? ORDER BY variant", (pack_id,))
    return [str(variant) for (variant,) in rows]


def vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, *, masked: bool | None = False
) -> VectorTable:
    """Return the embeddings of one variant, in the order of their samples; `masked` as for `rated_vectors`."""
    return rated_vectors(connection, bound, variant, masked=masked)[0]


def rated_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, *, masked: bool | None = False
) -> tuple[VectorTable, FloatArray]:
    """Return embeddings of one variant and the samples' qualities, of shape ``(N,)``; a damaged one counts as 0.

    Parameters
    ----------
    connection, bound
        Inside a transaction; the gallery's pack.
    variant
        Which embeddings.
    masked
        True for the samples that wear a mask, False for the others, None for all.
    """
    total, done = count(connection, bound.pack_id, variant), 0
    numbers, matrix = np.empty((2, total), np.int64), np.empty((total, bound.pack.dimension), np.float32)
    rated = np.empty(total, np.float32)
    rows = connection.execute(
        _OF_VARIANT.format(columns="sample_id, person_id, quality, vector", who=_who(connection, masked=masked))
        + "LIMIT ?",
        (bound.pack_id, variant, total),
    )
    while block := rows.fetchmany(_ROWS_AT_ONCE):
        filled = slice(done, done + len(block))
        sample_ids, person_ids, quality, embeddings = zip(*block, strict=True)
        numbers[0, filled], numbers[1, filled] = wholes(list(sample_ids)), wholes(list(person_ids))
        rated[filled] = _checked_qualities(quality)
        matrix[filled] = unit_rows(embeddings, bound.pack.dimension)
        done += len(block)
    return VectorTable(numbers[0, :done], numbers[1, :done], matrix[:done]), rated[:done]


def count(connection: sqlite3.Connection, pack_id: int, variant: str = PLAIN) -> int:
    """Return how many samples, masked ones among them, have an embedding of a variant."""
    return whole(
        only(connection.execute("SELECT count(*) FROM vectors WHERE pack_id = ? AND variant = ?", (pack_id, variant)))
    )


def count_masked(connection: sqlite3.Connection) -> int:
    """Return how many samples wear a mask."""
    if schema_version(connection) < FACTS_SINCE:
        return 0
    return whole(only(connection.execute("SELECT count(*) FROM samples WHERE masked = 1")))


def blocks(
    connection: sqlite3.Connection, bound: Binding, rows_at_once: int
) -> Iterator[tuple[NDArray[np.int64], FloatArray]]:
    """Yield the listing and the plain embeddings it names, in the order of their samples: so many at a time."""
    rows = connection.execute(
        _OF_VARIANT.format(columns="sample_id, person_id, revision, vector", who=_who(connection, masked=False)),
        (bound.pack_id, PLAIN),
    )
    while block := rows.fetchmany(rows_at_once):
        yield wholes([row[:3] for row in block]), unit_rows([row[3] for row in block], bound.pack.dimension)


def plain_vectors_of(connection: sqlite3.Connection, bound: Binding, numbers: Iterable[int]) -> FloatArray:
    """Return the plain embeddings of some samples, ``(N, dimension)``, in the order given."""
    rows = [
        only(
            connection.execute(
                "SELECT vector FROM vectors WHERE sample_id = ? AND pack_id = ? AND variant = ?",
                (int(number), bound.pack_id, PLAIN),
            )
        )
        for number in numbers
    ]
    return unit_rows(rows, bound.pack.dimension)


def listing(connection: sqlite3.Connection, pack_id: int) -> NDArray[np.int64]:
    """Return what the index should hold: every sample without a mask.

    Returns
    -------
    NDArray[np.int64]
        Of shape ``(N, 3)``, in the order of the samples: sample, person, revision at which its embedding was written.
    """
    rows = connection.execute(
        _OF_VARIANT.format(columns="sample_id, person_id, revision", who=_who(connection, masked=False)),
        (pack_id, PLAIN),
    ).fetchall()
    return wholes(rows).reshape(len(rows), 3)


def alike(
    connection: sqlite3.Connection, bound: Binding, vector: FloatArray, tolerance: float
) -> Iterator[tuple[Known, FloatArray]]:
    """Yield the samples whose plain embedding may be within a distance of another, and those embeddings.

    Two vectors are at least as far apart as any of their components are; the first two are looked at.
    """
    first, second = _first_two(vector)
    rows = connection.execute(
        "SELECT sample_id, people.name, vector FROM vectors JOIN samples ON samples.id = sample_id "
        "JOIN people ON people.id = person_id "
        "WHERE pack_id = ? AND variant = ? AND first BETWEEN ? AND ? AND second BETWEEN ? AND ?",
        (bound.pack_id, PLAIN, first - tolerance, first + tolerance, second - tolerance, second + tolerance),
    )
    for sample_id, person, other in rows:
        yield Known(whole(sample_id), person_name(person)), floats_from_bytes(other, (bound.pack.dimension,))


def _who(connection: sqlite3.Connection, *, masked: bool | None) -> str:
    """Return the condition on samples; galleries of an older version have no masked ones."""
    if masked is None:
        return ""
    if schema_version(connection) < FACTS_SINCE:
        return " AND 0" if masked else ""
    return f" AND masked = {int(masked)}"


def _checked_qualities(values: Iterable[Any]) -> FloatArray:
    numbers = [value if isinstance(value, (int, float)) else 0.0 for value in values]
    return np.nan_to_num(np.array(numbers, dtype=np.float32), nan=0.0).clip(0.0, 1.0)


def _first_two(vector: FloatArray) -> tuple[float, float]:
    return float(vector[0]), float(vector[1]) if len(vector) > 1 else 0.0
