"""What in two faces makes them similar: how much the similarity falls when a part of one of them is hidden.

A soft-edged patch is moved over one face while the other is left whole, and the fall in the cosine similarity is noted
at each place: occlusion sensitivity, as M. D. Zeiler and R. Fergus ("Visualizing and understanding convolutional
networks", ECCV 2014) did it for classes. The network is only run, never looked into, so that it works for every pack.
``benchmarks/explanation.py`` chose the patch, and checks with another one that maps say what a similarity rests on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.errors import UsageError
from facebank.vision.alignment import template_landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.types import FloatArray, RGBImage

EmbedCrops: TypeAlias = "Callable[[NDArray[np.uint8]], FloatArray]"
"""Takes crops, RGB ``uint8`` of shape ``(N, S, S, 3)``, and gives L2-normalised ``float32`` of shape ``(N, D)``."""

LEAST_SCALE = 0.02
"""Colours never stand for less than this: a fall smaller than that is hardly one."""

_LOWERS, _RAISES = (213, 94, 0), (0, 114, 178)  # vermilion and blue of Okabe and Ito (2008)
_MOST_OPAQUE = 0.85
_GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Filling(StrEnum):
    """What is seen instead of a hidden part."""

    BLUR = "blur"
    """The face itself, so much blurred that nothing can be told from it."""
    COLOUR = "colour"
    """The face's mean colour."""
    GREY = "grey"
    """Middle grey."""


@dataclass(frozen=True, slots=True)
class Occluder:
    """A soft-edged round patch that is moved over a face.

    Attributes
    ----------
    positions
        How many places it takes in each direction, evenly spaced; `positions` squared runs of the network a face.
    radius
        Where it is half transparent, as a share of the crop's side.
    filling
        What is seen instead.
    """

    positions: int = 8
    radius: float = 0.10
    filling: Filling = Filling.BLUR

    def patches(self, size: int) -> FloatArray:
        """Return how much is hidden of each pixel, 0..1, with the patch at each place.

        Parameters
        ----------
        size
            Side of the crop in pixels, S.

        Returns
        -------
        FloatArray
            ``float32`` of shape ``(positions ** 2, S, S)``, row by row.
        """
        centres = (np.arange(self.positions) + 0.5) * size / self.positions
        pixels = np.arange(size) + 0.5
        squares = (pixels[None] - centres[:, None]) ** 2
        distances = np.sqrt(squares[:, None, :, None] + squares[None, :, None, :]).reshape(-1, size, size)
        return _soft_edge(self.radius * size - distances, 0.5 * self.radius * size)


SHIPPED_OCCLUDER = Occluder()
"""Chosen on LFW's development people: see ``benchmarks/reports/explanation.md``."""


@dataclass(frozen=True, slots=True)
class RegionDrop:
    """What becomes of the similarity when one whole region of a face is hidden.

    Attributes
    ----------
    name
        Such as ``eyes``.
    area
        The region's share of the crop, 0..1: a larger region has more to lose.
    drops
        How much the similarity falls when it is hidden in the first face, and when it is hidden in the second; negative
        where it rises.
    """

    name: str
    area: float
    drops: tuple[float, float]


