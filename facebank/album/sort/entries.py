"""Entries of a sort journal, one for each file, and their validation."""

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

MAX_NAME_LENGTH = 255  # bytes, of most file systems
_MAX_PATH_LENGTH = 32_768  # characters
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # on Windows
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f/\\]')


class SortMode(StrEnum):
    """A kind of transfer of photos into people's folders.

    Examples
    --------
    >>> SortMode("copy") is SortMode.COPY
    True
    """

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Entry:
    """The transfer of a file into a person's folder, finished or begun; a photo's sidecars follow the photo."""

    mode: SortMode
    source: str  # absolute path
    target: str  # absolute path
    content_hash: str  # SHA-256 of the file's bytes, in hex
    person: str  # owner of the folder
    picture_hash: str = ""  # SHA-256 of a photo's pixels, stored or upright, in hex; empty if unknown

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


def parse_entry(line: dict[str, object], out: Path, folders: Sequence[Path]) -> Entry:
    """Return the entry of a journal's line, validated.

    Raises `InvalidValueError` if the line is not an entry or names other files; the message is the reason.

    Parameters
    ----------
    line
        The parsed line, without its signature.
    out
        The folder that holds the people's folders as the journal names it, absolute; the target must lie in one of
        them.
    folders
        The sorted folders, absolute; the source must lie in one of them.
    """
    fields = dict(line)
    try:
        entry = Entry(SortMode(_text(fields.pop("way"))), **{name: _text(value) for name, value in fields.items()})
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidValueError("it is not an entry") from error
    if not _SHA256.fullmatch(entry.content_hash):
        raise InvalidValueError("it is not an entry")
    if entry.picture_hash and not _SHA256.fullmatch(entry.picture_hash):
        raise InvalidValueError("it is not an entry")
    if not is_valid_path(entry.source) or not is_valid_path(entry.target):
        raise InvalidValueError("its paths are not absolute and normalized")
    target, source = Path(entry.target), Path(entry.source)
    if target.parent.parent != out or folder_name(target.parent.name) != target.parent.name:
        raise InvalidValueError("its target does not lie in a person's folder")
    if not any(folder != source and source.is_relative_to(folder) for folder in folders):
        raise InvalidValueError("its photo does not come from a folder that was sorted")
    if (source.suffix == SUFFIX) != entry.is_sidecar:
        raise InvalidValueError("its source and target are not both photos or both sidecars")
    return entry


def require_visible(entry: Entry, folder: Path) -> None:
    """Raise `InvalidValueError` if the source is hidden below a folder, because scans do not find hidden photos."""
    if any(part.startswith(".") for part in Path(entry.source).relative_to(folder).parts):
        raise InvalidValueError("its photo is hidden")


def is_valid_path(path: str) -> bool:
    """Return whether a text is a normalized absolute path that the file system can represent."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    is_normalized = os.path.isabs(path) and os.path.normpath(path) == path  # noqa: PTH117 - as it is spelled
    return is_normalized and len(path) <= _MAX_PATH_LENGTH and "\0" not in path


def is_photo_or_sidecar(location: FileLocation, *, by_name: bool) -> bool:
    """Return whether a file is a sidecar by its name, or a photo by its first bytes and, if `by_name`, its suffix."""
    suffix = Path(location.name).suffix
    if suffix == SUFFIX:
        return True
    if by_name and suffix.lower() not in PHOTO_SUFFIXES:
        return False
    with location.read() as file:
        head = file.read(SIGNATURE_BYTES)
    try:
        recognize_format(head, location.name)
    except PhotoError:
        return False
    return True


def folder_name(person: str) -> str:
    """Return a person's name as a folder name that is safe on every system, at most 255 bytes.

    Examples
    --------
    >>> folder_name("A/B"), folder_name("con")
    ('A_B', '_con')
    """
    name = _UNSAFE.sub("_", person).rstrip(". ") or "_"
    if name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return truncate(name, MAX_NAME_LENGTH).rstrip(". ")


def truncate(name: str, size: int) -> str:
    """Return as many whole characters of a name as fit into `size` bytes of UTF-8.

    Examples
    --------
    >>> truncate("Zoë", 3)
    'Zo'
    """
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= size else data[:size].decode("utf-8", "ignore")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValueError("it is not an entry")
    return value
