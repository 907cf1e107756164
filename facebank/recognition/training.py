"""Fitting of classifiers to the enrolled samples, and the choice among them.

A person is separated from the gallery's other people and from people drawn from the pack's background, so that one
person with one sample can be fitted too. Both sides have equal weight, and so do identities within a side. Weight
vectors are scaled to length 1: their length depends on the number of samples, but one threshold must suit all people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebank.errors import UsageError
from facebank.recognition.enrolled import Enrolled
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
from facebank.recognition.solving import separate
from facebank.storage.arrays import normalized
from facebank.storage.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facebank.recognition.calibration.background import Background
    from facebank.recognition.enrolled import Enrolled
    from facebank.recognition.scoring import PersonScorer
    from facebank.types import FloatArray

FITTED = ("svm", "svm-rbf", "logistic")  # kinds of `CLASSIFIERS` that are fitted
SVM_STRENGTH = 1.0
LOGISTIC_STRENGTH = 10.0  # loss weights, chosen on LFW's development people
GAMMA = 1.0  # coefficient of the RBF kernel, for embeddings of length 1
DRAWS = 1_000
KERNEL_DRAWS = 500  # draws from the background
MAX_KERNEL_SAMPLES = 500  # samples of a kernel SVM: half a second on one core; twice as many take four times as long
_JITTER = 1e-5
_SEED = 0

RECIPE = (1, SVM_STRENGTH, LOGISTIC_STRENGTH, GAMMA, DRAWS, KERNEL_DRAWS, _JITTER, _SEED)
"""Cache key of the fit; changes whenever the same samples would give other coefficients. First: a code version."""


def build_scorer(kind: str, enrolled: Enrolled, background: Background | None = None) -> PersonScorer:
    """Return a scorer, fitted if its kind needs it.

    Parameters
    ----------
    kind
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
    if kind in {"prototype", "knn"}:
        return PrototypeScorer(enrolled.index) if kind == "prototype" else KnnScorer(enrolled.index)
    return fit(kind, enrolled, background).scorer()


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """The result of fitting."""

    kind: str  # one of `FITTED`
    people: NDArray[np.int64]  # the people's numbers, ascending, ``int64`` of shape ``(P,)``
    # weights, biases: ``float32`` of shapes ``(P, D)`` and ``(P,)``; weights of a kernel SVM are ``(P, S)``
    weights: FloatArray
    biases: FloatArray
    center: FloatArray  # origin subtracted from embeddings, ``float32`` of shape ``(D,)``
    support: FloatArray  # a kernel SVM's support vectors, ``float32`` of shape ``(S, D)``; else S is 0

    def scorer(self) -> PersonScorer:
        """Return the scorer that evaluates them."""
        center = self.center if self.center.any() else None
        if self.kind == "svm-rbf":
            return KernelScorer(self.people, self.support, self.weights, self.biases, GAMMA, center=center)
        return LinearScorer(self.people, self.weights, self.biases, center=center)


def fit(kind: str, enrolled: Enrolled, background: Background | None = None) -> Coefficients:
    """Fit a classifier of `FITTED`; deterministic.

    Without a background, people are only separated from one another.

    Raises
    ------
    UsageError
        The kind is unknown, the background has another dimension, there is one person and no background, or there are
        more than `MAX_KERNEL_SAMPLES` samples for a kernel SVM.
    """
    if kind not in FITTED:
        raise UsageError(f"unknown classifier {printable(kind)}: choose from {', '.join(CLASSIFIERS)}")
    if background is None and len(enrolled.people) < 2:
        raise UsageError(
            f"{kind} needs negatives for a single person: enroll a second person, use a pack with a background, or "
            "choose prototype or knn."
        )
    check_background(background, enrolled)
    if kind == "svm-rbf":
        return _fit_kernel(enrolled, background)
    return _fit_linear(kind, enrolled, background)


def _fit_linear(kind: str, enrolled: Enrolled, background: Background | None) -> Coefficients:
    center, rows = _rows(enrolled, background, DRAWS)
    if kind == "svm":
        normals, _ = separate(rows, enrolled.owners, loss="squared_hinge", strength=SVM_STRENGTH)
    else:
        normals, _ = separate(rows, enrolled.owners, loss="logistic", strength=LOGISTIC_STRENGTH)
    weights = normalized(normals.astype(np.float64)).astype(np.float32)
    biases = np.zeros(len(weights), np.float32)
    return Coefficients(kind, enrolled.people, weights, biases, center, np.empty((0, enrolled.dimension), np.float32))


