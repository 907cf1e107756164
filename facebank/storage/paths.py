"""Paths as callers name them."""

from __future__ import annotations

import os
from pathlib import Path

from facebank.errors import UsageError


def named_path(path: str | os.PathLike[str], what: str = "the path") -> Path:
    """Return a path, but refuse an empty one, which Python takes for the current folder.

    Parameters
    ----------
    path
        As the caller gave it.
    what
        What to call it in the message.

    Raises
    ------
    UsageError
        It is empty.

    Examples
    --------
    >>> named_path("photos").name
    'photos'
    """
    if not os.fspath(path):
        raise UsageError(f"{what} is empty: name a file or folder; '.' is the current folder")
    return Path(path)


def absolute(place: str | os.PathLike[str]) -> str:
    """Return a path as scan files have it: whole, but with links as they are, by which people know their folders."""
    return os.path.abspath(named_path(place))  # noqa: PTH100 - resolve() follows links


def path_from_environment(variable: str) -> Path | None:
    """Return the path that a variable of the environment names; None where it is not set, or set to nothing."""
    named = os.environ.get(variable)
    return Path(named) if named else None
