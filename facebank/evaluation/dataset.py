"""Datasets: photos, the people they show, and pairs to compare."""

from __future__ import annotations

import hashlib
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
    """A picture that is read when needed, such as one of a file of many."""

    def pixels(self) -> NDArray[np.uint8]:
        """Return RGB ``uint8`` of shape ``(H, W, 3)``; raises `PhotoError`."""
        ...


PhotoContent: TypeAlias = "Path | bytes | NDArray[np.uint8] | PixelSource | Face"


class Pick(StrEnum):
    """Which face of a photo is meant."""

    CENTRAL = "central"
    """The one nearest to the photo's middle, as in LFW."""
    LARGEST = "largest"
    """The one with the largest box."""
    ALIGNED = "aligned"
    """The whole picture is an aligned face: nothing is searched."""
    EMBEDDED = "embedded"
    """There is no picture: every photo is a face with its embedding."""


@dataclass(frozen=True, slots=True)
class Region:
    """A tagged box in pixels of the upright photo; the smallest square around it is used, cut at the photo's edges."""

    left: float
    top: float
    width: float
    height: float

    @property
    def box(self) -> FloatArray:
        """``float32`` of shape ``(4,)``: left, top, right, bottom."""
        return np.array([self.left, self.top, self.left + self.width, self.top + self.height], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetPhoto:
    """One photo of a dataset; `name` is unique, and `person` is None for nobody named.

    `content` is a path, bytes of the file, pixels (RGB ``uint8`` of shape ``(H, W, 3)``) or their source, or an
    embedded face, and `region` the part meant, None for the whole. `split` is ``train``, ``validation`` or ``test``
    if the dataset has parts. `group` is the source of the photo, such as a film, "" for none; `traits` are other
    columns of the data, such as the family.
    """

    name: str
    person: str | None
    content: PhotoContent
    region: Region | None = None
    split: str | None = None
    group: str = ""
    traits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos to compare, as places in the dataset's photos; ``fold`` counts from 0."""

    first: int
    second: int
    same: bool
    fold: int = 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that a dataset names and that could not be used."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Photos in a fixed order, the people they show, and pairs to compare, if any.

    `title` is the name for reports, `pick` which face of a photo is meant, and `left_out` what was named and could not
    be used. `pack` is the digest of the pack that made the embeddings, "" for pictures or if unknown; `pairs_file` is
    the file of the pairs, such as ``lfw-meta/pairs.txt``, "" for none.
    """

    title: str
    photos: tuple[DatasetPhoto, ...]
    pairs: tuple[Pair, ...] = ()
    pick: Pick = Pick.LARGEST
    left_out: tuple[LeftOut, ...] = ()
    pack: str = ""
    pairs_file: str = ""

    def __post_init__(self) -> None:
        if not self.photos:
            raise DatasetError(f"{self.title}: there are no photos")
        if len({photo.name for photo in self.photos}) != len(self.photos):
            raise DatasetError(f"{self.title}: two photos have the same name")

    @property
    def people(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted({photo.person for photo in self.photos if photo.person is not None}))

    @property
    def owners(self) -> NDArray[np.int64]:
        """The person of each photo as a place in `people`, -1 for nobody named: ``int64`` of shape ``(N,)``."""
        numbers = {person: number for number, person in enumerate(self.people)}
        return np.array(
            [-1 if photo.person is None else numbers[photo.person] for photo in self.photos], dtype=np.int64
        )

    def of(self, people: Iterable[str]) -> Dataset:
        """Return the photos of some people, and the pairs between them."""
        theirs = frozenset(people)
        return self.where([photo.person in theirs for photo in self.photos])

    def where(self, chosen: Iterable[bool]) -> Dataset:
        """Return some of the photos, and the pairs between them."""
        places = [number for number, keep in enumerate(chosen) if keep]
        moved = {old: new for new, old in enumerate(places)}
        pairs = tuple(
            replace(pair, first=moved[pair.first], second=moved[pair.second])
            for pair in self.pairs
            if pair.first in moved and pair.second in moved
        )
        return replace(self, photos=tuple(self.photos[place] for place in places), pairs=pairs)


def read_pixels(photo: DatasetPhoto) -> DecodedPhoto:
    """Return a photo, cut to its region; raises `PhotoError` if it is missing, unreadable, or only an embedding."""
    content = photo.content
    if isinstance(content, Face):
        raise PhotoError(f"{printable(photo.name)} is an embedding: there is no picture of it")
    if isinstance(content, Path):
        whole = read_photo(content)
    elif isinstance(content, bytes):
        whole = read_photo_bytes(content, photo.name)
    else:
        # No file says which way is up: as if EXIF had, so that nothing is turned.
        pixels = pixels_of(content)
        whole = DecodedPhoto(photo.name, pixels, pixels_digest(pixels), has_orientation=True, taken_at=None)
    return whole if photo.region is None else replace(whole, pixels=cut_square(whole.pixels, photo.region))


def pixels_of(content: NDArray[np.uint8] | PixelSource) -> NDArray[np.uint8]:
    """Return pixels of shape ``(H, W, 3)``; raises `PhotoError` if they cannot be read."""
    return content.pixels() if isinstance(content, PixelSource) else content


def pixels_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256, in hex, of pixels and their shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def cut_square(pixels: RGBImage, region: Region) -> RGBImage:
    """Return the smallest square around a box, cut at the edges of the picture."""
    side = max(region.width, region.height)
    middle_x, middle_y = region.left + region.width / 2, region.top + region.height / 2
    height, width = pixels.shape[:2]
    left = min(width - 1, max(0, round(middle_x - side / 2)))
    top = min(height - 1, max(0, round(middle_y - side / 2)))
    right, bottom = round(middle_x + side / 2), round(middle_y + side / 2)
    return np.ascontiguousarray(pixels[top : max(top + 1, bottom), left : max(left + 1, right)])
