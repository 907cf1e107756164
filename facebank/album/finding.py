"""Search of identified photos by people and date."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from facebank.errors import UsageError
from facebank.storage.text import printable

if TYPE_CHECKING:
    from typing import Self

    from facebank.types import Face, Photo


_DAY_MONTH_OR_YEAR = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A range of days, both included; None leaves a side open.

    Examples
    --------
    >>> from facebank.album.finding import Period
    >>> Period.of("2019", None)
    Period(first=datetime.date(2019, 1, 1), last=None)
    """

    first: date | None = None
    last: date | None = None

    @classmethod
    def of(cls, first: str | None, last: str | None) -> Self:
        """Return the period between two days, months or years: ``2019-06-01``, ``2019-06`` or ``2019``.

        The period includes the whole of a month or year. None leaves a side open.

        Raises
        ------
        UsageError
            A text is not a day, month or year, or the first is after the last.

        Examples
        --------
        >>> Period.of("2019-06", "2019-07").last
        datetime.date(2019, 7, 31)
        """
        begin = None if first is None else _days(first)[0]
        end = None if last is None else _days(last)[1]
        if begin is not None and end is not None and begin > end:
            raise UsageError(
                f"{printable(str(first))} is after {printable(str(last))}: no photo can be taken between them"
            )
        return cls(begin, end)

    def holds(self, taken_at: datetime | None) -> bool:
        """Return whether a time lies in the period; an unknown time (None) lies only in the unlimited period.

        Examples
        --------
        >>> from datetime import datetime
        >>> Period.of("2019", "2019").holds(datetime(2019, 6, 1)), Period().holds(None)
        (True, True)
        """
        if taken_at is None:
            return self.first is None and self.last is None
        day = taken_at.date()
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person identified in a photo."""

    name: str
    probability: float | None  # calibrated probability of the identity, 0..1; None without a calibration
    # x1, y1, x2, y2 in pixels of the upright photo for people in the query; else None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A found photo with everybody identified in it; other fields are as in `facebank.types.Photo`."""

    path: str
    taken_at: datetime | None  # None if unknown
    people: tuple[KnownPerson, ...]  # sorted by name
    camera_dated: bool = False
    quarter_turns: int = 0  # counter-clockwise, that made the photo upright, 0..3
    content_hash: str = ""  # SHA-256 of the file's bytes, in hex
    picture_hash: str | None = None  # SHA-256 of the pixels, in hex; None if unknown


def photos_of(
    photos: Iterable[Photo], names: frozenset[str], period: Period, *, any_of: bool = False
) -> list[FoundPhoto]:
    """Return the photos that show all named people, or any of them, oldest first; photos of unknown time come last.

    Parameters
    ----------
    photos
        Identified photos.
    names
        Names as in the gallery.
    period
        The time in which the photos were taken.
    any_of
        Whether one of the people is enough.
    """
    return sorted(
        _matches(photos, names, period, any_of), key=lambda photo: (sortable_time(photo.taken_at), photo.path)
    )


def _matches(photos: Iterable[Photo], names: frozenset[str], period: Period, any_of: bool) -> Iterator[FoundPhoto]:
    for photo in photos:
        people: dict[str, KnownPerson] = {}
        for face in photo.faces:
            name, probability = face.person, face.probability
            if name is not None and (name not in people or (probability or 0.0) >= (people[name].probability or 0.0)):
                people[name] = KnownPerson(name, probability, _box(face) if name in names else None)
        is_match = not names.isdisjoint(people) if any_of else names <= people.keys()
        if is_match and period.holds(photo.taken_at):
            yield FoundPhoto(
                photo.path,
                photo.taken_at,
                tuple(person for _, person in sorted(people.items())),
                photo.camera_dated,
                photo.quarter_turns,
                photo.content_hash,
                photo.picture_hash,
            )


def _box(face: Face) -> tuple[float, float, float, float]:
    left, top, right, bottom = face.box.tolist()
    return left, top, right, bottom


def sortable_time(taken_at: datetime | None) -> datetime:
    """Return a time with a time zone for sorting: UTC if it has none, the latest possible if it is None.

    Examples
    --------
    >>> from datetime import datetime
    >>> sortable_time(datetime(2019, 6, 1)) < sortable_time(None)
    True
    """
    if taken_at is None:
        return datetime.max.replace(tzinfo=UTC)
    return taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC)


def year_heading(date: datetime | None, *, camera_dated: bool) -> str:
    """Return the heading for photos of a year; None is the date of photos without one.

    Examples
    --------
    >>> from datetime import datetime
    >>> year_heading(datetime(2019, 6, 1), camera_dated=False)
    "2019, by the files' dates"
    """
    if date is None:
        return "Without a date"
    return str(date.year) if camera_dated else f"{date.year}, by the files' dates"


def _days(text: str) -> tuple[date, date]:
    """Return the first and the last day of a day, month or year; raises `UsageError` for other text."""
    match = _DAY_MONTH_OR_YEAR.fullmatch(text.strip())
    try:
        if match is not None:
            year, month, day = int(match[1]), match[2], match[3]
            first = date(year, int(month or 1), int(day or 1))
            last_month = int(month or 12)
            return first, first if day else date(year, last_month, monthrange(year, last_month)[1])
    except ValueError:
        pass
    raise UsageError(f"{printable(text)!r} is not a day, month or year: write it as 2019-06-01, 2019-06 or 2019")
