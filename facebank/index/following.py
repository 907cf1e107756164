"""Keeping an index in step with its gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery import vectors as vector_tables
from facebank.gallery.derived import INDEX_FILE_SETTING, index_file, wipe_derived
from facebank.gallery.records import PLAIN, VectorTable
from facebank.gallery.store import state
from facebank.index.codes import PART_SIZE
from facebank.index.index_file import IndexKey, names_token, read_index_file, write_index_file
from facebank.index.vector_index import NO_REVISION, VectorIndex

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from facebank.index.index_file import StoredIndex
    from facebank.index.vector_index import VectorStore


_FEW = 1000  # more additions than this, and than a tenth, are read faster by reading everything


class IndexFollower:
    """An index that is brought up to date with a gallery, by what changed where that is little, else anew.

    Parameters
    ----------
    dimension
        Length of an embedding.
    make_index
        Makes an empty index of a dimension; None for `VectorIndex`.
    gallery
        The gallery's file, beside which the vectors of a large index are kept; None to keep them in memory.
    """

    def __init__(
        self,
        dimension: int,
        make_index: Callable[[int], VectorIndex] | None = None,
        gallery: Path | None = None,
    ) -> None:
        self._make_index = VectorIndex if make_index is None else make_index
        self._index = self._make_index(dimension)
        self._gallery = gallery
        self._held = np.empty((0, 3), dtype=np.int64)
        self.written: IndexKey | None = None
        """The key of a file just written, until somebody keeps its token in the gallery and sets this to None."""

    def follow(self, connection: sqlite3.Connection, bound: state.Binding, *, may_write: bool = False) -> VectorIndex:
        """Return the index as the gallery is now; the caller holds a read transaction.

        Parameters
        ----------
        connection
            Inside a transaction.
        bound
            The gallery's pack.
        may_write
            Whether the vectors of a large index may be written to a file. Then look at `written`.
        """
        revision = state.revision(connection)
        if self._index.revision == revision and self._index.is_intact:
            return self._index
        usable = self._index.is_intact and NO_REVISION != self._index.revision <= revision
        if not (usable and self._catch_up(connection, bound)):
            self.let_go()
            large = vector_tables.count(connection, bound.pack_id) >= self._index.coded_from
            if not (large and self._from_file(connection, bound, revision, may_write=may_write)):
                self._index = self._make_index(bound.pack.dimension)
                wanted = vector_tables.listing(connection, bound.pack_id)
                self._index.add(vector_tables.rated_vectors(connection, bound, PLAIN)[0])
                self._held = wanted
        self._index.revision = revision
        return self._index

    def let_go(self) -> None:
        """Let go of the file, if there is one; the next call of `follow` reads everything anew."""
        if self._index.is_stored:
            self._index.close()
            self._index = self._make_index(self._index.dimension)
            self._held = self._held[:0]

    def without_file(self) -> None:
        """Let go of the file for good, and remove it."""
        self.let_go()
        if self._gallery is not None:
            wipe_derived(self._gallery)
        self._gallery = self.written = None

    def is_written(self, key: IndexKey) -> bool:
        """Return whether the file is there, and not another process's in its place."""
        return self._gallery is not None and names_token(index_file(self._gallery), key.token)

    def _from_file(
        self, connection: sqlite3.Connection, bound: state.Binding, revision: int, *, may_write: bool
    ) -> bool:
        if self._gallery is None:
            return False
        path = index_file(self._gallery)
        stored = read_index_file(path, bound.pack, state.read_setting(connection, INDEX_FILE_SETTING))
        if stored is not None and stored.key.revision <= revision:
            self._take(stored)
            forgotten = not np.isin(self._held[:, 0], vector_tables.listing(connection, bound.pack_id)[:, 0]).all()
            if not forgotten and (stored.key.revision == revision or self._catch_up(connection, bound)):
                return True
            self.let_go()
            if forgotten:  # by somebody with another cache, who could not remove this file
                wipe_derived(self._gallery)
        if not may_write:
            return False
        count = vector_tables.count(connection, bound.pack_id) - vector_tables.count_masked(connection)
        if count < self._index.coded_from:
            return False
        key = IndexKey.draw(bound.pack, revision)
        stored = write_index_file(path, key, count, vector_tables.blocks(connection, bound, PART_SIZE))
        if stored is not None:
            self._take(stored)
            self.written = key
        return stored is not None

    def _take(self, stored: StoredIndex) -> None:
        self._index = self._make_index(stored.key.dimension)
        self._index.take(stored)
        self._held = stored.listing

    def _catch_up(self, connection: sqlite3.Connection, bound: state.Binding) -> bool:
        wanted = vector_tables.listing(connection, bound.pack_id)
        gone = self._held[~_rows_in(self._held, wanted)]
        touched = np.unique(gone[:, 1])
        kept = self._held[~np.isin(self._held[:, 1], touched)]
        missing = wanted[~_rows_in(wanted, kept)]
        if len(missing) > max(_FEW, len(self._held) // 10):
            return False
        self._index.revision = NO_REVISION  # until the last step is done, it agrees with nothing
        replace(self._index, touched, missing_table(connection, bound, missing))
        self._held = wanted
        return self._index.count == len(wanted)


def missing_table(connection: sqlite3.Connection, bound: state.Binding, rows: NDArray[np.int64]) -> VectorTable:
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
