"""Removal of rows from a gallery whose disk may be full: with the reserve file, in one transaction or in steps."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from facebank.errors import GalleryBusyError, StorageError
from facebank.gallery import mirrors, people
from facebank.gallery.store import state
from facebank.gallery.store.rows import delete
from facebank.storage.reserve import release_reserve
from facebank.storage.sqlite import is_full

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from facebank.gallery.places import GalleryPlaces
    from facebank.gallery.store.file import GalleryFile

_ROWS_PER_STEP = 16
_TABLES_OF_PERSON = ("samples", "denials")


class RemovalResult(NamedTuple):
    """The number of removed samples, and the removed derived files."""

    sample_count: int  # removed samples
    wiped: tuple[Path, ...] = ()  # derived files that were removed to free space


class Removal:
    """Removes rows from an open gallery, on a full disk too.

    Parameters
    ----------
    file, places
        The gallery's file, and the files derived from it.
    begin_change
        Opens a write transaction of the gallery, and yields its connection.
    """

    def __init__(
        self,
        file: GalleryFile,
        places: GalleryPlaces,
        begin_change: Callable[[], AbstractContextManager[sqlite3.Connection]],
    ) -> None:
        self._file = file
        self._places = places
        self._begin_change = begin_change

    def run(self, change: Callable[[sqlite3.Connection], int], names: Sequence[str] = ()) -> RemovalResult:
        """Run a change that removes rows in one transaction and returns the number of removed samples.

        If the disk is full, the reserve is released and derived files are removed. If that is not enough, the samples
        and denials of the people in `names`, who are being removed, are deleted a few at a time before the change: a
        process killed meanwhile leaves these people with fewer samples. Raises `StorageError` if the disk remains full.
        """
        try:
            return RemovalResult(self._run_with_retry(change))
        except StorageError as error:
            if not is_full(error):
                raise
        release_reserve(self._file.path)
        wiped = tuple(self._places.wipe_derived())
        try:
            return RemovalResult(self._run_with_retry(change), wiped)
        except StorageError as error:
            if not is_full(error) or not names:
                raise
        with self._file.temporary_files_in_memory():
            samples = sum(self._remove_rows_of(name) for name in names)
            return RemovalResult(samples + self._run_with_retry(change), wiped)

    def _run_with_retry(self, change: Callable[[sqlite3.Connection], int]) -> int:
        """Run a change, a second time if another process has turned the freed space into a new reserve."""
        try:
            with self._begin_change() as connection:
                return change(connection)
        except StorageError as error:
            if not is_full(error) or not release_reserve(self._file.path):
                raise
        with self._begin_change() as connection:
            return change(connection)

    def _remove_rows_of(self, name: str) -> int:
        """Remove a person's samples and denials in steps that fit on the disk; returns the number of samples."""
        removed, limit = 0, _ROWS_PER_STEP
        for table in _TABLES_OF_PERSON:
            while True:
                self._restart_log()
                try:
                    count = self._run_with_retry(lambda connection: _remove_rows(connection, name, table, limit))  # noqa: B023
                except StorageError as error:
                    if not is_full(error) or limit == 1:
                        raise
                    limit = limit // 2
                    continue
                if not count:
                    break
                removed += count if table == "samples" else 0
        self._restart_log()
        return removed

    def _restart_log(self) -> None:
        with suppress(StorageError, GalleryBusyError):
            self._file.restart_log()


def _remove_rows(connection: sqlite3.Connection, name: str, table: str, limit: int) -> int:
    person_id = people.find(connection, name).id
    rows = connection.execute(
        f"SELECT id FROM {table} NOT INDEXED WHERE person_id = ? LIMIT ?",  # noqa: S608 - constants
        (person_id, limit),
    ).fetchall()
    if rows:
        delete(connection, table, "id", [row_id for (row_id,) in rows])
        people.drop_empty_merges(connection)
        state.advance(connection)
        state.note_traces(connection)
        mirrors.require_cleaning(connection)
    return len(rows)
