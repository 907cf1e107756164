"""Occlusion maps that explain the similarity of two faces.

A soft-edged patch is moved over one face while the other is left unchanged, and the drop of the cosine similarity
is recorded at each position: occlusion sensitivity (M. D. Zeiler and R. Fergus, "Visualizing and understanding
convolutional networks", ECCV 2014). It only needs forward passes, so it works for every pack. The patch was chosen, and
the maps were verified with another patch, by ``python -m benchmarks.explanation``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from facebank.errors import UsageError
from facebank.media import open_photo
from facebank.operations.inputs import largest_face
from facebank.types import Verification
from facebank.vision.alignment import align, template_landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.media import PhotoInput
    from facebank.operations.engine import Engine
    from facebank.types import DecodedPhoto, Face, FloatArray, RGBImage, Sample

EmbedCrops: TypeAlias = "Callable[[NDArray[np.uint8]], FloatArray]"
"""Embeds RGB ``uint8`` crops ``(N, S, S, 3)`` as L2-normalized ``float32`` ``(N, D)``."""

MIN_SCALE = 0.02
"""Minimum change of similarity represented by the densest color."""

_DROP_COLOR, _RISE_COLOR = (213, 94, 0), (0, 114, 178)  # vermilion and blue of Okabe and Ito (2008)
_MAX_OPACITY = 0.85
_GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Filling(StrEnum):
    """The replacement of a hidden part."""

    BLUR = "blur"
    """The face, blurred beyond recognition."""
    COLOR = "color"
    """The face's mean color."""
    GRAY = "gray"
    """Middle gray."""


@dataclass(frozen=True, slots=True)
class Occluder:
    """A soft-edged round patch that is moved over a face."""

    # number of evenly spaced positions in each direction; takes `grid_size` squared runs of the network per face
    grid_size: int = 8
    radius: float = 0.10  # distance at which it is half transparent, as a fraction of the crop's side
    filling: Filling = Filling.BLUR  # replacement of the hidden part

    def patches(self, size: int) -> FloatArray:
        """Return the opacity of the patch at each pixel, 0..1, for each position.

        ``float32`` of shape ``(grid_size ** 2, S, S)``, row by row, for crops of `size` S.
        """
        centers = (np.arange(self.grid_size) + 0.5) * size / self.grid_size
        pixels = np.arange(size) + 0.5
        squares = (pixels[None] - centers[:, None]) ** 2
        distances = np.sqrt(squares[:, None, :, None] + squares[None, :, None, :]).reshape(-1, size, size)
        return _soft_edge(self.radius * size - distances, 0.5 * self.radius * size)


DEFAULT_OCCLUDER = Occluder()
"""Chosen on LFW's development people: see ``benchmarks/reports/explanation.md``."""


@dataclass(frozen=True, slots=True)
class RegionDrop:
    """Change of the similarity when one whole region of a face is hidden."""

    name: str  # such as ``eyes``
    area: float  # the region's fraction of the crop, 0..1; larger regions tend to have larger drops
    # of the similarity if hidden in the first face, and in the second; negative for a rise
    drops: tuple[float, float]


