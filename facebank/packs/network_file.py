"""Validation of ONNX files before they are run, and the cache of prepared and tuned networks.

A tensor of an ONNX network may refer to another file for its numbers, which the hash in ``pack.toml`` does not cover
and which older runtimes read from anywhere on the disk. `check_network` refuses such networks. Tensors are in
initializers, sparse initializers and attributes of nodes, also in nested graphs, model-local functions and training
information; the check walks the protobuf wire format and skips the numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from facebank.errors import PackIntegrityError, StorageError
from facebank.storage.files import is_file, sha256_of, write_file
from facebank.storage.paths import cache_folder
from facebank.storage.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from facebank.packs.graph import DynamicAxes

    Buffer: TypeAlias = bytes | mmap.mmap

PREPARATION = 3
"""Version of `facebank.packs.graph`; networks cached by other versions are not used."""

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
"""Protobuf messages that lead to tensors: for each, the kinds of nested messages by field number."""

_OP_TYPE, _EXTERNAL_DATA, _DATA_LOCATION = 4, 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_FIELDS = 5_000_000
_MAX_BYTES = (1 << 31) - 1
_MAX_DEPTH = 100  # the limit of protobuf's own readers
_NOT_A_NETWORK = "it is not a complete ONNX network"
_CACHE_ADVICE = "free some space, or set FACEBANK_CACHE to a folder that can be written"
_INSTALL_AGAIN = "install the pack again (if it is the embedded pack, reinstall facebank)"


class _UnsafeNetworkError(Exception):
    """A file that cannot be used; the message is the reason."""


def check_network(path: Path) -> None:
    """Raise `PackIntegrityError` unless a file is a readable ONNX network that contains all of its weights."""
    label = printable(str(path))
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_network_bytes(data, label)
    except ValueError as error:  # an empty file cannot be mapped
        raise _refusal(label, "it is empty") from error
    except OSError as error:
        raise PackIntegrityError(f"{label} cannot be read ({error.strerror}): install the pack again") from error


def check_network_bytes(data: Buffer, label: str) -> None:
    """Check the bytes of a network as `check_network` does; `label` names it in messages."""
    try:
        _walk(data)
    except _UnsafeNetworkError as error:
        raise _refusal(label, str(error)) from error
    except IndexError as error:
        raise _refusal(label, _NOT_A_NETWORK) from error


def verify_file(path: Path, sha256: str) -> Path:
    """Return the path of a file; raises `PackIntegrityError` if its SHA-256 differs or it cannot be read."""
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise _unreadable_error(path, error) from error
    if digest != sha256:
        raise _altered_error(path)
    return path


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A network of a pack, and its rewritten forms: equal networks with other nodes.

    OpenVINO and CUDA `load` the form for all runtimes, ONNX Runtime on a CPU the form of `load_tuned`. `path` is for
    callers that need a file.

    Rewritten forms are cached. There is no lock: cached files are renamed into place, and their names contain the
    source's hash, the version of the rewriting and their own hash, so that concurrent processes write equal files.

    Attributes
    ----------
    source, sha256
        The published ONNX file and its hash in hex; it is read only if the cache does not have the form.
    dynamic
        Axes of the input that preparation makes dynamic; None to use the file as it is published.
    """

    source: Path
    sha256: str
    dynamic: DynamicAxes | None

    def path(self) -> Path:
        """Return the path of the form for all runtimes.

        Raises `PackIntegrityError` (the source is missing, altered or cannot be prepared) or `StorageError` (the cache
        cannot be written).
        """
        if self.dynamic is None:
            return verify_file(self.source, self.sha256)
        prefix = self._cache_prefix(self.dynamic)
        return _find_cached(prefix) or _write_to_cache(prefix, self._read_prepared())

    def load(self) -> Path | bytes:
        """Return the path of the form for all runtimes, or its content if the cache cannot be written."""
        if self.dynamic is None:
            return self.path()
        prefix = self._cache_prefix(self.dynamic)
        return _find_cached(prefix) or _cache_or_return(prefix, self._read_prepared())

    def load_tuned(self) -> Path | bytes:
        """Return the fastest form for ONNX Runtime on this CPU, as `load` does; its outputs differ only by rounding."""
        processor = _processor_kind()
        prefix = self._cache_prefix(f"{self.dynamic or 'published'}-{processor}")
        cached = _find_cached(prefix)
        if cached is not None:
            return cached
        nothing_to_tune = prefix.with_name(f"{prefix.name}none")
        if is_file(nothing_to_tune):
            return self.load()
        prepared = self._read_prepared()
        tuned = _tune(prepared, processor)
        if tuned is not None:
            return _cache_or_return(prefix, tuned)
        with contextlib.suppress(StorageError):  # the next process looks for slow nodes again
            write_file(nothing_to_tune, b"", advice=_CACHE_ADVICE)
        return self.source if self.dynamic is None else _cache_or_return(self._cache_prefix(self.dynamic), prepared)

    def _cache_prefix(self, form: str) -> Path:
        return cache_folder() / "prepared" / f"{self.sha256[:32]}-{form}-v{PREPARATION}-"

    def _read_prepared(self) -> bytes:
        try:
            data = self.source.read_bytes()
        except OSError as error:
            raise _unreadable_error(self.source, error) from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise _altered_error(self.source)
        label = printable(str(self.source))
        check_network_bytes(data, label)
        if self.dynamic is None:
            return data
        from facebank.packs.graph import prepare_network

        return prepare_network(data, self.dynamic, label)


