"""Leakage: copies of enrolled photos among the probes, which would be recognized as pictures, not as people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError
from facebank.evaluation.dataset import DatasetPhoto, LeftOut
from facebank.storage.arrays import overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceReader, FaceSet
    from facebank.types import FloatArray, RGBImage

LEAST_SIMILARITY = 0.7
"""Photos with a smaller similarity are not compared as pictures."""
LEAST_CORRELATION = 0.975
"""Aligned faces with a larger correlation, in gray, small and registered, are one picture.

Of 195 people of LFW's development list, copies at three quarters to two fifths of the size, cut, brighter, or saved at
JPEG quality 30 to 60 agree by 0.980 and more; the most alike of two moments, of 159 pairs of photos that were looked
at, by 0.969 (``python -m benchmarks.planted_copies``). Pairs of different people above it, such as
``Gabrielle_Rose_0001`` and ``Martha_Bowen_0002``, are one press photo under two names.
"""

_LEAST_AS_THEY_LIE = 0.6
"""Below it, before registration, they are two pictures."""
_SIDE = 48
_MARGIN = 6
_BLUR = 1.0
_STEPS, _CLOSE_ENOUGH = 50, 1e-4
_AT_ONCE = 1000


class Likeness(StrEnum):
    """What two photos have in common."""

    CONTENT = "the same file"
    PICTURE = "the same picture, saved another way"


@dataclass(frozen=True, slots=True)
class Leak:
    """A probe and the enrolled photo it is a copy of, as places in the dataset's photos."""

    enrolled: int
    probe: int
    likeness: Likeness


def find_leakage(
    reader: FaceReader, faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]
) -> tuple[Leak, ...]:
    """Return the probes that are copies of enrolled photos, each once, with the enrolled photo most like it.

    Parameters
    ----------
    reader
        What the faces were read with.
    faces
        Of an unchanged dataset.
    enrolled, probes
        Places in the dataset's photos, ``int64`` of shape ``(N,)`` and ``(M,)``; whom they show does not matter.
    """
    same = _same_content(faces, enrolled, probes)
    rest = np.array([place for place in probes if int(place) not in same], dtype=np.int64)
    leaks = same | _same_picture(reader, faces, enrolled, rest)
    return tuple(leaks[int(place)] for place in probes if int(place) in leaks)


def leaks_as_failures(faces: FaceSet, leaks: Sequence[Leak]) -> tuple[LeftOut, ...]:
    """Return leaks for a report."""
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
    """Return whether two tagged regions of one photo overlap by half; several people may be tagged in one photo."""
    a, b = first.region, second.region
    if a is None or b is None:
        return a == b
    return bool(overlaps(a.box, b.box[None])[0] > 0.5)


def _same_picture(
    reader: FaceReader, faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]
) -> dict[int, Leak]:
    embeddings = faces.embeddings
    pictures: dict[int, FloatArray | None] = {}
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
            first, second = (_picture(reader, faces, one, pictures) for one in (probe, place))
            if first is not None and second is not None and are_one_picture(first, second):
                leaks[probe] = Leak(place, probe, Likeness.PICTURE)
    return leaks


def are_one_picture(first: FloatArray, second: FloatArray) -> bool:
    """Return whether two outputs of `small_gray` are one picture saved in two ways.

    The second is warped affinely onto the first, because the landmarks of a copy differ a little (Evangelidis and
    Psarakis 2008, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization").
    """
    import cv2

    if _correlation(first, second) < _LEAST_AS_THEY_LIE:
        return False
    found = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _CLOSE_ENOUGH)
    unmasked = np.full(first.shape, 255, dtype=np.uint8)
    try:
        cv2.findTransformECC(first, second, found, cv2.MOTION_AFFINE, stop, unmasked, 1)
    except cv2.error:  # it does not converge: there is nothing in common
        return False
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second, found, (_SIDE, _SIDE), flags=how, borderMode=cv2.BORDER_REPLICATE)
    inside = slice(_MARGIN, -_MARGIN)
    return _correlation(first[inside, inside], np.asarray(moved)[inside, inside]) >= LEAST_CORRELATION


def small_gray(crop: RGBImage) -> FloatArray:
    """Return an aligned face in gray, ``float32`` of shape ``(48, 48)``."""
    import cv2

    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _BLUR), dtype=np.float32)


def _correlation(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    one, other = (np.asarray(picture, dtype=np.float64).ravel() for picture in (first, second))
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-9))


def _picture(reader: FaceReader, faces: FaceSet, place: int, known: dict[int, FloatArray | None]) -> FloatArray | None:
    """Return a photo's small gray face; None if it cannot be read any more."""
    if place not in known:
        try:
            known[place] = small_gray(reader.crop(faces, place))
        except PhotoError:
            known[place] = None
    return known[place]