def _cell_means(drops: FloatArray, edges: NDArray[np.int64]) -> FloatArray:
    heights = np.diff(np.append(edges, len(drops)))
    sums = np.add.reduceat(np.add.reduceat(drops, edges, axis=0), edges, axis=1)
    return np.asarray(sums / np.outer(heights, heights), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The contribution of face parts to the similarity of two faces."""

    similarity: float  # cosine of the two whole faces, -1..1
    # for each face the drop of the similarity where it is hidden: ``float32`` of shape ``(S, S)``; negative for a rise
    drops: tuple[FloatArray, FloatArray]
    regions: tuple[RegionDrop, ...]  # drops for whole regions

    def grid(self, cells: int) -> tuple[FloatArray, FloatArray]:
        """Return each map's mean drop in ``(cells, cells)`` cells, ``float32``; at most one cell per pixel."""
        edges = np.linspace(0, len(self.drops[0]), cells, endpoint=False).astype(np.int64)
        first, second = (_cell_means(drops, edges) for drops in self.drops)
        return first, second

    @property
    def largest_drop(self) -> float:
        """The largest drop on either map."""
        return float(max(drops.max() for drops in self.drops))

    @property
    def largest_rise(self) -> float:
        """The largest rise on either map; 0 if there is none."""
        return float(max(0.0, *(-drops.min() for drops in self.drops)))

    @property
    def scale(self) -> float:
        """The change represented by the densest color on both maps."""
        return max(self.largest_drop, self.largest_rise, MIN_SCALE)

    def overlays(self, crops: tuple[RGBImage, RGBImage]) -> tuple[RGBImage, RGBImage]:
        """Return both maps over their faces, with a common scale: see `overlay`."""
        first, second = (overlay(crop, drops, self.scale) for crop, drops in zip(crops, self.drops, strict=True))
        return first, second


def explain(
    embed: EmbedCrops,
    first: RGBImage,
    second: RGBImage,
    *,
    template: str = "arcface",
    occluder: Occluder = DEFAULT_OCCLUDER,
) -> Explanation:
    """Return occlusion maps for the similarity of two aligned faces.

    Each face is hidden part by part while the other is left unchanged. For two photos of one person the map shows which
    parts make them similar; for two people, why they are confused. It describes the network, and is no evidence of
    identity.

    Parameters
    ----------
    embed
        Embeds crops, as `facebank.vision.Embedder.embed`; called once for each face.
    first, second
        Aligned faces, RGB ``uint8`` of shape ``(S, S, 3)``, of equal size.
    template
        Their alignment: ``arcface`` or ``facenet``.
    occluder
        The patch that hides parts.

    Raises
    ------
    UsageError
        The faces are not square, or not of equal size.
    """
    size = first.shape[0]
    if first.shape != second.shape or first.shape != (size, size, 3):
        raise UsageError(f"expected two aligned square faces of equal size, not {first.shape} and {second.shape}")
    patches, regions = occluder.patches(size), region_masks(template, size)
    hidden = np.concatenate([patches, _blur_masks(np.stack(list(regions.values())))])
    embedded = [embed(np.concatenate([crop[None], hide(crop, hidden, occluder.filling)])) for crop in (first, second)]
    similarity = float(embedded[0][0] @ embedded[1][0])
    all_drops = [similarity - embedded[0][1:] @ embedded[1][0], similarity - embedded[1][1:] @ embedded[0][0]]
    weights = patches / patches.sum(axis=0)
    drops = [np.tensordot(patch_drops[: len(patches)], weights, axes=1).astype(np.float32) for patch_drops in all_drops]
    region_drops = zip(all_drops[0][len(patches) :].tolist(), all_drops[1][len(patches) :].tolist(), strict=True)
    return Explanation(
        similarity,
        (drops[0], drops[1]),
        tuple(
            RegionDrop(name, float(mask.mean()), pair)
            for (name, mask), pair in zip(regions.items(), region_drops, strict=True)
        ),
    )


def hide(crop: RGBImage, masks: FloatArray, filling: Filling) -> NDArray[np.uint8]:
    """Return a crop ``(S, S, 3)`` with each of the masks applied, ``uint8`` of shape ``(N, S, S, 3)``.

    `masks` are opacities, 0..1: ``float32`` of shape ``(N, S, S)``.
    """
    pixels = crop.astype(np.float32)
    replacement = _fill(crop, filling)
    return np.stack([np.rint(pixels + mask[..., None] * (replacement - pixels)).astype(np.uint8) for mask in masks])


def region_masks(template: str, size: int) -> dict[str, NDArray[np.bool_]]:
    """Return the regions of an aligned face: bool ``(S, S)`` by name, which cover the crop exactly once.

    They are placed by the five landmarks of the template; for turned faces they are less exact.
    """
    left_eye, right_eye, nose, left_mouth, right_mouth = template_landmarks(template, size).astype(float)
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    unit = float(right_eye[0] - left_eye[0])
    y, x = np.mgrid[:size, :size] + 0.5
    top, bottom = eyes[1] - 1.1 * unit, mouth[1] + 0.75 * unit
    outside = ((x - eyes[0]) / (1.15 * unit)) ** 2 + ((2 * y - top - bottom) / (bottom - top)) ** 2 > 1
    under_nose = nose[1] + 0.2 * unit
    regions = {
        "around the face": outside,
        "forehead and brows": y < eyes[1] - 0.25 * unit,
        "eyes": y < eyes[1] + 0.25 * unit,
        "nose": (np.abs(x - nose[0]) < 0.32 * unit) & (y < under_nose),
        "mouth": (np.abs(x - mouth[0]) < right_mouth[0] - mouth[0] + 0.2 * unit)
        & (y >= under_nose)
        & (y < mouth[1] + 0.3 * unit),
        "cheeks and chin": np.ones((size, size), dtype=bool),
    }
    masks, covered = {}, np.zeros((size, size), dtype=np.bool_)
    for name, mask in regions.items():
        masks[name] = np.asarray(mask & ~covered, dtype=np.bool_)
        covered |= mask
    order = ("forehead and brows", "eyes", "nose", "mouth", "cheeks and chin", "around the face")
    return {name: masks[name] for name in order}


def overlay(crop: RGBImage, drops: FloatArray, scale: float | None = None) -> RGBImage:
    """Return a map over its grayscale face: orange where the similarity drops, blue where it rises.

    RGB ``uint8`` of shape ``(S, S, 3)``. The colors are distinguishable with common color blindness; larger changes
    have denser color.

    Parameters
    ----------
    crop
        RGB ``uint8`` of shape ``(S, S, 3)``.
    drops
        ``float32`` of shape ``(S, S)``, or of another size if the face was enlarged.
    scale
        The change represented by the densest color; None for the map's maximum.
    """
    import cv2

    scale = max(float(np.abs(drops).max()), MIN_SCALE) if scale is None else scale
    if drops.shape != crop.shape[:2]:
        drops = np.asarray(cv2.resize(drops, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    gray = np.repeat((crop.astype(np.float32) @ _GRAY_WEIGHTS)[..., None], 3, axis=2)
    return tint(gray, drops / scale)


def tint(gray: FloatArray, strength: FloatArray) -> RGBImage:
    """Return a grayscale picture ``(H, W, 3)``, ``float32`` 0..255, tinted by strength ``(H, W)``, as RGB ``uint8``.

    The strength is 1 for the densest orange, 0 for none, -1 for the densest blue.
    """
    strength = np.clip(strength, -1, 1)[..., None]
    drop_color, rise_color = (np.array(color, dtype=np.float32) for color in (_DROP_COLOR, _RISE_COLOR))
    color = np.where(strength > 0, drop_color, rise_color)
    opacity = _MAX_OPACITY * np.abs(strength)
    return np.asarray(np.rint(gray * (1 - opacity) + color * opacity), dtype=np.uint8)


def _fill(crop: RGBImage, filling: Filling) -> FloatArray:
    if filling is Filling.BLUR:
        import cv2

        return np.asarray(cv2.GaussianBlur(crop, (0, 0), crop.shape[0] / 8), dtype=np.float32)
    if filling is Filling.COLOR:
        return np.broadcast_to(crop.mean(axis=(0, 1), dtype=np.float32), crop.shape)
    return np.full(crop.shape, 127.5, dtype=np.float32)


def _blur_masks(masks: NDArray[np.bool_]) -> FloatArray:
    import cv2

    deviation = masks.shape[1] / 56
    return np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), deviation) for mask in masks])


