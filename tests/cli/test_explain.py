"""``facebank explain``."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.demo_photos import OBAMA, SPEECH

from .conftest import Run, Validate


def test_explain_writes_a_picture_and_the_fall_of_each_region(run: Run, tmp_path: Path, validate: Validate) -> None:
    target = tmp_path / "map.png"
    records = run("explain", OBAMA, SPEECH, "--out", target, "--json").records
    validate("explain", records)
    (record,) = records
    (verified,) = run("verify", OBAMA, SPEECH, "--json").records
    assert record["similarity"] == pytest.approx(verified["similarity"], abs=1e-4)
    assert record["same"] is True
    eyes = next(region for region in record["regions"] if region["region"] == "eyes")
    assert eyes["fall_in_a"] > 0.05
    falls = [fall for name in ("fall_in_a", "fall_in_b") for row in record["map"][name] for fall in row]
    assert 0 < max(falls) <= record["largest_fall"]
    with Image.open(target) as picture:
        picture.load()
        assert min(picture.size) > 600
    # The picture can be overwritten because facebank drew it.
    first, titles, *rows, last = run("explain", OBAMA, SPEECH, "--out", target).out.splitlines()
    assert first.startswith("the same person (similarity 0.")
    assert titles.split("\t")[0] == "hidden"
    assert len(rows) == len(record["regions"])
    assert last == f"picture: {target}"


def test_no_photo_is_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    with Image.open(OBAMA) as picture:
        picture.save(path)
    before = path.read_bytes()
    assert "one of the photos" in run("explain", path, SPEECH, "--out", path, code=2).err
    assert "not drawn by facebank" in run("explain", OBAMA, SPEECH, "--out", path, code=2).err
    assert path.read_bytes() == before


@pytest.mark.parametrize(("target", "message"), [("map.jpg", "suffix .png"), ("nowhere/map.png", "there is no folder")])
def test_an_invalid_target_is_refused_before_the_computation(run: Run, target: str, message: str) -> None:
    result = run("explain", OBAMA, SPEECH, "--out", target, code=2)
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_a_photo_without_a_face_is_refused(run: Run, tmp_path: Path) -> None:
    gray = tmp_path / "gray.png"
    Image.new("RGB", (200, 200), (120, 120, 120)).save(gray)
    result = run("explain", OBAMA, gray, "--out", tmp_path / "map.png", code=2)
    assert "no face was found" in result.err
    assert not (tmp_path / "map.png").exists()
