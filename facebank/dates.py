"""Birth dates as far as they are known: a year, a month or a day, in ISO 8601."""

from __future__ import annotations

import re
from datetime import date

from facebank.errors import UsageError
from facebank.text import printable

EARLIEST_BIRTH = date(1850, 1, 1)

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
