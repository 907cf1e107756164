"""Pairs of similar people of LFW, and trials with them: some photos enrolled, the rest to be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.recognition.background import Background
from facebank.recognition.photo_model import TYPICAL_AGREEMENT
from facebank.recognition.scoring import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.lfw import LfwFaces
    from facebank.faces import FloatArray

LEAST_PHOTOS = 4
LEAST_TO_TURN = 10
"""How many photos people need to be turned: a few tell too little of where the person is."""

MOST_PROBES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two people with their photos: embeddings of shapes ``(N, D)`` and ``(M, D)``, qualities ``(N,)`` and ``(M,)``."""

    first: str
    second: str
    first_photos: FloatArray
    second_photos: FloatArray
    first_qualities: FloatArray
    second_qualities: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Some photos of both enrolled, some probes, and which of these show the first, a boolean of shape ``(M,)``."""

    pair: int
    first: FloatArray
    second: FloatArray
    first_qualities: FloatArray
    second_qualities: FloatArray
    probes: FloatArray
    of_first: NDArray[np.bool_]


def background_of(faces: LfwFaces) -> Background:
    """Measure a background of people."""
    return Background.measure(faces.embeddings, faces.people)


def mined_pairs(faces: LfwFaces, mining: LfwFaces, count: int, least_photos: int = LEAST_PHOTOS) -> list[Pair]:
    """Return the people whose mean embeddings are most similar by another pack, most similar first."""
    people, sizes = faces.people, np.bincount(faces.people)
    several = np.flatnonzero(sizes >= least_photos)
    seen = unit(mining.embeddings - mining.embeddings.astype(np.float64).mean(axis=0))
    means = unit(np.stack([seen[people == person].mean(axis=0) for person in several]))
    one, other = np.triu_indices(len(several), 1)
    similarities = (means[one] * means[other]).sum(axis=1)
    names = np.unique(faces.names)
    pairs = []
    for place in np.argsort(-similarities, kind="stable")[:count]:
        first, second = several[one[place]], several[other[place]]
        rows, others = people == first, people == second
        pairs.append(
            Pair(
                str(names[first]),
                str(names[second]),
                faces.embeddings[rows],
                faces.embeddings[others],
                faces.qualities[rows],
                faces.qualities[others],
            )
        )
    return pairs


def turned(pair: Pair, cosine: float) -> Pair:
    """Turn the second person's embeddings rigidly, so that the people have a given cosine.

    It would be that of the means of endless photos; those of the photos at hand are less similar.
    """
    counts = np.array([len(pair.first_photos), len(pair.second_photos)])
    sureness = counts * TYPICAL_AGREEMENT / (1 + (counts - 1) * TYPICAL_AGREEMENT)
    wanted = cosine * np.sqrt(sureness.prod())
    one = unit(pair.first_photos.astype(np.float64).sum(axis=0)[None])[0]
    other = unit(pair.second_photos.astype(np.float64).sum(axis=0)[None])[0]
    beside = unit((other - (one @ other) * one)[None])[0]
    angle = np.arccos(one @ other) - np.arccos(wanted)
    rows = pair.second_photos.astype(np.float64)
    along, across = rows @ one, rows @ beside
    moved_along = np.cos(angle) * along + np.sin(angle) * across - along
    moved_across = np.cos(angle) * across - np.sin(angle) * along - across
    moved = rows + np.outer(moved_along, one) + np.outer(moved_across, beside)
    return replace(pair, second_photos=moved.astype(np.float32))


def draw_trials(pairs: Sequence[Pair], enrolled: tuple[int, int], splits: int, seed: int = 0) -> Iterator[Trial]:
    """Draw trials of pairs; people without photos for a probe are passed over.

    Parameters
    ----------
    pairs
        The people.
    enrolled
        How many photos of one and of the other are enrolled, who is which being drawn; 0 for half of them, at most 5.
    splits
        How many trials of each pair.
    seed
        The same seed draws the same.
    """
    random = np.random.default_rng(seed)
    for place, pair in enumerate(pairs):
        sizes = len(pair.first_photos), len(pair.second_photos)
        for _ in range(splits):
            wanted = enrolled if random.random() < 0.5 else enrolled[::-1]
            counts = [count or min(5, size // 2) for count, size in zip(wanted, sizes, strict=True)]
            one, other = (random.permutation(size) for size in sizes)
            if counts[0] >= sizes[0] or counts[1] >= sizes[1]:
                continue
            shown = one[counts[0] :][:MOST_PROBES], other[counts[1] :][:MOST_PROBES]
            yield Trial(
                place,
                pair.first_photos[one[: counts[0]]],
                pair.second_photos[other[: counts[1]]],
                pair.first_qualities[one[: counts[0]]],
                pair.second_qualities[other[: counts[1]]],
                np.concatenate([pair.first_photos[shown[0]], pair.second_photos[shown[1]]]),
                np.repeat([True, False], [len(shown[0]), len(shown[1])]),
            )
