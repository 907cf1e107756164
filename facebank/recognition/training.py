"""Fitting of classifiers to the enrolled samples.

A person is separated from the gallery's other people and from people drawn from the pack's background, so that one
person with one sample can be fitted too. Both sides have equal weight, and so do identities within a side. Weight
vectors are scaled to length 1: their length depends on the number of samples, but one threshold must suit all people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.hyperplanes import separate
from facebank.recognition.scoring import (
    CLASSIFIERS,
    KernelScorer,
    KnnScorer,
    LinearScorer,
    PrototypeScorer,
    check_background,
    directions_from,
    rbf,
)
from facebank.storage.arrays import normalized
from facebank.storage.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import EnrolledSamples
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray

FITTED = ("svm", "svm-rbf", "logistic")  # the fitted ones of `CLASSIFIERS`
SVM_STRENGTH, LOGISTIC_STRENGTH = 1.0, 10.0  # weights of the losses, chosen on LFW's development people
GAMMA = 1.0  # coefficient of the RBF kernel, for embeddings of length 1
DRAWS, KERNEL_DRAWS = 1_000, 500  # draws from the background, for a linear and for a kernel machine
MAX_KERNEL_SAMPLES = 500  # maximum number of samples for a kernel SVM, whose fitting time grows fast with it
_JITTER = 1e-5
_SEED = 0

RECIPE = (1, SVM_STRENGTH, LOGISTIC_STRENGTH, GAMMA, DRAWS, KERNEL_DRAWS, _JITTER, _SEED)
"""Cache key of the fit; changes whenever the same samples would give other coefficients. First: a code version."""


def build_scorer(classifier: str, enrolled: EnrolledSamples, background: Background | None = None) -> PersonScorer:
    """Return the scorer of a classifier, fitted if it is one of `FITTED`.

    Parameters
    ----------
    classifier
        One of `CLASSIFIERS`.
    enrolled
        The samples.
    background
        The pack's background; SVMs and logistic regression use draws from it as negatives.

    Raises
    ------
    UsageError
        As for `fit`, or the background has another dimension.
    """
    check_background(background, enrolled)
    if classifier in {"prototype", "knn"}:
        return PrototypeScorer(enrolled.index) if classifier == "prototype" else KnnScorer(enrolled.index)
    return fit(classifier, enrolled, background).scorer()


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """The result of fitting."""

    classifier: str  # one of `FITTED`
    person_ids: NDArray[np.int64]  # ids of the people, ascending, ``int64`` of shape ``(P,)``
    weights: FloatArray  # ``float32`` of shape ``(P, D)``; of a kernel SVM ``(P, S)``
    biases: FloatArray  # ``float32`` of shape ``(P,)``
    center: FloatArray  # origin subtracted from embeddings, ``float32`` of shape ``(D,)``
    support: FloatArray  # a kernel SVM's support vectors, ``float32`` of shape ``(S, D)``; else S is 0

    def scorer(self) -> PersonScorer:
        """Return the scorer that evaluates them."""
        center = self.center if self.center.any() else None
        if self.classifier == "svm-rbf":
            return KernelScorer(self.person_ids, self.support, self.weights, self.biases, GAMMA, center=center)
        return LinearScorer(self.person_ids, self.weights, self.biases, center=center)


def fit(classifier: str, enrolled: EnrolledSamples, background: Background | None = None) -> Coefficients:
    """Return the coefficients of a fitted classifier of `FITTED`; deterministic.

    Without a background, people are only separated from one another.

    Raises
    ------
    UsageError
        The classifier is unknown, the background has another dimension, there is one person and no background, or there
        are more than `MAX_KERNEL_SAMPLES` samples for a kernel SVM.
    """
    if classifier not in FITTED:
        raise UsageError(f"unknown classifier {printable(classifier)}: choose from {', '.join(CLASSIFIERS)}")
    if background is None and len(enrolled.distinct_ids) < 2:
        raise UsageError(
            f"{classifier} needs negatives for a single person: enroll a second person, use a pack with a background, "
            "or choose prototype or knn."
        )
    check_background(background, enrolled)
    if classifier == "svm-rbf":
        return _fit_kernel(enrolled, background)
    return _fit_linear(classifier, enrolled, background)


def _fit_linear(classifier: str, enrolled: EnrolledSamples, background: Background | None) -> Coefficients:
    center, rows = _rows(enrolled, background, DRAWS)
    if classifier == "svm":
        normals, _ = separate(rows, enrolled.person_indices, loss="squared_hinge", strength=SVM_STRENGTH)
    else:
        normals, _ = separate(rows, enrolled.person_indices, loss="logistic", strength=LOGISTIC_STRENGTH)
    weights = normalized(normals.astype(np.float64)).astype(np.float32)
    biases = np.zeros(len(weights), np.float32)
    return Coefficients(
        classifier, enrolled.distinct_ids, weights, biases, center, np.empty((0, enrolled.dimension), np.float32)
    )


def _fit_kernel(enrolled: EnrolledSamples, background: Background | None) -> Coefficients:
    if enrolled.count > MAX_KERNEL_SAMPLES:
        raise UsageError(
            f"svm-rbf supports at most {MAX_KERNEL_SAMPLES} samples, and this gallery has {enrolled.count}: fitting "
            "time grows with the cube of their number. Choose svm or another classifier."
        )
    center, rows = _rows(enrolled, background, KERNEL_DRAWS)
    kernel = rbf(rows.astype(np.float64), rows, GAMMA)
    # Inner products of the Cholesky factor's rows are the kernel's values, so a linear machine on them is equivalent.
    factor = np.linalg.cholesky(kernel + _JITTER * np.eye(len(kernel)))
    normals, _ = separate(
        factor.astype(np.float32), enrolled.person_indices, loss="squared_hinge", strength=SVM_STRENGTH
    )
    duals = np.linalg.solve(factor.T, normalized(normals.astype(np.float64)).T).T
    strangers = kernel[enrolled.count :] if background is not None else kernel
    biases = -(strangers @ duals.T).mean(axis=0)
    return Coefficients(
        "svm-rbf", enrolled.distinct_ids, duals.astype(np.float32), biases.astype(np.float32), center, rows
    )


def _rows(enrolled: EnrolledSamples, background: Background | None, draws: int) -> tuple[FloatArray, FloatArray]:
    if background is None:
        return np.zeros(enrolled.dimension, dtype=np.float32), enrolled.embeddings
    rows = np.concatenate([enrolled.embeddings, background.draw(draws, _SEED)])
    return background.mean, directions_from(background.mean, rows).astype(np.float32)
