"""Partial birth dates in ISO 8601 (year, month or day), and plausibility of photo dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from facebank.errors import UsageError
from facebank.storage.text import printable

EARLIEST_BIRTH = date(1850, 1, 1)
"""Earliest birth date that is accepted."""

CLOCK_RESETS = ("1899-12-30", "1900-01-01", "1904-01-01", "1969-12-31", "1970-01-01", "1980-01-01", "2000-01-01")
"""Default dates of reset clocks, in ISO 8601; a photo with such a date is treated as undated."""

FIRST_PHOTOS = date(1840, 1, 1)
"""Earliest plausible date of a photo."""

TOLERANCE = timedelta(days=1)
"""Tolerance for time zones when dates are compared."""

_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", re.ASCII)
_MAX_SHOWN = 40


def earliest_day(born: str) -> date:
    """Return the first day of a birth date ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``.

    Raises
    ------
    ValueError
        The text is not such a date.

    Examples
    --------
    >>> earliest_day("1985-06")
    datetime.date(1985, 6, 1)
    """
    match = _PARTIAL.fullmatch(born)
    if match is None:
        raise ValueError("expected a date YYYY, YYYY-MM or YYYY-MM-DD")
    year, month, day = (int(part or 1) for part in match.groups())
    return date(year, month, day)


def parse_birth_date(text: str, today: date | None = None) -> str:
    """Return a birth date as typed, validated, without surrounding spaces.

    Raises `UsageError` if it is not ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``, or before 1850, or after `today` (None:
    the current date).
    """
    born = text.strip()
    shown = printable(born[:_MAX_SHOWN])
    try:
        first = earliest_day(born)
    except ValueError:
        raise UsageError(f"'{shown}' is not a birth date: write YYYY, YYYY-MM or YYYY-MM-DD.") from None
    if first < EARLIEST_BIRTH:
        raise UsageError(f"The birth date {shown} is before {EARLIEST_BIRTH.year}: check the year.")
    if first > (today or date.today()):
        raise UsageError(f"The birth date {shown} is in the future: check the year.")
    return born


def format_photo_date(taken_at: datetime | None, *, camera_dated: bool, with_time: bool = False) -> str:
    """Return a photo's date as text, with a note if it is the file's date; empty if unknown or implausible.

    Parameters
    ----------
    taken_at
        The time, or None if unknown.
    camera_dated
        Whether the date is from the camera.
    with_time
        Whether to include hours and minutes.

    Examples
    --------
    >>> format_photo_date(datetime(2019, 6, 1), camera_dated=False)
    "2019-06-01 (file's date)"
    """
    if taken_at is None or not (camera_dated or is_plausible(taken_at)):
        return ""
    text = f"{taken_at:%Y-%m-%d %H:%M}" if with_time else taken_at.date().isoformat()
    return text if camera_dated else f"{text} (file's date)"


def is_plausible(taken_at: datetime, now: datetime | None = None) -> bool:
    """Return whether a photo's date, aware or naive, is plausible: not of a reset clock, before 1840 or after `now`."""
    day = taken_at.date()
    return (
        day.isoformat() not in CLOCK_RESETS and FIRST_PHOTOS <= day <= ((now or datetime.now(UTC)) + TOLERANCE).date()
    )
