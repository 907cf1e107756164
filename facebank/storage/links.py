"""Which files lie in the folders that somebody named: links may lead out of them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.storage.paths import named_path
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SHOWN = 3
_REMEMBERED = 1024


class NamedFolders:
    """The files and folders that somebody named, to change what lies in them and nothing else.

    A place that is a link itself, or is reached by one, is what somebody named: what counts is where it leads.
    A link inside of it that leads out of all of them does not count as named. The XMP sidecars of a photo that is named
    are named with it, unless they are links.

    Parameters
    ----------
    places
        Files and folders; they need not be there. None at all for whatever no link leads to, links in the top folder
        excepted: ``/home`` and ``/tmp`` are links on some systems.

    Examples
    --------
    >>> NamedFolders(["photos"]).hold("photos/2019/mia.jpg")
    True
    >>> NamedFolders(["photos"]).hold("photos/../notes.txt")
    False
    """

    def __init__(self, places: Iterable[str | os.PathLike[str]]) -> None:
        named = [named_path(place) for place in places]
        self._folders = tuple(_whole(os.path.realpath(place)) for place in named)
        self._beside = frozenset(path for place in named if not place.is_dir() for path in _sidecars(place))
        self._real_folder = lru_cache(_REMEMBERED)(os.path.realpath)

    def hold(self, path: str | os.PathLike[str]) -> bool:
        """Return whether what a path leads to lies in one of the places, or would when it is made."""
        real = Path(_whole(self.real(path)))
        if self._folders:
            return str(real) in self._beside or any(real.is_relative_to(folder) for folder in self._folders)
        return real == Path(_whole(_without_top_link(path)))

    def real(self, path: str | os.PathLike[str]) -> str:
        """Return where a path leads, all links followed."""
        folder, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
        place = os.path.join(self._real_folder(folder), name)  # noqa: PTH118 - a name may be empty
        return os.path.realpath(place) if os.path.islink(place) else place  # noqa: PTH114


def passed_over(paths: Sequence[str], what: str = "photo", *, as_targets: bool = False) -> str:
    """Return the sentence about files that a command leaves alone, because links lead out of the named folders to them.

    Parameters
    ----------
    paths
        One or more of them, as somebody would look for them.
    what
        What they are called, in the singular.
    as_targets
        Whether the links lie where the files would have been written.
    """
    shown = ", ".join(printable(path) for path in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    counted = f"1 {what} is" if len(paths) == 1 else f"{len(paths):,} {what}s are"
    them, they = ("it", "it") if len(paths) == 1 else ("them", "they")
    why, advice = f"to {them}", f"name the folder that holds {them}"
    if as_targets:
        why, advice = f"where {they} would be written", "take the links away"
    return f"{counted} passed over, because links lead out of the named folders {why} ({shown}{more}): {advice}"


def _sidecars(photo: Path) -> tuple[str, str]:
    folder = os.path.realpath(photo.parent)
    return _whole(str(Path(folder, f"{photo.name}.xmp"))), _whole(str(Path(folder, f"{photo.stem}.xmp")))


def _whole(path: str) -> str:
    return os.path.normcase(path)


def _without_top_link(path: str | os.PathLike[str]) -> str:
    """Return an absolute path with nothing but the first folder's link followed."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
    top, first, *others = whole.parts if len(whole.parts) > 1 else (*whole.parts, "")
    return str(Path(os.path.realpath(Path(top, first)), *others)) if others else str(whole)
