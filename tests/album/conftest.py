"""Fixtures of album tests: a folder of real photos, and the embedded pack's engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facebank.operations.engine import Engine, load_engine
from tests.demo_photos import BIDEN, COLLINS, OBAMA


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The embedded pack's engine on one thread."""
    return load_engine(None, "cpu", threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three photos, one of them in an inner folder."""
    photos = tmp_path / "photos"
    (photos / "space").mkdir(parents=True)
    shutil.copy(OBAMA, photos / "obama.jpg")
    shutil.copy(BIDEN, photos / "biden.jpg")
    shutil.copy(COLLINS, photos / "space" / "collins.jpg")
    return photos
