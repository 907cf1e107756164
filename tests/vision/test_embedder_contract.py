"""Contract of embedders, checked for each one with its real network."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from facebank.packs import Pack, has_openvino
from facebank.types import DecodedPhoto
from facebank.vision import Embedder, MultiScaleDetector, align, build_detector, build_embedder
from facebank.vision.finder import FaceFinder


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def embedder(request: pytest.FixtureRequest, pack: Pack) -> Embedder:
    if request.param == "openvino" and not has_openvino():
        pytest.skip("OpenVINO is not installed: python -m pip install 'facebank[openvino]'")
    return build_embedder(pack, "cpu", runtime=request.param)


@pytest.fixture(scope="module")
def crops(pack: Pack, embedder: Embedder, demo_photos: list[DecodedPhoto]) -> np.ndarray:
    finder = FaceFinder(MultiScaleDetector(build_detector(pack, "cpu")))
    return np.stack(
        [
            align(photo.pixels, finder.find(photo.pixels)[0].landmarks, embedder.template, embedder.size)
            for photo in demo_photos
        ]
    )


def test_embeddings_are_unit_vectors(embedder: Embedder, crops: np.ndarray) -> None:
    embeddings = embedder.embed(crops)
    assert embeddings.shape == (len(crops), embedder.dimension)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_no_faces_give_no_embeddings(embedder: Embedder) -> None:
    empty = np.empty((0, embedder.size, embedder.size, 3), dtype=np.uint8)
    assert embedder.embed(empty).shape == (0, embedder.dimension)


def test_a_batch_equals_single_crops(embedder: Embedder, crops: np.ndarray) -> None:
    repeated = np.concatenate([crops] * 7)
    batched = embedder.embed(repeated)
    single = np.concatenate([embedder.embed(crop[None]) for crop in crops])
    np.testing.assert_allclose(batched, np.concatenate([single] * 7), atol=1e-4)


def test_faces_of_one_person_are_more_similar_than_others(
    embedder: Embedder, crops: np.ndarray, demo_photos: list[DecodedPhoto]
) -> None:
    people = [photo.path.rsplit("/", 1)[-1].split("_")[0] for photo in demo_photos]
    embeddings = embedder.embed(crops)
    same: list[float] = []
    different: list[float] = []
    for first, second in combinations(range(len(people)), 2):
        (same if people[first] == people[second] else different).append(float(embeddings[first] @ embeddings[second]))
    assert min(same) > max(different) + 0.1
