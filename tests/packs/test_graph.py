"""Prepared networks have the outputs of the published ones."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facebank.errors import PackIntegrityError
from facebank.packs import Pack, load_pack, open_session
from facebank.packs.graph import dequantize, prepare_network, tune_network
from facebank.packs.runtime import load_runtime


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use one cache for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBANK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pack() -> Pack:
    """The embedded pack."""
    return load_pack()


@given(st.data())
def test_dequantize_follows_the_onnx_specification(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    block_size = data.draw(st.integers(1, 7))
    block_counts = list(shape)
    block_counts[axis] = math.ceil(shape[axis] / block_size)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    quantized = random.integers(-128, 128, shape).astype(np.int8)
    scales = random.random(block_counts).astype(np.float32)
    zero_points = random.integers(-9, 9, block_counts).astype(np.int8)

    result = dequantize(quantized, scales, zero_points, axis, block_size)

    for index in np.ndindex(shape):
        block = list(index)
        block[axis] //= block_size
        expected = (int(quantized[index]) - int(zero_points[tuple(block)])) * scales[tuple(block)]
        assert result[index] == pytest.approx(expected, rel=1e-6)


def test_dequantize_accepts_scales_of_an_axis_or_one_scale() -> None:
    quantized = np.arange(6, dtype=np.int8).reshape(2, 3)
    scales = np.array([1, 10, 100], np.float32)
    np.testing.assert_array_equal(dequantize(quantized, scales, None, 1, 0), [[0, 10, 200], [3, 40, 500]])
    result = dequantize(quantized, np.array([2], np.float32), np.array([1], np.int8), 1, 99)
    np.testing.assert_array_equal(result, [[-2, 0, 2], [4, 6, 8]])


@pytest.mark.parametrize("block_size", [-1, 3, 10**12])
def test_blocks_that_do_not_fit_are_an_error(block_size: int) -> None:
    with pytest.raises(ValueError, match="blocks"):
        dequantize(np.zeros((4, 4), np.int8), np.ones((4, 4), np.float32), None, 1, block_size)


def test_a_huge_block_size_needs_no_memory() -> None:
    scales = np.full((4, 1), 2, np.float32)
    np.testing.assert_array_equal(dequantize(np.ones((4, 4), np.int8), scales, None, 1, 10**15), np.full((4, 4), 2))


@given(st.data())
def test_tuned_prelu_equals_the_published_one(data: st.DataObject) -> None:
    channels = data.draw(st.sampled_from([5, 16, 32]))
    in_blocks = data.draw(st.booleans())
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    slopes = random.uniform(-2, 2, (channels, 1, 1)).astype(np.float32)
    model = make_prelu(slopes, random.standard_normal((channels, 3, 3, 3)).astype(np.float32))

    tuned = tune_network(model, in_blocks=in_blocks)

    assert tuned is not None
    operators = [node.op_type for node in onnx.load_from_string(tuned).graph.node]
    assert "PRelu" not in operators
    assert operators.count("Conv") == (3 if in_blocks and channels % 16 == 0 else 1)
    images = random.standard_normal((2, 3, 9, 8)).astype(np.float32)
    expected, actual = (open_session(network, "cpu", 1).run(None, {"data": images})[0] for network in (model, tuned))
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_prelu_without_spatial_axes_is_tuned() -> None:
    """Without height and width, it cannot be a convolution."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 16]) for name in ("data", "result")]
    slopes = numpy_helper.from_array(np.linspace(-1, 1, 16, dtype=np.float32), "slopes")
    nodes = [helper.make_node("Neg", ["data"], ["x"]), helper.make_node("PRelu", ["x", "slopes"], ["result"])]
    model = make_model(helper.make_graph(nodes, "small", values[:1], values[1:], [slopes]))
    tuned = tune_network(model, in_blocks=True)
    assert tuned is not None
    numbers = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    expected, actual = (open_session(network, "cpu", 1).run(None, {"data": numbers})[0] for network in (model, tuned))
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("in_blocks", [False, True])
def test_an_operator_named_prelu_of_another_domain_is_not_tuned(in_blocks: bool) -> None:
    model = onnx.load_from_string(make_prelu(np.ones((16, 1, 1), np.float32), np.ones((16, 3, 3, 3), np.float32)))
    body = [helper.make_node("Mul", ["x", "slopes"], ["product"])]
    model.functions.append(
        helper.make_function("other", "PRelu", ["x", "slopes"], ["product"], body, [helper.make_opsetid("", 13)])
    )
    model.opset_import.append(helper.make_opsetid("other", 1))
    model.graph.node[1].domain = "other"
    assert tune_network(model.SerializeToString(), in_blocks=in_blocks) is None


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_slopes_that_are_not_finite_leave_positive_values_unchanged(slope: float, in_blocks: bool) -> None:
    model = make_prelu(np.full((16, 1, 1), slope, np.float32), np.ones((16, 3, 3, 3), np.float32))
    tuned = tune_network(model, in_blocks=in_blocks)
    assert tuned is not None
    image = np.ones((1, 3, 9, 8), np.float32)
    np.testing.assert_array_equal(
        open_session(tuned, "cpu", 1).run(None, {"data": image})[0], np.full((1, 16, 7, 6), 27)
    )


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("part", ["opposite", "negative", "rest", "positive", "leak"])
def test_declared_types_of_values_are_not_used(part: str, in_blocks: bool) -> None:
    """A declared value may have the name of a new one."""
    model = onnx.load_from_string(make_prelu(np.ones((16, 1, 1), np.float32), np.ones((16, 3, 3, 3), np.float32)))
    model.graph.value_info.append(helper.make_tensor_value_info(f"result/{part}", TensorProto.INT64, [7]))
    tuned = tune_network(model.SerializeToString(), in_blocks=in_blocks)
    assert tuned is not None
    assert open_session(tuned, "cpu", 1).get_inputs()


