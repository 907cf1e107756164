"""What was made from a gallery's people: what goes with somebody who is forgotten, and what stays elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from facebank.album.own_album import own_album
from facebank.album.tags.written_names import files_with_name
from facebank.gallery import PlaceKind, WrittenPlace

if TYPE_CHECKING:
    from facebank.gallery import Gallery

ADVICE = MappingProxyType(
    {
        PlaceKind.EXPORT: "an export, with names, pictures and embeddings: remove the folder, or export anew",
        PlaceKind.BACKUP: "a copy of the gallery: remove it, or make another",
        PlaceKind.ANNOTATED: "annotated copies of photos, with names: remove them, or draw them anew",
        PlaceKind.VIDEO: "an annotated video, with names: remove it",
        PlaceKind.FACES: "pictures of faces, named after people: remove them",
        PlaceKind.PAGE: "a page with faces, or a table with names: remove it, or write it anew",
        PlaceKind.EXPLANATION: "a picture of two faces: remove it",
        PlaceKind.SORTED: (
            "photos in folders named after people, and the journal of sorting: rename or remove the folders"
        ),
        PlaceKind.TAGS: "names that were written into photos or beside them: 'facebank tags show' lists them",
        PlaceKind.SCAN: (
            "still holds all faces of the scanned photos and videos, without names, and a small picture of each in a "
            "video: to be rid of them too, stop facebank where it runs, such as 'facebank serve', remove the file and "
            "scan the photos anew"
        ),
    }
)
"""What a kind of copy holds, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Copies:
    """What was made from a gallery's people, as far as the gallery and its scan know, before somebody is forgotten."""

    wiped: tuple[str, ...]  # files that go as well: derived from the gallery, or left by killed runs
    stays: tuple[WrittenPlace, ...]
    files_with_name: tuple[str, ...] = ()  # photos and sidecars into which facebank wrote the person's name


def copies_of(gallery: Gallery, name: str | None = None) -> Copies:
    """Return what was made from a gallery's people, and of one person, if named: the files with that name.

    Raises `PersonNotFoundError` if nobody is called so.
    """
    stays = gallery.written_places()
    scan = WrittenPlace(PlaceKind.SCAN, own_album(gallery.path).absolute())
    if scan not in stays and scan.path.exists():
        stays.append(scan)
    wiped = dict.fromkeys(map(str, [*gallery.derived_files(), *gallery.leftovers(), *gallery.automatic_backups()]))
    written: list[str] = []
    if name is not None:  # by the person's number: nobody knows it any more once it is forgotten
        written = files_with_name(own_album(gallery.path), gallery.pack, gallery.person(name).id)
    return Copies(tuple(wiped), tuple(stays), tuple(written))
