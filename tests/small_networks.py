"""Tiny ONNX networks: a valid detector and embedder, and hostile networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

Constants: TypeAlias = dict[str, NDArray[Any]]

EMBEDDING_SIZE = 48
LOCATION = "weights.bin"
_BOX = np.array([0.5, 0.5, 3.0, 3.0], np.float32)
_LANDMARKS = np.array([-1, -1, 1, -1, 0, 0, -1, 1, 1, 1], np.float32)
_STRIDES = (8, 16, 32)


@cache
def small_detector() -> bytes:
    """Return a detector of the kind ``yunet`` that finds a face wherever 32 x 32 pixels are bright."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["gray"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["gray"], ["blocks"], kernel_shape=[32, 32], strides=[32, 32]),
        helper.make_node("Reshape", ["blocks", "column"], ["bright"]),
        helper.make_node("Mul", ["bright", "scale"], ["cls_32"]),
        helper.make_node("Identity", ["cls_32"], ["obj_32"]),
        helper.make_node("Mul", ["cls_32", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "box"], ["bbox_32"]),
        helper.make_node("Add", ["zero", "landmarks"], ["kps_32"]),
    ]
    constants: Constants = {
        "column": np.array([0, -1, 1], np.int64),
        "scale": np.array(1 / 255, np.float32),
        "nothing": np.array(0, np.float32),
        "box": _BOX,
        "landmarks": _LANDMARKS,
    }
    widths = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    for stride in _STRIDES[:2]:
        for head, width in widths.items():
            nodes.append(helper.make_node("Expand", ["empty", f"shape_{width}"], [f"{head}_{stride}"]))
            constants[f"shape_{width}"] = np.array([1, 0, width], np.int64)
    constants["empty"] = np.zeros((1, 0, 1), np.float32)
    outputs = [f"{head}_{stride}" for stride in _STRIDES for head in widths]
    return network(nodes, constants, ["batch", 3, "height", "width"], outputs, "input")


@cache
def small_embedder(
    name: str = "data",
    *,
    extra_nodes: tuple[bytes, ...] = (),
    output: str = "embedding",
    size: int = EMBEDDING_SIZE,
) -> bytes:
    """Return an embedder of the mean colors of 4 x 4 parts, optionally with further nodes.

    Parameters
    ----------
    name
        Name of the input.
    extra_nodes
        Further nodes, which may use the tensor ``embedding``.
    output
        Name of the output.
    size
        Declared length of the output's vectors.
    """
    nodes = [
        helper.make_node("AveragePool", [name], ["parts"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["parts"], ["embedding"]),
        *map(NodeProto.FromString, extra_nodes),
    ]
    constants: Constants = {
        "nothing": np.array(0, np.float32),
        "rounds": np.array(1 << 60, np.int64),
        "go": np.array(True),
        "huge_shape": np.array([1 << 20, 1 << 20], np.int64),
    }
    return network(nodes, constants, ["batch", 3, 112, 112], [output], name, size)


def endless_loop() -> tuple[bytes, ...]:
    """Return a loop of 2 ** 60 rounds with the output ``last``."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["again"]),
            helper.make_node("Add", ["value", "value"], ["sum"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch", EMBEDDING_SIZE]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch", EMBEDDING_SIZE]),
        ],
    )
    return (helper.make_node("Loop", ["rounds", "go", "embedding"], ["last"], body=body).SerializeToString(),)


def last_node(operation: str, *inputs: str, **attributes: Any) -> tuple[bytes, ...]:
    """Return a node with the output ``last``."""
    return (helper.make_node(operation, list(inputs), ["last"], **attributes).SerializeToString(),)


def huge_tensor() -> tuple[bytes, ...]:
    """Return nodes that create a tensor of 4 TiB, the last of them with the output ``last``."""
    return (
        helper.make_node("ConstantOfShape", ["huge_shape"], ["huge"]).SerializeToString(),
        helper.make_node("ReduceMean", ["huge"], ["mean"], keepdims=0).SerializeToString(),
        *last_node("Add", "embedding", "mean"),
    )


def network(
    nodes: Sequence[NodeProto],
    constants: Constants,
    shape: Sequence[int | str],
    outputs: Sequence[str],
    name: str,
    size: int | None = None,
) -> bytes:
    """Return an ONNX file with one image input, without unused constants."""
    used = {tensor for node in nodes for tensor in node.input}
    output_shape: list[str | int | None] | None = None if size is None else ["batch", size]
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, output_shape) for output in outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items() if key in used],
    )
    return serialize(graph)


def serialize(graph: GraphProto, functions: Sequence[FunctionProto] = ()) -> bytes:
    """Return a graph as an ONNX file."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)
    return bytes(model.SerializeToString())


def external_tensor(name: str, location: str = LOCATION) -> TensorProto:
    """Return a tensor of four numbers with external data."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor
