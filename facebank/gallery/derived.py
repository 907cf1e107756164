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

_MAX_EARLIER = 31
_FOLDERS = ("classifiers", "cohorts", "indexes", "pages")
_CACHE_KEY = re.compile(r"[0-9a-f]{32}")


def classifier_file(gallery: Path) -> Path:
    """Return the path of the classifier fitted to a gallery's people."""
    return _classifier_at(cache_key(gallery))


def cohort_file(gallery: Path) -> Path:
    """Return the path of the mean embeddings of the people in a gallery's scan."""
    return _cohort_at(cache_key(gallery))


def index_file(gallery: Path) -> Path:
    """Return the path of a large gallery's search vectors; a partial file has a longer name."""
    return _index_at(cache_key(gallery))


def page_file(gallery: Path) -> Path:
    """Return the path of an HTML page of faces when no output file is named; creates its folder, private to the owner.

    Raises `StorageError` if the folder cannot be created.
    """
    page = _page_at(cache_key(gallery))
    try:
        page.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(page.parent, error, "name a file with --out") from error
    return page


def cache_key(gallery: Path) -> str:
    """Return the base name of a gallery's files in the cache, a hash of its path: 32 hex digits."""
    return hashlib.sha256(os.fsencode(gallery.resolve())).hexdigest()[:32]


def add_cache_key(keys: object, gallery: Path) -> list[str]:
    """Return the setting of cache keys with this gallery's current one added."""
    earlier = [key for key in keys if _is_cache_key(key)] if isinstance(keys, list) else []
    current = cache_key(gallery)
    return [*[key for key in earlier if key != current][-_MAX_EARLIER:], current]


def add_cache_folder(folders: object) -> list[str]:
    """Return the setting of cache folders with the current one added."""
    earlier = [folder for folder in folders if _is_folder(folder)] if isinstance(folders, list) else []
    current = str(cache_folder().absolute())
    return [*[folder for folder in earlier if folder != current][-_MAX_EARLIER:], current]


def derived_files(gallery: Path, keys: object = None, folders: object = None) -> list[Path]:
    """Return the existing files derived from a gallery; for the parameters see `wipe_derived`."""
    return [path for path in _paths(gallery, keys, folders) if os.path.lexists(path)]


def derived_folders(folders: object = None) -> list[Path]:
    """Return the folders that may hold derived files, from the setting of `add_cache_folder`."""
    return [Path(cache, name) for cache in add_cache_folder(folders) for name in _FOLDERS]


def wipe_derived(gallery: Path, keys: object = None, folders: object = None) -> list[Path]:
    """Overwrite and remove the files derived from a gallery's people; no-op if there are none.

    Call it after the people have been removed from the gallery.

    Parameters
    ----------
    gallery
        Path of the gallery.
    keys
        Setting returned by `add_cache_key` when files were written: the gallery may have had another path then.
    folders
        Setting returned by `add_cache_folder`: the cache may have been in another folder then.

    Returns
    -------
    list[Path]
        The removed files.

    Raises
    ------
    StorageError
        A file cannot be removed.
    """
    removed = derived_files(gallery, keys, folders)
    for path in removed:
        try:
            wipe_file(path)
        except OSError as error:
            raise write_error(path, error, "remove it by hand, it may describe a forgotten person") from error
    return removed


def _paths(gallery: Path, keys: object, folders: object) -> Iterator[Path]:
    for cache in map(Path, add_cache_folder(folders)):
        for key in add_cache_key(keys, gallery):
            index = _index_at(key, cache)
            yield _classifier_at(key, cache)
            yield _cohort_at(key, cache)
            yield _page_at(key, cache)
            for pattern in (f"{index.name}*", f".facebank-*.part.{index.stem}"):  # an earlier version's, and this one's
                yield from sorted(index.parent.glob(pattern))


def _classifier_at(key: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "classifiers" / f"{key}.npz"


def _cohort_at(key: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "cohorts" / f"{key}.npz"


def _page_at(key: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "pages" / f"{key}.html"


def _index_at(key: str, cache: Path | None = None) -> Path:
    return (cache or cache_folder()) / "indexes" / f"{key}.vectors"


def _is_cache_key(text: object) -> bool:
    return isinstance(text, str) and _CACHE_KEY.fullmatch(text) is not None


def _is_folder(text: object) -> bool:
    return isinstance(text, str) and "\0" not in text and os.path.isabs(text)  # noqa: PTH117 - it is no Path yet
