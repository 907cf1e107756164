"""The people of a gallery's scan, one mean embedding each, kept between runs.

The file is its owner's alone, goes with the gallery's other derived files, and is wiped when somebody is forgotten
(`facebank.gallery.derived`); the next scan writes it anew. It is a line of bytes: the format, the pack's digest, the
SHA-256 of the rest, and the embeddings as little-endian ``float32``.
"""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery.derived import cohort_file
from facebank.packs.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.faces import FloatArray

MOST_PEOPLE = 1000
"""How many people are kept; those with most faces."""

_MAGIC = b"FBNKAP01"
_DIGEST = 32
_HEADER = len(_MAGIC) + 2 * _DIGEST
_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"


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
    write_atomically(cohort_file(gallery), header + data, _ADVICE)


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
    path = cohort_file(gallery)
    most = _HEADER + MOST_PEOPLE * 4 * dimension
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or not _HEADER <= state.st_size <= most:
            return None
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError:
        return None
    header, data = content[:_HEADER], content[_HEADER:]
    if header != _MAGIC + _pack(pack_digest) + hashlib.sha256(data).digest() or len(data) % (4 * dimension):
        return None
    people: FloatArray = np.frombuffer(data, dtype="<f4").reshape(-1, dimension).astype(np.float32)
    return people if np.isfinite(people).all() else None


def _pack(digest: str) -> bytes:
    return hashlib.sha256(digest.encode()).digest()
