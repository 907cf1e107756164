"""Tiny ONNX networks for tests: a valid detector and embedder, and hostile networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

Constants: TypeAlias = dict[str, NDArray[Any]]

EMBEDDING = 48
LOCATION = "weights.bin"
_FACE = np.array([0.5, 0.5, 3.0, 3.0], np.float32)
_POINTS = np.array([-1, -1, 1, -1, 0, 0, -1, 1, 1, 1], np.float32)
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
        helper.make_node("Add", ["zero", "face"], ["bbox_32"]),
        helper.make_node("Add", ["zero", "points"], ["kps_32"]),
    ]
    constants: Constants = {
        "column": np.array([0, -1, 1], np.int64),
        "scale": np.array(1 / 255, np.float32),
        "nothing": np.array(0, np.float32),
        "face": _FACE,
        "points": _POINTS,
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
    name: str = "data", *, more: tuple[bytes, ...] = (), last: str = "embedding", size: int = EMBEDDING
) -> bytes:
    """Return an embedder of the mean colors of 4 x 4 parts, optionally with further nodes and the output `last`."""
    nodes = [
        helper.make_node("AveragePool", [name], ["parts"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["parts"], ["embedding"]),
        *map(NodeProto.FromString, more),
    ]
    constants: Constants = {
        "nothing": np.array(0, np.float32),
        "rounds": np.array(1 << 60, np.int64),
        "go": np.array(True),
        "much": np.array([1 << 20, 1 << 20], np.int64),
    }
    return network(nodes, constants, ["batch", 3, 112, 112], [last], name, size)


def endless() -> tuple[bytes, ...]:
    """Return nodes that count to 2 ** 60."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["again"]),
            helper.make_node("Add", ["value", "value"], ["sum"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch", EMBEDDING]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch", EMBEDDING]),
        ],
    )
    return (helper.make_node("Loop", ["rounds", "go", "embedding"], ["last"], body=body).SerializeToString(),)


def then(operation: str, *inputs: str, **attributes: Any) -> tuple[bytes, ...]:
    """Return a node with the output ``last``."""
    return (helper.make_node(operation, list(inputs), ["last"], **attributes).SerializeToString(),)


def greedy() -> tuple[bytes, ...]:
    """Return nodes that create a tensor of 4 TiB."""
    return (
        helper.make_node("ConstantOfShape", ["much"], ["huge"]).SerializeToString(),
        helper.make_node("ReduceMean", ["huge"], ["mean"], keepdims=0).SerializeToString(),
        *then("Add", "embedding", "mean"),
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
    used = {name for node in nodes for name in node.input}
    last: list[str | int | None] | None = None if size is None else ["batch", size]
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, last) for output in outputs],
        [numpy_helper.from_array(value, key) for key, value in constants.items() if key in used],
    )
    return serialize(graph)


def serialize(graph: GraphProto, functions: Sequence[FunctionProto] = ()) -> bytes:
    """Return a graph as an ONNX file."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)
    return bytes(model.SerializeToString())


def external(name: str, location: str = LOCATION) -> TensorProto:
    """Return a tensor of four numbers with external data."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor
