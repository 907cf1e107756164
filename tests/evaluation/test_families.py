from __future__ import annotations

import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.families import families_of, relatives_in
from facebank.evaluation.relatives import Relatives

PIXELS = np.zeros((4, 4, 3), dtype=np.uint8)


def album(**families: str) -> Dataset:
    photos = (DatasetPhoto(name, name, PIXELS, traits={"family": family}) for name, family in families.items())
    return Dataset("album", tuple(photos))


def test_all_pairs_of_a_family_are_relatives() -> None:
    data = album(a="1", b="1", c="2", d="1", e="", f="")
    pairs = relatives_in(data, np.random.default_rng(0))
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "d"), ("b", "d")]


def test_a_large_family_does_not_outweigh_others() -> None:
    data = album(**{f"p{number:02}": "1" if number < 11 else "2" for number in range(13)})
    pairs = relatives_in(data, np.random.default_rng(0))
    assert len(pairs) == 10 + 1
    assert pairs == relatives_in(data, np.random.default_rng(0))


def test_families_are_joined_over_others() -> None:
    data = album(a="1", b="1", c="2", d="2", e="", f="")
    families = families_of(data, [Relatives("b", "c"), Relatives("e", "nobody")])
    assert len(set(families[:4].tolist())) == 1
    assert len(set(families.tolist())) == 3


def test_nobody_related_is_told() -> None:
    with pytest.raises(DatasetError, match="say who is related"):
        relatives_in(album(a="1", b="2"), np.random.default_rng(0))
