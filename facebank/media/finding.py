"""The photos and videos of a folder."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import PhotoNotFoundError
from facebank.media.formats import (
    FORMATS,
    SIGNATURE_BYTES,
    SKIPPED_SUFFIXES,
    SkippedKind,
    skipped_kind,
    unmistakable_format,
)
from facebank.storage.paths import named_path
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PHOTO_SUFFIXES = frozenset(suffix for photo_format in FORMATS for suffix in photo_format.suffixes)
VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv")
)
# not for "Summer 2.5" and "12.03.2019"
_IS_SUFFIX = re.compile(r"\.[a-z][a-z0-9_~-]*")


@dataclass(frozen=True, slots=True)
class FolderContents:
    """The files of a folder and the folders in it: photos, videos, and pictures of kinds that are not read.

    Each in natural order: ``2.jpg`` before ``10.jpg``, whatever the case.
    """

    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    skipped: tuple[tuple[Path, SkippedKind], ...] = ()


def look_through(place: str | os.PathLike[str]) -> FolderContents:
    """List the photos, videos and unread pictures of a folder and the folders in it; each path starts with `place`.

    Files are recognized by their suffix, those without one by their first bytes. Hidden files and folders (with a dot
    first) are omitted. Links are followed, but each folder is visited once. A folder that may not be opened is listed
    as a photo, because reading it raises the error that says so. A file is its only photo, whatever its name. Raises
    `PhotoNotFoundError` (`place` does not exist) or `UsageError` (it is empty).
    """
    top = named_path(place)
    try:
        top.stat()
    except (OSError, ValueError) as error:
        raise PhotoNotFoundError(f"there is no photo or folder {printable(str(top))}; check the path") from error
    if not top.is_dir():
        return FolderContents(photos=(top,))
    photos, videos = list[Path](), list[Path]()
    skipped = dict[Path, SkippedKind]()
    for path, is_file in _walk(top):
        kind = _kind_of(path) if is_file else _Kind.PHOTO
        if kind is _Kind.PHOTO:
            photos.append(path)
        elif kind is _Kind.VIDEO:
            videos.append(path)
        elif kind is not None:
            skipped[path] = kind
    return FolderContents(
        tuple(_sorted(photos, top)),
        tuple(_sorted(videos, top)),
        tuple((path, skipped[path]) for path in _sorted(skipped, top)),
    )


def find_photos(place: str | os.PathLike[str]) -> list[Path]:
    """List the photos of a folder and of the folders in it; as `look_through`."""
    return list(look_through(place).photos)


def find_videos(folder: str | os.PathLike[str]) -> list[Path]:
    """List the videos of a folder and of the folders in it; as `look_through`, but none for anything else."""
    top = named_path(folder)
    return list(look_through(top).videos) if top.is_dir() else []


class _Kind(Enum):
    PHOTO = auto()
    VIDEO = auto()


def _kind_of(path: Path) -> _Kind | SkippedKind | None:
    """Return what a file is by its name, else by its first bytes; None for no picture."""
    suffix = path.suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return _Kind.PHOTO
    if suffix in VIDEO_SUFFIXES:
        return _Kind.VIDEO
    named = SKIPPED_SUFFIXES.get(suffix)
    if named is None and _IS_SUFFIX.fullmatch(suffix):
        return None
    head = _first_bytes(path)
    found = unmistakable_format(head)
    if found is not None and not (named and found.name == "TIFF"):  # most raw files begin as a TIFF does
        return _Kind.PHOTO  # under another name
    return named or skipped_kind(head)


def _first_bytes(path: Path) -> bytes:
    """Return the first bytes of a regular file; none of other and unreadable ones."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return b""
    try:
        return os.read(handle, SIGNATURE_BYTES) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(handle)


def _sorted(paths: Iterable[Path], top: Path) -> list[Path]:
    return sorted(paths, key=lambda path: [_natural_key(part) for part in path.relative_to(top).parts])


def _walk(top: Path) -> Iterator[tuple[Path, bool]]:
    """Yield files with True, and folders that may not be opened with False."""
    folders, linked_folders = [top], list[Path]()
    visited: set[tuple[int, int]] = set()
    # links last: a folder that is also linked to is listed under its own name
    while folders or linked_folders:
        folder = (folders or linked_folders).pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if not entry.name.startswith(".")]
        except OSError:
            yield folder, False
            continue
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries:
            if _is_folder(entry):
                (linked_folders if entry.is_symlink() else folders).append(folder / entry.name)
            else:
                yield folder / entry.name, True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself, a failing disk: reading it raises the error that says so


def _natural_key(name: str) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]], str]:
    # first without the suffix: b.jpg comes before b2.jpg
    return _pieces(name.rpartition(".")[0] or name), _pieces(name), name


def _pieces(text: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
