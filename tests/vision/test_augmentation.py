"""Variants of an aligned face."""

from __future__ import annotations

import numpy as np
import pytest

from facebank.errors import UsageError
from facebank.types import DecodedPhoto
from facebank.vision import FaceAnalyzer
from facebank.vision.augmentation import ENROLLED_VARIANTS, VARIANTS, augment


@pytest.fixture(scope="module")
def crop(analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto]) -> np.ndarray:
    """Return an aligned face."""
    (face,) = next(analyzer.analyze(demo_photos[:1])).faces
    return analyzer.crop(demo_photos[0], face)


@pytest.mark.parametrize("template", ["arcface", "facenet"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_a_deterministic_change_of_the_crop(crop: np.ndarray, variant: str, template: str) -> None:
    original = crop.copy()
    changed = augment(crop, template, variant)
    assert (changed.shape, changed.dtype) == (crop.shape, crop.dtype)
    assert np.any(changed != crop)
    np.testing.assert_array_equal(changed, augment(crop, template, variant))
    np.testing.assert_array_equal(crop, original)


def test_variants_change_light_position_or_lower_face(crop: np.ndarray) -> None:
    changed = {variant: augment(crop, "arcface", variant).astype(float) for variant in VARIANTS}
    np.testing.assert_array_equal(changed["flip"][:, ::-1], crop)
    assert changed["darker"].mean() < crop.mean() < changed["brighter"].mean()
    np.testing.assert_allclose(changed["shifted"][:, 20:100], crop[:, 17:97], atol=60)
    assert np.abs(changed["mask"][:40] - crop[:40]).max() == 0


def test_embeddings_of_variants_are_similar_to_the_face(
    analyzer: FaceAnalyzer, demo_photos: list[DecodedPhoto], crop: np.ndarray
) -> None:
    (face,) = next(analyzer.analyze(demo_photos[:1])).faces
    embeddings = analyzer.embed_variants(crop, list(VARIANTS))
    assert list(embeddings) == list(VARIANTS)
    for variant, embedding in embeddings.items():
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
        similarity = float(embedding @ face.embedding)
        assert (0.4 if variant == "mask" else 0.8) < similarity < 0.9999
    assert analyzer.embed_variants(crop, []) == {}


def test_enrolled_variants_exist() -> None:
    assert set(ENROLLED_VARIANTS) <= set(VARIANTS)


def test_an_unknown_variant_is_refused(crop: np.ndarray) -> None:
    with pytest.raises(UsageError, match="unknown variant 'sepia'"):
        augment(crop, "arcface", "sepia")
