"""The files of an export: written privately, and read with every size and hash checked before it is believed.

An export is a folder::

    manifest.json    format, pack, counts, variants; size and SHA-256 of every other file
    people.jsonl     {"name", "created_at", "samples", "born", "note"}, a line a person
    samples.jsonl    {"sample", "person", "box", "landmarks", ...}, a line a sample
    vectors.npz      sample_ids (K,) int64, variants (K,) int16, matrix (K, dimension) float32
    thumbnails.npz   sample_ids (T,) int64, ends (T,) int64, data (B,) uint8; only where there are thumbnails

The arrays are stored uncompressed, so that no file can claim more than it holds.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facebank.errors import ExchangeError, StorageError
from facebank.gallery.records import PackIdentity
from facebank.gallery.store.codec import LARGEST_DIMENSION, hex_digest, variant_name
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MANIFEST, PEOPLE, SAMPLES = "manifest.json", "people.jsonl", "samples.jsonl"
VECTORS, THUMBNAILS = "vectors.npz", "thumbnails.npz"

_FORMAT, _VERSION = "facebank-export", 1
_LARGEST_MANIFEST = 64 * 1024
_LARGEST_FILE = 16 * 1024**3
_LONGEST_LINE = 64 * 1024 + 4096  # bytes; a path may take 32 KiB, and its escapes twice that
_MOST = 10_000_000  # people, samples or vectors
_NPY_HEADER = 1024
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_ZIP_OVERHEAD = 16 * 1024
_READ_AT_ONCE = 1024 * 1024
_BROKEN = (zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, RecursionError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Seal:
    """Size in bytes and SHA-256 in hex that a file must have."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says of itself.

    Attributes
    ----------
    pack
        The pack that made its embeddings.
    people, samples, vectors, thumbnails, thumbnail_bytes
        How many there are.
    variants
        The variants that ``vectors.npz`` counts by number.
    files
        Every other file.
    """

    pack: PackIdentity
    people: int
    samples: int
    vectors: int
    thumbnails: int
    thumbnail_bytes: int
    variants: tuple[str, ...]
    files: Mapping[str, Seal]


# Writing --------------------------------------------------------------------------------------------------------


def write_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write JSON Lines that only their owner can read."""
    with _private(path) as stream:
        for record in records:
            stream.write(json.dumps(record, allow_nan=False).encode("ascii") + b"\n")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz without compression that only its owner can read."""
    with _private(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def write_manifest(folder: Path, pack: PackIdentity, counts: Mapping[str, int], variants: Iterable[str]) -> None:
    """Seal an export: write the manifest over the files that are in the folder."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(stream)}
    manifest = {
        "format": _FORMAT,
        "version": _VERSION,
        "pack": {"name": pack.name, "digest": pack.digest, "dimension": pack.dimension},
        "counts": dict(counts),
        "variants": list(variants),
        "files": files,
    }
    with _private(folder / MANIFEST) as stream:
        stream.write(json.dumps(manifest, indent=2).encode("ascii") + b"\n")


@contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), "w+b") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


# Reading --------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> Manifest:
    """Read and check an export's manifest; raises `ExchangeError`."""
    with _telling(folder, MANIFEST), _regular(folder / MANIFEST) as stream:
        data = stream.read(_LARGEST_MANIFEST + 1)
        if len(data) > _LARGEST_MANIFEST:
            raise InvalidValueError("it is too large")
        record = _json(data)
        if record["format"] != _FORMAT:
            raise InvalidValueError("it is no export of facebank")
        if record["version"] != _VERSION:
            raise InvalidValueError(f"its version is {record['version']!r}, and this facebank reads {_VERSION}")
        counts = record["counts"]
        pack = record["pack"]
        manifest = Manifest(
            pack=PackIdentity(text(pack["name"]), text(pack["digest"]), whole(pack["dimension"], LARGEST_DIMENSION)),
            people=whole(counts["people"], _MOST),
            samples=whole(counts["samples"], _MOST),
            vectors=whole(counts["vectors"], _MOST),
            thumbnails=whole(counts["thumbnails"], _MOST),
            thumbnail_bytes=whole(counts["thumbnail_bytes"], _LARGEST_FILE),
            variants=tuple(variant_name(name) for name in record["variants"]),
            files={
                name: Seal(whole(seal["bytes"], _LARGEST_FILE), hex_digest(seal["sha256"]))
                for name, seal in record["files"].items()
            },
        )
        if set(manifest.files) != {PEOPLE, SAMPLES, VECTORS} | ({THUMBNAILS} if manifest.thumbnails else set()):
            raise InvalidValueError("it lists other files than an export has")
        return manifest


