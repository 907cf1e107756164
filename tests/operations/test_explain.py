"""Explanation maps of synthetic networks, and faithfulness of real maps with another occluder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.evaluation.dataset import Dataset, Pick
from facebank.evaluation.faces import FaceReader
from facebank.operations.engine import Engine
from facebank.operations.explain import (
    ExplainedPair,
    Explanation,
    Filling,
    Occluder,
    explain,
    hide,
    overlay,
    region_masks,
)
from facebank.operations.explanation_picture import draw_picture
from facebank.types import Verification
from tests.lfw_photos import lfw_photos

SIZE = 112
PEOPLE = ("Abdullah_Gul", "Ai_Sugiyama", "Alejandro_Toledo", "Alvaro_Uribe", "Amelie_Mauresmo", "Ana_Guevara")


def embed_upper_half(crops: np.ndarray) -> np.ndarray:
    """Return embeddings of the upper halves of crops, ``float32`` of shape ``(N, SIZE // 2 + 1)``."""
    top = crops[:, : SIZE // 2].reshape(len(crops), SIZE // 2, -1).astype(np.float32)
    embeddings = np.concatenate([top.mean(axis=2) - 60, np.ones((len(crops), 1), np.float32)], axis=1)
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), dtype=np.float32)


def make_face(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)


