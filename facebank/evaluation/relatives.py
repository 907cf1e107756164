"""Lists of people who are related, or look alike: two names a line, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facebank.evaluation.datasets.checking import broken, read_text
from facebank.text import printable

_TITLES = frozenset({"person_a", "person a", "first", "a"})


@dataclass(frozen=True, slots=True)
class Relatives:
    """Two people, and how they are related; "" where the list does not say."""

    first: str
    second: str
    relation: str = ""


def read_relatives(path: Path) -> tuple[Relatives, ...]:
    """Read a list of pairs of people: tab- or comma-separated, a line of titles or none, ``#`` for remarks.

    Further columns than the two names and the relation are ignored.

    Raises
    ------
    DatasetError
        It cannot be read, a line names fewer than two different people, or none names any.
    """
    found: dict[frozenset[str], Relatives] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("\t" if "\t" in line else ",")]
        if not found and parts[0].casefold() in _TITLES:
            continue
        if len(parts) < 2 or not all(parts[:2]) or parts[0] == parts[1]:
            raise broken(path, f"line {number} does not name two people: {printable(line[:80])!r}")
        found.setdefault(frozenset(parts[:2]), Relatives(parts[0], parts[1], parts[2] if len(parts) > 2 else ""))
    if not found:
        raise broken(path, "it names no two people")
    return tuple(found.values())
