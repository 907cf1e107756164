"""How photos come into the folders of people, and what those folders are called."""

from __future__ import annotations

import re
from enum import StrEnum

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # Windows'
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f/\\]')
LONGEST_NAME = 255  # bytes, of most file systems


class Way(StrEnum):
    """How a photo comes into a person's folder."""

    COPY = "copy"
    LINK = "link"
    MOVE = "move"


def folder_name(person: str) -> str:
    """Return the name of a person's folder: the name, cut to 255 bytes, and never one that means something else."""
    name = _UNSAFE.sub("_", person).rstrip(". ") or "_"
    if name.startswith(".") or _RESERVED.fullmatch(name):
        name = f"_{name}"
    return cut(name, LONGEST_NAME).rstrip(". ")


def cut(name: str, most: int) -> str:
    """Return as much of a name as has so many bytes, without half a character."""
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= most else data[:most].decode("utf-8", "ignore")