def _tune(network: bytes, processor: str) -> bytes | None:
    if b"PRelu" not in network:  # saves the memory and time of parsing it
        return None
    from facebank.packs.graph import tune_network

    return tune_network(network, in_blocks=processor == "x86")


def _processor_kind() -> str:
    """Return ``x86`` or ``other``, which differ in the nodes that are fast."""
    return "x86" if platform.machine().lower() in {"x86_64", "amd64"} else "other"


def _find_cached(prefix: Path) -> Path | None:
    for cached in _cached_files(prefix, "*.onnx"):
        with contextlib.suppress(OSError):
            if sha256_of(cached) == cached.stem.removeprefix(prefix.name):
                return cached
        with contextlib.suppress(OSError):
            cached.unlink()
    return None


def _cache_or_return(prefix: Path, network: bytes) -> Path | bytes:
    """Return the path of a network written to the cache, or the network if the cache cannot be written."""
    try:
        return _write_to_cache(prefix, network)
    except StorageError:
        return network  # the next process makes it again


def _write_to_cache(prefix: Path, network: bytes) -> Path:
    target = prefix.with_name(f"{prefix.name}{hashlib.sha256(network).hexdigest()}.onnx")
    write_file(target, network, advice=_CACHE_ADVICE)
    source = prefix.with_name(prefix.name.partition("-")[0])
    for path in _cached_files(source, "-*"):
        if f"-v{PREPARATION}-" not in path.name:
            with contextlib.suppress(OSError):
                path.unlink()
    return target


def _cached_files(prefix: Path, pattern: str) -> list[Path]:
    """Return the cache's files whose names are `prefix` and a pattern, sorted; none if the cache cannot be read."""
    try:
        return sorted(prefix.parent.glob(f"{prefix.name}{pattern}"))
    except OSError:
        return []


def _unreadable_error(path: Path, error: OSError) -> PackIntegrityError:
    reason = error.strerror or type(error).__name__
    return PackIntegrityError(f"{printable(str(path))} cannot be read ({reason}): {_INSTALL_AGAIN}")


def _altered_error(path: Path) -> PackIntegrityError:
    return PackIntegrityError(
        f"{printable(str(path))} is partial or altered (its SHA-256 is not the one in pack.toml): {_INSTALL_AGAIN}"
    )


def _refusal(label: str, reason: str) -> PackIntegrityError:
    return PackIntegrityError(
        f"{label} cannot be used: {reason}; a pack needs ONNX networks in one file each, including all weights"
    )


def _walk(data: Buffer) -> None:
    """Visit all messages that may contain a tensor; raises `_UnsafeNetworkError`."""
    if len(data) > _MAX_BYTES:
        raise _UnsafeNetworkError("it is larger than 2 GiB")
    fields = 0
    has_graph = False
    pending = [("ModelProto", 0, len(data), 0)]
    while pending:
        message, offset, end, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise _UnsafeNetworkError(f"its graphs are nested more than {_MAX_DEPTH} deep")
        nested = MESSAGES[message]
        has_graph |= message == "GraphProto"
        while offset < end:
            fields += 1
            if fields > _MAX_FIELDS:
                raise _UnsafeNetworkError(f"it has more than {_MAX_FIELDS:,} parts")
            number, wire, value, offset = _read_field(data, offset, end)
            if wire == _BYTES and number in nested:
                pending.append((nested[number], value, offset, depth + 1))
            elif message == "TensorProto":
                _check_tensor_field(number, wire, value)
            elif message == "NodeProto" and number == _OP_TYPE and data[value:offset] == b"EPContext":
                raise _UnsafeNetworkError("it is compiled for another device, and may keep its weights in another file")
    if not has_graph:
        raise _UnsafeNetworkError(_NOT_A_NETWORK)


def _check_tensor_field(number: int, wire: int, value: int) -> None:
    if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and (wire != _VARINT or value)):
        raise _UnsafeNetworkError("it keeps weights in another file, which the pack's hashes do not cover")


def _read_field(data: Buffer, offset: int, end: int) -> tuple[int, int, int, int]:
    """Return a field's number, wire type, value (for bytes, their offset) and end."""
    tag, offset = _read_varint(data, offset, 5)
    number, wire = tag >> 3, tag & 7
    value = offset
    if wire == _VARINT:
        value, after = _read_varint(data, offset, 10)
    elif wire == _BYTES:
        length, value = _read_varint(data, offset, 5)
        after = value + length
    elif wire in {_FIXED32, _FIXED64}:
        after = offset + (4 if wire == _FIXED32 else 8)
    else:
        raise _UnsafeNetworkError(_NOT_A_NETWORK)
    if not number or tag >> 32 or after > end:
        raise _UnsafeNetworkError(_NOT_A_NETWORK)
    return number, wire, value, after


def _read_varint(data: Buffer, offset: int, max_bytes: int) -> tuple[int, int]:
    """Return a varint and its end; more than `max_bytes` bytes are refused, because readers disagree on them."""
    number = 0
    for shift in range(0, 7 * max_bytes, 7):
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, offset
    raise _UnsafeNetworkError(_NOT_A_NETWORK)
