"""Text from outside (file names, people's names) made safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape what a terminal or a log would act on.

    Control, format (bidirectional overrides among them), surrogate and unassigned characters become backslash
    escapes; everything else, in any script, stays as it is.

    Parameters
    ----------
    text
        Any string, file names with undecodable bytes included.

    Returns
    -------
    str
        One line that is safe to print.
    """
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
