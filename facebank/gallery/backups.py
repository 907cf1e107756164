"""Copies of a gallery's file: on request, and automatically before facebank changes all of it.

Automatic copies lie beside the gallery, private, and are wiped when somebody is forgotten.
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
from facebank.storage.files import PRIVATE_FILE, new_file
from facebank.storage.paths import named_path
from facebank.storage.sqlite import QUEUE
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from facebank.storage.files import Part

_WAIT = 5.0  # seconds
_AUTOMATIC = re.compile(r"\.(before-schema-[0-9]{1,6}|damaged-[0-9]{8}T[0-9]{6}Z)\.backup")
_JOURNAL_FORMAT = 18  # bytes into the file, in which SQLite says by two bytes how it is written and read
_NOT_WRITTEN = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE),
)
_COMPANION = re.compile(rf"-(wal|shm|journal)|{QUEUE}|{_AUTOMATIC.pattern}")


def back_up(connection: sqlite3.Connection, gallery: Path, target: str | os.PathLike[str]) -> Path:
    """Copy an open gallery, as of one moment, into a new file that only its owner can read.

    Raises `UsageError` (the file exists, its folder does not, or SQLite or facebank use a file of that name beside the
    gallery) or `StorageError` (it cannot be written).
    """
    place = named_path(target, "the path of the copy")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {printable(str(place.absolute().parent))} for the copy: make it first.")
    if _is_companion(place, gallery):
        raise UsageError(f"{printable(str(place))} is what a file that belongs to the gallery is called: name another.")
    try:
        with new_file(place, mode=PRIVATE_FILE, replaces=False) as part:
            _copy(connection, part)
    except FileExistsError:
        raise UsageError(f"{printable(str(place))} is there already: name another file.") from None
    except OSError as error:
        raise StorageError(f"{printable(str(place))} cannot be written: {error.strerror}.") from error
    return place


def back_up_before(gallery: Path, version: int) -> Path:
    """Copy a gallery before it is upgraded to a version, replacing an older such copy.

    The caller has begun a write transaction without changes, which keeps others from upgrading. SQLite does not copy
    through a connection that writes, so the file is opened once more.
    """
    file = itself(gallery)
    place = file.with_name(f"{file.name}.before-schema-{version}.backup")
    try:
        with new_file(place, mode=PRIVATE_FILE) as part, closing(connect(gallery, busy_timeout=_WAIT)) as source:
            _copy(source, part)
    except OSError as error:
        raise _no_room(gallery, error) from error
    return place


def keep_damaged(gallery: Path, stream: IO[bytes]) -> Path:
    """Copy a damaged gallery, byte by byte, before it is repaired."""
    file = itself(gallery)
    place = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup")
    try:
        with new_file(place, mode=PRIVATE_FILE) as part:
            stream.seek(0)
            shutil.copyfileobj(stream, part.stream)
    except OSError as error:
        raise _no_room(gallery, error) from error
    return place


def automatic_backups(gallery: Path) -> list[Path]:
    """Return the automatic copies beside a gallery, under its present name."""
    file = itself(gallery)
    try:
        beside = sorted(file.absolute().parent.iterdir())
    except OSError:
        return []
    return [
        path
        for path in beside
        if path.name.startswith(file.name)
        and _AUTOMATIC.fullmatch(path.name[len(file.name) :])
        and not path.is_symlink()
        and path.is_file()
    ]


def itself(gallery: Path) -> Path:
    """Return the file that a gallery's path leads to, if it is a link."""
    return gallery.resolve() if gallery.is_symlink() else gallery


def _is_companion(path: Path, gallery: Path) -> bool:
    """Return whether a path would be taken for a log, queue or automatic copy of the gallery, and removed."""
    return any(
        path.name.startswith(file.name)
        and _COMPANION.fullmatch(path.name[len(file.name) :]) is not None
        and path.absolute().parent.resolve() == file.absolute().parent.resolve()
        for file in (gallery, itself(gallery))
    )


def _copy(connection: sqlite3.Connection, part: Part) -> None:
    """Copy a database into an empty file."""
    with closing(connect_new(part.path)) as copy:
        try:
            connection.backup(copy)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) in _NOT_WRITTEN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
    part.stream.seek(_JOURNAL_FORMAT)
    part.stream.write(b"\x01\x01")  # a rollback journal: the copy needs no log to be read


def _no_room(gallery: Path, error: OSError) -> StorageError:
    return StorageError(
        f"The gallery {printable(str(gallery))} is not changed, because no copy of it can be put beside it "
        f"({error.strerror}): make room."
    )
