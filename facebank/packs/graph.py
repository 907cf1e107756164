"""Rewrites ONNX graphs: dequantized weights, dynamic axes, no unused parts, and faster nodes for ONNX Runtime.

Import this module only to prepare a network, because it imports ``onnx``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from facebank.errors import PackIntegrityError
from facebank.storage.text import error_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

DynamicAxes: TypeAlias = Literal["batch", "batch_and_size"]
"""Input axes that become dynamic: the number of images, or also their height and width."""

_BLOCK = 16  # channels that ONNX Runtime keeps together with AVX-512; half as many with AVX2
_MIN_IR_VERSION = 4  # of the file format; constants of earlier versions must be inputs

_INVALID_MODEL_ERRORS = (
    DecodeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
)


def prepare_network(data: bytes, dynamic: DynamicAxes, label: str) -> bytes:
    """Return a checked ONNX file rewritten for all runtimes, with the same outputs.

    Quantized weights become float32, nodes for training and unused nodes are dropped, constants are removed from the
    inputs, and the axes named by `dynamic` become dynamic. `label` names the file in messages.

    Raises `PackIntegrityError` if the bytes are not an ONNX network, or one that cannot be prepared.
    """
    try:
        model = onnx.load_model_from_string(data)
        _fold_constants(model.graph)
        _drop_dropout(model.graph)
        _drop_unused(model)
        _make_axes_dynamic(model.graph, dynamic)
        onnx.checker.check_model(model, full_check=True)
    except _INVALID_MODEL_ERRORS as error:
        raise PackIntegrityError(
            f"{label} cannot be prepared ({error_line(error)}): use another export of this network"
        ) from error
    return bytes(model.SerializeToString(deterministic=True))


def tune_network(data: bytes, *, in_blocks: bool) -> bytes | None:
    """Return an ONNX file with faster nodes for ONNX Runtime on a CPU; None if it has none to replace.

    Finite outputs differ only by rounding, unless intermediate values overflow. ``PRelu`` of ONNX Runtime is slow: it
    branches at each value, and its layout of channels differs from that of convolutions, so that values are reordered
    before and after it. With `in_blocks` (on x86, where convolutions keep channels in blocks), it is replaced with
    convolutions, otherwise with arithmetic.
    """
    try:
        model = onnx.load_model_from_string(data)
        if not any(_is_prelu(node) for node in model.graph.node):
            return None
        _drop_unused(model)
        del model.graph.value_info[:]  # the author's shapes, which may be false, and may use the names of new nodes
        _rewrite_prelu(model, in_blocks=in_blocks)
        onnx.checker.check_model(model)
    except _INVALID_MODEL_ERRORS:
        return None
    return bytes(model.SerializeToString(deterministic=True))


def _fold_constants(graph: GraphProto) -> None:
    """Replace each ``DequantizeLinear`` and ``Reshape`` of constants with its result, in place.

    Relies on the topological order of nodes, which ONNX requires.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type in _FOLDABLE and all(name in constants for name in node.input):
            value = _FOLDABLE[node.op_type](node, [numpy_helper.to_array(constants[name]) for name in node.input])
            constants[node.output[0]] = numpy_helper.from_array(np.ascontiguousarray(value), node.output[0])
        else:
            nodes.append(node)
    _replace_nodes(graph, nodes)
    _replace_constants(graph, list(constants.values()))


def dequantize(
    quantized: NDArray[np.generic],
    scales: NDArray[np.generic],
    zero_points: NDArray[np.generic] | None,
    axis: int,
    block_size: int,
) -> NDArray[np.float32]:
    """Return ``(quantized - zero_points) * scales``, ``float32`` of the shape of `quantized`.

    `scales` and `zero_points` have one number, one for each index along `axis`, or one for each block of `block_size`
    along `axis`, where the last block may be partial. Raises `ValueError` if the shapes do not fit. Source:
    https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
    """
    values = quantized.astype(np.float32)
    if zero_points is not None:
        values -= _spread(zero_points.astype(np.float32), values.shape, axis, block_size)
    values *= _spread(scales.astype(np.float32), values.shape, axis, block_size)
    return values


