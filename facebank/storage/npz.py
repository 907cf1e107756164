"""Reading and writing of npz files without pickle; sizes, types and shapes are checked before allocation.

Arrays are stored uncompressed: a file cannot declare more data than its own size.
"""

from __future__ import annotations

import os
import zipfile
from math import prod
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_MAX_HEADER = 1024  # maximum bytes before an array's values
_MAGIC = b"\x93NUMPY\x01\x00"
_ZIP_OVERHEAD = 16 * 1024
_BROKEN = (zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError)


def write_arrays(stream: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an npz file, uncompressed."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def read_arrays(stream: IO[bytes], expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file by name; it must contain exactly the expected ones.

    Parameters
    ----------
    stream
        The open file, binary.
    expected
        dtype, such as ``"<f4"``, and shape by array name.

    Raises
    ------
    InvalidValueError
        It is not an npz file, or has other content.
    """
    sizes = {name: np.dtype(dtype).itemsize * prod(shape) for name, (dtype, shape) in expected.items()}
    if os.fstat(stream.fileno()).st_size > sum(sizes.values()) + _ZIP_OVERHEAD:
        raise InvalidValueError("it is larger than expected")
    try:
        with zipfile.ZipFile(stream) as archive:
            _check_names(archive, expected)
            return {name: _read_array(archive, name, sizes[name], *expected[name]) for name in expected}
    except _BROKEN as error:
        raise InvalidValueError(str(error).removesuffix(".")) from error


def _check_names(archive: zipfile.ZipFile, expected: Iterable[str]) -> None:
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in expected):
        raise InvalidValueError("it does not contain exactly the expected arrays")


def _read_array(archive: zipfile.ZipFile, name: str, size: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or not size <= member.file_size <= size + _MAX_HEADER:
        raise InvalidValueError(f"its array '{name}' is compressed or has an unexpected size")
    with archive.open(member) as data:
        start = data.read(len(_MAGIC) + 2)
        header = data.read(int.from_bytes(start[-2:], "little"))
        # The expected header is compared literally, because NumPy parses headers as Python.
        expected = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
        if not start.startswith(_MAGIC) or header.strip() != expected.encode("ascii"):
            raise InvalidValueError(f"its array '{name}' has an unexpected type or shape")
        values = data.read()  # reading to the end verifies the archive's checksum
    if len(values) != size:
        raise InvalidValueError(f"its array '{name}' is partial")
    return np.frombuffer(values, dtype=dtype).reshape(shape)
