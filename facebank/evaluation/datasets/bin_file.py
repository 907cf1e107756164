"""InsightFace's ``.bin`` files of face pairs, read without unpickling.

Such a file is a pickle of ``(images, same)``: the bytes of image files, two for each pair, and whether each pair shows
one person. Loading a pickle would run it. Here `pickletools.genops` only lists its instructions; those that build
lists, tuples, bytes and truth values are followed, and any other is an error. Nothing is imported or called.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pair, Pick
from facebank.evaluation.datasets.checking import UnusableError, broken, shown
from facebank.evaluation.datasets.folders import title_of

LARGEST_FILE = 2 * 1024**3
LARGEST_IMAGE = 16 * 1024**2
MOST_IMAGES = 200_000
_MOST_STEPS = 10 * MOST_IMAGES  # protocol 2 of Python 3 takes eight for an image, and one for half of them
_LONGEST_LINE = 1024
_FOLDS = 10


def read_bin(path: Path) -> Dataset:
    """Read a ``.bin`` file of aligned faces in pairs, a pickle of protocol 2 to 5; its photos have no person.

    As in InsightFace's evaluation, the pairs are cut in their order into ten folds whose lengths differ by at most one;
    fewer than twenty pairs are one fold. Raises `DatasetError`.
    """
    try:
        if not path.is_file():
            raise broken(path, "there is no such file")
        if path.stat().st_size > LARGEST_FILE:
            raise broken(path, f"it has more than {LARGEST_FILE:,} bytes")
        with path.open("rb") as stream:
            images, same = parse_bin(stream)
    except UnusableError as error:
        raise broken(path, f"it is no face verification file: {error}") from error
    except OSError as error:
        raise broken(path, f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise broken(path, "that is no path") from error
    photos = tuple(DatasetPhoto(f"image {number}", None, data) for number, data in enumerate(images, start=1))
    pairs = tuple(
        Pair(2 * place, 2 * place + 1, is_same, fold)
        for place, (is_same, fold) in enumerate(zip(same, _folds(len(same)), strict=True))
    )
    return Dataset(title_of(path), photos, pairs, Pick.ALIGNED)


def parse_bin(stream: BinaryIO) -> tuple[list[bytes], list[bool]]:
    """Return the images' bytes, two for each pair, and whether each pair shows one person; raises `UnusableError`."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(_Guarded(stream)):  # type: ignore[arg-type]
            machine.follow(opcode.name, argument)
    except (ValueError, OverflowError, IndexError, KeyError, TypeError, EOFError) as error:
        raise UnusableError(f"it is damaged or no pickle ({shown(error) or 'too few values'})") from error
    if stream.read(1):
        raise UnusableError("more follows after its end")
    return _checked(machine.result())


class _Mark:
    """The start of a run of values on the stack."""


class _Encoder:
    """The function that Python 3 names for bytes in protocol 2, called with a text and ``latin1``; it is never run."""


_MARK: Final = _Mark()
_ENCODER: Final = _Encoder()


