"""Fixtures for the examples in docstrings: demo photos under short names, and a bank with two people.

``bank`` is a `FaceBank` in the current folder with Barack (2 samples) and Joe (1) enrolled. Each example gets its own
copy of the gallery; the networks are loaded once.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from facebank import FaceBank
    from facebank.operations.engine import Engine

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None or "FACEBANK_CI_CLUSTER" in os.environ
DEMO_PHOTOS = Path(__file__).parent / "facebank" / "demo" / "photos"
SHORT_NAMES = {
    "barack1.jpg": "barack_obama_portrait_2012.jpg",
    "barack2.jpg": "barack_obama_blue_room.jpg",
    "joe.jpg": "joe_biden_blue_room.jpg",
    "eileen.jpg": "eileen_collins.jpg",
}


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Engine]:
    """Return a folder with the examples' photos and gallery, and the loaded engine."""
    import cv2
    import numpy as np
    from PIL import Image

    from facebank import FaceBank

    folder = tmp_path_factory.mktemp("examples")
    for short, name in SHORT_NAMES.items():
        shutil.copyfile(DEMO_PHOTOS / name, folder / short)
    (folder / "broken.jpg").write_text("not a photo")
    speech, other = (Image.open(DEMO_PHOTOS / f"{name}.jpg") for name in ("barack_obama_speech", "joe_biden_blue_room"))
    party = Image.new("RGB", (speech.width + other.width, max(speech.height, other.height)))
    party.paste(speech, (0, 0))
    party.paste(other.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (speech.width, 0))
    party.save(folder / "party.jpg")
    small = party.resize((640, 640 * party.height // party.width // 2 * 2))
    video = cv2.VideoWriter(str(folder / "party.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, small.size)
    for _ in range(10):
        video.write(np.asarray(small)[..., ::-1])
    video.release()
    with FaceBank.open(folder / "examples.facebank") as bank:
        bank.enroll("Barack", [folder / "barack1.jpg", folder / "barack2.jpg"])
        bank.enroll("Joe", folder / "joe.jpg")
        return folder, bank.engine


@pytest.fixture
def example_bank(
    example_folder: tuple[Path, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaceBank]:
    """Return a bank with Barack and Joe, in a current folder with the examples' photos."""
    from facebank import FaceBank

    folder, engine = example_folder
    here = tmp_path / "photos"
    shutil.copytree(folder, here, copy_function=os.link)
    (here / "examples.facebank").unlink()
    shutil.copyfile(folder / "examples.facebank", here / "people.facebank")
    monkeypatch.chdir(here)
    monkeypatch.setattr("facebank.operations.engine.load_engine_of", lambda *_: engine)
    with FaceBank.open("people.facebank") as bank:
        yield bank


@pytest.fixture(autouse=True)
def _example(request: pytest.FixtureRequest) -> None:
    """Set up the names that docstring examples use."""
    if isinstance(request.node, pytest.DoctestItem):
        if request.node.name.endswith(".to_arrow") and not HAS_PYARROW:
            pytest.skip("the extra cluster is not installed")
        namespace: dict[str, Any] = request.getfixturevalue("doctest_namespace")
        namespace.clear()
        namespace |= {"bank": request.getfixturevalue("example_bank"), "os": os}
