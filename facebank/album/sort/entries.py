"""What a sort journal says of a file, and what of it can be true."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.sort.ways import Way, folder_name
from facebank.album.tags.sidecars import SUFFIX
from facebank.errors import PhotoError
from facebank.media import PHOTO_SUFFIXES, SIGNATURE_BYTES, recognize_format
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.storage.folders import Spot

_LONGEST_PATH = 32_768
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WAYS = frozenset(way.value for way in Way)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was put somewhere, or was about to be.

    The entries of a photo's sidecars follow its own.

    Attributes
    ----------
    way
        How: one of `facebank.album.sort.ways.Way`.
    source, target
        From where and to where, absolute.
    content_hash
        SHA-256 of its bytes, in hex.
    person
        For whom.
    picture_hash
        SHA-256 of a photo's picture, in hex, as it is stored or as it is seen; empty where it is not known.
    """

    way: str
    source: str
    target: str
    content_hash: str
    person: str
    picture_hash: str = ""

    @property
    def is_sidecar(self) -> bool:
        """Whether it is about a file that only goes with its photo."""
        return self.target.endswith(SUFFIX)


def entry_of(content: dict[str, object], out: Path, folders: Sequence[Path]) -> Entry:
    """Return an entry that names nothing but a file in a person's folder, and one that was sorted.

    Parameters
    ----------
    content
        As it was read.
    out
        The folder for the people's folders, absolute, as the journal names it.
    folders
        What was sorted into it, absolute.

    Raises
    ------
    InvalidValueError
        It is none; the message says why.
    """
    try:
        entry = Entry(**{name: _text(value) for name, value in content.items()})
    except TypeError:
        raise InvalidValueError("it is no entry") from None
    if entry.way not in _WAYS or not _DIGEST.fullmatch(entry.content_hash):
        raise InvalidValueError("it is no entry")
    if entry.picture_hash and not _DIGEST.fullmatch(entry.picture_hash):
        raise InvalidValueError("it is no entry")
    if not is_whole(entry.source) or not is_whole(entry.target):
        raise InvalidValueError("its paths are not whole")
    target, source = Path(entry.target), Path(entry.source)
    if target.parent.parent != out or folder_name(target.parent.name) != target.parent.name:
        raise InvalidValueError("it does not lie in a person's folder there")
    if not any(folder != source and source.is_relative_to(folder) for folder in folders):
        raise InvalidValueError("its photo does not come from a folder that was sorted")
    if (source.suffix == SUFFIX) != entry.is_sidecar:
        raise InvalidValueError("it makes a photo of a sidecar, or a sidecar of a photo")
    return entry


def require_seen(entry: Entry, folder: Path) -> None:
    """Raise `InvalidValueError` where an entry's photo is hidden, or lies in a hidden folder, where none is found."""
    if any(part.startswith(".") for part in Path(entry.source).relative_to(folder).parts):
        raise InvalidValueError("it hides its photo")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValueError("it is no entry")
    return value


def is_whole(path: str) -> bool:
    """Return whether a text is an absolute path without detours that a file can have."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    whole = os.path.isabs(path) and os.path.normpath(path) == path  # noqa: PTH117 - as it is spelled
    return whole and len(path) <= _LONGEST_PATH and "\0" not in path


def is_photo_or_sidecar(spot: Spot, *, by_name: bool) -> bool:
    """Return whether a file is a photo by its first bytes, or a sidecar by its name.

    Parameters
    ----------
    spot
        Where it is.
    by_name
        Whether a photo's name must end as photos' names do, too.
    """
    suffix = Path(spot.name).suffix
    if suffix == SUFFIX:
        return True
    if by_name and suffix.lower() not in PHOTO_SUFFIXES:
        return False
    with spot.read() as file:
        head = file.read(SIGNATURE_BYTES)
    try:
        recognize_format(head, spot.name)
    except PhotoError:
        return False
    return True
