"""Mean embeddings of the people in a scan."""

from __future__ import annotations

import numpy as np
import pytest

from facebank.album.groups import album_people as module
from facebank.album.groups.album_people import album_people
from facebank.album.scan.scan_file import StoredFaces
from facebank.packs import load_pack

from .test_clustering import people


def stored(counts: list[int], qualities: float = 0.9, seed: int = 0) -> StoredFaces:
    embeddings, owners = people(counts, seed=seed)
    numbers = np.arange(len(owners), dtype=np.int64)
    return StoredFaces(numbers, numbers, embeddings, np.full(len(owners), qualities, np.float32))


def test_each_person_with_several_faces_has_one_mean_most_faces_first() -> None:
    faces = stored([3, 1, 6, 2])
    found = album_people(faces, load_pack().manifest.thresholds)
    assert found.shape == (3, 128)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    nearest = [int(np.argmax(faces.embeddings @ mean)) for mean in found]
    assert [3 if 4 <= place < 10 else 1 if place < 3 else 4 for place in nearest] == [3, 1, 4]


def test_poor_faces_and_an_empty_scan_give_nobody() -> None:
    thresholds = load_pack().manifest.thresholds
    assert len(album_people(stored([4, 4], qualities=0.1), thresholds)) == 0
    nothing = StoredFaces(
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 128), np.float32), np.zeros(0, np.float32)
    )
    assert len(album_people(nothing, thresholds)) == 0


def test_a_large_scan_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FACES", 20)
    found = album_people(stored([30, 30]), load_pack().manifest.thresholds)
    assert len(found) == 2
