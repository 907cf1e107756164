"""Annotated copies of identified photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebank import FaceBank
from facebank.media import Mark, annotate_photo, read_photo
from facebank.operations.annotate import Annotator, exclude_annotated
from facebank.types import Photo
from tests.demo_photos import COLLINS, OBAMA, SPEECH


@pytest.mark.parametrize(
    ("name", "size", "target_name"),
    [
        ("wide.tif", (65_600, 4), "wide.png"),
        ("wide.png", (65_600, 4), "wide.png"),
        ("usual.tif", (64, 48), "usual.jpg"),
        ("usual.jpeg", (64, 48), "usual.jpeg"),
    ],
)
def test_photos_too_large_for_jpeg_are_written_as_png(
    tmp_path: Path, name: str, size: tuple[int, int], target_name: str
) -> None:
    path = tmp_path / name
    Image.new("RGB", size, (90, 120, 60)).save(path)
    target = Annotator(tmp_path / "out").write(Photo(str(path), width=size[0], height=size[1]))
    assert target is not None
    assert target.name == target_name
    with Image.open(target) as image:
        assert image.size == size


def test_faces_are_numbered_as_identify_does(tmp_path: Path) -> None:
    speech, collins = read_photo(SPEECH).pixels, read_photo(COLLINS).pixels
    height = min(len(speech), len(collins))
    Image.fromarray(np.hstack([speech[:height], collins[:height]])).save(tmp_path / "two.png")
    with FaceBank.open(tmp_path / "test.facebank", device="cpu") as bank:
        bank.enroll("Barack", OBAMA)
        (photo,) = bank.identify(tmp_path / "two.png")
    assert {face.person for face in photo.faces} == {"Barack", None}
    marks = [
        Mark(face.box, face.landmarks, f"{face_number}: {face.person or 'unknown'}", face.decision)
        for face_number, face in enumerate(photo.faces, 1)
    ]
    annotate_photo(read_photo(tmp_path / "two.png"), marks, tmp_path / "expected.png")
    target = Annotator(tmp_path / "out").write(photo)
    assert target is not None
    assert target.read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_circular_links_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("loop.jpg").symlink_to("loop.jpg")
    assert exclude_annotated([Path("loop.jpg")], [Path()], Path("out")) == [Path("loop.jpg")]


def test_dotted_paths_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inside/out", "inside/here"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path / "inside" / "here")
    photo = Photo("../../photo.jpg", width=64, height=48)
    assert Annotator("../out", [Path()]).write(photo) == Path("../out/photo.jpg")
    assert exclude_annotated([Path("../out/photo.jpg")], [Path("..")], Path("../out")) == []
    assert exclude_annotated([Path("../out/photo.jpg")], [Path("../out/photo.jpg")], Path("../out")) != []


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "photos" / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "outside")
    for name in ("sub/a.jpg", "sub/deep/b.jpg", "c.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    annotator = Annotator(tmp_path / "out", [tmp_path / "photos"])
    targets = [
        annotator.write(Photo(str(tmp_path / "photos" / name), width=8, height=8))
        for name in ("sub/a.jpg", "sub/deep/b.jpg", "c.jpg")
    ]
    assert targets == [None, None, tmp_path / "out" / "c.jpg"]
    assert not list((tmp_path / "outside").iterdir())
