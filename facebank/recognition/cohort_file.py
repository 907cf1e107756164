"""The people of a gallery's scan, one mean embedding each, kept between runs.

The file is its owner's alone, goes with the gallery's other derived files, and is wiped when somebody is forgotten
(`facebank.gallery.derived`); the next scan writes it anew. A damaged one is not used, which a warning says. The format:
a mark, the SHA-256 of the pack's digest and of the embeddings, and the embeddings as little-endian ``float32``.
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

MOST_PEOPLE = 1000
"""How many people are kept; those with most faces."""

_MAGIC = b"FBNKAP01"
_DIGEST = 32
_HEADER = len(_MAGIC) + 2 * _DIGEST
_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"

_warned: set[tuple[Path, int]] = set()


def write_album_people(gallery: Path, pack_digest: str, people: FloatArray) -> None:
    """Keep the people of a gallery's scan.

    Parameters
    ----------
    gallery
        The gallery's file.
    pack_digest
        Of the pack that made the embeddings, in hex.
    people
        One mean embedding each, L2-normalized, ``float32`` of shape ``(G, D)``; the first `MOST_PEOPLE` are kept.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    data = np.ascontiguousarray(people[:MOST_PEOPLE], dtype="<f4").tobytes()
    header = _MAGIC + _pack(pack_digest) + hashlib.sha256(data).digest()
    write_file(cohort_file(gallery), header + data, advice=_ADVICE)


def album_version(gallery: Path) -> int:
    """Return what tells one version of the file from another, 0 where there is none."""
    try:
        return cohort_file(gallery).stat().st_mtime_ns
    except OSError:
        return 0


def read_album_people(gallery: Path, pack_digest: str, dimension: int) -> FloatArray | None:
    """Return what `write_album_people` kept, ``(G, dimension)``; None where there is nothing that can be used.

    Parameters
    ----------
    gallery
        The gallery's file.
    pack_digest, dimension
        Of the pack whose embeddings are wanted.
    """
    try:
        return _read(cohort_file(gallery), pack_digest, dimension)
    except InvalidValueError:
        return None


def album_people_problem(gallery: Path, pack_digest: str, dimension: int) -> str | None:
    """Say in a sentence that a file is there and cannot be used, and what to do; None where all is well.

    Parameters
    ----------
    gallery, pack_digest, dimension
        As for `read_album_people`.
    """
    path = cohort_file(gallery)
    try:
        _read(path, pack_digest, dimension)
    except InvalidValueError as why:
        return (
            f"{printable(str(path))} {why}: until 'facebank scan' makes it anew, decisions do not allow for the people "
            "of the scan who are not enrolled"
        )
    return None


def warn_of_unusable_people(gallery: Path, pack_digest: str, dimension: int) -> None:
    """Log a warning where `album_people_problem` has something to say, once a process and file."""
    version = cohort_file(gallery), album_version(gallery)
    problem = None if version in _warned else album_people_problem(gallery, pack_digest, dimension)
    if problem is not None:
        _warned.add(version)
        logging.getLogger("facebank").warning("%s", problem)


def _read(path: Path, pack_digest: str, dimension: int) -> FloatArray | None:
    """Return the embeddings, None where there is no file; `InvalidValueError` says why one cannot be used."""
    most = _HEADER + MOST_PEOPLE * 4 * dimension
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or not _HEADER <= state.st_size <= most:
            raise InvalidValueError("is damaged")
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidValueError(f"cannot be read ({error.strerror})") from error
    header, data = content[:_HEADER], content[_HEADER:]
    if header[: len(_MAGIC)] != _MAGIC or header[-_DIGEST:] != hashlib.sha256(data).digest():
        raise InvalidValueError("is damaged")
    if header[len(_MAGIC) : -_DIGEST] != _pack(pack_digest) or len(data) % (4 * dimension):
        raise InvalidValueError("is damaged, or was made with another pack")
    people: FloatArray = np.frombuffer(data, dtype="<f4").reshape(-1, dimension).astype(np.float32)
    if not np.isfinite(people).all():
        raise InvalidValueError("is damaged")
    return people


def _pack(digest: str) -> bytes:
    return hashlib.sha256(digest.encode()).digest()
