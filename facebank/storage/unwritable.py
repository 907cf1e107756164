"""SQLite files that are only read because they, or their folder, may not be written.

A file in WAL mode needs a companion, ``-shm``, which cannot be made there. So it is read with the companion of whoever
writes it, else as it is, else, where changes lie beside it in ``-wal``, through a copy in memory.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

from facebank.errors import StorageError
from facebank.storage.guarded import (
    BoundedConnection,
    FileId,
    appearance,
    copied_to_memory,
    file_id,
    is_filled,
    is_open_here,
    open_guarded,
)
from facebank.storage.text import printable

_read_modes: dict[FileId, bool] = {}

_LARGEST_COPY = 1 << 30
_ATTEMPTS = 3
_WRITTEN_IN_WAL_MODE = 18
"""The byte of the header that is 2 in WAL mode."""


def open_unwritable(path: Path, busy_timeout: float) -> BoundedConnection:
    """Open a file that may not be written; nothing is written beside it either.

    Parameters
    ----------
    path
        The file.
    busy_timeout
        How long another process is waited for, in seconds.

    Raises
    ------
    StorageError
        Changes beside the file cannot be read: it is too large to be copied, or there is no room.
    sqlite3.Error
        It cannot be opened.
    """
    if not _is_in_wal_mode(path):
        return open_guarded(path, "ro", busy_timeout)
    if path.with_name(path.name + "-shm").exists():
        with suppress(sqlite3.OperationalError):  # somebody else's, who does not let us read it
            return _readable(open_guarded(path, "ro", busy_timeout))
    for _ in range(_ATTEMPTS):
        looks = appearance(path)
        connection = _copied(path) if is_filled(path, "-wal") else open_guarded(path, "ro&immutable=1", busy_timeout)
        if looks is not None and looks == appearance(path):
            connection.bound_by(path)
            connection.read_as = looks
            return connection
        connection.close()
    raise StorageError(f"{printable(str(path))} is being changed by another process: try again in a moment.")


def _readable(connection: BoundedConnection) -> BoundedConnection:
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_in_wal_mode(path: Path) -> bool:
    identity = file_id(path)
    if identity in _read_modes and is_open_here(path):
        return _read_modes[identity]  # reading it would let go of this process's locks on it
    with path.open("rb") as file:
        _read_modes[identity] = file.read(20)[_WRITTEN_IN_WAL_MODE:] == b"\2\2"
    return _read_modes[identity]


def _copied(path: Path) -> BoundedConnection:
    """Return a connection to a copy in memory, with the changes that lie beside the file."""
    parts = [path, path.with_name(path.name + "-wal")]
    refusal = (
        f"{printable(str(path))} has changes beside it, in {printable(parts[1].name)}, and its folder may not be "
        "written"
    )
    if sum(part.stat().st_size for part in parts) > _LARGEST_COPY:
        raise StorageError(f"{refusal}: open it once where it may be written.")
    try:
        with tempfile.TemporaryDirectory(prefix="facebank-") as folder:  # only its owner can look into it
            for part in parts:
                shutil.copyfile(part, Path(folder) / part.name)
            return copied_to_memory(open_guarded(Path(folder) / path.name, "rw", 1.0))
    except OSError as error:
        raise StorageError(f"{refusal}; a copy cannot be made either: {error.strerror}.") from error
