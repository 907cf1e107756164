"""Embeddings in the gallery's tables; inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facebank.gallery.records import PLAIN, VectorTable
from facebank.gallery.samples import owners, samples_by_number
from facebank.gallery.store.codec import floats_to_bytes, unit_rows, wholes
from facebank.gallery.store.digests import row_digests, summed
from facebank.gallery.store.rows import (
    NOTHING,
    Sum,
    check_sum,
    damage_of,
    insert,
    kept_sum,
    rows_by_number,
    sum_name,
    summed_groups,
)
from facebank.gallery.store.schema import TABLES, has_seals
from facebank.storage.values import whole

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from facebank.gallery.store.digests import Column, Value
    from facebank.gallery.store.state import Binding
    from facebank.types import FloatArray


_ROWS_AT_ONCE = 2_000
_FEW = 1_000
_OF_VARIANT = "SELECT sample_id, revision, vector FROM vectors NOT INDEXED WHERE pack_id = ? AND variant = ?"


class Known(NamedTuple):
    """An existing sample: its number and its person's name."""

    sample_id: int
    person: str


def add_vectors(
    connection: sqlite3.Connection, sample_id: int, pack_id: int, vectors: Mapping[str, FloatArray], revision: int
) -> None:
    """Add a sample's embeddings, by variant, at the gallery's next revision."""
    rows: list[dict[str, Value]] = []
    for variant, vector in vectors.items():
        first, second = first_two(vector)
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
    found = [str(variant) for (variant,) in rows]
    if has_seals(connection) and set(found) != summed_groups(connection, "vectors"):
        raise damage_of(connection, "vectors", "its embeddings are not of the variants that were written")
    return found


def rated_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, *, masked: bool | None = False
) -> tuple[VectorTable, FloatArray]:
    """Return the embeddings of one variant and the samples' qualities ``(N,)``, in the order of the samples.

    `masked` is True for samples with a mask, False for the others, None for all.
    """
    if variant != PLAIN and not _holds(connection, bound, variant):
        nothing = VectorTable(
            np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, bound.pack.dimension), np.float32)
        )
        return nothing, np.empty(0, np.float32)
    whose = owners(connection, masked=masked)
    if masked and variant == PLAIN and len(whose.sample_ids) < _FEW and has_seals(connection):
        ids, matrix = whose.sample_ids, plain_vectors_of(connection, bound, whose.sample_ids)
    else:
        ids, matrix = _all_vectors(connection, bound, variant, whose.sample_ids)
    if variant == PLAIN:
        _check_whole(connection, ids, whose.sample_ids)
    places = np.searchsorted(whose.sample_ids, ids)
    return VectorTable(ids, whose.person_ids[places], matrix), whose.qualities[places]


def plain_vectors_of(connection: sqlite3.Connection, bound: Binding, numbers: Iterable[int]) -> FloatArray:
    """Return the plain embeddings of some samples, ``(N, dimension)``, in the order given."""
    wanted = [int(number) for number in numbers]
    further: dict[str, Value] = {"pack_id": bound.pack_id, "variant": PLAIN}
    rows = {row["sample_id"]: row for row in rows_by_number(connection, "vectors", "sample_id", wanted, further)}
    if not rows.keys() >= set(wanted):
        raise damage_of(connection, "vectors", "a sample has no embedding")
    return unit_rows([rows[number]["vector"] for number in wanted], bound.pack.dimension)


def alike(
    connection: sqlite3.Connection, bound: Binding, vector: FloatArray, tolerance: float
) -> Iterator[tuple[Known, FloatArray]]:
    """Yield the samples whose plain embedding may be within a distance of another, and those embeddings.

    They are chosen by the first two components: vectors are at least as far apart as any of their components.
    """
    first, second = first_two(vector)
    near = connection.execute(
        "SELECT sample_id FROM vectors "
        "WHERE pack_id = ? AND variant = ? AND first BETWEEN ? AND ? AND second BETWEEN ? AND ?",
        (bound.pack_id, PLAIN, first - tolerance, first + tolerance, second - tolerance, second + tolerance),
    ).fetchall()
    numbers = [whole(number) for (number,) in near]
    if numbers:
        matrix = plain_vectors_of(connection, bound, numbers)
        for sample, other in zip(samples_by_number(connection, numbers), matrix, strict=True):
            yield Known(sample.id, sample.person), other


def _all_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return which of some samples have an embedding of a variant, ascending, and the embeddings."""
    ids, matrix = np.empty(len(wanted), np.int64), np.empty((len(wanted), bound.pack.dimension), np.float32)
    done, seen, is_sealed = 0, NOTHING, has_seals(connection)
    rows = connection.execute(_OF_VARIANT, (bound.pack_id, variant))
    try:
        while block := rows.fetchmany(_ROWS_AT_ONCE):
            sample_ids, revisions, embeddings = zip(*block, strict=True)
            numbers = wholes(sample_ids)
            if is_sealed:
                digests = _digests(bound, variant, numbers, wholes(revisions), embeddings)
                seen = Sum(seen.row_count + len(block), seen.total + summed(digests))
            rows_read = unit_rows(embeddings, bound.pack.dimension)
            if not np.array_equal(numbers, wanted[done : done + len(numbers)]):
                is_wanted = _are_among(numbers, wanted)
                numbers, rows_read = numbers[is_wanted], rows_read[is_wanted]
            ids[done : done + len(numbers)] = numbers
            matrix[done : done + len(numbers)] = rows_read
            done += len(numbers)
    except ValueError as error:  # more of them than samples, too
        raise damage_of(connection, "vectors", str(error)) from error
    if is_sealed:
        check_sum(connection, "vectors", None, seen, variant)
    ids, matrix = ids[:done], matrix[:done]
    if (np.diff(ids) > 0).all():
        return ids, matrix
    order = np.argsort(ids, kind="stable")
    return ids[order], matrix[order]


def _holds(connection: sqlite3.Connection, bound: Binding, variant: str) -> bool:
    """Return whether any sample has, or should have, an embedding of a variant."""
    statement = "SELECT 1 FROM vectors WHERE pack_id = ? AND variant = ? LIMIT 1"
    if connection.execute(statement, (bound.pack_id, variant)).fetchone() is not None:
        return True
    return has_seals(connection) and kept_sum(connection, sum_name("vectors", group=variant)) != NOTHING


def _are_among(numbers: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which numbers are among others, which ascend."""
    if not len(wanted):
        return np.zeros(len(numbers), dtype=np.bool_)
    found: NDArray[np.bool_] = wanted[wanted.searchsorted(numbers).clip(max=len(wanted) - 1)] == numbers
    return found


def _digests(
    bound: Binding, variant: str, sample_ids: Column, revisions: Column, embeddings: Column
) -> NDArray[np.int64]:
    return row_digests(
        "vectors",
        {"sample_id": sample_ids, "revision": revisions, "vector": embeddings},
        TABLES["vectors"].columns,
        len(sample_ids),
        {"pack_id": bound.pack_id, "variant": variant},
    )


def _check_whole(connection: sqlite3.Connection, ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> None:
    """Refuse samples without a plain embedding, and embeddings without a sample, in a sealed file."""
    if has_seals(connection) and not np.array_equal(ids, wanted):
        raise damage_of(connection, "vectors", "a sample has no embedding, or more than one")


def first_two(vector: FloatArray) -> tuple[float, float]:
    """Return the two components by which an embedding is looked up."""
    return float(vector[0]), float(vector[1]) if len(vector) > 1 else 0.0
