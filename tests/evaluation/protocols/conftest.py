"""Fixtures of the protocol tests: small datasets of real photos and a bench."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, Pair, Pick
from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.faces import FaceReader
from facebank.operations.engine import Engine
from tests.lfw_photos import lfw_photos

PEOPLE = ("Abdullah_Gul", "Ai_Sugiyama", "Alvaro_Uribe")
FREQUENT_PEOPLE = ("Abdullah_Gul", "Alejandro_Toledo", "Alvaro_Uribe", "Amelie_Mauresmo")
STRANGERS = ("Aaron_Peirsol", "Ai_Sugiyama")


@pytest.fixture(scope="session")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench with a separate cache, shared by the protocol tests."""
    with FaceCache(tmp_path_factory.mktemp("faces") / "faces.sqlite", engine.identity.dimension) as cache:
        yield Bench(FaceReader(engine, cache))


@pytest.fixture(scope="session")
def dataset(shared: Path) -> Dataset:
    """Three people with four photos each, and all pairs of the photos."""
    photos = lfw_photos(shared, PEOPLE, 4)
    pairs = tuple(
        Pair(first, second, photos[first].person == photos[second].person)
        for first, second in combinations(range(len(photos)), 2)
    )
    return Dataset("three people", photos, pairs, Pick.CENTRAL)


@pytest.fixture(scope="session")
def dataset_with_strangers(shared: Path) -> Dataset:
    """Four photos of each of `FREQUENT_PEOPLE` and one of each of `STRANGERS`."""
    photos = lfw_photos(shared, FREQUENT_PEOPLE, 4) + lfw_photos(shared, STRANGERS, 1)
    return Dataset("six people", photos, pick=Pick.CENTRAL)


def limit_photos(dataset: Dataset, counts: Mapping[str, int]) -> Dataset:
    """Return the dataset without pairs and with at most the given number of photos of each person in `counts`."""
    seen, keep = Counter[str](), []
    for photo in dataset.photos:
        person = photo.person or ""
        seen[person] += 1
        keep.append(person not in counts or seen[person] <= counts[person])
    return replace(dataset, pairs=()).select(keep)
