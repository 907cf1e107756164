"""Tagged boxes in photos: VoTT exports (JSON and CSV) and COCO object detection.

Formats: ``src/providers/export/vottJson.ts`` and ``csv.ts`` of github.com/microsoft/VoTT, version 2; "Data format" of
cocodataset.org. In COCO files, categories are people.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

from facebank.evaluation.dataset import Dataset, DatasetPhoto, LabeledRegion, Pick, SkippedEntry
from facebank.evaluation.datasets.checking import (
    CsvRow,
    People,
    PhotoFolder,
    UnusableEntryError,
    check_photos,
    file_error,
    parse_split,
    read_json,
    read_table,
    shorten,
)
from facebank.evaluation.datasets.folders import dataset_title
from facebank.storage.text import pluralize, printable

VOTT_COLUMNS = ("image", "xmin", "ymin", "xmax", "ymax", "label")
_COCO_LISTS = ("images", "annotations", "categories")

_Tagged: TypeAlias = "dict[tuple[Path, LabeledRegion], tuple[TaggedBox, set[str]]]"
"""Boxes by photo and region, each with all its tags."""


@dataclass(frozen=True, slots=True)
class TaggedBox:
    """A box as stated in an export: left, top, width and height in pixels, not validated.

    `location` is its position in the export, such as ``line 7``. `file_names` are possible names of the photo, of which
    the first existing one is used; `group` is the name of its video, "" for a photo; `size` is the stated width and
    height of the photo, or None.
    """

    location: str
    file_names: tuple[str, ...]
    box: tuple[float, float, float, float]
    tags: tuple[str, ...]
    group: str = ""
    size: tuple[float, float] | None = None


def is_vott(document: object) -> bool:
    """Return whether a parsed JSON document is a VoTT export."""
    return isinstance(document, dict) and isinstance(document.get("assets"), dict)


def is_coco(document: object) -> bool:
    """Return whether a parsed JSON document is a COCO export."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in _COCO_LISTS)


def read_vott_json(path: Path, photos: Path | None = None, document: object = None) -> Dataset:
    """Return the dataset of a VoTT JSON export, in which every box with one tag is a photo of the person of that name.

    Of the paths in the export, only file names are used: photos are looked for in the folder `photos` (None: that of
    the export) and below it. `document` is the export if already parsed. Raises `DatasetError` if the file is not a
    VoTT export, or no box is usable; single unusable boxes are listed in `skipped`.
    """
    export = read_json(path) if document is None else document
    if not isinstance(export, dict) or not isinstance(export.get("assets"), dict):
        raise file_error(path, "not a VoTT export: 'assets' is missing or not an object")
    assets = export["assets"]
    if not assets:
        raise file_error(path, "'assets' is empty; export the tagged photos from VoTT")
    untagged = sum(_is_untagged(entry) for entry in assets.values())
    note = [SkippedEntry(pluralize(untagged, "photo"), "no tagged boxes")] if untagged else []
    boxes = (box for key, entry in assets.items() for box in _vott_boxes(key, entry))
    return _dataset(path, photos or path.parent, boxes, note)


def read_vott_csv(path: Path, photos: Path | None = None) -> Dataset:
    """Return the dataset of a VoTT CSV export: ``image,xmin,ymin,xmax,ymax,label``, with one row per tag of a box.

    Parameters, result and errors are as in `read_vott_json`.
    """
    table = read_table(path, VOTT_COLUMNS)
    return _dataset(path, photos or path.parent, map(_parse_row, table.rows), table.skipped)


def read_coco(path: Path, photos: Path | None = None, document: object = None) -> Dataset:
    """Return the dataset of a COCO file whose categories are people; every box is a photo of one person.

    A photo is looked for at its ``file_name``, then by its name in the folder `photos` and below it. `photos` defaults
    to the folder of the file, or to the parent of a folder ``annotations``. `document` is the file if already parsed.
    Errors are as in `read_vott_json`.
    """
    export = read_json(path) if document is None else document
    if not isinstance(export, dict):
        raise file_error(path, "not a COCO file")
    for key in _COCO_LISTS:
        if not isinstance(export.get(key), list):
            raise file_error(path, f"not a COCO file: '{key}' is missing or not a list")
    if not export["annotations"]:
        raise file_error(path, "'annotations' is empty; export the tagged photos")
    folder = photos or (path.absolute().parent.parent if path.absolute().parent.name == "annotations" else path.parent)
    skipped = list[SkippedEntry]()
    images = _index_by_id(export["images"], "image", skipped)
    categories = _index_by_id(export["categories"], "category", skipped)
    return _dataset(path, folder, _coco_boxes(export["annotations"], images, categories), skipped)


