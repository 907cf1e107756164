"""Embeddings in the gallery's tables; call inside a transaction. Damage raises `InvalidValueError`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.gallery.records import PLAIN, VectorTable
from facebank.gallery.samples import owners, samples_by_id
from facebank.gallery.store.codec import floats_to_bytes, unit_length, unit_rows
from facebank.gallery.store.digests import row_digests
from facebank.gallery.store.rows import (
    EMPTY_SUM,
    check_sum,
    damage_of,
    insert,
    read_sum,
    rows_by_id,
    sum_name,
    summed_groups,
)
from facebank.gallery.store.schema import TABLES, has_seals
from facebank.storage.concurrency import prefetch
from facebank.storage.values import InvalidValueError, integer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from facebank.gallery.store.digests import Column, Value
    from facebank.gallery.store.rows import Sum
    from facebank.gallery.store.state import Binding
    from facebank.types import FloatArray


_ROWS_PER_BLOCK, _BYTES_PER_BLOCK = 2_000, 1 << 20
_MAX_LOOKUPS = 1_000
# One SQLite row for thousands of embeddings is read much faster than one row each. A value of the wrong type or length
# becomes NULL, which group_concat skips; the shortfall is detected.
_BLOCK = """
    SELECT count(*), max(place), group_concat(sample_id), group_concat(revision), CAST(group_concat(vector, '') AS BLOB)
    FROM (
        SELECT rowid AS place,
            CASE typeof(sample_id) WHEN 'integer' THEN sample_id END AS sample_id,
            CASE typeof(revision) WHEN 'integer' THEN revision END AS revision,
            CASE WHEN typeof(vector) = 'blob' AND length(vector) = :width THEN vector END AS vector
        FROM vectors NOT INDEXED
        WHERE rowid > :after AND pack_id = :pack AND variant = :variant ORDER BY rowid LIMIT :limit)"""
_FIRST_ROW = -(1 << 63)


class SampleOwner(NamedTuple):
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
    names = [str(variant) for (variant,) in rows]
    if has_seals(connection) and set(names) != summed_groups(connection, "vectors"):
        raise damage_of(connection, "vectors", "its variants of embeddings differ from the recorded ones")
    return names


def rated_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, *, masked: bool | None = False
) -> tuple[VectorTable, FloatArray]:
    """Return the embeddings of one variant and the samples' qualities, 0..1, ``(N,)``, in the order of the samples.

    `masked` is True for samples with a mask, False for the others, None for all.
    """
    if variant != PLAIN and not _has_variant(connection, bound, variant):
        empty = VectorTable(
            np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, bound.pack.dimension), np.float32)
        )
        return empty, np.empty(0, np.float32)
    owned = owners(connection, masked=masked)
    if masked and variant == PLAIN and len(owned.sample_ids) < _MAX_LOOKUPS and has_seals(connection):
        ids, matrix = owned.sample_ids, plain_vectors_of(connection, bound, owned.sample_ids)
    else:
        ids, matrix = _all_vectors(connection, bound, variant, owned.sample_ids)
    if variant == PLAIN:
        _check_complete(connection, ids, owned.sample_ids)
    rows = np.searchsorted(owned.sample_ids, ids)
    return VectorTable(ids, owned.person_ids[rows], matrix), owned.qualities[rows]


def plain_vectors_of(connection: sqlite3.Connection, bound: Binding, sample_ids: Iterable[int]) -> FloatArray:
    """Return the plain embeddings of the given samples, ``(N, dimension)``, in their order."""
    ordered = [int(sample_id) for sample_id in sample_ids]
    extra: dict[str, Value] = {"pack_id": bound.pack_id, "variant": PLAIN}
    rows = {row["sample_id"]: row for row in rows_by_id(connection, "vectors", "sample_id", ordered, extra)}
    if not rows.keys() >= set(ordered):
        raise damage_of(connection, "vectors", "a sample has no embedding")
    return unit_rows([rows[sample_id]["vector"] for sample_id in ordered], bound.pack.dimension)


def vectors_of_sample(connection: sqlite3.Connection, bound: Binding, sample_id: int) -> dict[str, FloatArray]:
    """Return all embeddings of a sample by variant."""
    rows = rows_by_id(connection, "vectors", "sample_id", [sample_id], {"pack_id": bound.pack_id})
    matrix = unit_rows([row["vector"] for row in rows], bound.pack.dimension)
    return {str(row["variant"]): vector for row, vector in zip(rows, matrix, strict=True)}


def nearby_samples(
    connection: sqlite3.Connection, bound: Binding, vector: FloatArray, tolerance: float
) -> Iterator[tuple[SampleOwner, FloatArray]]:
    """Yield the samples whose plain embedding may be within a distance of a given one, with those embeddings.

    Selects by the first two components: two vectors are at least as far apart as any of their components.
    """
    first, second = first_two(vector)
    rows = connection.execute(
        "SELECT sample_id FROM vectors "
        "WHERE pack_id = ? AND variant = ? AND first BETWEEN ? AND ? AND second BETWEEN ? AND ?",
        (bound.pack_id, PLAIN, first - tolerance, first + tolerance, second - tolerance, second + tolerance),
    ).fetchall()
    sample_ids = [integer(sample_id) for (sample_id,) in rows]
    if sample_ids:
        matrix = plain_vectors_of(connection, bound, sample_ids)
        for sample, candidate in zip(samples_by_id(connection, sample_ids), matrix, strict=True):
            yield SampleOwner(sample.id, sample.person), candidate


def added_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, after: int, before: Sum
) -> tuple[NDArray[np.int64], FloatArray] | None:
    """Return sample ids and embeddings of a variant in the rows after a given one, in the order of the rows.

    None if their digests and the checksum of the rows before do not add up to the total: other rows changed too.
    """
    ids, blocks, total = [np.empty(0, np.int64)], [np.empty((0, bound.pack.dimension), np.float32)], before
    for sample_ids, matrix, digests in _blocks(connection, bound, variant, after):
        ids.append(sample_ids)
        blocks.append(matrix)
        total = total.with_digests(digests)
    if total != read_sum(connection, sum_name("vectors", group=variant)):
        return None
    return np.concatenate(ids), np.concatenate(blocks)


def _all_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the samples among `wanted` that have an embedding of a variant, ascending, and the embeddings."""
    ids, matrix = np.empty(len(wanted), np.int64), np.empty((len(wanted), bound.pack.dimension), np.float32)
    filled, total, is_sealed = 0, EMPTY_SUM, has_seals(connection)
    try:
        with closing(_blocks(connection, bound, variant)) as blocks:
            for sample_ids, rows, digests in blocks:
                total = total.with_digests(digests)
                if not np.array_equal(sample_ids, wanted[filled : filled + len(sample_ids)]):
                    is_wanted = _is_among(sample_ids, wanted)
                    sample_ids, rows = sample_ids[is_wanted], rows[is_wanted]  # noqa: PLW2901
                ids[filled : filled + len(sample_ids)] = sample_ids
                matrix[filled : filled + len(sample_ids)] = rows
                filled += len(sample_ids)
    except ValueError as error:  # also raised when there are more rows than samples
        raise damage_of(connection, "vectors", str(error)) from error
    if is_sealed:
        check_sum(connection, "vectors", None, total, variant)
    ids, matrix = ids[:filled], matrix[:filled]
    if (np.diff(ids) > 0).all():
        return ids, matrix
    order = np.argsort(ids, kind="stable")
    return ids[order], matrix[order]


