from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.datasets import only_named, read_names

PIXELS = np.zeros((4, 4, 3), dtype=np.uint8)


def written(folder: Path, text: str) -> Path:
    path = folder / "people.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada\nBea\tremark\n\n", {"Ada", "Bea"}),
        ("2\nAda\t3\nBea\t1\n", {"Ada", "Bea"}),  # as LFW lists people
        ("1\n3\n25\n", {"1", "3", "25"}),  # people who have numbers for names
    ],
)
def test_people_are_listed_by_name(tmp_path: Path, text: str, names: set[str]) -> None:
    assert read_names(written(tmp_path, text)) == names


def test_some_people_of_a_dataset(tmp_path: Path) -> None:
    data = Dataset("album", tuple(DatasetPhoto(f"{name}.jpg", name, PIXELS) for name in ("1", "2", "3")))
    some = only_named(data, written(tmp_path, "1\n3\n4\n"))
    assert some.people == ("1", "3")
    assert some.left_out[0].why == "1 of 3 people have no photos here: 4"
    with pytest.raises(DatasetError, match="none of its 1 people"):
        only_named(data, written(tmp_path, "9\n"))
