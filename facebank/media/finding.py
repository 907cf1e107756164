"""Finding the photos and videos of a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import PhotoNotFoundError
from facebank.media.formats import FORMATS
from facebank.storage.paths import named_path
from facebank.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

PHOTO_SUFFIXES = frozenset(suffix for photo_format in FORMATS for suffix in photo_format.suffixes)
VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv")
)


def find_photos(place: str | os.PathLike[str]) -> list[Path]:
    """List the photos of a folder and of the folders in it.

    A photo is known by its suffix. Hidden files and folders (their names start with a dot) are left out. Links are
    followed, but each folder is visited once, so that links in a circle come to an end. A folder that may not be
    opened is listed itself: reading it gives the error that says so, and the rest goes on.

    Parameters
    ----------
    place
        A folder, or a file, which is then the only photo, whatever its name.

    Returns
    -------
    list of Path
        Each starting with `place`, sorted as people sort: ``2.jpg`` before ``10.jpg``, large letters as small ones.

    Raises
    ------
    PhotoNotFoundError
        If `place` does not exist.
    UsageError
        If it is an empty text.
    """
    top = named_path(place)
    try:
        top.stat()
    except (OSError, ValueError) as error:
        raise PhotoNotFoundError(f"there is no photo or folder {printable(str(top))}; check the path") from error
    if not top.is_dir():
        return [top]
    return _sorted(_walk(top, PHOTO_SUFFIXES), top)


def find_videos(folder: str | os.PathLike[str]) -> list[Path]:
    """List the videos of a folder and of the folders in it, as `find_photos` does the photos.

    Parameters
    ----------
    folder
        A folder; anything else has none in it.
    """
    top = named_path(folder)
    if not top.is_dir():
        return []
    return _sorted((path for path in _walk(top, VIDEO_SUFFIXES) if path.suffix.lower() in VIDEO_SUFFIXES), top)


def _sorted(paths: Iterable[Path], top: Path) -> list[Path]:
    return sorted(paths, key=lambda path: [_natural_key(part) for part in path.relative_to(top).parts])


def _walk(top: Path, suffixes: Set[str]) -> Iterator[Path]:
    folders, linked_folders = [top], list[Path]()
    visited: set[tuple[int, int]] = set()
    # a folder and a link to it: it is listed under its own name
    while folders or linked_folders:
        folder = (folders or linked_folders).pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if not entry.name.startswith(".")]
        except OSError:
            yield folder
            continue
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries:
            if _is_folder(entry):
                (linked_folders if entry.is_symlink() else folders).append(folder / entry.name)
            elif Path(entry.name).suffix.lower() in suffixes:
                yield folder / entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # a link to itself, a disk that fails: reading it gives the error that says so
        return False


def _natural_key(name: str) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]], str]:
    # without the suffix first: b.jpg comes before b2.jpg
    return _pieces(name.rpartition(".")[0] or name), _pieces(name), name


def _pieces(text: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
