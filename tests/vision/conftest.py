"""Fixtures with real networks: the embedded pack, and a pack from ``../shared`` if it is present."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebank.media import read_photo
from facebank.packs import Pack, assemble_pack, load_pack
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer
from tests.demo_photos import DEMO_PHOTOS

PROJECT = Path(__file__).resolve().parents[2]
MANIFESTS = PROJECT / "models" / "manifests"


@pytest.fixture(scope="session", params=["opencv", "insightface-mbf"])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Return the embedded pack, then one from ``../shared``."""
    if request.param == "opencv":
        return load_pack()
    shared: Path = request.getfixturevalue("shared")
    target = tmp_path_factory.mktemp("packs") / request.param
    return assemble_pack(MANIFESTS / f"{request.param}.toml", shared / "models" / request.param, target)


@pytest.fixture(scope="session")
def opencv_pack() -> Pack:
    """Return the embedded pack."""
    return load_pack()


@pytest.fixture(scope="session")
def analyzer(opencv_pack: Pack) -> FaceAnalyzer:
    """Return an analyzer with the embedded pack."""
    return FaceAnalyzer.from_pack(opencv_pack, "cpu")


@pytest.fixture(scope="session")
def demo_photos() -> list[DecodedPhoto]:
    """Return the photos that are part of the package; each shows one large face."""
    paths = sorted(path for path in DEMO_PHOTOS.iterdir() if path.suffix in {".jpg", ".png"})
    assert len(paths) >= 5
    return [read_photo(path) for path in paths]
