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

import json
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from facebank.errors import ExchangeError, StorageError
from facebank.gallery.records import PackIdentity
from facebank.gallery.store.codec import LARGEST_DIMENSION, variant_name
from facebank.storage.files import sha256_of
from facebank.storage.text import printable
from facebank.storage.values import InvalidValueError, between, hex_digest, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MANIFEST, PEOPLE, SAMPLES = "manifest.json", "people.jsonl", "samples.jsonl"
VECTORS, THUMBNAILS = "vectors.npz", "thumbnails.npz"

_FORMAT, _VERSION = "facebank-export", 1
_LARGEST_MANIFEST = 64 * 1024
_LARGEST_FILE = 16 * 1024**3
_LONGEST_LINE = 64 * 1024 + 4096  # bytes; a path may take 32 KiB, and its escapes twice that
_MOST = 10_000_000  # people, samples or vectors


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
    with private_file(path) as stream:
        for record in records:
            stream.write(json.dumps(record, allow_nan=False).encode("ascii") + b"\n")


def write_manifest(folder: Path, pack: PackIdentity, counts: Mapping[str, int], variants: Iterable[str]) -> None:
    """Seal an export: write the manifest over the files that are in the folder."""
    files = {}
    for path in sorted(folder.iterdir()):
        files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    manifest = {
        "format": _FORMAT,
        "version": _VERSION,
        "pack": {"name": pack.name, "digest": pack.digest, "dimension": pack.dimension},
        "counts": dict(counts),
        "variants": list(variants),
        "files": files,
    }
    with private_file(folder / MANIFEST) as stream:
        stream.write(json.dumps(manifest, indent=2).encode("ascii") + b"\n")


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a new file that only its owner can read, to the disk when the ``with`` block ends."""
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
            pack=PackIdentity(
                text(pack["name"]), text(pack["digest"]), between(pack["dimension"], 0, LARGEST_DIMENSION)
            ),
            people=between(counts["people"], 0, _MOST),
            samples=between(counts["samples"], 0, _MOST),
            vectors=between(counts["vectors"], 0, _MOST),
            thumbnails=between(counts["thumbnails"], 0, _MOST),
            thumbnail_bytes=between(counts["thumbnail_bytes"], 0, _LARGEST_FILE),
            variants=tuple(variant_name(name) for name in record["variants"]),
            files={
                name: Seal(between(seal["bytes"], 0, _LARGEST_FILE), hex_digest(seal["sha256"]))
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
            if os.fstat(stream.fileno()).st_size != seal.size or sha256_of(stream) != seal.sha256:
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


def yes_or_no(value: object) -> bool:
    """Return a truth value; raises `InvalidValueError` for anything else."""
    if not isinstance(value, bool):
        raise InvalidValueError(f"it holds {str(value)[:40]!r} where true or false belongs")
    return value


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
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
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
