"""Copies of a gallery's file: those that people ask for, and those that facebank makes before it changes all of it.

The latter lie beside the gallery, its owner's alone, and are wiped when somebody is forgotten: see `automatic_backups`.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from facebank.errors import StorageError, UsageError
from facebank.gallery.connection import GALLERY_FILE
from facebank.storage.files import PRIVATE_FILE, new_file
from facebank.storage.paths import named_path
from facebank.storage.sqlite import connect
from facebank.text import printable

if TYPE_CHECKING:
    import os
    from pathlib import Path

_WAIT = 5.0  # seconds
_AUTOMATIC = re.compile(r"\.(before-schema-[0-9]{1,6}|damaged-[0-9]{8}T[0-9]{6}Z)\.backup")


def back_up(connection: sqlite3.Connection, target: str | os.PathLike[str]) -> Path:
    """Copy an open gallery as it is at one moment, whoever uses it meanwhile, into a new file.

    Parameters
    ----------
    connection
        The gallery's, outside of a transaction.
    target
        The new file, which only its owner can read.

    Raises
    ------
    UsageError
        Something is there already, or the folder is not.
    StorageError
        It cannot be written.
    """
    place = named_path(target, "the path of the copy")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {printable(str(place.absolute().parent))} for the copy: make it first.")
    try:
        with new_file(place, mode=PRIVATE_FILE, replaces=False) as part, closing(sqlite3.connect(part.path)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    except FileExistsError:
        raise UsageError(f"{printable(str(place))} is there already: name another file.") from None
    except OSError as error:
        raise StorageError(f"{printable(str(place))} cannot be written: {error.strerror}.") from error
    return place


def back_up_before(gallery: Path, version: int) -> Path:
    """Copy a gallery, as it is, before it is brought up to date to a version; an older such copy is replaced.

    The caller has begun a write transaction and changed nothing in it: nobody else brings the gallery up to date
    meanwhile. SQLite copies nothing through a connection that writes, so the file is opened once more.
    """
    place = gallery.with_name(f"{gallery.name}.before-schema-{version}.backup")
    try:
        with (
            new_file(place, mode=PRIVATE_FILE) as part,
            closing(connect(gallery, busy_timeout=_WAIT)) as source,
            closing(sqlite3.connect(part.path)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    except OSError as error:
        raise _no_room(gallery, error) from error
    return place


def keep_damaged(gallery: Path) -> Path:
    """Copy a damaged gallery byte by byte, with its log, before it is repaired."""
    place = gallery.with_name(f"{gallery.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup")
    try:
        with gallery.open("rb") as stream, new_file(place, mode=PRIVATE_FILE) as part:
            shutil.copyfileobj(stream, part.stream)
    except OSError as error:
        raise _no_room(gallery, error) from error
    return place


def automatic_backups(gallery: Path) -> list[Path]:
    """Return the copies that facebank itself made beside a gallery, under its present name."""
    try:
        beside = sorted(gallery.absolute().parent.iterdir())
    except OSError:
        return []
    return [
        path
        for path in beside
        if path.name.startswith(gallery.name)
        and _AUTOMATIC.fullmatch(path.name[len(gallery.name) :])
        and not path.is_symlink()
        and path.is_file()
    ]


def _no_room(gallery: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{GALLERY_FILE.named(gallery)} is not changed, because no copy of it can be put beside it "
        f"({error.strerror}): make room."
    )
