"""What is said before and after somebody is forgotten: what is wiped, and what stays elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from .output import counted, is_interactive, say

if TYPE_CHECKING:
    from facebank.gallery import Gallery, WrittenPlace

_ADVICE = {
    "export": "an export, with names, pictures and embeddings: remove the folder, or export anew",
    "backup": "a copy of the gallery: remove it, or make another",
    "annotated photos": "annotated copies of photos, with names: remove them, or draw them anew",
    "annotated video": "an annotated video, with names: remove it",
    "pictures of faces": "pictures of faces, named after people: remove them",
    "page of faces": "a page with faces: remove it, or write it anew",
    "explanation": "a picture of two faces: remove it",
    "sorted photos": "photos in folders named after people, and the journal of sorting: rename or remove the folders",
    "names in photos": "names that were written into photos or beside them: 'facebank tags show' lists them",
    "scan": "still holds all faces of the scanned photos, without names: remove the file to be rid of them too",
}


@dataclass(frozen=True, slots=True)
class ToldBefore:
    """What a gallery knows of its copies, before somebody is forgotten.

    Attributes
    ----------
    wiped
        Files that go as well: derived from the gallery, or left by killed runs.
    stays
        What stays.
    """

    wiped: tuple[str, ...]
    stays: tuple[WrittenPlace, ...]

    def record(self, wiped: Iterable[str]) -> dict[str, object]:
        """Return what JSON says of it."""
        stays = [{"kind": place.kind.value, "path": str(place.path)} for place in self.stays]
        return {"wiped": list(wiped), "stays": stays}


def told_before(gallery: Gallery) -> ToldBefore:
    """Look at what would be wiped and what would stay."""
    from facebank.album.album import default_scan_path
    from facebank.gallery import PlaceKind, WrittenPlace

    stays = gallery.written_places()
    scan = WrittenPlace(PlaceKind.SCAN, default_scan_path(gallery.path).absolute())
    if scan not in stays and scan.path.exists():
        stays.append(scan)
    wiped = dict.fromkeys(map(str, [*gallery.derived_files(), *gallery.leftovers(), *gallery.automatic_backups()]))
    return ToldBefore(tuple(wiped), tuple(stays))


def ask_first(question: str, before: ToldBefore, *, yes: bool) -> bool:
    """Return whether to go on: asks on a terminal, unless told not to; whoever cannot be asked has decided."""
    if yes or not is_interactive():
        return True
    if before.wiped:
        say(f"{counted(len(before.wiped), 'file')} made from the gallery go too")
    tell_what_stays(before)
    return typer.confirm(question, err=True)


def tell_what_stays(before: ToldBefore) -> None:
    """Say on standard error what stays, and what to do about it."""
    for place in before.stays:
        say(f"stays: {place.path}: {_ADVICE[place.kind.value]}")
