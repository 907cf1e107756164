"""Networks with external weights, and files that are not ONNX networks, are refused before they are run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

from facebank.errors import PackIntegrityError
from facebank.packs import NetworkFile, load_pack, open_session
from facebank.packs.network_file import MESSAGES, check_network, check_network_bytes
from facebank.storage.files import sha256_of
from tests.small_networks import external_tensor, small_detector, small_embedder

Change = Callable[[ModelProto, TensorProto], None]


def add_initializer(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.initializer.append(tensor)


def add_sparse_values(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.append(SparseTensorProto(values=tensor, dims=[4]))


def add_sparse_indices(model: ModelProto, tensor: TensorProto) -> None:
    values = numpy_helper.from_array(np.zeros(4, np.float32))
    model.graph.sparse_initializer.append(SparseTensorProto(values=values, indices=tensor, dims=[4]))


def add_constant(model: ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def add_list_of_tensors(model: ModelProto, tensor: TensorProto) -> None:
    attribute = model.graph.node.add(op_type="Identity").attribute.add(name="values")
    attribute.tensors.append(tensor)


def add_sparse_constant(model: ModelProto, tensor: TensorProto) -> None:
    attribute = model.graph.node.add(op_type="Constant").attribute.add(name="sparse_value")
    attribute.sparse_tensor.values.CopyFrom(tensor)


def add_subgraph(operation: str, attribute: str, depth: int = 1) -> Change:
    def change(model: ModelProto, tensor: TensorProto) -> None:
        graph = helper.make_graph([], "body", [], [], [tensor])
        for _ in range(depth):
            graph = helper.make_graph([helper.make_node(operation, [], ["y"], **{attribute: graph})], "body", [], [])
        model.graph.node.extend(graph.node)

    return change


def add_list_of_graphs(model: ModelProto, tensor: TensorProto) -> None:
    attribute = model.graph.node.add(op_type="Own").attribute.add(name="graphs")
    attribute.graphs.append(helper.make_graph([], "body", [], [], [tensor]))


def add_function(model: ModelProto, tensor: TensorProto) -> None:
    nodes = [helper.make_node("Constant", [], ["y"], value=tensor)]
    model.functions.append(helper.make_function("own", "Own", [], ["y"], nodes, []))


def add_function_default(model: ModelProto, tensor: TensorProto) -> None:
    function = model.functions.add(name="Own", domain="own")
    function.attribute_proto.append(helper.make_attribute("value", tensor))


def add_training(model: ModelProto, tensor: TensorProto) -> None:
    model.training_info.add().algorithm.initializer.append(tensor)


TENSOR_ADDERS: Mapping[str, Change] = {
    "initializer": add_initializer,
    "sparse values": add_sparse_values,
    "sparse indices": add_sparse_indices,
    "constant": add_constant,
    "list of tensors": add_list_of_tensors,
    "sparse constant": add_sparse_constant,
    "list of graphs": add_list_of_graphs,
    "function": add_function,
    "function default": add_function_default,
    "training": add_training,
    "if": add_subgraph("If", "then_branch"),
    "loop": add_subgraph("Loop", "body"),
    "scan": add_subgraph("Scan", "body"),
    "nested": add_subgraph("If", "else_branch", depth=9),
}


@pytest.mark.parametrize("place", TENSOR_ADDERS)
@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_external_weights_are_rejected(place: str, location: str, tmp_path: Path) -> None:
    model = ModelProto.FromString(small_embedder())
    TENSOR_ADDERS[place](model, external_tensor("w", location))
    path = tmp_path / "e.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PackIntegrityError, match=r"e\.onnx cannot be used: it keeps weights in another file"):
        open_session(path, "cpu")
    with pytest.raises(PackIntegrityError, match="keeps weights in another file"):
        NetworkFile(path, sha256_of(path), "batch").path()


@pytest.mark.parametrize("field", ["data_location", "external_data"])
def test_an_incomplete_reference_is_an_error(field: str) -> None:
    model = ModelProto.FromString(small_embedder())
    tensor = external_tensor("w")
    tensor.ClearField(field)
    add_initializer(model, tensor)
    with pytest.raises(PackIntegrityError, match="keeps weights in another file"):
        check_network_bytes(model.SerializeToString(), "e.onnx")


@pytest.mark.parametrize("tensor", [b"\x70\x02", b"\x72\x01\x01", b"\x70\x81\x80\x80\x80\x10", b"\x68\x00"])
def test_unusual_encodings_of_a_reference_are_an_error(tensor: bytes) -> None:
    graph = bytes([0x2A, len(tensor)]) + tensor
    with pytest.raises(PackIntegrityError, match="keeps weights in another file"):
        check_network_bytes(bytes([0x3A, len(graph)]) + graph, "e.onnx")


def test_a_compiled_network_is_an_error() -> None:
    model = ModelProto.FromString(small_embedder())
    model.graph.node.append(helper.make_node("EPContext", [], ["y"], domain="com.microsoft", ep_cache_context="../x"))
    with pytest.raises(PackIntegrityError, match="compiled for another device"):
        check_network_bytes(model.SerializeToString(), "e.onnx")


def test_all_messages_that_contain_tensors_are_visited() -> None:
    """Compare with the messages of the installed ``onnx``, because a later version may have tensors elsewhere."""
    paths: dict[str, dict[int, str]] = {}

    def reaches_tensor(message: Any, parents: frozenset[str]) -> bool:
        reaches = message.name == "TensorProto"
        for field in message.fields if message.name not in parents else ():
            inner = field.message_type
            if inner is not None and reaches_tensor(inner, parents | {message.name}):
                paths.setdefault(message.name, {})[field.number] = inner.name
                reaches = True
        return reaches or message.name in paths

    for _ in range(3):  # messages are nested in each other: repeat until nothing is added
        reaches_tensor(ModelProto.DESCRIPTOR, frozenset())
    assert paths == {name: fields for name, fields in MESSAGES.items() if fields}


def test_valid_networks_are_accepted(shared: Path, tmp_path: Path) -> None:
    embedded = [load_pack().folder / name for name in load_pack().manifest.files]
    for path in [*embedded, *sorted((shared / "models").rglob("*.onnx"))]:
        check_network(path)
    for data in (small_detector(), small_embedder()):
        check_network_bytes(data, "small.onnx")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x00", b"text, and no network", b"\x3a", b"\x3a\x05\x0a", b"\x08\x08", b"ORTM" * 9),
        b"\x3b\x3c" + small_embedder(),  # a group, which no ONNX file has
        b"\xba\x80\x80\x80\x10\x00",  # field 7, written with 36 bits: some readers drop the upper four
        b"\x3a\xff\xff\xff\xff\x0f",
        small_embedder()[:-5],
    ],
)
def test_data_of_another_format_is_an_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "e.onnx"
    path.write_bytes(data)
    with pytest.raises(PackIntegrityError, match="cannot be used"):
        check_network(path)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_network_or_an_error(data: bytes) -> None:
    with contextlib.suppress(PackIntegrityError):
        check_network_bytes(b"\x3a" + bytes([len(data) & 0x7F]) + data, "e.onnx")


def test_deeply_nested_graphs_are_an_error() -> None:
    data = b""
    for _ in range(40):  # graph, node, attribute
        for tag in (0x32, 0x2A, 0x0A):
            length = len(data)
            data = bytes([tag, *([length] if length < 128 else [length & 0x7F | 0x80, length >> 7])]) + data
    length = len(data)
    with pytest.raises(PackIntegrityError, match="nested more than 100 deep"):
        check_network_bytes(bytes([0x3A, length & 0x7F | 0x80, length >> 7]) + data, "e.onnx")
