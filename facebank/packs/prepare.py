"""Networks prepared once, kept in the user's cache, found again by hash."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from facebank.errors import PackIntegrityError
from facebank.packs.files import cache_folder, sha256_of, write_atomically
from facebank.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.packs.graph import FreeAxes

PREPARATION = 2
"""Grows whenever `facebank.packs.graph` makes something else of the same file."""

_AGAIN = "install the pack again (for the embedded one, facebank)"
_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"


def prepared_model(source: Path, sha256: str, free: FreeAxes = "batch") -> Path:
    """Return the prepared form of a network, made now if the cache has no undamaged one.

    Parameters
    ----------
    source
        The ONNX file as published; read only if the cache has none.
    sha256
        The hash that it must have.
    free
        Which axes of the input become free.

    Returns
    -------
    Path
        A file in the cache whose hash has just been checked.

    Raises
    ------
    PackIntegrityError
        The source is missing, altered, or no network that can be prepared.
    StorageError
        The cache cannot be written.

    Notes
    -----
    A cached file's name holds the source's hash, the preparation's version and the file's own hash, and it appears
    by a rename. So there is no lock: of two processes each makes the file, and either is right.
    """
    folder = cache_folder() / "prepared"
    prefix = f"{sha256[:32]}-{free}-v{PREPARATION}-"
    for cached in sorted(folder.glob(f"{prefix}*.onnx")):
        if _is_whole(cached, cached.stem.removeprefix(prefix)):
            return cached
        with contextlib.suppress(OSError):
            cached.unlink()
    return _prepare(source, sha256, free, folder / prefix)


def checked_file(path: Path, sha256: str) -> Path:
    """Return a file that has the hash it must have.

    Raises
    ------
    PackIntegrityError
        It is missing, cannot be read or differs.
    """
    if _read_hash(path) != sha256:
        raise _altered(path)
    return path


def _prepare(source: Path, sha256: str, free: FreeAxes, start: Path) -> Path:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise _unreadable(source, error) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _altered(source)
    from facebank.packs.graph import prepare_network

    prepared = prepare_network(data, free, printable(str(source)))
    target = start.with_name(f"{start.name}{hashlib.sha256(prepared).hexdigest()}.onnx")
    write_atomically(target, prepared, _ADVICE)
    for former in start.parent.glob(f"{sha256[:32]}-{free}-v*.onnx"):
        if not former.name.startswith(start.name):
            with contextlib.suppress(OSError):
                former.unlink()
    return target


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False


def _read_hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> PackIntegrityError:
    reason = error.strerror or type(error).__name__
    return PackIntegrityError(f"{printable(str(path))} cannot be read ({reason}): {_AGAIN}")


def _altered(path: Path) -> PackIntegrityError:
    return PackIntegrityError(
        f"{printable(str(path))} is partial or altered (its SHA-256 is not the one in pack.toml): {_AGAIN}"
    )