def _fit_kernel(enrolled: Enrolled, background: Background | None) -> Coefficients:
    if enrolled.count > MAX_KERNEL_SAMPLES:
        raise UsageError(
            f"svm-rbf supports at most {MAX_KERNEL_SAMPLES} samples, and this gallery has {enrolled.count}: fitting "
            "time grows with the cube of their number. Choose svm or another classifier."
        )
    center, rows = _rows(enrolled, background, KERNEL_DRAWS)
    kernel = rbf(rows.astype(np.float64), rows, GAMMA)
    # Inner products of the Cholesky factor's rows are the kernel's values, so a linear machine on them is equivalent.
    factor = np.linalg.cholesky(kernel + _JITTER * np.eye(len(kernel)))
    normals, _ = separate(factor.astype(np.float32), enrolled.owners, loss="squared_hinge", strength=SVM_STRENGTH)
    duals = np.linalg.solve(factor.T, normalized(normals.astype(np.float64)).T).T
    strangers = kernel[enrolled.count :] if background is not None else kernel
    biases = -(strangers @ duals.T).mean(axis=0)
    return Coefficients("svm-rbf", enrolled.people, duals.astype(np.float32), biases.astype(np.float32), center, rows)


def _rows(enrolled: Enrolled, background: Background | None, draws: int) -> tuple[FloatArray, FloatArray]:
    if background is None:
        return np.zeros(enrolled.dimension, dtype=np.float32), enrolled.matrix
    rows = np.concatenate([enrolled.matrix, background.draw(draws, _SEED)])
    return background.mean, directions_from(background.mean, rows).astype(np.float32)


DEFAULT_CLASSIFIER = "prototype"  # measured best across gallery sizes and numbers of samples
COMPARED = ("prototype", "knn", "svm", "logistic")

FOLDS = 5
MIN_SAMPLES = 3  # of a person in the cross-validation
MIN_TRIALS = 30
MAX_SAMPLES = 3000
SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class ClassifierChoice:
    """One of `facebank.recognition.scoring.CLASSIFIERS`, and the reason in words."""

    classifier: str
    reason: str


def choose_classifier(
    enrolled: Enrolled, background: Background | None, kinds: Sequence[str] = COMPARED
) -> ClassifierChoice:
    """Choose a classifier for a gallery by cross-validation over its own samples.

    Each sample of a person with `MIN_SAMPLES` or more is left out once, in `FOLDS` folds, and identified. A
    classifier of `kinds`, which include the default, replaces the default only if correct significantly more often
    (exact sign test over the samples on which the two differ). Returns the default for too few or too many samples.
    """
    owners = enrolled.owners
    is_tested = np.bincount(owners)[owners] >= MIN_SAMPLES
    trials = int(is_tested.sum())
    if len(enrolled.people) < 2 or trials < MIN_TRIALS:
        return ClassifierChoice(
            DEFAULT_CLASSIFIER,
            f"{trials} samples of people with {MIN_SAMPLES} or more are too few to compare classifiers "
            f"({MIN_TRIALS} are needed)",
        )
    if enrolled.count > MAX_SAMPLES:
        return ClassifierChoice(
            DEFAULT_CLASSIFIER, f"{enrolled.count} samples are too many to compare classifiers after each change"
        )
    correct = {kind: _is_correct(enrolled, is_tested, kind, background) for kind in kinds}
    default = DEFAULT_CLASSIFIER
    best = max(kinds, key=lambda kind: (int(correct[kind].sum()), kind == default))
    better, worse = (
        int((correct[a] & ~correct[b]).sum()) for a, b in ((best, DEFAULT_CLASSIFIER), (DEFAULT_CLASSIFIER, best))
    )
    figures = ", ".join(f"{kind} {correct[kind].mean():.1%}" for kind in kinds)
    if better > worse and _sign_test(better, worse) < SIGNIFICANCE:
        return ClassifierChoice(best, f"it was correct most often on {trials} samples left out in turn ({figures})")
    return ClassifierChoice(
        DEFAULT_CLASSIFIER, f"none was clearly better on {trials} samples left out in turn ({figures})"
    )


def _is_correct(
    enrolled: Enrolled, is_tested: NDArray[np.bool_], kind: str, background: Background | None
) -> NDArray[np.bool_]:
    """Return which of the tested samples are identified correctly when left out."""
    correct = np.zeros(enrolled.count, dtype=np.bool_)
    for held_out in _folds(enrolled.owners, is_tested):
        fitted = ~held_out
        scorer = build_scorer(
            kind, Enrolled(enrolled.matrix[fitted], enrolled.person_ids[fitted], enrolled.qualities[fitted]), background
        )
        predicted = scorer.people[scorer.scores(enrolled.matrix[held_out]).argmax(axis=1)]
        correct[held_out] = predicted == enrolled.person_ids[held_out]
    return correct[is_tested]


def _folds(owners: NDArray[np.int64], is_tested: NDArray[np.bool_]) -> Sequence[NDArray[np.bool_]]:
    """Distribute each person's samples over the folds in turn, so that no person loses all samples in a fold."""
    order = np.argsort(owners, kind="stable")
    rank = np.empty(len(owners), dtype=np.int64)
    rank[order] = np.arange(len(owners)) - np.searchsorted(owners[order], owners[order])
    return [fold for number in range(FOLDS) if (fold := is_tested & (rank % FOLDS == number)).any()]


def _sign_test(better: int, worse: int) -> float:
    """Return the probability of at least `better` heads in ``better + worse`` tosses of a fair coin."""
    tosses = better + worse
    return float(sum(math.comb(tosses, heads) for heads in range(better, tosses + 1)) / 2**tosses)
