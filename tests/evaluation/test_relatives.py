"""Lists of relatives: what is read, and what is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebank.errors import DatasetError
from facebank.evaluation.relatives import Relatives, read_relatives


def test_the_list_of_lfw(shared: Path) -> None:
    found = read_relatives(shared / "data/lfw-meta/relatives.tsv")
    assert found[0] == Relatives("Ashley_Olsen", "Mary-Kate_Olsen", "twins")
    assert len(found) == 26


def test_two_names_a_line_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("# ours\n\nAda, Byron\nByron,Ada,again\nGrace,Rosa,sisters\n", encoding="utf-8")
    assert read_relatives(path) == (Relatives("Ada", "Byron"), Relatives("Grace", "Rosa", "sisters"))


@pytest.mark.parametrize("text", ["", "person_a\tperson_b\n", "Ada\n", "Ada\tAda\n", "Ada\t\n"])
def test_what_names_no_two_people_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"list\.tsv"):
        read_relatives(path)


def test_a_missing_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="list"):
        read_relatives(tmp_path / "list.tsv")