def test_a_network_with_constants_among_its_inputs_is_prepared_and_tuned() -> None:
    """ONNX requires initializers among the inputs up to IR version 3."""
    random = np.random.default_rng(0)
    slopes, weights = random.random((16, 1, 1)), random.standard_normal((16, 3, 3, 3))
    model = onnx.load_from_string(make_prelu(slopes.astype(np.float32), weights.astype(np.float32)))
    model.ir_version = 3
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in model.graph.initializer
    )
    published = model.SerializeToString()
    images = random.standard_normal((2, 3, 9, 8)).astype(np.float32)
    expected = open_session(published, "cpu", 1).run(None, {"data": images})[0]
    for network in (published, prepare_network(published, "batch", "old.onnx")):
        tuned = tune_network(network, in_blocks=True)
        assert tuned is not None
        assert [node.op_type for node in onnx.load_from_string(tuned).graph.node].count("Conv") == 3
        actual = open_session(tuned, "cpu", 1).run(None, {"data": images})[0]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("network", [b"", b"no network"])
def test_a_network_without_prelu_is_not_tuned(network: bytes) -> None:
    assert tune_network(network, in_blocks=True) is None
    assert tune_network(make_identity().SerializeToString(), in_blocks=True) is None


def test_tuned_sface_equals_the_prepared_one(pack: Pack) -> None:
    images = make_images(3, 112)
    prepared, tuned = (
        open_session(network, "cpu", 1).run(None, {"data": images})[0]
        for network in (pack.embedder_file.load(), pack.embedder_file.load_tuned())
    )
    assert cosines(prepared, tuned).min() > 0.999999


def test_prepared_sface_equals_the_published_one(pack: Pack) -> None:
    """ONNX Runtime can run the published file after the unused inputs are removed."""
    spec = pack.manifest.embedder
    model = onnx.load(pack.folder / spec.file)
    used_inputs = [value for value in model.graph.input if value.name == spec.input]
    del model.graph.input[:]
    model.graph.input.extend(used_inputs)
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    published = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    prepared = open_session(pack.embedder_path(), "cpu")
    images = make_images(3, 112)

    batched = prepared.run(None, {spec.input: images})[0]

    single = np.concatenate([published.run(None, {spec.input: image[None]})[0] for image in images])
    assert cosines(single, batched).min() > 0.99999


