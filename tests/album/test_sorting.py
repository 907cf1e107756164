"""Names of folders are safe whatever people are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.album.sort.ways import folder_name


@pytest.mark.parametrize(
    ("person", "folder"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("Åsa Ö. Ünal", "Åsa Ö. Ünal"),
        ("..", "_"),
        (".hidden", "_.hidden"),
        ("Dr. No.", "Dr. No"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("AC/DC", "AC_DC"),
        ("a\\b:c?", "a_b_c_"),
        ("日" * 200, "日" * 85),
        ("x" + "😀" * 200, "x" + "😀" * 63),
    ],
)
def test_a_name_becomes_a_folder(person: str, folder: str) -> None:
    assert folder_name(person) == folder


@given(st.text(min_size=1, max_size=40))
def test_a_folder_is_always_one_step_below(person: str) -> None:
    name = folder_name(person)
    path = Path("out") / name
    assert name not in {"", ".", ".."}
    assert path.parent == Path("out")
    assert not name.startswith(".")