def _dataset(
    path: Path, photos: Path, boxes: Iterable[TaggedBox | SkippedEntry], skipped: Iterable[SkippedEntry] = ()
) -> Dataset:
    """Return a dataset with one photo per tagged box, cropped to the box.

    Boxes without a tag, with several tags, or stated twice are skipped. Boxes of one photo or video are one group.
    Photos in a folder ``train``, ``validation`` or ``test`` have that split.
    """
    folder, people = PhotoFolder(photos), People()
    notes = list(skipped)
    tagged: _Tagged = {}
    for box in boxes:
        if isinstance(box, SkippedEntry):
            notes.append(box)
            continue
        try:
            key, tags = (_find_photo(folder, box), _region(box)), {people.add(tag) for tag in box.tags}
            _add_box(tagged, key, box, tags)
        except UnusableEntryError as error:
            notes.append(SkippedEntry(box.location, str(error)))
    selected = _photos(folder, tagged, notes)
    check_photos(path, selected, notes)
    return Dataset(dataset_title(path), tuple(selected), pick=Pick.CENTRAL, skipped=(*notes, *people.notes))


def _add_box(tagged: _Tagged, key: tuple[Path, LabeledRegion], box: TaggedBox, tags: set[str]) -> None:
    first, known_tags = tagged.setdefault(key, (box, set()))
    if first is not box and tags <= known_tags:
        raise UnusableEntryError(f"repeats the box of {first.location}")
    known_tags |= tags


def _photos(folder: PhotoFolder, tagged: _Tagged, notes: list[SkippedEntry]) -> list[DatasetPhoto]:
    photos, counts = list[DatasetPhoto](), Counter[Path]()
    for (path, region), (box, tags) in tagged.items():
        if len(tags) != 1:
            reason = (
                f"the box has {len(tags)} tags ({shorten(', '.join(sorted(tags)))})" if tags else "the box has no tag"
            )
            notes.append(SkippedEntry(box.location, f"{reason}; expected one"))
            continue
        counts[path] += 1
        name = folder.label(path)
        (person,) = tags
        top = path.relative_to(folder.folder).parts[:-1][:1]
        split = parse_split(top[0]) if top else None
        photos.append(DatasetPhoto(f"{name}#{counts[path]}", person, path, region, split, box.group or name))
    return photos


def _find_photo(folder: PhotoFolder, box: TaggedBox) -> Path:
    try:
        return folder.find_any(box.file_names)
    except UnusableEntryError as error:
        raise UnusableEntryError(f"{shorten(box.file_names[0]) or 'a photo without a name'}: {error}") from error


def _region(box: TaggedBox) -> LabeledRegion:
    left, top, width, height = box.box
    if width <= 0 or height <= 0:
        raise UnusableEntryError(f"the box is {width:g} pixels wide and {height:g} high")
    limits = box.size or (math.inf, math.inf)
    if left >= limits[0] or top >= limits[1] or left + width <= 0 or top + height <= 0:
        raise UnusableEntryError("the box is outside the photo")
    return LabeledRegion(left, top, width, height)


