"""ONNX files looked through before anything runs them: a network is one file, and its hash covers all of it.

A tensor of an ONNX network may say that its numbers are in another file, which no hash in ``pack.toml`` covers and
which older runtimes read from anywhere on the disk. Tensors are in initializers, sparse initializers and attributes of
nodes, these in nested graphs, model-local functions and training information. The file is walked as protobuf wire
format, without reading the numbers themselves: a few milliseconds for any network, and no memory.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, TypeAlias

from facebank.errors import PackIntegrityError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    Buffer: TypeAlias = bytes | mmap.mmap

MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
"""The messages on the way to a tensor: field number to the kind of message that the field holds."""

_OP_TYPE, _EXTERNAL_DATA, _DATA_LOCATION = 4, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_FIELDS = 5_000_000
_MOST_BYTES = (1 << 31) - 1
_DEEPEST = 100  # as protobuf's own readers
_NO_NETWORK = "it is no ONNX network, or a partial one"


class _UnsafeNetworkError(Exception):
    """Says what is wrong with the file."""


def check_network(path: Path) -> None:
    """Raise unless a file is an ONNX network that holds everything it needs.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    PackIntegrityError
        It keeps weights in another file, is no ONNX network, or cannot be read.
    """
    label = printable(str(path))
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_network_bytes(data, label)
    except ValueError as error:  # an empty file cannot be mapped
        raise _refused(label, "it is empty") from error
    except OSError as error:
        raise PackIntegrityError(f"{label} cannot be read ({error.strerror}): install the pack again") from error


def check_network_bytes(data: Buffer, label: str) -> None:
    """Check the bytes of a network; as `check_network`.

    Parameters
    ----------
    data
        The ONNX file.
    label
        The file's name, for messages.
    """
    try:
        _walk(data)
    except _UnsafeNetworkError as error:
        raise _refused(label, str(error)) from error
    except IndexError as error:
        raise _refused(label, _NO_NETWORK) from error


def _refused(label: str, reason: str) -> PackIntegrityError:
    return PackIntegrityError(
        f"{label} is not used: {reason}; a pack needs whole ONNX networks, each in one file with its weights in it"
    )


def _walk(data: Buffer) -> None:
    """Visit every message that may hold a tensor."""
    if len(data) > _MOST_BYTES:
        raise _UnsafeNetworkError("it is larger than 2 GiB")
    fields = 0
    graph = False
    waiting = [("ModelProto", 0, len(data), 0)]
    while waiting:
        kind, place, end, depth = waiting.pop()
        if depth > _DEEPEST:
            raise _UnsafeNetworkError(f"its graphs are nested more than {_DEEPEST} deep")
        held = MESSAGES[kind]
        graph |= kind == "GraphProto"
        while place < end:
            fields += 1
            if fields > _MOST_FIELDS:
                raise _UnsafeNetworkError(f"it has more than {_MOST_FIELDS:,} parts")
            number, wire, value, place = _field(data, place, end)
            if wire == _BYTES and number in held:
                waiting.append((held[number], value, place, depth + 1))
            elif kind == "TensorProto":
                _check_tensor_field(number, wire, value)
            elif kind == "NodeProto" and number == _OP_TYPE and data[value:place] == b"EPContext":
                raise _UnsafeNetworkError("it is compiled for another device, and may keep its weights in another file")
    if not graph:
        raise _UnsafeNetworkError(_NO_NETWORK)


def _check_tensor_field(number: int, wire: int, value: int) -> None:
    if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and (wire != _VARINT or value)):
        raise _UnsafeNetworkError("it keeps weights in another file, which the pack's hashes do not cover")


def _field(data: Buffer, place: int, end: int) -> tuple[int, int, int, int]:
    """Read a field: number, wire type, its number or where its bytes begin, and where it ends."""
    tag, place = _varint(data, place, 5)
    number, wire = tag >> 3, tag & 7
    value = place
    if wire == _VARINT:
        value, after = _varint(data, place, 10)
    elif wire == _BYTES:
        length, value = _varint(data, place, 5)
        after = value + length
    elif wire in {_FIXED32, _FIXED64}:
        after = place + (4 if wire == _FIXED32 else 8)
    else:
        raise _UnsafeNetworkError(_NO_NETWORK)
    if not number or tag >> 32 or after > end:
        raise _UnsafeNetworkError(_NO_NETWORK)
    return number, wire, value, after


def _varint(data: Buffer, place: int, longest: int) -> tuple[int, int]:
    """Read a number of variable length; readers differ on what to do with longer ones, so they are refused."""
    number = 0
    for shift in range(0, 7 * longest, 7):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise _UnsafeNetworkError(_NO_NETWORK)
