"""The folders that a service may read: those of ``--album`` and their contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import PhotoNotFoundError
from facebank.service.problems import RequestError
from facebank.storage.folders import NamedFolders
from facebank.storage.paths import absolute
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence


class AlbumFolders:
    """The folders of ``--album``; paths outside are neither read nor shown.

    Parameters
    ----------
    albums
        The folders.
    """

    def __init__(self, albums: Sequence[Path]) -> None:
        self.paths = tuple(Path(absolute(album)) for album in albums)
        self.named = NamedFolders(self.paths, remember=False)  # no cache, because a service runs for months

    def contains(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a path, after resolving links, is in one of the folders."""
        try:
            return bool(self.paths) and self.named.contains(path)
        except (OSError, ValueError):  # a null byte, a lone surrogate or circular links
            return False

    def folder(self, name: str) -> Path:
        """Return a folder named by a client: absolute, or relative to one of the album's folders.

        Raises
        ------
        RequestError
            It is outside (403), whether it exists or not.
        PhotoNotFoundError
            The folder does not exist.
        """
        found = [path for path in (album / name for album in self.paths) if name and self.contains(path)]
        if not found:
            raise RequestError(403, "OutsideAlbum", "allowed are only the folders of --album and their subfolders")
        there = next((path for path in found if os.path.isdir(path)), None)  # noqa: PTH112 - a name may be too long
        if there is None:
            raise PhotoNotFoundError(f"there is no folder {printable(str(found[0]))}: is its disk plugged in?")
        return Path(absolute(there))

    def shown(self, path: str) -> str:
        """Return a photo's path for clients: the full path in the album, else the name only."""
        if not os.path.isabs(path) or self.contains(path):  # noqa: PTH117 - hostile: no path need be made of it
            return path
        return os.path.basename(path)  # noqa: PTH119
