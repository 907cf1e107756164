"""The cache of fitted coefficients: any change refits, and forgetting wipes the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebank.errors import StorageError
from facebank.gallery.derived import classifier_file, wipe_derived
from facebank.recognition import coefficient_cache
from facebank.recognition.calibration.background import Background
from facebank.recognition.coefficient_cache import fit_cached
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.training import FITTED, Coefficients, fit

from .synthetic import DIMENSION, SHIFTED_BACKGROUND, make_equal_samples

fitted_classifiers = pytest.mark.parametrize("classifier", FITTED)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache folder."""
    monkeypatch.setenv("FACEBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    return tmp_path / "family.facebank"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List of all fits that are computed."""
    classifiers: list[str] = []

    def record_and_fit(
        classifier: str, enrolled: EnrolledSamples, background: Background | None = None
    ) -> Coefficients:
        classifiers.append(classifier)
        return fit(classifier, enrolled, background)

    monkeypatch.setattr(coefficient_cache, "fit", record_and_fit)
    return classifiers


def fit_or_load(
    gallery: Path, classifier: str = "svm", enrolled: EnrolledSamples | None = None, **changes: Any
) -> Coefficients:
    """Return the coefficients of three people, fitted or from the cache."""
    options: dict[str, Any] = {"background": SHIFTED_BACKGROUND, "revision": 7, "pack_digest": "ab" * 32, **changes}
    background = options.pop("background")
    return fit_cached(classifier, enrolled or make_equal_samples([1, 4, 2]), background, gallery=gallery, **options)


@fitted_classifiers
@pytest.mark.parametrize("background", [SHIFTED_BACKGROUND, None], ids=["background", "no background"])
def test_fitted_coefficients_are_cached(
    classifier: str, background: Background | None, gallery: Path, fits: list[str]
) -> None:
    first, second = (
        fit_or_load(gallery, classifier, background=background),
        fit_or_load(gallery, classifier, background=background),
    )
    assert fits == [classifier]
    for name in ("person_ids", "weights", "biases", "center", "support"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    probes = make_equal_samples([3, 3], seed=5).embeddings
    np.testing.assert_array_equal(first.scorer().scores(probes), second.scorer().scores(probes))


@pytest.mark.parametrize(
    "changes",
    [
        {"classifier": "logistic"},
        {"revision": 8},
        {"pack_digest": "cd" * 32},
        {"background": None},
        {"background": Background(np.zeros(DIMENSION, np.float32), SHIFTED_BACKGROUND.covariance)},
        {"enrolled": make_equal_samples([1, 4, 2], seed=1)},
        {"enrolled": make_equal_samples([1, 4, 3])},
    ],
)
def test_any_change_refits_and_replaces_the_file(
    changes: dict[str, Any], gallery: Path, cache: Path, fits: list[str]
) -> None:
    fit_or_load(gallery)
    fit_or_load(gallery, **changes)
    assert len(fits) == 2
    assert [path for path in cache.rglob("*") if path.is_file()] == [classifier_file(gallery)]
    fit_or_load(gallery)
    assert len(fits) == 3


def test_each_gallery_has_its_own_file(gallery: Path, tmp_path: Path, fits: list[str]) -> None:
    fit_or_load(gallery)
    fit_or_load(tmp_path / "other.facebank")
    fit_or_load(gallery)
    assert len(fits) == 2


@pytest.mark.parametrize("length", [0, 10, 500, -1])
def test_damaged_file_is_refitted(length: int, gallery: Path, fits: list[str]) -> None:
    first = fit_or_load(gallery)
    path = classifier_file(gallery)
    path.write_bytes(path.read_bytes()[:length])
    np.testing.assert_array_equal(fit_or_load(gallery).weights, first.weights)
    fit_or_load(gallery)
    assert len(fits) == 2


def test_altered_file_is_refitted(gallery: Path, fits: list[str]) -> None:
    fit_or_load(gallery)
    path = classifier_file(gallery)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    fit_or_load(gallery)
    assert len(fits) == 2


def test_pickled_objects_are_not_loaded(gallery: Path, fits: list[str]) -> None:
    fit_or_load(gallery)
    path = classifier_file(gallery)
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path.with_suffix(""), **{**content, "weights": np.array([{"a": 1}], dtype=object)})
    fit_or_load(gallery)
    assert len(fits) == 2


def test_wiped_file_is_overwritten_with_zeros(gallery: Path, cache: Path) -> None:
    fit_or_load(gallery)
    path = classifier_file(gallery)
    size = path.stat().st_size
    link = path.with_name("the same bytes on the disk")
    os.link(path, link)
    wipe_derived(gallery)
    assert not path.exists()
    assert link.read_bytes() == bytes(size)
    wipe_derived(gallery)


def test_replaced_file_is_overwritten_first(gallery: Path) -> None:
    fit_or_load(gallery)
    path = classifier_file(gallery)
    size = path.stat().st_size
    link = path.with_name("the same bytes on the disk")
    os.link(path, link)
    fit_or_load(gallery, revision=8)
    assert path.exists()
    assert link.read_bytes() == bytes(size)


def test_file_is_readable_by_its_owner_only(gallery: Path) -> None:
    fit_or_load(gallery)
    assert classifier_file(gallery).stat().st_mode & 0o077 == 0


def test_unwritable_cache_is_not_an_error(gallery: Path, cache: Path, fits: list[str]) -> None:
    cache.write_bytes(b"a file where a folder should be")
    fit_or_load(gallery)
    fit_or_load(gallery)
    assert len(fits) == 2


def test_coefficients_that_cannot_be_removed_are_an_error(gallery: Path) -> None:
    classifier_file(gallery).mkdir(parents=True)
    with pytest.raises(StorageError, match="forgotten"):
        wipe_derived(gallery)
