"""Validation of paths, and the folders of facebank."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from facebank.errors import UsageError
from facebank.storage.bucket_urls import (
    BucketURL,
    bucket_file_message,
    is_bucket_url,
    is_other_address,
    is_storable,
    missing_slash_message,
    names_bucket,
    unsupported_address_message,
)
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


def named_path(path: str | os.PathLike[str], label: str = "the path") -> Path:
    """Return a path as an object, after rejecting empty ones, which Python treats as the current folder.

    Parameters
    ----------
    path
        Text or path object.
    label
        Name of the path in error messages.

    Raises
    ------
    UsageError
        The path is empty, not a path, or the address of a bucket.

    Examples
    --------
    >>> named_path("photos").name
    'photos'
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise UsageError(f"{label} must be text or a pathlib.Path, not {printable(repr(path))}")
    if not os.fspath(path):
        raise UsageError(f"{label} is empty: name a file or folder, or '.' for the current folder")
    if names_bucket(os.fspath(path)):
        raise UsageError(bucket_file_message(os.fspath(path)))
    return Path(path)


def named_paths(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], label: str = "the path"
) -> list[Path]:
    """Return one or several paths as a list; raises `UsageError` for an empty path or a value that is not a path."""
    if isinstance(paths, str | os.PathLike) or not is_list_like(paths):
        return [file_path(cast("str", paths), label)]
    return [file_path(path, label) for path in paths]


def named_places(places: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path | str]:
    """Return the places of a scan as a list: paths, and addresses of buckets in their shortest form.

    Raises `UsageError` for an address of anything else, and as `named_paths` does.
    """
    if isinstance(places, str | os.PathLike) or not is_list_like(places):
        return [_named_place(cast("str", places))]
    return [_named_place(place) for place in places]


def _named_place(place: str | os.PathLike[str]) -> Path | str:
    if is_bucket_url(place):
        return str(BucketURL.parse(cast("str", place)))
    if isinstance(place, str) and is_other_address(place):
        raise UsageError(unsupported_address_message(place))
    if isinstance(place, str | os.PathLike) and names_bucket(os.fspath(place)):
        raise UsageError(missing_slash_message(os.fspath(place)))
    return file_path(place)


def file_path(path: str | os.PathLike[str], label: str = "the path") -> Path:
    """Return a path that a file can have; raises `UsageError` otherwise, as `named_path` does."""
    named = named_path(path, label)
    if not is_storable(str(named)):
        raise UsageError(f"{label} is not valid for a file: {printable(repr(str(named)))}; name another one")
    return named


def is_list_like(value: object) -> bool:
    """Return whether an object is iterable, other than text, bytes or an open file."""
    if isinstance(value, str | bytes | bytearray | memoryview) or hasattr(value, "read"):
        return False
    try:
        iter(cast("Iterable[object]", value))
    except TypeError:
        return False
    return True


def absolute(path: str | os.PathLike[str]) -> str:
    """Return an absolute path without resolving links, as stored in scan files, because users recognize it."""
    return os.path.abspath(file_path(path))  # noqa: PTH100 - resolve() follows links


def place_path(place: str | os.PathLike[str]) -> str:
    """Return a place as scan files store it: an absolute path, or the address of a bucket."""
    return str(BucketURL.parse(cast("str", place))) if is_bucket_url(place) else absolute(place)


def outermost(places: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the results of `place_path` without those inside another one: paths, then buckets' addresses."""
    named = list(map(place_path, places))
    paths: list[Path] = []
    for path in sorted((Path(place) for place in named if not is_bucket_url(place)), key=lambda path: path.parts):
        if not paths or not path.is_relative_to(paths[-1]):
            paths.append(path)
    urls: list[str] = []
    for url in sorted(filter(is_bucket_url, named), key=lambda url: url.split("/")):
        if not urls or not f"{url}/".startswith(f"{urls[-1]}/"):
            urls.append(url)
    return [*map(str, paths), *urls]


def path_from_environment(variable: str) -> Path | None:
    """Return the path that an environment variable names; None if it is unset or empty."""
    value = os.environ.get(variable)
    return Path(value) if value else None


def packs_folder() -> Path:
    """Return the folder of installed packs: ``FACEBANK_PACKS``, else one in the user's data folder."""
    return _user_folder("FACEBANK_PACKS", "user_data_path", "packs")


def calibrations_folder() -> Path:
    """Return the folder of the user's calibrations: ``FACEBANK_CALIBRATIONS``, else one in the data folder."""
    return _user_folder("FACEBANK_CALIBRATIONS", "user_data_path", "calibrations")


def cache_folder() -> Path:
    """Return the folder of reproducible files: ``FACEBANK_CACHE``, else the user's cache folder."""
    return _user_folder("FACEBANK_CACHE", "user_cache_path", ".")


def can_be_written(folder: Path) -> bool:
    """Return whether files can be created in a folder, or the folder itself if it is missing."""
    for ancestor in (folder, *folder.absolute().parents):
        try:
            if ancestor.exists():
                return ancestor.is_dir() and os.access(ancestor, os.W_OK | os.X_OK)
        except OSError:
            return False
    return False


def set_matplotlib_cache() -> None:
    """Move matplotlib's font cache to the cache folder; call it before matplotlib is first imported.

    If the cache is not writable, a temporary folder is used; otherwise matplotlib would create one and print a warning
    on standard error.
    """
    if "MPLCONFIGDIR" in os.environ:
        return
    folder = cache_folder() / "matplotlib"
    if not can_be_written(folder):
        try:
            temporary = tempfile.mkdtemp(prefix="facebank-")
        except OSError:
            return
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        folder = Path(temporary)
    os.environ["MPLCONFIGDIR"] = str(folder)


def _user_folder(variable: str, function: str, subfolder: str) -> Path:
    path = path_from_environment(variable)
    if path is not None:
        try:
            return path.expanduser()
        except RuntimeError as error:
            raise UsageError(
                f"{variable} names {printable(str(path))!r}, and there is no such home folder: set it to another folder"
            ) from error
    import platformdirs

    folder: Path = getattr(platformdirs, function)("facebank", appauthor=False)
    return folder / subfolder
