"""Whom a face of a photo looks like, of all enrolled people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.operations.pointing import point_at
from facebank.recognition.lookalike import Resemblance, rank_resemblance
from facebank.storage.text import printable

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.operations.engine import Engine
    from facebank.operations.inputs import Place
    from facebank.types import DecodedPhoto, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Lookalikes:
    """Everybody, by resemblance to a face.

    Attributes
    ----------
    image
        The photo's path as the user gave it.
    face, box
        Number of the face, from 1, the largest; its box in pixels of the upright photo, ``float32`` of shape ``(4,)``.
    people
        Everybody who has a sample, most similar first.
    """

    image: str
    face: int
    box: FloatArray
    people: tuple[Resemblance, ...]


def find_lookalikes(
    gallery: Gallery, engine: Engine, photo: Place | DecodedPhoto, number: int | None = None
) -> Lookalikes:
    """Rank everybody by resemblance to a face; decides nothing.

    Parameters
    ----------
    gallery
        The enrolled people.
    engine
        The gallery's pack.
    photo
        The photo, or its file.
    number
        Of the face, 1 is the largest; None for the only one.

    Raises
    ------
    PhotoError
        The photo cannot be read or shows no face.
    UsageError
        It is not clear which face is meant, or nobody has a sample to compare it with.
    """
    with gallery.snapshot():
        table, names = gallery.vectors(), gallery.names()
    if not len(table.matrix):
        raise UsageError(f"nobody in {printable(str(gallery.path))} has a sample: `facebank enroll` gives them some")
    pointed = point_at(engine, photo, number)
    people = rank_resemblance(pointed.face.embedding, table, names)
    return Lookalikes(pointed.path, pointed.number, pointed.face.box, tuple(people))
