"""What callers give as photos: files, folders and photos in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from facebank.errors import PhotoNotFoundError
from facebank.faces import Photo
from facebank.media import find_photos, read_photo
from facebank.text import printable

Place: TypeAlias = str | os.PathLike[str]
Photos: TypeAlias = Place | Photo | Iterable[Place | Photo]


def list_photos(photos: Photos) -> list[Path | Photo]:
    """List the photos that files and folders stand for; a file that is not there fails when it is read.

    Parameters
    ----------
    photos
        Photos, files or folders of them.

    Returns
    -------
    list[Path | Photo]
        Folders give their photos in the order of people's sorting; empty if there is not a single one.
    """
    found: list[Path | Photo] = []
    for photo in _several(photos):
        if isinstance(photo, Photo):
            found.append(photo)
        elif Path(photo).is_dir():
            found += find_photos(photo)
        else:
            found.append(Path(photo))
    return found


def require_photos(photos: Photos) -> list[Path | Photo]:
    """List photos as `list_photos` does; `PhotoNotFoundError` if there is not a single one."""
    several = _several(photos)
    found = list_photos(several)
    if not found:
        raise nothing_there(several)
    return found


def nothing_there(places: Sequence[Place | Photo]) -> PhotoNotFoundError:
    """Return the error that there is no photo at some places."""
    named = [printable(os.fspath(place)) for place in places if not isinstance(place, Photo)]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return PhotoNotFoundError(f"{', '.join(named[:3]) or 'nothing given'}{more}: no photos there")


def open_photo(photo: Place | Photo) -> Photo:
    """Read a photo, unless it is read already."""
    return photo if isinstance(photo, Photo) else read_photo(photo)


def lasting_source(source: str) -> str:
    """Return a photo's path so that it is found again from any folder; what names no file stays as it is."""
    path = Path(source)
    return str(path.absolute()) if path.is_file() else source


def _several(photos: Photos) -> list[Place | Photo]:
    return [photos] if isinstance(photos, str | os.PathLike | Photo) else list(photos)
