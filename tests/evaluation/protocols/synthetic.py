"""Synthetic embeddings: people are random directions, and their photos scatter around them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets.arrays import read_embeddings
from facebank.storage.arrays import normalized

DIMENSION = 128


def sample_photos(people: NDArray[np.float64], photos: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return embeddings with similarity 0.8 to their person's direction, ``(P * photos, D)``."""
    noise = normalized(random.normal(size=(len(people) * photos, DIMENSION)))
    return normalized(0.8 * np.repeat(people, photos, axis=0) + 0.6 * noise)


def write(path: Path, embedding: NDArray[np.float64], person: NDArray[Any], **arrays: Any) -> Path:
    np.savez(path, embedding=embedding.astype(np.float32), person=person, **arrays)
    return path


def dataset(path: Path, embedding: NDArray[np.float64], person: NDArray[Any], **arrays: Any) -> Dataset:
    return read_embeddings(write(path, embedding, person, **arrays))


def families(path: Path, fraction: float, count: int = 24, photos: int = 7) -> Dataset:
    """Return `count` families of two people who share a fraction, 0 to 1, of their direction."""
    random = np.random.default_rng(1)
    common = np.repeat(normalized(random.normal(size=(count, DIMENSION))), 2, axis=0)
    own = normalized(random.normal(size=(2 * count, DIMENSION)))
    people = normalized(np.sqrt(fraction) * common + np.sqrt(1 - fraction) * own)
    person = np.repeat(np.arange(2 * count), photos)
    return dataset(path, sample_photos(people, photos, random), person, family=person // 2)


def synthetic_groups(path: Path, fractions: Mapping[str, float], size: int = 24, photos: int = 4) -> Dataset:
    """Return a group of `size` people for each name in `fractions`, who share that fraction of their direction."""
    random, parts = np.random.default_rng(2), []
    for fraction in fractions.values():
        common, own = (normalized(random.normal(size=(count, DIMENSION))) for count in (1, size))
        parts.append(
            sample_photos(normalized(np.sqrt(fraction) * common + np.sqrt(1 - fraction) * own), photos, random)
        )
    person = np.repeat(np.arange(len(fractions) * size), photos)
    group = np.repeat(list(fractions), size * photos)
    return dataset(path, np.concatenate(parts), person, group_of=group)
