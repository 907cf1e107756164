"""Real networks for the vision tests: the embedded pack, and the developer packs where ``../shared`` is present."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebank.media import read_photo
from facebank.packs import Pack, assemble_pack, load_pack
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer

PROJECT = Path(__file__).resolve().parents[2]
DEMO_PHOTOS = PROJECT / "facebank" / "demo" / "photos"
MANIFESTS = PROJECT / "models" / "manifests"


@pytest.fixture(scope="session", params=["opencv", "insightface-mbf"])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Each pack whose weights are at hand."""
    if request.param == "opencv":
        return load_pack()
    shared: Path = request.getfixturevalue("shared")
    target = tmp_path_factory.mktemp("packs") / request.param
    return assemble_pack(MANIFESTS / f"{request.param}.toml", shared / "models" / request.param, target)


@pytest.fixture(scope="session")
def opencv_pack() -> Pack:
    """The embedded pack."""
    return load_pack()


@pytest.fixture(scope="session")
def analyzer(opencv_pack: Pack) -> FaceAnalyzer:
    """The embedded pack's analyzer."""
    return FaceAnalyzer.from_pack(opencv_pack, "cpu")


@pytest.fixture(scope="session")
def demo_photos() -> list[DecodedPhoto]:
    """The photographs that ship with the package; each shows one large face."""
    paths = sorted(path for path in DEMO_PHOTOS.iterdir() if path.suffix in {".jpg", ".png"})
    assert len(paths) >= 5
    return [read_photo(path) for path in paths]
