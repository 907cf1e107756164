"""File of the people of a gallery's last scan: one mean embedding for each.

It is readable by its owner only, and is wiped with the other derived files when a person is forgotten
(`facebank.gallery.derived`). Format: a magic, the SHA-256 of the pack's digest and of the embeddings, and the
embeddings as little-endian ``float32``.
"""

from __future__ import annotations

import hashlib
import logging
import stat
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery.derived import cohort_file
from facebank.storage.files import write_file
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.types import FloatArray

MAX_PEOPLE = 1000  # people in the file: those with most faces
_MAGIC = b"FBNKAP01"
_DIGEST_SIZE = 32
_HEADER_SIZE = len(_MAGIC) + 2 * _DIGEST_SIZE
_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"

_warned: set[tuple[Path, int]] = set()


def write_album_people(gallery: Path, pack_digest: str, people: FloatArray) -> None:
    """Write the mean embeddings, ``float32`` of shape ``(G, D)``, of the people of a gallery's scan.

    The first `MAX_PEOPLE` are kept. Raises `StorageError` if the file cannot be written.
    """
    data = np.ascontiguousarray(people[:MAX_PEOPLE], dtype="<f4").tobytes()
    header = _MAGIC + _pack_hash(pack_digest) + hashlib.sha256(data).digest()
    write_file(cohort_file(gallery), header + data, advice=_ADVICE)


def album_version(gallery: Path) -> int:
    """Return a number that changes with the file: its modification time in nanoseconds, 0 if there is none."""
    try:
        return cohort_file(gallery).stat().st_mtime_ns
    except OSError:
        return 0


def read_album_people(gallery: Path, pack_digest: str, dimension: int) -> FloatArray | None:
    """Return the embeddings of `write_album_people`, ``(G, dimension)``; None if there is no usable file."""
    try:
        return _read(cohort_file(gallery), pack_digest, dimension)
    except InvalidValueError:
        return None


def album_people_problem(gallery: Path, pack_digest: str, dimension: int) -> str | None:
    """Return the problem of the file and what to do, as one sentence; None if it can be used."""
    path = cohort_file(gallery)
    try:
        _read(path, pack_digest, dimension)
    except InvalidValueError as error:
        return (
            f"{printable(str(path))} {error}: until 'facebank scan' recreates it, decisions do not account for the "
            "people of the scan who are not enrolled"
        )
    return None


def warn_of_unusable_people(gallery: Path, pack_digest: str, dimension: int) -> None:
    """Log `album_people_problem` once for each process and version of the file."""
    version = cohort_file(gallery), album_version(gallery)
    problem = None if version in _warned else album_people_problem(gallery, pack_digest, dimension)
    if problem is not None:
        _warned.add(version)
        logging.getLogger("facebank").warning("%s", problem)


def _read(path: Path, pack_digest: str, dimension: int) -> FloatArray | None:
    """Return the embeddings, None without a file; raises `InvalidValueError` with the reason if it is unusable."""
    max_size = _HEADER_SIZE + MAX_PEOPLE * 4 * dimension
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not _HEADER_SIZE <= status.st_size <= max_size:
            raise InvalidValueError("is damaged")
        with path.open("rb") as stream:
            content = stream.read(max_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidValueError(f"cannot be read ({error.strerror})") from error
    header, data = content[:_HEADER_SIZE], content[_HEADER_SIZE:]
    if header[: len(_MAGIC)] != _MAGIC or header[-_DIGEST_SIZE:] != hashlib.sha256(data).digest():
        raise InvalidValueError("is damaged")
    if header[len(_MAGIC) : -_DIGEST_SIZE] != _pack_hash(pack_digest) or len(data) % (4 * dimension):
        raise InvalidValueError("is damaged, or was made with another pack")
    people: FloatArray = np.frombuffer(data, dtype="<f4").reshape(-1, dimension).astype(np.float32)
    if not np.isfinite(people).all():
        raise InvalidValueError("is damaged")
    return people


def _pack_hash(digest: str) -> bytes:
    return hashlib.sha256(digest.encode()).digest()
