"""Entries of a sort journal, one for each file, and the checks that an entry can be true."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.album.tags.sidecars import SUFFIX
from facebank.errors import PhotoError
from facebank.media import PHOTO_SUFFIXES, SIGNATURE_BYTES, recognize_format
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facebank.storage.folders import FileLocation

LONGEST_NAME = 255  # bytes, of most file systems
_LONGEST_PATH = 32_768
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # by Windows
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f/\\]')


class SortMode(StrEnum):
    """How a photo is put into a person's folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was put into a person's folder, or was about to be; a photo's sidecars follow the photo."""

    mode: SortMode  # how it was put there
    source: str  # absolute
    target: str  # absolute
    content_hash: str  # SHA-256 of the file's bytes, in hex
    person: str  # whose folder it is
    picture_hash: str = ""  # SHA-256 of a photo's pixels as stored or as seen upright, in hex; empty if unknown

    @property
    def is_sidecar(self) -> bool:
        """Whether the file is an XMP sidecar."""
        return self.target.endswith(SUFFIX)

    @property
    def line(self) -> dict[str, object]:
        """The entry as the journal stores it."""
        return {
            "way": str(self.mode),
            "source": self.source,
            "target": self.target,
            "content_hash": self.content_hash,
            "person": self.person,
            "picture_hash": self.picture_hash,
        }


def entry_of(line: dict[str, object], out: Path, folders: Sequence[Path]) -> Entry:
    """Return the entry of a journal's line, checked.

    Raises `InvalidValueError`: the line is no entry or names other files; the message is the reason.

    Parameters
    ----------
    line
        As read, without its signature.
    out
        The folder of the people's folders as the journal names it, absolute; the target lies in a folder of it.
    folders
        The sorted folders, absolute; the source lies in one of them.
    """
    fields = dict(line)
    try:
        entry = Entry(SortMode(_text(fields.pop("way"))), **{name: _text(value) for name, value in fields.items()})
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidValueError("it is no entry") from error
    if not _DIGEST.fullmatch(entry.content_hash):
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


def require_visible(entry: Entry, folder: Path) -> None:
    """Raise `InvalidValueError` if a part of the source's path below a folder is hidden: no scan finds such photos."""
    if any(part.startswith(".") for part in Path(entry.source).relative_to(folder).parts):
        raise InvalidValueError("it hides its photo")


def is_whole(path: str) -> bool:
    """Return whether a text is a normalized absolute path that the file system can hold."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    whole = os.path.isabs(path) and os.path.normpath(path) == path  # noqa: PTH117 - as it is spelled
    return whole and len(path) <= _LONGEST_PATH and "\0" not in path


def is_photo_or_sidecar(spot: FileLocation, *, by_name: bool) -> bool:
    """Return whether a file is a sidecar by its name or a photo by its first bytes, and by its name if `by_name`."""
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


def folder_name(person: str) -> str:
    """Return a person's name as a folder name that is safe on every system, at most 255 bytes."""
    name = _UNSAFE.sub("_", person).rstrip(". ") or "_"
    if name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return shortened(name, LONGEST_NAME).rstrip(". ")


def shortened(name: str, most: int) -> str:
    """Return as many whole characters of a name as fit into `most` bytes of UTF-8."""
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= most else data[:most].decode("utf-8", "ignore")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValueError("it is no entry")
    return value
