"""Exports in the format of COCO's object detection: photos, boxes, and categories that are people here.

Source: "Data format" of cocodataset.org.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.datasets.boxes import TaggedBox, dataset_of_boxes, number
from facebank.evaluation.datasets.checking import UnusableError, broken, read_json, shown

_LISTS = ("images", "annotations", "categories")


def read_coco(path: Path, photos: Path | None = None) -> Dataset:
    """Read a COCO export whose categories are people: every box is a photo of one.

    A photo is looked for at its ``file_name``, else by its name in the folder and in those below it.

    Parameters
    ----------
    path
        The JSON file.
    photos
        The folder of the photos; None for the file's own, or, if that is called ``annotations``, the one above.

    Raises
    ------
    DatasetError
        It is no such export, or no box can be used. Single boxes that cannot are listed in `left_out`.
    """
    return coco_dataset(path, read_json(path), photos)


def is_coco(document: object) -> bool:
    """Tell whether a parsed JSON file is a COCO export."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in _LISTS)


def coco_dataset(path: Path, document: object, photos: Path | None = None) -> Dataset:
    """Make a dataset of a COCO export that was parsed; as `read_coco`."""
    if not isinstance(document, dict):
        raise broken(path, "it is no COCO export")
    for key in _LISTS:
        if not isinstance(document.get(key), list):
            raise broken(path, f"it is no COCO export: '{key}' is missing, or is no list")
    if not document["annotations"]:
        raise broken(path, "'annotations' is empty: no box is tagged")
    folder = photos or (path.absolute().parent.parent if path.absolute().parent.name == "annotations" else path.parent)
    left_out = list[LeftOut]()
    images = _by_id(document["images"], "image", left_out)
    categories = _by_id(document["categories"], "category", left_out)
    return dataset_of_boxes(path, folder, _boxes(document["annotations"], images, categories), left_out)


def _by_id(entries: list[Any], kind: str, left_out: list[LeftOut]) -> dict[int | str, Mapping[str, Any]]:
    found: dict[int | str, Mapping[str, Any]] = {}
    for place, entry in enumerate(entries, start=1):
        identity = _identity(entry, "id")
        if identity is None:
            left_out.append(LeftOut(f"{kind} {place}", "its 'id' is missing"))
        elif identity in found:
            left_out.append(LeftOut(f"{kind} {place}", f"an earlier {kind} has the same id, {shown(identity)}"))
        else:
            found[identity] = entry
    return found


def _boxes(
    annotations: list[Any], images: Mapping[int | str, Any], categories: Mapping[int | str, Any]
) -> Iterator[TaggedBox | LeftOut]:
    for place, annotation in enumerate(annotations, start=1):
        where = f"annotation {place}"
        try:
            yield _box(where, annotation, images, categories)
        except UnusableError as error:
            yield LeftOut(where, str(error))


def _box(
    where: str, annotation: Any, images: Mapping[int | str, Any], categories: Mapping[int | str, Any]
) -> TaggedBox:
    image = _named(annotation, "image_id", images)
    category = _named(annotation, "category_id", categories)
    if image is None or category is None:
        what = "image" if image is None else "category"
        raise UnusableError(f"there is no {what} with the id that it states")
    if annotation.get("iscrowd") not in (None, 0):
        raise UnusableError("it is a crowd, and no one person")
    stated = annotation.get("bbox")
    if not isinstance(stated, list) or len(stated) != 4:
        raise UnusableError("its 'bbox' is missing, or has not four numbers")
    file_name, person = image.get("file_name"), category.get("name")
    if not isinstance(file_name, str) or not file_name or not isinstance(person, str):
        raise UnusableError("its photo has no 'file_name', or its category no 'name'")
    left, top, width, height = map(number, stated)
    return TaggedBox(where, (file_name,), (left, top, width, height), (person,), size=_size(image))


def _size(image: Mapping[str, Any]) -> tuple[float, float] | None:
    if image.get("width") is None or image.get("height") is None:
        return None
    return number(image["width"]), number(image["height"])


def _named(annotation: Any, key: str, entries: Mapping[int | str, Any]) -> Any:
    identity = _identity(annotation, key)
    return None if identity is None else entries.get(identity)


def _identity(entry: Any, key: str) -> int | str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None
