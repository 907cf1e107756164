"""The version of a scan's content, cached until its files change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebank.errors import ScanNotFoundError
from facebank.storage.files import file_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebank.album.album import Album
    from facebank.album.scan.scan_file import ScanFile


class CachedScanVersion:
    """Returns the version of a part of a scan, and computes it only after a change; several threads may use it.

    Parameters
    ----------
    album
        The album, whose scan need not exist yet.
    version
        Computes the version of a part of the scan, such as `ScanFile.version`.
    """

    def __init__(self, album: Album, version: Callable[[ScanFile], str]) -> None:
        self._album = album
        self._compute = version
        self._cached: tuple[object, str] | None = None  # the versions of its files, and the version

    def version(self) -> str | None:
        """Return the current version; None without a scan."""
        try:
            scan_file = self._album.scan_file
        except ScanNotFoundError:
            return None
        files = tuple(map(file_version, (scan_file.path, scan_file.path.with_name(f"{scan_file.path.name}-wal"))))
        cached = self._cached
        if cached is None or cached[0] != files:
            self._cached = cached = files, self._compute(scan_file)
        return cached[1]
