"""Pictures and labels in an npz file, read without unpickling and without believing what its headers claim.

Two forms are read: ``images`` and ``labels`` (with ``splits``, ``groups`` and ``aligned`` if wished), and the one of
many tutorials, ``arr_0`` to ``arr_3``: training pictures and labels, test pictures and labels. Embeddings are read by
`facebank.evaluation.datasets.embedding_arrays`.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.datasets.checking import People, UnusableError, broken, shown, split_named
from facebank.evaluation.datasets.folders import title_of
from facebank.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 2 * 1024**3
"""Bytes of all arrays together, unpacked."""

_FORM = ("images", "labels", "splits", "groups", "aligned")
_TUTORIAL = ("arr_0", "arr_1", "arr_2", "arr_3")
_MOST_MEMBERS = 100
_LARGEST_HEADER = 10_000
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}
_HEADER = re.compile(
    r"\{'descr': '([|<>=]?[biuUSf][0-9]{1,9})', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\),? ?\}\s*"
)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError, RuntimeError)


def read_arrays(path: Path) -> Dataset:
    """Read pictures and labels from an npz.

    ``images`` is ``uint8`` of shape ``(N, H, W, 3)``, RGB; ``labels``, ``splits`` and ``groups`` are texts or whole
    numbers of shape ``(N,)``, an empty label being nobody named; ``aligned`` is one truth value: whether every picture
    is an aligned face already. Other arrays are left alone.

    Raises
    ------
    DatasetError
        It is no such file, it is damaged, or the arrays are too large or do not fit together.
    """
    with told(path):
        with zipfile.ZipFile(path) as archive:
            arrays = read_members(archive, (*_FORM, *_TUTORIAL))
        parts = list(_parts(arrays))
        return _dataset(path, parts, _aligned(arrays))


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raise `DatasetError` for whatever is wrong with an npz."""
    if not path.is_file():
        raise broken(path, "there is no such file")
    try:
        yield
    except UnusableError as error:
        raise broken(path, str(error)) from error
    except OSError as error:
        raise broken(path, f"it cannot be read: {error.strerror or shown(error)}") from error
    except (*_BROKEN, ValueError, TypeError) as error:
        raise broken(path, f"it is no npz, or a damaged one ({shown(error)})") from error


@dataclass(frozen=True, slots=True)
class _Part:
    """Pictures with what is said of each; `split` is that of all of them, where they are one."""

    images: NDArray[np.uint8]
    labels: list[str]
    splits: list[str]
    groups: list[str]


def _dataset(path: Path, parts: list[_Part], pick: Pick) -> Dataset:
    people, photos = People(), list[DatasetPhoto]()
    for part in parts:
        for place, image in enumerate(part.images):
            label, split = part.labels[place], part.splits[place]
            person = people.named(label) if label.strip() else None
            name = f"image {len(photos) + 1}"
            photos.append(DatasetPhoto(name, person, image, None, _split(name, split), printable(part.groups[place])))
    if not photos:
        raise UnusableError("it holds no pictures")
    return Dataset(title_of(path), tuple(photos), pick=pick, left_out=tuple(people.joined))


def _split(name: str, text: str) -> str | None:
    split = split_named(text)
    if split is None and text.strip():
        raise UnusableError(f"the split of {name} is '{shown(text)}', and should be train, validation or test")
    return split


def _parts(arrays: Mapping[str, NDArray[Any]]) -> Iterator[_Part]:
    if "images" in arrays and "labels" in arrays:
        images = _images(arrays["images"], "images")
        count = len(images)
        texts = [texts_of(arrays[name], name, count) if name in arrays else [""] * count for name in _FORM[1:4]]
        yield _Part(images, *texts)
    elif all(name in arrays for name in _TUTORIAL):
        for pictures, labels, split in (("arr_0", "arr_1", "train"), ("arr_2", "arr_3", "test")):
            images = _images(arrays[pictures], pictures)
            count = len(images)
            yield _Part(images, texts_of(arrays[labels], labels, count), [split] * count, [""] * count)
    else:
        raise UnusableError("it holds neither the arrays images and labels nor arr_0 to arr_3")


def _images(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape[1:]:
        raise UnusableError(f"the array {name} is {array.dtype} of shape {array.shape}; uint8 (N, H, W, 3) is needed")
    return array


def texts_of(array: NDArray[Any], name: str, count: int) -> list[str]:
    """Return an array of texts or whole numbers as texts; raises `UnusableError` for any other."""
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise UnusableError(f"the array {name} is {array.dtype} of shape {array.shape}; texts or numbers are needed")
    if len(array) != count:
        raise UnusableError(f"the array {name} has {len(array):,} values for {count:,} pictures")
    if array.dtype.kind == "S":
        return [bytes(text).decode("utf-8") for text in array]
    return [str(value) for value in array.tolist()]


def _aligned(arrays: Mapping[str, NDArray[Any]]) -> Pick:
    if "aligned" not in arrays:
        return Pick.LARGEST
    value = arrays["aligned"]
    if value.dtype != np.bool_ or value.size != 1:
        raise UnusableError("the array aligned is not one truth value")
    return Pick.ALIGNED if bool(value.reshape(-1)[0]) else Pick.LARGEST


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """List the arrays of an npz by name."""
    return [member.filename.removesuffix(".npy") for member in archive.infolist()]


def read_members(archive: zipfile.ZipFile, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays that have one of some names.

    Their sizes are checked together before any is unpacked; raises `UnusableError`.
    """
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise UnusableError(f"it holds {len(members):,} files, and {_MOST_MEMBERS} are enough")
    known = [member for member in members if member.filename.removesuffix(".npy") in names]
    if len({member.filename for member in known}) != len(known):
        raise UnusableError("it holds an array twice")
    total = sum(member.file_size for member in known)
    if total > LARGEST:
        raise UnusableError(f"its arrays have {total:,} bytes unpacked, and may have {LARGEST:,}")
    arrays = {}
    for member in known:
        name = member.filename.removesuffix(".npy")
        with archive.open(member) as stream:
            arrays[name] = _read_array(stream, name, member.file_size)
    return arrays


def _read_array(stream: IO[bytes], name: str, size: int) -> NDArray[Any]:
    shape, in_columns, dtype = _header(stream, name)
    length = math.prod(shape) * dtype.itemsize
    if not 0 <= size - length <= _LARGEST_HEADER + 16:
        raise UnusableError(f"the array {name} claims another size than it has")
    data = stream.read(length)
    if len(data) != length or stream.read(1):
        raise UnusableError(f"the array {name} is partial")
    array: NDArray[Any] = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape, order="F" if in_columns else "C")


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    start = stream.read(len(_MAGIC) + 2)
    width = _LENGTH_BYTES.get(start[-2:])
    if not start.startswith(_MAGIC) or width is None:
        raise UnusableError(f"the array {name} is no array of NumPy, or of a version that is not read")
    header = stream.read(min(_LARGEST_HEADER, int.from_bytes(stream.read(width), "little")))
    # what NumPy writes is known, so nothing from outside is parsed as Python
    stated = _HEADER.fullmatch(header.decode("latin-1"))
    if stated is None:
        raise UnusableError(f"the array {name} holds Python objects or others that are not read")
    shape = tuple(int(length.strip().rstrip("L")) for length in stated[3].split(",") if length.strip())
    return shape, stated[2] == "True", np.dtype(stated[1])
