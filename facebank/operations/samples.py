"""Faces as a gallery takes them: where they were seen, and the embeddings of the face and of its variants.

Whatever makes a sample makes it here, so that an enrolled, a confirmed and a re-embedded face have the same embeddings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from facebank.gallery import NewSample
from facebank.media import encode_thumbnail
from facebank.operations.inputs import lasting_source
from facebank.vision.augmentation import ENROLLED_VARIANTS
from facebank.vision.quality import with_stability

if TYPE_CHECKING:
    from facebank.types import AnalyzedPhoto, Face, FloatArray, RGBImage
    from facebank.vision import FaceAnalyzer

STEADYING = ("flip", "shifted")
"""Variants whose embeddings a good face's hardly differs from."""


def plain_sample(photo: AnalyzedPhoto, face: Face, *, thumbnail: bool) -> NewSample:
    """Return a face with its own embedding only, and with or without a small picture."""
    return NewSample(
        box=face.box,
        landmarks=face.landmarks,
        detection_score=face.detection_score,
        quality=face.quality,
        path=lasting_source(photo.photo.path),
        content_hash=photo.photo.content_hash,
        quarter_turns=photo.quarter_turns,
        taken_at=photo.photo.taken_at,
        thumbnail=encode_thumbnail(photo.photo, face.box) if thumbnail else None,
        vectors={"plain": face.embedding},
        camera_dated=photo.photo.camera_dated,
        masked=face.assessment.mouth_hidden,
        picture_hash=photo.photo.picture_hash,
    )


def complete_sample(sample: NewSample, face: Face, crop: RGBImage, analyzer: FaceAnalyzer) -> NewSample:
    """Return a sample as it is enrolled: with all embeddings, its quality judged by how steady they are.

    Parameters
    ----------
    sample
        As `plain_sample` gives it.
    face
        The face that it is of.
    crop
        As `facebank.vision.FaceAnalyzer.crop` cuts it out.
    analyzer
        The pack's.
    """
    variants = analyzer.embed_variants(crop, sorted({*STEADYING, *ENROLLED_VARIANTS}))
    quality = with_stability(face.assessment, face.embedding, np.stack([variants[name] for name in STEADYING]))
    return replace(sample, quality=quality.score, vectors=_kept(face, variants))


def enrolled_vectors(face: Face, crop: RGBImage, analyzer: FaceAnalyzer) -> dict[str, FloatArray]:
    """Return all embeddings that a gallery keeps of a face, by variant; the crop as for `complete_sample`."""
    return _kept(face, analyzer.embed_variants(crop, ENROLLED_VARIANTS))


def variant_key(variant: str) -> str:
    """Return what a gallery calls the embedding of a variant of `facebank.vision.augmentation.VARIANTS`."""
    return variant if variant == "flip" else f"augmented:{variant}"


def _kept(face: Face, variants: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {"plain": face.embedding, **{variant_key(name): variants[name] for name in ENROLLED_VARIANTS}}
