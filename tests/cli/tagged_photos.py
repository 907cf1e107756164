"""Regions, actions and boxes of tagged photos, for tests of ``facebank tags``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facebank.album.tags.regions import Box
from facebank.album.tags.xmp_files import read_photo_xmp

from .conftest import Run


def regions(path: Path) -> list[tuple[str, str]]:
    return [(region.name, region.kind) for source in read_photo_xmp(path).sources for region in source.document.regions]


def actions(records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    return {Path(record["image"]).name: [face["action"] for face in record["faces"]] for record in records}


def face_boxes(record: dict[str, Any]) -> list[Box]:
    """Return the boxes of a photo's faces, given its JSON from ``identify``, as fractions of the upright photo."""
    width, height = record["width"], record["height"]
    return [
        (x1 / width, y1 / height, x2 / width, y2 / height)
        for x1, y1, x2, y2 in (face["box"] for face in record["faces"])
    ]


def box_of(run: Run, path: Path, gallery: Path | None = None) -> Box:
    """Return the box of the first face as fractions of the upright photo."""
    options = () if gallery is None else ("--gallery", gallery)
    (record,) = run(*options, "identify", path, "--json").records
    return face_boxes(record)[0]
