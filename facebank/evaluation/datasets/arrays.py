"""Images or embeddings in an npz file, read without unpickling and with all headers validated.

Images come in two forms: ``images`` and ``labels`` (optionally with ``splits``, ``groups`` and ``aligned``), or, as in
many tutorials, ``arr_0`` to ``arr_3``: training images and labels, test images and labels.

Embeddings need ``embedding``, ``float32`` of shape ``(N, D)`` with L2-normalized rows made by the pack of the run, and
``person``. Optional are ``quality``, ``detection_score``, ``size`` (pixels), ``photo`` (names), ``group`` (number or
name of the source) and ``pack`` (a string, the pack's digest, which is checked). Every other array of N strings,
integers or booleans is a trait, such as ``family`` or ``young``.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facebank.evaluation.dataset import Dataset, DatasetPhoto, PhotoContent, Pick
from facebank.evaluation.datasets.checking import People, UnusableEntryError, parse_split, shorten
from facebank.evaluation.datasets.folders import dataset_title
from facebank.evaluation.datasets.npz import (
    MAX_TOTAL,
    ImageArray,
    Member,
    StoredImage,
    find_members,
    member_names,
    npz_errors,
)
from facebank.storage.text import pluralize, printable
from facebank.types import Face, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray

MAX_IMAGES = 1_000_000
MAX_EMBEDDINGS = 1_000_000
MAX_DIMENSION = 4096

_IMAGE_ARRAYS = ("images", "labels", "splits", "groups", "aligned")
_TUTORIAL_ARRAYS = ("arr_0", "arr_1", "arr_2", "arr_3")
_REQUIRED_ARRAYS = ("embedding", "person")
_DEFAULT_NUMBERS = {"quality": 1.0, "detection_score": 1.0, "size": 112.0}
_KNOWN_ARRAYS = (*_REQUIRED_ARRAYS, *_DEFAULT_NUMBERS, "photo", "group", "pack")
_TRAIT = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,39}")
_LENGTH_TOLERANCE = 0.01


def has_embeddings(path: Path) -> bool:
    """Return whether a file is an npz of embeddings."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "embedding" in member_names(archive)
    # other errors are reported when the file is read
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, RuntimeError):
        return False


def read_arrays(path: Path) -> Dataset:
    """Return the dataset of an npz of images and labels.

    ``images`` is RGB ``uint8`` of shape ``(N, H, W, 3)``; ``labels``, ``splits`` and ``groups`` are strings or integers
    of shape ``(N,)``, an empty label meaning unlabeled; ``aligned`` is a single boolean: whether all images are aligned
    face crops. Other arrays are ignored. Raises `DatasetError`.
    """
    with npz_errors(path), zipfile.ZipFile(path) as archive:
        arrays = _Arrays(path, archive, find_members(archive, (*_IMAGE_ARRAYS, *_TUTORIAL_ARRAYS)))
        pick = _read_pick(arrays)
        return _image_dataset(path, list(_parts(arrays)), pick)


