"""Periods given by days, months or years."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from facebank.album.finding import Period
from facebank.errors import UsageError


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2019", date(2019, 1, 1), date(2019, 12, 31)),
        ("2019-06", date(2019, 6, 1), date(2019, 6, 30)),
        ("2020-02", date(2020, 2, 1), date(2020, 2, 29)),
        (" 2019-06-01 ", date(2019, 6, 1), date(2019, 6, 1)),
    ],
)
def test_a_year_or_month_includes_all_of_its_days(text: str, first: date, last: date) -> None:
    period = Period.of(text, text)
    assert (period.first, period.last) == (first, last)
    assert Period.of(text, None) == Period(first)
    assert Period.of(None, text) == Period(None, last)
    assert period.holds(datetime(last.year, last.month, last.day, 23, 59))


@pytest.mark.parametrize(
    "text", ["", "19", "2019-13", "2019-6", "2019-02-30", "20190601", "0000", "summer", "2019-06-"]
)
def test_text_that_is_no_day_month_or_year_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a day, month or year"):
        Period.of(text, None)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(UsageError, match="2020 is after 2019-06"):
        Period.of("2020", "2019-06")
