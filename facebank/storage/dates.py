"""Birth dates as far as they are known (a year, a month or a day, in ISO 8601), and whether to believe a camera's."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from facebank.errors import UsageError
from facebank.storage.text import printable

EARLIEST_BIRTH = date(1850, 1, 1)

CLOCK_RESETS = ("1899-12-30", "1900-01-01", "1904-01-01", "1969-12-31", "1970-01-01", "1980-01-01", "2000-01-01")
"""The days from which cameras' and programs' clocks count, in ISO 8601: a photo of one has no date."""

FIRST_PHOTOS = date(1840, 1, 1)
"""Earlier dates are mistakes, such as the year 1 of a program that knew none."""

TOLERANCE = timedelta(days=1)
"""How much earlier than the first possible day of birth a photo must be dated: what time zones can amount to."""

_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", re.ASCII)
_LONGEST_SHOWN = 40


def earliest_day(born: str) -> date:
    """Return the first day that a birth date can mean.

    Parameters
    ----------
    born
        ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``.

    Raises
    ------
    ValueError
        If it is no such date.

    Examples
    --------
    >>> earliest_day("1985-06")
    datetime.date(1985, 6, 1)
    """
    match = _PARTIAL.fullmatch(born)
    if match is None:
        raise ValueError("it is no date of the form YYYY, YYYY-MM or YYYY-MM-DD")
    year, month, day = (int(part or 1) for part in match.groups())
    return date(year, month, day)


def checked_birth_date(text: str, today: date | None = None) -> str:
    """Return a birth date as somebody typed it, without spaces around it.

    Parameters
    ----------
    text
        ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``.
    today
        The latest day of birth; None for the current date.

    Raises
    ------
    UsageError
        If it is no date, before 1850 or in the future.
    """
    born = text.strip()
    shown = printable(born[:_LONGEST_SHOWN])
    try:
        first = earliest_day(born)
    except ValueError:
        raise UsageError(f"'{shown}' is no birth date: write YYYY, YYYY-MM or YYYY-MM-DD.") from None
    if first < EARLIEST_BIRTH:
        raise UsageError(f"The birth date {shown} is before {EARLIEST_BIRTH.year}.")
    if first > (today or date.today()):
        raise UsageError(f"The birth date {shown} is in the future.")
    return born


def shown_date(taken_at: datetime | None, *, camera_dated: bool, time: bool = False) -> str:
    """Write when a photo was taken, for people: a date that is only its file's says so.

    Parameters
    ----------
    taken_at
        When, if known.
    camera_dated
        Whether the camera noted it.
    time
        Whether hours and minutes are shown, too.

    Returns
    -------
    str
        Empty where nothing is known, or the date cannot be true, such as that of a clock that was reset.

    Examples
    --------
    >>> shown_date(datetime(2019, 6, 1), camera_dated=True), shown_date(datetime(2019, 6, 1), camera_dated=False)
    ('2019-06-01', "2019-06-01 (file's date)")
    """
    if taken_at is None or not (camera_dated or is_believable(taken_at)):
        return ""
    text = f"{taken_at:%Y-%m-%d %H:%M}" if time else taken_at.date().isoformat()
    return text if camera_dated else f"{text} (file's date)"


def is_believable(taken_at: datetime, now: datetime | None = None) -> bool:
    """Return whether a camera's date can be true: not that of a clock that was reset, too early or in the future.

    Parameters
    ----------
    taken_at
        What the camera noted, aware or naive.
    now
        The current time, aware; None for that of the system's clock.
    """
    day = taken_at.date()
    return (
        day.isoformat() not in CLOCK_RESETS and FIRST_PHOTOS <= day <= ((now or datetime.now(UTC)) + TOLERANCE).date()
    )
