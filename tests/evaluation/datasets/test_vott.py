"""VoTT exports: boxes are photos, and tags are people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.dataset import LabeledRegion, Pick, read_dataset_photo
from facebank.evaluation.datasets.annotations import read_vott_csv, read_vott_json

from .conftest import WritePhotos


def asset(name: str, *regions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an asset in the format of VoTT 2.2."""
    return {
        "asset": {
            "format": "jpg",
            "id": f"id-{name}",
            "name": name,
            "path": f"file:C:/Users/dad/twins%20photos/{name}",
            "size": {"width": 8, "height": 6},
            "state": 2,
            "type": 1,
            **fields,
        },
        "regions": list(regions),
        "version": "2.2.0",
    }


def region(*tags: str, left: float = 1, top: float = 1, width: float = 4, height: float = 3) -> dict[str, Any]:
    box = {"left": left, "top": top, "width": width, "height": height}
    points = [{"x": left, "y": top}, {"x": left + width, "y": top + height}]
    return {"id": "r", "type": "RECTANGLE", "tags": list(tags), "boundingBox": box, "points": points}


def write(folder: Path, *assets: dict[str, Any]) -> Path:
    path = folder / "twins-export.json"
    document = {"name": "twins", "tags": [], "assets": {entry["asset"]["id"]: entry for entry in assets}}
    path.write_text(json.dumps(document, indent=4), encoding="utf-8")
    return path


def skip_reasons(path: Path) -> dict[str, str]:
    return {note.entry: note.reason for note in read_vott_json(path).skipped}


def test_each_box_is_a_photo(write_photos: WritePhotos) -> None:
    folder = write_photos("a.jpg", "b.jpg")
    path = write(folder, asset("a.jpg", region("Ada"), region("Bea", left=5, width=2)), asset("b.jpg", region("Bea")))
    dataset = read_vott_json(path)
    assert [(photo.name, photo.person, photo.group) for photo in dataset.photos] == [
        ("a.jpg#1", "Ada", "a.jpg"),
        ("a.jpg#2", "Bea", "a.jpg"),
        ("b.jpg#1", "Bea", "b.jpg"),
    ]
    assert dataset.photos[0].region == LabeledRegion(1, 1, 4, 3)
    assert dataset.pick is Pick.CENTRAL
    assert dataset.skipped == ()
    assert read_dataset_photo(dataset.photos[0]).pixels.shape == (4, 4, 3)


def test_frames_of_a_video_are_one_group(write_photos: WritePhotos) -> None:
    folder = write_photos("video.mp4#t=1.5.jpg", "video.mp4#t=2.jpg")
    parent = {"name": "video.mp4", "path": "file:/home/dad/video.mp4", "type": 2}
    frames = [
        asset("video.mp4#t=1.5", region("Ada"), parent=parent, timestamp=1.5),
        asset("video.mp4#t=2.jpg", region("Ada"), parent=parent, timestamp=2),
    ]
    assert [photo.group for photo in read_vott_json(write(folder, *frames)).photos] == ["video.mp4"] * 2


@pytest.mark.parametrize("location", ["twins photos.jpg", "photos/twins photos.jpg", "train/Ada/twins photos.jpg"])
def test_photo_is_found_by_its_name(write_photos: WritePhotos, location: str) -> None:
    entry = asset("twins%20photos.jpg", region("Ada"), path="file:/C:/dad/twins%20photos.jpg")
    (photo,) = read_vott_json(write(write_photos(location), entry)).photos
    assert photo.name == f"{location}#1"
    assert photo.split == ("train" if location.startswith("train") else None)


def test_unusable_assets_are_skipped(write_photos: WritePhotos) -> None:
    folder = write_photos("a.jpg", "b.jpg", "c.jpg", "x/double.jpg", "y/double.jpg")
    unusable = [
        region("Ada", "Bea", left=0),
        region(left=2),
        region("Ada", width=0),
        region("Ada", left=9),
        region("a/b", left=3),
        region("Ada", left=-9),
        region("Ada"),
        {"tags": ["Ada"]},
        {**region(), "tags": None},
        {**region("Ada"), "boundingBox": {"left": "1", "top": 1, "width": 1, "height": 1}},
    ]
    path = write(
        folder,
        asset("a.jpg", region("Ada"), *unusable),
        asset("b.jpg"),
        asset("c.jpg"),
        asset("gone.jpg", region("Ada")),
        asset("double.jpg", region("Ada")),
    )
    assert len(read_vott_json(path).photos) == 1
    assert skip_reasons(path) == {
        "2 photos": "no tagged boxes",
        "asset id-a.jpg, region 2": "the box has 2 tags (Ada, Bea); expected one",
        "asset id-a.jpg, region 3": "the box has no tag; expected one",
        "asset id-a.jpg, region 4": "the box is 0 pixels wide and 3 high",
        "asset id-a.jpg, region 5": "the box is outside the photo",
        "asset id-a.jpg, region 6": "A person cannot be called 'a/b': the character '/' is not allowed in a name",
        "asset id-a.jpg, region 7": "the box is outside the photo",
        "asset id-a.jpg, region 8": "repeats the box of asset id-a.jpg, region 1",
        "asset id-a.jpg, region 9": "'boundingBox' is missing",
        "asset id-a.jpg, region 10": "'tags' is missing or not a list of strings",
        "asset id-a.jpg, region 11": "'1' is not a number",
        "asset id-gone.jpg, region 1": "gone.jpg: no such photo",
        "asset id-double.jpg, region 1": "double.jpg: several photos have this name",
    }


