"""Texts of the page, adapted from messages for commands."""

from __future__ import annotations

import pytest

from facebank.service.page.wording import is_offered, normalize_date, scan_words, sentence
from facebank.types import Candidate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "group 11 is unlike Ada, who is enrolled (similarity -0.08): choose another name, or use --force if it is "
            "Ada anyway",
            "This group is unlike Ada, who is known: choose another name.",
        ),
        (
            "nothing was learned: the face is nearer to Bea (similarity 0.48) than to Ada (0.06): use --force if it is "
            "Ada anyway",
            "Nothing was learned: the face is nearer to Bea than to Ada.",
        ),
        (
            "2 faces were found and no other photo shows which of them is meant: choose with --pick "
            "largest or --pick central",
            "2 faces were found and no other photo shows which of them is meant.",
        ),
        ("Nobody called 'Ada' is enrolled: `facebank people list` shows who is.", "Nobody called 'Ada' is known."),
        (
            "another face of the photo is a sample of Ada already (sample 12), not this one",
            "Another face of the photo is a learned face of Ada already, not this one.",
        ),
        ("my_sample, sample.jpg and 'sample' stay", "My_sample, sample.jpg and 'sample' stay."),
        (
            "There is already a person called 'Ada': if both are the same person, join them with "
            "`facebank people merge`.",
            "There is already a person called 'Ada'.",
        ),
        (
            "'12.3.2015' is not a birth date: write YYYY, YYYY-MM or YYYY-MM-DD.",
            "'12.3.2015' is not a birth date: write 2014, 2014-03 or 2014-03-21.",
        ),
        ("there is no such face", "There is no such face."),
        ("truth.tsv is not a photo: unknown file format", "truth.tsv is not a photo: unknown file format."),
        ("my photo.jpg cannot be read: it is cut short", "my photo.jpg cannot be read: it is cut short."),
    ],
)
def test_advice_about_commands_is_omitted(text: str, expected: str) -> None:
    assert sentence(text) == expected


@pytest.mark.parametrize(("probability", "offered"), [(None, True), (0.01, True), (0.004, False)])
def test_unlikely_people_are_not_offered(probability: float | None, offered: bool) -> None:
    assert is_offered(Candidate("Ada", 0.1, probability)) is offered


def test_scan_shows_its_remaining_time() -> None:
    assert scan_words(0, None, None) == "Looking for new photos…"
    assert scan_words(0, 73, None) == "Looking through your photos: 0 of 73"
    assert scan_words(72, 73, 0.3).endswith("72 of 73, about 1 second left")
    assert scan_words(1_000, 30_000, 89.2).endswith("1,000 of 30,000, about 89 seconds left")
    assert scan_words(1_000, 30_000, 91.0).endswith("about 2 minutes left")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (" 2014 ", "2014"),
        ("2014-3", "2014-03"),
        ("2014/03", "2014-03"),
        ("2014.3.1", "2014-03-01"),
        ("2014-03-21", "2014-03-21"),
        ("1.3.2014", "1.3.2014"),
        ("", ""),
    ],
)
def test_birth_dates_are_normalized(typed: str, expected: str) -> None:
    assert normalize_date(typed) == expected
