"""Detection and removal of partial files and folders left behind by killed processes.

A leftover has a name that only facebank uses, belongs to this user, is a regular file or a folder, and is not locked by
a process. Earlier versions did not lock partial files: theirs count as leftovers after a day.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.storage.concurrency import is_at, try_flock

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCKED = re.compile(r"\.facebank-[0-9]{1,10}-[0-9a-f]{16}\.part(?:\.[A-Za-z0-9]{1,32})?")
_EARLIER_FILES = re.compile(
    r"\.facebank-[0-9a-f]{16}\.(?:part|mp4|mkv)"
    r"|\.writing-[a-z0-9_]{8}"
    r"|\.writing-[0-9]{1,10}-(?:calibration\.json|background\.npz)"
    r"|[0-9a-f]{32}\.vectors\.[a-z0-9_]{8}"
)
_EARLIER_FOLDERS = re.compile(r"\.installing-[a-z0-9_]{8}")
_EARLIER_EXPORT = re.compile(r"\..+\.[0-9a-f]{8}\.partial", re.DOTALL)
_EXPORT_NAMES = {"manifest.json", "people.jsonl", "samples.jsonl", "vectors.npz", "thumbnails.npz"}
_DAY = 86400.0  # seconds
_CLEANING_INTERVAL = 600.0  # seconds before a folder is cleaned again
_CHUNK = 16 << 20  # bytes

_cleaned_at: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that marks a file or folder as being written; `handle` is None without support for locks."""

    handle: int | None

    def release(self) -> None:
        """Release the lock."""
        if self.handle is not None:
            os.close(self.handle)


def lock(path: Path) -> Lock | None:
    """Return a lock of a file or folder until the process ends; None if another process has locked or removed it."""
    handle = _open(path)
    if handle is None:
        return Lock(None) if os.path.lexists(path) else None
    is_locked = try_flock(handle)
    if is_locked is None:
        os.close(handle)
        return Lock(None) if os.path.lexists(path) else None
    if is_locked and is_at(handle, path):
        return Lock(handle)
    os.close(handle)
    return None


def find_leftovers(folder: Path) -> list[Path]:
    """Return the leftovers in a folder, not in its subfolders; empty if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            paths = [Path(entry.path) for entry in entries if is_leftover_name(entry.name)]
    except OSError:
        return []
    return sorted(path for path in paths if _is_abandoned(path))


def remove_leftovers(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Overwrite and remove the leftovers in folders.

    Returns
    -------
    tuple[list[Path], list[Path]]
        The removed leftovers, and those that could not be removed.
    """
    removed, failed = list[Path](), list[Path]()
    for folder in dict.fromkeys(folders):
        for path in find_leftovers(folder):
            (removed if _remove(path) else failed).append(path)
    return removed, failed


def wipe_file(path: Path, *, also_other_names: bool = True) -> None:
    """Overwrite a file from its beginning, and remove it; no-op if absent.

    Parameters
    ----------
    path
        The file. Of a symbolic link, only the link is removed.
    also_other_names
        Whether a file with other hard links is overwritten; if not, only this name is removed.

    Raises
    ------
    OSError
        The file cannot be overwritten or removed.
    """
    try:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and (also_other_names or status.st_nlink == 1):
            with path.open("r+b") as file:
                remaining = status.st_size
                while remaining:
                    remaining -= file.write(bytes(min(remaining, _CHUNK)))
                    file.flush()
                os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return


def clean_once(folder: Path) -> None:
    """Remove the leftovers of a folder before a write, at most once in ten minutes."""
    now = time.monotonic()
    path = os.path.abspath(folder)  # noqa: PTH100 - resolve() would read every folder of the path
    if now - _cleaned_at.get(path, -_CLEANING_INTERVAL) >= _CLEANING_INTERVAL:
        _cleaned_at[path] = now
        remove_leftovers([folder])


def is_leftover_name(name: str) -> bool:
    """Return whether a name is that of a partial file or folder of facebank."""
    if not name.startswith(".") and ".vectors." not in name:  # fast path for nearly all files in a folder of photos
        return False
    patterns = (_LOCKED, _EARLIER_FILES, _EARLIER_FOLDERS, _EARLIER_EXPORT)
    return any(pattern.fullmatch(name) for pattern in patterns)


def _is_abandoned(path: Path) -> bool:
    """Return whether a path with a leftover's name is this user's, of the right type, and unlocked."""
    try:
        status = path.lstat()
    except OSError:
        return False
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return False
    is_folder, is_file = stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode)
    is_old = time.time() - status.st_mtime > _DAY
    if _LOCKED.fullmatch(path.name):
        return (is_folder or is_file) and _is_unlocked(path, is_old=is_old)
    if _EARLIER_FILES.fullmatch(path.name):
        return is_file and is_old
    return is_folder and is_old and (_EARLIER_FOLDERS.fullmatch(path.name) is not None or _is_export(path))


def _is_unlocked(path: Path, *, is_old: bool) -> bool:
    held = lock(path)
    if held is None:
        return False
    held.release()
    return is_old if held.handle is None else True


def _is_export(folder: Path) -> bool:
    try:
        return {entry.name for entry in folder.iterdir()} <= _EXPORT_NAMES
    except OSError:
        return False


def _remove(path: Path) -> bool:
    held = lock(path)
    if held is None:
        return not os.path.lexists(path)
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            for folder, _, names in os.walk(path):
                for name in names:
                    wipe_file(Path(folder, name), also_other_names=False)
            shutil.rmtree(path)
        else:
            wipe_file(path, also_other_names=False)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        held.release()
    return True


def _open(path: Path) -> int | None:
    """Return the handle of a file or folder, opened to lock it; None if it cannot be opened."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    for access in (os.O_RDWR, os.O_RDONLY):  # locking on a network share requires O_RDWR, which folders lack
        with suppress(OSError):
            return os.open(path, access | flags)
    return None
