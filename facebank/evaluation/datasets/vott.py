"""Exports of VoTT, Microsoft's Visual Object Tagging Tool, version 2: JSON and CSV.

Source: its exporters, ``src/providers/export/vottJson.ts`` and ``csv.ts`` of github.com/microsoft/VoTT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from facebank.evaluation.dataset import Dataset, LeftOut
from facebank.evaluation.datasets.boxes import TaggedBox, dataset_of_boxes, number
from facebank.evaluation.datasets.checking import UnusableError, broken, read_json, shown
from facebank.evaluation.datasets.tables import Row, read_table
from facebank.storage.text import printable

COLUMNS = ("image", "xmin", "ymin", "xmax", "ymax", "label")


def read_vott_json(path: Path, photos: Path | None = None) -> Dataset:
    """Read a VoTT JSON export: every box with one tag is a photo of the person of that tag.

    The paths that the export states are those of the machine that made it, and only their last parts are used: a photo
    is looked for by its name in the folder and in those below it.

    Parameters
    ----------
    path
        The export, such as ``vott-json-export/twins-export.json``.
    photos
        The folder of the photos; None for the export's own.

    Raises
    ------
    DatasetError
        It is no such export, or no box can be used. Single boxes that cannot are listed in `left_out`.
    """
    return vott_dataset(path, read_json(path), photos)


def is_vott(document: object) -> bool:
    """Tell whether a parsed JSON file is a VoTT export."""
    return isinstance(document, dict) and isinstance(document.get("assets"), dict)


def vott_dataset(path: Path, document: object, photos: Path | None = None) -> Dataset:
    """Make a dataset of a VoTT export that was parsed; as `read_vott_json`."""
    if not isinstance(document, dict) or not isinstance(document.get("assets"), dict):
        raise broken(path, "it is no VoTT export: 'assets' is missing, or is not an object")
    assets = document["assets"]
    if not assets:
        raise broken(path, "'assets' is empty: export the tagged photos")
    bare = sum(_is_bare(entry) for entry in assets.values())
    note = [LeftOut(f"{bare:,} photo{'s' * (bare != 1)}", "no box is tagged in them")] if bare else []
    boxes = (box for key, entry in assets.items() for box in _boxes(key, entry))
    return dataset_of_boxes(path, photos or path.parent, boxes, note)


def read_vott_csv(path: Path, photos: Path | None = None) -> Dataset:
    """Read a VoTT CSV export: ``image,xmin,ymin,xmax,ymax,label``, a row for each tag of a box.

    Parameters, result and errors are as in `read_vott_json`.
    """
    table = read_table(path, COLUMNS)
    return dataset_of_boxes(path, photos or path.parent, map(_box_of_row, table.rows), table.left_out)


def _is_bare(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("asset"), dict) and entry.get("regions") == []


def _boxes(key: str, entry: Any) -> Iterator[TaggedBox | LeftOut]:
    where = f"asset {shown(key)}"
    asset, regions = (entry.get("asset"), entry.get("regions")) if isinstance(entry, dict) else (None, None)
    if not isinstance(asset, dict) or not isinstance(regions, list):
        yield LeftOut(where, "its 'asset' or its 'regions' are missing or of the wrong kind")
        return
    for place, region in enumerate(regions):
        spot = f"{where}, region {place + 1}"
        try:
            yield _box(spot, asset, region)
        except UnusableError as error:
            yield LeftOut(spot, str(error))


def _box(where: str, asset: Mapping[str, Any], region: Any) -> TaggedBox:
    stated = region.get("boundingBox") if isinstance(region, dict) else None
    tags = region.get("tags") if isinstance(region, dict) else None
    if not isinstance(stated, dict):
        raise UnusableError("its 'boundingBox' is missing")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise UnusableError("its 'tags' are missing or no texts")
    left, top, width, height = (number(stated.get(key)) for key in ("left", "top", "width", "height"))
    return TaggedBox(where, _files(asset), (left, top, width, height), tuple(tags), _film(asset), _size(asset))


def _files(asset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that a photo may have beside the export, in whatever way the export writes them."""
    stated = [text for text in (asset.get("name"), asset.get("path")) if isinstance(text, str) and text]
    if not stated:
        raise UnusableError("its photo has no name")
    last = [text.replace("\\", "/").rpartition("/")[2] for text in stated]
    decoded = [unquote(name).replace("\\", "/").rpartition("/")[2] for name in last]
    names = [name for name in (*last, *decoded) if name]
    # a frame is called film.mp4#t=1.5, and its picture has a suffix after that
    frames = [f"{name}{suffix}" for name in names if "#t=" in name for suffix in (".jpg", ".jpeg", ".png")]
    return tuple(dict.fromkeys((*names, *frames))) or ("",)


def _film(asset: Mapping[str, Any]) -> str:
    parent = asset.get("parent")
    name = parent.get("name") if isinstance(parent, dict) else None
    return printable(name) if isinstance(name, str) else ""


def _size(asset: Mapping[str, Any]) -> tuple[float, float] | None:
    size = asset.get("size")
    if not isinstance(size, dict) or size.get("width") is None or size.get("height") is None:
        return None
    return number(size["width"]), number(size["height"])


def _box_of_row(row: Row) -> TaggedBox | LeftOut:
    where = f"line {row.line}"
    try:
        left, top, right, bottom = (_decimal(row.values[column]) for column in COLUMNS[1:5])
        files = _files({"name": row.values["image"]})
    except UnusableError as error:
        return LeftOut(where, str(error))
    film, is_frame, _ = row.values["image"].partition("#t=")
    tags = (row.values["label"],) if row.values["label"] else ()
    return TaggedBox(where, files, (left, top, right - left, bottom - top), tags, printable(film) if is_frame else "")


def _decimal(text: str) -> float:
    try:
        return number(float(text))
    except ValueError:
        raise UnusableError(f"'{shown(text)}' stands where a number belongs") from None
