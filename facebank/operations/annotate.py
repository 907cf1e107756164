"""Annotated copies of identified photos, with frames and names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import StorageError
from facebank.media import MAX_JPEG_SIDE, Mark, StrPath, annotate_photo, is_annotated, read_photo, turn_photo
from facebank.storage.files import face_folder_mode, write_reason
from facebank.storage.folders import NamedFolders
from facebank.storage.paths import named_path
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.types import DecodedPhoto, Face, Photo


class Annotator:
    """Writes annotated pictures into a folder that mirrors the folders of the photos.

    Earlier pictures by facebank are replaced, other files are not. Links in the folder that lead out of it are not
    followed.

    Parameters
    ----------
    folder
        Output folder, created if missing.
    places
        Files and folders whose photos are annotated.

    Raises
    ------
    StorageError
        The folder cannot be created.
    """

    def __init__(self, folder: str | os.PathLike[str], places: Sequence[StrPath] = ()) -> None:
        self._folder = named_path(folder)
        self._roots = [Path(os.path.abspath(named_path(path))) for path in places]  # noqa: PTH100 - resolve() follows links
        self._taken: set[Path] = set()
        make_folder(self._folder)
        self._named = NamedFolders([self._folder])

    def write(self, identified: Photo) -> Path | None:
        """Write a copy of a photo, which is read again, with its faces framed, numbered and named.

        Returns
        -------
        Path or None
            Path of the picture, or None if a link leads out of the folder. Named like the photo, in the same subfolder
            as in its place, with a number if the name is taken; a PNG if the photo is one or is too large for a JPEG.

        Raises
        ------
        PhotoError
            The photo is missing or unreadable by now.
        StorageError
            The picture cannot be written.
        """
        photo = turn_photo(read_photo(identified.path), identified.quarter_turns)
        path = Path(identified.path)
        folder = self._folder / self._subfolder(path)
        if not self._named.contains(folder):
            return None
        make_folder(folder)
        self._taken.add(_resolve(path))
        target = free_name(folder, path.stem, _suffix(path, photo), self._taken)
        annotate_photo(photo, [_mark(number, face) for number, face in enumerate(identified.faces, 1)], target)
        self._taken.add(_resolve(target))
        return target

    def _subfolder(self, path: Path) -> Path:
        folder = Path(os.path.abspath(path.parent))  # noqa: PTH100 - as above
        subfolders = (folder.relative_to(root) for root in self._roots if folder.is_relative_to(root))
        return next(subfolders, Path())


def exclude_annotated(paths: Iterable[Path], places: Collection[Path], folder: Path) -> list[Path]:
    """Return photos without earlier annotated pictures in `folder`, which may be inside one of the places.

    Photos that are also `places` are kept.
    """
    output = _resolve(folder)
    return [path for path in paths if path in places or output not in _resolve(path).parents or not is_annotated(path)]


def free_name(folder: Path, stem: str, suffix: str, taken: Set[Path] = frozenset()) -> Path:
    """Return the first path, numbered if necessary, without a file or with an earlier picture by facebank.

    `taken` are resolved paths of files that must not be replaced.
    """
    target, number = folder / f"{stem}{suffix}", 2
    while _resolve(target) in taken or (os.path.lexists(target) and not is_annotated(target)):
        target, number = folder / f"{stem}-{number}{suffix}", number + 1
    return target


def make_folder(folder: Path) -> None:
    """Create a folder for pictures of faces, with its parents, if missing; raises `StorageError` on failure."""
    try:
        folder.mkdir(mode=face_folder_mode(), parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StorageError(f"{printable(str(folder))} is a file, not a folder: choose another name") from error
    except OSError as error:
        raise StorageError(f"{printable(str(folder))} cannot be created: {write_reason(error)}") from error


def _resolve(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve() fails on circular links


def _suffix(path: Path, photo: DecodedPhoto) -> str:
    if max(photo.width, photo.height) > MAX_JPEG_SIDE:
        return ".png"
    return path.suffix if path.suffix.lower() in (".jpg", ".jpeg", ".png") else ".jpg"


def _mark(number: int, face: Face) -> Mark:
    return Mark(face.box, face.landmarks, f"{number}: {face.person or face.decision}", face.decision)
