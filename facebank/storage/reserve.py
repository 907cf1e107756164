"""Disk space reserved beside a file, and released when the disk is full to make room for shrinking the file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_SUFFIX = "-reserve"
"""Suffix of the file that reserves the space."""

_SIZE = 512 * 1024  # the index of SQLite's log, and the pages of the largest sample


def keep_reserve(path: Path) -> None:
    """Reserve space beside an existing file, as far as available; no-op if reserved already or impossible."""
    reserve = _reserve_of(path)
    with suppress(OSError):
        if not path.exists() or (os.path.lexists(reserve) and reserve.lstat().st_size >= _SIZE):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(reserve, flags, 0o600)
        try:
            missing = _SIZE - os.fstat(handle).st_size
            while missing > 0:
                missing -= os.write(handle, os.urandom(missing))  # incompressible
        finally:
            os.close(handle)


def release_reserve(path: Path) -> bool:
    """Release the reserved space, and return whether there was any."""
    reserve = _reserve_of(path)
    try:
        size = reserve.lstat().st_size
        reserve.unlink()
    except OSError:
        return False
    return size > 0


def _reserve_of(path: Path) -> Path:
    file = path.resolve() if path.is_symlink() else path
    return file.with_name(file.name + RESERVE_SUFFIX)
