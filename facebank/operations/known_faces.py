"""Photos of known people, and of strangers, as faces to simulate galleries with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError, PhotoNotFoundError, UsageError
from facebank.media import read_photo
from facebank.operations.inputs import gather_photos, nothing_there
from facebank.operations.person_folders import plan_enrollment
from facebank.recognition.calibration.simulation import Identities
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.operations.engine import Engine
    from facebank.types import DecodedPhoto, Face, FloatArray

SAME_PHOTO = 0.95
"""The similarity from which two faces are taken for one photo, perhaps at another size.

Of all pairs of LFW's development people one reaches it, and that one is a photo under two names.
"""

_ROWS_AT_ONCE = 512


class LeftOut(Enum):
    """Why a photo's face is not used."""

    UNREADABLE = "unreadable"
    NO_FACE = "no_face"
    TOO_POOR = "too_poor"
    SAME_PHOTO = "same_photo"
    TWO_PEOPLE = "two_people"


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """A photo, and whose it is: None where everybody on it is a stranger."""

    path: Path
    person: str | None


@dataclass(frozen=True, slots=True)
class TwoPeople:
    """One face under two people, or under a person and the strangers.

    Attributes
    ----------
    first, second
        The photos.
    """

    first: AlbumPhoto
    second: AlbumPhoto


@dataclass(frozen=True, slots=True, eq=False)
class KnownFaces:
    """Faces of known people and strangers.

    Attributes
    ----------
    identities
        The faces; strangers are people with one photo each.
    people
        How many of them are people whose folder was given.
    left_out
        How many photos, or strangers' faces, are not used, by reason.
    two_people
        Faces that are under two people: a wrong name would teach wrong things, so neither is used. Where one is among
        the strangers, the person keeps it.
    """

    identities: Identities
    people: int
    left_out: Mapping[LeftOut, int]
    two_people: tuple[TwoPeople, ...]

    @property
    def strangers(self) -> int:
        """How many strangers' faces are used."""
        return len(self.identities.photos) - self.people


def find_album(photos: Path, strangers: Path | None = None) -> list[AlbumPhoto]:
    """List photos of known people and of strangers.

    Parameters
    ----------
    photos
        A folder of one folder for each person.
    strangers
        A folder, or one photo, of anybody else.

    Raises
    ------
    UsageError
        What should be a folder of people's folders is none.
    PhotoNotFoundError
        There are no photos.
    """
    if not photos.is_dir():
        raise UsageError(f"{printable(str(photos))} is no folder: name a folder with one folder for each person")
    people = plan_enrollment([str(photos)], tree=True)
    album = [AlbumPhoto(path, person.name) for person in people for path in gather_photos(person.places).photos]
    if not album:
        raise nothing_there([photos])
    if strangers is not None:
        if not strangers.exists():
            raise PhotoNotFoundError(f"there is no such file or folder: {printable(str(strangers))}")
        found = gather_photos([strangers]).photos
        if not found:
            raise nothing_there([strangers])
        album += [AlbumPhoto(path, None) for path in found]
    return album


def read_faces(album: list[AlbumPhoto], engine: Engine, on_photo: Callable[[], None] | None = None) -> KnownFaces:
    """Find and embed everybody's faces.

    A person's photo gives its largest face, a photo of strangers all of them.

    Parameters
    ----------
    album
        As `find_album` lists it.
    engine
        A pack's networks.
    on_photo
        Called after each photo.

    Raises
    ------
    UsageError
        No face is left to learn from.
    """
    left_out: Counter[LeftOut] = Counter()
    analysed: list[AlbumPhoto] = []
    used: list[tuple[AlbumPhoto, Face]] = []

    def readable() -> Iterator[DecodedPhoto]:
        for entry in album:
            try:
                photo = read_photo(entry.path)
            except PhotoError:
                left_out[LeftOut.UNREADABLE] += 1
                _tell(on_photo)
            else:
                analysed.append(entry)
                yield photo

    for number, found in enumerate(engine.analyzer.analyze(readable())):
        entry = analysed[number]
        faces = found.faces if entry.person is None else found.faces[:1]
        good = [face for face in faces if face.quality >= engine.thresholds.minimum_quality]
        left_out[LeftOut.NO_FACE] += not faces
        left_out[LeftOut.TOO_POOR] += len(faces) - len(good)
        used += [(entry, face) for face in good]
        _tell(on_photo)
    return _without_copies(used, left_out)


def _tell(on_photo: Callable[[], None] | None) -> None:
    if on_photo is not None:
        on_photo()


def _without_copies(used: list[tuple[AlbumPhoto, Face]], left_out: Counter[LeftOut]) -> KnownFaces:
    if not used:
        raise UsageError("no photo shows a face that is good enough to learn from")
    embeddings = np.stack([face.embedding for _, face in used])
    kept, two_people = _copies([entry for entry, _ in used], embeddings, left_out)
    if not kept.any():
        raise UsageError("no face is left to learn from: every one is under two people")
    chosen = [one for one, keep in zip(used, kept, strict=True) if keep]
    # A stranger is a person of its own; a number is no name that a folder can have been given.
    owners = [entry.person if entry.person is not None else number for number, (entry, _) in enumerate(chosen)]
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(owners))}
    return KnownFaces(
        identities=Identities(
            embeddings[kept],
            np.array([numbers[owner] for owner in owners], dtype=np.int64),
            np.array([face.quality for _, face in chosen], dtype=np.float32),
        ),
        people=sum(isinstance(owner, str) for owner in numbers),
        left_out={reason: left_out[reason] for reason in LeftOut},
        two_people=tuple(two_people),
    )


def _copies(
    entries: list[AlbumPhoto], embeddings: FloatArray, left_out: Counter[LeftOut]
) -> tuple[NDArray[np.bool_], list[TwoPeople]]:
    """Find which faces to keep; of copies the first, unless they are under two people."""
    kept = np.ones(len(entries), dtype=np.bool_)
    two_people: list[TwoPeople] = []
    for first, copies in _alike(embeddings):
        others = [second for second in copies if kept[second]]
        if not kept[first] or not others:
            continue
        person = entries[first].person
        claimed = [second for second in others if entries[second].person not in (None, person)]
        two_people += [TwoPeople(entries[first], entries[second]) for second in claimed]
        if person is not None:
            two_people += [TwoPeople(entries[first], entries[s]) for s in others if entries[s].person is None]
        for second in others:
            left_out[LeftOut.TWO_PEOPLE if entries[second].person != person else LeftOut.SAME_PHOTO] += 1
        kept[others] = False
        if claimed:
            left_out[LeftOut.TWO_PEOPLE] += 1
            kept[first] = False
    return kept, two_people


def _alike(embeddings: FloatArray) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each face that later ones are copies of, and which."""
    for start in range(0, len(embeddings), _ROWS_AT_ONCE):
        alike = embeddings[start : start + _ROWS_AT_ONCE] @ embeddings[start:].T >= SAME_PHOTO
        for row in np.flatnonzero(alike.sum(axis=1) > 1):
            later = np.flatnonzero(alike[row, row + 1 :]) + row + 1
            yield start + int(row), later + start
