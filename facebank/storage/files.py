"""Atomic writes of files and folders, and hashing.

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
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from facebank.errors import StorageError
from facebank.storage.leftovers import Lock, clean_once, lock, wipe_file
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Permissions of a file and of a folder that only their owner can read."""

SHARING = "FACEBANK_SHARE_FILES"
"""Environment variable: set to 1, new files with faces are created with ordinary permissions."""

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class PartialFile:
    """A file being written."""

    path: Path  # temporary path until the rename, for code that needs a path
    stream: IO[bytes]  # the open file, for binary reading and writing


def sha256_of(file: Path | IO[bytes]) -> str:
    """Return the SHA-256 of a regular file, or of the rest of an open one, in hex.

    Raises `OSError` if the file is missing, not a regular file, or unreadable.
    """
    if not isinstance(file, Path):
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(file))
    with file.open("rb") as stream:
        return sha256_of(stream)


def is_file(path: Path) -> bool:
    """Return whether a regular file exists; False for a name that is too long, or if its status cannot be read."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder exists; False for a name that is too long, or if its status cannot be read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def file_version(path: Path) -> tuple[int, int, int] | None:
    """Return a file's metadata that changes with its content; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def face_file_mode() -> int:
    """Return the permissions of a new file with faces, before the umask: private unless `SHARING` is set."""
    return 0o666 if _shares_files() else PRIVATE_FILE


def face_folder_mode() -> int:
    """Return the permissions of a new folder for files with faces, before the umask."""
    return 0o777 if _shares_files() else PRIVATE_FOLDER


@contextmanager
def new_file(
    target: Path,
    *,
    mode: int = PRIVATE_FILE,
    replace: bool = True,
    suffix: str = "",
    sync: bool = True,
    during_rename: AbstractContextManager[object] | None = None,
) -> Iterator[PartialFile]:
    """Write a file atomically: it appears when the ``with`` block ends, or not at all if the block fails.

    Partial files of killed processes in the same folder are removed first.

    Parameters
    ----------
    target
        The file; its folder must exist.
    mode
        Permissions of the new file, before the umask. Changes made inside the block are kept.
    replace
        Whether an existing file is replaced. If not, a file created meanwhile is not overwritten either.
    suffix
        Suffix of the temporary name, for writers that need one: a dot and up to 32 letters and digits.
    sync
        Whether bytes and name are synced to the disk on return. Without it they survive a crash of the process, but
        perhaps not of the system.
    during_rename
        Context entered when the file is complete, and left after the rename. If entering it fails, there is no file.

    Raises
    ------
    FileExistsError
        The target exists and `replace` is false.
    OSError
        The file cannot be written.
    """
    clean_once(target.parent)
    path, handle, part_lock = _create(target, mode, suffix)
    try:
        with os.fdopen(handle, "w+b") as stream:
            try:
                yield PartialFile(path, stream)
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
                with nullcontext() if during_rename is None else during_rename:
                    _publish(path, target, replace=replace)
            finally:
                _drop(path)
    finally:
        part_lock.release()
    if sync:
        sync_folder(target.parent)


def write_file(
    target: Path,
    data: bytes | memoryview,
    *,
    mode: int = PRIVATE_FILE,
    replace: bool = True,
    advice: str | None = None,
) -> None:
    """Write bytes as `new_file` does.

    With `advice` to the user, a missing folder is created, and an `OSError` becomes a `StorageError` that ends with it.
    """
    try:
        if advice is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        with new_file(target, mode=mode, replace=replace) as part:
            part.stream.write(data)
    except OSError as error:
        if advice is None:
            raise
        raise write_error(target, error, advice) from error


@contextmanager
def translate_write_errors(target: Path, advice: str) -> Iterator[None]:
    """Raise `StorageError`, with `target` and `advice`, for an `OSError` in the ``with`` block."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error, advice) from error


def write_error(target: Path, error: OSError, advice: str) -> StorageError:
    """Return the `StorageError` for a file that cannot be written, with the reason and advice."""
    reason = error.strerror or type(error).__name__
    return StorageError(f"cannot write {printable(str(target))}: {reason}; {advice}")


_ADVICE = {
    "use a shorter name": (errno.ENAMETOOLONG,),
    "free some space": (errno.ENOSPC, errno.EDQUOT),
    "name the file itself, not a link": (errno.ELOOP,),
    "check the disk and its connection": (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT),
    "close other programs": (errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
_ADVICE_ON_READING = {
    "check its permissions": (errno.EACCES, errno.EPERM),
    "check the path": (errno.ENOENT, errno.ENOTDIR),
    "name a file": (errno.EISDIR,),
}
_ADVICE_ON_WRITING = {
    "choose a folder where you may write": (errno.EACCES, errno.EPERM, errno.EROFS),
    "choose another path": (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
}


def read_reason(error: Exception) -> str:
    """Return why a file cannot be read and what to do, for a message after "X cannot be read: ".

    Errors other than `OSError` are returned as their text.

    Examples
    --------
    >>> read_reason(PermissionError(errno.EACCES, "Permission denied"))
    'Permission denied; check its permissions'
    """
    return _reason(error, _ADVICE | _ADVICE_ON_READING)


def write_reason(error: Exception) -> str:
    """Return why a file or folder cannot be created, changed or removed, and what to do; see `read_reason`."""
    return _reason(error, _ADVICE | _ADVICE_ON_WRITING)


def _reason(error: Exception, advice: Mapping[str, Collection[int]]) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    return "; ".join([error.strerror, *(text for text, numbers in advice.items() if error.errno in numbers)])


@contextmanager
def new_folder(beside: Path, *, mode: int = PRIVATE_FOLDER) -> Iterator[Path]:
    """Create a temporary folder beside a path; removed when the ``with`` block ends, unless it was renamed.

    The parent folder is created if missing; `mode` is the permissions before the umask. Raises `OSError`.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    clean_once(beside.parent)
    for _ in range(_ATTEMPTS):
        path = part_path(beside)
        path.mkdir(mode=mode)
        part_lock = lock(path)
        if part_lock is None:  # another process removed it as a leftover
            continue
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            part_lock.release()
        return
    raise FileExistsError(f"cannot create a temporary folder beside {beside}")


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to the disk, if supported."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def part_path(target: Path, suffix: str = "") -> Path:
    """Return a new temporary path beside a file, of a form that `facebank.storage.leftovers` recognizes."""
    return target.with_name(f".facebank-{os.getpid()}-{secrets.token_hex(8)}.part{suffix}")


def _create(target: Path, mode: int, suffix: str) -> tuple[Path, int, Lock]:
    for _ in range(_ATTEMPTS):
        path = part_path(target, suffix)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        part_lock = lock(path)
        if part_lock is not None:
            return path, handle, part_lock
        os.close(handle)  # another process removed it as a leftover
    raise FileExistsError(f"cannot create a temporary file beside {target}")


def _drop(path: Path) -> None:
    """Overwrite and remove a partial file; removes only the name if it has another one or is not writable."""
    try:
        wipe_file(path, also_other_names=False)
    except PermissionError:
        path.unlink(missing_ok=True)


def _publish(part: Path, target: Path, *, replace: bool) -> None:
    if replace:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)  # fails if the target exists, unlike a rename
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        target.touch(exist_ok=False)
        try:
            part.replace(target)
        except OSError:
            target.unlink(missing_ok=True)
            raise


def _shares_files() -> bool:
    return os.environ.get(SHARING, "") not in {"", "0"}
