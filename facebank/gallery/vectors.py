"""Embeddings in the gallery's tables; call inside a transaction."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from facebank.gallery.records import PLAIN, VectorTable
from facebank.gallery.samples import owners, samples_by_number
from facebank.gallery.store.codec import floats_to_bytes, unit_length, unit_rows
from facebank.gallery.store.digests import row_digests
from facebank.gallery.store.rows import (
    NOTHING,
    check_sum,
    damage_of,
    insert,
    kept_sum,
    rows_by_number,
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


_ROWS_AT_ONCE, _BYTES_AT_ONCE = 2_000, 1 << 20
_FEW = 1_000
# One SQLite row for thousands of embeddings is ten times as fast as one row each. A value of the wrong type or length
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
        raise damage_of(connection, "vectors", "its variants of embeddings differ from the recorded ones")
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


def vectors_of_sample(connection: sqlite3.Connection, bound: Binding, number: int) -> dict[str, FloatArray]:
    """Return all embeddings of a sample by variant."""
    rows = rows_by_number(connection, "vectors", "sample_id", [number], {"pack_id": bound.pack_id})
    matrix = unit_rows([row["vector"] for row in rows], bound.pack.dimension)
    return {str(row["variant"]): vector for row, vector in zip(rows, matrix, strict=True)}


def alike(
    connection: sqlite3.Connection, bound: Binding, vector: FloatArray, tolerance: float
) -> Iterator[tuple[Known, FloatArray]]:
    """Yield the samples whose plain embedding may be within a distance of a vector, with those embeddings.

    Selects by the first two components: two vectors are at least as far apart as any of their components.
    """
    first, second = first_two(vector)
    near = connection.execute(
        "SELECT sample_id FROM vectors "
        "WHERE pack_id = ? AND variant = ? AND first BETWEEN ? AND ? AND second BETWEEN ? AND ?",
        (bound.pack_id, PLAIN, first - tolerance, first + tolerance, second - tolerance, second + tolerance),
    ).fetchall()
    numbers = [integer(number) for (number,) in near]
    if numbers:
        matrix = plain_vectors_of(connection, bound, numbers)
        for sample, other in zip(samples_by_number(connection, numbers), matrix, strict=True):
            yield Known(sample.id, sample.person), other


def added_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, after: int, before: Sum
) -> tuple[NDArray[np.int64], FloatArray] | None:
    """Return sample numbers and embeddings of a variant in the rows after a given one, in the order of the rows.

    None if their digests and the checksum of the rows before do not add up to the total: other rows changed too.
    """
    ids, blocks, seen = [np.empty(0, np.int64)], [np.empty((0, bound.pack.dimension), np.float32)], before
    for numbers, matrix, digests in _blocks(connection, bound, variant, after):
        ids.append(numbers)
        blocks.append(matrix)
        seen = seen.with_digests(digests)
    if seen != kept_sum(connection, sum_name("vectors", group=variant)):
        return None
    return np.concatenate(ids), np.concatenate(blocks)


def _all_vectors(
    connection: sqlite3.Connection, bound: Binding, variant: str, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the samples among `wanted` that have an embedding of a variant, ascending, and the embeddings."""
    ids, matrix = np.empty(len(wanted), np.int64), np.empty((len(wanted), bound.pack.dimension), np.float32)
    done, seen, is_sealed = 0, NOTHING, has_seals(connection)
    try:
        with closing(_blocks(connection, bound, variant)) as blocks:
            for numbers, rows, digests in blocks:
                seen = seen.with_digests(digests)
                if not np.array_equal(numbers, wanted[done : done + len(numbers)]):
                    is_wanted = _are_among(numbers, wanted)
                    numbers, rows = numbers[is_wanted], rows[is_wanted]  # noqa: PLW2901
                ids[done : done + len(numbers)] = numbers
                matrix[done : done + len(numbers)] = rows
                done += len(numbers)
    except ValueError as error:  # also raised when there are more rows than samples
        raise damage_of(connection, "vectors", str(error)) from error
    if is_sealed:
        check_sum(connection, "vectors", None, seen, variant)
    ids, matrix = ids[:done], matrix[:done]
    if (np.diff(ids) > 0).all():
        return ids, matrix
    order = np.argsort(ids, kind="stable")
    return ids[order], matrix[order]


def _blocks(
    connection: sqlite3.Connection, bound: Binding, variant: str, after: int = _FIRST_ROW
) -> Generator[tuple[NDArray[np.int64], FloatArray, NDArray[np.int64]]]:
    """Yield sample numbers, embeddings and row digests in blocks; the caller compares the sum of the digests."""
    width = 4 * bound.pack.dimension
    for count, sample_ids, revisions, data in _stored_blocks(connection, bound, variant, after):
        numbers, written = _integers_in(sample_ids), _integers_in(revisions)
        if not len(numbers) == len(written) == count:
            raise InvalidValueError("an embedding's sample or revision is not a number")
        if len(data or b"") != count * width:
            raise InvalidValueError(f"an embedding does not have {bound.pack.dimension} numbers")
        rows = unit_length(np.frombuffer(data, dtype="<f4").reshape(count, bound.pack.dimension))
        embeddings = [data[start : start + width] for start in range(0, len(data), width)]
        yield numbers, rows, _digests(bound, variant, numbers, written, embeddings)


def _stored_blocks(
    connection: sqlite3.Connection, bound: Binding, variant: str, after: int
) -> Iterator[tuple[int, Any, Any, Any]]:
    """Yield the row count of a block, and its sample numbers, revisions and embeddings as raw SQLite values.

    A thread reads one block ahead, because reading a block takes as long as checking one.
    """
    width = 4 * bound.pack.dimension
    limit = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // width))

    def read(after: int) -> Iterator[tuple[int, Any, Any, Any]]:
        values = {"width": width, "pack": bound.pack_id, "variant": variant, "limit": limit}
        count = limit
        while count == limit:
            count, last, *columns = connection.execute(_BLOCK, {**values, "after": after}).fetchone()
            if count:
                yield count, *columns
            after = last

    blocks = read(after)
    for first in blocks:
        yield first
        if first[0] == limit:
            with closing(prefetch(blocks)) as others:
                yield from others


def _integers_in(text: str | None) -> NDArray[np.int64]:
    return np.fromstring(text or "", dtype=np.int64, sep=",")


def _holds(connection: sqlite3.Connection, bound: Binding, variant: str) -> bool:
    """Return whether any sample has, or should have, an embedding of a variant."""
    statement = "SELECT 1 FROM vectors WHERE pack_id = ? AND variant = ? LIMIT 1"
    if connection.execute(statement, (bound.pack_id, variant)).fetchone() is not None:
        return True
    return has_seals(connection) and kept_sum(connection, sum_name("vectors", group=variant)) != NOTHING


def _are_among(numbers: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which numbers occur in `wanted`, which is sorted."""
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
    """Raise for samples without a plain embedding, or embeddings without a sample, in a sealed file."""
    if has_seals(connection) and not np.array_equal(ids, wanted):
        raise damage_of(connection, "vectors", "a sample has no embedding, or more than one")


def first_two(vector: FloatArray) -> tuple[float, float]:
    """Return the first two components of an embedding, for its lookup columns."""
    return float(vector[0]), float(vector[1]) if len(vector) > 1 else 0.0
