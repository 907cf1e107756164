"""A gallery's file: opening, upgrade, transactions, and wiping of removed bytes."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from enum import Enum, auto
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
from facebank.gallery.store.rows import clear_cache
from facebank.gallery.store.schema import (
    APPLICATION_ID,
    OLDEST_READABLE,
    RULES_SINCE,
    schema_version,
    upgrade_changes,
)
from facebank.storage.connections import ThreadConnections, connect, is_writable
from facebank.storage.file_systems import is_on_network
from facebank.storage.reserve import keep_reserve, release_reserve
from facebank.storage.sqlite import (
    SqliteKind,
    choose_journal,
    has_any_table,
    is_full,
    transaction,
    write_transaction,
)
from facebank.storage.text import printable

if TYPE_CHECKING:
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
    missing_advice="create it with 'facebank enroll'",
    empty_advice="enroll people with 'facebank enroll'",
    other_file_advice="name another file with --gallery",
    repair_advice="repair it with 'facebank people check --repair', or restore a backup",
)


class ReadAgainError(GalleryBusyError):
    """The file changed while it was read; reading it again from the beginning succeeds."""

    def __init__(
        self, message: str = "the gallery was changed by another process while it was read: try again"
    ) -> None:
        super().__init__(message)


class Wiping(Enum):
    """The result of wiping removed bytes; unless it is `DONE`, the next opening for writing tries again."""

    DONE = auto()
    BUSY = auto()  # other processes use the gallery
    NO_ROOM = auto()  # the disk is full


class GalleryFile:
    """An open gallery's file, with one connection per thread. Created by `open`."""

    def __init__(self, first: BoundedConnection, path: Path, *, writable: bool, busy_timeout: float) -> None:
        self.path = path
        self.writable = writable
        self.upgrade: Upgrade | None = None
        self._connections = ThreadConnections(
            first, partial(_reopen, path, writable=writable, busy_timeout=busy_timeout)
        )
        self._busy_timeout = busy_timeout
        self._keeps_reserve = False

    @classmethod
    def open(
        cls, path: Path, *, new_pack: PackIdentity | None = None, read_only: bool = False, busy_timeout: float
    ) -> GalleryFile:
        """Open a file, or create it for a pack, check it and upgrade it; see `Gallery.open`.

        SQLite needs disk space even to read: on a full disk the reserve provides it.
        """
        is_released = False
        try:
            file = cls._open(path, new_pack, read_only=read_only, busy_timeout=busy_timeout)
        except StorageError as error:
            is_released = is_full(error) and is_writable(path) and release_reserve(path)
            if not is_released:
                raise
            file = cls._open(path, new_pack, read_only=read_only, busy_timeout=busy_timeout)
        file._keeps_reserve = file.writable or is_released
        file.keep_reserve()
        return file

    @classmethod
    def _open(cls, path: Path, new_pack: PackIdentity | None, *, read_only: bool, busy_timeout: float) -> GalleryFile:
        if new_pack is not None:
            GALLERY_FILE.make_empty_file(path)
        GALLERY_FILE.check_header(path, may_be_empty=new_pack is not None)
        with GALLERY_FILE.translate_errors(path):
            connection = connect(path, busy_timeout=busy_timeout)
        file = cls(connection, path, writable=is_writable(path) and not read_only, busy_timeout=busy_timeout)
        try:
            file._prepare(new_pack)
        except BaseException:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Close the file for all threads; no-op if closed."""
        with GALLERY_FILE.translate_errors(self.path):
            self._connections.close()
        self.keep_reserve()

    def keep_reserve(self) -> None:
        """Reserve disk space for opening the file and for removals; no-op if reserved already or not possible."""
        if self._keeps_reserve:
            keep_reserve(self.path)

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in a transaction, such as a snapshot."""
        connection = self._connections.current
        return connection is not None and connection.in_transaction

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a read transaction: all reads inside are of one moment.

        Raises `ReadAgainError` at its end if the file changed meanwhile, which can happen if it is not writable.
        """
        with GALLERY_FILE.translate_errors(self.path), self._connections.use() as opened:
            if opened.in_transaction:
                yield opened
                return
            # SQLite does not notice changes by other processes in a file that is not writable here.
            connection = self._connections.renew() if opened.is_outdated() else opened
            with transaction(connection, "BEGIN"):
                yield connection
            if connection.is_outdated():
                raise ReadAgainError(
                    f"{GALLERY_FILE.named(self.path)} was changed by another process while it was read: try again."
                )

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Open a write transaction: commits when the block ends, or rolls back on an exception.

        Raises `UsageError` inside a snapshot, and `GalleryBusyError` if others are still writing after the timeout.
        """
        with GALLERY_FILE.translate_errors(self.path), self._connections.use() as connection:
            if connection.in_transaction:
                raise UsageError("A gallery cannot be changed inside a snapshot: leave the snapshot first.")
            try:
                with write_transaction(connection, self.path, self._busy_timeout):
                    yield connection
            finally:
                clear_cache(connection)

    def back_up(self, path: Path) -> None:
        """Copy the file as of one moment: see `facebank.gallery.backups.back_up`."""
        from facebank.gallery.backups import back_up

        with GALLERY_FILE.translate_errors(self.path), self._connections.use() as connection:
            back_up(connection, path)

    def read_setting(self, key: str) -> Any:
        """Return a setting's value, decoded from JSON; None if it is not set."""
        with self.reading() as connection:
            return state.read_setting(connection, key)

    def write_setting(self, key: str, value: object) -> None:
        """Set a setting to a JSON value; None removes it."""
        with self.changing() as connection:
            state.write_setting(connection, key, value)

    @contextmanager
    def temporary_files_in_memory(self) -> Iterator[None]:
        """Keep SQLite's temporary files in memory, for this thread."""
        with GALLERY_FILE.translate_errors(self.path), self._connections.use() as connection:
            connection.execute("PRAGMA temp_store = MEMORY")
            try:
                yield
            finally:
                connection.execute("PRAGMA temp_store = DEFAULT")

    def restart_log(self) -> None:
        """Checkpoint the log, so that the next change overwrites it from the beginning."""
        with GALLERY_FILE.translate_errors(self.path), self._connections.use() as connection:
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def wipe(self) -> Wiping:
        """Erase all removed bytes from the file and its log.

        ``secure_delete`` alone leaves copies in unused parts of pages, where SQLite has moved rows. So the file is
        rewritten (``VACUUM``), and its log is emptied. Raises `StorageError` if the file cannot be written.
        """
        with self.reading() as connection:
            traces = state.traces(connection)
        try:
            with GALLERY_FILE.translate_errors(self.path), self._connections.use() as connection:
                connection.execute("VACUUM")
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                return Wiping.BUSY
            with self.changing() as connection:
                state.clear_traces(connection, traces)
        except GalleryBusyError:
            return Wiping.BUSY
        except StorageError as error:
            if is_full(error):
                self._empty_log()
                return Wiping.NO_ROOM
            raise StorageError(
                f"The data was removed, but its bytes could not be erased from the file. {error} This is retried when "
                "the gallery is next opened."
            ) from error
        return Wiping.DONE

    def _empty_log(self) -> None:
        """Truncate the log, which contains removed bytes and pages that could not be written to the file."""
        with (
            suppress(FacebankError),
            GALLERY_FILE.translate_errors(self.path),
            self._connections.use() as connection,
        ):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def _prepare(self, new_pack: PackIdentity | None) -> None:
        with GALLERY_FILE.translate_errors(self.path), self._connections.use() as connection:
            if not self.writable:
                connection.execute("PRAGMA query_only = ON")
            if new_pack is not None and not has_any_table(connection):
                self._begin(new_pack)
            if not has_any_table(connection):
                raise GALLERY_FILE.empty_file_error(self.path)
            version = GALLERY_FILE.check_tables(connection, self.path)
            if version < (SCHEMA_VERSION if self.writable else OLDEST_READABLE):
                self._upgrade()
            if self.writable:
                choose_journal(connection, log=not is_on_network(self.path))
        self._finish_wiping()

    def _begin(self, pack: PackIdentity) -> None:
        with self.changing() as connection:
            if not has_any_table(connection):
                migrate(connection)
                state.begin_gallery(connection, pack)

    def _upgrade(self) -> None:
        if not self.writable:
            raise GalleryVersionError(
                f"The gallery {printable(str(self.path))} was written by an older facebank: "
                "open it once with write permission."
            )
        from facebank.gallery.backups import back_up_before

        with self.changing() as connection:
            before = GALLERY_FILE.check_tables(connection, self.path)
            if before == SCHEMA_VERSION:  # another process has upgraded it
                return
            backup = back_up_before(self.path, SCHEMA_VERSION)
            migrate(connection)
        changes, may_change_decisions = upgrade_changes(before), before < RULES_SINCE
        self.upgrade = Upgrade(self.path, before, SCHEMA_VERSION, backup, changes, may_change_decisions)

    def _finish_wiping(self) -> None:
        if not self.writable:
            return
        with self.reading() as connection:
            traces = state.traces(connection)
        if traces:
            with suppress(FacebankError):  # `inspect_gallery` reports that wiping is pending
                self.wipe()


def _reopen(path: Path, *, writable: bool, busy_timeout: float) -> BoundedConnection:
    """Return a new connection, for another thread or to see changes by other processes."""
    connection = connect(path, busy_timeout=busy_timeout)
    try:
        if not writable:
            connection.execute("PRAGMA query_only = ON")
        GALLERY_FILE.check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
