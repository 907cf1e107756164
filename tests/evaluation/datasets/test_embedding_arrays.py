"""Embeddings in npz files, which are checked, never unpickled and bound to a pack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.errors import DatasetError, PhotoError
from facebank.evaluation.dataset import Pick, read_dataset_photo
from facebank.evaluation.datasets import arrays, open_dataset
from facebank.evaluation.datasets.arrays import read_embeddings
from facebank.evaluation.faces import FaceReader, embedded_faces
from facebank.evaluation.searches import NOBODY, enroll
from facebank.operations.engine import Engine
from facebank.types import Face

EMBEDDINGS = np.eye(4, 128, dtype=np.float32)
PEOPLE = np.array(["Ada", "Bea", "", "ada"])


def write(folder: Path, **content: Any) -> Path:
    path = folder / "faces.npz"
    np.savez(path, **({"embedding": EMBEDDINGS, "person": PEOPLE} | content))
    return path


def test_embeddings_and_traits_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        quality=np.array([1, 0.5, 0.2, 0], dtype=np.float32),
        size=np.array([80, 90, 100, 300]),
        group=np.array([1, 1, 2, 3]),
        young=np.array([True, False, True, True]),
        family=np.array([1, 2, 3, 1], dtype=np.int16),
        weights=np.zeros((4, 3)),
    )
    dataset = open_dataset(path)
    assert dataset.pick is Pick.EMBEDDED
    assert [photo.person for photo in dataset.photos] == ["Ada", "Bea", None, "Ada"]
    assert [photo.group for photo in dataset.photos] == ["1", "1", "2", "3"]
    assert dataset.photos[0].name == "embedding 1"
    assert dataset.photos[1].traits == {"young": "no", "family": "2"}
    face = dataset.photos[1].content
    assert isinstance(face, Face)
    assert np.array_equal(face.embedding, EMBEDDINGS[1])
    assert (face.quality, face.assessment.size) == (0.5, 90)
    with pytest.raises(PhotoError, match="has no pixels"):
        read_dataset_photo(dataset.photos[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"embedding": EMBEDDINGS * 3}, "embedding 1 has length 3; expected"),
        ({"embedding": np.full((4, 128), np.nan, dtype=np.float32)}, "embedding 1 has length nan"),
        ({"embedding": EMBEDDINGS[0]}, r"float32 of shape \(128,\)"),
        ({"embedding": np.zeros((4, 128), dtype=np.int64)}, "is int64 of shape"),
        ({"embedding": EMBEDDINGS[:0], "person": PEOPLE[:0]}, "0 embeddings; expected"),
        ({"embedding": np.eye(4, 5000, dtype=np.float32)}, r"of shape \(4, 5000\)"),
        ({"person": PEOPLE[:3]}, "the array person has 3 values"),
        ({"person": np.array(["Ada", 1, None, 2], dtype=object)}, "has Python objects"),
        ({"family": np.array([{}, 1, 2, 3], dtype=object)}, "has Python objects"),
        ({"quality": np.array([0.1, 0.2, 0.3, 1.2])}, "the array quality has values outside"),
        ({"quality": np.array(["a"] * 4)}, "the array quality is <U1"),
        ({"size": np.array([1.0, np.inf, 2, 3])}, "the array size has values outside"),
        ({"pack": np.array(["a", "b"])}, "the array pack is not a single string"),
        ({"photo": np.array(["a", "a", "b", "c"])}, "two photos have the same name"),
    ],
)
def test_invalid_arrays_are_an_error(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_embeddings(write(tmp_path, **content))


def test_missing_array_is_an_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", embedding=EMBEDDINGS)
    with pytest.raises(DatasetError, match="the array person is missing"):
        read_embeddings(tmp_path / "faces.npz")


def test_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError):
        open_dataset(path)


def test_number_of_embeddings_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_EMBEDDINGS", 3)
    with pytest.raises(DatasetError, match="4 embeddings; expected"):
        read_embeddings(write(tmp_path))


def test_embeddings_must_belong_to_the_pack(engine: Engine, tmp_path: Path) -> None:
    identity = engine.identity
    matching = read_embeddings(write(tmp_path, pack=np.array(identity.digest)))
    assert len(embedded_faces(matching, identity)) == 4
    with pytest.raises(DatasetError, match="were made by another pack"):
        embedded_faces(replace(matching, pack="0" * 64), identity)
    short = read_embeddings(write(tmp_path, embedding=np.eye(4, 64, dtype=np.float32)))
    with pytest.raises(DatasetError, match="embeddings of length 64 do not fit the pack opencv"):
        embedded_faces(short, identity)


def test_embeddings_cannot_be_changed_like_photos(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the file contains only embeddings"):
        embedded_faces(read_embeddings(write(tmp_path)), engine.identity, changed=True)


def test_gallery_of_embeddings_identifies_faces(engine: Engine, tmp_path: Path) -> None:
    reader = FaceReader(engine)
    faces = reader.read(read_embeddings(write(tmp_path, quality=np.full(4, 0.9))))
    assert faces.failures == ()
    trial = enroll(reader, faces, np.array([0, 1]))
    searches = trial.search(np.array([0, 1, 2]))
    assert [trial.names[number] for number in searches.named[:2]] == ["Ada", "Bea"]
    assert searches.named[2] == NOBODY
