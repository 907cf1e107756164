"""Normalization of names, and the keys by which names are compared."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import InvalidNameError
from facebank.gallery import name_key, normalize_name

CLEAN_TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), exclude_characters="/\\"), max_size=60
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada", "Ada"),
        ("  Ada \u00a0  Lovelace\u3000", "Ada Lovelace"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("Ада Лавлейс", "Ада Лавлейс"),
        ("愛達", "愛達"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("\u200fסבתא רבקה\u200f", "סבתא רבקה"),
        (" Ada \u200e \u200f", "Ada"),
        ("O'Neil, J. (jr.)", "O'Neil, J. (jr.)"),
        ("x" * 200, "x" * 200),
    ],
)
def test_names_are_normalized(text: str, expected: str) -> None:
    assert normalize_name(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "\u200c", ".", "..", "a/b", "a\\b", "/", "a\0b", "a\nb", "tab\tbed", "\x7f", "\x9b31m"),
        *("\u202eadA", "a\u2066b", "a\u200eb", "a\u200bb", "\ufeffAda", "a\u2028b", "\udcff", "x" * 201),
    ],
)
def test_invalid_names_are_rejected(text: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        normalize_name(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@given(CLEAN_TEXT)
def test_normalization_is_idempotent(text: str) -> None:
    try:
        name = normalize_name(text)
    except InvalidNameError:
        return
    assert normalize_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert name == name.strip()


@given(CLEAN_TEXT)
def test_keys_ignore_case_and_normal_form(text: str) -> None:
    key = name_key(text)
    assert name_key(unicodedata.normalize("NFD", text)) == key
    assert name_key(unicodedata.normalize("NFC", text)) == key
    assert name_key(text.casefold()) == key
    assert name_key(key) == key


def test_direction_marks_around_names_are_ignored() -> None:
    assert name_key("Ada\u200f") == name_key("ada")


def test_keys_of_different_names_differ() -> None:
    assert len({name_key(name) for name in ("Ada", "Äda", "Ada L", "Аda")}) == 4


def test_keys_are_case_folded() -> None:
    assert name_key("STRASSE") == name_key("straße")
    assert name_key("ΣΊΣΥΦΟΣ") == name_key("σίσυφος")
