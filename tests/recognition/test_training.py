"""Fitting: comparison with scikit-learn, fairness between people, and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from facebank.errors import UsageError
from facebank.recognition import hyperplanes
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.hyperplanes import separate
from facebank.recognition.training import FITTED, MAX_KERNEL_SAMPLES, fit

from .synthetic import DIMENSION, SHIFTED_BACKGROUND, make_equal_samples, normalize

if TYPE_CHECKING:
    from facebank.recognition.hyperplanes import Loss

fitted_classifiers = pytest.mark.parametrize("classifier", FITTED)


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
    enrolled = make_equal_samples([1, 3, 2, 4, 1, 1, 5])
    at_once = separate(enrolled.embeddings, enrolled.person_indices, loss="logistic", strength=5, tolerance=1e-6)
    monkeypatch.setattr(hyperplanes, "_MAX_BLOCK_SIZE", 2 * enrolled.count)
    portions = separate(enrolled.embeddings, enrolled.person_indices, loss="logistic", strength=5, tolerance=1e-6)
    np.testing.assert_allclose(at_once[0], portions[0], atol=1e-5)
    np.testing.assert_allclose(at_once[1], portions[1], atol=1e-5)


def test_repeated_sample_changes_nothing() -> None:
    embeddings, person_ids = make_equal_samples([3, 2, 1]).embeddings, np.array([0, 0, 0, 1, 1, 2])
    indices = np.repeat(np.arange(6), 2)
    once = separate(embeddings, person_ids, loss="squared_hinge", strength=3, tolerance=1e-6)
    repeated = separate(embeddings[indices], person_ids[indices], loss="squared_hinge", strength=3, tolerance=1e-6)
    np.testing.assert_allclose(once[0], repeated[0], atol=1e-5)


@fitted_classifiers
def test_single_person_needs_a_background(classifier: str) -> None:
    with pytest.raises(UsageError, match=f"{classifier} needs negatives for a single person"):
        fit(classifier, make_equal_samples([5]))
    assert fit(classifier, make_equal_samples([5]), SHIFTED_BACKGROUND).weights.shape[0] == 1


@pytest.mark.parametrize("classifier", ["prototype", "knn", "oracle"])
def test_classifier_without_fitting_is_refused(classifier: str) -> None:
    with pytest.raises(UsageError, match=classifier):
        fit(classifier, make_equal_samples([2, 2]), SHIFTED_BACKGROUND)


def test_kernel_machine_beyond_its_limit_is_refused_with_the_reason() -> None:
    fit("svm-rbf", make_equal_samples([MAX_KERNEL_SAMPLES // 10] * 10), SHIFTED_BACKGROUND)
    with pytest.raises(
        UsageError, match=f"at most {MAX_KERNEL_SAMPLES} samples.*has {MAX_KERNEL_SAMPLES + 1}.*Choose svm"
    ):
        fit("svm-rbf", make_equal_samples([1] * (MAX_KERNEL_SAMPLES + 1)), SHIFTED_BACKGROUND)


@fitted_classifiers
def test_same_samples_give_same_coefficients(classifier: str) -> None:
    first, second = (
        fit(classifier, make_equal_samples([1, 4, 2]), SHIFTED_BACKGROUND),
        fit(classifier, make_equal_samples([1, 4, 2]), SHIFTED_BACKGROUND),
    )
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.biases, second.biases)


@fitted_classifiers
def test_strangers_scores_do_not_depend_on_sample_counts(classifier: str) -> None:
    enrolled = make_equal_samples([1, 20] * 10, noise=0.5)
    scores = fit(classifier, enrolled, SHIFTED_BACKGROUND).scorer().scores(SHIFTED_BACKGROUND.draw(4000, seed=99))
    winners = scores.argmax(axis=1) % 2
    assert 0.3 < winners.mean() < 0.7
    high = np.quantile(scores, 0.99, axis=0)
    assert high[::2].mean() == pytest.approx(high[1::2].mean(), rel=0.15)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_weights_point_in_a_direction(classifier: str) -> None:
    weights = fit(classifier, make_equal_samples([1, 20, 3]), SHIFTED_BACKGROUND).weights
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, atol=1e-5)


def test_kernel_machine_separates_people_that_no_hyperplane_separates() -> None:
    # The faces of one person lie on both sides of the other's.
    generator = np.random.default_rng(0)
    angles = np.concatenate([np.repeat([-0.9, 0.9], 20), np.zeros(40)]) + 0.1 * generator.normal(size=80)
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scorer = fit("svm-rbf", EnrolledSamples(embeddings, np.repeat([1, 2], 40), np.ones(80, np.float32))).scorer()
    assert (scorer.person_ids[scorer.scores(embeddings).argmax(axis=1)] == np.repeat([1, 2], 40)).all()