@contextmanager
def checked(folder: Path, name: str, manifest: Manifest) -> Iterator[IO[bytes]]:
    """Open a file of an export once its size and hash are right; whatever is wrong inside is an `ExchangeError`."""
    with _telling(folder, name):
        seal = manifest.files[name]
        with _regular(folder / name) as stream:
            if os.fstat(stream.fileno()).st_size != seal.size or _sha256(stream) != seal.sha256:
                raise InvalidValueError("it is partial or was altered")
            stream.seek(0)
            yield stream


def read_lines(stream: IO[bytes], count: int) -> Iterator[dict[str, Any]]:
    """Yield the records of a file of JSON Lines that must hold `count` of them."""
    for _ in range(count):
        line = stream.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise InvalidValueError("it has fewer lines than it should, or too long ones")
        yield _json(line)
    if stream.read(1):
        raise InvalidValueError("it has more lines than it should")


def read_arrays(stream: IO[bytes], expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, NDArray[Any]]:
    """Read an npz that must hold exactly the arrays expected, without ever unpickling.

    Parameters
    ----------
    stream
        The file.
    expected
        Type (such as ``"<f4"``) and shape by name; nothing is allocated before the file's own statements agree.
    """
    sizes = {name: np.dtype(kind).itemsize * _product(shape) for name, (kind, shape) in expected.items()}
    if os.fstat(stream.fileno()).st_size > sum(sizes.values()) + _ZIP_OVERHEAD:
        raise InvalidValueError("it is larger than what it should hold")
    with zipfile.ZipFile(stream) as archive:
        if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in expected):
            raise InvalidValueError("it holds other arrays than it should")
        return {name: _read_array(archive, name, sizes[name], *expected[name]) for name in expected}


def whole(value: object, most: int) -> int:
    """Return a whole number from 0 to `most`; raises `InvalidValueError` for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where a whole number up to {most} belongs")
    return value


def real(value: object) -> float:
    """Return a finite number; raises `InvalidValueError` for anything else."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where a number belongs")
    return float(value)


def yes_or_no(value: object) -> bool:
    """Return a truth value; raises `InvalidValueError` for anything else."""
    if not isinstance(value, bool):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where true or false belongs")
    return value


def text(value: object) -> str:
    """Return a text; raises `InvalidValueError` for anything else."""
    if not isinstance(value, str):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where text belongs")
    return value


def _read_array(archive: zipfile.ZipFile, name: str, size: int, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or not size <= member.file_size <= size + _NPY_HEADER:
        raise InvalidValueError(f"its array '{name}' is compressed or has another size than it should")
    with archive.open(member) as data:
        start = data.read(len(_NPY_MAGIC) + 2)
        header = data.read(int.from_bytes(start[-2:], "little"))
        # What NumPy writes is known to the letter, so nothing that comes from outside is ever parsed as Python.
        stated = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        if not start.startswith(_NPY_MAGIC) or header.strip() != stated.encode("ascii"):
            raise InvalidValueError(f"its array '{name}' has another type or shape than it should")
        values = data.read()  # to its end, where the archive checks its own sum
    if len(values) != size:
        raise InvalidValueError(f"its array '{name}' is partial")
    return np.frombuffer(values, dtype=kind).reshape(shape)


@contextmanager
def _telling(folder: Path, name: str) -> Iterator[None]:
    file = printable(str(folder / name))
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ExchangeError(f"{printable(str(folder))} is no whole export: {name} is missing.") from None
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        raise ExchangeError(f"{file} cannot be imported: {printable(str(error))} is missing.") from error
    except (*_BROKEN, ValueError, TypeError, AttributeError) as error:
        raise ExchangeError(f"{file} cannot be imported: {printable(str(error)).removesuffix('.')}.") from error


@contextmanager
def _regular(path: Path) -> Iterator[IO[bytes]]:
    if not stat.S_ISREG(path.lstat().st_mode):
        raise InvalidValueError("it is no file")
    with path.open("rb") as stream:
        yield stream


def _json(data: bytes) -> dict[str, Any]:
    record = json.loads(data, parse_constant=_refuse_constant)
    if not isinstance(record, dict):
        raise InvalidValueError("it holds something else than it should")
    return record


def _refuse_constant(constant: str) -> None:
    raise InvalidValueError(f"it holds {constant}, which is no number")


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(_READ_AT_ONCE):
        digest.update(block)
    return digest.hexdigest()


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
