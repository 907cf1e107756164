"""Preprocessing and postprocessing of network embedders, on a network whose outputs are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facebank.errors import ManifestError
from facebank.packs import EmbedderSpec, open_session
from facebank.storage.arrays import normalized
from facebank.vision import NetworkEmbedder

FACENET = EmbedderSpec(
    file="mean.onnx",
    sha256="0" * 64,
    prepare=False,
    input="input",
    size=160,
    mean=(0.0, 0.0, 0.0),
    scale=(1.0, 1.0, 1.0),
    color="RGB",
    normalization="per_image",
    template="facenet",
    dimension=6,
    flip=False,
)


@pytest.fixture
def statistics_network(tmp_path: Path) -> Path:
    """Return a network with six outputs: each color's mean over the left half, then over the right half."""
    nodes = [
        helper.make_node("Split", ["input"], ["left", "right"], axis=3, num_outputs=2),
        helper.make_node("ReduceMean", ["left", "axes"], ["left_mean"], keepdims=0),
        helper.make_node("ReduceMean", ["right", "axes"], ["right_mean"], keepdims=0),
        helper.make_node("Concat", ["left_mean", "right_mean"], ["embedding"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "statistics",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 160, 160])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    path = tmp_path / "mean.onnx"
    onnx.save(model, path)
    return path


def average_halves(images: np.ndarray) -> np.ndarray:
    return np.concatenate([images[:, :, :80].mean(axis=(1, 2)), images[:, :, 80:].mean(axis=(1, 2))], axis=1)


@pytest.fixture
def crops() -> np.ndarray:
    rng = np.random.default_rng(7)
    shades = rng.integers(0, 200, (4, 1, 2, 3))
    return (np.repeat(shades, 80, axis=2) + rng.integers(0, 50, (4, 160, 160, 3))).astype(np.uint8)


def test_crops_are_standardized_for_facenet(statistics_network: Path, crops: np.ndarray) -> None:
    embeddings = NetworkEmbedder(open_session(statistics_network, "cpu"), FACENET).embed(crops)
    images = crops.astype(np.float64)
    deviation = np.maximum(images.std(axis=(1, 2, 3), keepdims=True), 1 / np.sqrt(160 * 160 * 3))
    expected = normalized(average_halves((images - images.mean(axis=(1, 2, 3), keepdims=True)) / deviation))
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_a_crop_of_one_color_does_not_divide_by_zero(statistics_network: Path) -> None:
    flat = np.full((1, 160, 160, 3), 90, dtype=np.uint8)
    assert np.isfinite(NetworkEmbedder(open_session(statistics_network, "cpu"), FACENET).embed(flat)).all()


def test_mean_scale_and_color_order_come_from_the_manifest(statistics_network: Path, crops: np.ndarray) -> None:
    spec = replace(FACENET, normalization="fixed", mean=(10.0, 20.0, 30.0), scale=(0.5, 0.25, 2.0), color="BGR")
    embeddings = NetworkEmbedder(open_session(statistics_network, "cpu"), spec).embed(crops)
    blue_first = crops[..., ::-1].astype(np.float64)
    expected = normalized(average_halves((blue_first - [10, 20, 30]) * [0.5, 0.25, 2.0]))
    np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_flip_averaging_adds_the_mirror_image(statistics_network: Path, crops: np.ndarray) -> None:
    plain = replace(FACENET, normalization="fixed")
    session = open_session(statistics_network, "cpu")
    embeddings = NetworkEmbedder(session, replace(plain, flip=True)).embed(crops)
    unchanged, mirrored = (NetworkEmbedder(session, plain).embed(images) for images in (crops, crops[:, :, ::-1]))
    np.testing.assert_allclose(embeddings, normalized(unchanged + mirrored), atol=1e-5)


def test_the_center_is_subtracted_from_every_embedding(statistics_network: Path, crops: np.ndarray) -> None:
    center = (0.3, -0.2, 0.1, 0.0, 0.4, -0.1)
    session = open_session(statistics_network, "cpu")
    plain = NetworkEmbedder(session, FACENET).embed(crops)
    centered = NetworkEmbedder(session, replace(FACENET, center=center)).embed(crops)
    np.testing.assert_allclose(centered, normalized(plain - np.array(center)), atol=1e-5)


def test_a_wrong_dimension_is_a_manifest_error(statistics_network: Path) -> None:
    with pytest.raises(ManifestError, match=r"mean\.onnx .* 6 numbers.*512"):
        NetworkEmbedder(open_session(statistics_network, "cpu"), replace(FACENET, dimension=512))


@pytest.mark.parametrize(
    "spec", [replace(FACENET, size=112), replace(FACENET, input="data")], ids=["another size", "another name"]
)
def test_a_wrong_input_is_a_manifest_error(statistics_network: Path, spec: EmbedderSpec) -> None:
    with pytest.raises(ManifestError, match=r"mean\.onnx .* correct pack\.toml"):
        NetworkEmbedder(open_session(statistics_network, "cpu"), spec)
