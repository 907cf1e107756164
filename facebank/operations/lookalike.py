"""Look-alikes: all enrolled people ranked by resemblance to a face, without a decision about identity.

A share is the softmax of the similarities at the fixed temperature of 0.1: a person who is 0.1 more similar than
another has e (2.7) times the share, in every gallery and with every pack. It is not a probability: it is not
calibrated, and with more enrolled people all shares are smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.index.exact import products
from facebank.index.gallery_index import open_index, read_with_retry
from facebank.operations.inputs import select_face
from facebank.recognition.enrolled import check_embeddings
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebank.gallery import Gallery
    from facebank.index.people_index import PeopleIndex
    from facebank.media import PhotoInput
    from facebank.operations.engine import Engine
    from facebank.types import FloatArray


TEMPERATURE = 0.1
"""Difference of similarities (cosines, -1 to 1) that multiplies a share by e."""

HEADING = "resemblance, not identity"
"""Heading of every list of look-alikes."""


@dataclass(frozen=True, slots=True)
class Resemblance:
    """Resemblance of a face to a person."""

    person: str
    similarity: float  # cosine with the person's most similar sample, -1..1
    share: float  # fraction of the resemblance to all enrolled people, 0..1; sums to 1


def rank_resemblance(embedding: FloatArray, people: PeopleIndex, names: Mapping[int, str]) -> list[Resemblance]:
    """Return all people with samples, ranked by resemblance to a face, most similar first; ties by name.

    Parameters
    ----------
    embedding
        The face's L2-normalized embedding, ``float32`` of shape ``(D,)``.
    people
        The enrolled people, of the same pack.
    names
        Names by person id.

    Raises
    ------
    UsageError
        The embedding is invalid.
    """
    (probe,) = check_embeddings(embedding[np.newaxis], "the face", people.dimension)
    similarities = np.maximum.reduceat(products(probe, people.embeddings()), people.starts[:-1]).clip(-1.0, 1.0)
    weights = np.exp((similarities - similarities.max()) / TEMPERATURE)
    shares = weights / weights.sum()
    names_by_id = dict(names.items())
    ranking = [
        Resemblance(names_by_id[int(person_id)], float(similarity), float(share))
        for person_id, similarity, share in zip(people.person_ids, similarities, shares, strict=True)
    ]
    return sorted(ranking, key=lambda match: (-match.similarity, match.person))


@dataclass(frozen=True, slots=True, eq=False)
class Lookalikes:
    """All people by resemblance to a face."""

    path: str  # the photo's path as the user gave it
    face_number: int  # from 1, largest first
    box: FloatArray  # pixels of the upright photo, ``float32`` of shape ``(4,)``
    people: tuple[Resemblance, ...]  # all people with samples, most similar first


def find_lookalikes(gallery: Gallery, engine: Engine, photo: PhotoInput, face_number: int | None = None) -> Lookalikes:
    """Return all people ranked by resemblance to a face; `face_number` is its number, None for a photo with one face.

    Raises `PhotoError` (the photo cannot be read or has no face) or `UsageError` (it is unclear which face is meant,
    or no person has samples).
    """
    if open_index(gallery).people is None:
        raise _no_samples_error(gallery)
    selected = select_face(engine, photo, face_number)

    def rank() -> list[Resemblance]:
        index = open_index(gallery)
        if index.people is None:
            raise _no_samples_error(gallery)
        return rank_resemblance(selected.face.embedding, index.people, index.names)

    return Lookalikes(selected.path, selected.face_number, selected.face.box, tuple(read_with_retry(rank)))


def _no_samples_error(gallery: Gallery) -> UsageError:
    return UsageError(f"nobody in {printable(str(gallery.path))} has a sample: add some with 'facebank enroll'")
