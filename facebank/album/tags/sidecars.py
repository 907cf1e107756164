"""Sidecars: XMP files that belong to a photo because of their names."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from facebank.storage.files import is_file

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".xmp"


def sidecar_of(path: Path) -> Path:
    """Return the sidecar that facebank writes for a photo.

    Examples
    --------
    >>> from pathlib import Path
    >>> sidecar_of(Path("photo.jpg")).name
    'photo.jpg.xmp'
    """
    return path.with_name(f"{path.name}{SUFFIX}")


def possible_sidecars(path: Path) -> tuple[Path, ...]:
    """Return the paths at which programs store a photo's sidecar: ``photo.jpg.xmp`` and Adobe's ``photo.xmp``.

    Examples
    --------
    >>> from pathlib import Path
    >>> [sidecar.name for sidecar in possible_sidecars(Path("photo.jpg"))]
    ['photo.jpg.xmp', 'photo.xmp']
    """
    return tuple(dict.fromkeys((sidecar_of(path), path.with_suffix(SUFFIX))))


def own_sidecars(path: Path) -> list[Path]:
    """Return the existing sidecars that belong to this photo alone, and therefore move with it."""
    first_choice = sidecar_of(path)
    return [
        sidecar
        for sidecar in possible_sidecars(path)
        if is_file(sidecar) and not sidecar.is_symlink() and (sidecar == first_choice or has_unique_stem(path))
    ]


def has_unique_stem(path: Path) -> bool:
    """Return whether a photo's ``photo.xmp`` cannot belong to another file, such as a raw file of the same name.

    False if the photo's folder cannot be read.
    """
    with suppress(OSError):
        return not any(
            other.stem == path.stem and other.name != path.name and other.suffix.lower() != SUFFIX and other.is_file()
            for other in path.parent.iterdir()
        )
    return False
