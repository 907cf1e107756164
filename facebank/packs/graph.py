"""Surgery on ONNX graphs: what makes a block-quantised, fixed-size network one that ONNX Runtime runs well.

This module imports ``onnx``; import it only where a network is prepared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from facebank.errors import PackIntegrityError
from facebank.packs.network_file import check_network_bytes
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto

FreeAxes: TypeAlias = Literal["batch", "batch_and_size"]

_BROKEN = (
    DecodeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
)


def prepare_network(data: bytes, free: FreeAxes, label: str) -> bytes:
    """Turn a network as published into one that ONNX Runtime runs well, with the same answers.

    Weights stored quantised become float32, what only training needs or nobody uses goes, constants leave the list
    of inputs, ``PRelu`` is spelled out, and the first axis (also height and width, where asked) becomes free.

    Parameters
    ----------
    data
        The ONNX file.
    free
        Which axes of the input become free.
    label
        The file's name, for messages.

    Returns
    -------
    bytes
        The new ONNX file.

    Raises
    ------
    PackIntegrityError
        The bytes are no ONNX network, one that keeps weights in another file, or one that cannot be prepared.
    """
    check_network_bytes(data, label)
    try:
        model = onnx.load_model_from_string(data)
        fold_constants(model.graph)
        drop_dropout(model.graph)
        drop_unused(model.graph)
        spell_out_prelu(model.graph)
        free_axes(model.graph, free)
        onnx.checker.check_model(model, full_check=True)
    except _BROKEN as error:
        reason = printable(next(iter(str(error).strip().splitlines()), type(error).__name__))
        raise PackIntegrityError(
            f"{label} cannot be prepared ({reason}): use another export of this network"
        ) from error
    return bytes(model.SerializeToString(deterministic=True))


def fold_constants(graph: GraphProto) -> None:
    """Compute every ``DequantizeLinear``, and ``Reshape`` of one, whose inputs are all constants, in place.

    Parameters
    ----------
    graph
        Its nodes in topological order, as ONNX demands.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept: list[NodeProto] = []
    for node in graph.node:
        if node.op_type in _FOLDABLE and all(name in constants for name in node.input):
            value = _FOLDABLE[node.op_type](node, [numpy_helper.to_array(constants[name]) for name in node.input])
            constants[node.output[0]] = numpy_helper.from_array(np.ascontiguousarray(value), node.output[0])
        else:
            kept.append(node)
    _replace_nodes(graph, kept)
    tensors = list(constants.values())
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def dequantise(
    quantised: NDArray[np.generic],
    scales: NDArray[np.generic],
    zero_points: NDArray[np.generic] | None,
    axis: int,
    block_size: int,
) -> NDArray[np.float32]:
    """Do what ONNX's ``DequantizeLinear`` does: ``(x - zero_point) * scale``.

    Parameters
    ----------
    quantised
        Integers of any shape.
    scales, zero_points
        A single number, one number for each index along `axis`, or, with a block size, one for each block along
        `axis`; the last block may be partial.
    axis
        The axis along which numbers or blocks lie.
    block_size
        How many neighbours share a scale; 0 for no blocks.

    Returns
    -------
    NDArray[np.float32]
        The shape of `quantised`.

    Raises
    ------
    ValueError
        The shapes do not belong together.

    Notes
    -----
    https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
    """
    values = quantised.astype(np.float32)
    if zero_points is not None:
        values -= _spread(zero_points.astype(np.float32), values.shape, axis, block_size)
    values *= _spread(scales.astype(np.float32), values.shape, axis, block_size)
    return values


