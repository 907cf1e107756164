"""Atomic writes, hashes and wiping of files, and folders that appear whole or not at all.

A file is written beside its target as ``.facebank-PID-RANDOM.part`` and then renamed. Its writer holds a lock on it
that ends with the process: a part that can be locked is a leftover (`facebank.storage.leftovers`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from facebank.errors import StorageError
from facebank.storage.leftovers import Lock, clean_once, lock, wipe_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Permissions of what only its owner may read."""

SHARING = "FACEBANK_SHARE_FILES"
"""Environment variable: with 1, new files with faces in them are as readable as other new files."""

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """A file being written."""

    path: Path  # where it is until it takes its target's name, for code that writes by name
    stream: IO[bytes]  # the open file, for writing and reading in bytes


def sha256_of(file: Path | IO[bytes]) -> str:
    """Return the SHA-256 of a regular file, or of the rest of an open one, in hex.

    Raises `OSError`: the file is missing, no regular file, or cannot be read.
    """
    if not isinstance(file, Path):
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    with file.open("rb") as stream:
        return sha256_of(stream)


def is_file(path: Path) -> bool:
    """Return whether there is such a file; False also for a name too long to be one."""
    try:
        return path.is_file()
    except OSError:
        return False


def face_file_mode() -> int:
    """Return the permissions of a new file with faces in it, before the umask: private, unless `SHARING` is set."""
    return 0o666 if _shares() else PRIVATE_FILE


def face_folder_mode() -> int:
    """Return the permissions of a new folder for files with faces in them, before the umask."""
    return 0o777 if _shares() else PRIVATE_FOLDER


@contextmanager
def new_file(
    target: Path, *, mode: int = PRIVATE_FILE, replaces: bool = True, suffix: str = "", sync: bool = True
) -> Iterator[Part]:
    """Write a file that appears whole when the ``with`` block ends, or not at all if the block fails.

    Leftovers of killed processes in the same folder are removed first. An unfinished file is overwritten. Raises
    `FileExistsError` (the target exists, and `replaces` is false) or `OSError` (it cannot be written).

    Parameters
    ----------
    target
        The file; its folder must exist.
    mode
        Permissions of the new file, before the umask. Changes made inside the block stay.
    replaces
        Whether an existing file is replaced. If not, nothing is overwritten, not even a file made meanwhile.
    suffix
        End of the temporary name, a dot and up to 32 letters and digits, for writers that need one.
    sync
        Whether bytes and name are on the disk on return. Without it they survive a crash of the process, but perhaps
        not one of the system.
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


def write_file(
    target: Path,
    data: bytes | memoryview,
    *,
    mode: int = PRIVATE_FILE,
    replaces: bool = True,
    advice: str | None = None,
) -> None:
    """Write bytes as `new_file` does.

    With `advice`, what the user can do if the file cannot be written, a missing folder is made, and the error is a
    `StorageError` that ends with it.
    """
    try:
        if advice is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        with new_file(target, mode=mode, replaces=replaces) as part:
            part.stream.write(data)
    except OSError as error:
        if advice is None:
            raise
        raise cannot_write(target, error, advice) from error


@contextmanager
def writing(target: Path, advice: str) -> Iterator[None]:
    """Turn an OSError of the ``with`` block into a StorageError that names `target` and ends with `advice`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(target, error, advice) from error


def cannot_write(target: Path, error: OSError, advice: str) -> StorageError:
    """Return the error for a file that cannot be written: which, why, and what to do."""
    reason = error.strerror or type(error).__name__
    return StorageError(f"cannot write {printable(str(target))}: {reason}; {advice}")


@contextmanager
def new_folder(beside: Path, *, mode: int = PRIVATE_FOLDER) -> Iterator[Path]:
    """Make a folder beside a path; it is removed when the ``with`` block ends, unless the block has renamed it.

    The folder that holds both is made if missing; `mode` are the permissions before the umask. Raises `OSError`.
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
    """Write the names in a folder to the disk, if the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def part_name(target: Path, suffix: str = "") -> Path:
    """Return a temporary name beside a file: see `facebank.storage.leftovers`."""
    return target.with_name(f".facebank-{os.getpid()}-{secrets.token_hex(8)}.part{suffix}")


def _created(target: Path, mode: int, suffix: str) -> tuple[Path, int, Lock]:
    for _ in range(_ATTEMPTS):
        path = part_name(target, suffix)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        held = lock(path)
        if held is not None:
            return path, handle, held
        os.close(handle)  # another process took it for a leftover
    raise FileExistsError(f"no temporary file can be made beside {target}")


def _drop(path: Path) -> None:
    """Overwrite and remove an unpublished part; only its name if it has another one, or may not be written."""
    try:
        wipe_file(path, also_other_names=False)
    except PermissionError:
        path.unlink(missing_ok=True)


def _publish(part: Path, target: Path, *, replaces: bool) -> None:
    if replaces:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)  # fails if the target exists, as a rename would not
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
