"""Copies of enrolled photos planted among the probes: the harness must see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.checks.common import Check, Subjects
from facebank.evaluation.dataset import Dataset, DatasetPhoto, read_pixels
from facebank.evaluation.figures import rate
from facebank.evaluation.leakage import Leak, find_leakage, leaks_as_failures
from facebank.evaluation.report import Table
from facebank.media import turn_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.bench import Bench
    from facebank.evaluation.faces import FaceSet
    from facebank.types import RGBImage

COPIES = 24


def check_planted(bench: Bench, subjects: Subjects) -> list[Check]:
    """Plant copies of enrolled photos among the probes, saved in different ways, and count how many are detected."""
    places = [int(place) for place in np.concatenate([subjects.enrolled, subjects.probes])]
    photos = subjects.faces.dataset.photos
    sources = bench.random(3).permutation(subjects.enrolled)[:COPIES]
    ways = tuple(_WAYS)
    how = [ways[number % len(ways)] for number in range(len(sources))]
    copies = [_copy(subjects.faces, int(place), way) for place, way in zip(sources, how, strict=True)]
    planted = Dataset(
        f"{subjects.faces.dataset.title} with planted copies",
        (*(photos[place] for place in places), *copies),
        pick=subjects.faces.dataset.pick,
    )
    faces = bench.read(planted)
    enrolled, probes = np.arange(len(subjects.enrolled)), np.arange(len(subjects.enrolled), len(planted.photos))
    leaks = find_leakage(bench.reader, faces, enrolled, probes)
    own = [leak for leak in leaks if leak.probe < len(places)]
    acquired = faces.found[len(places) :]
    by_copy = {leak.probe - len(places): leak for leak in leaks if leak.probe >= len(places)}
    detected = np.array([number in by_copy for number in range(len(copies))])
    found = rate(detected[acquired], np.arange(int(acquired.sum())), "Planted copies that were reported as leakage.")
    text = [f"{int(acquired.sum())} copies of enrolled photos were put among the probes. It passes if all are found."]
    if own:
        text.append(f"The data themselves have {len(own)} copies among the photos drawn; they are among the failures.")
    check = Check(
        "Planted copies",
        "every copy of an enrolled photo is reported as leakage",
        f"{found.events} of {found.count} copies are reported",
        found.events == found.count,
        {"planted_copies_found": found},
        tuple(text),
        (_table(how, detected, by_copy),),
        leaks_as_failures(faces, own),
    )
    return [check]


def _table(how: list[str], detected: NDArray[np.bool_], by_copy: dict[int, Leak]) -> Table:
    rows = []
    for way in _WAYS:
        numbers = [number for number, one in enumerate(how) if one == way]
        kinds = sorted({by_copy[number].likeness.value for number in numbers if number in by_copy})
        rows.append((way, str(len(numbers)), str(int(detected[numbers].sum())), ", ".join(kinds)))
    return Table("Copies", ("How they were saved", "Planted", "Reported", "Reported as"), tuple(rows))


def _copy(faces: FaceSet, place: int, way: str) -> DatasetPhoto:
    photo = faces.dataset.photos[place]
    change = _WAYS[way]
    name = f"copy of {photo.name}, {way}"
    if change is None:
        return replace(photo, name=name)
    pixels = turn_photo(read_pixels(photo), faces.turns[place]).pixels
    return replace(photo, name=name, content=change(pixels), region=None)


def _saved_again(pixels: RGBImage) -> RGBImage:
    import cv2

    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)[..., ::-1])


def _smaller(factor: float) -> Callable[[RGBImage], RGBImage]:
    def change(pixels: RGBImage) -> RGBImage:
        import cv2

        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)

    return change


def _cut(pixels: RGBImage) -> RGBImage:
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels[height // 20 :, width // 20 :])


def _brighter(pixels: RGBImage) -> RGBImage:
    return np.asarray(np.clip(pixels.astype(np.float32) * 1.15 + 8, 0, 255), dtype=np.uint8)


_WAYS: dict[str, Callable[[RGBImage], RGBImage] | None] = {
    "the same file": None,
    "saved again as JPEG of quality 60": _saved_again,
    "at three quarters of the size": _smaller(0.75),
    "at half the size": _smaller(0.5),
    "cut by a twentieth": _cut,
    "brighter": _brighter,
}
