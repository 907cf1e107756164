"""Lists of relatives: what is read, and what is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation import relatives
from facebank.evaluation.relatives import Relatives, read_relatives, threshold_of_strangers


def written(folder: Path, text: str) -> Path:
    path = folder / "list.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_list_of_lfw(shared: Path) -> None:
    found = read_relatives(shared / "data/lfw-meta/relatives.tsv")
    assert found[0] == Relatives("Ashley_Olsen", "Mary-Kate_Olsen", "twins")
    assert len(found) == 26


def test_two_names_a_line_are_enough(tmp_path: Path) -> None:
    path = written(tmp_path, "# ours\n\nAda, Byron\nByron,ADA,again\nGrace,Rosa,sisters\n")
    assert read_relatives(path) == (Relatives("Ada", "Byron"), Relatives("Grace", "Rosa", "sisters"))


def test_quoted_names_may_hold_commas(tmp_path: Path) -> None:
    assert read_relatives(written(tmp_path, 'First,Second\n"Byron, Ada",Grace\n')) == (
        Relatives("Byron, Ada", "Grace"),
    )


def test_people_may_be_called_like_columns(tmp_path: Path) -> None:
    assert read_relatives(written(tmp_path, "A\tB\n")) == (Relatives("A", "B"),)


def test_decomposed_letters_are_the_same_name(tmp_path: Path) -> None:
    assert read_relatives(written(tmp_path, "Rene\u0301e\tAda\n")) == (Relatives("Ren\u00e9e", "Ada"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no two people"),
        ("person_a\tperson_b\n", "no two people"),
        ("Grace\tRosa\nAda\n", "line 2 does not name two people: Ada"),
        ("Ada\t\n", "line 1 does not name two people"),
        ("Ada\tADA\n", "line 1 names one person twice"),
        ("Ada\tBy\u202eron\n", r"line 1: .*U\+202E|line 1: .*202e"),
    ],
)
def test_what_names_no_two_people_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DatasetError, match=why) as caught:
        read_relatives(written(tmp_path, text))
    assert "list.tsv" in str(caught.value)
    assert "\u202e" not in str(caught.value)


def test_a_list_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relatives, "MOST_PAIRS", 2)
    with pytest.raises(DatasetError, match="line 3: it names more than 2 pairs"):
        read_relatives(written(tmp_path, "a,b\nb,c\nc,d\n"))


def test_a_missing_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="list"):
        read_relatives(tmp_path / "list.tsv")


def test_the_threshold_lets_no_more_strangers_pass_than_said() -> None:
    similarities = np.random.default_rng(1).normal(0, 0.1, 20_000)
    threshold = threshold_of_strangers(similarities, 1e-3)
    assert (similarities >= threshold).sum() == 20
