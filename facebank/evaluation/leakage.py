"""Leakage between gallery and probes: copies of enrolled photos, which would inflate accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import PhotoError
from facebank.evaluation.dataset import DatasetPhoto, SkippedEntry
from facebank.storage.arrays import overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.evaluation.faces import FaceReader, FaceSet
    from facebank.types import FloatArray, RGBImage

MIN_SIMILARITY = 0.7
"""Pairs with a smaller cosine similarity are not compared pixel by pixel."""
MIN_CORRELATION = 0.975
"""Lowest correlation at which two registered, downsized gray face crops count as one image.

It lies between those of copies and of different shots, as measured by ``python -m benchmarks.planted_copies``.
"""

_MIN_UNREGISTERED_CORRELATION = 0.6
"""Pairs with a lower correlation before registration are rejected without registering them."""
_SIDE = 48
_MARGIN = 6
_BLUR = 1.0
_ITERATIONS, _TOLERANCE = 50, 1e-4
_BATCH = 1000


class CopyKind(StrEnum):
    """The kind of copy that a probe is of an enrolled photo."""

    CONTENT = "the same file"
    IMAGE = "the same picture"


@dataclass(frozen=True, slots=True)
class Leak:
    """A probe that copies an enrolled photo; both are indices into ``dataset.photos``."""

    enrolled: int
    probe: int
    kind: CopyKind


def find_leakage(
    reader: FaceReader, faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]
) -> tuple[Leak, ...]:
    """Return the probes that are copies of enrolled photos, each with the most similar enrolled photo.

    Parameters
    ----------
    reader
        The reader that produced `faces`.
    faces
        Faces of an unchanged dataset.
    enrolled, probes
        Indices into ``dataset.photos``, ``int64`` of shape ``(N,)`` and ``(M,)``. Names of people are ignored.
    """
    same = _find_same_content(faces, enrolled, probes)
    remaining = np.array([index for index in probes if int(index) not in same], dtype=np.int64)
    leaks = same | _find_same_image(reader, faces, enrolled, remaining)
    return tuple(leaks[int(index)] for index in probes if int(index) in leaks)


def leak_entries(faces: FaceSet, leaks: Sequence[Leak]) -> tuple[SkippedEntry, ...]:
    """Return leaks as entries for a report's list of failures."""
    photos = faces.dataset.photos
    return tuple(
        SkippedEntry(photos[leak.probe].name, f"{leak.kind} as {photos[leak.enrolled].name}, which is enrolled")
        for leak in leaks
    )


def _find_same_content(faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]) -> dict[int, Leak]:
    by_hash: dict[str, list[int]] = {}
    for index in map(int, enrolled):
        by_hash.setdefault(faces.hashes[index], []).append(index)
    leaks = {}
    for probe in map(int, probes):
        for index in by_hash.get(faces.hashes[probe], []) if faces.hashes[probe] else []:
            if index != probe and _is_same_region(faces.dataset.photos[index], faces.dataset.photos[probe]):
                leaks[probe] = Leak(index, probe, CopyKind.CONTENT)
                break
    return leaks


def _is_same_region(first: DatasetPhoto, second: DatasetPhoto) -> bool:
    """Return whether two tagged regions of one photo have an IoU above 0.5, or both are the whole photo."""
    if first.region is None or second.region is None:
        return first.region == second.region
    return bool(overlaps(first.region.box, second.region.box[None])[0] > 0.5)


def _find_same_image(
    reader: FaceReader, faces: FaceSet, enrolled: NDArray[np.int64], probes: NDArray[np.int64]
) -> dict[int, Leak]:
    embeddings = faces.embeddings
    gray_crops: dict[int, FloatArray | None] = {}
    leaks: dict[int, Leak] = {}
    for start in range(0, len(probes), _BATCH):
        part = probes[start : start + _BATCH]
        similarities = embeddings[part] @ embeddings[enrolled].T
        rows, columns = np.nonzero(similarities >= MIN_SIMILARITY)
        nearest_first = np.argsort(-similarities[rows, columns], kind="stable")
        for row, column in zip(rows[nearest_first], columns[nearest_first], strict=True):
            probe, index = int(part[row]), int(enrolled[column])
            if probe in leaks or probe == index:
                continue
            first, second = (_load_gray(reader, faces, position, gray_crops) for position in (probe, index))
            if first is not None and second is not None and are_one_image(first, second):
                leaks[probe] = Leak(index, probe, CopyKind.IMAGE)
    return leaks


def are_one_image(first: FloatArray, second: FloatArray) -> bool:
    """Return whether two outputs of `small_gray` come from one image.

    The second is registered to the first beforehand, since the landmarks of a copy differ slightly (Evangelidis and
    Psarakis 2008, "Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization").
    """
    import cv2

    if _correlation(first, second) < _MIN_UNREGISTERED_CORRELATION:
        return False
    warp = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ITERATIONS, _TOLERANCE)
    unmasked = np.full(first.shape, 255, dtype=np.uint8)
    try:
        cv2.findTransformECC(first, second, warp, cv2.MOTION_AFFINE, criteria, unmasked, 1)
    except cv2.error:  # no convergence: different images
        return False
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    registered = cv2.warpAffine(second, warp, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = slice(_MARGIN, -_MARGIN)
    return _correlation(first[inside, inside], np.asarray(registered)[inside, inside]) >= MIN_CORRELATION


def small_gray(crop: RGBImage) -> FloatArray:
    """Return an aligned face crop, downsized, gray and blurred: ``float32`` of shape ``(48, 48)``."""
    import cv2

    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _BLUR), dtype=np.float32)


def _correlation(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    grays = [np.asarray(gray, dtype=np.float64).ravel() for gray in (first, second)]
    centered = [gray - gray.mean() for gray in grays]
    lengths = [float(np.linalg.norm(gray)) for gray in centered]
    return float(centered[0] @ centered[1] / max(lengths[0] * lengths[1], 1e-9))


def _load_gray(
    reader: FaceReader, faces: FaceSet, index: int, cache: dict[int, FloatArray | None]
) -> FloatArray | None:
    """Return `small_gray` of a photo's face; None if the photo can no longer be read."""
    if index not in cache:
        try:
            cache[index] = small_gray(reader.crop(faces, index))
        except PhotoError:
            cache[index] = None
    return cache[index]
