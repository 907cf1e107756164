"""Normalization of people's names, and their comparison without case."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np

from facebank.errors import InvalidNameError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAME_LENGTH = 200

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
        raise InvalidNameError("A person's name cannot be empty: type a name.")
    if name in _FOLDERS:
        raise InvalidNameError(f"A person cannot be called '{name}', which names a folder: choose another name.")
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
