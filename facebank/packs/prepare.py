"""Networks prepared once, kept in the user's cache, found again by hash."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from facebank.errors import PackIntegrityError, StorageError
from facebank.storage.files import sha256_of, write_file
from facebank.storage.paths import cache_folder
from facebank.storage.text import printable

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
    start = _start_of_name(sha256, free)
    return _cached(start) or _keep(start, _prepare(source, sha256, free))


def prepared_network(source: Path, sha256: str, free: FreeAxes = "batch") -> Path | bytes:
    """Return the prepared form of a network: as `prepared_model`, or its bytes where the cache cannot be written."""
    start = _start_of_name(sha256, free)
    cached = _cached(start)
    if cached is not None:
        return cached
    prepared = _prepare(source, sha256, free)
    try:
        return _keep(start, prepared)
    except StorageError:
        return prepared  # the next run prepares it again, which costs time and nothing else


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


def _start_of_name(sha256: str, free: FreeAxes) -> Path:
    return cache_folder() / "prepared" / f"{sha256[:32]}-{free}-v{PREPARATION}-"


def _cached(start: Path) -> Path | None:
    for cached in sorted(start.parent.glob(f"{start.name}*.onnx")):
        if _is_whole(cached, cached.stem.removeprefix(start.name)):
            return cached
        with contextlib.suppress(OSError):
            cached.unlink()
    return None


def _prepare(source: Path, sha256: str, free: FreeAxes) -> bytes:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise _unreadable(source, error) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _altered(source)
    from facebank.packs.graph import prepare_network

    return prepare_network(data, free, printable(str(source)))


def _keep(start: Path, prepared: bytes) -> Path:
    target = start.with_name(f"{start.name}{hashlib.sha256(prepared).hexdigest()}.onnx")
    write_file(target, prepared, advice=_ADVICE)
    of_any_version = start.name.rpartition("-v")[0]
    for former in start.parent.glob(f"{of_any_version}-v*.onnx"):
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
