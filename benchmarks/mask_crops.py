"""Aligned crops to train and test the mask classifier: bare faces, drawn masks, real masks, and augmented crops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.lfw import central_face, read_people, read_with_progress
from facebank import read_photo
from facebank.storage.paths import cache_folder
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import FloatArray, RGBImage

SIDE = 112
DRAWN_MASKS = 1600
_SHAPE_FRACTIONS = {MaskShape.SURGICAL: 0.45, MaskShape.CLOTH: 0.25, MaskShape.RESPIRATOR: 0.2, MaskShape.SCARF: 0.1}
_USUAL_COLOR, _WHITE, _PATTERNED = 0.45, 0.2, 0.3  # fractions of drawn masks


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Aligned crops of faces.

    Attributes
    ----------
    paths
        Paths of the N photos, relative to LFW's folder: ``NAME/NAME_0001.jpg``.
    crops
        RGB ``uint8`` of shape ``(N, 112, 112, 3)``.
    landmarks
        Landmarks in the photo, ``float32`` of shape ``(N, 5, 2)``.
    """

    paths: NDArray[np.str_]
    crops: NDArray[np.uint8]
    landmarks: FloatArray

    @property
    def people(self) -> NDArray[np.str_]:
        """Name of the person shown in each photo, of shape ``(N,)``."""
        return np.array([path.split("/")[0] for path in self.paths])

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Crops:
        """Return the crops at which the mask `chosen` is true, or with these indices."""
        return Crops(self.paths[chosen], self.crops[chosen], self.landmarks[chosen])


def load_bare_faces(data: Path, pack: Pack, listing: str) -> Crops:
    """Return the central faces of all photos of an LFW list of people, cached in the user's cache folder."""
    people = sorted(read_people(data, listing))
    paths = [f"{name}/{path.name}" for name in people for path in sorted((data / "lfw" / name).glob("*.jpg"))]
    return _load_cached(f"crops-{Path(listing).stem}-{pack.digest[:16]}.npz", _detect_faces(data, pack, paths, {}))


def load_drawn_masks(data: Path, pack: Pack, faces: Crops, listing: str) -> Crops:
    """Return faces detected in photos with drawn masks of many shapes, colors and patterns."""
    random = np.random.default_rng(5)
    chosen = faces.where(np.sort(random.permutation(len(faces.paths))[:DRAWN_MASKS]))
    landmarks = dict(zip(chosen.paths.tolist(), chosen.landmarks, strict=True))
    return _load_cached(
        f"crops-drawn-{DRAWN_MASKS}-{Path(listing).stem}-{pack.digest[:16]}.npz",
        _detect_faces(data, pack, chosen.paths.tolist(), landmarks),
    )


def load_real_masks(data: Path) -> tuple[list[str], list[RGBImage]]:
    """Return the names and crops of faces with real masks."""
    paths = sorted((data / "hard" / "masks").glob("*.png"))
    return [path.stem for path in paths], [read_photo(path).pixels for path in paths]


def augment(crop: RGBImage, random: np.random.Generator) -> RGBImage:
    """Return a randomly augmented crop: shifted, relit, downsampled, sometimes mirrored or gray."""
    face = crop[:, ::-1] if random.random() < 0.5 else crop
    matrix = cv2.getRotationMatrix2D((55.5, 60.0), random.normal(0, 4), 1 + random.normal(0, 0.05))
    matrix[:, 2] = matrix[:, 2] + random.normal(0, 2.5, 2)
    moved = cv2.warpAffine(np.ascontiguousarray(face), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    values = (moved / 255.0) ** np.exp(random.normal(0, 0.25)) * np.exp(random.normal(0, 0.06, 3))
    if random.random() < 0.12:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    pixels = _pixels(values * 255)
    if random.random() < 0.3:
        side = int(random.integers(32, 80))
        coarse = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(cv2.resize(coarse, (SIDE, SIDE)), np.uint8)
    return pixels


def move_mask(masked: RGBImage, bare: RGBImage, random: np.random.Generator) -> RGBImage:
    """Return a bare face with the lower half of a masked one, sometimes recolored."""
    lower = augment(masked, random)
    if random.random() < 0.5:
        hsv = cv2.cvtColor(lower, cv2.COLOR_RGB2HSV).astype(np.int64)
        hsv[..., 0] = (hsv[..., 0] + random.integers(180)) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * random.uniform(0.5, 2), 0, 255)
        lower = np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)
    edge = random.uniform(58, 66)
    blend = np.clip((np.arange(SIDE) - edge + 3) / 6, 0, 1)[:, None, None]
    return _pixels(lower * random.uniform(0.6, 1.2) * blend + bare * (1 - blend))


def uncover_mouth(masked: RGBImage, bare: RGBImage, random: np.random.Generator) -> RGBImage:
    """Return a masked face with the mouth and cheeks of a bare one drawn over the mask."""
    background = masked[:, ::-1] if random.random() < 0.5 else masked
    toned = bare * (_skin_color(background) / np.maximum(_skin_color(bare), 20))
    blend = _ellipse((56, 80), (int(random.integers(34, 42)), int(random.integers(29, 31))), 2.0)
    return _pixels(np.clip(toned, 0, 255) * blend + background * (1 - blend))


