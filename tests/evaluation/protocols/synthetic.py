"""Synthetic embeddings: people are random directions, and their photos scatter around them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebank.evaluation.dataset import Dataset
from facebank.evaluation.datasets.arrays import read_embeddings

DIMENSION = 128


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    made: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return made


def photos_of(people: NDArray[np.float64], photos: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return photos with similarity 0.8 to their person's direction, ``(P * photos, D)``."""
    noise = unit(random.normal(size=(len(people) * photos, DIMENSION)))
    return unit(0.8 * np.repeat(people, photos, axis=0) + 0.6 * noise)


def write(path: Path, embedding: NDArray[np.float64], person: NDArray[Any], **more: Any) -> Path:
    np.savez(path, embedding=embedding.astype(np.float32), person=person, **more)
    return path


def dataset(path: Path, embedding: NDArray[np.float64], person: NDArray[Any], **more: Any) -> Dataset:
    return read_embeddings(write(path, embedding, person, **more))


def families(path: Path, alike: float, count: int = 24, photos: int = 7) -> Dataset:
    """Write families of two people who share a fraction `alike` of their direction."""
    random = np.random.default_rng(1)
    common = np.repeat(unit(random.normal(size=(count, DIMENSION))), 2, axis=0)
    own = unit(random.normal(size=(2 * count, DIMENSION)))
    people = unit(np.sqrt(alike) * common + np.sqrt(1 - alike) * own)
    person = np.repeat(np.arange(2 * count), photos)
    return dataset(path, photos_of(people, photos, random), person, family=person // 2)


def two_groups(path: Path, alike: Mapping[str, float], each: int = 24, photos: int = 4) -> Dataset:
    """Write groups of people who share the given fraction of their direction within the group."""
    random, parts = np.random.default_rng(2), []
    for share in alike.values():
        common, own = (unit(random.normal(size=(size, DIMENSION))) for size in (1, each))
        parts.append(photos_of(unit(np.sqrt(share) * common + np.sqrt(1 - share) * own), photos, random))
    person = np.repeat(np.arange(len(alike) * each), photos)
    group = np.repeat(list(alike), each * photos)
    return dataset(path, np.concatenate(parts), person, group_of=group)
