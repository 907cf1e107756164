"""Photos that are in a gallery and among its probes: who finds these again recognises a picture, not a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError
from facebank.evaluation.dataset import DatasetPhoto, LeftOut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.laboratory import FaceSet, Laboratory

LEAST_SIMILARITY = 0.85
"""Embeddings nearer than this are looked at: those of a photo and its copy, saved again or smaller, are."""
LEAST_CORRELATION = 0.95
"""Aligned faces that agree better than this, in grey and 32 pixels wide, are one picture.

In LFW the pairs above both are one press photo in two cuts or sizes (such as ``Gabrielle_Rose_0001`` and
``Martha_Bowen_0002``), and different moments are below.
"""

_SIDE = 32
_AT_ONCE = 1000


class Likeness(StrEnum):
    """What two photos have in common."""

    CONTENT = "the same file"
    PICTURE = "the same picture, saved another way"


@dataclass(frozen=True, slots=True)
class Leak:
    """A probe that is enrolled as well.

    Attributes
    ----------
    enrolled, probe
        Places in the dataset's photos.
    likeness
        What they have in common.
    """

    enrolled: int
    probe: int
    likeness: Likeness


def find_leakage(
    laboratory: Laboratory, faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]
) -> tuple[Leak, ...]:
    """Find the probes that are copies of enrolled photos, whomever they are said to show.

    Parameters
    ----------
    laboratory
        What the faces were read with.
    faces
        Of a dataset, unchanged.
    enrolled, probes
        Places in the dataset's photos, ``int64`` of shape ``(N,)`` and ``(M,)``.

    Returns
    -------
    tuple[Leak, ...]
        By probe, each once: with the enrolled photo that it is most alike.
    """
    same = _same_content(faces, enrolled, probes)
    rest = np.array([place for place in probes if int(place) not in same], dtype=np.int64)
    leaks = same | _same_picture(laboratory, faces, enrolled, rest)
    return tuple(leaks[int(place)] for place in probes if int(place) in leaks)


def leaks_as_failures(faces: FaceSet, leaks: Sequence[Leak]) -> tuple[LeftOut, ...]:
    """Tell of leaks in a report: each names the probe, the enrolled photo, and what they have in common."""
    photos = faces.dataset.photos
    return tuple(
        LeftOut(
            photos[leak.probe].name, f"leakage: {photos[leak.enrolled].name}, which is enrolled, is {leak.likeness}"
        )
        for leak in leaks
    )


def _same_content(faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]) -> dict[int, Leak]:
    by_hash: dict[str, list[int]] = {}
    for place in map(int, enrolled):
        by_hash.setdefault(faces.hashes[place], []).append(place)
    leaks = {}
    for probe in map(int, probes):
        for place in by_hash.get(faces.hashes[probe], []) if faces.hashes[probe] else []:
            if place != probe and _same_part(faces.dataset.photos[place], faces.dataset.photos[probe]):
                leaks[probe] = Leak(place, probe, Likeness.CONTENT)
                break
    return leaks


def _same_part(first: DatasetPhoto, second: DatasetPhoto) -> bool:
    """Tell whether two tagged parts of one photo overlap by half: two people may be tagged in one photo."""
    a, b = first.region, second.region
    if a is None or b is None:
        return a == b
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(0.0, width) * max(0.0, height)
    return shared > 0.5 * (a.width * a.height + b.width * b.height - shared)


def _same_picture(
    laboratory: Laboratory, faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]
) -> dict[int, Leak]:
    embeddings = faces.embeddings
    pictures: dict[int, NDArray[np.float64]] = {}
    leaks: dict[int, Leak] = {}
    for start in range(0, len(probes), _AT_ONCE):
        part = probes[start : start + _AT_ONCE]
        similarities = embeddings[part] @ embeddings[enrolled].T
        rows, columns = np.nonzero(similarities >= LEAST_SIMILARITY)
        nearest_first = np.argsort(-similarities[rows, columns], kind="stable")
        for row, column in zip(rows[nearest_first], columns[nearest_first], strict=True):
            probe, place = int(part[row]), int(enrolled[column])
            if probe in leaks or probe == place:
                continue
            both = [_picture(laboratory, faces, one, pictures) for one in (probe, place)]
            if float(both[0] @ both[1]) >= LEAST_CORRELATION:
                leaks[probe] = Leak(place, probe, Likeness.PICTURE)
    return leaks


def _picture(
    laboratory: Laboratory, faces: FaceSet, place: int, known: dict[int, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return an aligned face in grey, small, with mean 0 and length 1; zeros where it cannot be read any more."""
    if place not in known:
        import cv2

        try:
            grey = cv2.cvtColor(laboratory.crop(faces, place), cv2.COLOR_RGB2GRAY)
        except PhotoError:
            known[place] = np.zeros(_SIDE * _SIDE)
            return known[place]
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
        small -= small.mean()
        known[place] = small / max(float(np.linalg.norm(small)), 1e-9)
    return known[place]
