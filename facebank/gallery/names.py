"""Normalization of people's names, and their comparison without case."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import ItemsView, Mapping
from itertools import chain
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np

from facebank.errors import InvalidNameError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

MAX_NAME_LENGTH = 200

NAMES_PER_BLOCK = 500
"""Number of names in one block of a `NameTable`."""

_FOLDERS = frozenset({".", ".."})
_JOINERS = frozenset("\u200c\u200d")  # Persian and Indic names need them; every other invisible character is refused
# Some programs and keyboards leave these at the ends of names, where they have no meaning.
_DIRECTION_MARKS = "\u200e\u200f\u061c"
_SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
# A fast path: most names are plain, and a large gallery has a million of them.
_IS_PLAIN = np.zeros(128, np.bool_)
_IS_PLAIN[[ord("\n"), *range(ord(" "), 127)]] = True
_IS_PLAIN[[ord("/"), ord("\\")]] = False
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def normalize_name(text: str) -> str:
    """Return the spelling under which a name is stored.

    Parameters
    ----------
    text
        A name as typed.

    Returns
    -------
    str
        The name in Unicode's normal form C, without spaces and direction marks around it, and single spaces inside.

    Raises
    ------
    InvalidNameError
        The name is not text, empty, ``.`` or ``..``, or longer than 200 characters; or it contains a slash, a backslash
        or an invisible character, such as one that changes the direction of writing.

    Examples
    --------
    >>> normalize_name("  Ada   Lovelace ")
    'Ada Lovelace'
    """
    if not isinstance(text, str):
        raise InvalidNameError(f"A person's name is text, not {printable(repr(text))}.")
    if are_plain([text]):
        return text
    text = _strip_marks(text)
    refused = next(filter(_is_refused, text), None) if not text.isprintable() or _contains_slash(text) else None
    if refused is not None:
        raise InvalidNameError(
            f"A person cannot be called '{printable(text[:MAX_NAME_LENGTH])}': the character "
            f"{_display(refused)} is not allowed in a name."
        )
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name.strip("\u200c\u200d"):
        raise InvalidNameError("A person's name cannot be empty.")
    if name in _FOLDERS:
        raise InvalidNameError(f"A person cannot be called '{name}', which names a folder.")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidNameError(f"The name '{name[:40]}...' is longer than {MAX_NAME_LENGTH} characters: shorten it.")
    return name


def are_plain(texts: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Return whether all texts are trivially normalized names; if False, call `normalize_name` on each."""
    if set(map(type, texts)) - {str}:
        return False
    names = cast("Sequence[str]", texts)
    joined = "\n".join(names)
    if not joined or not joined.isascii() or joined.count("\n") != len(names) - 1:
        return not names
    characters = np.frombuffer(joined.encode(), np.uint8)
    is_space = characters <= ord(" ")
    has_odd_space = is_space[0] or is_space[-1] or (is_space[1:] & is_space[:-1]).any()
    is_allowed = max(map(len, names)) <= MAX_NAME_LENGTH and not _FOLDERS.intersection(names)
    return is_allowed and not has_odd_space and bool(_IS_PLAIN[characters].all())


class NamesInOrder(Mapping[int, str]):
    """Names by number, with a bulk access that is faster than one by one."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Return the names in the order of their numbers."""

    def items(self) -> ItemsView[int, str]:
        """Return numbers and names."""
        return NamesByNumber(self)


class NameTable(NamesInOrder):
    """Compact mapping of numbers to names: ascending ``int64 (P,)``, blocks of `NAMES_PER_BLOCK` normalized names."""

    def __init__(self, numbers: NDArray[np.int64], names: Iterable[Sequence[str]]) -> None:
        self._numbers = numbers
        self._blocks = ["\n".join(block) for block in names]  # names contain no line breaks

    def __getitem__(self, number: int) -> str:
        index = int(self._numbers.searchsorted(number))
        if index == len(self._numbers) or self._numbers[index] != number:
            raise KeyError(number)
        return self._blocks[index // NAMES_PER_BLOCK].split("\n")[index % NAMES_PER_BLOCK]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers.tolist())

    def __len__(self) -> int:
        return len(self._numbers)

    def names(self) -> Iterator[str]:
        """Return the names in the order of their numbers."""
        return chain.from_iterable(block.split("\n") for block in self._blocks)

    def encode(self) -> tuple[NDArray[np.int64], bytes, NDArray[np.int64]]:
        """Return the numbers, the names in UTF-8 one after another, and their offsets, ``int64 (P + 1,)``."""
        text = "\n".join(self._blocks).encode()
        lines = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        ends = np.append(lines, len(text)) if len(self) else np.empty(0, np.int64)
        return self._numbers, text.replace(b"\n", b""), np.concatenate([[0], ends - np.arange(len(ends))])


class NamesByNumber(ItemsView[int, str]):
    """Items view of `NamesInOrder` that uses its bulk access."""

    _mapping: NamesInOrder

    def __init__(self, names: NamesInOrder) -> None:
        super().__init__(names)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return zip(self._mapping, self._mapping.names(), strict=True)


def name_key(name: str) -> str:
    """Return the key of a name, normalized or not: Unicode's canonical caseless form (section 3.13, D145).

    Examples
    --------
    >>> name_key("STRAẞE") == name_key("Strasse")
    True
    """
    folded = unicodedata.normalize("NFD", _strip_marks(name)).casefold()
    return unicodedata.normalize("NFC", folded)


def _strip_marks(text: str) -> str:
    """Return a text without spaces and direction marks around it."""
    return text.strip(_SPACES + _DIRECTION_MARKS)


def _display(character: str) -> str:
    return f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"


def _contains_slash(text: str) -> bool:
    return "/" in text or "\\" in text


def _is_refused(character: str) -> bool:
    if character in _JOINERS:
        return False
    return character in "/\\" or unicodedata.category(character) in _REFUSED_CATEGORIES
