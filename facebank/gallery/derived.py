"""Files made from a gallery and kept beside it, in the cache: they must not outlive whoever is forgotten.

They are their owner's alone, and are overwritten before they are removed or replaced.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from facebank.packs.files import cache_folder, cannot_write

if TYPE_CHECKING:
    from pathlib import Path

_AT_ONCE = 16 << 20  # bytes


def derived_file(gallery: Path) -> Path:
    """Return where what was fitted to a gallery's people is kept."""
    return cache_folder() / "classifiers" / f"{_place_of(gallery)}.npz"


def index_file(gallery: Path) -> Path:
    """Return where a large gallery's vectors are kept for searching; while it is written, its name is longer."""
    return cache_folder() / "indexes" / f"{_place_of(gallery)}.vectors"


def wipe_derived(gallery: Path) -> None:
    """Overwrite and remove what was made from a gallery's people; nothing where there is nothing.

    Call it once the gallery no longer holds whoever is forgotten.

    Raises
    ------
    StorageError
        If it cannot be removed.
    """
    index = index_file(gallery)
    for path in (derived_file(gallery), *sorted(index.parent.glob(f"{index.name}*"))):
        try:
            wipe_file(path)
        except OSError as error:
            raise cannot_write(path, error, "remove it by hand, it may describe somebody who was forgotten") from error


def wipe_file(path: Path) -> None:
    """Overwrite a file, from its beginning on, and remove it; nothing where there is none. Raises OSError."""
    try:
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("r+b") as file:
                left = path.stat().st_size
                while left:
                    left -= file.write(bytes(min(left, _AT_ONCE)))
                    file.flush()
                os.fsync(file.fileno())
        path.unlink()
    except FileNotFoundError:
        return


def _place_of(gallery: Path) -> str:
    return hashlib.sha256(os.fsencode(gallery.resolve())).hexdigest()[:32]
