"""What state a gallery's file is in, for ``facebank doctor``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebank.errors import FacebankError, GalleryNotFoundError
from facebank.gallery.checking import examine
from facebank.gallery.store import tables
from facebank.gallery.store.file import GalleryFile
from facebank.gallery.store.schema import schema_version
from facebank.storage.paths import named_path
from facebank.storage.text import shell_word

if TYPE_CHECKING:
    import sqlite3

_WAIT = 1.0  # seconds: a busy gallery is a healthy one


@dataclass(frozen=True, slots=True)
class GalleryHealth:
    """What was found out about a gallery's file.

    Attributes
    ----------
    path
        The file.
    exists
        Whether it is there.
    schema_version, pack_name, pack_digest, people, samples, journal_mode
        What it says of itself; None as far as it cannot be read.
    problems
        One sentence for each thing that is wrong; empty for a healthy gallery, and for one that is not there yet.
    """

    path: Path
    exists: bool
    schema_version: int | None = None
    pack_name: str | None = None
    pack_digest: str | None = None
    people: int | None = None
    samples: int | None = None
    journal_mode: str | None = None
    problems: tuple[str, ...] = ()


def inspect_gallery(path: str | os.PathLike[str]) -> GalleryHealth:
    """Look a gallery over, every page and every embedding of it, and change nothing.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    GalleryHealth
        Never an exception: what is wrong with the file is in `GalleryHealth.problems`.
    """
    place = named_path(path, "the path of the gallery")
    try:
        file = GalleryFile.open(place, read_only=True, busy_timeout=_WAIT)
    except GalleryNotFoundError:
        return GalleryHealth(place, exists=place.exists())
    except FacebankError as error:
        return GalleryHealth(place, exists=True, problems=(str(error),))
    try:
        with file.reading() as connection:
            return _examined(place, connection)
    except FacebankError as error:
        return GalleryHealth(place, exists=True, problems=(str(error),))
    finally:
        file.close()


def _examined(place: Path, connection: sqlite3.Connection) -> GalleryHealth:
    bound = tables.binding(connection)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return GalleryHealth(
        path=place,
        exists=True,
        schema_version=schema_version(connection),
        pack_name=bound.pack.name,
        pack_digest=bound.pack.digest,
        people=len(tables.names(connection)),
        samples=len(tables.sample_ids(connection)),
        journal_mode=str(mode),
        problems=(*_damage(connection), *_exposure(place), *_traces(connection)),
    )


def _damage(connection: sqlite3.Connection) -> list[str]:
    return [f"The file is damaged: {damage.message}." for damage in examine(connection)[1]]


def _exposure(place: Path) -> list[str]:
    if os.name != "posix" or not place.stat().st_mode & 0o077:
        return []
    return [f"Other users of this computer can read the faces: `chmod 600 {shell_word(str(place))}`."]


def _traces(connection: sqlite3.Connection) -> list[str]:
    if not tables.traces(connection):
        return []
    return [
        "Traces of somebody who was forgotten may still be in the file: they go when facebank next changes the "
        "gallery while nothing else uses it."
    ]
