"""One scan at a time into one scan file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from facebank.errors import ScanBusyError, StorageError
from facebank.text import printable

if TYPE_CHECKING:
    from pathlib import Path


@contextmanager
def only_scan(path: Path) -> Iterator[None]:
    """Keep other processes from scanning into the same file meanwhile; a process that is killed lets go of it.

    Raises
    ------
    ScanBusyError
        Another one is scanning.
    StorageError
        Nothing can be written beside the file.
    """
    # SQLite knows how to lock a file on every system; the scan file itself must stay free for its own short locks.
    beside = path.with_name(path.name + ".lock")
    try:
        beside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(beside, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StorageError(f"the scan {printable(str(path))} cannot be made: {error.strerror}") from error
    with closing(sqlite3.connect(beside, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise ScanBusyError(
                f"another scan is writing to {printable(str(path))}: wait until it has finished, or name another file "
                "with --scan-file"
            ) from error
        try:
            yield
        finally:
            with suppress(OSError):
                beside.unlink()