def _blocks(
    connection: sqlite3.Connection, bound: Binding, variant: str, after: int = _FIRST_ROW
) -> Generator[tuple[NDArray[np.int64], FloatArray, NDArray[np.int64]]]:
    """Yield sample ids, embeddings and row digests in blocks; the caller compares the sum of the digests."""
    width = 4 * bound.pack.dimension
    for count, sample_ids, revisions, data in _stored_blocks(connection, bound, variant, after):
        ids, row_revisions = _parse_integers(sample_ids), _parse_integers(revisions)
        if not len(ids) == len(row_revisions) == count:
            raise InvalidValueError("an embedding's sample or revision is not a number")
        if len(data or b"") != count * width:
            raise InvalidValueError(f"an embedding does not have {bound.pack.dimension} numbers")
        rows = unit_length(np.frombuffer(data, dtype="<f4").reshape(count, bound.pack.dimension))
        embeddings = [data[start : start + width] for start in range(0, len(data), width)]
        yield ids, rows, _digests(bound, variant, ids, row_revisions, embeddings)


def _stored_blocks(
    connection: sqlite3.Connection, bound: Binding, variant: str, after: int
) -> Iterator[tuple[int, Any, Any, Any]]:
    """Yield the row count of a block, and its sample ids, revisions and embeddings as raw SQLite values.

    A thread reads one block ahead, because reading a block takes as long as checking one.
    """
    width = 4 * bound.pack.dimension
    limit = max(1, min(_ROWS_PER_BLOCK, _BYTES_PER_BLOCK // width))

    def read(after: int) -> Iterator[tuple[int, Any, Any, Any]]:
        values = {"width": width, "pack": bound.pack_id, "variant": variant, "limit": limit}
        count = limit
        while count == limit:
            count, last, *columns = connection.execute(_BLOCK, {**values, "after": after}).fetchone()
            if count:
                yield count, *columns
            after = last

    blocks = read(after)
    for block in blocks:
        yield block
        if block[0] == limit:
            with closing(prefetch(blocks)) as later_blocks:
                yield from later_blocks


def _parse_integers(text: str | None) -> NDArray[np.int64]:
    return np.fromstring(text or "", dtype=np.int64, sep=",")


def _has_variant(connection: sqlite3.Connection, bound: Binding, variant: str) -> bool:
    """Return whether any sample has, or should have, an embedding of a variant."""
    statement = "SELECT 1 FROM vectors WHERE pack_id = ? AND variant = ? LIMIT 1"
    if connection.execute(statement, (bound.pack_id, variant)).fetchone() is not None:
        return True
    return has_seals(connection) and read_sum(connection, sum_name("vectors", group=variant)) != EMPTY_SUM


def _is_among(numbers: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which numbers occur in `wanted`, which is sorted."""
    if not len(wanted):
        return np.zeros(len(numbers), dtype=np.bool_)
    matches: NDArray[np.bool_] = wanted[wanted.searchsorted(numbers).clip(max=len(wanted) - 1)] == numbers
    return matches


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


def _check_complete(connection: sqlite3.Connection, ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> None:
    """Raise for samples without a plain embedding, or embeddings without a sample, in a sealed file."""
    if has_seals(connection) and not np.array_equal(ids, wanted):
        raise damage_of(connection, "vectors", "a sample has no embedding, or more than one")


def first_two(vector: FloatArray) -> tuple[float, float]:
    """Return the first two components of an embedding, for its lookup columns."""
    return float(vector[0]), float(vector[1]) if len(vector) > 1 else 0.0
