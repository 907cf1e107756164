"""TOML tables read key by key, nothing believed: what is not of the kind that is wanted is a ManifestError."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from facebank.errors import ManifestError
from facebank.storage.text import printable

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

PerChannel: TypeAlias = tuple[float, float, float]
"""A number for each colour channel, in the network's order."""

Choice = TypeVar("Choice", bound=str)

_MAX_TEXT = 500
_MAX_NUMBER = 1e6


class Table:
    """One table of a TOML file.

    Parameters
    ----------
    content
        The parsed table.
    label
        The file's name, for messages.
    prefix
        What stands before a key in messages: the table's name and a dot.

    Notes
    -----
    Every method takes a key's name and returns its value, or raises `ManifestError` saying what it must be.
    """

    def __init__(self, content: Mapping[str, object], label: str, prefix: str = "") -> None:
        self._content = content
        self._label = label
        self._prefix = prefix
        self._read: set[str] = set()

    def wrong(self, key: str, wanted: str) -> ManifestError:
        """Make the error for a key that is missing or wrong."""
        state = "is wrong" if key in self._content else "is missing"
        return ManifestError(f"{self._label}: {self._prefix}{key} {state}: it must be {wanted}")

    def table(self, key: str) -> Table:
        """Read a table within this one."""
        value = self._value(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return Table(value, self._label, f"{self._prefix}{key}.")

    def optional_table(self, key: str) -> Table | None:
        """Read a table within this one; None where the key is missing."""
        return None if self._value(key) is None else self.table(key)

    def text(self, key: str) -> str:
        """Read one line of printable text."""
        value = self._value(key)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= len(value) <= _MAX_TEXT:
            raise self.wrong(key, f"text of 1 to {_MAX_TEXT} characters")
        if printable(value) != value:
            raise self.wrong(key, "one line of text without control characters")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str) -> str:
        """Read text that matches a pattern wholly."""
        value = self._value(key)
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise self.wrong(key, wanted)
        return value

    def choice(self, key: str, choices: tuple[Choice, ...]) -> Choice:
        """Read one of several words."""
        value = self._value(key)
        for choice in choices:
            if value == choice:
                return choice
        raise self.wrong(key, " or ".join(map(repr, choices)))

    def truth(self, key: str) -> bool:
        """Read true or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def whole(self, key: str, least: int, most: int) -> int:
        """Read a whole number within bounds."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"{least}" if least == most else f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, least: float, most: float) -> float:
        """Read a number within bounds."""
        value = _finite(self._value(key))
        if value is None or not least <= value <= most:
            raise self.wrong(key, f"a number from {least} to {most}")
        return value

    def optional_number(self, key: str, least: float, most: float) -> float | None:
        """Read a number within bounds; None where the key is missing."""
        return None if self._value(key) is None else self.number(key, least, most)

    def per_channel(self, key: str) -> PerChannel:
        """Read one number for all three colour channels, or a list of three."""
        value = self._value(key)
        match [_finite(entry) for entry in (value if isinstance(value, list) else [value] * 3)]:
            case [float(first), float(second), float(third)]:
                return first, second, third
        raise self.wrong(key, "a number, or a list of three")

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Read a list of so many numbers; an empty list and a missing key are an empty tuple."""
        value = self._value(key)
        if value is None or value == []:
            return ()
        numbers = [_finite(entry) for entry in value] if isinstance(value, list) else []
        finite = tuple(number for number in numbers if number is not None)
        if len(finite) != count or len(numbers) != count:
            raise self.wrong(key, f"a list of {count} numbers, or an empty one")
        return finite

    def refuse_others(self) -> None:
        """Raise ManifestError if the table has a key that was not read."""
        others = sorted(set(self._content) - self._read)
        if others:
            raise ManifestError(f"{self._label}: {self._prefix}{printable(others[0])} is no key of a pack manifest")

    def _value(self, key: str) -> object:
        self._read.add(key)
        return self._content.get(key)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _MAX_NUMBER else None  # not so for NaN
