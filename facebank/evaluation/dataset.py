"""Datasets: photos, the people they show, and pairs to compare."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np

from facebank.errors import DatasetError, PhotoError
from facebank.media import read_photo, read_photo_bytes
from facebank.storage.text import printable
from facebank.types import DecodedPhoto, Face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage


@runtime_checkable
class PixelSource(Protocol):
    """Pixels that are read on demand, such as those of one image in an archive."""

    def pixels(self) -> NDArray[np.uint8]:
        """Return RGB ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError`."""
        ...


PhotoContent: TypeAlias = "Path | bytes | NDArray[np.uint8] | PixelSource | Face"


class Pick(StrEnum):
    """The face of a photo to which a dataset refers."""

    CENTRAL = "central"
    """The face nearest to the center of the photo, as in LFW."""
    LARGEST = "largest"
    """The face with the largest box."""
    ALIGNED = "aligned"
    """The whole photo is an aligned face crop; no detection is run."""
    EMBEDDED = "embedded"
    """Every entry is a face with its embedding, without pixels."""


@dataclass(frozen=True, slots=True)
class LabeledRegion:
    """A tagged box in pixels of the upright photo; its enclosing square, clipped to the photo, is used."""

    left: float
    top: float
    width: float
    height: float

    @property
    def box(self) -> FloatArray:
        """The box in pixels, ``float32`` of shape ``(4,)``: left, top, right, bottom."""
        return np.array([self.left, self.top, self.left + self.width, self.top + self.height], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetPhoto:
    """One photo of a dataset; `name` is unique, and `person` is None if unlabeled.

    `content` is a path, the bytes of a file, pixels (RGB ``uint8`` of shape ``(H, W, 3)``), a `PixelSource`, or a face
    with its embedding. `region` is the part to use, None for the whole photo. `split` is ``train``, ``validation``,
    ``test`` or None. `group` is the source of the photo, such as a video, "" if unknown. `traits` are further columns
    of the data, such as the family.
    """

    name: str
    person: str | None
    content: PhotoContent
    region: LabeledRegion | None = None
    split: str | None = None
    group: str = ""
    traits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos to compare, as indices into ``dataset.photos``; ``fold`` counts from 0."""

    first: int
    second: int
    same: bool
    fold: int = 0


@dataclass(frozen=True, slots=True)
class SkippedEntry:
    """A photo, line or person of a dataset that could not be used, and the reason."""

    entry: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Photos in a fixed order, the people they show, and pairs to compare, if any.

    `title` is the name in reports, `pick` selects the face of each photo, and `skipped` lists the entries that could
    not be used. `pack` is the digest of the pack that made the embeddings, "" for photos or if unknown; `pairs_file` is
    the path of the list of pairs, such as ``lfw-meta/pairs.txt``, or "". Raises `DatasetError` without photos, or if
    two photos have the same name.
    """

    title: str
    photos: tuple[DatasetPhoto, ...]
    pairs: tuple[Pair, ...] = ()
    pick: Pick = Pick.LARGEST
    skipped: tuple[SkippedEntry, ...] = ()
    pack: str = ""
    pairs_file: str = ""

    def __post_init__(self) -> None:
        if not self.photos:
            raise DatasetError(f"{printable(self.title)}: the dataset has no photos")
        name, count = Counter(photo.name for photo in self.photos).most_common(1)[0]
        if count > 1:
            raise DatasetError(f"{printable(self.title)}: two photos have the same name, {printable(name)}; rename one")

    @property
    def people(self) -> tuple[str, ...]:
        """The names of all people, sorted."""
        return tuple(sorted({photo.person for photo in self.photos if photo.person is not None}))

    @property
    def person_indices(self) -> NDArray[np.int64]:
        """Index into `people` of each photo, -1 if unlabeled: ``int64`` of shape ``(N,)``."""
        indices = {person: index for index, person in enumerate(self.people)}
        return np.array(
            [-1 if photo.person is None else indices[photo.person] for photo in self.photos], dtype=np.int64
        )

    def select_people(self, people: Iterable[str]) -> Dataset:
        """Return the dataset restricted to the photos of some people and the pairs between them."""
        selected = frozenset(people)
        return self.select([photo.person in selected for photo in self.photos])

    def select(self, mask: Iterable[bool]) -> Dataset:
        """Return the dataset restricted to the photos for which `mask` is true, and the pairs between them."""
        indices = [index for index, is_selected in enumerate(mask) if is_selected]
        new_indices = {old: new for new, old in enumerate(indices)}
        pairs = tuple(
            replace(pair, first=new_indices[pair.first], second=new_indices[pair.second])
            for pair in self.pairs
            if pair.first in new_indices and pair.second in new_indices
        )
        return replace(self, photos=tuple(self.photos[index] for index in indices), pairs=pairs)


def read_dataset_photo(photo: DatasetPhoto) -> DecodedPhoto:
    """Return a decoded photo, cropped to its region.

    Raises `PhotoError` if the photo is missing, unreadable, or only an embedding.
    """
    content = photo.content
    if isinstance(content, Face):
        raise PhotoError(f"{printable(photo.name)} is an embedding and has no pixels; pass the photo")
    if isinstance(content, Path):
        decoded = read_photo(content)
    elif isinstance(content, bytes):
        decoded = read_photo_bytes(content, photo.name)
    else:
        # Marked as oriented: pixels without a file have no EXIF tag, and must not be rotated.
        pixels = load_pixels(content)
        decoded = DecodedPhoto(photo.name, pixels, pixels_digest(pixels), has_orientation=True, taken_at=None)
    return decoded if photo.region is None else replace(decoded, pixels=cut_square(decoded.pixels, photo.region))


def load_pixels(content: NDArray[np.uint8] | PixelSource) -> NDArray[np.uint8]:
    """Return pixels, RGB ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError` if they cannot be read."""
    return content.pixels() if isinstance(content, PixelSource) else content


def pixels_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 in hex of pixels ``(H, W, 3)`` and their shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def cut_square(pixels: RGBImage, region: LabeledRegion) -> RGBImage:
    """Return the pixels of the smallest square around a box, clipped to the photo: RGB ``uint8`` ``(h, w, 3)``."""
    side = max(region.width, region.height)
    middle_x, middle_y = region.left + region.width / 2, region.top + region.height / 2
    height, width = pixels.shape[:2]
    left = min(width - 1, max(0, round(middle_x - side / 2)))
    top = min(height - 1, max(0, round(middle_y - side / 2)))
    right, bottom = round(middle_x + side / 2), round(middle_y + side / 2)
    return np.ascontiguousarray(pixels[top : max(top + 1, bottom), left : max(left + 1, right)])