def _cell_means(drops: FloatArray, edges: NDArray[np.int64]) -> FloatArray:
    heights = np.diff(np.append(edges, len(drops)))
    sums = np.add.reduceat(np.add.reduceat(drops, edges, axis=0), edges, axis=1)
    return np.asarray(sums / np.outer(heights, heights), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What the similarity of two faces rests on.

    Attributes
    ----------
    similarity
        Cosine of the two whole faces, -1..1.
    drops
        For each face how much the similarity falls where it is hidden, in units of the similarity: ``float32`` of shape
        ``(S, S)``. Negative where hiding it makes the faces more alike.
    regions
        What hiding whole regions does.
    """

    similarity: float
    drops: tuple[FloatArray, FloatArray]
    regions: tuple[RegionDrop, ...]

    def grid(self, cells: int) -> tuple[FloatArray, FloatArray]:
        """Return the maps in cells: the mean fall in each, ``float32`` of shape ``(cells, cells)`` for each face.

        Parameters
        ----------
        cells
            How many along each side; at most a cell a pixel.
        """
        edges = np.linspace(0, len(self.drops[0]), cells, endpoint=False).astype(np.int64)
        first, second = (_cell_means(drops, edges) for drops in self.drops)
        return first, second

    @property
    def largest_drop(self) -> float:
        """The largest fall on either map."""
        return float(max(drops.max() for drops in self.drops))

    @property
    def largest_rise(self) -> float:
        """How much the similarity rises where it rises most; 0 where it never does."""
        return float(max(0.0, *(-drops.min() for drops in self.drops)))

    @property
    def scale(self) -> float:
        """What the strongest colour stands for on both maps."""
        return max(self.largest_drop, self.largest_rise, LEAST_SCALE)

    def overlays(self, crops: tuple[RGBImage, RGBImage]) -> tuple[RGBImage, RGBImage]:
        """Lay both maps over their faces, with one scale for both: see `overlay`."""
        first, second = (overlay(crop, drops, self.scale) for crop, drops in zip(crops, self.drops, strict=True))
        return first, second


def explain(
    embed: EmbedCrops,
    first: RGBImage,
    second: RGBImage,
    *,
    template: str = "arcface",
    occluder: Occluder = SHIPPED_OCCLUDER,
) -> Explanation:
    """Find what the similarity of two aligned faces rests on.

    Each face is hidden part by part while the other is left whole. Of two photos of one person the map shows what they
    are recognised by; of two people it shows, just as well, what makes them similar: why they were confused, or what
    little likeness there is. It tells what the network used, not what anybody should look at.

    Parameters
    ----------
    embed
        Embeds crops, as `facebank.vision.Embedder.embed` does; called once for each face.
    first, second
        Aligned faces, RGB ``uint8`` of shape ``(S, S, 3)``.
    template
        How they are aligned: ``arcface`` or ``facenet``.
    occluder
        What they are hidden with.

    Raises
    ------
    UsageError
        The crops are not square, or not of one size.
    """
    size = first.shape[0]
    if first.shape != second.shape or first.shape != (size, size, 3):
        raise UsageError(f"two aligned faces of one square size are needed, not {first.shape} and {second.shape}")
    patches, regions = occluder.patches(size), region_masks(template, size)
    hidden = np.concatenate([patches, _softened(np.stack(list(regions.values())))])
    embedded = [embed(np.concatenate([crop[None], hide(crop, hidden, occluder.filling)])) for crop in (first, second)]
    similarity = float(embedded[0][0] @ embedded[1][0])
    falls = [similarity - embedded[0][1:] @ embedded[1][0], similarity - embedded[1][1:] @ embedded[0][0]]
    weights = patches / patches.sum(axis=0)
    drops = [np.tensordot(fall[: len(patches)], weights, axes=1).astype(np.float32) for fall in falls]
    of_regions = zip(falls[0][len(patches) :].tolist(), falls[1][len(patches) :].tolist(), strict=True)
    return Explanation(
        similarity,
        (drops[0], drops[1]),
        tuple(
            RegionDrop(name, float(mask.mean()), both)
            for (name, mask), both in zip(regions.items(), of_regions, strict=True)
        ),
    )


def hide(crop: RGBImage, masks: FloatArray, filling: Filling) -> NDArray[np.uint8]:
    """Hide parts of a face.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(S, S, 3)``.
    masks
        How much is hidden of each pixel, 0..1: ``float32`` of shape ``(N, S, S)``.
    filling
        What is seen instead.

    Returns
    -------
    NDArray[np.uint8]
        The face with each of the masks, of shape ``(N, S, S, 3)``.
    """
    seen = crop.astype(np.float32)
    instead = _filled(crop, filling)
    return np.stack([np.rint(seen + mask[..., None] * (instead - seen)).astype(np.uint8) for mask in masks])


def region_masks(template: str, size: int) -> dict[str, NDArray[np.bool_]]:
    """Return where the regions of an aligned face are: bool of shape ``(S, S)`` each, which cover the crop once.

    They are where these regions usually lie, by the five landmarks of the template; the more a face is turned the less
    exact they are.

    Parameters
    ----------
    template
        ``arcface`` or ``facenet``.
    size
        Side of the crop in pixels, S.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = template_landmarks(template, size).astype(float)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    unit = float(right_eye[0] - left_eye[0])
    y, x = np.mgrid[:size, :size] + 0.5
    top, bottom = eyes[1] - 1.1 * unit, mouth[1] + 0.75 * unit
    outside = ((x - eyes[0]) / (1.15 * unit)) ** 2 + ((2 * y - top - bottom) / (bottom - top)) ** 2 > 1
    under_nose = nose[1] + 0.2 * unit
    places = {
        "around the face": outside,
        "forehead and brows": y < eyes[1] - 0.25 * unit,
        "eyes": y < eyes[1] + 0.25 * unit,
        "nose": (np.abs(x - nose[0]) < 0.32 * unit) & (y < under_nose),
        "mouth": (np.abs(x - mouth[0]) < right_mouth[0] - mouth[0] + 0.2 * unit)
        & (y >= under_nose)
        & (y < mouth[1] + 0.3 * unit),
        "cheeks and chin": np.ones((size, size), dtype=bool),
    }
    found, taken = {}, np.zeros((size, size), dtype=np.bool_)
    for name, place in places.items():
        found[name] = np.asarray(place & ~taken, dtype=np.bool_)
        taken |= place
    order = ("forehead and brows", "eyes", "nose", "mouth", "cheeks and chin", "around the face")
    return {name: found[name] for name in order}


def overlay(crop: RGBImage, drops: FloatArray, scale: float | None = None) -> RGBImage:
    """Lay a map over its face: the face in grey, orange where hiding lowers the similarity, blue where it raises it.

    Vermilion and blue are told apart by people with any common colour-blindness; the more, the denser the colour.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(S, S, 3)``.
    drops
        ``float32`` of shape ``(S, S)``; of another size where the face was enlarged since.
    scale
        What the densest colour stands for; None for the map's own largest value.

    Returns
    -------
    RGBImage
        Of the crop's shape.
    """
    import cv2

    scale = max(float(np.abs(drops).max()), LEAST_SCALE) if scale is None else scale
    if drops.shape != crop.shape[:2]:
        drops = np.asarray(cv2.resize(drops, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    grey = np.repeat((crop.astype(np.float32) @ _GREY_WEIGHTS)[..., None], 3, axis=2)
    return tinted(grey, drops / scale)


def tinted(grey: FloatArray, strength: FloatArray) -> RGBImage:
    """Tint a grey picture.

    Parameters
    ----------
    grey
        ``float32`` of shape ``(H, W, 3)``, 0..255.
    strength
        ``float32`` of shape ``(H, W)``: 1 for the densest orange, 0 for none, -1 for the densest blue.
    """
    strength = np.clip(strength, -1, 1)[..., None]
    lowers, raises = (np.array(colour, dtype=np.float32) for colour in (_LOWERS, _RAISES))
    colour = np.where(strength > 0, lowers, raises)
    opacity = _MOST_OPAQUE * np.abs(strength)
    return np.asarray(np.rint(grey * (1 - opacity) + colour * opacity), dtype=np.uint8)


def _filled(crop: RGBImage, filling: Filling) -> FloatArray:
    if filling is Filling.BLUR:
        import cv2

        return np.asarray(cv2.GaussianBlur(crop, (0, 0), crop.shape[0] / 8), dtype=np.float32)
    if filling is Filling.COLOUR:
        return np.broadcast_to(crop.mean(axis=(0, 1), dtype=np.float32), crop.shape)
    return np.full(crop.shape, 127.5, dtype=np.float32)


def _softened(masks: NDArray[np.bool_]) -> FloatArray:
    import cv2

    deviation = masks.shape[1] / 56
    return np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), deviation) for mask in masks])


def _soft_edge(inside: NDArray[np.float64], width: float) -> FloatArray:
    """Go from 0 to 1 as the distance inside goes from -width to width, without a corner."""
    share = np.clip(inside / (2 * width) + 0.5, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)
