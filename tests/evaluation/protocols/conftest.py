"""Fixtures of the protocol tests: a small album of real photos and a bench."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from facebank.evaluation.bench import Bench
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pair, Pick
from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.faces import FaceReader
from facebank.operations.engine import load_engine

PEOPLE = ("Abdullah_Gul", "Ai_Sugiyama", "Alvaro_Uribe")


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench with a separate cache, shared by the protocol tests."""
    engine = load_engine()
    with FaceCache(tmp_path_factory.mktemp("faces") / "faces.sqlite", engine.identity.dimension) as cache:
        yield Bench(FaceReader(engine, cache))


@pytest.fixture(scope="session")
def album(shared: Path) -> Dataset:
    """Three people with four photos each, and all pairs of the photos."""
    paths = [path for person in PEOPLE for path in sorted((shared / "data/lfw" / person).glob("*.jpg"))[:4]]
    photos = tuple(DatasetPhoto(f"{path.parent.name}/{path.name}", path.parent.name, path) for path in paths)
    pairs = tuple(
        Pair(first, second, photos[first].person == photos[second].person)
        for first, second in combinations(range(len(photos)), 2)
    )
    return Dataset("three people", photos, pairs, Pick.CENTRAL)
