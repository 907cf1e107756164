"""Which face of a photo is meant: faces are numbered as they are identified, the largest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import NoFaceError, UsageError
from facebank.gallery import FaceKey
from facebank.operations.inputs import open_photo
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.operations.engine import Engine
    from facebank.operations.inputs import Place
    from facebank.types import AnalyzedPhoto, DecodedPhoto, Face

_LISTED = 12


@dataclass(frozen=True, slots=True, eq=False)
class PointedFace:
    """One face of a photo.

    Attributes
    ----------
    photo
        The photo and all its faces.
    number
        The face's number, from 1, the largest.
    """

    photo: AnalyzedPhoto
    number: int

    @property
    def face(self) -> Face:
        """The face."""
        return self.photo.faces[self.number - 1]

    @property
    def key(self) -> FaceKey:
        """What the face is known by in a gallery."""
        return FaceKey.of(self.photo, self.face)

    @property
    def path(self) -> str:
        """The photo's path, as the user gave it."""
        return self.photo.photo.path


def point_at(engine: Engine, photo: Place | DecodedPhoto, number: int | None = None) -> PointedFace:
    """Find the face of a photo that is meant.

    Parameters
    ----------
    engine
        The pack that finds faces.
    photo
        The photo, or its file.
    number
        Of the face, as `facebank.FaceBank.identify` lists them: 1 is the largest. None for the only one.

    Raises
    ------
    PhotoError
        The photo cannot be read or shows no face.
    UsageError
        It shows several faces and none is named, or there is no face of this number; the message lists the faces.
    """
    (analyzed,) = engine.analyzer.analyze([open_photo(photo)])
    name, count = printable(analyzed.photo.path), len(analyzed.faces)
    if not count:
        raise NoFaceError(f"{name}: no face was found")
    if number is None and count > 1:
        raise UsageError(f"{name} shows {count} faces, say which with --face: {_listed(analyzed.faces)}")
    if number is not None and not 1 <= number <= count:
        raise UsageError(f"{name} has no face {number}, only {_listed(analyzed.faces)}")
    return PointedFace(analyzed, 1 if number is None else number)


def _listed(faces: tuple[Face, ...]) -> str:
    listed = [f"{number} {_place(face)}" for number, face in enumerate(faces[:_LISTED], 1)]
    more = f" and {len(faces) - _LISTED} smaller ones" if len(faces) > _LISTED else ""
    return f"{', '.join(listed)}{more}"


def _place(face: Face) -> str:
    x1, y1, x2, y2 = (round(float(edge)) for edge in face.box)
    return f"(x {x1} to {x2}, y {y1} to {y2})"
