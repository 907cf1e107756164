"""Escaping of untrusted text (file names, people's names) for terminals, shells, spreadsheets and web pages."""

from __future__ import annotations

import math
import os
import re
import shlex
import unicodedata

_SIGNS = frozenset("+-")
_FORMULA_STARTS = frozenset("=@\t\r\n") | _SIGNS
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NON_JOINER, _JOINER = "\u200c", "\u200d"
# Scripts that need the joiners: Arabic to Mandaic, Indic to Sinhala, Myanmar, Khmer, Mongolian, and additions.
_JOINING = (
    *((0x0600, 0x08FF), (0x0900, 0x0DFF), (0x1000, 0x109F), (0x1780, 0x18AF), (0x1B00, 0x1B7F), (0xA8E0, 0xA8FF)),
    *((0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0x11000, 0x1137F), (0x1E900, 0x1E95F)),
)


def printable(text: str) -> str:
    """Return text with characters escaped that affect a terminal or a log.

    Control, format (such as bidirectional overrides), surrogate and unassigned characters become backslash escapes.
    Joiners are kept within emoji and within words of scripts that need them, such as Persian and Hindi.

    Parameters
    ----------
    text
        Any string, also a file name with undecodable bytes.

    Returns
    -------
    str
        Text of one line.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or _joins(text, index) else _escape(character)
        for index, character in enumerate(text)
    )


def error_line(error: BaseException) -> str:
    """Return the first line of an error's message, printable; the name of its class if the message is empty."""
    return printable(next(iter(str(error).strip().splitlines()), type(error).__name__))


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would treat the text as a formula, full-width signs included.

    Examples
    --------
    >>> [is_formula(text) for text in ("=1+1", "＝1+1", "-2+3", "-0.25", "Ada-1")]
    [True, True, True, False, False]
    """
    first = unicodedata.normalize("NFKC", text[:1])
    return first in _FORMULA_STARTS and (first not in _SIGNS or _NUMBER.fullmatch(text) is None)


def spreadsheet_cell(text: str) -> str:
    """Return a printable CSV cell, with a quote before text that a spreadsheet would treat as a formula."""
    return f"'{printable(text)}" if is_formula(text) else printable(text)


def escape_html(text: str) -> str:
    """Return printable text with HTML markup escaped.

    Examples
    --------
    >>> escape_html("Ada & Grace")
    'Ada &amp; Grace'
    """
    import html

    return html.escape(printable(text), quote=True)


def _joins(text: str, index: int) -> bool:
    """Return whether a character is a joiner between two characters that it can join."""
    if text[index] not in (_NON_JOINER, _JOINER) or not 0 < index < len(text) - 1:
        return False
    before, after = text[index - 1], text[index + 1]
    if _is_joining(before) and _is_joining(after):
        return True
    return text[index] == _JOINER and _is_emoji(before) and _is_emoji(after)


def _is_joining(character: str) -> bool:
    code = ord(character)
    is_letter = unicodedata.category(character)[0] in "LM"
    return is_letter and any(first <= code <= last for first, last in _JOINING)


def _is_emoji(character: str) -> bool:
    return character == "\ufe0f" or unicodedata.category(character) in ("So", "Sk")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def shell_word(text: str) -> str:
    """Return an argument as typed in a shell, quoted if needed, and safe to print.

    Characters that `printable` would escape become bytes in ``$'...'``, the syntax of bash and zsh.

    Examples
    --------
    >>> print(shell_word("ada.jpg"), shell_word("my photos"))
    ada.jpg 'my photos'
    """
    if printable(text) == text:
        return shlex.quote(text)
    escapes = {"'": "\\'", "\\": "\\\\"}
    escaped = (
        escapes.get(character) or (character if character.isprintable() else _escape_bytes(character))
        for character in text
    )
    return f"$'{''.join(escaped)}'"


def shell_command(*words: str | os.PathLike[str]) -> str:
    """Return a facebank command as typed in a shell, for words such as ``"people", "unmerge", name``."""
    return " ".join(["facebank", *(shell_word(os.fspath(word)) for word in words)])


def _escape_bytes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def pluralize(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> pluralize(1, "photo"), pluralize(2000, "photo"), pluralize(2, "person", "people")
    ('1 photo', '2,000 photos', '2 people')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_video_time(seconds: float, *, with_tenths: bool = True) -> str:
    """Return a time in a video, rounded to tenths of a second, or rounded down to seconds.

    Examples
    --------
    >>> format_video_time(3723.44), format_video_time(7.96, with_tenths=False)
    ('1:02:03.4', '0:07')
    """
    tenths = round(seconds * 10) if with_tenths else 10 * int(seconds)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    text = f"{rest / 10:04.1f}" if with_tenths else f"{rest // 10:02d}"
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def format_similarity(similarity: float | None) -> str:
    """Return a similarity with three decimals; empty for None."""
    return "" if similarity is None else f"{similarity:.3f}"


def format_probability(probability: float | None) -> str:
    """Return a probability with three decimals, rounded down: only 1 is shown as 1.000; empty for None."""
    return "" if probability is None else f"{math.floor(probability * 1000) / 1000:.3f}"


def label_with_probability(label: str, probability: float | None) -> str:
    """Return a label with its probability; the label alone for None.

    Examples
    --------
    >>> label_with_probability("Ada", 0.9987), label_with_probability("Ada", None)
    ('Ada 0.998', 'Ada')
    """
    return label if probability is None else f"{label} {format_probability(probability)}"
