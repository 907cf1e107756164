"""facebank's classifiers as scikit-learn estimators.

Scores equal those of `facebank.recognition.scoring`. ``predict_proba`` is closed-set: it distributes the probability
among the fitted people only, so do not use it as the probability of an identity.

Rows should be L2-normalized embeddings. If fitted rows have other lengths, a constant 1 is appended to each row, which
preserves its length, and the row is then L2-normalized. With a background, rows are only L2-normalized, because the
background describes embeddings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from facebank.errors import UsageError
from facebank.recognition.enrolled import EnrolledSamples
from facebank.recognition.scoring import NEIGHBORS, TEMPERATURE, KnnScorer, check_background
from facebank.recognition.training import build_scorer
from facebank.storage.arrays import normalized

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn 1.5 has it as a method

    def validate_data(estimator: Any, *arrays: Any, **options: Any) -> Any:
        """Return the validated and converted input of an estimator."""
        return estimator._validate_data(*arrays, **options)


if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.scoring import PersonScorer

PROBA_TEMPERATURE = 0.1
"""Softmax temperature of ``predict_proba``: a score higher by this much has e times the probability."""

_LENGTH_TOLERANCE = 1e-3


class _FaceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of facebank's estimators.

    Attributes
    ----------
    classes_
        The labels of the people, sorted, of shape ``(P,)``.
    n_features_in_
        Dimension of a row.
    scorer_
        The fitted scorer; its person ids are indices into `classes_`.
    appends_constant_
        Whether a constant 1 is appended to each row: the fitted rows were not L2-normalized and there is no background.
    """

    background: Background | None

    def fit(self, X: ArrayLike, y: ArrayLike, qualities: ArrayLike | None = None) -> Self:  # noqa: N803
        """Return the fitted estimator.

        Parameters
        ----------
        X
            Embeddings, floats of shape ``(N, D)``.
        y
            Labels of the people, of shape ``(N,)``.
        qualities
            Quality scores, 0..1, of shape ``(N,)``, which weight the samples of prototypes; None for all 1.

        Returns
        -------
        Self
            The fitted estimator.

        Raises
        ------
        ValueError
            The data is not finite, has a different shape, or cannot be fitted.

        Examples
        --------
        >>> FacePrototypeClassifier().fit([[1, 0], [0, 1]], ["Barack", "Joe"]).classes_.tolist()
        ['Barack', 'Joe']
        """
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, indices = np.unique(labels, return_inverse=True)
        lengths = np.linalg.norm(rows, axis=1)
        self.appends_constant_ = self.background is None and bool((np.abs(lengths - 1) > _LENGTH_TOLERANCE).any())
        weights = np.ones(len(rows), np.float32) if qualities is None else np.asarray(qualities, dtype=np.float32)
        try:
            enrolled = EnrolledSamples(self._embeddings(rows), indices.astype(np.int64), weights)
            self.scorer_ = self._scorer(enrolled)
        except UsageError as error:
            raise ValueError(f"Cannot fit {len(self.classes_)} class(es): {error}") from error
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return the scores of rows.

        Parameters
        ----------
        X
            Embeddings, floats of shape ``(M, D)``.

        Returns
        -------
        NDArray[np.float32]
            The scorer's scores, of shape ``(M, P)`` in the order of `classes_`. For two people, following
            scikit-learn, the second score minus the first, of shape ``(M,)``.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError
            `fit` was not called; or the data is not finite or has another dimension.

        Examples
        --------
        >>> classifier = FacePrototypeClassifier().fit([[1, 0], [0, 1]], ["Barack", "Joe"])
        >>> classifier.decision_function([[0, 1]]).tolist()
        [1.0]
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the label of the most similar person for each row.

        Parameters
        ----------
        X
            Embeddings, floats of shape ``(M, D)``.

        Returns
        -------
        NDArray
            Labels, of shape ``(M,)`` and the dtype of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError
            As for `decision_function`.

        Examples
        --------
        >>> classifier = FacePrototypeClassifier().fit([[1, 0], [0, 1]], ["Barack", "Joe"])
        >>> classifier.predict([[0, 1]]).tolist()
        ['Joe']
        """
        best = self._scores(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Return closed-set probabilities among the fitted people; strangers are not considered.

        Parameters
        ----------
        X
            Embeddings, floats of shape ``(M, D)``.

        Returns
        -------
        NDArray[np.float64]
            ``softmax(scores / PROBA_TEMPERATURE)``, 0..1, of shape ``(M, P)`` in the order of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError
            As for `decision_function`.

        Examples
        --------
        >>> classifier = FacePrototypeClassifier().fit([[1, 0], [0, 1]], ["Barack", "Joe"])
        >>> classifier.predict_proba([[0, 1]]).round(2).tolist()
        [[0.0, 1.0]]
        """
        scores = self._scores(X).astype(np.float64)
        exponentials = np.exp((scores - scores.max(axis=1, keepdims=True)) / PROBA_TEMPERATURE)
        proba: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return proba

    def _scorer(self, enrolled: EnrolledSamples) -> PersonScorer:
        raise NotImplementedError

    def _scores(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        scores: NDArray[np.float32] = self.scorer_.scores(self._embeddings(rows))
        return scores

    def _embeddings(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        if self.appends_constant_:
            rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
        lengths = np.linalg.norm(rows, axis=1)
        if (np.abs(lengths - 1) > _LENGTH_TOLERANCE).any():
            rows = normalized(rows)
        return rows.astype(np.float32)


class FacePrototypeClassifier(_FaceClassifier):
    """Classifier by the nearest prototype: see `facebank.recognition.scoring.PrototypeScorer`.

    Parameters
    ----------
    background
        Background of the pack that made the embeddings, or None.

    Examples
    --------
    >>> paths = ["barack1.jpg", "barack2.jpg", "joe.jpg"]
    >>> X = [photo.faces[0].embedding for photo in bank.analyze(paths)]
    >>> classifier = FacePrototypeClassifier().fit(X, ["Barack", "Barack", "Joe"])
    >>> print(*classifier.predict([face.embedding for face in next(bank.analyze("party.jpg")).faces]))
    Barack Joe
    """

    def __init__(self, background: Background | None = None) -> None:
        self.background = background

    def _scorer(self, enrolled: EnrolledSamples) -> PersonScorer:
        return build_scorer("prototype", enrolled, self.background)


class FaceKnnClassifier(_FaceClassifier):
    """Classifier by the nearest samples: see `facebank.recognition.scoring.KnnScorer`.

    Parameters
    ----------
    n_neighbors, temperature
        Number of samples per person that count, and temperature of their weights: lower ones favor similar samples.
    background
        Background of the pack that made the embeddings, or None.

    Examples
    --------
    >>> paths = ["barack1.jpg", "barack2.jpg", "joe.jpg"]
    >>> X = [photo.faces[0].embedding for photo in bank.analyze(paths)]
    >>> classifier = FaceKnnClassifier(n_neighbors=3).fit(X, ["Barack", "Barack", "Joe"])
    >>> print(*classifier.predict([face.embedding for face in next(bank.analyze("party.jpg")).faces]))
    Barack Joe
    """

    def __init__(
        self, n_neighbors: int = NEIGHBORS, temperature: float = TEMPERATURE, background: Background | None = None
    ) -> None:
        self.n_neighbors = n_neighbors
        self.temperature = temperature
        self.background = background

    def _scorer(self, enrolled: EnrolledSamples) -> PersonScorer:
        check_background(self.background, enrolled)
        return KnnScorer(enrolled.index, neighbors=self.n_neighbors, temperature=self.temperature)


class FaceSvmClassifier(_FaceClassifier):
    """Support vector machine, one-vs-rest with a background: see `facebank.recognition.training`.

    Parameters
    ----------
    kernel
        ``"linear"`` or ``"rbf"``.
    background
        Background of the pack that made the embeddings, or None; required with a single person.

    Examples
    --------
    >>> paths = ["barack1.jpg", "barack2.jpg", "joe.jpg"]
    >>> X = [photo.faces[0].embedding for photo in bank.analyze(paths)]
    >>> classifier = FaceSvmClassifier(kernel="linear").fit(X, ["Barack", "Barack", "Joe"])
    >>> print(*classifier.predict([face.embedding for face in next(bank.analyze("party.jpg")).faces]))
    Barack Joe
    """

    def __init__(self, kernel: str = "linear", background: Background | None = None) -> None:
        self.kernel = kernel
        self.background = background

    def _scorer(self, enrolled: EnrolledSamples) -> PersonScorer:
        classifiers = {"linear": "svm", "rbf": "svm-rbf"}
        if self.kernel not in classifiers:
            raise UsageError(f"kernel must be 'linear' or 'rbf', not {self.kernel!r}")
        return build_scorer(classifiers[self.kernel], enrolled, self.background)


class FaceLogisticClassifier(_FaceClassifier):
    """Logistic regression, one-vs-rest with a background: see `facebank.recognition.training`.

    Parameters
    ----------
    background
        Background of the pack that made the embeddings, or None; required with a single person.

    Examples
    --------
    >>> paths = ["barack1.jpg", "barack2.jpg", "joe.jpg"]
    >>> X = [photo.faces[0].embedding for photo in bank.analyze(paths)]
    >>> classifier = FaceLogisticClassifier().fit(X, ["Barack", "Barack", "Joe"])
    >>> print(*classifier.predict([face.embedding for face in next(bank.analyze("party.jpg")).faces]))
    Barack Joe
    """

    def __init__(self, background: Background | None = None) -> None:
        self.background = background

    def _scorer(self, enrolled: EnrolledSamples) -> PersonScorer:
        return build_scorer("logistic", enrolled, self.background)
