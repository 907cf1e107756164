"""The scikit-learn estimators pass scikit-learn's checks and match the scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.training import MAX_KERNEL_SAMPLES, build_scorer
from facebank.sklearn import (
    FaceKnnClassifier,
    FaceLogisticClassifier,
    FacePrototypeClassifier,
    FaceSvmClassifier,
)

from .synthetic import DIMENSION, SHIFTED_BACKGROUND, scatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.types import FloatArray

ESTIMATORS = {
    "prototype": FacePrototypeClassifier(),
    "knn": FaceKnnClassifier(),
    "svm": FaceSvmClassifier(),
    "svm-rbf": FaceSvmClassifier(kernel="rbf"),
    "logistic": FaceLogisticClassifier(),
}
classifiers = pytest.mark.parametrize("classifier", ESTIMATORS)
backgrounds = pytest.mark.parametrize("background", [None, SHIFTED_BACKGROUND], ids=["no background", "background"])


def make_estimator(classifier: str, background: Background | None = None) -> Any:
    """Return a new estimator."""
    return clone(ESTIMATORS[classifier]).set_params(background=background)


def make_embeddings(counts: list[int], seed: int = 0, noise: float = 0.4) -> tuple[FloatArray, NDArray[np.str_]]:
    """Return synthetic embeddings, ``(N, DIMENSION)``, and the labels of their people."""
    generator = np.random.default_rng(seed)
    person_ids = np.repeat(np.arange(len(counts)), counts)
    return scatter(generator, person_ids, noise), np.array(["Zoë", "Ada", "Grace", "Mary", "Edith"])[person_ids]


# Some checks skip themselves with a warning if packages such as pandas are missing.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@classifiers
def test_estimators_pass_scikit_learns_checks(classifier: str) -> None:
    check_estimator(make_estimator(classifier))


@classifiers
@backgrounds
@pytest.mark.parametrize("counts", [[1, 4], [1, 2, 3, 9]])
def test_estimator_matches_its_scorer(classifier: str, background: Background | None, counts: list[int]) -> None:
    embeddings, labels = make_embeddings(counts)
    qualities = np.random.default_rng(1).uniform(size=len(embeddings)).astype(np.float32)
    fitted = make_estimator(classifier, background).fit(embeddings, labels, qualities=qualities)
    names, person_ids = np.unique(labels, return_inverse=True)
    probes, _ = make_embeddings([5, 5, 5], seed=3, noise=1.0)
    scores = build_scorer(classifier, EnrolledSamples(embeddings, person_ids, qualities), background).scores(probes)
    expected = scores[:, 1] - scores[:, 0] if len(counts) == 2 else scores
    assert fitted.classes_.tolist() == names.tolist()
    np.testing.assert_allclose(fitted.decision_function(probes), expected, atol=1e-6)
    assert fitted.predict(probes).tolist() == names[scores.argmax(axis=1)].tolist()


@classifiers
@backgrounds
def test_predict_proba_sums_to_one_and_rises_with_the_score(classifier: str, background: Background | None) -> None:
    fitted = make_estimator(classifier, background).fit(*make_embeddings([1, 2, 3]))
    probes, _ = make_embeddings([4, 4], seed=3)
    probabilities = fitted.predict_proba(probes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities > 0).all()
    np.testing.assert_array_equal(probabilities.argsort(axis=1), fitted.decision_function(probes).argsort(axis=1))


@classifiers
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predicting_before_fitting_is_refused(classifier: str, method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(make_estimator(classifier), method)(np.eye(2, DIMENSION))


@classifiers
def test_only_person_is_always_predicted(classifier: str) -> None:
    embeddings, labels = make_embeddings([1])
    fitted = make_estimator(classifier, SHIFTED_BACKGROUND).fit(embeddings, labels)
    assert fitted.predict(embeddings).tolist() == ["Zoë"]
    assert fitted.predict_proba(embeddings).tolist() == [[1.0]]
    if classifier not in {"prototype", "knn"}:
        with pytest.raises(ValueError, match=r"1 class\(es\).*needs negatives for a single person"):
            make_estimator(classifier).fit(embeddings, labels)


@classifiers
def test_single_sample_beside_many_is_predicted(classifier: str) -> None:
    embeddings, labels = make_embeddings([MAX_KERNEL_SAMPLES - 1, 1], noise=0.3)
    fitted = make_estimator(classifier, SHIFTED_BACKGROUND).fit(embeddings, labels)
    assert fitted.predict(embeddings[-1:]).tolist() == ["Ada"]
    assert (fitted.predict(embeddings[:-1]) == "Zoë").mean() > 0.98


@classifiers
@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.full((4, DIMENSION), np.nan), "NaN"),
        (np.full((4, DIMENSION), np.inf), "infinity"),
        (np.empty((0, DIMENSION)), "0 sample"),
        (np.ones(DIMENSION), "2D"),
    ],
)
def test_invalid_data_is_refused(classifier: str, embeddings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_estimator(classifier).fit(embeddings, ["a", "b", "a", "b"][: len(embeddings)])
    fitted = make_estimator(classifier).fit(*make_embeddings([2, 2]))
    with pytest.raises(ValueError, match=message):
        fitted.predict(embeddings)


@classifiers
def test_embeddings_of_another_length_are_refused(classifier: str) -> None:
    fitted = make_estimator(classifier).fit(*make_embeddings([2, 2]))
    with pytest.raises(ValueError, match=r"17 features.*16"):
        fitted.predict(np.ones((1, DIMENSION + 1)))
    embeddings, labels = make_embeddings([2, 2])
    with pytest.raises(ValueError, match=r"length 16.*8"):
        make_estimator(classifier, SHIFTED_BACKGROUND).fit(embeddings[:, :8], labels)


def test_too_many_samples_and_unknown_kernels_are_refused() -> None:
    embeddings, labels = make_embeddings([MAX_KERNEL_SAMPLES, 1])
    with pytest.raises(ValueError, match="at most"):
        FaceSvmClassifier(kernel="rbf").fit(embeddings, labels)
    with pytest.raises(ValueError, match="'linear' or 'rbf', not 'cubic'"):
        FaceSvmClassifier(kernel="cubic").fit(*make_embeddings([2, 2]))


def test_mismatched_qualities_are_refused() -> None:
    embeddings, labels = make_embeddings([2, 2])
    with pytest.raises(ValueError, match="4 qualities"):
        FacePrototypeClassifier().fit(embeddings, labels, qualities=[1.0])


@classifiers
def test_estimators_can_be_cross_validated(classifier: str) -> None:
    embeddings, labels = make_embeddings([6, 6, 6])
    assert cross_val_score(make_estimator(classifier, SHIFTED_BACKGROUND), embeddings, labels, cv=3).mean() > 0.9
