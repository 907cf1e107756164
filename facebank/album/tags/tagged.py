"""What became of the names of a photo."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Action(StrEnum):
    """What becomes of a face's region, from what changes least."""

    UNCHANGED = "unchanged"
    ADDED = "added"
    NAMED = "named"
    RENAMED = "renamed"
    CONFLICT = "conflict"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class TaggedFace:
    """What became of a face.

    Attributes
    ----------
    face
        Its place in the photo, from 0, the largest.
    person
        The name that is known, or too improbable to be; empty for a face that is only framed.
    action
        What became of its region.
    named_as
        The name that it has or had in a file, where that is another; empty where somebody took the name away that
        facebank wrote; the person's own where another face has it there; else None.
    """

    face: int
    person: str
    action: Action
    named_as: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedPhoto:
    """What became of a photo.

    Attributes
    ----------
    image
        Its path.
    files
        What was written, or would be: the photo or a sidecar.
    error
        Why something could not be written; None where everything could, or nothing was to be.
    faces
        Those that were to be written, and those whose name is too improbable.
    content_hash
        SHA-256 in hex of the photo's bytes where they are others now and were as scanned before; else None.
    removed
        Names that were taken out, or would be, because they were denied or forgotten.
    standing
        Names that facebank wrote and that stand there now, by file; None where nothing was read.
    left
        Names that should go and stand in the photo itself, which is not written without ``into_photos``.
    outside
        Files that links lead out of the named folders to: where there is one, nothing is written for this photo.
    """

    image: str
    files: tuple[str, ...]
    error: str | None
    faces: tuple[TaggedFace, ...]
    content_hash: str | None = None
    removed: tuple[str, ...] = ()
    standing: Mapping[str, tuple[str, ...]] | None = None
    left: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
