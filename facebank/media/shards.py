"""Shards: division of the photos of some folders among machines that do not communicate."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.storage.paths import absolute
from facebank.storage.text import printable
from facebank.storage.values import path_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from facebank.media.finding import FolderContents

MAX_SHARDS = 10_000
"""Maximum number of shards."""

_SHARD = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One of several shards of photos.

    A photo's shard is 1 + ``n`` modulo `count`, where ``n`` are the first 8 bytes, most significant first, of the
    SHA-256 of its path below the named folder: with ``/`` between names, in Unicode's form NFC, as UTF-8. If the photo
    itself was named, its file name is hashed. Machines that mount a folder at different paths get the same shards.
    """

    number: int  # from 1
    count: int

    def __post_init__(self) -> None:
        numbers = (self.number, self.count)
        if not all(type(number) is int for number in numbers) or not 1 <= self.number <= self.count <= MAX_SHARDS:
            raise _shard_error(f"{self.number}/{self.count}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard of a text such as ``3/16``; raises `UsageError` if invalid."""
        match = _SHARD.fullmatch(text)
        if match is None:
            raise _shard_error(text)
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, pair: tuple[int, int]) -> Self:
        """Return the shard of a number and a count; raises `UsageError` if they are invalid."""
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise _shard_error(repr(pair))
        return cls(*pair)

    def holds(self, path: str, places: Iterable[str]) -> bool:
        """Return whether a photo belongs to the shard; False if it is outside of the named places.

        Parameters
        ----------
        path
            Absolute path of the photo.
        places
            The named files and folders: absolute, none inside another (`facebank.storage.paths.outermost`).
        """
        numbers = (shard_number(path, place, self.count) for place in places)
        return next((number for number in numbers if number is not None), None) == self.number

    def select(self, contents: FolderContents, places: Sequence[str]) -> FolderContents:
        """Return the contents of a folder that belong to the shard; unreadable folders belong to every shard."""

        def is_in_shard(path: Path) -> bool:
            return path in contents.unreadable or self.holds(absolute(path), places)

        return replace(
            contents,
            photos=tuple(filter(is_in_shard, contents.photos)),
            videos=tuple(filter(is_in_shard, contents.videos)),
            skipped=tuple((path, kind) for path, kind in contents.skipped if is_in_shard(path)),
        )


def shard_number(path: str, place: str, count: int) -> int | None:
    """Return the number of a photo's shard, see `Shard`; None if it is outside of `place`. Both paths are absolute."""
    relative = _path_below(path, place)
    if relative is None:
        return None
    name = unicodedata.normalize("NFC", relative.replace(os.sep, "/"))
    return int.from_bytes(sha256(path_to_bytes(name)).digest()[:8]) % count + 1


def _path_below(path: str, place: str) -> str | None:
    """Return a path relative to a place, its name if it is the place itself, None if it is outside."""
    if path == place:
        return os.path.basename(path)  # noqa: PTH119 - a million paths
    prefix = place if place.endswith(os.sep) else place + os.sep
    return path[len(prefix) :] if path.startswith(prefix) else None


def _shard_error(text: str) -> UsageError:
    return UsageError(
        f"there is no shard {printable(text[:40])}: write 3/16 for the third of 16 shards, at most {MAX_SHARDS:,}"
    )