def _spread(numbers: NDArray[np.float32], shape: tuple[int, ...], axis: int, block_size: int) -> NDArray[np.float32]:
    """Return scales or zero points in a shape that broadcasts to `shape`."""
    if numbers.size == 1:
        return numbers.reshape(())
    axis = range(len(shape))[axis]
    length = shape[axis]
    if not block_size:
        return numbers.reshape([length if index == axis else 1 for index in range(len(shape))])
    expected = (*shape[:axis], -(-length // block_size), *shape[axis + 1 :])
    if block_size < 0 or numbers.shape != expected:
        raise ValueError(f"blocks of shape {numbers.shape}, but {expected} expected")
    # the last block may be partial, and an untrusted block size may exceed the axis
    return np.repeat(numbers, min(block_size, length), axis=axis)[(slice(None),) * axis + (slice(length),)]


def _fold_dequantize(node: NodeProto, inputs: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    zero_points = inputs[2] if len(inputs) > 2 else None
    return dequantize(inputs[0], inputs[1], zero_points, attributes.get("axis", 1), attributes.get("block_size", 0))


def _fold_reshape(_node: NodeProto, inputs: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    values, shape = inputs
    return values.reshape([values.shape[axis] if size == 0 else int(size) for axis, size in enumerate(shape.tolist())])


_FOLDABLE = {"DequantizeLinear": _fold_dequantize, "Reshape": _fold_reshape}


def _drop_dropout(graph: GraphProto) -> None:
    """Remove ``Dropout``, which has no effect outside training, in place."""
    replacements: dict[str, str] = {}
    nodes: list[NodeProto] = []
    outputs = {output.name for output in graph.output}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = replacements.get(name, name)
        if node.op_type == "Dropout" and not outputs.intersection(node.output):
            replacements[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    _replace_nodes(graph, nodes)


def _rewrite_prelu(model: ModelProto, *, in_blocks: bool) -> None:
    """Replace each ``PRelu`` with nodes that ONNX Runtime runs faster, in place."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    channels = _channels(model) if in_blocks else {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if not _is_prelu(node):
            nodes.append(node)
            continue
        slopes = numpy_helper.to_array(constants[node.input[1]]) if node.input[1] in constants else np.empty(0)
        if not np.isfinite(slopes).all():  # arithmetic would also multiply positive values by them
            nodes.append(node)
            continue
        count = channels.get(node.input[0], 0)
        if count and not count % _BLOCK and slopes.shape == (count, 1, 1) and slopes.dtype == np.float32:
            negated, factors = (f"{node.output[0]}/{part}" for part in ("negate", "factors"))
            kernels = {negated: np.full_like(slopes, -1), factors: 1 - slopes}
            graph.initializer.extend(
                numpy_helper.from_array(kernel.reshape(count, 1, 1, 1), name) for name, kernel in kernels.items()
            )
            nodes += _convolutions(node, negated, factors, count)
        else:
            nodes += _arithmetic(node)
    _replace_nodes(graph, nodes)


def _is_prelu(node: NodeProto) -> bool:
    """Return whether a node is ONNX's ``PRelu``, not an operator of that name in another domain."""
    return node.op_type == "PRelu" and not node.domain


def _convolutions(prelu: NodeProto, negated: str, factors: str, channels: int) -> list[NodeProto]:
    """Return nodes for ``x + (1 - slope) * Relu(-x)``; ONNX Runtime merges each convolution with the node after it."""
    (values, _), result = prelu.input, prelu.output[0]
    opposite, negative, rest = (f"{result}/{part}" for part in ("opposite", "negative", "rest"))
    return [
        onnx.helper.make_node("Conv", [values, negated], [opposite], group=channels, kernel_shape=[1, 1]),
        onnx.helper.make_node("Relu", [opposite], [negative]),
        onnx.helper.make_node("Conv", [negative, factors], [rest], group=channels, kernel_shape=[1, 1]),
        onnx.helper.make_node("Add", [rest, values], [result]),
    ]


def _arithmetic(prelu: NodeProto) -> list[NodeProto]:
    """Return nodes for ``positive + slope * (x - positive)`` with ``positive = Relu(x)``."""
    (values, slope), result = prelu.input, prelu.output[0]
    positive, negative, leak = (f"{result}/{part}" for part in ("positive", "negative", "leak"))
    return [
        onnx.helper.make_node("Relu", [values], [positive]),
        onnx.helper.make_node("Sub", [values, positive], [negative]),
        onnx.helper.make_node("Mul", [negative, slope], [leak]),
        onnx.helper.make_node("Add", [positive, leak], [result]),
    ]


def _channels(model: ModelProto) -> dict[str, int]:
    """Return the number of channels of each value of shape ``(batch, channels, height, width)``, by its name."""
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
    return {name: sizes[1].dim_value for name, sizes in shapes.items() if len(sizes) == 4}


def _drop_unused(model: ModelProto) -> None:
    """Remove nodes and constants that no output needs, and inputs that are constant or unused, in place."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    _replace_nodes(graph, nodes[::-1])
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    _replace_constants(graph, tensors)
    constants = {tensor.name for tensor in tensors}
    inputs = [value for value in graph.input if value.name in needed - constants]
    del graph.input[:]
    graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _MIN_IR_VERSION)


def _make_axes_dynamic(graph: GraphProto, dynamic: DynamicAxes) -> None:
    """Make axes of a network's one input of shape ``(1, channels, height, width)`` dynamic, in place.

    Raises `ValueError` if the network does not have one input of four axes.
    """
    if len(graph.input) != 1 or len(graph.input[0].type.tensor_type.shape.dim) != 4:
        raise ValueError("its input is not a batch of one image")
    sizes = graph.input[0].type.tensor_type.shape.dim
    sizes[0].dim_param = "batch"
    if dynamic == "batch_and_size":
        sizes[2].dim_param, sizes[3].dim_param = "height", "width"
    for output in graph.output:
        for axis, size in enumerate(output.type.tensor_type.shape.dim):
            if axis == 0:
                size.dim_param = "batch"
            elif dynamic == "batch_and_size" and axis == 1:
                size.Clear()  # the number of results depends on the image's size
    del graph.value_info[:]  # shapes of intermediate results, which are no longer fixed
    _make_reshapes_dynamic(graph)


def _make_reshapes_dynamic(graph: GraphProto) -> None:
    """Make reshapes to ``(1, ...)`` keep the first axis of their input, which ONNX writes as 0."""
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


def _replace_constants(graph: GraphProto, tensors: list[TensorProto]) -> None:
    del graph.initializer[:]
    graph.initializer.extend(tensors)
