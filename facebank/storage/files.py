"""Files and folders that appear whole or not at all.

A file is written beside its target under a name that only facebank gives, ``.facebank-PID-RANDOM.part``, and then takes
the target's name. While it is written its writer holds a lock on it, which ends with the process: whoever can lock
such a file knows that nobody is going to finish it (`facebank.storage.leftovers`).
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from facebank.storage.leftovers import Lock, clean_once, lock, wipe_file

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Permissions of what its owner alone may read."""

SHARING = "FACEBANK_SHARE_FILES"
"""Variable of the environment: set to 1, new files with faces in them are as readable as other new files."""

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """A file that is being written.

    Attributes
    ----------
    path
        Where it is until it takes its target's name, for what writes by name.
    stream
        The open file, for writing and reading in bytes.
    """

    path: Path
    stream: IO[bytes]


def face_file_mode() -> int:
    """Return the permissions of a new file with faces in it, before the umask: its owner's, unless `SHARING` is set."""
    return 0o666 if _shares() else PRIVATE_FILE


def face_folder_mode() -> int:
    """Return the permissions of a new folder for files with faces in them, before the umask."""
    return 0o777 if _shares() else PRIVATE_FOLDER


@contextmanager
def new_file(
    target: Path, *, mode: int = PRIVATE_FILE, replaces: bool = True, suffix: str = "", sync: bool = True
) -> Iterator[Part]:
    """Write a file that appears whole when the ``with`` block ends, or not at all if that fails.

    Leftovers of killed processes in the same folder are removed first. What is not finished is overwritten.

    Parameters
    ----------
    target
        The file; its folder must be there.
    mode
        Permissions of the new file, before the umask. What the block changes about them stays.
    replaces
        Whether a file that is there is replaced. Where not, nothing is overwritten, also if it comes there meanwhile.
    suffix
        What the temporary name ends with, a dot and up to 32 letters and digits, for writers that look at that.
    sync
        Whether the bytes and the name are on the disk when it returns; without it they are after a crash of the
        process, but perhaps not after one of the system.

    Yields
    ------
    Part
        The file to write.

    Raises
    ------
    FileExistsError
        Something is there, and `replaces` is false.
    OSError
        It cannot be written.
    """
    clean_once(target.parent)
    path, handle, held = _created(target, mode, suffix)
    try:
        with os.fdopen(handle, "w+b") as stream:
            try:
                yield Part(path, stream)
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
                _publish(path, target, replaces=replaces)
            finally:
                _drop(path)
    finally:
        held.release()
    if sync:
        sync_folder(target.parent)


def write_file(target: Path, data: bytes | memoryview, *, mode: int = PRIVATE_FILE, replaces: bool = True) -> None:
    """Write bytes as `new_file` does."""
    with new_file(target, mode=mode, replaces=replaces) as part:
        part.stream.write(data)


@contextmanager
def new_folder(beside: Path, *, mode: int = PRIVATE_FOLDER) -> Iterator[Path]:
    """Make a folder that is removed when the ``with`` block ends, unless the block has given it another name.

    Parameters
    ----------
    beside
        The file or folder that it is made beside; the folder that holds both is made where missing.
    mode
        Permissions of the new folder, before the umask.

    Raises
    ------
    OSError
        It cannot be made.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    clean_once(beside.parent)
    for _ in range(_ATTEMPTS):
        path = part_name(beside)
        path.mkdir(mode=mode)
        held = lock(path)
        if held is None:  # another process took it for a leftover
            continue
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            held.release()
        return
    raise FileExistsError(f"no temporary folder can be made beside {beside}")


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _created(target: Path, mode: int, suffix: str) -> tuple[Path, int, Lock]:
    for _ in range(_ATTEMPTS):
        path = part_name(target, suffix)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        held = lock(path)
        if held is not None:
            return path, handle, held
        os.close(handle)  # another process took it for a leftover
    raise FileExistsError(f"no temporary file can be made beside {target}")


def part_name(target: Path, suffix: str = "") -> Path:
    """Return a name beside a file for what is to take its place: see `facebank.storage.leftovers`."""
    return target.with_name(f".facebank-{os.getpid()}-{secrets.token_hex(8)}.part{suffix}")


def _drop(path: Path) -> None:
    """Overwrite and remove what was not published; only the name goes where there is another one or no permission."""
    try:
        wipe_file(path, also_other_names=False)
    except PermissionError:
        path.unlink(missing_ok=True)


def _publish(part: Path, target: Path, *, replaces: bool) -> None:
    if replaces:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)  # fails where anything is there, as a rename would not
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        target.touch(exist_ok=False)
        try:
            part.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _shares() -> bool:
    return os.environ.get(SHARING, "") not in {"", "0"}
