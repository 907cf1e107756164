"""The nearest person in the index of a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.index.gallery_index import open_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.gallery import Gallery
    from facebank.index.gallery_index import GalleryIndex
    from facebank.types import FloatArray


def nearest_person(gallery: Gallery, embedding: FloatArray) -> int | None:
    """Return the ID of the person with the most similar sample; None in an empty gallery."""
    people = open_index(gallery).people
    if people is None:
        return None
    (rows,) = people.nearest_samples.near(embedding.astype(np.float64)[None], 1)
    best = rows[np.argmax(people.embeddings(rows) @ embedding)]
    return int(people.person_ids[people.person_indices(np.array([best]))[0]])


def nearest_name(index: GalleryIndex, query: NDArray[np.float64]) -> str:
    """Return the name of the person with the most similar prototype to an embedding ``(1, D)``."""
    assert index.people is not None
    (rows,) = index.people.nearest_people.near(query, 1)
    return index.names[int(index.people.person_ids[rows[0]])]
