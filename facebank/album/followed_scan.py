"""The version of what a scan holds, read only where its files have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import ScanNotFoundError
from facebank.storage.files import file_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.album.album import Album
    from facebank.album.scan.scan_file import ScanFile


class FollowedScan:
    """Tells whether a scan is what it was; several threads may use it.

    Parameters
    ----------
    album
        Whose scan it is, which need not be there yet.
    version
        Reads the version of a part of the scan, such as `ScanFile.version`.
    """

    def __init__(self, album: Album, version: Callable[[ScanFile], str]) -> None:
        self._album = album
        self._read = version
        self._seen: tuple[object, str] | None = None  # how its files looked, and the version

    def version(self) -> str | None:
        """Return the version of now; None without a scan."""
        try:
            scan_file = self._album.scan_file
        except ScanNotFoundError:
            return None
        looks = tuple(map(file_version, (scan_file.path, scan_file.path.with_name(f"{scan_file.path.name}-wal"))))
        seen = self._seen
        if seen is None or seen[0] != looks:
            self._seen = seen = looks, self._read(scan_file)
        return seen[1]
