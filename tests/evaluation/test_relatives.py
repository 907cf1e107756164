"""Lists of relatives, valid and invalid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation import relatives
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.relatives import RelatedPair, families_of, read_relatives, relatives_in, threshold_at_fmr


def write_list(folder: Path, text: str) -> Path:
    path = folder / "list.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_relatives_of_lfw_are_read(shared: Path) -> None:
    pairs = read_relatives(shared / "data/lfw-meta/relatives.tsv")
    assert pairs[0] == RelatedPair("Ashley_Olsen", "Mary-Kate_Olsen", "twins")
    assert len(pairs) == 26


def test_two_names_per_line_are_enough(tmp_path: Path) -> None:
    path = write_list(tmp_path, "# ours\n\nAda, Byron\nByron,ADA,again\nGrace,Rosa,sisters\n")
    assert read_relatives(path) == (RelatedPair("Ada", "Byron"), RelatedPair("Grace", "Rosa", "sisters"))


def test_quoted_names_may_contain_commas(tmp_path: Path) -> None:
    assert read_relatives(write_list(tmp_path, 'First,Second\n"Byron, Ada",Grace\n')) == (
        RelatedPair("Byron, Ada", "Grace"),
    )


def test_people_may_be_named_like_columns(tmp_path: Path) -> None:
    assert read_relatives(write_list(tmp_path, "A\tB\n")) == (RelatedPair("A", "B"),)


def test_names_are_compared_after_unicode_normalization(tmp_path: Path) -> None:
    assert read_relatives(write_list(tmp_path, "Rene\u0301e\tAda\n")) == (RelatedPair("Ren\u00e9e", "Ada"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no pairs of people"),
        ("person_a\tperson_b\n", "has no pairs of people"),
        ("Grace\tRosa\nAda\n", "line 2: expected two names, got: Ada"),
        ("Ada\t\n", "line 1: expected two names"),
        ("Ada\tADA\n", "line 1: both names are"),
        ("Ada\tBy\u202eron\n", r"line 1: .*U\+202E|line 1: .*202e"),
    ],
)
def test_invalid_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read_relatives(write_list(tmp_path, text))
    assert "list.tsv" in str(caught.value)
    assert "\u202e" not in str(caught.value)


def test_too_long_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relatives, "MAX_PAIRS", 2)
    with pytest.raises(DatasetError, match="line 3: more than 2 pairs"):
        read_relatives(write_list(tmp_path, "a,b\nb,c\nc,d\n"))


def test_missing_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="list"):
        read_relatives(tmp_path / "list.tsv")


def test_threshold_passes_no_more_strangers_than_requested() -> None:
    similarities = np.random.default_rng(1).normal(0, 0.1, 20_000)
    threshold = threshold_at_fmr(similarities, 1e-3)
    assert (similarities >= threshold).sum() == 20


PIXELS = np.zeros((4, 4, 3), dtype=np.uint8)


def make_dataset(**families: str) -> Dataset:
    photos = (DatasetPhoto(name, name, PIXELS, traits={"family": family}) for name, family in families.items())
    return Dataset("relatives", tuple(photos))


def test_all_pairs_of_a_family_are_relatives() -> None:
    dataset = make_dataset(a="1", b="1", c="2", d="1", e="", f="")
    pairs = relatives_in(dataset, np.random.default_rng(0))
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "d"), ("b", "d")]


def test_large_family_does_not_outweigh_others() -> None:
    dataset = make_dataset(**{f"p{number:02}": "1" if number < 11 else "2" for number in range(13)})
    pairs = relatives_in(dataset, np.random.default_rng(0))
    assert len(pairs) == 10 + 1
    assert pairs == relatives_in(dataset, np.random.default_rng(0))


def test_families_are_connected_components() -> None:
    dataset = make_dataset(a="1", b="1", c="2", d="2", e="", f="")
    families = families_of(dataset, [RelatedPair("b", "c"), RelatedPair("e", "nobody")])
    assert len(set(families[:4].tolist())) == 1
    assert len(set(families.tolist())) == 3


def test_no_relatives_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no related people are given"):
        relatives_in(make_dataset(a="1", b="2"), np.random.default_rng(0))
