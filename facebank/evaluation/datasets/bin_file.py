"""InsightFace's ``.bin`` files of face pairs, read without unpickling.

Such a file is a pickle of ``(images, same)``: the bytes of image files, two per pair, and whether each pair shows one
person. Loading a pickle can execute code, so `pickletools.genops` is used to list its opcodes: those that build lists,
tuples, bytes and booleans are interpreted here, and any other raises an error. Nothing is imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pair, Pick
from facebank.evaluation.datasets.checking import UnusableEntryError, file_error, shorten
from facebank.evaluation.datasets.folders import dataset_title
from facebank.storage.files import read_reason

MAX_FILE = 2 * 1024**3
"""Largest file, in bytes."""
MAX_IMAGE = 16 * 1024**2
"""Largest image, in bytes."""
MAX_IMAGES = 200_000
"""Largest number of images."""

_MAX_OPCODES = 10 * MAX_IMAGES  # protocol 2 needs fewer than ten opcodes per image
_MAX_LINE = 1024
_FOLDS = 10


def read_bin(path: Path) -> Dataset:
    """Return the pairs of aligned faces in a ``.bin`` file, a pickle of protocol 2 to 5; its photos are unlabeled.

    As in InsightFace's evaluation, consecutive pairs form ten folds whose lengths differ by at most one; fewer than
    twenty pairs are one fold. Raises `DatasetError` if the file cannot be read or has another content.
    """
    try:
        if not path.is_file():
            raise file_error(path, "no such file")
        if path.stat().st_size > MAX_FILE:
            raise file_error(path, f"exceeds the limit of {MAX_FILE:,} bytes")
        with path.open("rb") as stream:
            images, same = parse_bin(stream)
    except UnusableEntryError as error:
        raise file_error(path, f"not a face verification file: {error}") from error
    except OSError as error:
        raise file_error(path, f"cannot be read: {read_reason(error)}") from error
    except ValueError as error:
        raise file_error(path, "not a valid path") from error
    photos = tuple(DatasetPhoto(f"image {number}", None, data) for number, data in enumerate(images, start=1))
    pairs = tuple(
        Pair(2 * index, 2 * index + 1, is_same, fold)
        for index, (is_same, fold) in enumerate(zip(same, _folds(len(same)), strict=True))
    )
    return Dataset(dataset_title(path), photos, pairs, Pick.ALIGNED)


def parse_bin(stream: BinaryIO) -> tuple[list[bytes], list[bool]]:
    """Return the bytes of two images per pair, and whether each pair is of one person; raises `UnusableEntryError`."""
    reader = _PickleReader()
    try:
        for opcode, argument, _ in pickletools.genops(_LimitedFile(stream)):  # type: ignore[arg-type]
            reader.interpret(opcode.name, argument)
    except (ValueError, OverflowError, IndexError, KeyError, TypeError, EOFError) as error:
        raise UnusableEntryError(f"damaged, or not a pickle ({shorten(error) or 'too few values'})") from error
    if stream.read(1):
        raise UnusableEntryError("data after the end of the pickle")
    return _check_content(reader.result())


class _Mark:
    """Marker on the stack, as pushed by the opcode MARK."""


class _Encoder:
    """Stands for ``_codecs.encode``, by which protocol 2 encodes bytes; it is never called."""


_MARK: Final = _Mark()
_ENCODER: Final = _Encoder()


@dataclass(slots=True)
class _PickleReader:
    """Interpreter of the opcodes that build lists, tuples, bytes, strings and booleans, with its stack and memo."""

    _stack: list[object] = field(default_factory=list)
    _memo: dict[int, object] = field(default_factory=dict)
    _opcodes: int = 0

    def interpret(self, name: str, argument: object) -> None:
        self._opcodes += 1
        if self._opcodes > _MAX_OPCODES:
            raise UnusableEntryError("too many opcodes")
        if name in _IGNORED:
            return
        if name in _STRINGS:
            self._stack.append(str(argument).encode("latin-1"))
        elif name in _VALUES:
            self._stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _MEMO_PUTS:
            self._memo[int(str(argument))] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in _MEMO_GETS:
            self._stack.append(self._memo[int(str(argument))])
        else:
            self._build(name, argument)

    def result(self) -> object:
        if len(self._stack) != 1:
            raise UnusableEntryError("the pickle does not end with one value")
        return self._stack[0]

    def _build(self, name: str, argument: object) -> None:
        if name in _TUPLES:
            self._stack.append(tuple(self._pop(_TUPLES[name])))
        elif name == "TUPLE":
            self._stack.append(tuple(self._pop_to_mark()))
        elif name == "LIST":
            self._stack.append(self._pop_to_mark())
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(1) if name == "APPEND" else self._pop_to_mark()
            target = self._stack[-1]
            if not isinstance(target, list):
                raise UnusableEntryError("it appends to an object that is not a list")
            target.extend(items)
        elif name == "GLOBAL" and argument == "_codecs encode":
            self._stack.append(_ENCODER)
        elif name == "REDUCE":
            self._decode()
        else:
            raise UnusableEntryError(self._unsupported_message(name, argument))

    def _decode(self) -> None:
        function, arguments = self._pop(2)
        is_bytes = function is _ENCODER and isinstance(arguments, tuple) and len(arguments) == 2
        if not is_bytes or not isinstance(arguments, tuple) or arguments[1] not in ("latin1", "latin-1"):
            raise UnusableEntryError("it calls a function")
        text = arguments[0]
        if not isinstance(text, str):
            raise UnusableEntryError("unsupported encoding of bytes")
        self._stack.append(text.encode("latin-1"))

    def _unsupported_message(self, name: str, argument: object) -> str:
        if name in ("GLOBAL", "INST"):
            return f"it imports {shorten(str(argument).replace(' ', '.'))}, which is not allowed"
        names = self._stack[-2:]
        if name == "STACK_GLOBAL" and all(isinstance(part, str) for part in names):
            return f"it imports {shorten('.'.join(map(str, names)))}, which is not allowed"
        return f"unsupported opcode {name}"

    def _pop(self, count: int) -> list[object]:
        if len(self._stack) < count or any(value is _MARK for value in self._stack[len(self._stack) - count :]):
            raise UnusableEntryError("damaged (too few values)")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return values

    def _pop_to_mark(self) -> list[object]:
        items = list[object]()
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]


_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_STRINGS = frozenset({"BINSTRING", "SHORT_BINSTRING"})
_VALUES = frozenset(
    {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BININT", "BININT1", "BININT2", "LONG1"}
)
_CONSTANTS: dict[str, Callable[[], object]] = {
    "MARK": lambda: _MARK,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_MEMO_PUTS = frozenset({"BINPUT", "LONG_BINPUT"})
_MEMO_GETS = frozenset({"BINGET", "LONG_BINGET"})
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True, slots=True)
class _LimitedFile:
    """A file whose reads are limited to the size of an image, to avoid allocating larger buffers."""

    stream: BinaryIO

    def read(self, size: int) -> bytes:
        # Protocol 2 stores bytes from 128 on as two.
        if size > 2 * MAX_IMAGE:
            raise UnusableEntryError(f"an image of {size:,} bytes exceeds the limit of {MAX_IMAGE:,}")
        return self.stream.read(size)

    def readline(self) -> bytes:
        line = self.stream.readline(_MAX_LINE)
        if len(line) == _MAX_LINE:
            raise UnusableEntryError("a line is too long")
        return line

    def tell(self) -> int:
        return self.stream.tell()


def _check_content(value: object) -> tuple[list[bytes], list[bool]]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise UnusableEntryError("expected two lists, of images and of booleans")
    images, same = value
    if not isinstance(images, (tuple, list)) or not isinstance(same, (tuple, list)):
        raise UnusableEntryError("expected two lists, of images and of booleans")
    if not same:
        raise UnusableEntryError("the list of pairs is empty")
    if len(images) != 2 * len(same):
        raise UnusableEntryError(f"{len(images):,} images for {len(same):,} pairs; expected two per pair")
    if len(images) > MAX_IMAGES:
        raise UnusableEntryError(f"more than {MAX_IMAGES:,} images")
    contents = [_check_image(number, image) for number, image in enumerate(images, start=1)]
    return contents, [_check_label(number, label) for number, label in enumerate(same, start=1)]


def _check_image(number: int, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise UnusableEntryError(f"image {number} is {type(value).__name__}, not bytes")
    if len(value) > MAX_IMAGE:
        raise UnusableEntryError(f"image {number} of {len(value):,} bytes exceeds the limit of {MAX_IMAGE:,}")
    return value


def _check_label(number: int, value: object) -> bool:
    if not isinstance(value, int) or value not in (0, 1):
        raise UnusableEntryError(f"the label of pair {number} is not a boolean")
    return bool(value)


def _folds(count: int) -> list[int]:
    if count < 2 * _FOLDS:
        return [0] * count
    size, remainder = divmod(count, _FOLDS)
    return [fold for fold in range(_FOLDS) for _ in range(size + (fold < remainder))]