def _soft_edge(inside: NDArray[np.float64], width: float) -> FloatArray:
    """Return a smooth step from 0 to 1 as the distance inside goes from -width to width."""
    step = np.clip(inside / (2 * width) + 0.5, 0, 1)
    return np.asarray(step * step * (3 - 2 * step), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedPair:
    """The explained comparison of two photos; `crops` are the aligned faces, RGB ``uint8`` of shape ``(S, S, 3)``."""

    verification: Verification
    crops: tuple[RGBImage, RGBImage]
    explanation: Explanation


def explain_photos(engine: Engine, first: PhotoInput, second: PhotoInput) -> ExplainedPair:
    """Return an explanation of the similarity of two photos' largest faces; raises `PhotoError` if one has no face."""
    photos, analyzer = [open_photo(first), open_photo(second)], engine.analyzer
    first_crop, second_crop = (
        analyzer.crop(analyzed.photo, largest_face(analyzed)) for analyzed in analyzer.analyze(photos)
    )
    return _explain_crops(engine, (first_crop, second_crop), (photos[0].path, photos[1].path))


def explain_sample(
    engine: Engine, photo: DecodedPhoto, face: Face, sample_photo: DecodedPhoto, sample: Sample
) -> ExplainedPair:
    """Return an explanation of the similarity of a face and a sample, from the upright photos of both."""
    analyzer = engine.analyzer
    first = analyzer.crop(photo, face)
    second = align(sample_photo.pixels, sample.landmarks, analyzer.embedder.template, analyzer.embedder.size)
    return _explain_crops(engine, (first, second), (photo.path, sample.path))


def _explain_crops(engine: Engine, crops: tuple[RGBImage, RGBImage], paths: tuple[str, str]) -> ExplainedPair:
    embedder, threshold = engine.analyzer.embedder, engine.thresholds.verify
    explanation = explain(embedder.embed, *crops, template=embedder.template)
    similarity = explanation.similarity
    verification = Verification(*paths, similarity, threshold, similarity >= threshold)
    return ExplainedPair(verification, crops, explanation)
