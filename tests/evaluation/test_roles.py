"""Nobody is enrolled and searched for with one photo, or with two of one source, and strangers are strangers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto
from facebank.evaluation.laboratory import FaceSet
from facebank.evaluation.roles import choose_roles, in_turns
from facebank.types import Detection, Face, Quality

FACE = Face(
    Detection(np.array([0, 0, 9, 9], dtype=np.float32), np.zeros((5, 2), dtype=np.float32), 1.0),
    Quality(1, 100, 1, 1),
    np.array([1, 0], dtype=np.float32),
)


def faces_of(counts: list[int], groups: bool = False) -> FaceSet:
    photos = tuple(
        DatasetPhoto(f"{person}/{number}", f"P{person:03}", b"", group=f"{person}-{number // 2}" if groups else "")
        for person, count in enumerate(counts)
        for number in range(count)
    )
    total = len(photos)
    hashes = tuple(f"{number}" for number in range(total))
    return FaceSet(Dataset("made up", photos), (FACE,) * total, (0,) * total, hashes, 2, ())


@given(st.lists(st.integers(1, 9), min_size=2, max_size=40), st.integers(1, 4), st.integers(0, 99), st.booleans())
def test_parts_never_meet(counts: list[int], photos: int, seed: int, groups: bool) -> None:
    faces = faces_of(counts, groups)
    random = np.random.default_rng(seed)
    if max(counts) <= photos:
        with pytest.raises(DatasetError, match="nobody has more than"):
            choose_roles(faces, photos=photos, mated=20, strangers=30, random=random)
        return
    roles = choose_roles(faces, photos=photos, mated=20, strangers=30, random=random)
    owners, sources = faces.dataset.owners, faces.groups
    assert len(np.unique(np.concatenate([roles.enrolled, roles.probes]))) == len(roles.enrolled) + len(roles.probes)
    assert not set(sources[roles.enrolled]) & set(sources[roles.mated])
    assert set(owners[roles.mated]) <= set(owners[roles.enrolled])
    assert not set(owners[roles.enrolled]) & set(owners[roles.strangers])
    assert np.all(np.unique(owners[roles.enrolled], return_counts=True)[1] == photos)
    assert len(roles.mated) <= 20
    assert len(roles.strangers) <= 30


def test_some_are_held_out_where_nobody_is_left_to_be_a_stranger() -> None:
    roles = choose_roles(faces_of([5] * 9), photos=2, mated=99, strangers=99, random=np.random.default_rng(0))
    assert (len(roles.enrolled), len(roles.strangers)) == (2 * 6, 5 * 3)


def test_people_take_turns() -> None:
    places = [np.array([0, 1, 2]), np.array([3]), np.array([4, 5])]
    assert in_turns(places, 5).tolist() == [0, 3, 4, 1, 5]
    assert in_turns([], 5).tolist() == []
