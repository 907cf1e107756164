"""Fixtures of the gallery tests: galleries with random unit vectors instead of real embeddings."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from facebank.gallery import Gallery, NewSample, PackIdentity, export_gallery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from facebank.types import FloatArray

WORKER = Path(__file__).with_name("worker.py")
PROJECT = Path(__file__).resolve().parent.parent.parent


class FaceFactory:
    """Generator of distinct faces, reproducible by its seed."""

    dimension = 16
    pack = PackIdentity("opencv", "ab" * 32, dimension)
    other_pack = PackIdentity("buffalo_l", "cd" * 32, 24)

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._count = 0

    def vector(self, dimension: int = dimension) -> FloatArray:
        """Return a random unit vector, ``float32`` of shape ``(dimension,)``."""
        vector = self._random.standard_normal(dimension).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def sample(self, **changes: Any) -> NewSample:
        """Return a sample; keyword arguments override its fields."""
        self._count += 1
        unique = self._random.bytes(12).hex()
        x, y = self._random.uniform(0, 500, 2)
        sample = NewSample(
            box=np.array([x, y, x + 80, y + 90], dtype=np.float32),
            landmarks=self._random.uniform(0, 500, (5, 2)).astype(np.float32),
            detection_score=float(self._random.uniform(0.5, 1)),
            quality=float(self._random.uniform(0, 1)),
            path=f"/photos/{unique}/{self._count}.jpg",
            content_hash=hashlib.sha256(unique.encode()).hexdigest(),
            quarter_turns=int(self._random.integers(4)),
            taken_at=datetime.fromisoformat("2021-05-06T07:08:09"),
            thumbnail=b"\xff\xd8\xff" + self._random.bytes(int(self._random.integers(200, 6000))),
            vectors={"plain": self.vector(), "flip": self.vector()},
        )
        return replace(sample, **changes)

    def samples(self, count: int) -> list[NewSample]:
        """Return several samples."""
        return [self.sample() for _ in range(count)]


@pytest.fixture(scope="session")
def random_faces() -> type[FaceFactory]:
    """The class that generates faces from a seed."""
    return FaceFactory


@pytest.fixture
def faces() -> FaceFactory:
    """A generator of faces."""
    return FaceFactory()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of a gallery that does not exist yet."""
    return tmp_path / "family.facebank"


@pytest.fixture
def gallery(path: Path) -> Iterator[Gallery]:
    """An empty gallery with a short lock timeout."""
    with Gallery.open(path, FaceFactory.pack, create=True, busy_timeout=0.2) as opened:
        yield opened


@pytest.fixture
def other_gallery(tmp_path: Path, random_faces: type[FaceFactory]) -> Iterator[Gallery]:
    """Another empty gallery of the same pack."""
    with Gallery.open(tmp_path / "other.facebank", random_faces.pack, create=True) as opened:
        yield opened


@pytest.fixture
def export_folder(gallery: Gallery, faces: FaceFactory, tmp_path: Path) -> Path:
    """An export of three people, one without samples."""
    gallery.enroll("Ada", [*faces.samples(3), faces.sample(path="/ph\udcffotos/é.jpg", taken_at=None, thumbnail=None)])
    gallery.enroll("Zoë Straße", [faces.sample(vectors={"plain": faces.vector(), "augmented:shift": faces.vector()})])
    gallery.enroll("Nobody Yet", [])
    return export_gallery(gallery, tmp_path / "export").folder


@pytest.fixture
def start_worker() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that starts other processes using a gallery; see ``worker.py``."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(WORKER), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