def read_embeddings(path: Path) -> Dataset:
    """Return the dataset of an npz of labeled embeddings, as described above; raises `DatasetError`."""
    with npz_errors(path), zipfile.ZipFile(path) as archive:
        names = [name for name in member_names(archive) if name in _KNOWN_ARRAYS or _TRAIT.fullmatch(name)]
        return _embeddings(path, archive, find_members(archive, names))


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The arrays of an open npz, by name."""

    path: Path
    archive: zipfile.ZipFile
    members: Mapping[str, Member]

    def has(self, *names: str) -> bool:
        return all(name in self.members for name in names)

    def images(self, name: str) -> Sequence[PhotoContent]:
        """Return the images, read one by one on demand if the file allows it."""
        member = self.members[name]
        shape = member.shape
        if member.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
            raise UnusableEntryError(
                f"the array {name} is {member.dtype} of shape {shape}; expected uint8 (N, H, W, 3)"
            )
        if shape[0] > MAX_IMAGES:
            raise UnusableEntryError(f"the array {name} has {shape[0]:,} images; the limit is {MAX_IMAGES:,}")
        if not ImageArray.can_read(member):
            return list(member.read(self.archive))
        array = ImageArray(self.path, member)
        return [StoredImage(array, number) for number in range(len(array))]

    def texts(self, name: str, count: int) -> list[str]:
        return _read_texts(self.members[name], self.archive, count)


@dataclass(frozen=True, slots=True)
class _Part:
    """Images with the label, split and group of each."""

    images: Sequence[PhotoContent]
    labels: list[str]
    splits: list[str]
    groups: list[str]


def _image_dataset(path: Path, parts: list[_Part], pick: Pick) -> Dataset:
    people, photos = People(), list[DatasetPhoto]()
    for part in parts:
        for index, image in enumerate(part.images):
            label, split = part.labels[index], part.splits[index]
            person = people.add(label) if label.strip() else None
            name = f"image {len(photos) + 1}"
            photos.append(
                DatasetPhoto(name, person, image, None, _parse_split(name, split), printable(part.groups[index]))
            )
    if not photos:
        raise UnusableEntryError("it has no images")
    return Dataset(dataset_title(path), tuple(photos), pick=pick, skipped=tuple(people.notes))


def _parse_split(name: str, text: str) -> str | None:
    split = parse_split(text)
    if split is None and text.strip():
        raise UnusableEntryError(f"the split of {name} is '{shorten(text)}'; expected train, validation or test")
    return split


def _parts(arrays: _Arrays) -> Iterator[_Part]:
    if arrays.has("images", "labels"):
        count = arrays.members["images"].shape[0] if arrays.members["images"].shape else 0
        texts = [arrays.texts(name, count) if arrays.has(name) else [""] * count for name in _IMAGE_ARRAYS[1:4]]
        yield _Part(arrays.images("images"), *texts)
    elif arrays.has(*_TUTORIAL_ARRAYS):
        for images_name, labels, split in (("arr_0", "arr_1", "train"), ("arr_2", "arr_3", "test")):
            images = arrays.images(images_name)
            count = len(images)
            yield _Part(images, arrays.texts(labels, count), [split] * count, [""] * count)
    else:
        raise UnusableEntryError("expected the arrays images and labels, or arr_0 to arr_3")


def _read_texts(member: Member, archive: zipfile.ZipFile, count: int) -> list[str]:
    """Return an array of strings or integers as strings; other dtypes are rejected before reading."""
    if len(member.shape) != 1 or member.dtype.kind not in "USiu":
        raise UnusableEntryError(
            f"the array {member.name} is {member.dtype} of shape {member.shape}; expected (N,) strings or integers"
        )
    if member.shape[0] != count:
        raise UnusableEntryError(
            f"the array {member.name} has {member.shape[0]:,} values for {pluralize(count, 'image')}"
        )
    array = member.read(archive)
    if array.dtype.kind == "S":
        return [bytes(text).decode("utf-8") for text in array]
    return [str(value) for value in array.tolist()]


def _read_pick(arrays: _Arrays) -> Pick:
    member = arrays.members.get("aligned")
    if member is None:
        return Pick.LARGEST
    if member.dtype != np.bool_ or member.size != 1:
        raise UnusableEntryError("the array aligned is not a single boolean")
    return Pick.ALIGNED if bool(member.read(arrays.archive).reshape(-1)[0]) else Pick.LARGEST


def _embeddings(path: Path, archive: zipfile.ZipFile, arrays: Mapping[str, Member]) -> Dataset:
    missing = next((name for name in _REQUIRED_ARRAYS if name not in arrays), None)
    if missing is not None:
        raise UnusableEntryError(f"the array {missing} is missing")
    embeddings = _read_normalized(arrays["embedding"], archive)
    count = len(embeddings)
    numbers = {
        name: _read_numbers(arrays.get(name), archive, count, default) for name, default in _DEFAULT_NUMBERS.items()
    }
    names = _read_texts(arrays["person"], archive, count)
    photos, groups = (
        _read_texts(arrays[name], archive, count) if name in arrays else [""] * count for name in ("photo", "group")
    )
    traits = {
        name: texts
        for name, array in arrays.items()
        if name not in _KNOWN_ARRAYS and (texts := _read_trait(array, archive, count)) is not None
    }
    people, entries = People(), list[DatasetPhoto]()
    for row in range(count):
        person = people.add(names[row]) if names[row].strip() else None
        face = _face(embeddings[row], *(float(numbers[name][row]) for name in _DEFAULT_NUMBERS))
        row_traits = {name: printable(texts[row].strip()) for name, texts in traits.items()}
        name = printable(photos[row]) or f"embedding {row + 1}"
        entries.append(DatasetPhoto(name, person, face, group=printable(groups[row]), traits=row_traits))
    return Dataset(
        dataset_title(path),
        tuple(entries),
        pick=Pick.EMBEDDED,
        skipped=tuple(people.notes),
        pack=_read_pack(arrays.get("pack"), archive),
    )


def _read_normalized(member: Member, archive: zipfile.ZipFile) -> FloatArray:
    shape = member.shape
    if member.dtype.kind != "f" or len(shape) != 2 or not 0 < shape[1] <= MAX_DIMENSION:
        raise UnusableEntryError(f"the array embedding is {member.dtype} of shape {shape}; expected float32 (N, D)")
    if not 0 < shape[0] <= MAX_EMBEDDINGS:
        raise UnusableEntryError(f"{shape[0]:,} embeddings; expected 1 to {MAX_EMBEDDINGS:,}")
    if 4 * shape[0] * shape[1] > MAX_TOTAL:
        raise UnusableEntryError(f"the embeddings have {4 * shape[0] * shape[1]:,} bytes; the limit is {MAX_TOTAL:,}")
    embeddings, start = np.empty(shape, dtype=np.float32), 0
    for block in member.blocks(archive):
        lengths = np.linalg.norm(block.astype(np.float64), axis=1)
        invalid = np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))
        if len(invalid):
            row = int(invalid[0])
            raise UnusableEntryError(
                f"embedding {start + row + 1} has length {lengths[row]:.3g}; expected L2-normalized embeddings, as "
                "the pack returns them"
            )
        embeddings[start : start + len(block)] = block / lengths[:, None]
        start += len(block)
    return embeddings


def _read_numbers(member: Member | None, archive: zipfile.ZipFile, count: int, default: float) -> NDArray[np.float64]:
    if member is None:
        return np.full(count, default)
    if member.dtype.kind not in "fiu" or member.shape != (count,):
        raise UnusableEntryError(
            f"the array {member.name} is {member.dtype} of shape {member.shape}; expected {count:,} numbers"
        )
    numbers = member.read(archive).astype(np.float64)
    maximum = np.inf if member.name == "size" else 1.0
    if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > maximum + 1e-6:
        raise UnusableEntryError(f"the array {member.name} has values outside 0 to {maximum:g}")
    return np.minimum(numbers, maximum)


def _read_trait(member: Member, archive: zipfile.ZipFile, count: int) -> list[str] | None:
    """Return a trait as strings, None for an array of another shape or dtype."""
    if member.shape != (count,) or member.dtype.kind not in "USiub":
        return None
    if member.dtype.kind == "b":
        return ["yes" if value else "no" for value in member.read(archive).tolist()]
    return _read_texts(member, archive, count)


def _read_pack(member: Member | None, archive: zipfile.ZipFile) -> str:
    if member is None:
        return ""
    if math.prod(member.shape) != 1 or member.dtype.kind not in "US":
        raise UnusableEntryError(
            "the array pack is not a single string, the digest of the pack that made the embeddings"
        )
    value = member.read(archive).reshape(-1)[0]
    text = bytes(value).decode("utf-8") if member.dtype.kind == "S" else str(value)
    return text.strip().lower()


def _face(embedding: FloatArray, quality: float, detection_score: float, size: float) -> Face:
    box = np.array([0, 0, size, size], dtype=np.float32)
    landmarks = np.zeros((5, 2), dtype=np.float32)
    return Face(box, landmarks, detection_score, Quality(quality, size, 1.0, 1.0), embedding)
