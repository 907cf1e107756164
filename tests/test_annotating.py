"""Annotated pictures of identified photos."""

from pathlib import Path

import pytest
from PIL import Image

from facebank.annotating import Annotator
from facebank.faces import IdentifiedPhoto


@pytest.mark.parametrize(
    ("photo", "size", "written"),
    [
        ("wide.tif", (65_600, 4), "wide.png"),
        ("wide.png", (65_600, 4), "wide.png"),
        ("usual.tif", (64, 48), "usual.jpg"),
        ("usual.jpeg", (64, 48), "usual.jpeg"),
    ],
)
def test_a_picture_that_no_jpeg_can_hold_becomes_a_png(
    tmp_path: Path, photo: str, size: tuple[int, int], written: str
) -> None:
    source = tmp_path / photo
    Image.new("RGB", size, (90, 120, 60)).save(source)
    target = Annotator(tmp_path / "out").write(IdentifiedPhoto(str(source), *size, 0, None, ()))
    assert target.name == written
    with Image.open(target) as picture:
        assert picture.size == size
