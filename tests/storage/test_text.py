"""Untrusted text is shown without hidden characters and terminal control sequences."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.storage.text import printable, shell_command, shell_word, spreadsheet_cell

PROJECT = Path(__file__).resolve().parents[2]


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
def test_joiners_within_words_and_emojis_are_kept(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_hidden_and_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text())
def test_no_invisible_characters_but_joiners_remain(text: str) -> None:
    shown = printable(text)
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
    assert printable(shown) == shown


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n"])
def test_formulas_are_quoted(first: str) -> None:
    assert spreadsheet_cell(f"{first}cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize("text", ["", "Ada", "-0.25", "+1", "-1e-05", "0.5", "Ada=1", "-.5"])
def test_numbers_and_plain_text_are_unchanged_in_csv(text: str) -> None:
    assert spreadsheet_cell(text) == text


@pytest.mark.parametrize("text", ["-1+1", "-", "-nan", "--1", "-0.5\t"])
def test_text_that_starts_like_a_number_is_quoted(text: str) -> None:
    assert spreadsheet_cell(text).startswith("'")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    "text",
    [
        "photo.jpg",
        "my photos/ada.jpg",
        "it's",
        "$(rm x) `y` \\",
        "line\nbreak \x1b[31m",
        "a\u202eb'\\",
        "\udc80.jpg",
        "Zoë",
        "",
    ],
)
def test_a_shell_reads_quoted_words_back(text: str) -> None:
    word = shell_word(text)
    assert printable(word) == word
    output = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert output == text.encode("utf-8", "surrogateescape")


def test_commands_are_quoted() -> None:
    command = shell_command("--gallery", Path("/my data/g.facebank"), "people", "unmerge", "Ada Lovelace")
    assert command == "facebank --gallery '/my data/g.facebank' people unmerge 'Ada Lovelace'"


def test_commands_in_messages_are_quoted_with_shell_command() -> None:
    sources = [*(PROJECT / "facebank").rglob("*.py"), *(PROJECT / "cli").rglob("*.py")]
    assert [path.name for path in sources if re.search(r"\bshlex\b", path.read_text(encoding="utf-8"))] == ["text.py"]
    unquoted = re.compile(
        r"[`'\"]facebank (?!wrote)[a-z -]*\{(?:printable|str|path|place|person|name\b|\w+\.(?:path|person))"
    )
    assert [path.name for path in sources if unquoted.search(path.read_text(encoding="utf-8"))] == []
