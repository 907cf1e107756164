"""Resemblance: who of all enrolled people a face looks most like. It says nothing about who it is.

A share is the softmax of the similarities at the fixed temperature of 0.1: a person who is 0.1 more similar than
another has e, that is 2.7, times the share, in every gallery and with every pack. It is no probability: it is measured
against nothing, and with more people enrolled everybody's share is smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.enrolled import check_embeddings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebank.gallery import VectorTable
    from facebank.types import FloatArray

TEMPERATURE = 0.1
"""How much more similar somebody is with e times the share of another; of cosines, so from -1 to 1."""

HEADING = "resemblance, not identity"
"""What any list of look-alikes is headed with."""


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How much a face looks like a person.

    Attributes
    ----------
    person
        The name.
    similarity
        Cosine with the person's most similar sample, -1..1.
    share
        Of the resemblance to all enrolled people, 0..1; the shares of all together are 1.
    """

    person: str
    similarity: float
    share: float


def rank_resemblance(embedding: FloatArray, table: VectorTable, names: Mapping[int, str]) -> list[Resemblance]:
    """Rank everybody by resemblance to a face.

    Parameters
    ----------
    embedding
        The face's, L2-normalised, ``float32`` of shape ``(dimension,)``.
    table
        All enrolled embeddings, of the same pack.
    names
        The people's names by their numbers in the table.

    Returns
    -------
    list[Resemblance]
        Everybody who has a sample, most similar first; those who are equally so by name.

    Raises
    ------
    UsageError
        The embedding is of another length than the enrolled ones, or not finite.
    """
    (probe,) = check_embeddings(embedding[np.newaxis], "the face", table.matrix.shape[1])
    if not len(table.matrix):
        return []
    people, owners = np.unique(table.person_ids, return_inverse=True)
    similarities = np.full(len(people), -1.0)
    np.maximum.at(similarities, owners, table.matrix.astype(np.float64) @ probe.astype(np.float64))
    similarities = similarities.clip(-1.0, 1.0)
    weights = np.exp((similarities - similarities.max()) / TEMPERATURE)
    shares = weights / weights.sum()
    found = [
        Resemblance(names[int(number)], float(similarity), float(share))
        for number, similarity, share in zip(people, similarities, shares, strict=True)
    ]
    return sorted(found, key=lambda one: (-one.similarity, one.person))
