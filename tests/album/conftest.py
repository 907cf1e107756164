"""Fixtures of album tests: a folder of real photos, and the embedded pack's engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facebank.operations.engine import Engine, load_engine
from tests.demo_photos import DEMO_PHOTOS


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The embedded pack's engine on one thread."""
    return load_engine(None, "cpu", threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three photos, one of them in an inner folder."""
    photos = tmp_path / "photos"
    (photos / "space").mkdir(parents=True)
    shutil.copy(DEMO_PHOTOS / "barack_obama_portrait_2012.jpg", photos / "obama.jpg")
    shutil.copy(DEMO_PHOTOS / "joe_biden_blue_room.jpg", photos / "biden.jpg")
    shutil.copy(DEMO_PHOTOS / "eileen_collins.jpg", photos / "space" / "collins.jpg")
    return photos
