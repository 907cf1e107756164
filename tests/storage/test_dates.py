"""Birth dates and the dates of photos."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import UsageError
from facebank.storage.dates import (
    CLOCK_RESETS,
    EARLIEST_BIRTH,
    earliest_day,
    format_photo_date,
    is_plausible,
    parse_birth_date,
)

TODAY = date(2026, 11, 28)
BIRTHS = st.dates(EARLIEST_BIRTH, TODAY)


@given(born=BIRTHS)
def test_a_partial_date_starts_on_its_first_day(born: date) -> None:
    text = born.isoformat()
    assert earliest_day(parse_birth_date(text, TODAY)) == born
    assert earliest_day(parse_birth_date(text[:7], TODAY)) == born.replace(day=1)
    assert earliest_day(parse_birth_date(f" {text[:4]} ", TODAY)) == born.replace(month=1, day=1)


@given(days=st.integers(1, 5000))
def test_dates_out_of_range_are_rejected(days: int) -> None:
    with pytest.raises(UsageError, match="future"):
        parse_birth_date((TODAY + timedelta(days)).isoformat(), TODAY)
    with pytest.raises(UsageError, match="before 1850"):
        parse_birth_date((EARLIEST_BIRTH - timedelta(days)).isoformat(), TODAY)


@given(text=st.text())
def test_any_text_is_a_date_or_rejected(text: str) -> None:
    refusal = ""
    try:
        born = parse_birth_date(text, TODAY)
    except UsageError as error:
        refusal = str(error)
    else:
        assert EARLIEST_BIRTH <= earliest_day(born) <= TODAY
    assert not refusal or refusal.isprintable()
    assert len(refusal) < 600


@pytest.mark.parametrize(
    "text", ["", "85", "1985-6", "1985-06-1", "1985-13", "1985-02-29", "1985/06/01", "19850601", "１９８５", "1985-00"]
)
def test_invalid_dates_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="YYYY"):
        parse_birth_date(text, TODAY)


@given(taken_at=st.datetimes() | st.datetimes(timezones=st.timezones()))
def test_dates_of_photos_are_plausible_from_1840_to_tomorrow(taken_at: datetime) -> None:
    now = datetime(2026, 11, 28, tzinfo=UTC)
    day = taken_at.date()
    possible = date(1840, 1, 1) <= day <= date(2026, 11, 29) and day.isoformat() not in CLOCK_RESETS
    assert is_plausible(taken_at, now) == possible


@pytest.mark.parametrize("day", CLOCK_RESETS)
def test_dates_of_reset_clocks_are_implausible(day: str) -> None:
    assert not is_plausible(datetime.fromisoformat(day))
    assert is_plausible(datetime.fromisoformat(day) + timedelta(days=7))


def test_file_dates_are_marked_and_implausible_ones_omitted() -> None:
    taken_at = datetime(2019, 6, 1, 8, 30)
    assert format_photo_date(taken_at, camera_dated=True) == "2019-06-01"
    assert format_photo_date(taken_at, camera_dated=True, with_time=True) == "2019-06-01 08:30"
    assert format_photo_date(taken_at, camera_dated=False) == "2019-06-01 (file's date)"
    assert format_photo_date(datetime(2000, 1, 1, 8), camera_dated=False) == ""
    assert format_photo_date(None, camera_dated=False) == ""
