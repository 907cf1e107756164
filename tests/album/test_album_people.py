"""Mean embeddings of the people in a scan."""

from __future__ import annotations

import numpy as np
import pytest

from facebank.album.groups.album_people import album_people
from facebank.album.scan.scan_file import StoredFaces
from facebank.packs import load_pack

from .test_clustering import embeddings_of_people


def stored_faces(counts: list[int], quality: float = 0.9, seed: int = 0) -> StoredFaces:
    embeddings, person_indices = embeddings_of_people(counts, seed=seed)
    face_ids = np.arange(len(person_indices), dtype=np.int64)
    return StoredFaces(face_ids, face_ids, embeddings, np.full(len(person_indices), quality, np.float32))


def test_means_of_people_with_several_faces_are_sorted_by_number_of_faces() -> None:
    counts = [3, 1, 6, 2]
    faces, person_indices = stored_faces(counts), np.repeat(range(4), counts)
    means = album_people(faces, load_pack().manifest.thresholds)
    assert means.shape == (3, 128)
    assert means.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1, atol=1e-5)
    assert [person_indices[np.argmax(faces.embeddings @ mean)] for mean in means] == [2, 0, 3]


def test_poor_faces_and_an_empty_scan_have_no_people() -> None:
    thresholds = load_pack().manifest.thresholds
    assert len(album_people(stored_faces([4, 4], quality=0.1), thresholds)) == 0
    no_faces = StoredFaces(
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 128), np.float32), np.zeros(0, np.float32)
    )
    assert len(album_people(no_faces, thresholds)) == 0


def test_a_large_scan_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebank.album.groups.album_people.MAX_FACES", 20)
    means = album_people(stored_faces([30, 30]), load_pack().manifest.thresholds)
    assert len(means) == 2
