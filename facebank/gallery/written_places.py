"""Where copies of what a gallery knows were written: exports, pictures, pages, sorted folders, names in photos.

A gallery keeps the places, so that whoever forgets somebody can be told where something of them may remain. Only the
gallery's owner can read them; a place named after somebody who is forgotten is forgotten as well.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from facebank.gallery.derived import DERIVED_FOLDERS_SETTING, derived_folders
from facebank.gallery.names import name_key
from facebank.storage.paths import cache_folder, calibrations_folder, packs_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


WRITTEN_PLACES_SETTING = "written_places"

_MOST = 200
_LONGEST = 48 * 1024  # characters of JSON, all together
_MOST_FOLDERS = 5000


class Settings(Protocol):
    """What keeps the places: an open gallery."""

    def read_setting(self, key: str) -> object:
        """Return a setting's value; None where it has none."""
        ...


class PlaceKind(StrEnum):
    """What was written to a place."""

    EXPORT = "export"
    BACKUP = "backup"
    ANNOTATED = "annotated photos"
    VIDEO = "annotated video"
    FACES = "pictures of faces"
    PAGE = "page of faces"
    EXPLANATION = "explanation"
    SORTED = "sorted photos"
    TAGS = "names in photos"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class WrittenPlace:
    """A file or folder that was written, or written into.

    Attributes
    ----------
    kind
        What was written.
    path
        Where, absolute.
    """

    kind: PlaceKind
    path: Path


def with_place(known: object, kind: PlaceKind, path: Path) -> list[dict[str, str]]:
    """Return the places as a setting keeps them, one added or moved to the end; the oldest go where there are many."""
    places = [place for place in _read(known) if place.path != path][1 - _MOST :]
    records = [{"kind": place.kind.value, "path": str(place.path)} for place in [*places, WrittenPlace(kind, path)]]
    while len(records) > 1 and len(json.dumps(records)) > _LONGEST:
        del records[0]
    return records


def without_name(known: object, name: str) -> list[dict[str, str]]:
    """Return the places as a setting keeps them, without those that are called after somebody."""
    key = name_key(name)
    return [
        {"kind": place.kind.value, "path": str(place.path)}
        for place in _read(known)
        if key not in name_key(place.path.name)
    ]


def written_places(gallery: Settings) -> list[WrittenPlace]:
    """Return the places that something was written to and that are still there, the latest first."""
    return [place for place in _noted(gallery) if os.path.lexists(place.path)]


def _noted(gallery: Settings) -> list[WrittenPlace]:
    return list(dict.fromkeys(reversed(_read(gallery.read_setting(WRITTEN_PLACES_SETTING)))))


def folders_with_leftovers(gallery: Path, session: Settings | None) -> list[Path]:
    """Return the folders that facebank writes to, where killed runs may have left something.

    Parameters
    ----------
    gallery
        The gallery's file, whether it is there or not.
    session
        It, open; None where it cannot be opened.
    """
    cache = cache_folder()
    folders = [gallery.absolute().parent, packs_folder(), *_folders_in(calibrations_folder())]
    folders += [cache / "prepared", cache / "evaluation"]
    noted = None if session is None else session.read_setting(DERIVED_FOLDERS_SETTING)
    folders += derived_folders(noted)
    for place in [] if session is None else _noted(session):  # a killed run may have left only a part
        folders.append(place.path.parent)
        if place.path.is_dir() and not place.path.is_symlink():
            folders += _folders_in(place.path)
    return list(dict.fromkeys(folders))


def _folders_in(top: Path) -> Iterator[Path]:
    for number, (folder, _, _) in enumerate(os.walk(top)):
        if number == _MOST_FOLDERS:
            return
        yield Path(folder)


def _read(known: object) -> list[WrittenPlace]:
    found = list[WrittenPlace]()
    for record in known if isinstance(known, list) else []:
        match record:
            case {"kind": str() as kind, "path": str() as path} if kind in _KINDS and _is_whole(path):
                found.append(WrittenPlace(PlaceKind(kind), Path(path)))
    return found


def _is_whole(path: str) -> bool:
    return "\0" not in path and Path(path).is_absolute()


_KINDS = frozenset(kind.value for kind in PlaceKind)
