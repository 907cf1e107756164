"""Files derived from a gallery and kept in the cache; they are wiped when a person is forgotten.

They are readable by their owner only, and are overwritten before they are removed or replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.storage.files import PRIVATE_FOLDER, write_error
from facebank.storage.leftovers import wipe_file
from facebank.storage.paths import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

DERIVED_PLACES_SETTING = "derived_places"
DERIVED_FOLDERS_SETTING = "derived_folders"
INDEX_FILE_SETTING = "index_file"
"""The gallery's setting that names the file its vectors may be read from."""

_MOST_PLACES = 31
_FOLDERS = ("classifiers", "cohorts", "indexes", "pages")
_PLACE = re.compile(r"[0-9a-f]{32}")


def derived_file(gallery: Path) -> Path:
    """Return the path of the classifier fitted to a gallery's people."""
    return _derived_at(place_of(gallery))


def cohort_file(gallery: Path) -> Path:
    """Return the path of the mean embeddings of the people in a gallery's scan."""
    return _cohort_at(place_of(gallery))


def index_file(gallery: Path) -> Path:
    """Return the path of a large gallery's search vectors; a partial file has a longer name."""
    return _index_at(place_of(gallery))


def page_file(gallery: Path) -> Path:
    """Return the path of an HTML page of faces when no output file is named; creates its folder, private to the owner.

    Raises `StorageError` if the folder cannot be created.
    """
    page = _page_at(place_of(gallery))
    try:
        page.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(page.parent, error, "name a file with --out") from error
    return page


def place_of(gallery: Path) -> str:
    """Return the name of a gallery's files in the cache, derived from its path: 32 hex digits."""
    return hashlib.sha256(os.fsencode(gallery.resolve())).hexdigest()[:32]


def noted(places: object, gallery: Path) -> list[str]:
    """Return the setting of cache names with this gallery's current one added."""
    known = [place for place in places if _is_place(place)] if isinstance(places, list) else []
    here = place_of(gallery)
    return [*[place for place in known if place != here][-_MOST_PLACES:], here]


def noted_folders(folders: object) -> list[str]:
    """Return the setting of cache folders with the current one added."""
    known = [folder for folder in folders if _is_folder(folder)] if isinstance(folders, list) else []
    here = str(cache_folder().absolute())
    return [*[folder for folder in known if folder != here][-_MOST_PLACES:], here]


def derived_files(gallery: Path, places: object = None, folders: object = None) -> list[Path]:
    """Return the existing files derived from a gallery; for the parameters see `wipe_derived`."""
    return [path for path in _paths(gallery, places, folders) if os.path.lexists(path)]


def derived_folders(folders: object = None) -> list[Path]:
    """Return the folders that may hold derived files, from the setting of `noted_folders`."""
    return [Path(cache, room) for cache in noted_folders(folders) for room in _FOLDERS]


def wipe_derived(gallery: Path, places: object = None, folders: object = None) -> list[Path]:
    """Overwrite and remove the files derived from a gallery's people; no-op if there are none.

    Call it after the people have been removed from the gallery. Raises `StorageError` if a file cannot be removed.

    Parameters
    ----------
    gallery
        Path of the gallery.
    places
        Setting returned by `noted` when files were written: the gallery may have had another path then.
    folders
        Setting returned by `noted_folders`: the cache may have been in another folder then.

    Returns
    -------
    list[Path]
        The removed files.
    """
    removed = derived_files(gallery, places, folders)
    for path in removed:
        try:
            wipe_file(path)
        except OSError as error:
            raise write_error(path, error, "remove it by hand, it may describe a forgotten person") from error
    return removed


def _paths(gallery: Path, places: object, folders: object) -> Iterator[Path]:
    for cache in map(Path, noted_folders(folders)):
        for place in noted(places, gallery):
            index = _index_at(place, cache)
            yield _derived_at(place, cache)
            yield _cohort_at(place, cache)
            yield _page_at(place, cache)
            for form in (f"{index.name}*", f".facebank-*.part.{index.stem}"):  # an earlier version's, and this one's
                yield from sorted(index.parent.glob(form))


def _derived_at(place: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "classifiers" / f"{place}.npz"


def _cohort_at(place: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "cohorts" / f"{place}.npz"


def _page_at(place: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "pages" / f"{place}.html"


def _index_at(place: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "indexes" / f"{place}.vectors"


def _is_place(text: object) -> bool:
    return isinstance(text, str) and _PLACE.fullmatch(text) is not None


def _is_folder(text: object) -> bool:
    return isinstance(text, str) and "\0" not in text and os.path.isabs(text)  # noqa: PTH117 - it is no Path yet
