"""The photos that somebody is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.text import printable

if TYPE_CHECKING:
    from typing import Self

    from facebank.faces import IdentifiedPhoto, PhotoFaces


@dataclass(frozen=True, slots=True)
class Period:
    """Days, both included; None for no end on that side."""

    first: date | None = None
    last: date | None = None

    @classmethod
    def of(cls, first: str | None, last: str | None) -> Self:
        """Read days as people type them.

        Raises
        ------
        UsageError
            One is no day, or the first comes after the last.
        """
        days = [None if text is None else _day(text) for text in (first, last)]
        if days[0] is not None and days[1] is not None and days[0] > days[1]:
            raise UsageError(f"{first} is after {last}: no photo can be taken between them")
        return cls(*days)

    def holds(self, taken_at: datetime | None) -> bool:
        """Return whether a photo was taken then; one of unknown time only where any time will do."""
        if taken_at is None:
            return self.first is None and self.last is None
        day = taken_at.date()
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """Somebody who is known in a photo, and how probably, 0..1; None where nothing is calibrated."""

    name: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo that somebody is in.

    Attributes
    ----------
    path
        Absolute.
    taken_at
        When it was taken, if known.
    people
        Everybody who is known in it, by name.
    """

    path: str
    taken_at: datetime | None
    people: tuple[KnownPerson, ...]


def with_everybody(
    photos: Iterable[tuple[PhotoFaces, IdentifiedPhoto]], names: frozenset[str], period: Period
) -> list[FoundPhoto]:
    """Choose the photos that show all of some people, oldest first; those of unknown time last.

    Parameters
    ----------
    photos
        What was found in each and who it is.
    names
        As the gallery has them.
    period
        When they were taken.
    """
    return sorted(_found(photos, names, period), key=lambda photo: (_moment(photo.taken_at), photo.path))


def _found(
    photos: Iterable[tuple[PhotoFaces, IdentifiedPhoto]], names: frozenset[str], period: Period
) -> Iterator[FoundPhoto]:
    for photo, identified in photos:
        known: dict[str, float | None] = {}
        for decision in (face.decision for face in identified.faces):
            if decision.person is not None and (decision.probability or 0.0) >= (known.get(decision.person) or 0.0):
                known[decision.person] = decision.probability
        if names <= known.keys() and period.holds(photo.taken_at):
            people = tuple(KnownPerson(*person) for person in sorted(known.items()))
            yield FoundPhoto(photo.source, photo.taken_at, people)


def _moment(taken_at: datetime | None) -> datetime:
    """Return a time that others can be compared with: a camera's is taken for UTC, an unknown one for the last."""
    if taken_at is None:
        return datetime.max.replace(tzinfo=UTC)
    return taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{printable(text)!r} is no day: write it as 2019-06-01") from error