def test_the_published_sface_cannot_be_run(pack: Pack) -> None:
    spec = pack.manifest.embedder
    session = open_session(pack.folder / spec.file, "cpu")
    with pytest.raises(ValueError, match="Required inputs"):
        session.run(None, {spec.input: make_images(1, 112)})


def test_prepared_yunet_equals_the_published_one_at_any_size(pack: Pack) -> None:
    """OpenCV runs the published file at any size."""
    published = cv2.dnn.readNetFromONNX(str(pack.folder / pack.manifest.detector.file))
    prepared = open_session(pack.detector_path(), "cpu")
    names = [output.name for output in prepared.get_outputs()]
    images = make_images(2, 160)[:, :, :, :96]

    batched = prepared.run(names, {"input": images})

    for index, image in enumerate(images):
        published.setInput(image[None])
        for expected, actual in zip(published.forward(names), batched, strict=True):
            np.testing.assert_allclose(actual[index], np.reshape(expected, actual[index].shape), atol=1e-4)


def test_prepared_networks_have_dynamic_axes_and_no_unused_parts(pack: Pack) -> None:
    detector = onnx.load(pack.detector_path())
    embedder = onnx.load(pack.embedder_path())
    for model in (detector, embedder):
        used = {name for node in model.graph.node for name in node.input}
        assert not {"DequantizeLinear", "Dropout"} & {node.op_type for node in model.graph.node}
        assert len(model.graph.input) == 1
        assert {tensor.name for tensor in model.graph.initializer} <= used
    assert input_shape(detector) == ["batch", 3, "height", "width"]
    assert input_shape(embedder) == ["batch", 3, 112, 112]


def test_weights_with_a_false_shape_are_an_error() -> None:
    model = make_identity()
    for name, data_type in (("x", TensorProto.INT8), ("s", TensorProto.FLOAT)):
        model.graph.initializer.add(name=name, data_type=data_type, dims=[10**9, 10**9], raw_data=b"12")
    model.graph.node.append(helper.make_node("DequantizeLinear", ["x", "s"], ["y"]))
    with pytest.raises(PackIntegrityError, match="cannot be prepared"):
        prepare_network(model.SerializeToString(), "batch", "x.onnx")


def test_an_inner_dropout_is_removed() -> None:
    weights = numpy_helper.from_array(np.array([2], np.float32), "two")
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["data", "two"], ["doubled"]),
            helper.make_node("Dropout", ["doubled"], ["dropped"]),
            helper.make_node("Mul", ["dropped", "two"], ["result"]),
        ],
        "small",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, 3, 4, 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    prepared = onnx.load_from_string(prepare_network(model.SerializeToString(), "batch", "x.onnx"))
    assert [node.op_type for node in prepared.graph.node] == ["Mul", "Mul"]


def make_prelu(slopes: NDArray[np.float32], weights: NDArray[np.float32]) -> bytes:
    """Return a network that is a convolution of 3 channels and a ``PRelu``."""
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["data", "weights"], ["sums"]),
            helper.make_node("PRelu", ["sums", "slopes"], ["result"]),
        ],
        "small",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, 9, 8])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["batch", len(slopes), 7, 6])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(slopes, "slopes")],
    )
    return make_model(graph)


def make_model(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def make_identity() -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in ("data", "result")]
    graph = helper.make_graph([helper.make_node("Identity", ["data"], ["result"])], "small", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def make_images(count: int, side: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(7).integers(0, 256, (count, 3, side, side)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(image.transpose(1, 2, 0), (0, 0), 3).transpose(2, 0, 1) for image in noise])


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / norms, np.float64)


def input_shape(model: onnx.ModelProto) -> list[int | str]:
    return [size.dim_value or size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim]
