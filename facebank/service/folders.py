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
        self.named = NamedFolders(self.paths, cached=False)  # no cache, because a service runs for months

    def contains(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a path, after resolving links, is in one of the folders."""
        try:
            return bool(self.paths) and self.named.contains(path)
        except (OSError, ValueError):  # a null byte, a lone surrogate or circular links
            return False

    def folder(self, name: str) -> Path:
        """Return the folder of a path sent by a client: absolute, or relative to one of the album's folders.

        Raises
        ------
        RequestError
            The folder is outside of the album (403), whether it exists or not.
        PhotoNotFoundError
            The folder does not exist.
        """
        candidates = [path for path in (album / name for album in self.paths) if name and self.contains(path)]
        if not candidates:
            raise RequestError(
                403, "OutsideAlbum", "this folder is outside of the album: name a folder of --album or below it"
            )
        existing = next((path for path in candidates if os.path.isdir(path)), None)  # noqa: PTH112 - a name may be too long
        if existing is None:
            raise PhotoNotFoundError(f"there is no folder {printable(str(candidates[0]))}: is its disk plugged in?")
        return Path(absolute(existing))

    def client_path(self, path: str) -> str:
        """Return a photo's path for clients: the full path in the album, else the name only."""
        if not os.path.isabs(path) or self.contains(path):  # noqa: PTH117 - untrusted text, which may not be a path
            return path
        return os.path.basename(path)  # noqa: PTH119
