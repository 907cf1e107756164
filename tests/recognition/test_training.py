"""Fitting: comparison with scikit-learn, fairness between people, limits and the cache on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from facebank.errors import StorageError, UsageError
from facebank.gallery.derived import classifier_file, wipe_derived
from facebank.recognition import coefficient_cache, solving, training
from facebank.recognition.calibration.background import Background
from facebank.recognition.coefficient_cache import fit_cached
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.solving import separate
from facebank.recognition.training import FITTED, MAX_KERNEL_SAMPLES, fit

from .synthetic import DIMENSION, normalize, scatter

if TYPE_CHECKING:
    from facebank.recognition.solving import Loss

fitted_classifiers = pytest.mark.parametrize("classifier", FITTED)


def make_people(counts: list[int], noise: float = 0.4, seed: int = 0) -> EnrolledSamples:
    """Return synthetic people whose samples scatter around one direction each."""
    generator = np.random.default_rng(seed)
    person_ids = np.repeat(np.arange(len(counts)), counts)
    return EnrolledSamples(scatter(generator, person_ids, noise), person_ids + 1, np.ones(len(person_ids), np.float32))


BACKGROUND = Background(np.full(DIMENSION, 0.05, np.float32), np.diag(np.full(DIMENSION, 1 / DIMENSION, np.float32)))


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
@pytest.mark.parametrize("strength", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("stranger_count", [0, 40])
def test_coefficients_match_liblinear(loss: Loss, strength: float, stranger_count: int) -> None:
    generator = np.random.default_rng(0)
    person_ids = np.repeat(np.arange(5), [1, 2, 5, 30, 1])
    embeddings = normalize(generator.normal(size=(len(person_ids) + stranger_count, DIMENSION)))
    normals, intercepts = separate(embeddings, person_ids, loss=loss, strength=strength, tolerance=1e-6)
    shares = np.concatenate([1 / np.bincount(person_ids)[person_ids], np.ones(stranger_count)])
    for person_id in range(5):
        is_person = np.concatenate([person_ids == person_id, np.zeros(stranger_count, bool)])
        weights = 0.5 * np.where(is_person, shares, shares / (4 + stranger_count))
        if loss == "logistic":
            model = LogisticRegression(C=strength, solver="liblinear", tol=1e-10, max_iter=5000)
        else:
            model = LinearSVC(C=strength, dual=False, tol=1e-10, max_iter=5000)
        model.fit(embeddings.astype(np.float64), is_person, weights)
        np.testing.assert_allclose(normals[person_id], model.coef_[0], atol=2e-4 * strength)
        assert intercepts[person_id] == pytest.approx(model.intercept_[0], abs=2e-4 * strength)


def test_solving_in_portions_gives_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled = make_people([1, 3, 2, 4, 1, 1, 5])
    at_once = separate(enrolled.embeddings, enrolled.owners, loss="logistic", strength=5, tolerance=1e-6)
    monkeypatch.setattr(solving, "_MAX_BLOCK_SIZE", 2 * enrolled.count)
    portions = separate(enrolled.embeddings, enrolled.owners, loss="logistic", strength=5, tolerance=1e-6)
    np.testing.assert_allclose(at_once[0], portions[0], atol=1e-5)
    np.testing.assert_allclose(at_once[1], portions[1], atol=1e-5)


def test_repeated_sample_changes_nothing() -> None:
    embeddings, person_ids = make_people([3, 2, 1]).embeddings, np.array([0, 0, 0, 1, 1, 2])
    indices = np.repeat(np.arange(6), 2)
    once = separate(embeddings, person_ids, loss="squared_hinge", strength=3, tolerance=1e-6)
    repeated = separate(embeddings[indices], person_ids[indices], loss="squared_hinge", strength=3, tolerance=1e-6)
    np.testing.assert_allclose(once[0], repeated[0], atol=1e-5)


@fitted_classifiers
def test_single_person_needs_a_background(classifier: str) -> None:
    with pytest.raises(UsageError, match=f"{classifier} needs negatives for a single person"):
        fit(classifier, make_people([5]))
    assert fit(classifier, make_people([5]), BACKGROUND).weights.shape[0] == 1


@pytest.mark.parametrize("classifier", ["prototype", "knn", "oracle"])
def test_classifier_without_fitting_is_refused(classifier: str) -> None:
    with pytest.raises(UsageError, match=classifier):
        fit(classifier, make_people([2, 2]), BACKGROUND)


def test_kernel_machine_beyond_its_limit_is_refused_with_the_reason() -> None:
    fit("svm-rbf", make_people([MAX_KERNEL_SAMPLES // 10] * 10), BACKGROUND)
    with pytest.raises(
        UsageError, match=f"at most {MAX_KERNEL_SAMPLES} samples.*has {MAX_KERNEL_SAMPLES + 1}.*Choose svm"
    ):
        fit("svm-rbf", make_people([1] * (MAX_KERNEL_SAMPLES + 1)), BACKGROUND)


@fitted_classifiers
def test_same_samples_give_same_coefficients(classifier: str) -> None:
    first, second = (
        fit(classifier, make_people([1, 4, 2]), BACKGROUND),
        fit(classifier, make_people([1, 4, 2]), BACKGROUND),
    )
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.biases, second.biases)


@fitted_classifiers
def test_strangers_scores_do_not_depend_on_sample_counts(classifier: str) -> None:
    enrolled = make_people([1, 20] * 10, noise=0.5)
    scores = fit(classifier, enrolled, BACKGROUND).scorer().scores(BACKGROUND.draw(4000, seed=99))
    winners = scores.argmax(axis=1) % 2
    assert 0.3 < winners.mean() < 0.7
    high = np.quantile(scores, 0.99, axis=0)
    assert high[::2].mean() == pytest.approx(high[1::2].mean(), rel=0.15)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_weights_point_in_a_direction(classifier: str) -> None:
    weights = fit(classifier, make_people([1, 20, 3]), BACKGROUND).weights
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, atol=1e-5)


def test_kernel_machine_separates_people_that_no_hyperplane_separates() -> None:
    # The faces of one person lie on both sides of the other's.
    generator = np.random.default_rng(0)
    angles = np.concatenate([np.repeat([-0.9, 0.9], 20), np.zeros(40)]) + 0.1 * generator.normal(size=80)
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scorer = fit("svm-rbf", EnrolledSamples(embeddings, np.repeat([1, 2], 40), np.ones(80, np.float32))).scorer()
    assert (scorer.people[scorer.scores(embeddings).argmax(axis=1)] == np.repeat([1, 2], 40)).all()


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
    ) -> training.Coefficients:
        classifiers.append(classifier)
        return fit(classifier, enrolled, background)

    monkeypatch.setattr(coefficient_cache, "fit", record_and_fit)
    return classifiers


def fit_or_load(
    gallery: Path, classifier: str = "svm", enrolled: EnrolledSamples | None = None, **changes: Any
) -> training.Coefficients:
    """Return the coefficients of three people, fitted or from the cache."""
    options: dict[str, Any] = {"background": BACKGROUND, "revision": 7, "pack_digest": "ab" * 32, **changes}
    background = options.pop("background")
    return fit_cached(classifier, enrolled or make_people([1, 4, 2]), background, gallery=gallery, **options)


@fitted_classifiers
@pytest.mark.parametrize("background", [BACKGROUND, None], ids=["background", "no background"])
def test_fitted_coefficients_are_cached(
    classifier: str, background: Background | None, gallery: Path, fits: list[str]
) -> None:
    first, second = (
        fit_or_load(gallery, classifier, background=background),
        fit_or_load(gallery, classifier, background=background),
    )
    assert fits == [classifier]
    for name in ("people", "weights", "biases", "center", "support"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    probes = make_people([3, 3], seed=5).embeddings
    np.testing.assert_array_equal(first.scorer().scores(probes), second.scorer().scores(probes))


@pytest.mark.parametrize(
    "changes",
    [
        {"classifier": "logistic"},
        {"revision": 8},
        {"pack_digest": "cd" * 32},
        {"background": None},
        {"background": Background(np.zeros(DIMENSION, np.float32), BACKGROUND.covariance)},
        {"enrolled": make_people([1, 4, 2], seed=1)},
        {"enrolled": make_people([1, 4, 3])},
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
