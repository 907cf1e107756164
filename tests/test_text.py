"""Text from outside is shown as it is spelled, and nothing in it acts on a terminal or hides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.text import printable


@pytest.mark.parametrize(
    "text",
    [
        "Zoë Straße.jpg",
        "علی\u200cرضا",
        "می\u200cخواهم.jpg",
        "क्\u200dष",
        "क्\u200cष",
        "ശ്രീ\u200dമതി",
        "👨\u200d👩\u200d👧.jpg",
        "🏳\ufe0f\u200d🌈",
    ],
)
def test_what_a_language_needs_is_shown(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A\u200cda", "A\\u200cda"),
        ("علی\u200c", "علی\\u200c"),
        ("\u200dक", "\\u200dक"),
        ("علی\u200c\u200cرضا", "علی\\u200c\\u200cرضا"),
        ("علی\u200cAda", "علی\\u200cAda"),
        ("👨\u200c👩", "👨\\u200c👩"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("Ada\u200f", "Ada\\u200f"),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\n"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_hides_or_acts_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_only_joiners_are_left_of_what_cannot_be_seen(text: str) -> None:
    shown = printable(text)
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
    assert printable(shown) == shown
