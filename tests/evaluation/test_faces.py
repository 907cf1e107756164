"""Reading the faces of a dataset, with cache and reported failures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation.dataset import Dataset, DatasetPhoto, LabeledRegion, Pair, Pick, cut_square, read_dataset_photo
from facebank.evaluation.face_cache import FaceCache
from facebank.evaluation.faces import FaceReader
from facebank.operations.engine import Engine
from facebank.types import DecodedPhoto, Detection
from tests.lfw_photos import lfw_photos
from tests.recorder import Recorder

PEOPLE = ("Aaron_Peirsol", "Abdullah_Gul", "Ai_Sugiyama")


@pytest.fixture
def cache(engine: Engine, tmp_path: Path) -> Iterator[FaceCache]:
    with FaceCache(tmp_path / "faces.sqlite", engine.identity.dimension) as face_cache:
        yield face_cache


@pytest.fixture(scope="session")
def dataset(shared: Path) -> Dataset:
    return Dataset("three people", lfw_photos(shared, PEOPLE, 2), pick=Pick.CENTRAL)


class FailingEngine:
    """An engine that fails if its networks are used."""

    def __init__(self, engine: Engine) -> None:
        self.identity, self.thresholds, self.pack_calibration = (
            engine.identity,
            engine.thresholds,
            engine.pack_calibration,
        )

    @property
    def analyzer(self) -> object:
        raise AssertionError("the networks were used")


def test_the_same_person_is_more_similar_than_others(engine: Engine, dataset: Dataset) -> None:
    faces = FaceReader(engine).read(dataset)
    similarities, person_indices = faces.embeddings @ faces.embeddings.T, dataset.person_indices
    same = person_indices[:, None] == person_indices
    assert faces.has_face.all()
    assert similarities[same].min() > similarities[~same].max()


def test_second_run_embeds_nothing(engine: Engine, cache: FaceCache, dataset: Dataset) -> None:
    progress = Recorder()
    first = FaceReader(engine, cache).read(dataset, progress)
    crops = np.stack([FaceReader(engine).crop(first, index) for index in range(2)])
    embedded = FaceReader(engine, cache).embed(crops)
    masked = FaceReader(engine, cache).embed_variant(first, [0, 3], "mask")
    cached_reader = FaceReader(FailingEngine(engine), cache)  # type: ignore[arg-type]
    second = cached_reader.read(dataset, progress)
    assert np.array_equal(first.embeddings, second.embeddings)
    assert np.array_equal(embedded, cached_reader.embed(crops))
    assert np.array_equal(masked, cached_reader.embed_variant(second, [0, 3], "mask"))
    assert progress.advances == 2 * len(dataset.photos)


def test_aligned_crop_embeds_like_its_photo(engine: Engine, dataset: Dataset) -> None:
    reader = FaceReader(engine)
    faces = reader.read(dataset)
    crop = reader.crop(faces, 0)
    aligned = Dataset("aligned", (DatasetPhoto("a", "A", crop), DatasetPhoto("b", "A", crop)), pick=Pick.ALIGNED)
    aligned_faces = reader.read(aligned)
    assert np.allclose(aligned_faces.embeddings[0], faces.embeddings[0], atol=1e-4)
    assert np.array_equal(reader.crop(aligned_faces, 1), crop)


def test_region_selects_its_face(engine: Engine, dataset: Dataset) -> None:
    first, second = (read_dataset_photo(dataset.photos[index]).pixels for index in (0, 2))
    both = np.concatenate([first, second], axis=1)
    tagged = tuple(
        DatasetPhoto(str(left), None, both, region=LabeledRegion(left, 0, 250, 250), group="both") for left in (0, 250)
    )
    tagged_faces = FaceReader(engine).read(Dataset("tagged", tagged))
    untagged_faces = FaceReader(engine).read(dataset)
    similarities = tagged_faces.embeddings @ untagged_faces.embeddings[[0, 2]].T
    assert similarities[0, 0] > 0.95
    assert similarities[1, 1] > 0.95
    assert tagged_faces.groups[0] == tagged_faces.groups[1]


@pytest.mark.parametrize(
    "region", [LabeledRegion(-50, -50, 20, 20), LabeledRegion(900, 900, 10, 400), LabeledRegion(99, 99, 0, 0)]
)
def test_region_outside_the_photo_is_clipped(region: LabeledRegion) -> None:
    cut = cut_square(np.zeros((100, 100, 3), dtype=np.uint8), region)
    assert min(cut.shape) >= 1


@pytest.fixture
def faceless(tmp_path: Path) -> tuple[DatasetPhoto, ...]:
    """A broken photo, a missing one and one without a face."""
    broken, missing = tmp_path / "broken.jpg", tmp_path / "missing.jpg"
    broken.write_bytes(b"no photo")
    gray = np.full((200, 200, 3), 128, dtype=np.uint8)
    return (
        DatasetPhoto("broken", "B", broken),
        DatasetPhoto("missing", "B", missing),
        DatasetPhoto("gray", "B", gray),
    )


def test_photos_without_a_face_are_reported(
    engine: Engine, dataset: Dataset, faceless: tuple[DatasetPhoto, ...]
) -> None:
    faces = FaceReader(engine).read(replace(dataset, photos=(*dataset.photos[:1], *faceless)))
    assert faces.has_face.tolist() == [True, False, False, False]
    assert [failure.entry for failure in faces.failures] == ["broken", "missing", "gray"]
    assert "no face" in faces.failures[2].reason
    assert not faces.embeddings[1:].any()
    assert faces.qualities[1:].tolist() == [0, 0, 0]


def test_dataset_without_a_face_is_an_error(engine: Engine, faceless: tuple[DatasetPhoto, ...]) -> None:
    with pytest.raises(DatasetError, match="no photo shows a face"):
        FaceReader(engine).read(Dataset("nothing", faceless))


class Blur:
    """A change that makes faces unrecognizable."""

    name = "blur:30"

    def __call__(self, photo: DecodedPhoto, face: Detection) -> DecodedPhoto:
        assert face.size > 20
        return replace(photo, pixels=np.asarray(cv2.GaussianBlur(photo.pixels, (0, 0), 30), dtype=np.uint8))


def test_change_is_applied_before_detection(engine: Engine, cache: FaceCache, dataset: Dataset) -> None:
    reader = FaceReader(engine, cache)
    plain, blurred = reader.read(dataset), reader.read(dataset, change=Blur())
    assert (
        blurred.has_face.sum() < plain.has_face.sum()
        or (plain.embeddings * blurred.embeddings).sum(axis=1).mean() < 0.5
    )
    cached = FaceReader(FailingEngine(engine), cache).read(dataset, change=Blur())  # type: ignore[arg-type]
    assert np.array_equal(cached.embeddings, blurred.embeddings)
    assert np.array_equal(reader.read(dataset).embeddings, plain.embeddings)


def test_subset_of_a_dataset_keeps_its_data(engine: Engine, dataset: Dataset) -> None:
    paired = replace(dataset, pairs=(Pair(0, 1, same=True), Pair(0, 2, same=False), Pair(2, 3, same=True)))
    faces = FaceReader(engine).read(paired)
    subset = faces.select(np.array([False, False, True, True, True, True]))
    assert subset.dataset.people == ("Abdullah_Gul", "Ai_Sugiyama")
    assert [(pair.first, pair.second) for pair in subset.dataset.pairs] == [(0, 1)]
    assert np.array_equal(subset.embeddings, faces.embeddings[2:])


def test_photo_names_are_unique() -> None:
    photo = DatasetPhoto("a", "A", np.zeros((9, 9, 3), dtype=np.uint8))
    with pytest.raises(DatasetError, match="the same name"):
        Dataset("twice", (photo, photo))


def test_dataset_without_photos_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no photos"):
        Dataset("empty", ())
