"""Paths as callers name them, and facebank's own folders."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


def named_path(path: str | os.PathLike[str], what: str = "the path") -> Path:
    """Return a path; raises `UsageError` for an empty one, which Python takes for the current folder.

    Parameters
    ----------
    path
        As the caller gave it.
    what
        What to call it in the message.

    Examples
    --------
    >>> named_path("photos").name
    'photos'
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"{what} is text or a pathlib.Path, not {printable(repr(path))}")
    if not os.fspath(path):
        raise UsageError(f"{what} is empty: name a file or folder; '.' is the current folder")
    return Path(path)


def named_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], what: str = "the path") -> list[Path]:
    """Return one path or several as a list; raises `UsageError` for an empty one."""
    return [named_path(path, what) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def absolute(place: str | os.PathLike[str]) -> str:
    """Return an absolute path with links unresolved, as scan files hold it: people know their folders by them."""
    return os.path.abspath(named_path(place))  # noqa: PTH100 - resolve() follows links


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
    """Return the folder of what can be made again: ``FACEBANK_CACHE``, else the user's cache folder."""
    return _user_folder("FACEBANK_CACHE", "user_cache_path", ".")


def can_be_written(folder: Path) -> bool:
    """Return whether files can be made in a folder, or the folder itself if it is missing."""
    for there in (folder, *folder.absolute().parents):
        try:
            if there.exists():
                return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        except OSError:
            return False
    return False


def keep_plots_out_of_home() -> None:
    """Let matplotlib keep its list of fonts in the cache folder; call it before matplotlib is first imported.

    If the cache cannot be written, a temporary folder is used: without one, matplotlib makes its own and says so on
    standard error.
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
