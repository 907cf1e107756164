"""Searches in a trial gallery match the decisions of the program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.bank import FaceBank
from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, Pick
from facebank.evaluation.faces import FaceReader, FaceSet
from facebank.evaluation.searches import NOBODY, Searches, choose_roles, enroll, round_robin
from facebank.operations.engine import Engine
from facebank.recognition.settings import DecisionSettings
from facebank.types import Face, Quality
from tests.lfw_photos import lfw_photos

PEOPLE = ("Abdullah_Gul", "Ai_Sugiyama", "Alejandro_Toledo", "Alvaro_Uribe")
STRANGERS = ("Aaron_Peirsol", "Al_Gore")


@pytest.fixture(scope="module")
def faces(engine: Engine, shared: Path) -> FaceSet:
    return FaceReader(engine).read(Dataset("six people", lfw_photos(shared, PEOPLE + STRANGERS, 4)))


def photo_indices(faces: FaceSet, people: tuple[str, ...], photos: slice) -> np.ndarray:
    indices_by_person = [
        [index for index, photo in enumerate(faces.dataset.photos) if photo.person == person][photos]
        for person in people
    ]
    return np.array([index for indices in indices_by_person for index in indices], dtype=np.int64)


@pytest.mark.parametrize("classifier", ["prototype", "logistic"])
def test_trial_decides_like_a_gallery_file(engine: Engine, faces: FaceSet, classifier: str, tmp_path: Path) -> None:
    settings = DecisionSettings(classifier=classifier)
    enrolled, probes = photo_indices(faces, PEOPLE, slice(0, 2)), photo_indices(faces, PEOPLE + STRANGERS, slice(2, 4))
    trial = enroll(FaceReader(engine), faces, enrolled, settings)
    searches = trial.search(probes)
    with FaceBank.open(tmp_path / "g.facebank") as bank:
        for person in PEOPLE:
            bank.enroll(person, [photo_path(faces, index) for index in photo_indices(faces, (person,), slice(0, 2))])
        settings.write(bank.gallery)
        for number, index in enumerate(probes):
            (photo,) = bank.identify([photo_path(faces, index)])
            face = photo.faces[0]
            named = searches.named[number]
            assert face.person == (None if named == NOBODY else trial.names[named])
            assert face.similarity == pytest.approx(searches.similarities[number], abs=1e-4)
            assert face.probability == pytest.approx(searches.probabilities[number], abs=1e-3)


def photo_path(faces: FaceSet, index: int) -> Path:
    content = faces.dataset.photos[index].content
    assert isinstance(content, Path)
    return content


def test_strangers_misses_and_names_are_distinguished(engine: Engine, faces: FaceSet) -> None:
    trial = enroll(FaceReader(engine), faces, photo_indices(faces, PEOPLE, slice(0, 2)))
    searches = trial.search(photo_indices(faces, PEOPLE + STRANGERS, slice(2, 4)))
    assert searches.mated.tolist() == [person in PEOPLE for person in searched_people(faces, searches)]
    assert [trial.names[shown] for shown in searches.shown[searches.mated]] == [
        person for person in searched_people(faces, searches) if person in PEOPLE
    ]
    assert not searches.missed[~searches.mated].any()
    assert not searches.not_first.any()
    assert not searches.misnamed.any()


def searched_people(faces: FaceSet, searches: Searches) -> list[str]:
    return [faces.dataset.photos[index].person or "" for index in searches.indices]


def test_probe_without_a_face_is_a_miss(engine: Engine, faces: FaceSet) -> None:
    trial = enroll(FaceReader(engine), faces, photo_indices(faces, PEOPLE, slice(0, 2)))
    indices = photo_indices(faces, PEOPLE, slice(2, 3))
    faceless = replace(faces, faces=tuple(None if index in indices else face for index, face in enumerate(faces.faces)))
    searches = trial.search(indices, faceless)
    assert searches.missed.all()
    assert searches.not_first.all()
    assert not searches.misnamed.any()
    assert not searches.acquired.any()
    assert np.isnan(searches.similarities).all()


def test_concatenated_parts_equal_the_whole(engine: Engine, faces: FaceSet) -> None:
    trial = enroll(FaceReader(engine), faces, photo_indices(faces, PEOPLE, slice(0, 2)))
    indices = photo_indices(faces, PEOPLE + STRANGERS, slice(2, 4))
    undivided = trial.search(indices)
    joined = Searches.concatenate([trial.search(indices[:3]), trial.search(indices[3:])])
    assert np.array_equal(undivided.named, joined.named)
    assert np.array_equal(undivided.select(undivided.mated).shown, undivided.shown[undivided.mated])


def test_unnamed_photos_cannot_be_enrolled(engine: Engine, faces: FaceSet) -> None:
    unnamed = replace(
        faces, dataset=Dataset("unnamed", tuple(replace(photo, person=None) for photo in faces.dataset.photos))
    )
    with pytest.raises(DatasetError, match="none of the photos to enroll"):
        enroll(FaceReader(engine), unnamed, np.arange(4))


def test_largest_face_is_used_by_default() -> None:
    assert Dataset("one photo", (DatasetPhoto("a", "A", b""),)).pick is Pick.LARGEST


FACE = Face(
    np.array([0, 0, 9, 9], dtype=np.float32),
    np.zeros((5, 2), dtype=np.float32),
    1.0,
    Quality(1, 100, 1, 1),
    np.array([1, 0], dtype=np.float32),
)


def make_faces(counts: list[int], groups: bool = False) -> FaceSet:
    photos = tuple(
        DatasetPhoto(f"{person}/{number}", f"P{person:03}", b"", group=f"{person}-{number // 2}" if groups else "")
        for person, count in enumerate(counts)
        for number in range(count)
    )
    total = len(photos)
    hashes = tuple(f"{number}" for number in range(total))
    return FaceSet(Dataset("made up", photos), (FACE,) * total, (0,) * total, hashes, 2, ())


@given(st.lists(st.integers(1, 9), min_size=2, max_size=40), st.integers(1, 4), st.integers(0, 99), st.booleans())
def test_enrolled_and_searched_parts_are_disjoint(counts: list[int], photos: int, seed: int, groups: bool) -> None:
    faces = make_faces(counts, groups)
    random = np.random.default_rng(seed)
    if max(counts) <= photos:
        with pytest.raises(DatasetError, match="nobody has"):
            choose_roles(faces, photos=photos, mated=20, strangers=30, random=random)
        return
    roles = choose_roles(faces, photos=photos, mated=20, strangers=30, random=random)
    person_indices, photo_groups = faces.dataset.person_indices, faces.groups
    assert len(np.unique(np.concatenate([roles.enrolled, roles.probes]))) == len(roles.enrolled) + len(roles.probes)
    assert not set(photo_groups[roles.enrolled]) & set(photo_groups[roles.mated])
    assert set(person_indices[roles.mated]) <= set(person_indices[roles.enrolled])
    assert not set(person_indices[roles.enrolled]) & set(person_indices[roles.strangers])
    assert np.all(np.unique(person_indices[roles.enrolled], return_counts=True)[1] == photos)
    assert len(roles.mated) <= 20
    assert len(roles.strangers) <= 30


def test_people_are_held_out_if_no_stranger_is_left() -> None:
    roles = choose_roles(make_faces([5] * 9), photos=2, mated=99, strangers=99, random=np.random.default_rng(0))
    assert (len(roles.enrolled), len(roles.strangers)) == (2 * 6, 5 * 3)


def test_round_robin_alternates_people() -> None:
    indices = [np.array([0, 1, 2]), np.array([3]), np.array([4, 5])]
    assert round_robin(indices, 5).tolist() == [0, 3, 4, 1, 5]
    assert round_robin([], 5).tolist() == []
