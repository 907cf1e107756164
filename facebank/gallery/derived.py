"""Files made from a gallery and kept beside it, in the cache: they must not outlive whoever is forgotten.

They are their owner's alone, and are overwritten before they are removed or replaced.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from facebank.packs.files import cache_folder, cannot_write
from facebank.storage.leftovers import wipe_file

if TYPE_CHECKING:
    from pathlib import Path

DERIVED_PLACES_SETTING = "derived_places"

_MOST_PLACES = 31
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


def place_of(gallery: Path) -> str:
    """Return what a gallery's files are called in the cache, by where it is: 32 hex digits."""
    return hashlib.sha256(os.fsencode(gallery.resolve())).hexdigest()[:32]


def noted(places: object, gallery: Path) -> list[str]:
    """Return the places under which files of a gallery were written, this one added; as settings keep them."""
    known = [place for place in places if _is_place(place)] if isinstance(places, list) else []
    here = place_of(gallery)
    return [*[place for place in known if place != here][-_MOST_PLACES:], here]


def wipe_derived(gallery: Path, places: object = None) -> None:
    """Overwrite and remove what was made from a gallery's people; nothing where there is nothing.

    Call it once the gallery no longer holds whoever is forgotten.

    Parameters
    ----------
    gallery
        The gallery.
    places
        What `noted` said when files were written: it may have had other names then.

    Raises
    ------
    StorageError
        If it cannot be removed.
    """
    for place in noted(places, gallery):
        _wipe_at(place)


def _wipe_at(place: str) -> None:
    index = _index_at(place)
    unfinished = (f"{index.name}*", f".facebank-*.part.{index.stem}")  # the first form is an earlier version's
    indexes = (path for form in unfinished for path in sorted(index.parent.glob(form)))
    for path in (_derived_at(place), _cohort_at(place), *indexes):
        try:
            wipe_file(path)
        except OSError as error:
            raise cannot_write(path, error, "remove it by hand, it may describe somebody who was forgotten") from error


def _derived_at(place: str) -> Path:
    return cache_folder() / "classifiers" / f"{place}.npz"


def _cohort_at(place: str) -> Path:
    return cache_folder() / "cohorts" / f"{place}.npz"


def _index_at(place: str) -> Path:
    return cache_folder() / "indexes" / f"{place}.vectors"


def _is_place(text: object) -> bool:
    return isinstance(text, str) and _PLACE.fullmatch(text) is not None
