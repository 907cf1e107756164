"""Keeping an index in step with its gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery import tables, vector_tables
from facebank.gallery.index import NO_REVISION, VectorIndex
from facebank.gallery.records import PLAIN, VectorTable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from numpy.typing import NDArray

    from facebank.gallery.index import VectorStore

_FEW = 1000  # more additions than this are read faster by reading everything


class IndexFollower:
    """An index that is brought up to date with a gallery, by what changed where that is little, else anew.

    Parameters
    ----------
    dimension
        Length of an embedding.
    make_index
        Makes an empty index of a dimension.
    """

    def __init__(self, dimension: int, make_index: Callable[[int], VectorIndex] = VectorIndex) -> None:
        self._make_index = make_index
        self._index = make_index(dimension)
        self._held = np.empty((0, 3), dtype=np.int64)

    def follow(self, connection: sqlite3.Connection, bound: tables.Binding) -> VectorIndex:
        """Return the index as the gallery is now; the caller holds a read transaction.

        Parameters
        ----------
        connection
            Inside a transaction.
        bound
            The gallery's pack.
        """
        revision = tables.revision(connection)
        if self._index.revision != revision:
            wanted = vector_tables.listing(connection, bound.pack_id)
            went_back = revision < self._index.revision
            if self._index.revision == NO_REVISION or went_back or not self._catch_up(connection, bound, wanted):
                self._index = self._make_index(bound.pack.dimension)
                self._index.add(vector_tables.vectors(connection, bound, PLAIN))
            self._held = wanted
            self._index.revision = revision
        return self._index

    def _catch_up(self, connection: sqlite3.Connection, bound: tables.Binding, wanted: NDArray[np.int64]) -> bool:
        gone = self._held[~_rows_in(self._held, wanted)]
        touched = np.unique(gone[:, 1])
        kept = self._held[~np.isin(self._held[:, 1], touched)]
        missing = wanted[~_rows_in(wanted, kept)]
        if len(missing) > _FEW:
            return False
        self._index.revision = NO_REVISION  # until the last step is done, it agrees with nothing
        replace(self._index, touched, missing_table(connection, bound, missing))
        return self._index.count == len(wanted)


def missing_table(connection: sqlite3.Connection, bound: tables.Binding, rows: NDArray[np.int64]) -> VectorTable:
    """Read the embeddings of some rows of `vector_tables.listing`."""
    return VectorTable(
        rows[:, 0].copy(), rows[:, 1].copy(), vector_tables.plain_vectors_of(connection, bound, rows[:, 0])
    )


def replace(store: VectorStore, people: NDArray[np.int64], table: VectorTable) -> None:
    """Delete the vectors of some people, then add others: all that any store need be able to do."""
    for person_id in people:
        store.delete_person(int(person_id))
    if len(table.sample_ids):
        store.add(table)


def _rows_in(rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are among the others; both in rising order of their first column, which is unique."""
    if not len(others):
        return np.zeros(len(rows), dtype=np.bool_)
    places = np.searchsorted(others[:, 0], rows[:, 0]).clip(max=len(others) - 1)
    found: NDArray[np.bool_] = (others[places] == rows).all(axis=1)
    return found
