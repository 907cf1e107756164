"""Files outside of a gallery that came from it: exports, pictures, backups, derived files and leftovers.

Their paths are kept in a gallery's settings, so that forgetting a person can list files that may still show the person.
A path named after a forgotten person is removed from the list.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.gallery.derived import (
    DERIVED_FOLDERS_SETTING,
    DERIVED_PLACES_SETTING,
    add_cache_folder,
    add_cache_key,
    derived_files,
    derived_folders,
    wipe_derived,
)
from facebank.gallery.names import name_key
from facebank.gallery.store.state import read_setting, write_setting
from facebank.storage.leftovers import find_leftovers, remove_leftovers, wipe_file
from facebank.storage.paths import cache_folder, calibrations_folder, packs_folder, path_from_environment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from facebank.gallery.store.file import GalleryFile

WRITTEN_PLACES_SETTING = "written_places"

_MAX_PLACES = 200
_MAX_CHARACTERS = 48 * 1024  # characters of JSON in total
_MAX_FOLDERS = 5000


def default_gallery_path() -> Path:
    """Return the path of the default gallery: ``FACEBANK_GALLERY``, else a file in the user's data folder."""
    path = path_from_environment("FACEBANK_GALLERY")
    if path is not None:
        return path
    from platformdirs import user_data_path

    return user_data_path("facebank", appauthor=False) / "gallery.facebank"


class PlaceKind(StrEnum):
    """The kind of a written file or folder."""

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


_KINDS = frozenset(kind.value for kind in PlaceKind)


@dataclass(frozen=True, slots=True)
class WrittenPlace:
    """A file or folder with content of a gallery."""

    kind: PlaceKind
    path: Path  # absolute


class GalleryPlaces:
    """The files that came from an open gallery."""

    def __init__(self, file: GalleryFile) -> None:
        self._file = file

    def note_derived(self) -> None:
        """Record the gallery's current path and cache folder, by which its derived files are found."""
        places, folders = self._derived_settings()
        for key, before, after in (
            (DERIVED_PLACES_SETTING, places, add_cache_key(places, self._file.path)),
            (DERIVED_FOLDERS_SETTING, folders, add_cache_folder(folders)),
        ):
            if before != after:
                self._file.write_setting(key, after)

    def note_written(self, kind: PlaceKind, path: Path) -> None:
        """Record that content of the gallery was written to an absolute path."""
        before = self._file.read_setting(WRITTEN_PLACES_SETTING)
        after = add_place(before, kind, path)
        if before != after:
            self._file.write_setting(WRITTEN_PLACES_SETTING, after)

    def written(self) -> list[WrittenPlace]:
        """Return the recorded places that still exist, latest first, without the gallery itself (an opened backup)."""
        gallery = Path(os.path.abspath(self._file.path))  # noqa: PTH100 - resolve() follows links
        return [place for place in self._recorded() if place.path != gallery and os.path.lexists(place.path)]

    def derived(self) -> list[Path]:
        """Return the existing files in the caches."""
        return derived_files(self._file.path, *self._derived_settings())

    def leftovers(self) -> list[Path]:
        """Return partial files left by killed processes."""
        return [path for folder in self._folders() for path in find_leftovers(folder)]

    def backups(self) -> list[Path]:
        """Return the automatic backups beside the gallery."""
        from facebank.gallery.backups import automatic_backups

        return automatic_backups(self._file.path)

    def wipe(self) -> list[Path]:
        """Overwrite and remove derived files, leftovers and automatic backups, and return their paths."""
        wiped = self.wipe_derived()
        leftovers, _ = remove_leftovers(self._folders())
        backups = self.backups()
        for backup in backups:
            wipe_file(backup)
        return [*wiped, *leftovers, *backups]

    def wipe_derived(self) -> list[Path]:
        """Overwrite and remove derived files alone, and return their paths."""
        return wipe_derived(self._file.path, *self._derived_settings())

    def _derived_settings(self) -> tuple[object, object]:
        return self._file.read_setting(DERIVED_PLACES_SETTING), self._file.read_setting(DERIVED_FOLDERS_SETTING)

    def _recorded(self) -> list[WrittenPlace]:
        return list(dict.fromkeys(reversed(_read(self._file.read_setting(WRITTEN_PLACES_SETTING)))))

    def _folders(self) -> list[Path]:
        folders = folders_with_leftovers(self._file.path, self._file.read_setting(DERIVED_FOLDERS_SETTING))
        for place in self._recorded():  # a killed process may have left only a partial file
            folders.append(place.path.parent)
            if place.path.is_dir() and not place.path.is_symlink():
                folders += _folders_in(place.path)
        return list(dict.fromkeys(folders))


def folders_with_leftovers(gallery: Path, derived: object = None) -> list[Path]:
    """Return the folders that facebank writes to, where killed processes may have left partial files.

    Parameters
    ----------
    gallery
        The gallery's file, which need not exist.
    derived
        The gallery's setting of derived folders; None if it cannot be read.
    """
    cache = cache_folder()
    folders = [gallery.absolute().parent, packs_folder(), *_folders_in(calibrations_folder())]
    return [*folders, cache / "prepared", cache / "evaluation", *derived_folders(derived)]


def forget_places_of(connection: sqlite3.Connection, name: str) -> None:
    """Remove written places named after a person from the settings; call inside a transaction."""
    setting = read_setting(connection, WRITTEN_PLACES_SETTING)
    if setting is not None:
        key = name_key(name)
        places = [place for place in _read(setting) if key not in name_key(place.path.name)]
        write_setting(connection, WRITTEN_PLACES_SETTING, _records(places))


def add_place(setting: object, kind: PlaceKind, path: Path) -> list[dict[str, str]]:
    """Return the setting of written places with one added or moved to the end; drops the oldest beyond a limit."""
    places = [place for place in _read(setting) if place.path != path][1 - _MAX_PLACES :]
    records = _records([*places, WrittenPlace(kind, path)])
    while len(records) > 1 and len(json.dumps(records)) > _MAX_CHARACTERS:
        del records[0]
    return records


def _records(places: list[WrittenPlace]) -> list[dict[str, str]]:
    return [{"kind": place.kind.value, "path": str(place.path)} for place in places]


def _folders_in(top: Path) -> Iterator[Path]:
    for number, (folder, _, _) in enumerate(os.walk(top)):
        if number == _MAX_FOLDERS:
            return
        yield Path(folder)


def _read(setting: object) -> list[WrittenPlace]:
    places = list[WrittenPlace]()
    for record in setting if isinstance(setting, list) else []:
        match record:
            case {"kind": str() as kind, "path": str() as path} if kind in _KINDS and _is_valid_path(path):
                places.append(WrittenPlace(PlaceKind(kind), Path(path)))
    return places


def _is_valid_path(path: str) -> bool:
    return "\0" not in path and Path(path).is_absolute()
