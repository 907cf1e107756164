"""The cache of detected faces and embeddings."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebank.evaluation.face_cache import FaceCache, code_digest, evaluation_folder, forget_evaluated_faces
from facebank.storage.values import register_row_digest
from facebank.types import Face, Quality

DIMENSION = 8


def make_face(
    seed: int = 0, *, exposure: float | None = 0.5, weaknesses: tuple[str, ...] = ("small", "mouth hidden")
) -> Face:
    random = np.random.default_rng(seed)
    embedding = random.normal(size=DIMENSION).astype(np.float32)
    return Face(
        random.random(4).astype(np.float32),
        random.random((5, 2)).astype(np.float32),
        0.75,
        Quality(0.5, 112.0, 0.25, 1.0, exposure, None, None, weaknesses),
        embedding / np.linalg.norm(embedding),
    )


def are_equal(first: Face, second: Face) -> bool:
    return (
        first.quality == second.quality
        and first.detection_score == second.detection_score
        and np.array_equal(first.box, second.box)
        and np.array_equal(first.landmarks, second.landmarks)
        and np.array_equal(first.embedding, second.embedding)
    )


def test_faces_round_trip(tmp_path: Path) -> None:
    faces = [make_face(1), make_face(2, exposure=None, weaknesses=())]
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        cache.store_faces("a", 3, faces)
        cache.store_faces("nobody", 0, [])
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        entry = cache.faces("a")
        assert entry is not None
        assert entry[0] == 3
        assert all(are_equal(*pair) for pair in zip(entry[1], faces, strict=True))
        assert cache.faces("nobody") == (0, ())
        assert cache.faces("b") is None


def test_embeddings_round_trip(tmp_path: Path) -> None:
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        cache.store_embedding("a", make_face().embedding)
        embedding = cache.embedding("a")
        assert embedding is not None
        assert np.array_equal(embedding, make_face().embedding)
        assert cache.embedding("b") is None


def test_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        cache.store_faces("a", 0, [make_face()])
    assert stat.S_IMODE((tmp_path / "c.sqlite").stat().st_mode) & 0o077 == 0


@given(st.binary(max_size=300))
def test_damaged_file_is_recreated(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("damaged") / "c.sqlite"
    path.write_bytes(content)
    with FaceCache(path, DIMENSION) as cache:
        assert cache.faces("a") is None
        cache.store_faces("a", 0, [make_face()])
        assert cache.faces("a") is not None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE photos SET turns = 1",
        "UPDATE photos SET numbers = zeroblob(length(numbers))",
        "UPDATE photos SET weaknesses = '[[]]'",
        "UPDATE photos SET weaknesses = '[', row_digest = row_digest('photos', key, turns, '[', numbers)",
        "UPDATE photos SET weaknesses = '7', row_digest = row_digest('photos', key, turns, '7', numbers)",
        "UPDATE photos SET numbers = 'x', row_digest = row_digest('photos', key, turns, weaknesses, 'x')",
        "UPDATE photos SET turns = 'x', row_digest = row_digest('photos', key, 'x', weaknesses, numbers)",
    ],
)
def test_altered_row_is_not_used(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "c.sqlite"
    with FaceCache(path, DIMENSION) as cache:
        cache.store_faces("a", 0, [make_face()])
    with closing(sqlite3.connect(path)) as connection, connection:
        register_row_digest(connection)
        connection.execute(statement)
    with FaceCache(path, DIMENSION) as cache:
        assert cache.faces("a") is None


def test_two_open_caches_of_one_file_can_both_write(tmp_path: Path) -> None:
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as first, FaceCache(tmp_path / "c.sqlite", DIMENSION) as second:
        first.store_faces("a", 0, [make_face(1)])
        second.store_faces("b", 0, [make_face(2)])
        assert first.faces("a") is not None
        assert second.faces("a") is None
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        assert cache.faces("a") is not None
        assert cache.faces("b") is not None


def test_rows_are_written_before_closing(tmp_path: Path) -> None:
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        for number in range(300):
            cache.store_embedding(str(number), make_face(number).embedding)
        with FaceCache(tmp_path / "c.sqlite", DIMENSION) as second:
            assert second.embedding("0") is not None


def test_embedding_of_another_length_is_not_used(tmp_path: Path) -> None:
    with FaceCache(tmp_path / "c.sqlite", DIMENSION) as cache:
        cache.store_faces("a", 0, [make_face()])
        cache.store_embedding("a", make_face().embedding)
    with FaceCache(tmp_path / "c.sqlite", DIMENSION + 1) as cache:
        assert cache.faces("a") is None
        assert cache.embedding("a") is None


def test_cache_that_cannot_be_written_works_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with FaceCache(tmp_path / "file" / "c.sqlite", DIMENSION) as cache:
        for number in range(300):
            cache.store_embedding(str(number), make_face(number).embedding)
        assert cache.embedding("0") is not None


def test_cache_can_be_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path))
    with FaceCache(evaluation_folder() / "c.sqlite", DIMENSION) as cache:
        cache.store_faces("a", 0, [make_face()])
    assert forget_evaluated_faces() > 0
    assert list(evaluation_folder().iterdir()) == []
    assert forget_evaluated_faces() == 0


def test_digest_of_the_code_is_a_sha256_in_hex() -> None:
    assert len(bytes.fromhex(code_digest())) == 32
