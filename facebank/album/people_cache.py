"""Mean embeddings of the people in a gallery's own album, cached beside the gallery for decisions in that album."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from facebank.album.scan_paths import album_scan_path
from facebank.errors import GalleryError, StorageError
from facebank.recognition.cohort_file import read_album_people, write_album_people

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.album.gallery_access import GalleryAccess
    from facebank.album.scan.scan_file import ScanFile


def has_cached_people(bank: GalleryAccess) -> bool:
    """Return whether the cache of a gallery exists and can be read."""
    identity = bank.engine.identity
    return read_album_people(bank.path, identity.digest, identity.dimension) is not None


def cache_people(bank: GalleryAccess, path: Path, scan_file: ScanFile) -> None:
    """Write the cache from a scan; no-op unless the scan at `path` is the gallery's own album."""
    from facebank.album.groups.album_people import album_people

    if path != album_scan_path(bank.path):
        return
    with suppress(GalleryError):  # a read-only gallery cannot record the place, and nobody can be forgotten in it
        bank.gallery.note_place()
    engine = bank.engine
    with suppress(StorageError):  # without the cache decisions are less accurate, but still possible
        people = album_people(scan_file.people_table(), engine.thresholds)
        write_album_people(bank.path, engine.identity.digest, people)
