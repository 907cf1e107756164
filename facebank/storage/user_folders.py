"""Hashes, folders and writing without halves."""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from facebank.errors import StorageError, UsageError
from facebank.storage.files import write_file
from facebank.storage.paths import path_from_environment
from facebank.storage.text import printable


def packs_folder() -> Path:
    """Return the folder of installed packs: ``FACEBANK_PACKS``, else one in the user's data folder."""
    return _folder("FACEBANK_PACKS", "user_data_path", "packs")


def calibrations_folder() -> Path:
    """Return the folder of the user's own calibrations: ``FACEBANK_CALIBRATIONS``, else one in the data folder."""
    return _folder("FACEBANK_CALIBRATIONS", "user_data_path", "calibrations")


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``FACEBANK_CACHE``, else the user's cache folder."""
    return _folder("FACEBANK_CACHE", "user_cache_path", ".")


def keep_plots_out_of_home() -> None:
    """Let matplotlib keep its list of fonts in the cache folder; to be called before it is first imported.

    Where that cannot be written they are in a folder that goes with the process: without one, matplotlib makes its own
    and says so on standard error.
    """
    if "MPLCONFIGDIR" in os.environ:
        return
    folder = cache_folder() / "matplotlib"
    if not can_be_written(folder):
        try:
            temporary = tempfile.mkdtemp(prefix="facebank-")
        except OSError:
            return
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        folder = Path(temporary)
    os.environ["MPLCONFIGDIR"] = str(folder)


def can_be_written(folder: Path) -> bool:
    """Return whether files can be made in a folder; whether it could be made, where it is not there yet."""
    for there in (folder, *folder.absolute().parents):
        try:
            if there.exists():
                return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        except OSError:
            return False
    return False


def _folder(variable: str, place: str, below: str) -> Path:
    named = path_from_environment(variable)
    if named is not None:
        try:
            return named.expanduser()
        except RuntimeError as error:
            raise UsageError(f"{variable} names {printable(str(named))!r}, and there is no such home folder") from error
    import platformdirs

    found: Path = getattr(platformdirs, place)("facebank", appauthor=False)
    return found / below


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex.

    Raises
    ------
    OSError
        The file is missing, no regular file, or cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_file(path: Path) -> bool:
    """Return whether there is such a file; what no file can be called, too long a name, is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def write_atomically(target: Path, data: bytes, advice: str) -> None:
    """Write a file that is there wholly or not at all; its folder is made where missing.

    Parameters
    ----------
    target
        The file; an older one is replaced.
    data
        Its bytes.
    advice
        What the user can do when it cannot be written; ends the message.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, data)
    except OSError as error:
        raise cannot_write(target, error, advice) from error


def cannot_write(target: Path, error: OSError, advice: str) -> StorageError:
    """Say in one line what could not be written, why, and what to do."""
    reason = error.strerror or type(error).__name__
    return StorageError(f"cannot write {printable(str(target))}: {reason}; {advice}")
