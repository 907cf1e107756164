"""Nobody is named in a photo taken before their birth."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.recognition.facts import BirthDates

NAMES = {1: "Ada", 2: "Ben", 3: "Cleo"}
BIRTHS = BirthDates.from_texts({1: "1985-06-15", 2: "2010", 3: "1960-01"}, NAMES)


@pytest.mark.parametrize(
    ("day", "unborn"),
    [
        ("2020-01-01", []),
        ("2009-12-31", []),  # a day of tolerance for time zones
        ("2009-12-30", ["Ben"]),
        ("1985-06-14", ["Ben"]),
        ("1985-06-13", ["Ada", "Ben"]),
        ("1959-12-31", ["Ada", "Ben"]),
        ("1900-01-01", ["Ada", "Ben", "Cleo"]),
    ],
)
def test_people_born_after_the_photo_are_unborn(day: str, unborn: list[str]) -> None:
    assert sorted(BIRTHS.born_after(datetime.fromisoformat(day)).values()) == unborn
    local_time = datetime.fromisoformat(f"{day}T23:00:00").replace(tzinfo=timezone(timedelta(hours=14)))
    assert sorted(BIRTHS.born_after(local_time).values()) == unborn


def test_unknown_birth_dates_exclude_nobody() -> None:
    assert BirthDates().born_after(datetime(1900, 1, 1, tzinfo=UTC)) == {}
    assert BirthDates.from_texts({}, NAMES).born_after(datetime(1900, 1, 1)) == {}


@given(
    born=st.dictionaries(st.integers(1, 50), st.dates(date(1850, 1, 1), date(2026, 1, 1))),
    taken_at=st.datetimes(datetime(1840, 1, 1), datetime(2026, 1, 1)),
    length=st.sampled_from([4, 7, 10]),
)
def test_partial_dates_exclude_nobody_who_was_alive(born: dict[int, date], taken_at: datetime, length: int) -> None:
    names = {person_id: str(person_id) for person_id in born}
    unborn = BirthDates.from_texts(
        {person_id: day.isoformat()[:length] for person_id, day in born.items()}, names
    ).born_after(taken_at)
    assert all(born[person_id] > taken_at.date() + timedelta(days=1) for person_id in unborn)
    if length == 10:
        assert len(unborn) == sum(day > taken_at.date() + timedelta(days=1) for day in born.values())
