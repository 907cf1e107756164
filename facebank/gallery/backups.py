"""Copies of a gallery's file: on request, and automatically before an upgrade or a repair.

Automatic copies are private files beside the gallery. Forgetting a person wipes them.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from facebank.errors import StorageError, UsageError
from facebank.storage.connections import connect, connect_new
from facebank.storage.files import PRIVATE_FILE, new_file, write_reason
from facebank.storage.paths import file_path
from facebank.storage.reserve import RESERVE_SUFFIX
from facebank.storage.sqlite import QUEUE_SUFFIX
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from facebank.storage.files import PartialFile

_BUSY_TIMEOUT = 5.0  # seconds
_AUTOMATIC = re.compile(r"\.(before-schema-[0-9]{1,6}|damaged-[0-9]{8}T[0-9]{6}Z)\.backup")
_JOURNAL_FORMAT = 18  # offset of the two bytes of SQLite's header that name the journal format
_WRITE_ERRORS = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}
_COMPANION = re.compile(rf"-(wal|shm|journal)|{QUEUE_SUFFIX}|{RESERVE_SUFFIX}|{_AUTOMATIC.pattern}")


def backup_path(gallery: Path, target: str | os.PathLike[str]) -> Path:
    """Return the path of a new copy of a gallery.

    Raises `UsageError` if the file exists, its folder is missing, or the name is reserved for files that belong to the
    gallery.
    """
    path = file_path(target, "the path of the copy")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {printable(str(path.absolute().parent))} for the copy: create it first.")
    if _is_companion(path, gallery):
        raise UsageError(f"{printable(str(path))} is a name reserved for the gallery's own files: choose another.")
    if os.path.lexists(path):
        raise _exists_error(path)
    return path


def back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Copy an open gallery, as of one moment, into a new file that only its owner can read.

    Raises `UsageError` if the file exists and `StorageError` if the copy cannot be written.
    """
    try:
        with new_file(path, mode=PRIVATE_FILE, replace=False) as part:
            _copy(connection, part)
    except FileExistsError:
        raise _exists_error(path) from None
    except OSError as error:
        raise StorageError(f"{printable(str(path))} cannot be written: {write_reason(error)}.") from error


def back_up_before(gallery: Path, version: int) -> Path:
    """Copy a gallery before it is upgraded to a version, and return the backup's path.

    Replaces an older backup of the same version. Raises `StorageError` if the backup cannot be written.

    The caller holds a write transaction without changes, which keeps other processes from upgrading. SQLite cannot copy
    through a connection that writes, so the file is opened a second time.
    """
    file = link_target(gallery)
    path = file.with_name(f"{file.name}.before-schema-{version}.backup")
    try:
        with new_file(path, mode=PRIVATE_FILE) as part, closing(connect(gallery, busy_timeout=_BUSY_TIMEOUT)) as source:
            _copy(source, part)
    except OSError as error:
        raise _backup_error(gallery, error) from error
    return path


def back_up_damaged(gallery: Path, stream: IO[bytes]) -> Path:
    """Copy a damaged gallery byte by byte before it is repaired, and return the backup's path.

    Raises `StorageError` if the backup cannot be written.
    """
    file = link_target(gallery)
    path = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup")
    try:
        with new_file(path, mode=PRIVATE_FILE) as part:
            stream.seek(0)
            shutil.copyfileobj(stream, part.stream)
    except OSError as error:
        raise _backup_error(gallery, error) from error
    return path


def automatic_backups(gallery: Path) -> list[Path]:
    """Return the automatic backups beside a gallery, found by its current name."""
    file = link_target(gallery)
    try:
        paths = sorted(file.absolute().parent.iterdir())
    except OSError:
        return []
    return [
        path
        for path in paths
        if path.name.startswith(file.name)
        and _AUTOMATIC.fullmatch(path.name[len(file.name) :])
        and not path.is_symlink()
        and path.is_file()
    ]


def link_target(gallery: Path) -> Path:
    """Return a gallery's path with a symbolic link resolved."""
    return gallery.resolve() if gallery.is_symlink() else gallery


def _is_companion(path: Path, gallery: Path) -> bool:
    """Return whether a path is reserved for a log, queue or automatic copy of the gallery, which may be removed."""
    return any(
        path.name.startswith(file.name)
        and _COMPANION.fullmatch(path.name[len(file.name) :]) is not None
        and path.absolute().parent.resolve() == file.absolute().parent.resolve()
        for file in (gallery, link_target(gallery))
    )


def _copy(connection: sqlite3.Connection, part: PartialFile) -> None:
    """Copy a database into an empty file; raises `OSError` if it cannot be written."""
    with closing(connect_new(part.path)) as copy:
        try:
            connection.backup(copy)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in _WRITE_ERRORS:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
    part.stream.seek(_JOURNAL_FORMAT)
    part.stream.write(b"\x01\x01")  # rollback journal: the copy can be read without a log


def _exists_error(path: Path) -> UsageError:
    return UsageError(f"{printable(str(path))} already exists: choose another file.")


def _backup_error(gallery: Path, error: OSError) -> StorageError:
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    advice = "free some disk space" if is_full else "check that its folder can be written"
    return StorageError(
        f"The gallery {printable(str(gallery))} was not changed, because no backup can be written beside it "
        f"({error.strerror}): {advice}."
    )
