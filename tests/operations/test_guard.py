"""The check for faces unlike their person, with synthetic embeddings."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from facebank.recognition.face_choice import SeveralFaces, choose_faces
from facebank.recognition.resemblance import (
    DoubtKind,
    OtherPeople,
    compare,
    is_one_person,
    linked_sets,
    may_look_different,
    split_into_halves,
)

if TYPE_CHECKING:
    from facebank.types import FloatArray

THRESHOLD = 0.29
NOBODY = OtherPeople.from_samples(np.zeros(0, dtype=np.int64), np.zeros((0, 64), dtype=np.float32))
NO_FACES = np.zeros((0, 64), dtype=np.float32)


def make_faces(person: int, count: int, similarity: float = 0.6) -> FloatArray:
    """Return embeddings of a person, ``float32`` of shape ``(count, 64)``, with a mean similarity near `similarity`."""
    random = np.random.default_rng(person)
    basis = np.linalg.qr(np.random.default_rng(99).normal(size=(64, 64)))[0]
    noise = random.normal(size=(count, 64)) / 8
    embeddings = np.sqrt(similarity) * basis[person] + np.sqrt(1 - similarity) * noise
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), dtype=np.float32)


def find_doubts(
    offered: FloatArray, samples: FloatArray = NO_FACES, others: OtherPeople = NOBODY
) -> list[DoubtKind | None]:
    """Return the kind of doubt about each face, or None."""
    return [doubt and doubt.kind for doubt in compare(offered, samples, others, THRESHOLD).doubts]


def make_people(*people: FloatArray) -> OtherPeople:
    """Return other enrolled people, numbered from 0."""
    person_ids = np.repeat(np.arange(len(people)), [len(faces) for faces in people])
    return OtherPeople.from_samples(person_ids, np.concatenate(people))


def test_two_of_five_faces_are_unlike_in_any_order() -> None:
    offered = np.concatenate([make_faces(0, 3), make_faces(1, 2)])
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5)
        expected = [DoubtKind.UNLIKE if index >= 3 else None for index in order.tolist()]
        assert find_doubts(offered[order]) == expected


def test_equally_many_faces_of_two_people_are_undecided() -> None:
    offered = np.concatenate([make_faces(0, 2), make_faces(1, 2)])
    assert find_doubts(offered) == [DoubtKind.UNDECIDED] * 4
    others = make_people(make_faces(1, 5)[2:])
    assert find_doubts(offered, others=others) == [None, None, DoubtKind.ANOTHER, DoubtKind.ANOTHER]


def test_samples_outweigh_offered_faces() -> None:
    assert find_doubts(make_faces(1, 4), make_faces(0, 2)) == [DoubtKind.OUTVOTED] * 4
    assert find_doubts(make_faces(0, 3)[2:], make_faces(0, 2)) == [None]


def test_a_face_nearer_to_another_person_is_reported() -> None:
    others = make_people(make_faces(1, 5)[1:], make_faces(2, 3))
    (doubt,) = compare(make_faces(1, 1), make_faces(0, 3), others, THRESHOLD).doubts
    assert doubt is not None
    assert (doubt.kind, doubt.person) == (DoubtKind.ANOTHER, 0)
    assert find_doubts(make_faces(1, 5, 0.8)[:1], others=make_people(make_faces(1, 5, 0.8)[1:])) == [DoubtKind.ANOTHER]


def test_sets_equal_average_linkage() -> None:
    faces = np.concatenate([make_faces(person, 6, 0.5) for person in range(6)])
    similarities = faces @ faces.T
    tree = linkage(1 - similarities[np.triu_indices(len(faces), 1)].astype(float), "average")
    for threshold in (0.1, 0.3, 0.5, 0.6):
        sets, expected = linked_sets(similarities, threshold), fcluster(tree, 1 - threshold, "distance")
        np.testing.assert_array_equal(sets[:, None] == sets, expected[:, None] == expected)


@pytest.mark.parametrize(
    ("first", "second", "born", "differs"),
    [
        (2001, 2004, None, False),
        (2001, 2006, None, True),
        (2001, 2003, "1999", True),
        (2001, 2008, "1970-05", False),
        (2001, 2013, "1970-05-03", True),
    ],
)
def test_years_between_photos_explain_differences(first: int, second: int, born: str | None, differs: bool) -> None:
    dates = [datetime(year, 1, 1) for year in (first, second)]
    assert may_look_different(dates[0], dates[1], born) is differs
    assert may_look_different(dates[1], dates[0], born) is differs


def make_photo(*faces: FloatArray, sizes: tuple[float, ...] = (100, 90)) -> SeveralFaces:
    """Return a photo of several faces."""
    return SeveralFaces(np.stack(faces), sizes)


def test_the_face_common_to_photos_is_chosen() -> None:
    faces = make_faces(0, 3)
    photos = [make_photo(faces[0], make_faces(1, 1)[0]), make_photo(make_faces(2, 1)[0], faces[1])]
    assert [choice.face_index for choice in choose_faces(photos, NO_FACES, THRESHOLD)] == [0, 1]
    couple = [make_photo(*pair) for pair in zip(faces, make_faces(1, 3), strict=True)]
    assert [choice.face_index for choice in choose_faces(couple, NO_FACES, THRESHOLD)] == [None] * 3
    assert [choice.face_index for choice in choose_faces(couple, make_faces(0, 4)[3:], THRESHOLD)] == [0] * 3


def test_the_clearly_largest_face_is_chosen() -> None:
    faces = make_faces(0, 1)[0], make_faces(1, 1)[0]
    (choice,) = choose_faces([make_photo(*faces, sizes=(100, 40))], NO_FACES, THRESHOLD)
    assert (choice.face_index, "2.5 times" in choice.reason) == (0, True)
    (choice,) = choose_faces([make_photo(*faces, sizes=(100, 41))], NO_FACES, THRESHOLD)
    assert choice.face_index is None


def test_merged_people_have_two_halves() -> None:
    faces = np.concatenate([make_faces(0, 3), make_faces(1, 2)])
    result = split_into_halves(faces, THRESHOLD)
    assert result is not None
    assert result[0].tolist() == [False, False, False, True, True]
    assert result[1] < 0.1
    order = np.random.default_rng(0).permutation(5)
    shuffled = split_into_halves(faces[order], THRESHOLD)
    assert shuffled is not None
    assert shuffled[0].tolist() == result[0][order].tolist()


def test_one_person_has_no_halves() -> None:
    assert split_into_halves(make_faces(0, 8), THRESHOLD) is None
    assert split_into_halves(np.concatenate([make_faces(0, 3), make_faces(1, 1)]), THRESHOLD) is None  # one odd sample
    assert split_into_halves(np.concatenate([make_faces(0, 1), make_faces(1, 1)]), THRESHOLD) is None
    assert split_into_halves(NO_FACES, THRESHOLD) is None


def test_folders_of_one_person_are_joined() -> None:
    assert is_one_person(make_faces(0, 5)[:2], make_faces(0, 5)[2:], THRESHOLD)
    assert not is_one_person(make_faces(0, 3), make_faces(1, 3), THRESHOLD)
