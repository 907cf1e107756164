"""Pictures and labels in an npz file, read without unpickling and without believing what its headers claim.

Two forms are read: ``images`` and ``labels`` (with ``splits``, ``groups`` and ``aligned`` if wished), and the one of
many tutorials, ``arr_0`` to ``arr_3``: training pictures and labels, test pictures and labels. Embeddings are read by
`facebank.evaluation.datasets.embedding_arrays`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facebank.evaluation.dataset import Dataset, DatasetPhoto, PhotoContent, Pick
from facebank.evaluation.datasets.checking import People, UnusableError, shown, split_named
from facebank.evaluation.datasets.folders import title_of
from facebank.evaluation.datasets.npz import Member, PictureArray, StoredPicture, find_members, told
from facebank.storage.text import printable

MOST_PICTURES = 1_000_000

_FORM = ("images", "labels", "splits", "groups", "aligned")
_TUTORIAL = ("arr_0", "arr_1", "arr_2", "arr_3")


def read_arrays(path: Path) -> Dataset:
    """Read pictures and labels from an npz.

    ``images`` is ``uint8`` of shape ``(N, H, W, 3)``, RGB; ``labels``, ``splits`` and ``groups`` are texts or whole
    numbers of shape ``(N,)``, an empty label being nobody named; ``aligned`` is one truth value: whether every picture
    is an aligned face already. Other arrays are left alone.

    Raises
    ------
    DatasetError
        It is no such file, it is damaged, or the arrays are too large or do not fit together.
    """
    with told(path), zipfile.ZipFile(path) as archive:
        arrays = _Arrays(path, archive, find_members(archive, (*_FORM, *_TUTORIAL)))
        pick = _aligned(arrays)
        return _dataset(path, list(_parts(arrays)), pick)


@dataclass(frozen=True, slots=True)
class _Arrays:
    """The arrays of an open npz, by name."""

    path: Path
    archive: zipfile.ZipFile
    members: Mapping[str, Member]

    def has(self, *names: str) -> bool:
        return all(name in self.members for name in names)

    def pictures(self, name: str) -> Sequence[PhotoContent]:
        """Return what gives the pictures; none is held in memory where single ones can be read."""
        member = self.members[name]
        shape = member.shape
        if member.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
            raise UnusableError(f"the array {name} is {member.dtype} of shape {shape}; uint8 (N, H, W, 3) is needed")
        if shape[0] > MOST_PICTURES:
            raise UnusableError(f"the array {name} holds {shape[0]:,} pictures, and may hold {MOST_PICTURES:,}")
        if not PictureArray.can_read(member):
            return list(member.read(self.archive))
        array = PictureArray(self.path, member)
        return [StoredPicture(array, number) for number in range(len(array))]

    def texts(self, name: str, count: int) -> list[str]:
        return texts_of(self.members[name], self.archive, count)


@dataclass(frozen=True, slots=True)
class _Part:
    """Pictures with what is said of each; `split` is that of all of them, where they are one."""

    images: Sequence[PhotoContent]
    labels: list[str]
    splits: list[str]
    groups: list[str]


def _dataset(path: Path, parts: list[_Part], pick: Pick) -> Dataset:
    people, photos = People(), list[DatasetPhoto]()
    for part in parts:
        for place, image in enumerate(part.images):
            label, split = part.labels[place], part.splits[place]
            person = people.named(label) if label.strip() else None
            name = f"image {len(photos) + 1}"
            photos.append(DatasetPhoto(name, person, image, None, _split(name, split), printable(part.groups[place])))
    if not photos:
        raise UnusableError("it holds no pictures")
    return Dataset(title_of(path), tuple(photos), pick=pick, left_out=tuple(people.joined))


def _split(name: str, text: str) -> str | None:
    split = split_named(text)
    if split is None and text.strip():
        raise UnusableError(f"the split of {name} is '{shown(text)}', and should be train, validation or test")
    return split


def _parts(arrays: _Arrays) -> Iterator[_Part]:
    if arrays.has("images", "labels"):
        count = arrays.members["images"].shape[0] if arrays.members["images"].shape else 0
        texts = [arrays.texts(name, count) if arrays.has(name) else [""] * count for name in _FORM[1:4]]
        yield _Part(arrays.pictures("images"), *texts)
    elif arrays.has(*_TUTORIAL):
        for pictures, labels, split in (("arr_0", "arr_1", "train"), ("arr_2", "arr_3", "test")):
            images = arrays.pictures(pictures)
            count = len(images)
            yield _Part(images, arrays.texts(labels, count), [split] * count, [""] * count)
    else:
        raise UnusableError("it holds neither the arrays images and labels nor arr_0 to arr_3")


def texts_of(member: Member, archive: zipfile.ZipFile, count: int) -> list[str]:
    """Read an array of texts or whole numbers as texts; raises `UnusableError` for any other, before it is read."""
    if len(member.shape) != 1 or member.dtype.kind not in "USiu":
        raise UnusableError(
            f"the array {member.name} is {member.dtype} of shape {member.shape}; texts or numbers are needed"
        )
    if member.shape[0] != count:
        raise UnusableError(f"the array {member.name} has {member.shape[0]:,} values for {count:,} pictures")
    array = member.read(archive)
    if array.dtype.kind == "S":
        return [bytes(text).decode("utf-8") for text in array]
    return [str(value) for value in array.tolist()]


def _aligned(arrays: _Arrays) -> Pick:
    member = arrays.members.get("aligned")
    if member is None:
        return Pick.LARGEST
    if member.dtype != np.bool_ or member.size != 1:
        raise UnusableError("the array aligned is not one truth value")
    return Pick.ALIGNED if bool(member.read(arrays.archive).reshape(-1)[0]) else Pick.LARGEST