def test_only_parts_seen_by_the_network_matter() -> None:
    stripes = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    stripes[::8] = 255
    explanation = explain(embed_upper_half, stripes, stripes, occluder=Occluder(8, 0.1, Filling.COLOR))
    assert explanation.similarity == pytest.approx(1)
    for drops in explanation.drops:
        assert drops.shape == (SIZE, SIZE)
        assert drops[: SIZE // 3].mean() > 10 * abs(drops[-SIZE // 4 :]).mean()
    regions = {region.name: region.drops for region in explanation.regions}
    assert min(regions["forehead and brows"]) > 0.001
    assert max(np.abs(regions["mouth"])) < 0.001


def test_the_regions_cover_a_crop_once() -> None:
    for template, size in (("arcface", 112), ("facenet", 160)):
        masks = region_masks(template, size)
        assert (np.sum(list(masks.values()), axis=0) == 1).all()
        assert all(mask.any() for mask in masks.values())


@given(st.integers(1, 6), st.floats(0.05, 0.4), st.sampled_from(Filling))
def test_hiding_changes_only_the_hidden_part(grid_size: int, radius: float, filling: Filling) -> None:
    patches = Occluder(grid_size, radius, filling).patches(32)
    assert patches.shape == (grid_size**2, 32, 32)
    assert patches.min() >= 0
    assert patches.max() <= 1
    crop = make_face(1)[:32, :32]
    hidden = hide(crop, patches, filling)
    assert hidden.shape == (grid_size**2, 32, 32, 3)
    untouched = patches == 0
    assert (hidden[untouched] == np.broadcast_to(crop, hidden.shape)[untouched]).all()


def test_faces_of_different_sizes_are_rejected() -> None:
    with pytest.raises(UsageError, match="square faces of equal size"):
        explain(embed_upper_half, make_face(1), make_face(2)[:100])


@given(st.integers(1, 30), st.integers(1, 30))
def test_grid_cells_lie_within_the_drops(cells: int, extra: int) -> None:
    size = cells + extra
    drops = np.random.default_rng(size).random((size, size), dtype=np.float32)
    first, second = Explanation(0.5, (drops, -drops), ()).grid(cells)
    assert first.shape == (cells, cells)
    assert drops.min() - 1e-6 <= first.min() <= first.max() <= drops.max() + 1e-6
    np.testing.assert_allclose(first, -second, atol=1e-6)


@given(st.integers(1, 30))
def test_grid_cells_of_equal_pixels_have_their_value(cells: int) -> None:
    drops = np.ones((cells * 3, cells * 3), dtype=np.float32)
    drops[:3] = 4
    grid, _ = Explanation(0.5, (drops, drops), ()).grid(cells)
    np.testing.assert_allclose(grid[0], 4)
    np.testing.assert_allclose(grid[1:], 1)


def test_overlays_are_gray_without_changes() -> None:
    drops = np.zeros((SIZE, SIZE), dtype=np.float32)
    drops[:20], drops[-20:] = 0.2, -0.2
    tinted = overlay(make_face(1), drops).astype(int)
    middle = tinted[30:-30]
    assert (middle.max(axis=2) == middle.min(axis=2)).all()
    assert tinted[:20, :, 0].mean() > tinted[:20, :, 2].mean() + 50  # orange
    assert tinted[-20:, :, 2].mean() > tinted[-20:, :, 0].mean() + 50  # blue


def test_map_order_lowers_similarity_faster_with_another_occluder(engine: Engine, shared: Path) -> None:
    """Noise in place of cells lowers the similarity faster in the map's order than in a random order."""
    photos = lfw_photos(shared, PEOPLE, 2)
    reader = FaceReader(engine)
    faces = reader.read(Dataset("six people", photos, pick=Pick.CENTRAL))
    embed, random = reader.engine.analyzer.embedder.embed, np.random.default_rng(2)
    gains = []
    for index in range(0, len(photos), 2):
        first, second = reader.crop(faces, index), reader.crop(faces, index + 1)
        explanation = explain(embed, first, second, occluder=Occluder(6, 0.17))
        cells = explanation.drops[0].reshape(14, 8, 14, 8).mean(axis=(1, 3))
        target = embed(second[None])[0]
        areas = [
            float((embed(replace_cells(first, order)) @ target).mean())
            for order in (cells, *(random.normal(size=(14, 14)) for _ in range(2)))
        ]
        gains.append(np.mean(areas[1:]) - areas[0])
    assert np.mean(gains) > 0
    assert sum(gain > 0 for gain in gains) >= 4


def replace_cells(crop: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return copies of a face with 10, 20, 30 and 50 % of its cells replaced by noise, the highest first."""
    noise = np.random.default_rng(5).integers(0, 255, crop.shape, dtype=np.uint8)
    ranks = np.argsort(np.argsort(-order.ravel())).reshape(order.shape).repeat(8, axis=0).repeat(8, axis=1)
    return np.stack(
        [np.where((ranks < order.size * fraction)[..., None], noise, crop) for fraction in (0.1, 0.2, 0.3, 0.5)]
    )


@pytest.mark.parametrize(
    ("low", "high", "zero"), [(-0.009, 0.105, 0.079), (-0.1, 0.1, 0.5), (0.0, 0.2, 0.0), (-0.2, -0.1, 1.0)]
)
def test_the_color_key_marks_zero(low: float, high: float, zero: float) -> None:
    drops = np.linspace(low, high, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
    verification = Verification("a.jpg", "b.jpg", 0.5, 0.3, same=True)
    pair = ExplainedPair(verification, (make_face(1), make_face(2)), Explanation(0.5, (drops, drops), ()))
    image = np.asarray(draw_picture(pair)).astype(int)
    # The key is a band of equal rows over the full width between white margins.
    rows = [row for row in range(800, len(image) - 1) if (image[row] == image[row + 1]).all()]
    rows = [row for row in rows if (image[row, 30:-30] < 250).any(axis=1).all()]
    assert len(rows) >= 15
    band = image[rows[0], 24:-24]
    marked = np.flatnonzero((band == 20).all(axis=1))
    assert 1 <= len(marked) <= 2
    assert marked.mean() / len(band) == pytest.approx(zero, abs=0.01)
    # The labels below it do not touch: a 0, and one for each end other than 0.
    has_ink = (image[rows[-1] + 4 : rows[-1] + 36].min(axis=2) < 120).any(axis=0)
    gaps = np.diff(np.flatnonzero(has_ink))
    assert (gaps > 8).sum() == (low < 0) + (high > 0)
