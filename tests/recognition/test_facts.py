"""Warnings about samples that contradict a birth date."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.recognition.facts import FactWarningCode, fact_warnings
from facebank.types import Person, Sample

TODAY = date(2026, 11, 28)
NOW = datetime(2026, 11, 28, tzinfo=UTC)
DETECTION = (np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
ENROLLED_NOW = Sample(1, "Ada", *DETECTION, 0.9, "a.jpg", "ab" * 32, 0, None, NOW, has_thumbnail=False)


def make_ada(born: str | None) -> Person:
    return Person(1, "Ada", 1, NOW, born)


def make_sample(day: str, *, sample_id: int = 1, by_camera: bool = True) -> Sample:
    return replace(ENROLLED_NOW, id=sample_id, taken_at=datetime.fromisoformat(day), camera_dated=by_camera)


def find_codes(born: str | None, *samples: Sample) -> list[str]:
    return [warning.code.value for warning in fact_warnings(make_ada(born), samples, TODAY)]


@pytest.mark.parametrize(
    ("born", "samples", "expected"),
    [
        ("2016", [make_sample("2024-11-27")], ["outdated_samples"]),
        ("2016", [make_sample("2024-11-28")], []),
        ("2016", [make_sample("2020-01-01"), make_sample("2025-01-01", sample_id=2)], []),
        ("2016", [make_sample("2020-01-01"), ENROLLED_NOW], []),
        ("2016", [make_sample("2020-01-01", by_camera=False)], []),  # the file time is that of the copy
        ("2016", [replace(ENROLLED_NOW, enrolled_at=datetime(2024, 1, 1, tzinfo=UTC))], ["outdated_samples"]),
        ("2010-11-28", [make_sample("2020-01-01")], []),  # sixteen today
        ("2010-11-29", [make_sample("2020-01-01")], ["outdated_samples"]),
        ("1985", [make_sample("1995-01-01")], []),
        (None, [make_sample("1995-01-01")], []),
        ("2016", [], []),
        ("1985-06-15", [make_sample("1985-06-14")], []),  # a day of tolerance for time zones
        ("1985-06-15", [make_sample("1985-06-13")], ["dated_before_birth"]),
        ("1985-06", [make_sample("1985-05-31")], []),
        ("1985", [make_sample("1984-01-01", by_camera=False)], []),
        ("2020", [make_sample("2019-06-01")], ["outdated_samples", "dated_before_birth"]),
    ],
)
def test_contradicting_samples_give_warnings(born: str | None, samples: list[Sample], expected: list[str]) -> None:
    assert find_codes(born, *samples) == expected


def test_warning_names_the_samples() -> None:
    early = [
        make_sample("1980-05-01", sample_id=3),
        make_sample("1990-05-01", sample_id=4),
        make_sample("1981-05-01", sample_id=7),
    ]
    (warning,) = fact_warnings(make_ada("1985"), early, TODAY)
    assert (warning.code, warning.sample_ids) == (FactWarningCode.DATED_BEFORE_BIRTH, (3, 7))
    assert "3, 7" in warning.message


@given(
    born=st.dates(date(1850, 1, 1), TODAY), days=st.lists(st.datetimes(datetime(1840, 1, 1), datetime(2026, 11, 28)))
)
def test_any_dates_are_accepted(born: date, days: list[datetime]) -> None:
    samples = [make_sample(day.isoformat(), sample_id=sample_id) for sample_id, day in enumerate(days, start=1)]
    for today in (TODAY, date(2028, 2, 29)):
        for warning in fact_warnings(make_ada(born.isoformat()), samples, today):
            assert warning.message.isprintable()
            assert warning.sample_ids