def test_files_outside_the_folder_are_not_found(write_photos: WritePhotos) -> None:
    folder = write_photos("secret.jpg", "export/a.jpg")
    hostile = [
        asset(name, region("Ada"), id=str(number), path=path)
        for number, (name, path) in enumerate(
            [
                ("../secret.jpg", "../secret.jpg"),
                (str(folder / "secret.jpg"), f"file:{folder}/secret.jpg"),
                ("..%2Fsecret.jpg", "..%5Csecret.jpg"),
                ("..", "/"),
                ("a\x00.jpg", "x"),
            ]
        )
    ]
    dataset = read_vott_json(write(folder / "export", asset("a.jpg", region("Ada")), *hostile))
    assert [photo.name for photo in dataset.photos] == ["a.jpg#1"]
    assert len(dataset.skipped) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid JSON: line 1"),
        ('{"assets": {', "invalid JSON: line 1"),
        ("[" * 200_000, "invalid JSON"),
        ("[NaN]", "invalid JSON: NaN is not a JSON number"),
        ("[]", "not a VoTT export: 'assets' is missing"),
        ('{"assets": []}', "not a VoTT export: 'assets' is missing or not an object"),
        ('{"assets": {}}', "'assets' is empty"),
        ('{"assets": {"k": 1}}', "no entry can be used; the first, asset k: 'asset' or 'regions'"),
        ('{"assets": {"k": {"asset": {}, "regions": []}}}', "the first, 1 photo: no tagged boxes"),
    ],
)
def test_broken_export_is_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=f"x.json: .*{message}|x.json: {message}") as caught:
        read_vott_json(path)
    assert "\n" not in str(caught.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["asset", "regions", "name", "path", "size", "tags", "boundingBox", "left", "parent"]),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_any_assets_give_a_dataset_or_an_error(write_photos: WritePhotos, assets: dict[str, Any]) -> None:
    path = write_photos("a.jpg") / "x.json"
    path.write_text(json.dumps({"assets": {**assets, "good": asset("a.jpg", region("Ada"))}}), encoding="utf-8")
    try:
        assert read_vott_json(path).people == ("Ada",)
    except DatasetError as error:
        assert "Infinity is not a JSON number" in str(error)  # noqa: PT017


def test_csv_export_is_read(write_photos: WritePhotos) -> None:
    folder = write_photos("a.jpg", "video.mp4#t=1.5.jpg")
    path = folder / "twins-export.csv"
    path.write_text(
        '"image","xmin","ymin","xmax","ymax","label"\n'
        '"a.jpg",1.5,1,5,4,"Ada"\n"a.jpg",4,1,7,5,"Ada"\n"a.jpg",4,1,7,5,"Bea"\n'
        '"video.mp4#t=1.5.jpg",0,0,5,5,"Bea"\n"a.jpg",1,1,inf,5,"Ada"\n"a.jpg",one,1,2,5,"Ada"\n"b.jpg",1,1,2,5,"Ada"\n',
        encoding="utf-8",
    )
    dataset = read_vott_csv(path)
    assert [(photo.name, photo.person, photo.group) for photo in dataset.photos] == [
        ("a.jpg#1", "Ada", "a.jpg"),
        ("video.mp4#t=1.5.jpg#1", "Bea", "video.mp4"),
    ]
    assert dataset.photos[0].region == LabeledRegion(1.5, 1, 3.5, 3)
    assert {note.entry: note.reason for note in dataset.skipped} == {
        "line 3": "the box has 2 tags (Ada, Bea); expected one",
        "line 6": "a number is too large",
        "line 7": "'one' is not a number",
        "line 8": "b.jpg: no such photo",
    }
