"""People's names: one spelling for each, compared without case."""

from __future__ import annotations

import re
import unicodedata

from facebank.errors import InvalidNameError
from facebank.text import printable

LONGEST_NAME = 200

_JOINERS = frozenset("\u200c\u200d")  # Persian and Indic names need them; every other invisible character is refused
# What most names are, and is as it should be; large galleries read a million of them.
_PLAIN = re.compile(r"[!-.0-\[\]-~]+(?: [!-.0-\[\]-~]+)*")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def normalise_name(text: str) -> str:
    """Return the one spelling under which a name is kept.

    Parameters
    ----------
    text
        A name as somebody typed it.

    Returns
    -------
    str
        The name in Unicode's normal form C, without spaces around it and with single spaces inside.

    Raises
    ------
    InvalidNameError
        If the name is empty, ``.`` or ``..``, longer than 200 characters, or holds a slash, a backslash, control
        characters or others that cannot be seen, such as those that turn the direction of writing.

    Examples
    --------
    >>> normalise_name("  Ada   Lovelace ")
    'Ada Lovelace'
    """
    if len(text) <= LONGEST_NAME and _PLAIN.fullmatch(text) and text not in {".", ".."}:
        return text
    refused = next(filter(_is_refused, text), None) if not text.isprintable() or _holds_slash(text) else None
    if refused is not None:
        raise InvalidNameError(
            f"A person cannot be called '{printable(text[:LONGEST_NAME])}': the character "
            f"{_shown(refused)} is not allowed in a name."
        )
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name.strip("\u200c\u200d"):
        raise InvalidNameError("A person's name cannot be empty.")
    if name in {".", ".."}:
        raise InvalidNameError(f"A person cannot be called '{name}'.")
    if len(name) > LONGEST_NAME:
        raise InvalidNameError(f"The name '{name[:40]}...' is longer than {LONGEST_NAME} characters.")
    return name


def name_key(name: str) -> str:
    """Return what two spellings of one name have in common, whatever their case.

    Parameters
    ----------
    name
        A name, normalised or not.

    Returns
    -------
    str
        Unicode's canonical caseless form (The Unicode Standard, section 3.13, D145).

    Examples
    --------
    >>> name_key("STRAẞE") == name_key("Strasse")
    True
    """
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded)


def _shown(character: str) -> str:
    return f"'{character}'" if character.isprintable() else f"U+{ord(character):04X}"


def _holds_slash(text: str) -> bool:
    return "/" in text or "\\" in text


def _is_refused(character: str) -> bool:
    if character in _JOINERS:
        return False
    return character in "/\\" or unicodedata.category(character) in _REFUSED_CATEGORIES