def replace_background(bare: RGBImage, random: np.random.Generator) -> RGBImage:
    """Return a bare face on a uniform background, mostly white."""
    blend = _ellipse((56, 62), (int(random.integers(34, 42)), int(random.integers(48, 56))), 1.5)
    color = np.full(3, 255.0) if random.random() < 0.6 else random.uniform(0, 255, 3)
    return _pixels(bare * blend + (color - random.uniform(0, 12, 3)) * (1 - blend))


def _load_cached(name: str, faces: Iterator[tuple[str, RGBImage, FloatArray]]) -> Crops:
    cache_path = cache_folder() / "benchmarks" / name
    if not cache_path.is_file():
        paths, crops, landmarks = zip(*faces, strict=True)
        cache_path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache_path, photos=np.array(paths), crops=np.stack(crops), landmarks=np.stack(landmarks))
    with np.load(cache_path, allow_pickle=False) as arrays:
        return Crops(arrays["photos"], arrays["crops"], arrays["landmarks"])


def _detect_faces(
    data: Path, pack: Pack, paths: Sequence[str], masked: dict[str, FloatArray]
) -> Iterator[tuple[str, RGBImage, FloatArray]]:
    """Yield path, crop and landmarks of each photo's central face; masks are drawn at the landmarks in `masked`."""
    analyzer, random = FaceAnalyzer.from_pack(pack), np.random.default_rng(5)

    def decode() -> Iterator[DecodedPhoto]:
        photos = read_with_progress([data / "lfw" / path for path in paths])
        for path, photo in zip(paths, photos, strict=True):
            pixels = photo.pixels
            if path in masked:
                pixels = _draw_random_mask(pixels, masked[path], random)
            yield DecodedPhoto(path, pixels, photo.content_hash, has_orientation=True, taken_at=None)

    for analyzed in analyzer.analyze(decode()):
        face = central_face(analyzed)
        if face is not None:
            yield analyzed.photo.path, analyzer.crop(analyzed.photo, face), face.landmarks


def _draw_random_mask(pixels: RGBImage, landmarks: FloatArray, random: np.random.Generator) -> RGBImage:
    draw = random.random()
    if draw < _USUAL_COLOR:
        color = np.array(list(MASK_COLORS.values())[random.integers(len(MASK_COLORS))])
    else:
        color = np.full(3, random.integers(200, 256)) if draw < _USUAL_COLOR + _WHITE else random.integers(10, 256, 3)
    shape = list(_SHAPE_FRACTIONS)[random.choice(len(_SHAPE_FRACTIONS), p=list(_SHAPE_FRACTIONS.values()))]
    red, green, blue = (int(value) for value in np.clip(color + random.normal(0, 8, 3), 0, 255))
    masked = draw_mask(pixels, landmarks, shape, (red, green, blue), int(random.integers(2**31)))
    if random.random() >= _PATTERNED:
        return masked
    is_mask = np.abs(pixels.astype(np.int64) - masked).sum(axis=2, keepdims=True) > 12
    return _pixels(masked + _pattern(masked.shape[:2], random)[..., None] * random.uniform(-40, 40, 3) * is_mask)


def _pattern(shape: tuple[int, ...], random: np.random.Generator) -> FloatArray:
    """Return checks, stripes, blots or tiles of the given shape, with values of about -1..1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    width = random.uniform(2, 8)
    tiles = np.sin(columns / width * np.pi) * np.sin(rows / width * np.pi)
    choice = random.integers(4)
    if choice == 0:
        return np.asarray(tiles, np.float32)
    if choice == 1:
        return np.asarray(np.sin((columns * 0.54 + rows * 0.84) / width * np.pi), np.float32)
    if choice == 2:
        blots = cv2.GaussianBlur(random.normal(size=shape).astype(np.float32), (0, 0), width)
        return np.asarray(blots / blots.std(), np.float32)
    return np.asarray(np.sign(tiles), np.float32)


def _skin_color(face: RGBImage) -> NDArray[np.float64]:
    """Return the median color of forehead and upper cheeks, of shape ``(3,)``."""
    patches = (face[24:40, 40:72], face[56:62, 30:84])
    return np.asarray(np.median(np.concatenate([patch.reshape(-1, 3) for patch in patches]), axis=0), np.float64)


def _ellipse(center: tuple[int, int], radii: tuple[int, int], softness: float) -> FloatArray:
    blend = np.zeros((SIDE, SIDE), np.float32)
    cv2.ellipse(blend, center, radii, 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(blend, (0, 0), softness)[..., None], np.float32)


def _pixels(values: NDArray[np.floating]) -> RGBImage:
    return np.asarray(np.clip(values, 0, 255), np.uint8)
