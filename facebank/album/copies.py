"""Copies of data about a gallery's people: those that are wiped when somebody is forgotten, and those that remain."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from facebank.album.scan_paths import album_scan_path
from facebank.album.tags.written_names import files_with_name
from facebank.gallery import PlaceKind, WrittenPlace

if TYPE_CHECKING:
    from facebank.gallery import Gallery

ADVICE = MappingProxyType(
    {
        PlaceKind.EXPORT: "an export, with names, pictures and embeddings: remove the folder, or export again",
        PlaceKind.BACKUP: "a copy of the gallery: remove it, or make another",
        PlaceKind.ANNOTATED: "annotated copies of photos, with names: remove them, or draw them again",
        PlaceKind.VIDEO: "an annotated video, with names: remove it",
        PlaceKind.FACES: "pictures of faces, named after people: remove them",
        PlaceKind.PAGE: "a page with faces, or a table with names: remove it, or write it again",
        PlaceKind.EXPLANATION: "a picture of two faces: remove it",
        PlaceKind.SORTED: (
            "photos in folders named after people, and the journal of sorting: rename or remove the folders"
        ),
        PlaceKind.TAGS: "names that were written into photos or beside them: 'facebank tags show' lists them",
        PlaceKind.SCAN: (
            "still holds all faces of the scanned photos and videos, without names: to remove them too, stop other "
            "facebank programs, such as 'facebank serve', delete the file, and scan again without the person's photos"
        ),
    }
)
"""The content of each kind of copy, and how to remove it."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The recorded copies of data about a gallery's people, before somebody is forgotten."""

    wiped: tuple[str, ...]  # files that are removed too: derived from the gallery, or left by killed runs
    remaining: tuple[WrittenPlace, ...]  # copies that the user has to remove
    files_with_name: tuple[str, ...] = ()  # photos and sidecars into which facebank wrote the person's name


def copies_of(gallery: Gallery, name: str | None = None) -> Copies:
    """Return the copies of data about a gallery's people, and the files with a person's name, if one is given.

    Raises `PersonNotFoundError` if the name is not enrolled.
    """
    remaining = gallery.written_places()
    scan = WrittenPlace(PlaceKind.SCAN, album_scan_path(gallery.path).absolute())
    if scan not in remaining and scan.path.exists():
        remaining.append(scan)
    wiped = dict.fromkeys(map(str, [*gallery.derived_files(), *gallery.leftovers(), *gallery.automatic_backups()]))
    written: list[str] = []
    if name is not None:  # has to precede forgetting, which removes the person's id
        written = files_with_name(album_scan_path(gallery.path), gallery.pack, gallery.person(name).id)
    return Copies(tuple(wiped), tuple(remaining), tuple(written))