@dataclass(slots=True)
class _Machine:
    """The stack and the memo of a pickle of lists, tuples, bytes, texts and truth values."""

    _stack: list[object] = field(default_factory=list)
    _memo: dict[int, object] = field(default_factory=dict)
    _steps: int = 0

    def follow(self, name: str, argument: object) -> None:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise UnusableError("it takes too many steps")
        if name in _SILENT:
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
            raise UnusableError("it does not end with one value")
        return self._stack[0]

    def _build(self, name: str, argument: object) -> None:
        if name in _TUPLES:
            self._stack.append(tuple(self._take(_TUPLES[name])))
        elif name == "TUPLE":
            self._stack.append(tuple(self._since_mark()))
        elif name == "LIST":
            self._stack.append(self._since_mark())
        elif name in ("APPEND", "APPENDS"):
            items = self._take(1) if name == "APPEND" else self._since_mark()
            target = self._stack[-1]
            if not isinstance(target, list):
                raise UnusableError("it appends to something that is no list")
            target.extend(items)
        elif name == "GLOBAL" and argument == "_codecs encode":
            self._stack.append(_ENCODER)
        elif name == "REDUCE":
            self._decode()
        else:
            raise UnusableError(self._refusal(name, argument))

    def _decode(self) -> None:
        function, arguments = self._take(2)
        is_bytes = function is _ENCODER and isinstance(arguments, tuple) and len(arguments) == 2
        if not is_bytes or not isinstance(arguments, tuple) or arguments[1] not in ("latin1", "latin-1"):
            raise UnusableError("it wants to call something")
        text = arguments[0]
        if not isinstance(text, str):
            raise UnusableError("it holds bytes in a form that is not read")
        self._stack.append(text.encode("latin-1"))

    def _refusal(self, name: str, argument: object) -> str:
        if name in ("GLOBAL", "INST"):
            return f"it wants to use {shown(str(argument).replace(' ', '.'))}, and is not obeyed"
        named = self._stack[-2:]
        if name == "STACK_GLOBAL" and all(isinstance(part, str) for part in named):
            return f"it wants to use {shown('.'.join(map(str, named)))}, and is not obeyed"
        return f"the instruction {name} has no place in one"

    def _take(self, count: int) -> list[object]:
        if len(self._stack) < count or any(value is _MARK for value in self._stack[len(self._stack) - count :]):
            raise UnusableError("it is damaged (too few values)")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _since_mark(self) -> list[object]:
        items = list[object]()
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]


_SILENT = frozenset({"PROTO", "FRAME", "STOP"})
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
class _Guarded:
    """A file that refuses to read more than an image may have, before anything is allocated."""

    stream: BinaryIO

    def read(self, size: int) -> bytes:
        # in protocol 2 a byte from 128 on takes two
        if size > 2 * LARGEST_IMAGE:
            raise UnusableError(f"it holds an image of {size:,} bytes, and one may have {LARGEST_IMAGE:,}")
        return self.stream.read(size)

    def readline(self) -> bytes:
        line = self.stream.readline(_LONGEST_LINE)
        if len(line) == _LONGEST_LINE:
            raise UnusableError("it holds a line that is too long")
        return line

    def tell(self) -> int:
        return self.stream.tell()


def _checked(value: object) -> tuple[list[bytes], list[bool]]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise UnusableError("two lists belong there, one of images and one of truth values")
    images, same = value
    if not isinstance(images, (tuple, list)) or not isinstance(same, (tuple, list)):
        raise UnusableError("two lists belong there, one of images and one of truth values")
    if not same:
        raise UnusableError("the list of pairs is empty")
    if len(images) != 2 * len(same):
        raise UnusableError(f"it has {len(images):,} images for {len(same):,} pairs, and two belong to each")
    if len(images) > MOST_IMAGES:
        raise UnusableError(f"it has more than {MOST_IMAGES:,} images")
    checked = [_image(number, image) for number, image in enumerate(images, start=1)]
    return checked, [_truth(number, truth) for number, truth in enumerate(same, start=1)]


def _image(number: int, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise UnusableError(f"image {number} is no bytes but {type(value).__name__}")
    if len(value) > LARGEST_IMAGE:
        raise UnusableError(f"image {number} has {len(value):,} bytes, and may have {LARGEST_IMAGE:,}")
    return value


def _truth(number: int, value: object) -> bool:
    if not isinstance(value, int) or value not in (0, 1):
        raise UnusableError(f"pair {number} is neither true nor false")
    return bool(value)


def _folds(count: int) -> list[int]:
    if count < 2 * _FOLDS:
        return [0] * count
    shortest, longer = divmod(count, _FOLDS)
    return [fold for fold in range(_FOLDS) for _ in range(shortest + (fold < longer))]
