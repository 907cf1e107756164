"""Search for photos and videos in folders."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from facebank.errors import PhotoNotFoundError
from facebank.media.formats import (
    FORMATS,
    SIGNATURE_BYTES,
    SKIPPED_SUFFIXES,
    SkippedKind,
    skipped_kind,
    unmistakable_format,
)
from facebank.storage.folders import OpenFolder
from facebank.storage.paths import named_path
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from io import BufferedReader

    from facebank.storage.folders import NamedFolders

PHOTO_SUFFIXES = frozenset(suffix for photo_format in FORMATS for suffix in photo_format.suffixes)
VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv")
)
_NaturalKey: TypeAlias = "tuple[list[tuple[int, int, str]], list[tuple[int, int, str]], str]"
# does not match "Summer 2.5" and "12.03.2019"
_SUFFIX = re.compile(r"\.[a-z][a-z0-9_~-]*")


@dataclass(frozen=True, slots=True)
class FolderContents:
    """The files of a folder and its subfolders, each kind in natural order (``2.jpg`` before ``10.jpg``)."""

    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    skipped: tuple[tuple[Path, SkippedKind], ...] = ()  # pictures in unsupported formats
    unreadable: frozenset[Path] = frozenset()  # unreadable folders, which are also listed as photos


def list_folder(path: str | os.PathLike[str], *, within: NamedFolders | None = None) -> FolderContents:
    """Return the photos, videos and unsupported pictures of a folder and its subfolders; paths start with `path`.

    Files are recognized by suffix, those without one by their first bytes. Hidden files and folders (names with a
    leading dot) are omitted. Links are followed, but each folder is visited once. An unreadable folder is listed as a
    photo, because reading it then raises an error with the reason. A file is listed as its only photo, whatever its
    name. Raises `PhotoNotFoundError` (`path` does not exist) or `UsageError` (it is empty).

    Parameters
    ----------
    path
        A folder or a file.
    within
        Links that lead out of these folders are skipped; None to follow all links.
    """
    top = named_path(path)
    try:
        top.stat()
    except (OSError, ValueError) as error:
        raise PhotoNotFoundError(f"there is no photo or folder {printable(str(top))}; check the path") from error
    if not top.is_dir():
        return FolderContents(photos=(top,))
    photos, videos = list[Path](), list[Path]()
    skipped, unreadable = dict[Path, SkippedKind](), set[Path]()
    for entry, is_file in _walk(top, within):
        kind = _kind_of(entry, within) if is_file else FileKind.PHOTO
        if not is_file:
            unreadable.add(entry)
        if kind is FileKind.PHOTO:
            photos.append(entry)
        elif kind is FileKind.VIDEO:
            videos.append(entry)
        elif kind is not None:
            skipped[entry] = kind
    return FolderContents(
        tuple(_sort_paths(photos, top)),
        tuple(_sort_paths(videos, top)),
        tuple((entry, skipped[entry]) for entry in _sort_paths(skipped, top)),
        frozenset(unreadable),
    )


def find_photos(path: str | os.PathLike[str]) -> list[Path]:
    """Return the photos of a folder and its subfolders; raises the errors of `list_folder`."""
    return list(list_folder(path).photos)


def find_videos(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the videos of a folder and its subfolders, as `list_folder` does; empty if it is not a folder."""
    top = named_path(folder)
    return list(list_folder(top).videos) if top.is_dir() else []


class FileKind(Enum):
    """A kind of supported file."""

    PHOTO = auto()
    VIDEO = auto()


def kind_by_suffix(suffix: str) -> FileKind | SkippedKind | None:
    """Return the kind of a file by its suffix, in lower case and with the dot; None for others."""
    if suffix in PHOTO_SUFFIXES:
        return FileKind.PHOTO
    return FileKind.VIDEO if suffix in VIDEO_SUFFIXES else SKIPPED_SUFFIXES.get(suffix)


def natural_order(names: Sequence[str]) -> list[_NaturalKey]:
    """Return the sort key of a path, given its parts, for the order of `FolderContents`."""
    return [_natural_key(name) for name in names]


def _kind_of(path: Path, within: NamedFolders | None) -> FileKind | SkippedKind | None:
    """Return the kind of a file, by its name or first bytes; None for other files."""
    suffix = path.suffix.lower()
    kind = kind_by_suffix(suffix)
    if isinstance(kind, FileKind) or (kind is None and _SUFFIX.fullmatch(suffix)):
        return kind
    head = _first_bytes(path, within)
    photo_format = unmistakable_format(head)
    if photo_format is not None and not (kind and photo_format.name == "TIFF"):  # most raw files begin like a TIFF
        return FileKind.PHOTO  # despite its suffix
    return kind or skipped_kind(head)


def _first_bytes(path: Path, within: NamedFolders | None) -> bytes:
    """Return the first bytes of a regular file; empty for other and unreadable ones."""
    try:
        with _open_for_probing(path) if within is None else within.open_file(path) as file:
            return file.read(SIGNATURE_BYTES) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""


def _open_for_probing(path: Path) -> BufferedReader:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe must not block
    return os.fdopen(os.open(path, flags), "rb")


def _sort_paths(paths: Iterable[Path], top: Path) -> list[Path]:
    return sorted(paths, key=lambda path: natural_order(path.relative_to(top).parts))


def _walk(top: Path, within: NamedFolders | None) -> Iterator[tuple[Path, bool]]:
    """Yield files with True, and unreadable folders with False."""
    folders, linked_folders = [top], list[Path]()
    visited: set[tuple[int, int]] = set()
    # links last, so that a linked folder is listed under its own name
    while folders or linked_folders:
        folder = (folders or linked_folders).pop()
        try:
            with _open_folder(folder, within) as opened:
                status = opened.status()
                if (status.st_dev, status.st_ino) in visited:
                    continue
                visited.add((status.st_dev, status.st_ino))
                with opened.entries() as unsorted:
                    entries = sorted((entry.name, entry.is_symlink(), _is_folder(entry)) for entry in unsorted)
        except OSError:
            yield folder, False
            continue
        for name, is_link, is_folder in entries:
            if name.startswith(".") or (within is not None and is_link and not within.contains(folder / name)):
                continue
            if is_folder:
                (linked_folders if is_link else folders).append(folder / name)
            else:
                yield folder / name, True


def _open_folder(folder: Path, within: NamedFolders | None) -> AbstractContextManager[OpenFolder]:
    return OpenFolder.open(folder) if within is None else within.open_folder(folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself or a failing disk: reading it raises the error


def _natural_key(name: str) -> _NaturalKey:
    # compare without the suffix first, so that b.jpg comes before b2.jpg
    return _pieces(name.rpartition(".")[0] or name), _pieces(name), name


def _pieces(text: str) -> list[tuple[int, int, str]]:
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece]
