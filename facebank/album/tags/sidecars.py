"""Sidecars: XMP files that belong to a photo because of their names."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from facebank.storage.files import is_file

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".xmp"


def sidecar_of(photo: Path) -> Path:
    """Return the sidecar that facebank writes for a photo.

    Examples
    --------
    >>> from pathlib import Path
    >>> sidecar_of(Path("photo.jpg")).name
    'photo.jpg.xmp'
    """
    return photo.with_name(f"{photo.name}{SUFFIX}")


def possible_sidecars(photo: Path) -> tuple[Path, ...]:
    """Return the paths at which programs store a photo's sidecar: ``photo.jpg.xmp`` and Adobe's ``photo.xmp``.

    Examples
    --------
    >>> from pathlib import Path
    >>> [path.name for path in possible_sidecars(Path("photo.jpg"))]
    ['photo.jpg.xmp', 'photo.xmp']
    """
    return tuple(dict.fromkeys((sidecar_of(photo), photo.with_suffix(SUFFIX))))


def own_sidecars(photo: Path) -> list[Path]:
    """Return the existing sidecars that belong to this photo alone, and therefore move with it."""
    beside = sidecar_of(photo)
    return [
        path
        for path in possible_sidecars(photo)
        if is_file(path) and not path.is_symlink() and (path == beside or has_unique_stem(photo))
    ]


def has_unique_stem(photo: Path) -> bool:
    """Return whether ``photo.xmp`` cannot belong to another file, such as a raw file of the same name."""
    with suppress(OSError):
        return not any(
            other.stem == photo.stem and other.name != photo.name and other.suffix.lower() != SUFFIX and other.is_file()
            for other in photo.parent.iterdir()
        )
    return False
