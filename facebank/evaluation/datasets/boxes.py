"""Tagged boxes in photos, from whatever export: checked, and made a dataset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from facebank.evaluation.dataset import Dataset, DatasetPhoto, LeftOut, Pick, Region
from facebank.evaluation.datasets.checking import People, PhotoFolder, UnusableError, need_photos, shown, split_named
from facebank.evaluation.datasets.folders import title_of

_Tagged: TypeAlias = "dict[tuple[Path, Region], tuple[TaggedBox, set[str]]]"
"""The boxes at their places, each with all its tags."""


@dataclass(frozen=True, slots=True)
class TaggedBox:
    """A box as an export states it.

    Attributes
    ----------
    where
        In the export, such as ``line 7``.
    files
        What the photo may be called; the first that is there is taken.
    box
        Left, top, width and height in pixels, unchecked.
    tags
        Whom it shows; one is right.
    group
        The film it comes from; "" for a photo of its own.
    size
        Width and height that the export states for the photo; None where it states none.
    """

    where: str
    files: tuple[str, ...]
    box: tuple[float, float, float, float]
    tags: tuple[str, ...]
    group: str = ""
    size: tuple[float, float] | None = None


def dataset_of_boxes(
    path: Path, photos: Path, boxes: Iterable[TaggedBox | LeftOut], left_out: Iterable[LeftOut] = ()
) -> Dataset:
    """Make a dataset of tagged boxes: a photo for each, cut to its box.

    A box with several tags, or none, is left out, as is one that is stated twice. Boxes of one photo, or film, are one
    group. Photos in a folder ``train``, ``validation`` or ``test`` have that split.

    Parameters
    ----------
    path
        The export, for messages.
    photos
        The folder that the photos must be in.
    boxes
        What the export states; what could not even be read goes to `left_out` at once.
    left_out
        What was left out before.

    Raises
    ------
    DatasetError
        No box can be used.
    """
    folder, people = PhotoFolder(photos), People()
    notes = list(left_out)
    tagged: _Tagged = {}
    for box in boxes:
        if isinstance(box, LeftOut):
            notes.append(box)
            continue
        try:
            place, tags = (_find(folder, box), _region(box)), {people.named(tag) for tag in box.tags}
            _enter(tagged, place, box, tags)
        except UnusableError as error:
            notes.append(LeftOut(box.where, str(error)))
    made = _photos(folder, tagged, notes)
    need_photos(path, made, notes)
    return Dataset(title_of(path), tuple(made), pick=Pick.CENTRAL, left_out=(*notes, *people.joined))


def number(value: object) -> float:
    """Return a finite number; raises `UnusableError` for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UnusableError(f"'{shown(value)}' stands where a number belongs")
    try:
        as_float = float(value)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise UnusableError("one of its numbers is too large")
    return as_float


def _enter(tagged: _Tagged, place: tuple[Path, Region], box: TaggedBox, tags: set[str]) -> None:
    """Note a box, or further tags of one."""
    first, named = tagged.setdefault(place, (box, set()))
    if first is not box and tags <= named:
        raise UnusableError(f"it repeats the box of {first.where}")
    named |= tags


def _photos(folder: PhotoFolder, tagged: _Tagged, notes: list[LeftOut]) -> list[DatasetPhoto]:
    made, counts = list[DatasetPhoto](), Counter[Path]()
    for (path, region), (box, tags) in tagged.items():
        if len(tags) != 1:
            why = f"it has {len(tags)} tags ({shown(', '.join(sorted(tags)))})" if tags else "it has no tag"
            notes.append(LeftOut(box.where, f"{why}, and one belongs to each box"))
            continue
        counts[path] += 1
        name = folder.name_of(path)
        (person,) = tags
        top = path.relative_to(folder.folder).parts[:-1][:1]
        split = split_named(top[0]) if top else None
        made.append(DatasetPhoto(f"{name}#{counts[path]}", person, path, region, split, box.group or name))
    return made


def _find(folder: PhotoFolder, box: TaggedBox) -> Path:
    try:
        return folder.called(box.files)
    except UnusableError as error:
        raise UnusableError(f"{shown(box.files[0]) or 'a photo without a name'}: {error}") from error


def _region(box: TaggedBox) -> Region:
    left, top, width, height = box.box
    if width <= 0 or height <= 0:
        raise UnusableError(f"the box is {width:g} pixels wide and {height:g} high")
    limits = box.size or (math.inf, math.inf)
    if left >= limits[0] or top >= limits[1] or left + width <= 0 or top + height <= 0:
        raise UnusableError("the box is outside the photo")
    return Region(left, top, width, height)