def _spread(numbers: NDArray[np.float32], shape: tuple[int, ...], axis: int, block_size: int) -> NDArray[np.float32]:
    if numbers.size == 1:
        return numbers.reshape(())
    axis = range(len(shape))[axis]
    length = shape[axis]
    if not block_size:
        return numbers.reshape([length if each == axis else 1 for each in range(len(shape))])
    wanted = (*shape[:axis], -(-length // block_size), *shape[axis + 1 :])
    if block_size < 0 or numbers.shape != wanted:
        raise ValueError(f"blocks of shape {numbers.shape}, but {wanted} expected")
    return np.repeat(numbers, min(block_size, length), axis=axis)[(slice(None),) * axis + (slice(length),)]


def _fold_dequantise(node: NodeProto, inputs: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    settings = {attribute.name: attribute.i for attribute in node.attribute}
    zero_points = inputs[2] if len(inputs) > 2 else None
    return dequantise(inputs[0], inputs[1], zero_points, settings.get("axis", 1), settings.get("block_size", 0))


def _fold_reshape(_node: NodeProto, inputs: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    values, shape = inputs
    return values.reshape([values.shape[axis] if size == 0 else int(size) for axis, size in enumerate(shape.tolist())])


_FOLDABLE = {"DequantizeLinear": _fold_dequantise, "Reshape": _fold_reshape}


def drop_dropout(graph: GraphProto) -> None:
    """Remove ``Dropout``, which does nothing outside training, in place."""
    passed: dict[str, str] = {}
    kept: list[NodeProto] = []
    results = {output.name for output in graph.output}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = passed.get(name, name)
        if node.op_type == "Dropout" and not results.intersection(node.output):
            passed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    _replace_nodes(graph, kept)


def spell_out_prelu(graph: GraphProto) -> None:
    """Write ``PRelu`` as ``positive + slope * (x - positive)`` with ``positive = Relu(x)``, in place.

    Notes
    -----
    Finite numbers stay the same to the last bit: one of the two terms is always zero. ONNX Runtime's ``PRelu`` branches
    at every value, and what a face makes of it cannot be predicted: SFace and MobileFaceNet took 1.7 times as long.
    """
    kept: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "PRelu":
            values, slope = node.input
            kept += _spelled_out(values, slope, node.output[0])
        else:
            kept.append(node)
    _replace_nodes(graph, kept)


def _spelled_out(values: str, slope: str, result: str) -> list[NodeProto]:
    positive, negative, leak = (f"{result}/{part}" for part in ("positive", "negative", "leak"))
    return [
        onnx.helper.make_node("Relu", [values], [positive]),
        onnx.helper.make_node("Sub", [values, positive], [negative]),
        onnx.helper.make_node("Mul", [negative, slope], [leak]),
        onnx.helper.make_node("Add", [positive, leak], [result]),
    ]


def drop_unused(graph: GraphProto) -> None:
    """Remove nodes and constants that no output needs, and inputs that are constants or unused, in place."""
    needed = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _replace_nodes(graph, kept[::-1])
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    given = needed - {tensor.name for tensor in tensors}
    inputs = [value for value in graph.input if value.name in given]
    del graph.input[:]
    graph.input.extend(inputs)


def free_axes(graph: GraphProto, free: FreeAxes) -> None:
    """Let the network take any number of pictures, of any size where asked, in place.

    Parameters
    ----------
    graph
        A network with one input of shape ``(1, channels, height, width)``.
    free
        Which axes become free.

    Raises
    ------
    ValueError
        The network has not one input of four axes.
    """
    if len(graph.input) != 1 or len(graph.input[0].type.tensor_type.shape.dim) != 4:
        raise ValueError("it has not one picture as its input")
    sizes = graph.input[0].type.tensor_type.shape.dim
    sizes[0].dim_param = "batch"
    if free == "batch_and_size":
        sizes[2].dim_param, sizes[3].dim_param = "height", "width"
    for output in graph.output:
        for axis, size in enumerate(output.type.tensor_type.shape.dim):
            if axis == 0:
                size.dim_param = "batch"
            elif free == "batch_and_size" and axis == 1:
                size.Clear()
    del graph.value_info[:]
    _free_reshapes(graph)


def _free_reshapes(graph: GraphProto) -> None:
    """Make reshapes to ``(1, ...)`` keep their input's first axis: 0 means that in ONNX."""
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in shapes:
            shape = numpy_helper.to_array(tensor).copy()
            if shape.size and shape[0] == 1:
                shape[0] = 0
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _replace_nodes(graph: GraphProto, nodes: list[NodeProto]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)
