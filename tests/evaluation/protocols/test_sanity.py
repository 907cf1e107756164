"""The sanity checks find planted problems and nothing in clean data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facebank.errors import DatasetError
from facebank.evaluation import leakage
from facebank.evaluation.bench import Bench
from facebank.evaluation.changes import CORNERS, Corner, Drawing, Shape
from facebank.evaluation.dataset import Dataset, DatasetPhoto, LabeledRegion, Pick, read_dataset_photo
from facebank.evaluation.faces import FaceSet
from facebank.evaluation.leakage import CopyKind, find_leakage, leak_entries
from facebank.evaluation.protocols.sanity import sanity
from facebank.evaluation.protocols.sanity_checks import cross_validated_hits, is_chance
from facebank.types import DecodedPhoto, Detection
from tests.lfw_photos import lfw_photos


@pytest.fixture(scope="module")
def large_dataset(shared: Path) -> Dataset:
    """Two people with enough photos for all checks, and a third with few."""
    photos = lfw_photos(shared, ("Alejandro_Toledo", "Alvaro_Uribe"), 24) + lfw_photos(shared, ("Ai_Sugiyama",), 4)
    return Dataset("three people", photos, pick=Pick.CENTRAL)


def test_all_checks_pass_on_real_photos(bench: Bench, large_dataset: Dataset) -> None:
    report = sanity(bench, large_dataset)
    assert report.summary[0] == "All 5 checks passed.", report.summary
    low, high = report.figures["rank_1_shuffled_labels"].interval or (0, 0)
    assert low - 0.1 < 1 / 3 < high + 0.1
    assert report.figures["rank_1_true_labels"].value == 1
    assert report.figures["planted_copies_found"].value == 1
    assert report.figures["shapes_told_by_pixels"].value >= 0.95
    assert report.figures["accuracy_of_pixels_with_shapes"].value >= 0.95
    assert report.figures["gain_of_embeddings_from_shapes"].value <= 0
    assert report.figures["checks_passed"].count == 5


def test_undetected_copies_fail_the_check(bench: Bench, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "MIN_SIMILARITY", 2.0)
    report = sanity(bench, replace(dataset, pairs=()))
    assert report.summary[0] == "1 of 3 checks FAILED: Planted copies."
    assert report.failed_checks == ("Planted copies",)
    assert report.figures["planted_copies_found"].value < 0.5


def test_single_photos_cannot_be_checked(bench: Bench, dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="two people with two photos"):
        sanity(bench, replace(dataset, photos=dataset.photos[:5:4], pairs=()))


def test_shapes_are_not_checked_with_too_few_photos(bench: Bench, large_dataset: Dataset) -> None:
    few = replace(large_dataset, photos=large_dataset.photos[:12] + large_dataset.photos[24:36])
    report = sanity(bench, few)
    assert not report.failed_checks
    assert any("two people with 20 photos" in text for text in report.summary)


def test_check_with_insufficient_data_is_reported(bench: Bench, dataset: Dataset) -> None:
    report = sanity(bench, replace(dataset, pairs=()))
    assert report.figures["checks_passed"].count == 3
    assert any(text.startswith("Drawn shapes was not checked:") for text in report.summary)


def test_leaks_are_found_regardless_of_label(bench: Bench, dataset: Dataset) -> None:
    copy = replace(dataset.photos[0], name="copy", person="Somebody_Else")
    faces = bench.read(Dataset("with a copy", (*dataset.photos, copy), pick=Pick.CENTRAL))
    (leak,) = find_leakage(bench.reader, faces, np.array([0, 1, 4]), np.array([2, 5, 12]))
    assert (leak.enrolled, leak.probe, leak.kind) == (0, 12, CopyKind.CONTENT)
    (failure,) = leak_entries(faces, [leak])
    assert failure.entry == "copy"
    assert failure.reason == f"the same file as {dataset.photos[0].name}, which is enrolled"


def test_two_people_in_one_photo_are_not_a_leak(bench: Bench) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    left, same, right = LabeledRegion(0, 0, 4, 8), LabeledRegion(0.5, 0, 4, 8), LabeledRegion(4, 0, 4, 8)
    photos = tuple(DatasetPhoto(str(number), "A", pixels, region) for number, region in enumerate((left, same, right)))
    faces = FaceSet(Dataset("one photo", photos), (None,) * 3, (0,) * 3, ("x",) * 3, 4, ())
    leaks = find_leakage(bench.reader, faces, np.array([0]), np.array([1, 2]))
    assert [leak.probe for leak in leaks] == [1]


@pytest.mark.parametrize("factor", [0.75, 0.5])
def test_smaller_copy_is_a_leak_and_another_photo_is_not(bench: Bench, large_dataset: Dataset, factor: float) -> None:
    photos = large_dataset.photos[:12]
    smaller = [
        replace(
            photo,
            name=f"smaller {photo.name}",
            content=np.asarray(
                cv2.resize(read_dataset_photo(photo).pixels, None, fx=factor, fy=factor), dtype=np.uint8
            ),
        )
        for photo in photos
    ]
    faces = bench.read(Dataset("with smaller copies", (*photos, *smaller), pick=Pick.CENTRAL))
    leaks = find_leakage(bench.reader, faces, np.arange(12), np.arange(24))
    assert [(leak.enrolled, leak.probe) for leak in leaks] == [(index, index + 12) for index in range(12)]


def test_chance_is_distinguished_from_signal() -> None:
    random = np.random.default_rng(0)
    assert is_chance(random.normal(0.5, 0.05, 20), 0.5, 0.001)
    assert not is_chance(random.normal(0.6, 0.05, 20), 0.5, 0.001)


@pytest.fixture
def photo() -> DecodedPhoto:
    return DecodedPhoto("p", np.zeros((100, 120, 3), dtype=np.uint8), "h", has_orientation=True, taken_at=None)


FACE = Detection(np.array([40, 30, 80, 70], dtype=np.float32), np.zeros((5, 2), dtype=np.float32), 1.0)


def test_shape_is_drawn_in_its_corner_only(photo: DecodedPhoto) -> None:
    for corner in CORNERS:
        left, top, right, bottom = corner.square(120, 100)
        ellipse, rectangle = (Drawing(shape, corner)(photo, FACE).pixels for shape in Shape)
        for drawn in (ellipse, rectangle):
            outside = drawn.copy()
            outside[top:bottom, left:right] = 0
            assert drawn.any()
            assert not outside.any()
        assert 0 < np.count_nonzero(ellipse.any(axis=2)) < np.count_nonzero(rectangle.any(axis=2))
    assert not photo.pixels.any()


@pytest.mark.parametrize("corner", CORNERS)
def test_corner_is_free_unless_the_face_covers_it(corner: Corner, photo: DecodedPhoto) -> None:
    assert corner.is_free(photo, FACE)
    assert not corner.is_free(photo, replace(FACE, box=np.array([0, 0, 119, 99], dtype=np.float32)))


def test_only_information_in_the_values_is_learned() -> None:
    random = np.random.default_rng(0)
    labels, folds = np.arange(80) % 2, np.arange(80) // 2 % 4
    noise = random.normal(size=(80, 10)).astype(np.float32)
    assert cross_validated_hits(noise + 5 * labels[:, None].astype(np.float32), labels, folds).mean() > 0.95
    assert cross_validated_hits(noise, labels, folds).mean() < 0.75
