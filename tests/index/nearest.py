"""Nearest person by the index of a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facebank.index.gallery_index import open_index

if TYPE_CHECKING:
    from facebank.gallery import Gallery
    from facebank.types import FloatArray


def nearest_person(gallery: Gallery, vector: FloatArray) -> int | None:
    """Return the ID of the person with the most similar sample; None in an empty gallery."""
    people = open_index(gallery).people
    if people is None:
        return None
    (rows,) = people.nearest_samples.near(vector.astype(np.float64)[None], 1)
    best = rows[np.argmax(people.vectors(rows) @ vector)]
    return int(people.people[people.owners(np.array([best]))[0]])
