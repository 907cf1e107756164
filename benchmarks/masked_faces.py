"""Embeddings of LFW photos, unaltered, with drawn masks and as augmented variants, cached in the cache folder."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.lfw import central_face, read_people
from facebank import read_photo
from facebank.storage.paths import cache_folder
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer
from facebank.vision.alignment import align
from facebank.vision.analyzer import build_embedder
from facebank.vision.augmentation import VARIANTS, augment
from facebank.vision.masking import MASK_COLORS, MaskShape, draw_mask
from facebank.vision.quality import hidden_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.packs import Pack
    from facebank.types import Face, FloatArray, RGBImage

MAX_PHOTOS = 8  # per person
ENROLLED = 5
MASKED, UPPER, HIDDEN = "masked", "upper", "hidden"
PROBE_SHAPES = (MaskShape.CLOTH, MaskShape.RESPIRATOR, MaskShape.SCARF)
PROBE_COLORS = ("red", "navy", "gray", "black", "green", "pink")
_GRAY = 128
_UPPER_FRACTION = 66 / 112  # below the nose bridge, where every mask covers the face


@dataclass(frozen=True, slots=True, eq=False)
class VariantFaces:
    """Embeddings of photos, ordered by person.

    Attributes
    ----------
    person_numbers
        Id of the person, ``int64`` of shape ``(N,)``; -1 for strangers.
    order
        Number of each photo among its person's, from 0, of shape ``(N,)``; those below `ENROLLED` may be enrolled.
    embeddings
        Embeddings by variant, ``float32`` of shape ``(N, D)``; zeros if missing.
    hidden
        Score of a hidden mouth, 0..1, in the unaltered and in the masked photo, ``(2, N)``.
    """

    person_numbers: NDArray[np.int64]
    order: NDArray[np.int64]
    embeddings: Mapping[str, FloatArray]
    hidden: FloatArray


def load_faces(data: Path, pack: Pack, listing: str, people: int, strangers: int) -> VariantFaces:
    """Return the embeddings of photos unaltered, masked and as variants, cached in the user's cache folder.

    People are ordered by number of photos, largest first; strangers are people with a single photo.
    """
    name = f"masked-{Path(listing).stem}-{people}-{strangers}-{pack.digest[:16]}.npz"
    cache_path = cache_folder() / "benchmarks" / name
    if not cache_path.is_file():
        cache_path.parent.mkdir(parents=True, exist_ok=True)
        _embed_all(data, listing, pack, people=people, strangers=strangers, cache_path=cache_path)
    with np.load(cache_path, allow_pickle=False) as arrays:
        embeddings = {name: arrays[name] for name in arrays.files if name not in ("person_numbers", "order", HIDDEN)}
        return VariantFaces(arrays["person_numbers"], arrays["order"], embeddings, arrays[HIDDEN])


def _embed_all(data: Path, listing: str, pack: Pack, *, people: int, strangers: int, cache_path: Path) -> None:
    names = sorted(read_people(data, listing))
    random = np.random.default_rng(7)
    paths_of = {name: sorted((data / "lfw" / name).glob("*.jpg")) for name in names}
    repeated = sorted(
        (name for name in names if len(paths_of[name]) > 1), key=lambda name: (-len(paths_of[name]), name)
    )
    unique = [name for name in names if len(paths_of[name]) == 1]
    chosen = [
        (path, number, order)
        for number, name in enumerate(repeated[:people])
        for order, path in enumerate(random.permutation(np.array(paths_of[name], dtype=object))[:MAX_PHOTOS])
    ]
    chosen += [(paths_of[unique[i]][0], -1, ENROLLED) for i in random.permutation(len(unique))[:strangers]]
    paths = [path for path, _, _ in chosen]
    counts = np.bincount([number for _, number, _ in chosen if number >= 0])
    enrollable = np.array([number >= 0 and order < min(ENROLLED, counts[number] - 1) for _, number, order in chosen])
    embeddings, hidden = _embed_photos(paths, enrollable, pack)
    np.savez(
        cache_path,
        person_numbers=np.array([number for _, number, _ in chosen], dtype=np.int64),
        order=np.array([order for _, _, order in chosen], dtype=np.int64),
        hidden=hidden,
        **embeddings,  # type: ignore[arg-type]
    )


def _embed_photos(
    paths: list[Path], enrollable: NDArray[np.bool_], pack: Pack
) -> tuple[dict[str, FloatArray], FloatArray]:
    analyzer, embedder = FaceAnalyzer.from_pack(pack), build_embedder(pack, "auto")
    variants = ["plain", MASKED, "masked-upper", UPPER, *VARIANTS]
    embeddings = {name: np.zeros((len(paths), embedder.dimension), dtype=np.float32) for name in variants}
    hidden = np.zeros((2, len(paths)), dtype=np.float32)
    for i, path in enumerate(paths):
        if i % 100 == 0:
            print(f"{i} of {len(paths)} photos", file=sys.stderr, flush=True)
        photo = read_photo(path)
        face = central_face(next(analyzer.analyze([photo])))
        if face is None:
            continue
        crop = align(photo.pixels, face.landmarks, embedder.template, embedder.size)
        crops: dict[str, RGBImage] = {}
        if enrollable[i]:
            crops = {name: augment(crop, embedder.template, name) for name in VARIANTS}
            crops[UPPER] = _gray_lower_half(crop)
        masked = _detect_masked_face(analyzer, photo, face, path)
        embeddings["plain"][i], hidden[0, i] = face.embedding, hidden_parts(crop)[0]
        if masked is not None:
            masked_photo, masked_face = masked
            masked_crop = align(masked_photo.pixels, masked_face.landmarks, embedder.template, embedder.size)
            embeddings[MASKED][i], hidden[1, i] = masked_face.embedding, hidden_parts(masked_crop)[0]
            crops["masked-upper"] = _gray_lower_half(masked_crop)
        if crops:
            for name, embedding in zip(crops, embedder.embed(np.stack(list(crops.values()))), strict=True):
                embeddings[name][i] = embedding
    return embeddings, hidden


def _detect_masked_face(
    analyzer: FaceAnalyzer, photo: DecodedPhoto, face: Face, path: Path
) -> tuple[DecodedPhoto, Face] | None:
    """Draw a mask seeded by the photo's name, and detect the face again."""
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    shape = PROBE_SHAPES[random.integers(len(PROBE_SHAPES))]
    color = MASK_COLORS[PROBE_COLORS[random.integers(len(PROBE_COLORS))]]
    pixels = draw_mask(photo.pixels, face.landmarks, shape, color, int(random.integers(2**31)))
    masked = DecodedPhoto(photo.path, pixels, photo.content_hash, has_orientation=True, taken_at=None)
    masked_face = central_face(next(analyzer.analyze([masked])))
    return None if masked_face is None else (masked, masked_face)


def _gray_lower_half(crop: RGBImage) -> RGBImage:
    upper = crop.copy()
    upper[round(_UPPER_FRACTION * len(crop)) :] = _GRAY
    return upper
