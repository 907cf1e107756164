"""Leave-one-out similarities of each sample to its own person and to other people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.index.exact import cosines
from facebank.index.people_index import weight_samples
from facebank.storage.arrays import normalized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import EnrolledSamples
    from facebank.types import FloatArray

ALIKE = 0.97  # similarity from which two samples count as one photo; two photos of a person rarely reach it
ONE_MOMENT = 0.9  # mean similarity from which samples count as one moment; photos of two moments rarely reach it
RARELY_BELOW = 0.334  # distance below the mean similarity of one person's photos, 0.5 % quantile
MOSTLY_ABOVE = 0.2  # the same, 5 % quantile; reached by chance among many people
_SAMPLES_PER_BLOCK = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Neighborhood:
    """Neighbors of N samples of P people."""

    # similarity of each sample to its person's other samples, ``float32`` of shape ``(N,)``; NaN if there are none
    own_similarity: FloatArray
    # similarity to the most similar other person, ``float32`` of shape ``(N,)``; -1 without one
    other_similarity: FloatArray
    nearest: NDArray[np.int64]  # id of that person, ``(N,)``; -1 without one
    # samples nearer to another person, and as near as most of that person's photos, ``(N,)``
    mislabeled: NDArray[np.bool_]
    # other samples less similar to their person's others than photos of one person usually are, ``(N,)``
    disagreeing: NDArray[np.bool_]
    agreement: FloatArray  # mean similarity of each person's samples to one another, ``(P,)``; NaN for an only one
    too_similar: NDArray[np.bool_]  # people whose samples are all of one moment, ``(P,)``


def find_neighbors(enrolled: EnrolledSamples, background: Background | None = None) -> Neighborhood:
    """Return the neighbors of every sample, each left out of its person; `background` is the pack's, or None."""
    typical, person_indices = typical_agreement(background), enrolled.person_indices
    counts = np.bincount(person_indices)
    own = _own_similarities(enrolled)
    other, other_indices = _other_similarities(enrolled)
    min_own = min_similarity(counts[person_indices] - 1, typical)
    min_other = min_similarity(np.where(other_indices >= 0, counts[other_indices], 0), typical, MOSTLY_ABOVE)
    mislabeled = (other_indices >= 0) & (own < other) & (other >= min_other)
    disagreeing = ~mislabeled & (own < min_own)
    person_agreement = _agreement(enrolled)
    return Neighborhood(
        own_similarity=own,
        other_similarity=other,
        nearest=np.where(other_indices >= 0, enrolled.distinct_ids[other_indices], -1),
        mislabeled=mislabeled,
        disagreeing=disagreeing,
        agreement=person_agreement,
        too_similar=person_agreement >= ONE_MOMENT,
    )


def min_similarity(counts: NDArray[np.int64], typical: float, below: float = RARELY_BELOW) -> NDArray[np.float64]:
    """Return the minimum similarity expected between the mean of a person's photos and a further photo.

    `counts` are the numbers of photos (infinity is returned for 0), `typical` is the mean cosine of two photos of one
    person, and `below` is the distance allowed below the mean for one photo; it shrinks with more.
    """
    count = np.maximum(counts, 1)
    mean = typical * np.sqrt(count / (1 + (count - 1) * typical))
    return np.where(counts > 0, mean - below * typical / mean, np.inf)


def nearly_equal_samples(
    enrolled: EnrolledSamples, threshold: float = ALIKE
) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """Return pairs of samples with similarities of `threshold` or more.

    Returns
    -------
    tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]
        Rows of `EnrolledSamples.index`, the lower of each pair and the higher one, and the similarities, each ``(K,)``.
    """
    index, first_rows, second_rows, similarities = enrolled.index, [], [], []
    for start in range(0, index.count, _SAMPLES_PER_BLOCK):
        rows = np.arange(start, min(start + _SAMPLES_PER_BLOCK, index.count))
        embeddings = index.embeddings(rows)
        for row, embedding, near in zip(
            rows, embeddings, index.nearest_samples.within(embeddings.astype(np.float64), threshold), strict=True
        ):
            later = near[near > row]
            if len(later):
                cosines_of_row = cosines(embedding, index.embeddings(later))
                is_equal = cosines_of_row >= threshold
                first_rows.append(np.full(int(is_equal.sum()), row))
                second_rows.append(later[is_equal])
                similarities.append(cosines_of_row[is_equal])
    no_rows = np.empty(0, dtype=np.int64)
    return (
        np.concatenate([no_rows, *first_rows]),
        np.concatenate([no_rows, *second_rows]),
        np.concatenate([np.empty(0, dtype=np.float32), *similarities]),
    )


def _own_similarities(enrolled: EnrolledSamples) -> FloatArray:
    """Return each sample's cosine with the weighted mean of its person's others, NaN for a single sample."""
    person_indices, weighted = enrolled.person_indices, weight_samples(enrolled.embeddings, enrolled.qualities)
    sums = np.zeros((len(enrolled.distinct_ids), enrolled.dimension))
    np.add.at(sums, person_indices, weighted)
    own = (normalized(sums[person_indices] - weighted) * enrolled.embeddings.astype(np.float64)).sum(axis=1)
    own[np.bincount(person_indices)[person_indices] == 1] = np.nan
    return np.asarray(own, dtype=np.float32)


def _other_similarities(enrolled: EnrolledSamples) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return each sample's similarity to the nearest other person, and that person's index; -1 without one."""
    index, person_indices = enrolled.index, enrolled.person_indices
    highest = np.full(enrolled.count, -1.0, dtype=np.float32)
    other_indices = np.full(enrolled.count, -1, dtype=np.int64)
    for start in range(0, enrolled.count if len(index.person_ids) > 1 else 0, _SAMPLES_PER_BLOCK):
        block = enrolled.embeddings[start : start + _SAMPLES_PER_BLOCK]
        for row, near in enumerate(index.nearest_people.near(block.astype(np.float64), 2), start):
            others = near[near != person_indices[row]]
            similarities = index.similarities(enrolled.embeddings[row], others)
            best = int(similarities.argmax())
            highest[row], other_indices[row] = similarities[best], others[best]
    return highest, other_indices


def _agreement(enrolled: EnrolledSamples) -> FloatArray:
    """Return the mean cosine of two samples of each person, NaN for a single sample."""
    counts = np.bincount(enrolled.person_indices)
    sums = np.zeros((len(counts), enrolled.dimension))
    np.add.at(sums, enrolled.person_indices, enrolled.embeddings.astype(np.float64))
    pairs = np.where(counts > 1, counts * (counts - 1), np.nan)
    return np.asarray(((sums**2).sum(axis=1) - counts) / pairs, dtype=np.float32)


TYPICAL_AGREEMENT = 0.65  # mean cosine of two photos of one person, if the background lacks it
_MIN_VARIANCE = 1e-6


def typical_agreement(background: Background | None) -> float:
    """Return the mean cosine of two photos of one person around the average face, 0.05..0.95."""
    if background is None or background.within is None:
        return TYPICAL_AGREEMENT
    possible = max(1.0 - float((background.mean.astype(np.float64) ** 2).sum()), _MIN_VARIANCE)
    return float(np.clip(1.0 - np.trace(background.within.astype(np.float64)) / possible, 0.05, 0.95))
