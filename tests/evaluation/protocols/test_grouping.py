"""Grouping photos by traits of the dataset or by a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.protocols.groups_trials import group_photos

PIXELS = np.zeros((4, 4, 3), dtype=np.uint8)
DATA = Dataset(
    "three people",
    tuple(
        DatasetPhoto(f"{person}/{number}.jpg", person, PIXELS, traits={"side": side})
        for number, (person, side) in enumerate(
            [("Ada", "left"), ("Ada", "right"), ("Bea", "left"), ("Cyd", ""), ("Cyd", "left")]
        )
    ),
)


def write_table(folder: Path, text: str) -> Path:
    path = folder / "groups.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_traits_define_groups() -> None:
    groups = group_photos(DATA, "side")
    assert (groups.column, groups.names) == ("side", ("left", "right"))
    assert groups.of_photo.tolist() == [0, 1, 0, -1, 0]


def test_table_of_people_defines_groups(tmp_path: Path) -> None:
    path = write_table(tmp_path, "Person;Country\nada ;Greece\nBea;Peru\nDan;Peru\n")
    groups = group_photos(DATA, "country", path)
    assert groups.names == ("Greece", "Peru")
    assert groups.of_photo.tolist() == [0, 0, 1, -1, -1]
    assert [note.entry for note in groups.skipped] == ["groups.csv"]


def test_table_of_photos_takes_precedence(tmp_path: Path) -> None:
    path = write_table(tmp_path, "photo,person,age\nAda/0.jpg,Ada,child\nAda/1.jpg,Ada,adult\nCyd/4.jpg,Cyd,adult\n")
    assert group_photos(DATA, "age", path).of_photo.tolist() == [1, 0, -1, -1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person,country\nAda,Peru\nBea,Peru\n", "1 group"),
        ("person,country\nDan,Peru\nEve,Chile\n", "0 groups"),
        ("person,age\nAda,Peru\n", "the column 'country' is missing"),
        ("name,country\nAda,Peru\n", "a column 'person' or 'photo' is needed"),
        ("person,country\nAda,Peru\nADA,Chile\n", "line 3: ADA has two groups"),
        ("", "country"),
    ],
)
def test_unusable_table_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        group_photos(DATA, "country", write_table(tmp_path, text))


def test_unknown_trait_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no column age; available are side; pass a table with --by"):
        group_photos(DATA, "age")


def test_numeric_traits_need_ranges() -> None:
    photos = tuple(DatasetPhoto(f"{age}", f"{age}", PIXELS, traits={"age": str(age)}) for age in range(30))
    with pytest.raises(DatasetError, match="combine numbers into ranges"):
        group_photos(Dataset("ages", photos), "age")
