"""Files made from a gallery and kept beside it, in the cache: they must not outlive whoever is forgotten.

They are their owner's alone, and are overwritten before they are removed or replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.storage.files import PRIVATE_FOLDER, cannot_write
from facebank.storage.leftovers import wipe_file
from facebank.storage.paths import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

DERIVED_PLACES_SETTING = "derived_places"
DERIVED_FOLDERS_SETTING = "derived_folders"
INDEX_FILE_SETTING = "index_file"
"""The gallery's setting that names the file its vectors may be read from."""

_MOST_PLACES = 31
_ROOMS = ("classifiers", "cohorts", "indexes", "pages")
_PLACE = re.compile(r"[0-9a-f]{32}")


def derived_file(gallery: Path) -> Path:
    """Return where what was fitted to a gallery's people is kept."""
    return _derived_at(place_of(gallery))


def cohort_file(gallery: Path) -> Path:
    """Return where the mean embeddings of the people in a gallery's scan are kept."""
    return _cohort_at(place_of(gallery))


def index_file(gallery: Path) -> Path:
    """Return where a large gallery's vectors are kept for searching; while it is written, its name is longer."""
    return _index_at(place_of(gallery))


def page_file(gallery: Path) -> Path:
    """Return where a page with faces is written for which nobody named a file; its folder is made, the owner's alone.

    Raises `StorageError`: the folder cannot be made.
    """
    page = _page_at(place_of(gallery))
    try:
        page.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(page.parent, error, "name a file with --out") from error
    return page


def place_of(gallery: Path) -> str:
    """Return what a gallery's files are called in the cache, by where it is: 32 hex digits."""
    return hashlib.sha256(os.fsencode(gallery.resolve())).hexdigest()[:32]


def noted(places: object, gallery: Path) -> list[str]:
    """Return the places under which files of a gallery were written, this one added; as settings keep them."""
    known = [place for place in places if _is_place(place)] if isinstance(places, list) else []
    here = place_of(gallery)
    return [*[place for place in known if place != here][-_MOST_PLACES:], here]


def noted_folders(folders: object) -> list[str]:
    """Return the cache folders that files of a gallery were written to, this one added; as settings keep them."""
    known = [folder for folder in folders if _is_folder(folder)] if isinstance(folders, list) else []
    here = str(cache_folder().absolute())
    return [*[folder for folder in known if folder != here][-_MOST_PLACES:], here]


def derived_files(gallery: Path, places: object = None, folders: object = None) -> list[Path]:
    """Return the files made from a gallery's people that are there; for the parameters see `wipe_derived`."""
    return [path for path in _paths(gallery, places, folders) if os.path.lexists(path)]


def derived_folders(folders: object = None) -> list[Path]:
    """Return the folders that files made from a gallery are in, by what `noted_folders` said."""
    return [Path(cache, room) for cache in noted_folders(folders) for room in _ROOMS]


def wipe_derived(gallery: Path, places: object = None, folders: object = None) -> list[Path]:
    """Overwrite and remove what was made from a gallery's people; nothing where there is nothing.

    Call it once the gallery no longer holds whoever is forgotten. Raises `StorageError`: it cannot be removed.

    Parameters
    ----------
    gallery
        The gallery.
    places
        What `noted` said when files were written: it may have had other names then.
    folders
        What `noted_folders` said: the cache may have been elsewhere then.

    Returns
    -------
    list[Path]
        What was removed.
    """
    removed = derived_files(gallery, places, folders)
    for path in removed:
        try:
            wipe_file(path)
        except OSError as error:
            raise cannot_write(path, error, "remove it by hand, it may describe somebody who was forgotten") from error
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
