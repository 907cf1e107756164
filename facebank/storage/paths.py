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
    is_bucket_url,
    is_other_address,
    names_bucket,
    not_read,
    only_scans_read,
    two_slashes,
)
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


def named_path(path: str | os.PathLike[str], what: str = "the path") -> Path:
    """Return a path; raises `UsageError` for an empty one, which Python treats as the current folder, and for a bucket.

    Parameters
    ----------
    path
        Text or path object.
    what
        Description for the error message.

    Examples
    --------
    >>> named_path("photos").name
    'photos'
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise UsageError(f"{what} must be text or a pathlib.Path, not {printable(repr(path))}")
    if not os.fspath(path):
        raise UsageError(f"{what} is empty: name a file or folder, or '.' for the current folder")
    if names_bucket(os.fspath(path)):
        raise UsageError(only_scans_read(os.fspath(path)))
    return Path(path)


def named_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], what: str = "the path") -> list[Path]:
    """Return one or several paths as a list; raises `UsageError` for an empty path or another type."""
    if isinstance(paths, str | os.PathLike) or not is_list_like(paths):
        return [file_path(cast("str", paths), what)]
    return [file_path(path, what) for path in paths]


def named_places(places: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path | str]:
    """Return the places of a scan as a list: paths, and addresses of buckets in their shortest form.

    Raises `UsageError` for an address of anything else, and as `named_paths` does.
    """
    several = [places] if isinstance(places, str | os.PathLike) or not is_list_like(places) else places
    return [_named_place(cast("str", place)) for place in cast("Iterable[object]", several)]


def _named_place(place: str | os.PathLike[str]) -> Path | str:
    if is_bucket_url(place):
        return str(BucketURL.parse(cast("str", place)))
    if isinstance(place, str) and is_other_address(place):
        raise UsageError(not_read(place))
    if isinstance(place, str | os.PathLike) and names_bucket(os.fspath(place)):
        raise UsageError(two_slashes(os.fspath(place)))
    return file_path(place)


def file_path(path: str | os.PathLike[str], what: str = "the path") -> Path:
    """Return a path that a file can have; raises `UsageError` otherwise, as `named_path` does."""
    named = named_path(path, what)
    try:
        possible = b"\0" not in os.fsencode(named)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise UsageError(f"{what} is not valid for a file: {printable(repr(str(named)))}")
    return named


def is_list_like(things: object) -> bool:
    """Return whether an object is iterable, other than text, bytes or an open file."""
    if isinstance(things, str | bytes | bytearray | memoryview) or hasattr(things, "read"):
        return False
    try:
        iter(cast("Iterable[object]", things))
    except TypeError:
        return False
    return True


def is_folder(place: Path) -> bool:
    """Return whether a path is a folder; False if its status cannot be read, which reading it will report."""
    try:
        return place.is_dir()
    except OSError:
        return False


def absolute(place: str | os.PathLike[str]) -> str:
    """Return an absolute path without resolving links, as stored in scan files: users know these paths."""
    return os.path.abspath(file_path(place))  # noqa: PTH100 - resolve() follows links


def place_path(place: str | os.PathLike[str]) -> str:
    """Return a place as scan files store it: an absolute path as of `absolute`, or the address of a bucket."""
    return str(BucketURL.parse(cast("str", place))) if is_bucket_url(place) else absolute(place)


def outermost(places: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the unique places as of `place_path`, without those inside another one; buckets follow."""
    named = list(map(place_path, places))
    found: list[Path] = []
    for path in sorted((Path(place) for place in named if not is_bucket_url(place)), key=lambda path: path.parts):
        if not found or not path.is_relative_to(found[-1]):
            found.append(path)
    buckets: list[str] = []
    for url in sorted(filter(is_bucket_url, named), key=lambda url: url.split("/")):
        if not buckets or not f"{url}/".startswith(f"{buckets[-1]}/"):
            buckets.append(url)
    return [*map(str, found), *buckets]


def path_from_environment(variable: str) -> Path | None:
    """Return the path that an environment variable names; None if it is unset or empty."""
    named = os.environ.get(variable)
    return Path(named) if named else None


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
    for there in (folder, *folder.absolute().parents):
        try:
            if there.exists():
                return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        except OSError:
            return False
    return False


def keep_plots_out_of_home() -> None:
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


def _user_folder(variable: str, place: str, below: str) -> Path:
    named = path_from_environment(variable)
    if named is not None:
        try:
            return named.expanduser()
        except RuntimeError as error:
            raise UsageError(f"{variable} names {printable(str(named))!r}, and there is no such home folder") from error
    import platformdirs

    found: Path = getattr(platformdirs, place)("facebank", appauthor=False)
    return found / below
