"""A gallery's file: opened, upgraded, read and changed in transactions, and cleaned."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebank.errors import (
    FacebankError,
    GalleryBusyError,
    GalleryFormatError,
    GalleryNotFoundError,
    GalleryVersionError,
    StorageError,
    UsageError,
)
from facebank.gallery.records import Upgrade
from facebank.gallery.store import state
from facebank.gallery.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate
from facebank.gallery.store.rows import let_go
from facebank.gallery.store.schema import (
    APPLICATION_ID,
    OLDEST_READABLE,
    RULES_SINCE,
    schema_version,
    upgrade_changes,
)
from facebank.storage.connections import ThreadConnections, connect, is_writable
from facebank.storage.sqlite import SqliteKind, choose_journal, is_begun, is_on_network, transaction, writing
from facebank.storage.text import printable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from facebank.gallery.records import PackIdentity
    from facebank.storage.connections import BoundedConnection


def _build(connection: sqlite3.Connection, version: int) -> None:
    migrate(connection, MIGRATIONS[:version])


GALLERY_FILE = SqliteKind(
    noun="gallery",
    application_id=APPLICATION_ID,
    newest=SCHEMA_VERSION,
    build=_build,
    version=schema_version,
    version_table="migrations",
    missing_error=GalleryNotFoundError,
    format_error=GalleryFormatError,
    version_error=GalleryVersionError,
    busy_error=GalleryBusyError,
    missing="`facebank enroll` makes it",
    empty="`facebank enroll` puts people into it",
    another="name another file with --gallery",
    repair="`facebank people check --repair` mends what it can, or restore a copy",
)


class GalleryFile:
    """An open gallery's file, with one connection per thread. Use `open` to get one."""

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
        """Open a file, or make it for a pack, check it and upgrade it; the rest is as for `Gallery.open`."""
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
        """Close the file for all threads; no-op if closed."""
        with GALLERY_FILE.said_plainly(self.path):
            self._connections.close()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in a transaction, such as a snapshot."""
        connection = self._connections.current
        return connection is not None and connection.in_transaction

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read in one transaction: everything inside is seen as of one moment."""
        with GALLERY_FILE.said_plainly(self.path), self._connections.use() as opened:
            if opened.in_transaction:
                yield opened
                return
            # A file that may not be written here may have been changed by others unnoticed by SQLite.
            connection = self._connections.renew() if opened.is_outdated() else opened
            with transaction(connection, "BEGIN"):
                yield connection
            if connection.is_outdated():
                raise GalleryBusyError(
                    f"{GALLERY_FILE.named(self.path)} was changed by another process while it was read: try again."
                )

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction: all of it is kept, or nothing if anything fails."""
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

    def read_setting(self, key: str) -> Any:
        """Return a setting's value, as JSON gives it; None if it is not set."""
        with self.reading() as connection:
            return state.read_setting(connection, key)

    def write_setting(self, key: str, value: object) -> None:
        """Set a setting to a value that JSON can hold; None removes it."""
        with self.changing() as connection:
            state.write_setting(connection, key, value)

    def wipe(self) -> bool:
        """Erase every byte of what was removed, from the file and its log.

        ``secure_delete`` alone leaves copies in unused parts of pages, where SQLite has moved rows. So the file is
        written anew (``VACUUM``), and its log is emptied. Raises `StorageError`: the disk has no room for it. The next
        opening of the gallery for writing tries again.

        Returns
        -------
        bool
            Whether it is done; False if other processes use the gallery.
        """
        with self.reading() as connection:
            traces = state.traces(connection)
        try:
            with GALLERY_FILE.said_plainly(self.path), self._connections.use() as connection:
                connection.execute("VACUUM")
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                return False
            with self.changing() as connection:
                state.clear_traces(connection, traces)
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
                state.begin_gallery(connection, pack)

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
            traces = state.traces(connection)
        if traces:
            with suppress(FacebankError):  # `inspect_gallery` reports that it is still due
                self.wipe()


def _open_anew(path: Path, *, writable: bool, patience: float) -> BoundedConnection:
    """Return a connection for another thread, or one that sees the changes of others."""
    connection = connect(path, busy_timeout=patience)
    try:
        if not writable:
            connection.execute("PRAGMA query_only = ON")
        GALLERY_FILE.check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
