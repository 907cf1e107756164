"""COCO exports: boxes are photos, and categories are people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facebank.errors import DatasetError
from facebank.evaluation.dataset import LabeledRegion, Pick
from facebank.evaluation.datasets.annotations import read_coco

from .conftest import WritePhotos

PEOPLE = [{"id": 0, "name": "Ada", "supercategory": "person"}, {"id": 1, "name": "Bea"}]


def annotation(image_id: object, category_id: object, *bbox: float, **fields: object) -> dict[str, Any]:
    ids = {"id": 1, "image_id": image_id, "category_id": category_id}
    return {**ids, "bbox": list(bbox), "area": 9, "iscrowd": 0, **fields}


def write(path: Path, annotations: list[Any], images: list[Any], categories: list[Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.mark.parametrize("location", ["coco.json", "annotations/instances.json"])
def test_categories_are_people(write_photos: WritePhotos, location: str) -> None:
    folder = write_photos("images/a.jpg", "images/b.jpg")
    images = [
        {"id": 0, "file_name": "images/a.jpg", "width": 8, "height": 6},
        {"id": 7, "file_name": "b.jpg", "width": 8, "height": 6},
    ]
    annotations = [annotation(0, 0, 1, 1, 4, 3), annotation(0, 1, 5, 1, 2, 3), annotation(7, 1, 0, 0, 8, 6)]
    dataset = read_coco(write(folder / location, annotations, images, PEOPLE))
    assert [(photo.name, photo.person, photo.group) for photo in dataset.photos] == [
        ("images/a.jpg#1", "Ada", "images/a.jpg"),
        ("images/a.jpg#2", "Bea", "images/a.jpg"),
        ("images/b.jpg#1", "Bea", "images/b.jpg"),
    ]
    assert dataset.photos[0].region == LabeledRegion(1, 1, 4, 3)
    assert dataset.pick is Pick.CENTRAL
    assert dataset.skipped == ()


def test_unusable_annotations_are_skipped(write_photos: WritePhotos) -> None:
    folder = write_photos("secret.jpg", "set/a.jpg")
    images = [
        {"id": 0, "file_name": "a.jpg"},
        {"id": 1, "file_name": "../secret.jpg"},
        {"id": 2},
        {"id": 0, "file_name": "b.jpg"},
        "image",
    ]
    annotations = [
        annotation(0, 0, 1, 1, 4, 3),
        annotation(1, 0, 1, 1, 4, 3),
        annotation(2, 0, 1, 1, 4, 3),
        annotation(9, 0, 1, 1, 4, 3),
        annotation(0, 9, 1, 1, 4, 3),
        annotation(0, 0, 1, 1, 4),
        annotation(0, 0, 1, 1, -4, 3),
        annotation(0, 0, 2, 1, 4, 3, iscrowd=1),
        annotation(0, 1, 1, 1, 4, 3.5),
        annotation(0, 0, 1, 1, 4, 3.5),
        None,
        annotation([0], {}, 1, 1, 4, 3),
    ]
    dataset = read_coco(write(folder / "set" / "coco.json", annotations, images, PEOPLE))
    assert [photo.name for photo in dataset.photos] == ["a.jpg#1"]
    assert {note.entry: note.reason for note in dataset.skipped} == {
        "image 4": "an earlier image has the same id, 0",
        "image 5": "'id' is missing",
        "annotation 2": "../secret.jpg: outside the folder set",
        "annotation 3": "the image has no 'file_name', or the category no 'name'",
        "annotation 4": "no image has the stated id",
        "annotation 5": "no category has the stated id",
        "annotation 6": "'bbox' is missing or does not have four numbers",
        "annotation 7": "the box is -4 pixels wide and 3 high",
        "annotation 8": "a crowd is not a single person",
        "annotation 9": "the box has 2 tags (Ada, Bea); expected one",
        "annotation 11": "no image has the stated id",
        "annotation 12": "no image has the stated id",
    }


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a COCO file"),
        ({"images": []}, "not a COCO file: 'annotations' is missing"),
        ({"images": [], "annotations": {}, "categories": []}, "not a COCO file: 'annotations' is missing or"),
        ({"images": [], "annotations": [], "categories": []}, "'annotations' is empty"),
        ({"images": [], "annotations": [{}], "categories": []}, "the first, annotation 1: no image"),
    ],
)
def test_broken_export_is_a_one_line_error(tmp_path: Path, document: object, message: str) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=f"coco.json: .*{message}|coco.json: {message}"):
        read_coco(path)
