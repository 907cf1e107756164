"""Embeddings in an npz file: people without their photos, for the protocols that need no pictures.

``embedding`` is ``float32`` of shape ``(N, D)``, each row of length 1, made by the very pack that the protocol runs
with; ``person`` says whose each is. Where there are ``quality``, ``detection_score``, ``size`` (pixels), ``photo``
(names) and ``group`` (photos from one source), they are used, and ``pack`` (one text, the pack's digest) is checked.
Every other array of N texts, whole numbers or truth values is a trait, such as ``family`` or ``young``.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.datasets.arrays import texts_of
from facebank.evaluation.datasets.checking import People, UnusableError
from facebank.evaluation.datasets.folders import title_of
from facebank.evaluation.datasets.npz import LARGEST, Member, find_members, member_names, told
from facebank.storage.text import printable
from facebank.types import Detection, Face, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

MOST_EMBEDDINGS = 1_000_000
LONGEST_EMBEDDING = 4096

_NEEDED = ("embedding", "person")
_NUMBERS = {"quality": 1.0, "detection_score": 1.0, "size": 112.0}
_USED = (*_NEEDED, *_NUMBERS, "photo", "group", "pack")
_TRAIT = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,39}")
_LENGTH_TOLERANCE = 0.01


def holds_embeddings(path: Path) -> bool:
    """Tell whether a file is an npz of embeddings."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "embedding" in member_names(archive)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, RuntimeError):  # the reader tells of it
        return False


def read_embeddings(path: Path) -> Dataset:
    """Read embeddings and whose they are from an npz, as the module says.

    Raises
    ------
    DatasetError
        It is no such file, it is damaged, or the arrays are too large, hold Python objects, or do not fit together.
    """
    with told(path), zipfile.ZipFile(path) as archive:
        names = [name for name in member_names(archive) if name in _USED or _TRAIT.fullmatch(name)]
        return _dataset(path, archive, find_members(archive, names))


def _dataset(path: Path, archive: zipfile.ZipFile, arrays: Mapping[str, Member]) -> Dataset:
    missing = next((name for name in _NEEDED if name not in arrays), None)
    if missing is not None:
        raise UnusableError(f"the array {missing} is missing")
    vectors = _vectors(arrays["embedding"], archive)
    count = len(vectors)
    numbers = {name: _numbers(arrays.get(name), archive, count, usual) for name, usual in _NUMBERS.items()}
    persons = texts_of(arrays["person"], archive, count)
    photos = texts_of(arrays["photo"], archive, count) if "photo" in arrays else [""] * count
    groups = texts_of(arrays["group"], archive, count) if "group" in arrays else [""] * count
    traits = {
        name: texts
        for name, array in arrays.items()
        if name not in _USED and (texts := _trait(array, archive, count)) is not None
    }
    people, found = People(), list[DatasetPhoto]()
    for row in range(count):
        person = people.named(persons[row]) if persons[row].strip() else None
        face = _face(vectors[row], *(float(numbers[name][row]) for name in _NUMBERS))
        said = {name: printable(texts[row].strip()) for name, texts in traits.items()}
        name = printable(photos[row]) or f"embedding {row + 1}"
        found.append(DatasetPhoto(name, person, face, group=printable(groups[row]), traits=said))
    return Dataset(
        title_of(path),
        tuple(found),
        pick=Pick.EMBEDDED,
        left_out=tuple(people.joined),
        pack=_pack(arrays.get("pack"), archive),
    )


def _vectors(member: Member, archive: zipfile.ZipFile) -> FloatArray:
    shape = member.shape
    if member.dtype.kind != "f" or len(shape) != 2 or not 0 < shape[1] <= LONGEST_EMBEDDING:
        raise UnusableError(f"the array embedding is {member.dtype} of shape {shape}; float32 (N, D) is needed")
    if not 0 < shape[0] <= MOST_EMBEDDINGS:
        raise UnusableError(f"it holds {shape[0]:,} embeddings; 1 to {MOST_EMBEDDINGS:,} are read")
    if 4 * shape[0] * shape[1] > LARGEST:
        raise UnusableError(f"its embeddings have {4 * shape[0] * shape[1]:,} bytes, and may have {LARGEST:,}")
    vectors, done = np.empty(shape, dtype=np.float32), 0
    for block in member.blocks(archive):
        lengths = np.linalg.norm(block.astype(np.float64), axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))
        if len(wrong):
            row = int(wrong[0])
            raise UnusableError(
                f"embedding {done + row + 1} has length {lengths[row]:.3g}, and should have 1: embeddings are "
                "L2-normalized, as the pack makes them"
            )
        vectors[done : done + len(block)] = block / lengths[:, None]
        done += len(block)
    return vectors


def _numbers(member: Member | None, archive: zipfile.ZipFile, count: int, usual: float) -> NDArray[np.float64]:
    if member is None:
        return np.full(count, usual)
    if member.dtype.kind not in "fiu" or member.shape != (count,):
        raise UnusableError(
            f"the array {member.name} is {member.dtype} of shape {member.shape}; {count:,} numbers are needed"
        )
    numbers = member.read(archive).astype(np.float64)
    highest = np.inf if member.name == "size" else 1.0
    if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > highest + 1e-6:
        raise UnusableError(f"the array {member.name} holds numbers that cannot be: 0 to {highest:g} are possible")
    return np.minimum(numbers, highest)


def _trait(member: Member, archive: zipfile.ZipFile, count: int) -> list[str] | None:
    """Return an array as texts; None where it is no trait."""
    if member.shape != (count,) or member.dtype.kind not in "USiub":
        return None
    if member.dtype.kind == "b":
        return ["yes" if value else "no" for value in member.read(archive).tolist()]
    return texts_of(member, archive, count)


def _pack(member: Member | None, archive: zipfile.ZipFile) -> str:
    if member is None:
        return ""
    if math.prod(member.shape) != 1 or member.dtype.kind not in "US":
        raise UnusableError("the array pack is not one text: the digest of the pack that made the embeddings")
    value = member.read(archive).reshape(-1)[0]
    text = bytes(value).decode("utf-8") if member.dtype.kind == "S" else str(value)
    return text.strip().lower()


def _face(embedding: FloatArray, quality: float, detection_score: float, size: float) -> Face:
    box = np.array([0, 0, size, size], dtype=np.float32)
    detection = Detection(box, np.zeros((5, 2), dtype=np.float32), detection_score)
    return Face(
        detection.box, detection.landmarks, detection.detection_score, Quality(quality, size, 1.0, 1.0), embedding
    )
