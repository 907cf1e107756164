"""A gallery's file: transactions on it, and its cleaning."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import FacebankError, GalleryBusyError, GalleryVersionError, StorageError, UsageError
from facebank.gallery.records import Upgrade
from facebank.gallery.store import tables
from facebank.gallery.store.checked_rows import let_go
from facebank.gallery.store.connection import GALLERY_FILE
from facebank.gallery.store.schema import OLDEST_READABLE, RULES_SINCE, SCHEMA_VERSION, migrate, upgrade_changes
from facebank.storage.connections import ThreadConnections, connect, is_writable
from facebank.storage.sqlite import choose_journal, is_begun, is_on_network, transaction, writing
from facebank.storage.text import printable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from facebank.gallery.records import PackIdentity
    from facebank.storage.connections import BoundedConnection


class GalleryFile:
    """An open gallery's file, with a connection for each thread. Use `open` to make one."""

    def __init__(self, first: BoundedConnection, path: Path, *, writable: bool, patience: float) -> None:
        self.path = path
        self.writable = writable
        self.upgrade: Upgrade | None = None
        self._connections = ThreadConnections(first, partial(_open_anew, path, writable=writable, patience=patience))
        self._patience = patience

    @classmethod
    def open(
        cls, path: Path, *, new_for: PackIdentity | None = None, read_only: bool = False, busy_timeout: float
    ) -> GalleryFile:
        """Open a file, make it if asked to, check it and bring it up to date.

        Parameters
        ----------
        path
            The file.
        new_for
            The pack a new gallery is bound to; None to open only what exists.
        read_only
            Whether every change is refused.
        busy_timeout
            How long another process is waited for, in seconds.

        Raises
        ------
        GalleryNotFoundError, GalleryFormatError, GalleryVersionError, GalleryBusyError, StorageError
        """
        if new_for is not None:
            GALLERY_FILE.make_empty_file(path)
        GALLERY_FILE.check_header(path, may_be_empty=new_for is not None)
        with GALLERY_FILE.said_plainly(path):
            connection = connect(path, busy_timeout=busy_timeout)
        file = cls(connection, path, writable=is_writable(path) and not read_only, patience=busy_timeout)
        try:
            file._prepare(new_for)
        except BaseException:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Close the file for all threads; a second time does nothing."""
        with GALLERY_FILE.said_plainly(self.path):
            self._connections.close()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is reading or changing, a snapshot, say."""
        connection = self._connections.current
        return connection is not None and connection.in_transaction

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read in one transaction: everything inside is seen as it was at one moment."""
        with GALLERY_FILE.said_plainly(self.path), self._connections.use() as opened:
            if opened.in_transaction:
                yield opened
                return
            # It may be outdated where it may not be written, and others, who may, have changed it.
            connection = self._connections.renew() if opened.is_outdated() else opened
            with transaction(connection, "BEGIN"):
                yield connection
            if connection.is_outdated():
                raise GalleryBusyError(
                    f"{GALLERY_FILE.named(self.path)} was changed by another process while it was read: try again."
                )

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction: all of it is kept or, whatever goes wrong, nothing."""
        with GALLERY_FILE.said_plainly(self.path), self._connections.use() as connection:
            if connection.in_transaction:
                raise UsageError("A gallery cannot be changed while a snapshot of it is read.")
            try:
                with writing(connection, self.path, self._patience):
                    yield connection
            finally:
                let_go(connection)

    def back_up(self, target: str | os.PathLike[str]) -> Path:
        """Copy the file as it is at one moment: see `facebank.gallery.backups.back_up`."""
        from facebank.gallery.backups import back_up

        with GALLERY_FILE.said_plainly(self.path), self._connections.use() as connection:
            return back_up(connection, self.path, target)

    def wipe(self) -> bool:
        """Leave no byte of what was removed, in the file or in its log.

        ``secure_delete`` alone does not do it: where SQLite moves rows between pages, copies of them stay in the
        pages' unused parts. So the file is written anew (``VACUUM``) and its log is emptied.

        Returns
        -------
        bool
            Whether it is done; False if other processes are using the gallery.

        Raises
        ------
        StorageError
            If the disk has no room for it. The next to open the gallery for writing tries again.
        """
        with self.reading() as connection:
            traces = tables.traces(connection)
        try:
            with GALLERY_FILE.said_plainly(self.path), self._connections.use() as connection:
                connection.execute("VACUUM")
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                return False
            with self.changing() as connection:
                tables.clear_traces(connection, traces)
        except GalleryBusyError:
            return False
        except StorageError as error:
            raise StorageError(
                f"It was removed, but its bytes could not be cleaned away. {error} They go when the gallery is next "
                "opened."
            ) from error
        return True

    def _prepare(self, new_for: PackIdentity | None) -> None:
        with GALLERY_FILE.said_plainly(self.path), self._connections.use() as connection:
            if not self.writable:
                connection.execute("PRAGMA query_only = ON")
            if new_for is not None and not is_begun(connection):
                self._begin(new_for)
            if not is_begun(connection):
                raise GALLERY_FILE.empty_file_error(self.path)
            version = GALLERY_FILE.check_tables(connection, self.path)
            if version < (SCHEMA_VERSION if self.writable else OLDEST_READABLE):
                self._upgrade()
            if self.writable:
                choose_journal(connection, log=not is_on_network(self.path))
        self._finish_wiping()

    def _begin(self, pack: PackIdentity) -> None:
        with self.changing() as connection:
            if not is_begun(connection):
                migrate(connection)
                tables.begin_gallery(connection, pack)

    def _upgrade(self) -> None:
        if not self.writable:
            raise GalleryVersionError(
                f"The gallery {printable(str(self.path))} was written by an older facebank: "
                "open it once where it can be written."
            )
        from facebank.gallery.backups import back_up_before

        with self.changing() as connection:
            before = GALLERY_FILE.check_tables(connection, self.path)
            if before == SCHEMA_VERSION:  # another process was faster
                return
            backup = back_up_before(self.path, SCHEMA_VERSION)
            migrate(connection)
        changes, is_ruled_otherwise = upgrade_changes(before), before < RULES_SINCE
        self.upgrade = Upgrade(self.path, before, SCHEMA_VERSION, backup, changes, is_ruled_otherwise)

    def _finish_wiping(self) -> None:
        if not self.writable:
            return
        with self.reading() as connection:
            traces = tables.traces(connection)
        if traces:
            with suppress(FacebankError):  # it was only a second try; `inspect_gallery` tells that it is still due
                self.wipe()


def _open_anew(path: Path, *, writable: bool, patience: float) -> BoundedConnection:
    """Return a connection for another thread, or one that sees what others changed."""
    connection = connect(path, busy_timeout=patience)
    try:
        if not writable:
            connection.execute("PRAGMA query_only = ON")
        GALLERY_FILE.check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