def _parse_number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UnusableEntryError(f"'{shorten(value)}' is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UnusableEntryError("a number is too large")
    return number


def _is_untagged(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("asset"), dict) and entry.get("regions") == []


def _vott_boxes(key: str, entry: Any) -> Iterator[TaggedBox | SkippedEntry]:
    location = f"asset {shorten(key)}"
    asset, regions = (entry.get("asset"), entry.get("regions")) if isinstance(entry, dict) else (None, None)
    if not isinstance(asset, dict) or not isinstance(regions, list):
        yield SkippedEntry(location, "'asset' or 'regions' is missing or of the wrong type")
        return
    for index, region in enumerate(regions):
        region_location = f"{location}, region {index + 1}"
        try:
            yield _vott_box(region_location, asset, region)
        except UnusableEntryError as error:
            yield SkippedEntry(region_location, str(error))


def _vott_box(location: str, asset: Mapping[str, Any], region: Any) -> TaggedBox:
    box = region.get("boundingBox") if isinstance(region, dict) else None
    tags = region.get("tags") if isinstance(region, dict) else None
    if not isinstance(box, dict):
        raise UnusableEntryError("'boundingBox' is missing")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise UnusableEntryError("'tags' is missing or not a list of strings")
    left, top, width, height = (_parse_number(box.get(key)) for key in ("left", "top", "width", "height"))
    return TaggedBox(
        location,
        _file_names(asset),
        (left, top, width, height),
        tuple(tags),
        _video_name(asset),
        _size(asset.get("size")),
    )


def _file_names(asset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the possible file names of an asset, in all variants that VoTT versions write."""
    stated = [text for text in (asset.get("name"), asset.get("path")) if isinstance(text, str) and text]
    if not stated:
        raise UnusableEntryError("the photo has no name")
    last_parts = [text.replace("\\", "/").rpartition("/")[2] for text in stated]
    decoded = [unquote(name).replace("\\", "/").rpartition("/")[2] for name in last_parts]
    names = [name for name in (*last_parts, *decoded) if name]
    # A video frame is named film.mp4#t=1.5, and its file has an image suffix after that.
    frames = [f"{name}{suffix}" for name in names if "#t=" in name for suffix in (".jpg", ".jpeg", ".png")]
    return tuple(dict.fromkeys((*names, *frames))) or ("",)


def _video_name(asset: Mapping[str, Any]) -> str:
    parent = asset.get("parent")
    name = parent.get("name") if isinstance(parent, dict) else None
    return printable(name) if isinstance(name, str) else ""


def _size(size: object) -> tuple[float, float] | None:
    if not isinstance(size, dict) or size.get("width") is None or size.get("height") is None:
        return None
    return _parse_number(size["width"]), _parse_number(size["height"])


def _parse_row(row: CsvRow) -> TaggedBox | SkippedEntry:
    location = f"line {row.line}"
    try:
        left, top, right, bottom = (_parse_decimal(row.values[column]) for column in VOTT_COLUMNS[1:5])
        file_names = _file_names({"name": row.values["image"]})
    except UnusableEntryError as error:
        return SkippedEntry(location, str(error))
    video, is_frame, _ = row.values["image"].partition("#t=")
    tags = (row.values["label"],) if row.values["label"] else ()
    return TaggedBox(
        location, file_names, (left, top, right - left, bottom - top), tags, printable(video) if is_frame else ""
    )


def _parse_decimal(text: str) -> float:
    try:
        return _parse_number(float(text))
    except ValueError:
        raise UnusableEntryError(f"'{shorten(text)}' is not a number") from None


def _index_by_id(entries: list[Any], noun: str, skipped: list[SkippedEntry]) -> dict[int | str, Mapping[str, Any]]:
    by_id: dict[int | str, Mapping[str, Any]] = {}
    for number, entry in enumerate(entries, start=1):
        entry_id = _read_id(entry, "id")
        if entry_id is None:
            skipped.append(SkippedEntry(f"{noun} {number}", "'id' is missing"))
        elif entry_id in by_id:
            skipped.append(SkippedEntry(f"{noun} {number}", f"an earlier {noun} has the same id, {shorten(entry_id)}"))
        else:
            by_id[entry_id] = entry
    return by_id


def _coco_boxes(
    annotations: list[Any], images: Mapping[int | str, Any], categories: Mapping[int | str, Any]
) -> Iterator[TaggedBox | SkippedEntry]:
    for index, annotation in enumerate(annotations, start=1):
        location = f"annotation {index}"
        try:
            yield _coco_box(location, annotation, images, categories)
        except UnusableEntryError as error:
            yield SkippedEntry(location, str(error))


def _coco_box(
    location: str, annotation: Any, images: Mapping[int | str, Any], categories: Mapping[int | str, Any]
) -> TaggedBox:
    image = _look_up(annotation, "image_id", images)
    category = _look_up(annotation, "category_id", categories)
    if image is None or category is None:
        noun = "image" if image is None else "category"
        raise UnusableEntryError(f"no {noun} has the stated id")
    if annotation.get("iscrowd") not in (None, 0):
        raise UnusableEntryError("a crowd is not a single person")
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise UnusableEntryError("'bbox' is missing or does not have four numbers")
    file_name, person = image.get("file_name"), category.get("name")
    if not isinstance(file_name, str) or not file_name or not isinstance(person, str):
        raise UnusableEntryError("the image has no 'file_name', or the category no 'name'")
    left, top, width, height = map(_parse_number, box)
    return TaggedBox(location, (file_name,), (left, top, width, height), (person,), size=_size(image))


def _look_up(annotation: Any, key: str, entries: Mapping[int | str, Any]) -> Any:
    entry_id = _read_id(annotation, key)
    return None if entry_id is None else entries.get(entry_id)


def _read_id(entry: Any, key: str) -> int | str | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None
