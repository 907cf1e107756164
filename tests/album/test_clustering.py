"""Clustering of faces by person, with constraints of photos and recorded pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facebank.album.groups.clustering import ClusteringThresholds, FaceTable, cluster
from facebank.index import pairs
from facebank.storage.arrays import normalized
from tests.recorder import Recorder

THRESHOLDS = ClusteringThresholds(0.6, 0.52)
NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


def embeddings_of_people(
    counts: list[int], noise: float = 0.5, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return embeddings of people, given by their numbers of faces, and the index of each face's person."""
    rng = np.random.default_rng(seed)
    centers = normalized(rng.normal(size=(len(counts), 128)).astype(np.float32))
    person_indices = np.repeat(np.arange(len(counts)), counts)
    scatter = normalized(rng.normal(size=(len(person_indices), 128)).astype(np.float32))
    return normalized(centers[person_indices] + np.float32(noise) * scatter), person_indices.astype(np.int64)


def face_table(
    embeddings: NDArray[np.float32], photo_ids: NDArray[np.int64] | None = None, apart: NDArray[np.int64] = NO_PAIRS
) -> FaceTable:
    count = len(embeddings)
    photo_ids = np.arange(count) if photo_ids is None else photo_ids
    return FaceTable(embeddings, photo_ids, np.ones(count, dtype=np.float32), apart)


def same_partition(first: NDArray[np.int64], second: NDArray[np.int64]) -> bool:
    return bool(((first[:, None] == first) == (second[:, None] == second)).all())


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 100))
def test_well_separated_people_are_found_whatever_the_order(counts: list[int], seed: int) -> None:
    embeddings, person_indices = embeddings_of_people(counts, seed=seed)
    order = np.random.default_rng(seed).permutation(len(person_indices))
    groups = cluster(face_table(embeddings[order]), THRESHOLDS)
    assert same_partition(groups, person_indices[order])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(0, 100))
def test_groups_are_numbered_by_size(counts: list[int], seed: int) -> None:
    groups = cluster(face_table(embeddings_of_people(counts, seed=seed)[0]), THRESHOLDS)
    sizes = np.bincount(groups)
    assert (np.diff(sizes) <= 0).all()
    assert sizes.min() >= 1


def test_the_block_size_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, _ = embeddings_of_people([30, 20, 10, 1, 1], noise=0.9)
    expected = cluster(face_table(embeddings), THRESHOLDS)
    recorder = Recorder()
    monkeypatch.setattr(pairs, "_ROWS", 7)
    monkeypatch.setattr(pairs, "_COLUMNS", 5)
    np.testing.assert_array_equal(cluster(face_table(embeddings), THRESHOLDS, recorder), expected)
    assert recorder.steps == [("Grouping", 1.0)]
    assert recorder.advances > 1
    assert recorder.done == [pytest.approx(1)]


def test_faces_of_one_photo_are_in_different_groups() -> None:
    embeddings, person_indices = embeddings_of_people([12, 12], noise=0.4)
    sisters = normalized(embeddings + np.float32(1.2) * embeddings.mean(axis=0))  # similar enough to link all
    assert len(np.unique(cluster(face_table(sisters), ClusteringThresholds(0.5, 0.45)))) == 1
    photo_ids = np.tile(np.arange(12), 2)  # both of them in each photo
    groups = cluster(face_table(sisters, photo_ids), ClusteringThresholds(0.5, 0.45))
    for group_number in np.unique(groups):
        photo_ids_of_group = photo_ids[groups == group_number]
        assert len(np.unique(photo_ids_of_group)) == len(photo_ids_of_group)
    assert same_partition(groups, person_indices)


def test_recorded_pairs_stay_in_different_groups() -> None:
    embeddings, _ = embeddings_of_people([20], noise=0.3)
    groups = cluster(face_table(embeddings, apart=np.array([[3, 11]])), THRESHOLDS)
    assert groups[3] != groups[11]
    assert len(np.unique(groups)) == 2  # the others join one of the two


def test_groups_with_similar_means_are_merged() -> None:
    embeddings, person_indices = embeddings_of_people([40], noise=0.95)
    linked_only = cluster(face_table(embeddings), ClusteringThresholds(0.62, 1.0))
    assert len(np.unique(linked_only)) > 1
    assert same_partition(cluster(face_table(embeddings), ClusteringThresholds(0.62, 0.52)), person_indices)


def test_an_empty_table_has_no_groups_and_one_face_has_one() -> None:
    assert cluster(face_table(np.zeros((0, 128), dtype=np.float32)), THRESHOLDS).tolist() == []
    assert cluster(face_table(embeddings_of_people([1])[0]), THRESHOLDS).tolist() == [0]
