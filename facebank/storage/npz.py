"""Arrays in npz files, read without pickle: sizes, types and shapes are checked before anything is allocated.

Members are stored uncompressed, so that no file can claim to hold more than its own size.
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

_HEADER = 1024  # bytes before an array's values, at most
_MAGIC = b"\x93NUMPY\x01\x00"
_ZIP_OVERHEAD = 16 * 1024
_BROKEN = (zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError)


def write_arrays(stream: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz file without compression."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def read_arrays(stream: IO[bytes], expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, NDArray[Any]]:
    """Read an npz file that must hold exactly the expected arrays.

    Raises `InvalidValueError`: it is no npz file, or holds anything else.

    Parameters
    ----------
    stream
        The open file.
    expected
        Type, such as ``"<f4"``, and shape by name.
    """
    sizes = {name: np.dtype(kind).itemsize * prod(shape) for name, (kind, shape) in expected.items()}
    if os.fstat(stream.fileno()).st_size > sum(sizes.values()) + _ZIP_OVERHEAD:
        raise InvalidValueError("it is larger than what it should hold")
    try:
        with zipfile.ZipFile(stream) as archive:
            _check_names(archive, expected)
            return {name: _read_array(archive, name, sizes[name], *expected[name]) for name in expected}
    except _BROKEN as error:
        raise InvalidValueError(str(error).removesuffix(".")) from error


def _check_names(archive: zipfile.ZipFile, expected: Iterable[str]) -> None:
    if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in expected):
        raise InvalidValueError("it holds other arrays than it should")


def _read_array(archive: zipfile.ZipFile, name: str, size: int, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or not size <= member.file_size <= size + _HEADER:
        raise InvalidValueError(f"its array '{name}' is compressed or has another size than it should")
    with archive.open(member) as data:
        start = data.read(len(_MAGIC) + 2)
        header = data.read(int.from_bytes(start[-2:], "little"))
        # NumPy's header is known to the letter, so that nothing from outside is ever parsed as Python.
        stated = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        if not start.startswith(_MAGIC) or header.strip() != stated.encode("ascii"):
            raise InvalidValueError(f"its array '{name}' has another type or shape than it should")
        values = data.read()  # to its end, where the archive checks its own sum
    if len(values) != size:
        raise InvalidValueError(f"its array '{name}' is partial")
    return np.frombuffer(values, dtype=kind).reshape(shape)
